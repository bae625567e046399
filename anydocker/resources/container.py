"""The handle on one container."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, final

import anyio
import attrs

from anydocker._wire.query import encode_timestamp, path_segment
from anydocker.errors import ContainerFailed, ExecFailed, TruncatedStream
from anydocker.resources._conversation import Input, converse
from anydocker.resources.exec import SETTLE_SECONDS, ExecStream, exec_document, open_exec
from anydocker.streams import (
    AttachStream,
    BodyStream,
    Completed,
    Output,
    OutputStream,
    PendingExit,
    Stats,
    StatsStream,
)

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker.types import (
        ContainerInspectResponse,
        ContainerSummary,
        ContainerTopResponse,
        FilesystemChange,
    )

__all__ = ("Container", "WaitCondition")

WaitCondition: TypeAlias = Literal["not-running", "next-exit", "removed"]
"""Not running (at once if it is not), its next exit, or its removal."""

_MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
_RAW = "application/vnd.docker.raw-stream"


@final
@attrs.frozen
class Container:
    """
    A handle on a container; made by ``d.containers``.

    Attributes:
        id: The id; for a handle from ``d.containers.container()`` what that was given.
        name: The name, without a leading slash; None where it is not known: the engine chose it on creation.
        summary: The document of the listing it comes from; None for others.
    """

    id: str
    name: str | None = attrs.field(default=None, eq=False)
    summary: ContainerSummary | None = attrs.field(default=None, eq=False, repr=False)
    _docker: Docker = attrs.field(kw_only=True, eq=False, repr=False, alias="docker")

    @property
    def _path(self) -> str:
        return f"/containers/{path_segment(self.id.removeprefix('/'), 'container')}"

    # -- state

    async def inspect(self, *, size: bool = False) -> ContainerInspectResponse:
        """
        The engine's document about this container.

        ``GET /containers/{id}/json`` (``ContainerInspect``).

        Args:
            size: Have ``SizeRw`` and ``SizeRootFs`` reckoned, which takes a while.

        Raises:
            NotFound: There is no such container.
        """
        response = await self._docker.request("GET", f"{self._path}/json", query={"size": size or None})
        return cast("ContainerInspectResponse", response.json())

    async def start(self) -> bool:
        """
        Start the container.

        ``POST /containers/{id}/start`` (``ContainerStart``).

        Returns:
            False if it was running already.

        Raises:
            NotFound: There is no such container.
            BadRequest: Its command cannot be started.

        If cancelled: it may be started.
        """
        return await self._act("start")

    async def stop(self, *, signal: str | None = None, grace_seconds: int | None = None) -> bool:
        """
        Stop the container; the engine kills it when the grace period is over.

        ``POST /containers/{id}/stop`` (``ContainerStop``).

        Args:
            signal: Name or number, such as ``"SIGINT"``. Default: the container's own, or SIGTERM. API 1.42.
            grace_seconds: Whole seconds; 0 kills at once, -1 waits for ever. Default: the container's own, or ten.

        Returns:
            False if it was not running.

        Raises:
            NotFound: There is no such container.
            UnsupportedByEngine: ``signal`` is given and a lower version is spoken.

        If cancelled: the engine may go on stopping it.
        """
        if signal is not None:
            self._docker.require("1.42", "stop(signal=...)")
        return await self._act("stop", signal=signal, t=grace_seconds)

    async def restart(self, *, signal: str | None = None, grace_seconds: int | None = None) -> None:
        """
        Stop the container, as :meth:`stop` does, and start it.

        ``POST /containers/{id}/restart`` (``ContainerRestart``). Arguments and errors are those of :meth:`stop`.

        If cancelled: the engine may go on; the container may be left stopped.
        """
        if signal is not None:
            self._docker.require("1.42", "restart(signal=...)")
        await self._act("restart", signal=signal, t=grace_seconds)

    async def kill(self, signal: str = "SIGKILL") -> None:
        """
        Send a signal to the main process.

        ``POST /containers/{id}/kill`` (``ContainerKill``).

        Args:
            signal: Name or number.

        Raises:
            NotFound: There is no such container.
            Conflict: It is not running.

        If cancelled: the signal may have been sent.
        """
        await self._act("kill", signal=signal)

    async def pause(self) -> None:
        """
        Suspend every process: ``POST /containers/{id}/pause`` (``ContainerPause``).

        Raises:
            Conflict: It is not running, or suspended already.
        """
        await self._act("pause")

    async def unpause(self) -> None:
        """
        Let every process go on: ``POST /containers/{id}/unpause`` (``ContainerUnpause``).

        Raises:
            Conflict: It is not suspended. (Docker 20.10 answers 500: EngineFault.)
        """
        await self._act("unpause")

    async def rename(self, name: str) -> None:
        """
        Give it another name; this handle keeps the name it has.

        ``POST /containers/{id}/rename`` (``ContainerRename``).

        Raises:
            Conflict: The name is taken.
        """
        await self._act("rename", name=name)

    async def _act(self, verb: str, **query: str | int | None) -> bool:
        path = f"{self._path}/{verb}"
        response = await self._docker.request("POST", path, query=query, own_connection=True)
        return response.status != 304

    async def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """
        Remove the container.

        ``DELETE /containers/{id}`` (``ContainerDelete``).

        Args:
            force: Kill it first if it is running.
            volumes: Remove its unnamed volumes, too.

        Raises:
            NotFound: There is no such container.
            Conflict: It is running and ``force`` is not given, or it is being removed already.

        If cancelled: it may have been removed.
        """
        query = {"force": force, "v": volumes}
        await self._docker.request("DELETE", self._path, query=query, own_connection=True)

    # -- exit

    async def wait(self, condition: WaitCondition = "not-running") -> int:
        """
        Wait for the container to end.

        ``POST /containers/{id}/wait`` (``ContainerWait``). To be sure not to miss the end, open the wait before
        the start: :meth:`open_wait`.

        Args:
            condition: What to wait for.

        Returns:
            The exit code.

        Raises:
            NotFound: There is no such container.
            StreamError: The engine could not wait; it says why.

        If cancelled: nothing is left behind.
        """
        async with self.open_wait(condition) as pending:
            return await pending.exit_code()

    @asynccontextmanager
    async def open_wait(self, condition: WaitCondition = "next-exit") -> AsyncGenerator[PendingExit, None]:
        """
        Begin to wait, and do something else meanwhile, such as starting the container.

        The arguments are those of :meth:`wait`. The engine waits from the moment the block is entered.

        Yields:
            The exit to come: ``await pending.exit_code()``.
        """
        path = f"{self._path}/wait"
        async with self._docker.open_request("POST", path, query={"condition": condition}) as body:
            yield PendingExit(body)

    # -- output

    async def logs(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        tail: int | None = None,
        timestamps: bool = False,
        details: bool = False,
    ) -> Output:
        """
        What the container has written so far; :meth:`open_logs` explains the arguments.

        Returns:
            The output, both streams apart and in order.
        """
        async with self.open_logs(
            stdout=stdout,
            stderr=stderr,
            since=since,
            until=until,
            tail=tail,
            timestamps=timestamps,
            details=details,
        ) as stream:
            return await stream.read()

    @asynccontextmanager
    async def open_logs(
        self,
        *,
        follow: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        tail: int | None = None,
        timestamps: bool = False,
        details: bool = False,
    ) -> AsyncGenerator[OutputStream, None]:
        """
        Read what the container has written, and what it goes on writing.

        ``GET /containers/{id}/logs`` (``ContainerLogs``). The engine has no logs if the container's log driver
        keeps none.

        Args:
            follow: Go on until the container stops.
            stdout: With standard output.
            stderr: With standard error.
            since: Only what was written since then: Unix seconds, or a datetime with a time zone.
            until: Only what was written up to then.
            tail: Only so many lines from the end, of what there is at first.
            timestamps: Begin every line with its time, as RFC 3339.
            details: Begin every line with the extra attributes of the log driver.

        Yields:
            The output: iterate for frames, or over ``lines()``.

        Raises:
            NotFound: There is no such container.
            ValueError: Neither stream is asked for, or a time or ``tail`` is out of range.
        """
        if not (stdout or stderr):
            raise ValueError("logs of neither stream: leave stdout or stderr True")
        if tail is not None and tail < 0:
            msg = f"tail={tail!r}: a number of lines, or None for all"
            raise ValueError(msg)
        query = {
            "follow": follow,
            "stdout": stdout,
            "stderr": stderr,
            "since": None if since is None else encode_timestamp(since, "since"),
            "until": None if until is None else encode_timestamp(until, "until"),
            "tail": tail,
            "timestamps": timestamps,
            "details": details,
        }
        async with self._docker.open_request("GET", f"{self._path}/logs", query=query) as body:
            tty = await self._has_terminal(body, labelled=True)
            async with aclosing(OutputStream(body, tty=tty)) as stream:
                yield stream

    async def _has_terminal(self, body: BodyStream, *, labelled: bool) -> bool:
        """
        Whether the output comes without frames.

        From API 1.42 on the label on the answer tells; Podman puts the same one on both kinds, and older engines put
        none on logs. There the container's configuration decides.
        """
        media_type = body.headers.get("content-type")
        if media_type == _MULTIPLEXED:
            return False
        if media_type == _RAW and labelled and self._docker.speaks("1.42") and not self._docker.is_podman:
            return True
        return bool(((await self.inspect()).get("Config") or {}).get("Tty"))

    # -- attach

    async def attach(self, *, input: Input = None, logs: bool = False, check: bool = False) -> Completed:
        """
        Attach to a container, feed it, and collect its output until it ends.

        ``POST /containers/{id}/attach`` (``ContainerAttach``).

        Args:
            input: What to send to its standard input, which is closed then: bytes, or a stream of them. The
                container needs to have been created with ``stdin=True``.
            logs: Begin with what it has written before.
            check: Raise if the exit code is not 0.

        Returns:
            Its exit code and output.

        Raises:
            NotFound: There is no such container.
            ContainerFailed: ``check`` is given and its exit code is not 0.
            TruncatedStream: The output has ended, but the container runs on.

        If cancelled: the container goes on; what has been received is lost.
        """
        async with (
            self.open_wait("next-exit" if await self._is_created() else "not-running") as pending,
            self.open_attach(stdin=input is not None, logs=logs) as stream,
        ):
            output = await converse(stream, input)
            code = await exit_code_after_output(pending)
        if check and code != 0:
            raise ContainerFailed(f"container {self.name or self.id}", code, output.stdout, output.stderr)
        return Completed(code, output.stdout, output.stderr)

    async def _is_created(self) -> bool:
        return ((await self.inspect()).get("State") or {}).get("Status") == "created"

    @asynccontextmanager
    async def open_attach(
        self,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        logs: bool = False,
        detach_keys: str | None = None,
    ) -> AsyncGenerator[AttachStream, None]:
        """
        Connect to the main process: its output from now on, and its input.

        ``POST /containers/{id}/attach`` (``ContainerAttach``). Attached to a container that has not been started,
        it loses no byte of its output.

        An upgraded connection has no end mark: the end of the output and a cut on the border of a frame look the
        same. Ask for the state of the container where that matters; :meth:`attach` and ``run`` do.

        Args:
            stdin: Connect its standard input, if it was created with ``stdin=True``.
            stdout: Connect its standard output.
            stderr: Connect its standard error.
            logs: Begin with what it has written before.
            detach_keys: The keys that end the connection, such as ``"ctrl-p,ctrl-q"``. Only with a terminal.

        Yields:
            The connection: ``send``, ``send_eof``, ``async for``.

        Raises:
            NotFound: There is no such container.
            Conflict: It is suspended.
        """
        query = {
            "stream": True,
            "stdin": stdin,
            "stdout": stdout,
            "stderr": stderr,
            "logs": logs,
            "detachKeys": detach_keys,
        }
        path = f"{self._path}/attach"
        async with self._docker.open_request("POST", path, query=query, upgrade="tcp") as body:
            # An upgrade that was answered with 200 is always labelled raw.
            tty = await self._has_terminal(body, labelled=body.status == 101)
            async with aclosing(AttachStream(body, tty=tty)) as stream:
                yield stream

    async def resize(self, *, rows: int, columns: int) -> None:
        """
        Tell the container's terminal how large it is: ``POST /containers/{id}/resize`` (``ContainerResize``).

        Args:
            rows: Its height in characters.
            columns: Its width in characters.

        Raises:
            NotFound: There is no such container.
            Conflict: It is not running.
        """
        await self._act("resize", h=rows, w=columns)

    # -- exec

    async def exec(
        self,
        command: Sequence[str],
        *,
        input: Input = None,
        check: bool = True,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        tty: bool = False,
        privileged: bool = False,
    ) -> Completed:
        """
        Execute a command in the container, to its end.

        ``POST /containers/{id}/exec`` (``ContainerExec``), ``POST /exec/{id}/start`` (``ExecStart``).

        Args:
            command: The words of the command.
            input: What to send to its standard input, which is closed then: bytes, or a stream of them.
            check: Raise if the exit code is not 0.
            env: Environment variables, beside those of the container.
            user: User, or ``user:group``, by name or number. Default: the container's.
            workdir: The directory to run it in. Default: the container's.
            tty: Give it a terminal: then all output is stdout.
            privileged: Give it all capabilities.

        Returns:
            Its exit code and output. A command that does not exist has 126 or 127, and the engine's words as output.

        Raises:
            NotFound: There is no such container.
            Conflict: It is not running.
            ExecFailed: The exit code is not 0.
            TruncatedStream: The output has ended, but the command runs on.

        If cancelled: what has been received is lost, and the command goes on in the container.
        """
        async with self.open_exec(
            command,
            env=env,
            user=user,
            workdir=workdir,
            tty=tty,
            stdin=input is not None,
            privileged=privileged,
        ) as stream:
            output = await converse(stream, input)
            code = await stream.wait()
        if check and code != 0:
            raise ExecFailed(f"exec {list(command)!r}", code, output.stdout, output.stderr)
        return Completed(code, output.stdout, output.stderr)

    @asynccontextmanager
    async def open_exec(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        tty: bool = False,
        stdin: bool = True,
        privileged: bool = False,
        detach_keys: str | None = None,
    ) -> AsyncGenerator[ExecStream, None]:
        """
        Execute a command in the container, and talk to it.

        The arguments are those of :meth:`exec`, and:

        Args:
            command: The words of the command.
            env: Environment variables.
            user: User, or ``user:group``.
            workdir: The directory to run it in.
            tty: Give it a terminal.
            stdin: Connect its standard input; otherwise it has none.
            privileged: Give it all capabilities.
            detach_keys: The keys that end the connection, such as ``"ctrl-p,ctrl-q"``. Only with a terminal.

        Yields:
            The running command: ``send``, ``send_eof``, ``async for``, ``wait``, ``resize``. Like every upgraded
            connection it has no end mark; ``wait`` asks the engine whether the end of the output was one.

        Raises:
            NotFound: There is no such container.
            Conflict: It is not running.
        """
        document = exec_document(
            command,
            env=env,
            user=user,
            workdir=workdir,
            tty=tty,
            stdin=stdin,
            privileged=privileged,
            detach_keys=detach_keys,
        )
        async with open_exec(self._docker, self._path, document) as stream:
            yield stream

    # -- what it uses, what it runs

    async def stats(self) -> Stats:
        """
        One sample of what the container uses, taken over a second or two.

        ``GET /containers/{id}/stats?stream=0`` (``ContainerStats``).

        Raises:
            NotFound: There is no such container.
        """
        path = f"{self._path}/stats"
        response = await self._docker.request("GET", path, query={"stream": False}, own_connection=True)
        return Stats(response.json())

    @asynccontextmanager
    async def open_stats(self) -> AsyncGenerator[StatsStream, None]:
        """
        Samples of what the container uses, one a second, until it is removed.

        ``GET /containers/{id}/stats`` (``ContainerStats``).

        Yields:
            Samples, as :class:`~anydocker.Stats` values. The first has no CPU figure: there is none before it.

        Raises:
            NotFound: There is no such container.
        """
        path = f"{self._path}/stats"
        async with (
            self._docker.open_request("GET", path, query={"stream": True}) as body,
            aclosing(StatsStream(body)) as samples,
        ):
            yield samples

    async def top(self, ps_args: str | None = None) -> ContainerTopResponse:
        """
        The processes of the container: ``GET /containers/{id}/top`` (``ContainerTop``).

        Args:
            ps_args: Options for ``ps``, such as ``"aux"``.

        Returns:
            ``Titles`` of the columns, and ``Processes`` with a list of texts for each.

        Raises:
            Conflict: It is not running. (Some engines answer 500: EngineFault.)
        """
        response = await self._docker.request("GET", f"{self._path}/top", query={"ps_args": ps_args})
        return cast("ContainerTopResponse", response.json())

    async def changes(self) -> list[FilesystemChange]:
        """What differs from the image: ``GET /containers/{id}/changes`` (``ContainerChanges``)."""
        response = await self._docker.request("GET", f"{self._path}/changes")
        return cast("list[FilesystemChange]", response.json() or [])

    async def update(self, config: Mapping[str, Any]) -> list[str]:
        """
        Change limits and restart policy of a container.

        ``POST /containers/{id}/update`` (``ContainerUpdate``).

        Args:
            config: The document with what to change, such as ``{"Memory": 64 << 20}``.

        Returns:
            Warnings.
        """
        response = await self._docker.request("POST", f"{self._path}/update", json=dict(config))
        return list(response.json().get("Warnings") or [])


async def exit_code_after_output(pending: PendingExit) -> int:
    """The exit code, once the output has ended; it has to come soon, or the end of the output was none."""
    with anyio.move_on_after(SETTLE_SECONDS):
        return await pending.exit_code()
    raise TruncatedStream("the output has ended, but the engine says that the container runs on")
