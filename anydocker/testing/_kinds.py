"""What kinds of engine a private one can be, and how each is started in namespaces of its own."""

from __future__ import annotations

import resource
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

__all__ = ("PROGRAMS", "EngineKind", "engine_command", "socket_path")

EngineKind: TypeAlias = Literal["docker", "podman"]
"""What :func:`private_engine` can start."""

PROGRAMS: Final[Mapping[EngineKind, str]] = {"docker": "dockerd", "podman": "podman"}

# An empty /run: no containerd of the system to join, and nothing written that would stay. The same for /etc, but with
# all that is there to be read.
_SET_UP: Final = """
set -e
ip link set lo up
mount -n -t tmpfs tmpfs /run
mkdir -p /run/etc /run/work
mount -n -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work overlay /etc
"""
_SMALL_DISK: Final = "mkdir -p {0}\nmount -n -t tmpfs -o size={1} tmpfs {0}\n"
_LAY_OVER: Final = "mount -n -t overlay -o ro,lowerdir={}/usr:/usr overlay /usr\n"
_DOCKER: Final = """
mkdir -p /etc/docker
mount -n -t tmpfs tmpfs /etc/docker
exec "$@"
"""
# crun refuses a machine that has the second version of cgroups beside the first.
_PODMAN: Final = """
mkdir -p /etc/containers
mount -n --bind {}/containers /etc/containers
if mountpoint -q /sys/fs/cgroup/unified; then umount -n /sys/fs/cgroup/unified; fi
exec "$@"
"""

# What podman asks of its configuration: http from a loopback address, as Docker does by itself, and limits that a
# process without CAP_SYS_RESOURCE can give.
_CONTAINERS: Final = """
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[network]
network_backend = "netavark"
"""
_REGISTRIES: Final = """
unqualified-search-registries = ["docker.io"]
[[registry]]
location = "127.0.0.1"
insecure = true
"""
_POLICY: Final = '{"default": [{"type": "insecureAcceptAnything"}]}'


def socket_path(directory: Path) -> Path:
    """Where an engine with this directory listens."""
    return directory / "d.sock"


def engine_command(
    kind: EngineKind, directory: Path, overlay: Path | None, options: tuple[str, ...], disk_bytes: int | None
) -> tuple[str, ...]:
    """
    Write the engine's configuration, and tell the command that starts it.

    Args:
        kind: What to start.
        directory: Where it may write.
        overlay: A directory with a ``usr`` that is to be laid over this machine's.
        options: More flags for its program.
        disk_bytes: How much its images and containers may take, in memory; None: what the disk has.
    """
    set_up = _SET_UP
    if disk_bytes is not None:
        set_up += _SMALL_DISK.format(shlex.quote(str(directory / "data")), disk_bytes)
    if overlay is not None:
        set_up += _LAY_OVER.format(shlex.quote(str(overlay)))
    if kind == "docker":
        return ("sh", "-c", set_up + _DOCKER, "sh", *_docker(directory), *options)
    finish = _PODMAN.format(shlex.quote(str(directory)))
    return ("sh", "-c", set_up + finish, "sh", *_podman(directory, options))


def _docker(directory: Path) -> tuple[str, ...]:
    configuration = directory / "daemon.json"
    configuration.write_text("{}")
    name = directory.name
    # containerd's own grammar: no underscore beside another one, or at an end. Random names have them anywhere.
    namespace = name.replace("_", "0")
    return (
        "dockerd",
        f"--config-file={configuration}",
        f"--host=unix://{socket_path(directory)}",
        f"--data-root={directory / 'data'}",
        f"--exec-root={directory / 'exec'}",
        f"--pidfile={directory / 'pid'}",
        f"--containerd-namespace={namespace}",
        f"--containerd-plugins-namespace=plugins.{namespace}",
        # Not systemd's driver, which would have the groups made outside of our reach.
        "--exec-opt=native.cgroupdriver=cgroupfs",
        f"--cgroup-parent=/{name}",
    )


def _podman(directory: Path, options: tuple[str, ...]) -> tuple[str, ...]:
    configuration = directory / "containers"
    configuration.mkdir(exist_ok=True)
    files, processes = (resource.getrlimit(limit)[1] for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
    (configuration / "containers.conf").write_text(_CONTAINERS.format(files=files, processes=processes))
    (configuration / "registries.conf").write_text(_REGISTRIES)
    (configuration / "policy.json").write_text(_POLICY)
    return (
        # Its home: credentials of this machine's user are none of its business.
        *("env", f"HOME={directory}", "PODMAN_IGNORE_CGROUPSV1_WARNING=1"),
        *("podman", f"--root={directory / 'data'}", *options),
        *("system", "service", "--time=0", f"unix://{socket_path(directory)}"),
    )
