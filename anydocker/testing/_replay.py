"""An engine in memory, for what has to be tried at every byte of an answer."""
# ruff: noqa: ARG002 - the signatures are httpcore's

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import Any, Final, final
from urllib.parse import unquote, urlsplit

import attrs
import h11
import httpcore
from anyio import ClosedResourceError, Event, sleep, sleep_forever
from anyio.lowlevel import checkpoint

from anydocker.testing._replies import Reply, json_reply

__all__ = ("ReplayBackend",)

_VERSION: Final = re.compile(r"/v[0-9]+\.[0-9]+(?=/)")


def _copied(routes: Mapping[str, Reply]) -> dict[str, Reply]:
    return dict(routes)


class _Mark(Enum):
    STALL = auto()
    END = auto()
    RESET = auto()


@final
@attrs.define(eq=False)
class ReplayBackend(httpcore.AsyncNetworkBackend):
    """
    An engine in memory: ``anydocker.connect(network_backend=ReplayBackend({"GET /info": reply}))``.

    It has no socket and no task, so thousands of damaged answers take seconds, and each of them happens in the same
    way on every run. Where the socket matters use :func:`~anydocker.testing.scripted_engine`, whose keys and
    replies these are. ``/_ping`` is answered unless there is a route for it; what has no route gets status 404.

    A reply that stalls does so once: the read that has come to ``stall_at`` calls ``on_stall`` and waits for
    :meth:`resume`. If it is cancelled, the next one goes on.

    Attributes:
        routes: The script. It may be changed at any time; the next request sees the change.
        on_stall: What a stalled read calls, such as the ``cancel`` of a cancel scope.
        requests: Every request, as ``"METHOD /path"``, in order.
        open_connections: How many connections have not been closed.
    """

    routes: dict[str, Reply] = attrs.field(converter=_copied)
    api_version: str = attrs.field(default="1.45", kw_only=True)
    on_stall: Callable[[], object] = attrs.field(default=lambda: None, kw_only=True)
    requests: list[str] = attrs.field(factory=list[str], init=False)
    open_connections: int = attrs.field(default=0, init=False)
    _resumed: Event = attrs.field(factory=Event, init=False)

    def resume(self) -> None:
        """Let all stalled reads go on."""
        self._resumed.set()
        self._resumed = Event()

    async def stall(self) -> None:
        """Wait as a stalled read does."""
        resumed = self._resumed  # taken before the call, which may be what resumes it
        self.on_stall()
        await resumed.wait()

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Open a connection; any path will do."""
        await checkpoint()
        return _ReplayStream(self)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a connection; any host will do."""
        await checkpoint()
        return _ReplayStream(self)

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await sleep(seconds)

    def find_reply(self, request: str) -> Reply:
        """The reply to ``"METHOD /path"``."""
        if request in self.routes:
            return self.routes[request]
        for pattern, reply in self.routes.items():
            if fnmatchcase(request, pattern):
                return reply
        if request == "HEAD /_ping":
            head = f"HTTP/1.1 200 OK\r\nApi-Version: {self.api_version}\r\nOstype: linux\r\nContent-Length: 2\r\n\r\n"
            return Reply(head.encode("ascii"), keep_alive=True)
        return json_reply({"message": "page not found"}, 404)


@final
class _ReplayStream(httpcore.AsyncNetworkStream):
    """One connection, seen from the client: what is written to it decides what is read from it."""

    def __init__(self, backend: ReplayBackend) -> None:
        self._backend = backend
        self._requests: h11.Connection | None = h11.Connection(h11.SERVER)
        self._reply: Reply | None = None
        self._output: deque[bytes | _Mark] = deque()
        self._closed = False
        backend.open_connections += 1

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await checkpoint()
        self._check_open()
        if not self._output:
            await sleep_forever()
        match item := self._output.popleft():
            case bytes():
                if item[max_bytes:]:
                    self._output.appendleft(item[max_bytes:])
                return item[:max_bytes]
            case _Mark.STALL:
                await self._backend.stall()
                return await self.read(max_bytes)
            case _Mark.END:
                self._output.append(item)
            case _Mark.RESET:
                self._output.append(item)
                raise httpcore.ReadError("reset")
        return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await checkpoint()
        self._check_open()
        if self._reply is not None and self._reply.before_body:
            raise httpcore.WriteError("broken pipe")
        if self._requests is not None:
            self._requests.receive_data(buffer)
            self._take_requests(self._requests)

    def _take_requests(self, requests: h11.Connection) -> None:
        while isinstance(event := requests.next_event(), h11.Event):
            if isinstance(event, h11.Request):
                self._reply = self._backend.find_reply(self._note(event))
                if self._reply.before_body:
                    self._answer(self._reply)
            if isinstance(event, h11.EndOfMessage) and self._reply is not None:
                self._answer(self._reply)
                return

    def _note(self, request: h11.Request) -> str:
        path = _VERSION.sub("", urlsplit(request.target.decode("ascii")).path, count=1)
        name = f"{request.method.decode('ascii')} {unquote(path)}"
        self._backend.requests.append(name)
        return name

    def _answer(self, reply: Reply) -> None:
        for offset, piece in reply.pieces():
            self._output += (_Mark.STALL, piece) if offset == reply.stall_at else (piece,)
        if reply.stall_at == reply.end:
            self._output.append(_Mark.STALL)
        if reply.closes:
            self._output.append(_Mark.RESET if reply.reset else _Mark.END)
        # What is sent on a connection that carries no other request is input for a process.
        self._requests = None if reply.closes else h11.Connection(h11.SERVER)

    async def send_eof(self) -> None:
        """Accept the end of the input."""
        await checkpoint()
        self._check_open()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._backend.open_connections -= 1
        await checkpoint()

    def get_extra_info(self, info: str) -> Any:
        return bool(self._output) if info == "is_readable" else None

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError
