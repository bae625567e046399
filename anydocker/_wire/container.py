"""
From the options of ``create`` and ``run`` to the document the engine wants (``ContainerCreate``).

Every option is checked here, before anything is sent, and the message of an error names the argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from anydocker._wire.checks import check_items, check_texts, check_type
from anydocker._wire.mount import Mount
from anydocker._wire.options import ContainerOptions

__all__ = (
    "HostPort",
    "PortKey",
    "container_document",
    "environment",
    "exec_command",
    "merge",
    "requirements",
    "with_address_of_its_own",
    "with_variables",
)

PortKey: TypeAlias = int | str
"""A port of the container: ``80``, ``"80"``, ``"53/udp"``."""
HostPort: TypeAlias = int | tuple[str, int | None] | None
"""A port of the host: a number, an address with a number, or None for a free one."""

_PROTOCOLS: Final = frozenset({"tcp", "udp", "sctp"})


def container_document(
    image: str,
    command: Sequence[str] | None = None,
    *,
    entrypoint: Sequence[str] | None = None,
    env: Mapping[str, str | None] | None = None,
    labels: Mapping[str, str] | None = None,
    user: str | None = None,
    workdir: str | None = None,
    tty: bool = False,
    stdin: bool = False,
    ports: Mapping[PortKey, HostPort | list[HostPort]] | None = None,
    mounts: Sequence[Mount] = (),
    network: str | None = None,
    options: ContainerOptions | None = None,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The document for a container; ``config`` is merged into it and wins."""
    for what, text in (("image", image), ("user", user), ("workdir", workdir), ("network", network)):
        check_type(what, text, "a str", str)
    if not image:
        raise ValueError("image is empty: expected the name or id of an image")
    for what, flag in (("tty", tty), ("stdin", stdin)):
        check_type(what, flag, "a bool", bool)
    check_texts("labels", labels)
    check_type("options", options, "ContainerOptions", ContainerOptions)
    check_type("config", config, "a mapping", Mapping)
    document: dict[str, Any] = {"Image": image}
    host: dict[str, Any] = {}
    if command is not None:
        document["Cmd"] = exec_command(command, "command")
    if entrypoint is not None:
        document["Entrypoint"] = exec_command(entrypoint, "entrypoint", empty=True)
    if env:
        document["Env"] = environment(env)
    if labels:
        document["Labels"] = dict(labels)
    if user is not None:
        document["User"] = user
    if workdir is not None:
        document["WorkingDir"] = workdir
    if tty:
        document["Tty"] = True
    if stdin:
        # StdinOnce: the process sees the end of its input when the one who is attached has sent it.
        document |= {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True}
    if ports:
        document["ExposedPorts"], host["PortBindings"] = _ports(ports)
    if mounts:
        host["Mounts"] = [mount.document() for mount in check_items("mounts", mounts, "a Mount", Mount)]
    if network is not None:
        host["NetworkMode"] = network
    if host:
        document["HostConfig"] = host
    if options is not None:
        document = merge(document, options.documents(network))
    return merge(document, config) if config else document


def exec_command(command: Sequence[str], what: str, *, empty: bool = False) -> list[str]:
    """A command as a list of words; refuses one string, which would have to be split by rules nobody asked for."""
    if isinstance(command, str):
        msg = f"{what}={command!r}: expected a sequence of words; shlex.split() makes one of a str"
        raise TypeError(msg)
    check_type(what, command, "a sequence of words", Iterable)
    words = list(command)
    if not words and not empty:
        msg = f"{what} is empty"
        raise ValueError(msg)
    for word in words:
        match word:
            case str():
                continue
            case _:
                raise TypeError(f"{what}: expected words of type str, not {word!r}")
    return words


def environment(env: Mapping[str, str | None]) -> list[str]:
    """Variables as ``NAME=value``; None takes one away that the image sets."""
    check_type("env", env, "a mapping of str to str or None", Mapping)
    for name in env:
        if not name or "=" in name or "\0" in name:
            msg = f"env: {name!r} cannot be the name of a variable"
            raise ValueError(msg)
    return [name if value is None else f"{name}={value}" for name, value in env.items()]


