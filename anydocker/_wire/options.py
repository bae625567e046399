"""
The less common options of a container, and where each goes in the engine's documents.

Two tables say it all: one for the container's own configuration, one for its ``HostConfig``. A value that needs a
form of its own is an attrs class with a ``document`` method.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs

from anydocker._wire.build import Ulimit
from anydocker._wire.checks import check_items, check_texts, check_type

__all__ = ("ContainerOptions", "Device", "HealthCheck")

_NANOSECONDS: Final = 1_000_000_000
_RESTART: Final = re.compile(r"(no|always|unless-stopped|on-failure)(?::([0-9]+))?")


@attrs.frozen(kw_only=True)
class HealthCheck:
    """
    How an engine finds out whether a container is well.

    Attributes:
        command: The words of a command that exits with 0 if it is; a ``str`` is run by the container's shell. None
            takes away the image's check.
        interval_seconds: Between two probes.
        probe_seconds: How long a probe may take.
        start_seconds: At first, failed probes do not count.
        start_interval_seconds: Between two probes at first. API 1.44.
        retries: So many failed probes in a row make it unhealthy.
    """

    command: Sequence[str] | str | None
    interval_seconds: float | None = None
    probe_seconds: float | None = None
    start_seconds: float | None = None
    start_interval_seconds: float | None = None
    retries: int | None = None

    def document(self) -> dict[str, Any]:
        """The engine's ``HealthConfig``."""
        match self.command:
            case None:
                return {"Test": ["NONE"]}
            case str():
                test = ["CMD-SHELL", self.command]
            case _:
                test = ["CMD", *self.command]
        times = {
            "Interval": self.interval_seconds,
            "Timeout": self.probe_seconds,
            "StartPeriod": self.start_seconds,
            "StartInterval": self.start_interval_seconds,
        }
        document: dict[str, Any] = {"Test": test}
        document |= {key: round(value * _NANOSECONDS) for key, value in times.items() if value is not None}
        if self.retries is not None:
            document["Retries"] = self.retries
        return document


@attrs.frozen
class Device:
    """
    A device of the host in a container.

    Attributes:
        path: Where it is on the host.
        target: Where it is in the container. Default: the same.
        permissions: What may be done with it: read, write, ``mknod``.
    """

    path: str
    target: str | None = None
    permissions: str = attrs.field(default="rwm", kw_only=True)

    def document(self) -> dict[str, Any]:
        """The engine's ``DeviceMapping``."""
        return {
            "PathOnHost": self.path,
            "PathInContainer": self.target or self.path,
            "CgroupPermissions": self.permissions,
        }


