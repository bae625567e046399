"""
Which engine: from arguments, environment and contexts to an :class:`Endpoint`.

The order is that of the ``docker`` command line: an argument, ``DOCKER_HOST``, ``DOCKER_CONTEXT``, the current context
of ``config.json``, the default sockets. Environment and home come in as arguments, so that every case can be tested;
files are read, but nothing here opens a connection.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

from anydocker._wire.jsonstream import loads
from anydocker.errors import ConnectError, DockerError, ProtocolError

if TYPE_CHECKING:
    import ssl

__all__ = ("Endpoint", "TLSConfig", "config_directory", "parse_object", "read_object", "resolve")

# Where engines listen on a machine: root's Docker, rootless Docker, Desktop, Desktop's other place, OrbStack, colima,
# Rancher Desktop, Podman as a user and as root. The first that exists is taken, and the first of all if none does.
_DEFAULT_SOCKETS: Final = (
    "/var/run/docker.sock",
    "{runtime}/docker.sock",
    "{home}/.docker/run/docker.sock",
    "{home}/.docker/desktop/docker.sock",
    "{home}/.orbstack/run/docker.sock",
    "{home}/.colima/default/docker.sock",
    "{home}/.rd/docker.sock",
    "{runtime}/podman/podman.sock",
    "/run/podman/podman.sock",
)
_PLAIN_PORT: Final = 2375  # IANA: docker
_TLS_PORT: Final = 2376  # IANA: docker-s
# Where an engine is looked for if nothing but TLS is asked for.
_DEFAULT_TLS: Final = f"tcp://localhost:{_TLS_PORT}"
_DEFAULT_CONTEXT: Final = "default"
# A host name or an address, with or without a port, as the command line takes it for tcp://.
_BARE_HOST: Final = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?", re.ASCII)

_ADVICE: Final = {
    errno.ENOENT: "there is no such socket: is the engine running?",
    errno.EACCES: "permission denied: your user may not use this socket (is it in the socket's group?)",
    errno.EPERM: "permission denied: your user may not use this socket (is it in the socket's group?)",
    errno.ECONNREFUSED: "connection refused: nothing listens there",
    errno.ENOTSOCK: "this file is not a socket",
    errno.EPROTOTYPE: "this is a socket, but not of the stream kind",
    errno.ETIMEDOUT: "the host did not answer",
}


@attrs.frozen(kw_only=True)
class TLSConfig:
    """
    How to trust an engine, and how to be trusted by it.

    Attributes:
        ca: A file with the certificates of the authorities to trust, in PEM. Default: the system's.
        cert: A file with our certificate, in PEM; for engines that want one.
        key: A file with its private key, in PEM.
        verify: Whether the engine's certificate and name are checked. Without that, anybody in between can read along.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """
        Read the files.

        Raises:
            ConnectError: A file cannot be read, or does not hold what it should.
        """
        import ssl  # noqa: PLC0415 - most clients never need it

        try:
            context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
            if self.cert is not None:
                context.load_cert_chain(str(self.cert), None if self.key is None else str(self.key))
        except OSError as exc:  # ssl.SSLError is one
            files = [str(path) for path in (self.ca, self.cert, self.key) if path is not None]
            absent = [path for path in files if not os.path.exists(path)]
            why = f"{exc.strerror}: {', '.join(absent or files)}"
            raise ConnectError(f"the files for TLS cannot be used: {why}") from exc
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        return context


@attrs.frozen
class Endpoint:
    """
    Where an engine listens.

    Attributes:
        url: The address, such as ``unix:///var/run/docker.sock``, ``tcp://127.0.0.1:2376`` or ``ssh://me@box``.
        source: Where the choice came from, such as ``DOCKER_HOST``.
        path: The file name of a Unix socket, or of the one on the other side of ssh; None for others.
        host: The host name; empty for a Unix socket.
        port: The port; 0 for a Unix socket, and for ssh's own choice.
        user: The user to log in as with ssh; None for ssh's own choice.
        tls: How to trust each other, over TCP.
        prefix: What stands in front of every path, over TCP: for an engine behind a proxy that has others beside it.
    """

    url: str
    source: str
    path: str | None = None
    host: str = ""
    port: int = 0
    user: str | None = None
    tls: TLSConfig | ssl.SSLContext | None = attrs.field(default=None, repr=False)
    prefix: str = ""

    @property
    def is_ssh(self) -> bool:
        """Whether the way there is ssh."""
        return self.url.startswith("ssh://")

    @property
    def authority(self) -> str:
        """What the ``Host`` field of a request says."""
        if self.path is not None or self.is_ssh:
            return "docker"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def failure(self, reason: BaseException | str) -> str:
        """A message that names this endpoint, where it came from, and what went wrong there."""
        if isinstance(reason, OSError) and reason.errno in _ADVICE:
            reason = _ADVICE[reason.errno]
        elif isinstance(reason, ProtocolError) and self.port and not self.is_ssh and self.tls is None:
            reason = f"{reason}; if it wants TLS, give tls="
        return f"no engine at {self.url} (from {self.source}): {str(reason) or 'the connection failed'}"


def config_directory(environ: Mapping[str, str], home: Path) -> Path:
    """Where the command line keeps its configuration: ``DOCKER_CONFIG``, or ``.docker`` in the home directory."""
    return Path(environ["DOCKER_CONFIG"]) if environ.get("DOCKER_CONFIG") else home / ".docker"


def resolve(
    host: str | None,
    *,
    context: str | None = None,
    tls: TLSConfig | ssl.SSLContext | None = None,
    environ: Mapping[str, str],
    home: Path,
) -> Endpoint:
    """
    Find out which engine is meant.

    Args:
        host: An address; None to look at what follows.
        context: The name of a context, instead of an address.
        tls: How to trust each other, over TCP; None to look at the environment or the context.
        environ: The environment: ``DOCKER_HOST``, ``DOCKER_CONTEXT``, ``DOCKER_CONFIG``, ``DOCKER_TLS_VERIFY``,
            ``DOCKER_TLS``, ``DOCKER_CERT_PATH``, ``XDG_RUNTIME_DIR``.
        home: The user's home directory.

    Raises:
        ValueError: An address is malformed, or both an address and a context are given; the message says where it
            came from.
        TypeError: ``host`` is not a str.
        ConnectError: There is no such context, or it cannot be read.
    """
    if host is not None and context is not None:
        raise ValueError("host= and context= are two ways to name an engine: give one of them")
    directory = config_directory(environ, home)
    address = _address(host, context, environ)
    if address is None:
        name, source = _context_name(context, environ, directory)
        if name != _DEFAULT_CONTEXT:
            return _from_context(name, source, directory, tls)
    environment_tls = _environment_tls(environ, directory) if tls is None else None
    if address is None:
        place = f"unix://{_default_socket(environ, home)}" if environment_tls is None else _DEFAULT_TLS
        address = place, "the default"
    return _parse(*address, environment_tls or tls)


def _address(host: str | None, context: str | None, environ: Mapping[str, str]) -> tuple[str, str] | None:
    match host:
        case None:
            # The context that is called default is the engine that DOCKER_HOST names.
            given = environ.get("DOCKER_HOST") if context in {None, _DEFAULT_CONTEXT} else None
            return (_complete(given), "DOCKER_HOST") if given else None
        case str():
            return _complete(host), "the argument host="
        case _:
            raise TypeError(f"host={host!r}: an address is a str, such as 'unix:///var/run/docker.sock'")


def _complete(address: str) -> str:
    address = address.strip()
    return f"tcp://{address}" if _BARE_HOST.fullmatch(address) else address


def _default_socket(environ: Mapping[str, str], home: Path) -> str:
    runtime = environ.get("XDG_RUNTIME_DIR") or "/nonexistent"
    for template in _DEFAULT_SOCKETS:
        path = template.format(runtime=runtime, home=home)
        if os.path.exists(path):  # Path.exists() raises where a directory may not be looked into
            return path
    return _DEFAULT_SOCKETS[0]


def _environment_tls(environ: Mapping[str, str], directory: Path) -> TLSConfig | None:
    """TLS as the environment asks for it. It takes an authority's certificate, as with the command line."""
    asked = next((name for name in ("DOCKER_TLS_VERIFY", "DOCKER_TLS") if environ.get(name)), None)
    if asked is None:
        return None
    directory = Path(environ.get("DOCKER_CERT_PATH") or directory)
    files = _pem_files(directory)
    if "ca" not in files:
        raise ConnectError(
            f"{asked} is set, and {directory / 'ca.pem'} is not there: set DOCKER_CERT_PATH, or give tls="
        )
    return TLSConfig(**files, verify=asked == "DOCKER_TLS_VERIFY")


