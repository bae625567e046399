"""An engine that does what a real one will not do on demand."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Final, TypeAlias, final

import attrs
from anyio import BrokenResourceError, EndOfStream, Event, create_unix_listener, sleep
from anyio.abc import ByteStream, SocketStream
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync

from anydocker._concurrency import finish_within, hidden_task_group
from anydocker.testing._connection import Connection, Request, RequestReader
from anydocker.testing._directory import make_directory
from anydocker.testing._replies import Reply, json_reply

__all__ = ("Handler", "Route", "ScriptedEngine", "scripted_engine")

Handler: TypeAlias = Callable[[Request, ByteStream], "Awaitable[Reply | None] | Reply | None"]
Route: TypeAlias = Reply | Sequence[Reply] | Handler

_PAUSE: Final = 0.001
_CLEAN_UP_SECONDS: Final = 10.0


@final
@attrs.define(eq=False)
class ScriptedEngine:
    """
    A running script, made by :func:`scripted_engine`.

    Attributes:
        host: Its address, for :func:`anydocker.connect`: ``unix:///.../d.sock``.
        routes: The script. It may be changed at any time; the next request sees the change.
        requests: Every request whose head, and body unless it was not wanted, has arrived, in order.
    """

    host: str
    routes: dict[str, Route]
    requests: list[Request] = attrs.field(factory=list[Request], init=False)
    _defaults: Mapping[str, Route] = attrs.field(alias="_defaults")
    _turns: dict[str, int] = attrs.field(factory=dict[str, int], init=False)
    _open: set[Connection] = attrs.field(factory=set[Connection], init=False)
    _stalled: int = attrs.field(default=0, init=False)
    _resumed: Event = attrs.field(factory=Event, init=False)

    @property
    def connections(self) -> int:
        """How many connections are open, at both ends, this very moment."""
        return sum(connection.is_open for connection in self._open)

    @property
    def stalled(self) -> int:
        """How many replies wait for :meth:`resume`."""
        return self._stalled

    async def wait_connections(self, count: int) -> None:
        """Wait until exactly ``count`` connections are open; with a leak, for ever: bring a deadline."""
        await _until(lambda: self.connections == count)

    async def wait_stalled(self, count: int = 1) -> None:
        """Wait until ``count`` replies or more have written what they write before they stall."""
        await _until(lambda: self._stalled >= count)

    def resume(self) -> None:
        """Let all stalled replies go on."""
        self._resumed.set()
        self._resumed = Event()

    async def serve(self, stream: SocketStream) -> None:
        """Answer the requests of one connection until it is closed."""
        # No checkpoint before the stream has somebody who closes it: the script may end just now.
        connection = Connection(stream)
        self._open.add(connection)
        try:
            async with connection:
                await self._answer_all(connection)
        finally:
            self._open.discard(connection)

    async def _answer_all(self, connection: Connection) -> None:
        await checkpoint()
        try:
            while await self._exchange(connection):
                pass
        except (BrokenResourceError, EndOfStream):
            # A client may leave at any time. That a handler broke its own stream is an error of the script.
            if connection.is_open:
                raise

    async def _exchange(self, connection: Connection) -> bool:
        reader = RequestReader(connection)
        request = await reader.read_head()
        if request is None:
            return False
        step = self._next_step(request)
        if not (isinstance(step, Reply) and step.before_body):
            request = attrs.evolve(request, body=await reader.read_body())
        self.requests.append(request)
        reply = step if isinstance(step, Reply) else await _call(step, request, connection)
        return reply is not None and await self._write(reply, connection)

    def _next_step(self, request: Request) -> Reply | Handler:
        key, route = self._find_route(f"{request.method} {request.path}")
        if isinstance(route, Reply) or callable(route):
            return route
        turn = self._turns.get(key, 0)
        self._turns[key] = turn + 1
        return route[min(turn, len(route) - 1)]

    def _find_route(self, wanted: str) -> tuple[str, Route]:
        if wanted in self.routes:
            return wanted, self.routes[wanted]
        for pattern, route in (*self.routes.items(), *self._defaults.items()):
            if fnmatchcase(wanted, pattern):
                return pattern, route
        return wanted, _not_found

    async def _write(self, reply: Reply, connection: Connection) -> bool:
        await checkpoint()
        for offset, piece in reply.pieces():
            if offset == reply.stall_at:
                await self._stall()
            await connection.send(piece)
            await connection.let_peer_read()
        if reply.stall_at == reply.end:
            await self._stall()
        if reply.reset:
            await connection.reset()
        return not reply.closes

    async def _stall(self) -> None:
        self._stalled += 1
        try:
            await self._resumed.wait()
        finally:
            self._stalled -= 1


@asynccontextmanager
async def scripted_engine(
    routes: Mapping[str, Route] | None = None, *, api_version: str = "1.45"
) -> AsyncGenerator[ScriptedEngine, None]:
    """
    Play the engine on a unix socket for the length of the block.

    A route's key is ``"METHOD /path"``, the path decoded and without version and query; patterns such as
    ``"* /containers/*/json"`` (:mod:`fnmatch`) are tried in order after an exact match. Its value is a
    :class:`Reply`; a sequence of them, used in turn, the last one for good; or a function, sync or async,
    that gets the request and the connection's stream. It may return a reply to be written. If it returns
    None it has done everything itself, and the connection is closed.

    ``/_ping`` and ``/version`` are answered unless routes for them are given, and whatever has no route is
    answered with status 404, as an engine does. An error in a function, or a request that is not HTTP, is
    raised in the block. Leaving the block closes every connection.

    Args:
        routes: The script.
        api_version: The API version it claims to speak.

    Yields:
        The engine, already listening.

    Raises:
        h11.RemoteProtocolError: A client sent something that is not HTTP.
    """
    directory = await run_sync(make_directory)
    try:
        socket = directory / "d.sock"
        async with await create_unix_listener(socket) as listener, hidden_task_group() as tasks:
            engine = ScriptedEngine(f"unix://{socket}", dict(routes or {}), _defaults=_defaults(api_version))
            tasks.start_soon(listener.serve, engine.serve, tasks)
            yield engine
    finally:
        # finish_within is the shield.
        await finish_within(_CLEAN_UP_SECONDS, partial(run_sync, partial(_remove, directory)))  # noqa: ASYNC102


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


async def _call(handler: Handler, request: Request, stream: ByteStream) -> Reply | None:
    await checkpoint()
    answer = handler(request, stream)
    return await answer if isawaitable(answer) else answer


async def _until(condition: Callable[[], bool]) -> None:
    await checkpoint()
    # There is no event to wait for: what a client does to its sockets only shows in ours.
    while not condition():  # noqa: ASYNC110
        await sleep(_PAUSE)


def _defaults(api_version: str) -> dict[str, Route]:
    head = (
        f"HTTP/1.1 200 OK\r\nApi-Version: {api_version}\r\nBuilder-Version: 2\r\nOstype: linux\r\n"
        "Server: Docker/scripted (linux)\r\nCache-Control: no-cache, no-store, must-revalidate\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\n"
    ).encode("ascii")
    version = {"Version": "scripted", "ApiVersion": api_version, "MinAPIVersion": "1.24", "Os": "linux"}
    return {
        "GET /_ping": Reply(head + b"OK", keep_alive=True),
        "HEAD /_ping": Reply(head, keep_alive=True),
        "GET /version": json_reply(version),
    }


def _not_found(request: Request, _: ByteStream) -> Reply:
    reply = json_reply({"message": "page not found"}, 404)
    if request.method == "HEAD":
        return attrs.evolve(reply, data=reply.data[: reply.head_size])
    return reply