@attrs.frozen(kw_only=True)
class ContainerOptions:
    """
    The less common options of ``create``, ``run`` and ``open_run``. None leaves each to the engine.

    Sizes are in bytes, durations in seconds.

    Attributes:
        hostname: Its host name.
        domainname: Its domain name.
        stop_signal: The signal that asks it to stop, such as ``"SIGINT"``.
        stop_grace_seconds: How long it has to stop, before it is killed.
        healthcheck: How to find out whether it is well.
        init: Put a small init process in front, which reaps orphans and hands signals on.
        auto_remove: Let the engine remove it when it ends.
        restart: When to start it again: ``"no"``, ``"always"``, ``"unless-stopped"``, ``"on-failure"``,
            ``"on-failure:3"``.
        memory: Memory.
        memory_swap: Memory and swap together; -1 for any.
        memory_reservation: Memory it is to have when there is little.
        cpus: Processors, such as 1.5.
        cpu_shares: Weight against others, 1024 being the usual one.
        cpu_period: Microseconds of a period of the scheduler.
        cpu_quota: Microseconds of processor time in a period.
        cpuset_cpus: The processors to use, such as ``"0-2,4"``.
        cpuset_mems: The memory nodes to use.
        blkio_weight: Weight against others at the disk, from 10 to 1000.
        pids_limit: Processes and threads; -1 for any number.
        shm_size: ``/dev/shm``.
        oom_kill_disable: Do not kill it when memory runs out.
        oom_score_adj: How readily it is killed then, from -1000 to 1000.
        ulimits: Limits of the kernel.
        sysctls: Parameters of the kernel, by name.
        devices: Devices of the host.
        device_cgroup_rules: Rules for devices, such as ``"c 42:* rmw"``.
        gpus: ``"all"``, a number of GPUs, or their ids.
        privileged: Give it all capabilities and devices.
        cap_add: Capabilities to add, such as ``"NET_ADMIN"``.
        cap_drop: Capabilities to take away.
        security_opt: Security options, such as ``"no-new-privileges"``.
        group_add: Further groups of the process.
        read_only: Make its root filesystem read-only.
        userns: The user namespace: ``"host"``.
        ipc: The IPC namespace: ``"private"``, ``"shareable"``, ``"host"``, ``"container:<id>"``.
        pid: The PID namespace: ``"host"``, ``"container:<id>"``.
        uts: The UTS namespace: ``"host"``.
        cgroup_parent: The control group above.
        cgroupns: The control-group namespace: ``"private"``, ``"host"``.
        runtime: The OCI runtime.
        isolation: The isolation technology (Windows).
        log_driver: The log driver, such as ``"json-file"`` or ``"none"``.
        log_options: Its options.
        tmpfs: Memory filesystems: options such as ``"size=64m"`` by path.
        volumes: Volumes and directories in the short form ``"source:/target[:ro]"``. :class:`Mount` is the long one.
        volumes_from: Containers whose volumes to use, too.
        volume_driver: The driver of volumes that are made.
        storage_options: Options of the storage driver, such as ``{"size": "10G"}``.
        extra_hosts: Addresses by host name.
        dns: Name servers.
        dns_search: Search domains.
        dns_options: Options of the resolver.
        links: Other containers by the name to know them by (legacy).
        mac_address: Its hardware address in its network.
        ipv4: Its address in its network.
        ipv6: Its IPv6 address in its network.
        aliases: Further names in its network.
    """

    hostname: str | None = None
    domainname: str | None = None
    stop_signal: str | None = None
    stop_grace_seconds: int | None = None
    healthcheck: HealthCheck | None = None
    init: bool | None = None
    auto_remove: bool | None = None
    restart: str | None = None
    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    cpus: float | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    blkio_weight: int | None = None
    pids_limit: int | None = None
    shm_size: int | None = None
    oom_kill_disable: bool | None = None
    oom_score_adj: int | None = None
    ulimits: Sequence[Ulimit] | None = None
    sysctls: Mapping[str, str] | None = None
    devices: Sequence[Device] | None = None
    device_cgroup_rules: Sequence[str] | None = None
    gpus: Literal["all"] | int | Sequence[str] | None = None
    privileged: bool | None = None
    cap_add: Sequence[str] | None = None
    cap_drop: Sequence[str] | None = None
    security_opt: Sequence[str] | None = None
    group_add: Sequence[str] | None = None
    read_only: bool | None = None
    userns: str | None = None
    ipc: str | None = None
    pid: str | None = None
    uts: str | None = None
    cgroup_parent: str | None = None
    cgroupns: str | None = None
    runtime: str | None = None
    isolation: str | None = None
    log_driver: str | None = None
    log_options: Mapping[str, str] | None = None
    tmpfs: Mapping[str, str] | None = None
    volumes: Sequence[str] | None = None
    volumes_from: Sequence[str] | None = None
    volume_driver: str | None = None
    storage_options: Mapping[str, str] | None = None
    extra_hosts: Mapping[str, str] | None = None
    dns: Sequence[str] | None = None
    dns_search: Sequence[str] | None = None
    dns_options: Sequence[str] | None = None
    links: Mapping[str, str] | None = None
    mac_address: str | None = None
    ipv4: str | None = None
    ipv6: str | None = None
    aliases: Sequence[str] | None = None

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(type(self)):
            _check(field.name, str(field.type).removesuffix(" | None"), getattr(self, field.name))
        if self.restart is not None and not _RESTART.fullmatch(self.restart):
            msg = f"restart={self.restart!r}: expected 'no', 'always', 'unless-stopped', 'on-failure' or 'on-failure:3'"
            raise ValueError(msg)
        for name in ("memory", "shm_size", "cpus", "cpu_quota", "cpu_period"):
            value = getattr(self, name)
            if value is not None and value < 0:
                msg = f"{name}={value!r}: it cannot be negative"
                raise ValueError(msg)

    def documents(self, network: str | None) -> dict[str, Any]:
        """The engine's document: the container's own part, ``HostConfig`` and ``NetworkingConfig``."""
        document = _section(self, _CONFIG)
        host = _section(self, _HOST)
        if self.log_options and self.log_driver is None:
            raise ValueError("log_options without log_driver: name the driver they are for")
        if host:
            document["HostConfig"] = host
        endpoint = self._endpoint()
        if endpoint:
            if network is None:
                raise ValueError("mac_address, ipv4, ipv6 and aliases belong to a network: give network=, too")
            document["NetworkingConfig"] = {"EndpointsConfig": {network: endpoint}}
        return document

    def _endpoint(self) -> dict[str, Any]:
        endpoint: dict[str, Any] = {}
        if self.aliases:
            endpoint["Aliases"] = list(self.aliases)
        if self.mac_address:
            endpoint["MacAddress"] = self.mac_address
        addresses = {"IPv4Address": self.ipv4, "IPv6Address": self.ipv6}
        if any(addresses.values()):
            endpoint["IPAMConfig"] = {key: value for key, value in addresses.items() if value}
        return endpoint


