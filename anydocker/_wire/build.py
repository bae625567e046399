"""From the options of ``build`` to the parameters of ``ImageBuild``; checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

import attrs

from anydocker._wire.checks import check_items, check_text, check_texts, check_type
from anydocker._wire.jsonstream import dumps
from anydocker._wire.query import QueryValue
from anydocker._wire.reference import ImageReference

__all__ = ("BuildLimits", "BuildOutput", "Builder", "Ulimit", "build_query")

Builder: TypeAlias = Literal["classic", "buildkit"]
"""Which of the engine's builders builds."""

# How the engine calls them.
_VERSIONS: Final = {"classic": "1", "buildkit": "2"}
# Outputs that BuildKit sends to its client, over a session of its own protocol.
_SENT_BACK: Final = frozenset({"docker", "local", "oci", "tar"})
# What BuildKit does with the limits of a step, where it does anything: it takes no others.
_LIMITS_OF_BUILDKIT: Final = frozenset({"shm_size", "ulimits"})
_NETWORKS_OF_BUILDKIT: Final = frozenset({None, "default", "host", "none"})


@attrs.frozen
class Ulimit:
    """
    A limit of the kernel on a process.

    Attributes:
        name: Such as ``"nofile"``.
        soft: The limit that holds at first.
        hard: How far the process may raise it. Default: not at all.
    """

    name: str
    soft: int
    hard: int | None = None

    def document(self) -> dict[str, Any]:
        """The engine's document."""
        return {"Name": self.name, "Soft": self.soft, "Hard": self.soft if self.hard is None else self.hard}

    def text(self) -> str:
        """What stands for it on a command line, and in Podman's parameters."""
        return f"{self.name}={self.soft}:{self.soft if self.hard is None else self.hard}"


@attrs.frozen(kw_only=True)
class BuildLimits:
    """
    What the steps of a build may use.

    Attributes:
        memory: Bytes of memory.
        memory_swap: Bytes of memory and swap together; -1 for any.
        shm_size: Bytes of ``/dev/shm``.
        cpu_shares: Weight against others, 1024 being the usual one.
        cpu_period: Microseconds of a period of the scheduler.
        cpu_quota: Microseconds of processor time in a period.
        cpuset_cpus: The processors to use, such as ``"0-2,4"``.
        cpuset_mems: The memory nodes to use.
        cgroup_parent: The control group above.
        ulimits: Limits of the kernel.
        security_opt: Security options (Windows).
        isolation: The isolation technology (Windows).
    """

    memory: int | None = None
    memory_swap: int | None = None
    shm_size: int | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    cgroup_parent: str | None = None
    ulimits: Sequence[Ulimit] = ()
    security_opt: Sequence[str] = ()
    isolation: str | None = None

    def query(self, *, podman: bool = False) -> dict[str, QueryValue]:
        """The engine's parameters, as Docker wants them, or Podman."""
        ulimits = check_items("ulimits", self.ulimits, "an Ulimit", Ulimit)
        return {
            "memory": self.memory,
            "memswap": self.memory_swap,
            "shmsize": self.shm_size,
            "cpushares": self.cpu_shares,
            "cpuperiod": self.cpu_period,
            "cpuquota": self.cpu_quota,
            "cpusetcpus": self.cpuset_cpus,
            "cpusetmems": self.cpuset_mems,
            "cgroupparent": self.cgroup_parent,
            "ulimits": _json([limit.text() if podman else limit.document() for limit in ulimits]),
            "securityopt": _json(self.security_opt) if podman else self.security_opt,
            "isolation": self.isolation,
        }


@attrs.frozen
class BuildOutput:
    """
    Where BuildKit puts the result of a build.

    Attributes:
        type: ``"moby"``, the images of the engine; ``"cacheonly"``, nowhere but its cache; and what else the engine
            knows, such as ``"image"`` with the containerd image store.
        attributes: What the type needs to know, such as ``{"push": "true"}``.
    """

    type: str
    attributes: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def __attrs_post_init__(self) -> None:
        check_text("BuildOutput type", self.type)
        check_texts("BuildOutput attributes", self.attributes)
        if self.type in _SENT_BACK:
            msg = f"BuildOutput type={self.type!r}: it comes back over a BuildKit session, which anydocker has not;"
            raise ValueError(f"{msg} build an image, and take it with open_save() or open_export()")

    def document(self) -> dict[str, Any]:
        """The engine's document."""
        return {"Type": self.type, "Attrs": dict(self.attributes)}