def _pem_files(directory: Path) -> dict[str, Path]:
    """The files that are there; a certificate without its key, or the reverse, is no use."""
    paths = {name: directory / f"{name}.pem" for name in ("ca", "cert", "key")}
    files = {name: path for name, path in paths.items() if os.path.isfile(path)}
    return files if {"cert", "key"} <= files.keys() else {name: files[name] for name in files if name == "ca"}


def _context_name(context: str | None, environ: Mapping[str, str], directory: Path) -> tuple[str, str]:
    if context is not None:
        return context, f"the argument context={context!r}"
    name = environ.get("DOCKER_CONTEXT")
    if name:
        return name, f"DOCKER_CONTEXT={name}"
    config = directory / "config.json"
    current = str(read_object(config).get("currentContext") or "")
    return current or _DEFAULT_CONTEXT, f"the current context {current!r} of {config}"


def _from_context(name: str, source: str, directory: Path, tls: TLSConfig | ssl.SSLContext | None) -> Endpoint:
    from hashlib import sha256  # noqa: PLC0415 - for contexts alone

    identity = sha256(name.encode()).hexdigest()
    file = directory / "contexts" / "meta" / identity / "meta.json"
    meta = read_object(file)
    if not meta:
        raise ConnectError(f"there is no context {name!r} in {directory} (from {source}): see `docker context ls`")
    endpoint = _part(_part(meta, "Endpoints"), "docker")
    address = endpoint.get("Host")
    if not isinstance(address, str) or not address:
        raise ConnectError(f"the context {name!r} (from {source}) names no engine: {file} has no Endpoints.docker.Host")
    if tls is None:
        files = _pem_files(directory / "contexts" / "tls" / identity / "docker")
        skip = bool(endpoint.get("SkipTLSVerify"))
        tls = TLSConfig(**files, verify=not skip) if files or skip else None
    return _parse(address, source, tls)