def merge(document: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``config`` into ``document``: mappings key by key, anything else replaced."""
    merged = dict(document)
    for key, value in config.items():
        mine = merged.get(key)
        if isinstance(mine, dict) and isinstance(value, Mapping):
            value = merge(cast("dict[str, Any]", mine), cast("Mapping[str, Any]", value))  # noqa: PLW2901
        merged[key] = value
    return merged


def requirements(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The API versions that a document needs, and what for: an older engine would pass it over without a word."""
    healthcheck: Mapping[str, Any] = document.get("Healthcheck") or {}
    if healthcheck.get("StartInterval"):
        yield "1.44", "HealthCheck(start_interval_seconds=...)"
    host: Mapping[str, Any] = document.get("HostConfig") or {}
    mounts: Sequence[Mapping[str, Mapping[str, Any] | None]] = host.get("Mounts") or ()
    for mount in mounts:
        if (mount.get("BindOptions") or {}).get("CreateMountpoint"):
            yield "1.42", "Mount(create_mountpoint=True)"
        if (mount.get("VolumeOptions") or {}).get("Subpath"):
            yield "1.45", "Mount(subpath=...)"


def with_address_of_its_own(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document for API versions below 1.44: a hardware address is the container's there, not its network's."""
    networking: Mapping[str, Any] = document.get("NetworkingConfig") or {}
    endpoints: Mapping[str, Any] = networking.get("EndpointsConfig") or {}
    addresses = [endpoint["MacAddress"] for endpoint in endpoints.values() if endpoint and endpoint.get("MacAddress")]
    return {"MacAddress": addresses[0], **document} if addresses else document


def with_variables(document: Mapping[str, Any], variables: Mapping[str, str]) -> Mapping[str, Any]:
    """The document with further environment variables; those that it sets, or takes away, stay as they are."""
    env: list[str] = [*(document.get("Env") or ())]
    given = {entry.partition("=")[0] for entry in env}
    further = [f"{name}={value}" for name, value in variables.items() if name not in given]
    return {**document, "Env": env + further} if further else document


def _ports(
    ports: Mapping[PortKey, HostPort | list[HostPort]],
) -> tuple[dict[str, Any], dict[str, list[dict[str, str]]]]:
    check_type("ports", ports, "a mapping such as {80: None}", Mapping)
    bindings: dict[str, list[dict[str, str]]] = {}
    for port, host in ports.items():
        hosts: list[HostPort] = host if isinstance(host, list) else [host]
        bindings.setdefault(port_key(port), []).extend(_binding(one, port) for one in hosts)
    return {port: {} for port in bindings}, bindings


def port_key(port: PortKey) -> str:
    """A port of the container as the engine writes it: ``80/tcp``."""
    number, _, protocol = str(port).partition("/")
    _check_port(number, f"ports: {port!r}")
    if (protocol or "tcp") not in _PROTOCOLS:
        msg = f"ports: {port!r}: the protocol is tcp, udp or sctp"
        raise ValueError(msg)
    return f"{number}/{protocol or 'tcp'}"


def _binding(host: object, port: PortKey) -> dict[str, str]:
    match host:
        case None:
            return {"HostIp": "", "HostPort": ""}
        case bool():
            pass
        case int():
            return {"HostIp": "", "HostPort": _check_port(host, f"ports[{port!r}]")}
        case (str() as address, None):
            return {"HostIp": address, "HostPort": ""}
        case (str() as address, int() as number):
            return {"HostIp": address, "HostPort": _check_port(number, f"ports[{port!r}]")}
        case _:
            pass
    msg = f"ports[{port!r}]: expected a port, an (address, port) tuple, a list of these or None, not {host!r}"
    raise TypeError(msg)


def _check_port(number: int | str, what: str) -> str:
    text = str(number)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        msg = f"{what}: a port is a number from 1 to 65535"
        raise ValueError(msg)
    return text