# What an option of each annotation may be, and how a message calls that.
_KINDS: Final[dict[str, tuple[str, *tuple[type, ...]]]] = {
    "str": ("a str", str),
    "int": ("an int", int),
    "float": ("a number", int, float),
    "bool": ("a bool", bool),
    "HealthCheck": ("a HealthCheck", HealthCheck),
}
_ITEMS: Final[dict[str, tuple[str, type]]] = {
    "Sequence[str]": ("a str", str),
    "Sequence[Ulimit]": ("an Ulimit", Ulimit),
    "Sequence[Device]": ("a Device", Device),
}


def _check(name: str, annotation: str, value: object) -> None:
    if value is None:
        return
    if annotation in _KINDS:
        check_type(name, value, *_KINDS[annotation])
    elif annotation in _ITEMS:
        check_items(name, value, *_ITEMS[annotation])
    elif annotation == "Mapping[str, str]":
        check_texts(name, value)


def _same(value: Any) -> Any:
    return value


def _documents(values: Sequence[Any]) -> list[dict[str, Any]]:
    return [value.document() for value in values]


def _restart(policy: str) -> dict[str, Any]:
    name, _, retries = policy.partition(":")
    return {"Name": name, "MaximumRetryCount": int(retries or 0)}


def _gpus(gpus: str | int | Sequence[str]) -> list[dict[str, Any]]:
    request: dict[str, Any] = {"Capabilities": [["gpu"]]}
    if gpus == "all":
        request["Count"] = -1
    elif isinstance(gpus, int):
        request["Count"] = gpus
    elif isinstance(gpus, str):
        msg = f"gpus={gpus!r}: expected 'all', a number, or a list of ids"
        raise ValueError(msg)
    else:
        request["DeviceIDs"] = list(gpus)
    return [request]


def _colon_pairs(pairs: Mapping[str, str]) -> list[str]:
    return [f"{key}:{value}" for key, value in pairs.items()]


_Table = dict[str, tuple[str, Callable[[Any], Any]]]

_CONFIG: Final[_Table] = {
    "hostname": ("Hostname", _same),
    "domainname": ("Domainname", _same),
    "stop_signal": ("StopSignal", _same),
    "stop_grace_seconds": ("StopTimeout", _same),
    "healthcheck": ("Healthcheck", HealthCheck.document),
}

_HOST: Final[_Table] = {
    "init": ("Init", _same),
    "auto_remove": ("AutoRemove", _same),
    "restart": ("RestartPolicy", _restart),
    "memory": ("Memory", _same),
    "memory_swap": ("MemorySwap", _same),
    "memory_reservation": ("MemoryReservation", _same),
    "cpus": ("NanoCpus", lambda cpus: round(cpus * _NANOSECONDS)),
    "cpu_shares": ("CpuShares", _same),
    "cpu_period": ("CpuPeriod", _same),
    "cpu_quota": ("CpuQuota", _same),
    "cpuset_cpus": ("CpusetCpus", _same),
    "cpuset_mems": ("CpusetMems", _same),
    "blkio_weight": ("BlkioWeight", _same),
    "pids_limit": ("PidsLimit", _same),
    "shm_size": ("ShmSize", _same),
    "oom_kill_disable": ("OomKillDisable", _same),
    "oom_score_adj": ("OomScoreAdj", _same),
    "ulimits": ("Ulimits", _documents),
    "sysctls": ("Sysctls", dict),
    "devices": ("Devices", _documents),
    "device_cgroup_rules": ("DeviceCgroupRules", list),
    "gpus": ("DeviceRequests", _gpus),
    "privileged": ("Privileged", _same),
    "cap_add": ("CapAdd", list),
    "cap_drop": ("CapDrop", list),
    "security_opt": ("SecurityOpt", list),
    "group_add": ("GroupAdd", list),
    "read_only": ("ReadonlyRootfs", _same),
    "userns": ("UsernsMode", _same),
    "ipc": ("IpcMode", _same),
    "pid": ("PidMode", _same),
    "uts": ("UTSMode", _same),
    "cgroup_parent": ("CgroupParent", _same),
    "cgroupns": ("CgroupnsMode", _same),
    "runtime": ("Runtime", _same),
    "isolation": ("Isolation", _same),
    "tmpfs": ("Tmpfs", dict),
    "volumes": ("Binds", list),
    "volumes_from": ("VolumesFrom", list),
    "volume_driver": ("VolumeDriver", _same),
    "storage_options": ("StorageOpt", dict),
    "extra_hosts": ("ExtraHosts", _colon_pairs),
    "dns": ("Dns", list),
    "dns_search": ("DnsSearch", list),
    "dns_options": ("DnsOptions", list),
    "links": ("Links", _colon_pairs),
}


def _section(options: ContainerOptions, table: _Table) -> dict[str, Any]:
    document = {
        key: convert(value) for name, (key, convert) in table.items() if (value := getattr(options, name)) is not None
    }
    if table is _HOST and options.log_driver is not None:
        document["LogConfig"] = {"Type": options.log_driver, "Config": dict(options.log_options or {})}
    return document