def build_query(
    *,
    builder: Builder,
    tags: Sequence[str],
    target: str | None,
    buildargs: Mapping[str, str | None] | None,
    labels: Mapping[str, str] | None,
    platform: str | None,
    network: str | None,
    extra_hosts: Mapping[str, str] | None,
    cache_from: Sequence[str],
    no_cache: bool,
    pull: bool,
    rm: bool,
    force_rm: bool,
    squash: bool,
    limits: BuildLimits | None,
    outputs: Sequence[BuildOutput],
    podman: bool,
) -> dict[str, QueryValue]:
    """The parameters of a build, but for its context, as Docker wants them, or Podman."""
    check_texts("buildargs", buildargs, or_none=True)
    check_texts("labels", labels)
    check_texts("extra_hosts", extra_hosts)
    check_type("limits", limits, "BuildLimits", BuildLimits)
    for what, text in (("target", target), ("platform", platform), ("network", network)):
        check_type(what, text, "a str", str)
    flags = {"no_cache": no_cache, "pull": pull, "rm": rm, "force_rm": force_rm, "squash": squash}
    for what, flag in flags.items():
        check_type(what, flag, "a bool", bool)
    if builder not in get_args(Builder):
        msg = f"builder={builder!r}: expected one of {', '.join(map(repr, get_args(Builder)))}"
        raise ValueError(msg)
    documents = [output.document() for output in check_items("outputs", outputs, "a BuildOutput", BuildOutput)]
    if builder == "buildkit":
        _check_for_buildkit(network=network, rm=rm, force_rm=force_rm, squash=squash, limits=limits or BuildLimits())
        if len(documents) > 1:
            raise ValueError("outputs: an engine takes one output of a build")
    elif documents:
        raise ValueError("outputs is for builder='buildkit': the classic builder makes an image of the engine's")
    hosts = [f"{host}:{address}" for host, address in (extra_hosts or {}).items()]
    return {
        "version": _VERSIONS[builder],
        "t": [str(ImageReference.parse_new(tag)) for tag in check_items("tags", tags, "a str", str)],
        "target": target,
        "buildargs": _json(buildargs),
        "labels": _json(labels),
        "platform": platform,
        "networkmode": network,
        "extrahosts": _json(hosts) if podman else hosts,
        "cachefrom": _json(check_items("cache_from", cache_from, "a str", str)),
        "nocache": no_cache or None,
        "pull": pull or None,
        "rm": rm,
        "forcerm": force_rm,
        "squash": squash or None,
        "outputs": _json(documents),
        **(limits or BuildLimits()).query(podman=podman),
    }


def _check_for_buildkit(*, network: str | None, rm: bool, force_rm: bool, squash: bool, limits: BuildLimits) -> None:
    """Refuse what BuildKit would pass over without a word, or refuse itself."""
    if network not in _NETWORKS_OF_BUILDKIT:
        msg = f"network={network!r}: BuildKit knows 'default', 'none' and 'host'; builder='classic' any network"
        raise ValueError(msg)
    if not rm or not force_rm:
        raise ValueError("rm=False and force_rm=False are for builder='classic': BuildKit's steps are no containers")
    if squash:
        raise ValueError("squash is for builder='classic': BuildKit makes no image with one layer for all")
    for field in attrs.fields(BuildLimits):
        if field.name not in _LIMITS_OF_BUILDKIT and getattr(limits, field.name) not in (None, ()):
            msg = f"limits: BuildKit takes no {field.name}, but shm_size and ulimits (API 1.45); builder='classic' does"
            raise ValueError(msg)


def _json(value: object) -> str | None:
    return dumps(value).decode() if value else None
