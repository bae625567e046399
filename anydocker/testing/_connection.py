"""The scripted engine's end of one connection."""

from __future__ import annotations

import array
import fcntl
import select
import socket
import termios
from collections.abc import Callable, Mapping
from typing import Any, Final, final
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs
import h11
from anyio import BrokenResourceError, EndOfStream, wait_readable
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint

__all__ = ("Connection", "Request", "RequestReader")

_READ_BYTES: Final = 65536
# A client that is going to read does so after two or three; the rest are for one that has more to do first.
_MAX_ROUNDS: Final = 50


@final
@attrs.frozen(kw_only=True)
class Request:
    """
    A request as it arrived.

    Attributes:
        method: ``GET``, ``POST``, ...
        path: Decoded, without the version and the query: ``/containers/json``.
        version: The version in front of it, such as ``1.45``, or None.
        query: The query's values; of a repeated key, the last one.
        headers: By lower-case name.
        body: All of it, decoded from chunks; empty where the reply comes before the body.
        target: Path and query as they were sent.
    """

    method: str
    path: str
    version: str | None
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    target: str


@final
class Connection(ByteStream):
    """
    A byte stream that can also be reset, and that can tell what its peer has done.

    To close a unix socket while it holds an unread byte is what makes the peer read a reset. So the last byte
    of every read stays in the socket, already looked at, until the next read or the close.
    """

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._socket: socket.socket = stream.extra(SocketAttribute.raw_socket)
        self._returned = b""
        self._holds_byte = False

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._stream.extra_attributes

    async def receive(self, max_bytes: int = _READ_BYTES) -> bytes:
        await checkpoint()
        if self._returned:
            data, self._returned = self._returned[:max_bytes], self._returned[max_bytes:]
            return data
        self._drop_held_byte()
        while True:
            await wait_readable(self._socket)
            try:
                return self._look(max_bytes)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise BrokenResourceError from exc

    def _look(self, max_bytes: int) -> bytes:
        data = self._socket.recv(max_bytes, socket.MSG_PEEK)
        if not data:
            raise EndOfStream
        if len(data) > 1:
            self._socket.recv(len(data) - 1)
        self._holds_byte = True
        return data

    def _drop_held_byte(self) -> None:
        if self._holds_byte:
            self._holds_byte = False
            self._socket.recv(1)

    def put_back(self, data: bytes) -> None:
        """Make ``data`` what the next read returns first."""
        self._returned = data + self._returned

    async def send(self, item: bytes) -> None:
        await self._stream.send(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        if self._socket.fileno() != -1:
            self._drop_held_byte()
        await self._stream.aclose()

    async def reset(self) -> None:
        """Close, and have the peer read a reset behind what was sent. At least one byte was read before."""
        await self._stream.aclose()

    @property
    def is_open(self) -> bool:
        """Whether both ends are open."""
        if self._socket.fileno() == -1:
            return False
        poll = select.poll()
        poll.register(self._socket, 0)
        return not any(events & select.POLLHUP for _, events in poll.poll(0))

    async def let_peer_read(self) -> None:
        """Give a client in this event loop the time to read what was sent, but do not insist."""
        for _ in range(_MAX_ROUNDS):
            await checkpoint()
            if not self._unread_by_peer():
                break
        # What the peer's event loop has read, the peer's task gets in the next round.
        await checkpoint()

    def _unread_by_peer(self) -> int:
        size = array.array("i", (0,))
        fcntl.ioctl(self._socket, termios.TIOCOUTQ, size)
        return size[0]


@final
class RequestReader:
    """Reads one request: the head first, then the body or not. h11 does the framing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._h11 = h11.Connection(h11.SERVER)

    async def read_head(self) -> Request | None:
        """The request without its body, or None if the client left before it was complete."""
        await checkpoint()
        try:
            event = await self._next_event()
        except EndOfStream:
            return None
        assert isinstance(event, h11.Request), event
        return _request(event)

    async def read_body(self) -> bytes:
        """
        The body. What came behind it is put back.

        Raises:
            EndOfStream: The client closed the connection before it was complete.
        """
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
        self._connection.put_back(self._h11.trailing_data[0])
        return bytes(body)

    async def _next_event(self) -> h11.Event:
        await checkpoint()
        while not isinstance(event := self._h11.next_event(), h11.Event):
            self._h11.receive_data(await self._connection.receive())
        return event


def _request(event: h11.Request) -> Request:
    target = event.target.decode("ascii")
    parts = urlsplit(target)
    version, path = _split_version(parts.path)
    return Request(
        method=event.method.decode("ascii"),
        path=unquote(path),
        version=version,
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers={name.decode("ascii"): value.decode("latin-1") for name, value in event.headers},
        target=target,
    )


def _split_version(path: str) -> tuple[str | None, str]:
    first, slash, rest = path.removeprefix("/").partition("/")
    major, dot, minor = first.removeprefix("v").partition(".")
    if first.startswith("v") and dot and major.isdigit() and minor.isdigit():
        return first[1:], slash + rest
    return None, path