def _part(document: dict[str, Any], key: str) -> dict[str, Any]:
    part: Any = document.get(key)
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def read_object(path: Path, error: type[DockerError] = ConnectError) -> dict[str, Any]:
    """The JSON object in a file, empty where there is no file, or nothing in it; raises ``error``."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise error(f"{path} cannot be read: {exc.strerror}") from exc
    document = parse_object(data.strip() or b"{}")
    if document is None:
        raise error(f"{path} cannot be read: it does not hold a JSON object")
    return document


def parse_object(data: bytes) -> dict[str, Any] | None:
    """The JSON object in ``data``, or None. It raises nothing: an error would quote what may be secret."""
    try:
        document = loads(data)
    except ProtocolError:
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None


def _parse(url: str, source: str, tls: TLSConfig | ssl.SSLContext | None) -> Endpoint:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        # What Python complains of may be a part of a password.
        raise _malformed(url, source, "it cannot be taken apart" if "@" in url else str(exc)) from None
    if parts.scheme != "unix" and parts.password is not None:
        raise ValueError(
            f"the address from {source} holds a password: an engine takes none, and ssh has keys and agents"
        )
    if parts.scheme != "unix" and not _is_host_name(parts.hostname or ""):
        raise _malformed(url, source, "the host is not an ASCII name or address")
    match url.partition(":")[0]:  # not parts.scheme, which is in lower case: to the command line TCP:// is no address
        case "unix":
            return _parse_unix(url, source)
        case "tcp" | "http" | "https":
            return _parse_tcp(url, parts, port, source, tls)
        case "ssh":
            return _parse_ssh(url, parts, port, source)
        case _:
            raise _malformed(url, source, "it has to begin with unix://, tcp:// or ssh://")


def _parse_unix(url: str, source: str) -> Endpoint:
    path = url.removeprefix("unix://")
    if not path.startswith("/") or "\0" in path:
        raise _malformed(url, source, "a Unix socket is named by its absolute path: unix:///path/to/docker.sock")
    return Endpoint(url, source, path=path)


def _parse_tcp(
    url: str, parts: SplitResult, port: int | None, source: str, tls: TLSConfig | ssl.SSLContext | None
) -> Endpoint:
    if not parts.hostname:
        raise _malformed(url, source, "the host is missing: tcp://HOST:PORT")
    if parts.query or parts.fragment or parts.username:
        raise _malformed(url, source, "only a host, a port and a path can follow: tcp://HOST:PORT")
    prefix = parts.path.rstrip("/")
    if not prefix.isascii() or not prefix.isprintable() or " " in prefix:
        raise _malformed(url, source, "the path has to be percent-encoded")
    if parts.scheme == "https" and tls is None:
        tls = TLSConfig()
    if port is None:
        port = _PLAIN_PORT if tls is None else _TLS_PORT
    return Endpoint(url, source, host=parts.hostname, port=port, tls=tls, prefix=prefix)


def _parse_ssh(url: str, parts: SplitResult, port: int | None, source: str) -> Endpoint:
    if not parts.hostname:
        raise _malformed(url, source, "the host is missing: ssh://USER@HOST:PORT")
    if parts.query or parts.fragment:
        raise _malformed(url, source, "only a user, a host, a port and the path of a socket can stand in it")
    if port == 0:
        raise _malformed(url, source, "there is no port 0")
    host, user = _written_host(parts), unquote(parts.username) if parts.username else None
    if "%" in host:
        raise _malformed(url, source, "a host is not percent-encoded")
    # Neither may be taken by ssh for an option.
    if host.startswith("-") or (user or "").startswith("-"):
        raise _malformed(url, source, "neither user nor host can begin with a dash")
    path = unquote(parts.path) if parts.path.strip("/") else None
    if not (path or "").isprintable() or not (user or "").isprintable():
        raise _malformed(url, source, "neither user nor path can have control characters")
    return Endpoint(url, source, path=path, host=host, port=port or 0, user=user)


def _written_host(parts: SplitResult) -> str:
    """The host in the letters it was given in, which ssh looks it up by in its configuration."""
    name = parts.netloc.rpartition("@")[2]
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]


def _is_host_name(host: str) -> bool:
    return host.isascii() and host.isprintable() and " " not in host


def _malformed(url: str, source: str, why: str) -> ValueError:
    shown = url
    if "@" in url and not url.startswith("unix:"):
        # What stands in front of it may be a password.
        shown = f"{url.partition('://')[0]}://...@{url.rpartition('@')[2]}" if "://" in url else "...@..."
    return ValueError(f"{shown!r} (from {source}) is not the address of an engine: {why}")
