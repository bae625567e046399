"""Commands executed in a running container."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

import anyio

from anydocker._concurrency import CLEANUP_SECONDS, finish_within
from anydocker._wire.checks import check_type
from anydocker._wire.container import environment, exec_command
from anydocker._wire.documents import name_at, value_at
from anydocker._wire.query import path_segment
from anydocker.errors import Conflict, DockerError, NotFound, TruncatedStream
from anydocker.resources._conversation import SETTLE_SECONDS
from anydocker.streams import AttachStream, BodyStream

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker.types import ExecInspectResponse

__all__ = ("ExecStream", "OnCancel", "exec_document", "open_exec")

OnCancel: TypeAlias = Literal["kill", "leave"]
"""What becomes of a command whose call is cancelled: it is killed in the container, or left alone."""

_MARKER: Final = "ANYDOCKER_EXEC"
# Children inherit the marker, so what the command has started goes with it. The killer has it only as an argument. It
# looks again after it has killed: a process that was killed may have made another one since the list was taken.
_KILLER: Final = """
for round in 1 2 3 4 5 6 7 8; do
    killed=
    for process in /proc/[0-9]*; do
        if grep -qs "$1" "$process/environ"; then kill -9 "${process#/proc/}"; killed=1; fi
    done
    if [ -z "$killed" ]; then break; fi
done
exit 0
"""
# Seconds after each attempt. A command whose start was under way when it was cancelled shows up a little later.
_KILL_PAUSES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
# Seconds between two questions meanwhile: there is nothing to wait on for an exec.
_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.25


class ExecStream(AttachStream):
    """
    A command that runs in a container: its output, its input, its exit code.

    Leaving the block closes the connection. The command itself goes on until it ends by itself, unless an exception or
    a cancellation ends the block: then it is killed, if ``on_cancel`` is ``"kill"``.

    Attributes:
        id: The id of the exec instance.
    """

    def __init__(self, docker: Docker, body: BodyStream, exec_id: str, *, tty: bool) -> None:
        super().__init__(body, tty=tty)
        self.id = exec_id
        self._docker = docker

    async def inspect(self) -> ExecInspectResponse:
        """The engine's document about this command: ``GET /exec/{id}/json`` (``ExecInspect``)."""
        path = f"/exec/{path_segment(self.id, 'exec id')}/json"
        return cast("ExecInspectResponse", (await self._docker.request("GET", path)).document())

    async def resize(self, *, rows: int, columns: int) -> None:
        """
        Tell the command's terminal how large it is: ``POST /exec/{id}/resize`` (``ExecResize``).

        Args:
            rows: Its height in characters.
            columns: Its width in characters.

        Raises:
            NotFound: The command has ended long ago.
        """
        path = f"/exec/{path_segment(self.id, 'exec id')}/resize"
        await self._docker.request("POST", path, query={"h": rows, "w": columns})

    async def wait(self) -> int:
        """
        Wait until the command has ended.

        Output that has not been received is dropped: receive first what you want to keep.

        Returns:
            The exit code.

        Raises:
            TruncatedStream: The output has ended but the command runs on: the connection was cut, or the command
                has closed both stdout and stderr.

        If cancelled: nothing is lost but dropped output; it can be called again.
        """
        while await self.receive_many():
            continue
        pause = _FIRST_PAUSE
        with anyio.move_on_after(SETTLE_SECONDS):
            while (code := await self._exit_code()) is None:
                await anyio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            return code
        raise TruncatedStream("the output of a command has ended, but the engine says that the command runs on")

    async def _exit_code(self) -> int | None:
        return _exit_code(await self.inspect())


def _exit_code(document: Mapping[str, Any]) -> int | None:
    """The exit code of a command; None while it runs, and in the moment before the engine knows it."""
    if document.get("Running") or document.get("ExitCode") is None:
        return None
    return value_at(document, "ExitCode", kind=int)


def exec_document(
    command: Sequence[str],
    *,
    env: Mapping[str, str | None] | None,
    user: str | None,
    workdir: str | None,
    tty: bool,
    stdin: bool,
    privileged: bool,
    detach_keys: str | None,
) -> dict[str, Any]:
    """The document for ``ContainerExec``."""
    for what, text in (("user", user), ("workdir", workdir), ("detach_keys", detach_keys)):
        check_type(what, text, "a str", str)
    document: dict[str, Any] = {
        "Cmd": exec_command(command, "command"),
        "AttachStdin": stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": tty,
        "Privileged": privileged,
    }
    if env:
        document["Env"] = environment(env)
    if user is not None:
        document["User"] = user
    if workdir is not None:
        document["WorkingDir"] = workdir
    if detach_keys is not None:
        document["DetachKeys"] = detach_keys
    return document


@asynccontextmanager
async def open_exec(
    docker: Docker, container_path: str, document: Mapping[str, Any], on_cancel: OnCancel
) -> AsyncGenerator[ExecStream, None]:
    """Create an exec instance, start it, and hold its connection; kill it if the block fails."""
    if on_cancel not in get_args(OnCancel):
        msg = f"on_cancel={on_cancel!r}: expected one of {', '.join(map(repr, get_args(OnCancel)))}"
        raise ValueError(msg)
    marker = f"{_MARKER}={os.urandom(16).hex()}"
    if on_cancel == "kill":
        document = {**document, "Env": [*document.get("Env", ()), marker]}
    created = await docker.request("POST", f"{container_path}/exec", json=document)
    exec_id = name_at(created.document())
    tty: bool = document["Tty"]
    path = f"/exec/{path_segment(exec_id, 'exec id')}"
    try:
        async with (
            docker.open_request("POST", f"{path}/start", json={"Detach": False, "Tty": tty}, upgrade="tcp") as body,
            aclosing(ExecStream(docker, body, exec_id, tty=tty)) as stream,
        ):
            yield stream
    except BaseException as exc:
        if on_cancel == "kill":
            kill = partial(_kill_marked, docker, container_path, path, _killer_document(document, marker))
            try:
                await finish_within(CLEANUP_SECONDS, kill)
            except DockerError as failure:
                exc.add_note(f"and the command may go on in the container: {failure}")
        raise


def _killer_document(document: Mapping[str, Any], marker: str) -> dict[str, Any]:
    """The exec that kills another one: with its user and its rights, without which its environment cannot be read."""
    return {
        "Cmd": ["sh", "-c", _KILLER, "sh", marker],
        "User": document.get("User", ""),
        "Privileged": document["Privileged"],
        "AttachStdout": True,
        "Tty": False,
    }


async def _kill_marked(docker: Docker, container_path: str, exec_path: str, killer: Mapping[str, Any]) -> None:
    """Kill the processes of an exec, found by the marker in their environment, until the engine says it is over."""
    try:
        for attempt, pause in enumerate(_KILL_PAUSES):
            if _exit_code((await docker.request("GET", f"{exec_path}/json")).document()) is not None:
                return
            if not await _run_killer(docker, container_path, killer):
                return
            if attempt:
                # It may have changed its user since.
                await _run_killer(docker, container_path, {**killer, "User": "0", "Privileged": True})
            await anyio.sleep(pause)
    except (NotFound, Conflict):
        # The container, and so the command, is gone or at rest.
        return


async def _run_killer(docker: Docker, container_path: str, killer: Mapping[str, Any]) -> bool:
    """Run a killer in the container; return whether it could be."""
    async with open_exec(docker, container_path, killer, "leave") as stream:
        return await stream.wait() == 0
