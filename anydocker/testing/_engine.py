"""A real engine of one's own, for as long as a block lasts."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, final

import attrs
from anyio import BrokenResourceError, EndOfStream, connect_unix, move_on_after, sleep
from anyio.abc import ByteReceiveStream
from anyio.to_thread import run_sync

from anydocker._concurrency import finish_within
from anydocker.testing._daemon import Daemon
from anydocker.testing._kinds import PROGRAMS, EngineKind, engine_command, socket_path
from anydocker.testing._unavailable import find_programs, require_root

__all__ = ("PrivateEngine", "private_engine")

# How long the daemon may take to answer, and to be removed again. Seconds.
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0
_PAUSE: Final = 0.02

_NAMESPACES: Final = (
    "--mount",
    "--pid",
    "--net",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
)


@final
@attrs.frozen(kw_only=True)
class PrivateEngine:
    """
    A running engine that nobody else uses.

    Its network is its own as well: a port that a container publishes is reached from a process in the same
    network namespace, which :meth:`inside` starts.

    Attributes:
        host: Its address, for :func:`anydocker.connect` or ``DOCKER_HOST``: ``unix:///.../d.sock``.
        directory: Where everything it writes is.
    """

    host: str
    directory: Path
    _daemon: Daemon = attrs.field(repr=False, eq=False, alias="_daemon")
    _starting: Callable[[], Awaitable[None]] = attrs.field(repr=False, eq=False, alias="_starting")

    @property
    def pid(self) -> int:
        """The process that holds its namespaces. Killing it ends the engine and all its containers."""
        return self._daemon.pid

    def inside(self, command: Sequence[str]) -> tuple[str, ...]:
        """The command line that runs ``command`` in the engine's network namespace."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *command)

    async def log(self) -> str:
        """What the daemon has logged so far."""
        return await run_sync(self._daemon.log)

    async def kill(self) -> None:
        """End it with all its containers, as the machine does that loses its power."""
        await run_sync(self._daemon.kill)

    async def terminate(self) -> None:
        """Ask it to shut down, and wait until it has; it is killed after 30 seconds."""
        await run_sync(self._daemon.terminate)

    async def start(self) -> None:
        """
        Start it again, with the same address and data, after :meth:`kill` or :meth:`terminate`.

        Raises:
            EngineUnavailable: It ended or did not answer within 60 seconds.
        """
        await self._starting()


@asynccontextmanager
async def private_engine(
    *,
    kind: EngineKind = "docker",
    overlay: Path | None = None,
    options: Sequence[str] = (),
    disk_bytes: int | None = None,
    log_lines: int = 20,
) -> AsyncGenerator[PrivateEngine, None]:
    """
    Run a private ``dockerd``, or Podman's service, for the length of the block.

    It has its own socket, directories, network, mounts and processes, and reads no configuration of the
    machine's, so it neither sees nor disturbs an engine that runs already. Leaving the block by any road
    kills it and removes all of it; the clean-up is shielded, and takes at most 60 seconds, as a rule a tenth
    of one. Should this process be killed, the engine ends too, and only its temporary directory and empty
    cgroups stay.

    Args:
        kind: ``"docker"``, or ``"podman"``.
        overlay: The programs of another release: a directory with a ``usr`` in it, such as the unpacked packages
            of a distribution, that this engine alone sees laid over this machine's.
        options: More flags for its program, such as ``("--experimental",)`` for ``dockerd``.
        disk_bytes: Let it have no more than this for images and containers. They are in memory then, and a restart
            forgets them.
        log_lines: How many lines of the daemon's log an error shows.

    Yields:
        The engine, once it answers.

    Raises:
        EngineUnavailable: The process is not root, a program is missing, or the daemon ended or did not
            answer within 60 seconds.
    """
    daemon = Daemon(PROGRAMS[kind])

    async def start() -> None:
        await run_sync(_start, daemon, kind, overlay, tuple(options), disk_bytes)
        await _wait_for_answer(daemon, socket_path(daemon.directory), log_lines)

    try:
        await start()
        host = f"unix://{socket_path(daemon.directory)}"
        yield PrivateEngine(host=host, directory=daemon.directory, _daemon=daemon, _starting=start)
    finally:
        # finish_within is the shield.
        await finish_within(STOP_SECONDS, partial(run_sync, daemon.stop))  # noqa: ASYNC102


def _start(
    daemon: Daemon, kind: EngineKind, overlay: Path | None, options: tuple[str, ...], disk_bytes: int | None
) -> None:
    require_root("a private engine")
    program = () if overlay else (PROGRAMS[kind],)
    unshare, *_ = find_programs("unshare", "sh", "nsenter", "ip", "mount", "iptables", *program)

    def command(directory: Path) -> tuple[str, ...]:
        _forget_last_start(directory)
        return engine_command(kind, directory, overlay, options, disk_bytes)

    daemon.start(command, (unshare, *_NAMESPACES))


def _forget_last_start(directory: Path) -> None:
    """What a machine forgets when it is started anew. Process ids mean other processes now."""
    shutil.rmtree(directory / "exec", ignore_errors=True)
    (directory / "pid").unlink(missing_ok=True)


async def _wait_for_answer(daemon: Daemon, socket: Path, log_lines: int) -> None:
    with move_on_after(START_SECONDS):
        while not await _answers(socket):
            if not daemon.running():
                raise await run_sync(partial(daemon.failure, "ended while it started", log_lines=log_lines))
        return
    failure = partial(daemon.failure, f"did not answer within {START_SECONDS:g} s", log_lines=log_lines)
    raise await run_sync(failure)


async def _answers(socket: Path) -> bool:
    try:
        async with await connect_unix(str(socket)) as stream:
            await stream.send(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in await _first_line(stream)
    except (OSError, BrokenResourceError, EndOfStream):
        await sleep(_PAUSE)
        return False


async def _first_line(stream: ByteReceiveStream) -> bytes:
    received = b""
    while True:
        received += await stream.receive()
        line, end, _ = received.partition(b"\r\n")
        if end:
            return line
