"""What has to be on the machine, and the error that says what is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from typing import Final

from anydocker.errors import DockerError

__all__ = ("SEARCH_PATH", "EngineUnavailable", "find_programs", "require_root")

_SYSTEM_DIRECTORIES: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")

# The daemon looks for iptables, containerd and runc itself; a user's PATH often lacks the sbin directories.
SEARCH_PATH: Final = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_DIRECTORIES))

_PACKAGES: Final = {
    "dockerd": "docker.io",
    "docker-init": "docker.io",
    "docker-registry": "docker-registry",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "iptables": "iptables",
}


class EngineUnavailable(DockerError):
    """
    An engine, a registry or a root filesystem for tests could not be provided.

    The message says what is missing and how to get it; where a daemon did start, it ends with the last lines
    of that daemon's log.
    """


def find_programs(*names: str) -> tuple[str, ...]:
    """
    The paths of programs, looked for on PATH and in the system's own directories.

    Raises:
        EngineUnavailable: Some are missing; the message names them all, and the packages they come in.
    """
    found = {name: shutil.which(name, path=SEARCH_PATH) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise EngineUnavailable(f"not found on PATH: {', '.join(missing)}; {_how_to_install(missing)}")
    return tuple(path for path in found.values() if path is not None)


def _how_to_install(programs: Iterable[str]) -> str:
    packages = sorted({_PACKAGES.get(name, "util-linux") for name in programs})
    return (
        f"on Debian or Ubuntu, as root: apt-get install {' '.join(packages)} "
        "(or set ANYDOCKER_TEST_HOST to the address of an engine for tests)"
    )


def require_root(purpose: str) -> None:
    """
    Refuse to go on without the rights to make namespaces.

    Raises:
        EngineUnavailable: The process does not run as root.
    """
    if os.geteuid() != 0:
        raise EngineUnavailable(
            f"{purpose} needs root, and this process runs as user {os.geteuid()}: "
            "run the tests with sudo or in a privileged container, "
            "or set ANYDOCKER_TEST_HOST to the address of an engine for tests"
        )
