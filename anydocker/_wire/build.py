"""From the options of ``build`` to the parameters of ``ImageBuild``; checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from anydocker._wire.checks import check_items, check_texts, check_type
from anydocker._wire.jsonstream import dumps
from anydocker._wire.query import QueryValue
from anydocker._wire.reference import ImageReference

__all__ = ("BuildLimits", "Ulimit", "build_query")


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


def build_query(
    *,
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
    podman: bool,
) -> dict[str, QueryValue]:
    """The parameters of a build, but for its context, as Docker wants them, or Podman."""
    check_texts("buildargs", buildargs, or_none=True)
    check_texts("labels", labels)
    check_texts("extra_hosts", extra_hosts)
    check_type("limits", limits, "BuildLimits", BuildLimits)
    hosts = [f"{host}:{address}" for host, address in (extra_hosts or {}).items()]
    return {
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
        **(limits or BuildLimits()).query(podman=podman),
    }


def _json(value: object) -> str | None:
    return dumps(value).decode() if value else None
