"""
A daemon in a namespace of its own, which takes everything it started with it when it ends.

The process that is started becomes ``unshare``; its child, the first process of a new PID namespace, is
``docker-init``; the child of that is the daemon. Three things follow from it:

- Killing the first process of the namespace makes the kernel kill every other one in it, and it does not
  count as dead before they all are. So one SIGKILL and one wait are a complete teardown.
- The daemon holds the reading end of a pipe whose writing end is ours. When this process ends, in whatever
  way, the pipe ends too, and with it the daemon.
- With a mount namespace of its own its mounts vanish together with its last process.

Nothing here is async: each method blocks, for milliseconds, and is meant for a worker thread. The lock makes
``stop`` wait for a ``start`` that a cancelled caller has left running in its thread.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

import attrs

from anydocker.testing._directory import make_directory
from anydocker.testing._unavailable import SEARCH_PATH, EngineUnavailable, find_programs

__all__ = ("Daemon",)

# The watcher's `cat` ends when the pipe does. `$$` is the id of the outer shell, which the daemon replaces.
_LIFELINE: Final = 'exec 3<&0 </dev/null; (cat <&3 >/dev/null; kill -KILL $$) & exec "$@" 3<&-'

# Removing what a killed daemon leaves succeeds at once, or a few milliseconds later. Seconds.
_PATIENCE: Final = 10.0
# A daemon that is asked to end gives its containers ten seconds of their own first.
_SHUTDOWN: Final = 30.0
_PAUSE: Final = 0.02

_CGROUPS: Final = Path("/sys/fs/cgroup")
# Podman puts the groups of all containers into this one, which cannot be chosen. Another Podman may be in it, too.
_PODMANS: Final = "libpod_parent"


@attrs.define(eq=False)
class Daemon:
    """One daemon, its temporary directory and its log."""

    program: str
    _directory: Path | None = attrs.field(default=None, init=False, alias="_directory")
    _process: subprocess.Popen[bytes] | None = attrs.field(default=None, init=False, alias="_process")
    _stopped: bool = attrs.field(default=False, init=False, alias="_stopped")
    _lock: Lock = attrs.field(factory=Lock, init=False, alias="_lock")

    @property
    def directory(self) -> Path:
        """The directory of everything the daemon writes; it is removed with the daemon."""
        assert self._directory is not None, "the daemon was not started"
        return self._directory

    @property
    def pid(self) -> int:
        """The process id, on the host, of the outer process; it lives in the daemon's network namespace."""
        assert self._process is not None, "the daemon was not started"
        return self._process.pid

    @property
    def _log_file(self) -> Path:
        return self.directory / "log"

    def start(self, command: Callable[[Path], Sequence[str]], namespaces: Sequence[str]) -> None:
        """
        Make the directory, unless it is there from the last time, and start the daemon.

        Args:
            command: Called with the directory; writes the configuration there and returns the command line.
            namespaces: The command that makes the namespaces, ``unshare`` with its flags.
        """
        init, shell = find_programs("docker-init", "sh")
        with self._lock:
            if self._stopped:
                return
            if self._directory is None:
                self._directory = make_directory()
                (self._directory / "tmp").mkdir()
            inner = (init, "--", shell, "-c", _LIFELINE, shell, *command(self._directory))
            with self._log_file.open("ab") as log:
                self._process = subprocess.Popen(
                    (*namespaces, *inner),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=self._environment(self._directory),
                    # Podman's monitor writes a file called oom where it is.
                    cwd=self._directory,
                )

    def _environment(self, directory: Path) -> Mapping[str, str]:
        return {**os.environ, "PATH": SEARCH_PATH, "TMPDIR": str(directory / "tmp")}

    def running(self) -> bool:
        """Whether the daemon has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """What the daemon has written so far."""
        return self._log_file.read_text(errors="replace")

    def failure(self, what: str, *, log_lines: int) -> EngineUnavailable:
        """The error for a daemon that did not come up, with the end of its log."""
        tail = "\n".join(self.log().splitlines()[-log_lines:]) or "(nothing)"
        return EngineUnavailable(f"{self.program} {what}; the last lines of its log:\n{tail}")

    def terminate(self) -> None:
        """Ask the daemon to end, and wait until it has; after a while kill it, with all it has started."""
        with self._lock:
            if self._process is not None and self.running():
                _signal(self._process, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_SHUTDOWN)
        self.kill()

    def kill(self) -> None:
        """Kill the daemon with all it has started, and leave its directory. It may be started again."""
        with self._lock:
            if self._process is not None and self.running():
                _kill(self._process)
            if self._directory is not None:
                for group in (self.directory.name, *_groups_of_podman(self.directory)):
                    _persist(partial(_remove_cgroups, group), f"the cgroup {group}")
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()

    def stop(self) -> None:
        """
        Kill the daemon with all it has started, and remove what is left of it. May be called again.

        Raises:
            EngineUnavailable: Something could not be removed; the message names it.
        """
        with self._lock:
            self._stopped = True
        self.kill()
        if self._directory is not None:
            _persist(lambda: _remove_directory(self.directory), f"the directory {self.directory}")
            with suppress(OSError):
                _remove_cgroups(_PODMANS)


def _kill(process: subprocess.Popen[bytes]) -> None:
    # The child: `unshare` then ends by itself, after everything in the namespace is gone.
    _signal(process, signal.SIGKILL)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_PATIENCE)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the first process of the namespace, which hands it on if it may be caught."""
    for pid in _children(process.pid) or (process.pid,):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _children(parent: int) -> tuple[int, ...]:
    return tuple(pid for pid in _process_ids() if _parent(pid) == parent)


def _process_ids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The program's name, in parentheses, may itself hold spaces and parentheses.
    return int(stat.rpartition(b")")[2].split()[1])


def _groups_of_podman(directory: Path) -> tuple[str, ...]:
    return tuple(f"{_PODMANS}/libpod-{container.name}" for container in directory.glob("data/*-containers/*/"))


def _remove_cgroups(name: str) -> None:
    # One at the top in version 2; one for each controller, a level below, in version 1.
    for group in (_CGROUPS / name, *_CGROUPS.glob(f"*/{name}")):
        for directory, _, _ in os.walk(group, topdown=False):
            os.rmdir(directory)


def _remove_directory(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)


def _persist(remove: Callable[[], None], what: str) -> None:
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return remove()
        except OSError as exc:
            if time.monotonic() > give_up:
                raise EngineUnavailable(f"{what} could not be removed: {exc}") from exc
        time.sleep(_PAUSE)
