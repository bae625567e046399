"""Commands executed in a running container."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from anydocker._wire.container import environment, exec_command
from anydocker._wire.query import path_segment
from anydocker.errors import TruncatedStream
from anydocker.resources._conversation import SETTLE_SECONDS
from anydocker.streams import AttachStream, BodyStream

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker.types import ExecInspectResponse

__all__ = ("ExecStream", "exec_document", "open_exec")

# Seconds between two questions meanwhile: there is nothing to wait on for an exec.
_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.25


class ExecStream(AttachStream):
    """
    A command that runs in a container: its output, its input, its exit code.

    Leaving the block closes the connection. The command itself goes on until it ends by itself.

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
        return cast("ExecInspectResponse", (await self._docker.request("GET", path)).json())

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
        document = await self.inspect()
        return None if document.get("Running") else document.get("ExitCode")


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
    docker: Docker, container_path: str, document: Mapping[str, Any]
) -> AsyncGenerator[ExecStream, None]:
    """Create an exec instance, start it, and hold its connection."""
    created = await docker.request("POST", f"{container_path}/exec", json=document)
    exec_id: str = created.json()["Id"]
    tty: bool = document["Tty"]
    path = f"/exec/{path_segment(exec_id, 'exec id')}/start"
    async with (
        docker.open_request("POST", path, json={"Detach": False, "Tty": tty}, upgrade="tcp") as body,
        aclosing(ExecStream(docker, body, exec_id, tty=tty)) as stream,
    ):
        yield stream
