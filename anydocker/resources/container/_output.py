"""What a container writes and uses: logs, attach, statistics."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Final

import anyio

from anydocker._concurrency import hidden_task_group
from anydocker._wire.checks import check_type
from anydocker._wire.documents import value_at
from anydocker._wire.query import encode_timestamp
from anydocker.errors import ContainerFailed, TruncatedStream, UnsupportedByEngine
from anydocker.resources._conversation import SETTLE_SECONDS, Input, check_input, converse
from anydocker.resources.container._state import ContainerState
from anydocker.streams import (
    AttachStream,
    BodyStream,
    Completed,
    Output,
    OutputStream,
    PendingExit,
    Stats,
    StatsStream,
    WebSocketStream,
)
from anydocker.streams._websocket import websocket_decoder

__all__ = ("ContainerOutput", "exit_code_after_output")

_MULTIPLEXED: Final = "application/vnd.docker.multiplexed-stream"
_RAW: Final = "application/vnd.docker.raw-stream"
# States that only a start leads out of.
_ENDED: Final = frozenset({"exited", "dead"})


class ContainerOutput(ContainerState):
    """The part of the handle that streams what the container writes and uses."""

    __slots__ = ()

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
        check_type("tail", tail, "a number of lines, or None for all", int)
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
        return value_at(await self.inspect(), "Config", "Tty", kind=bool)

    async def attach(self, *, input: Input = None, logs: bool = False, check: bool = False) -> Completed:
        """
        Attach to a container, feed it, and collect its output until it ends. One that has ended already is fed
        nothing.

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
            TruncatedStream: The output has ended, but the container runs on; or it ended just before it could be
                attached to, and its output is only in its logs.

        If cancelled: the container goes on; what has been received is lost.
        """
        check_input(input)
        document = await self.inspect()
        status = value_at(document, "State", "Status", kind=str)
        if status in _ENDED:
            # To an attach the engine would only answer after the next start.
            code = value_at(document, "State", "ExitCode", kind=int)
            output = await self.logs() if logs else Output(())
        else:
            async with (
                self.open_wait("next-exit" if status == "created" else "not-running") as pending,
                self.open_attach(stdin=input is not None, logs=logs) as stream,
            ):
                async with hidden_task_group() as group:
                    group.start_soon(_limit, pending)
                    output = await converse(stream, input)
                code = await exit_code_after_output(pending)
        if check and code != 0:
            raise ContainerFailed(f"container {self.name or self.id}", code, output.stdout, output.stderr)
        return Completed(code, output.stdout, output.stderr)

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

    @asynccontextmanager
    async def open_attach_websocket(
        self,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        logs: bool = False,
        detach_keys: str | None = None,
    ) -> AsyncGenerator[WebSocketStream, None]:
        """
        Connect to the main process as :meth:`open_attach` does, but over a WebSocket.

        ``GET /containers/{id}/attach/ws`` (``ContainerAttachWebsocket``). It takes the extra ``anydocker[websocket]``.
        Its end is marked, so a cut never looks like one; but standard output and standard error come together, and
        standard input cannot be closed.

        Args:
            stdin: Connect its standard input, if it was created with ``stdin=True``.
            stdout: Connect its standard output. Before API 1.42 the engine connects all three, whatever is said here.
            stderr: Connect its standard error.
            logs: Begin with what it has written before.
            detach_keys: The keys that end the connection, such as ``"ctrl-p,ctrl-q"``. Only with a terminal.

        Yields:
            The connection: ``send``, and ``async for`` pieces of the output, as bytes.

        Raises:
            MissingExtra: wsproto is not installed.
            UnsupportedByEngine: It is Podman, which has no such call. Nothing was sent.
            NotFound: There is no such container.
            Conflict: It is suspended.
            ProtocolError: What answers does not speak WebSocket.
        """
        decoder = websocket_decoder()
        if self._docker.is_podman:
            raise UnsupportedByEngine("Podman cannot attach over a WebSocket: use open_attach()")
        query = {
            "stream": True,
            "stdin": stdin,
            "stdout": stdout,
            "stderr": stderr,
            "logs": logs,
            "detachKeys": detach_keys,
        }
        path = f"{self._path}/attach/ws"
        async with self._docker.open_request(
            "GET", path, query=query, headers=decoder.fields, upgrade="websocket"
        ) as body:
            decoder.receive_head(body.status, body.headers)
            async with aclosing(WebSocketStream(body, decoder)) as stream:
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

    async def stats(self) -> Stats:
        """
        One sample of what the container uses, taken over a second or two.

        ``GET /containers/{id}/stats?stream=0`` (``ContainerStats``).

        Raises:
            NotFound: There is no such container.
        """
        path = f"{self._path}/stats"
        response = await self._docker.request("GET", path, query={"stream": False}, own_connection=True)
        return Stats(response.document())

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


async def exit_code_after_output(pending: PendingExit) -> int:
    """The exit code, once the output has ended; it has to come soon, or the end of the output was none."""
    with anyio.move_on_after(SETTLE_SECONDS):
        return await pending.exit_code()
    raise TruncatedStream("the output has ended, but the engine says that the container runs on")


async def _limit(pending: PendingExit) -> None:
    """Fail where output goes on long after the container has ended: it is that of its next start."""
    await pending.exit_code()
    await anyio.sleep(SETTLE_SECONDS)
    raise TruncatedStream("the container ended while it was attached to: see its logs for what it has written")
