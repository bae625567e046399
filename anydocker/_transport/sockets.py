"""
Unix and TCP sockets as anyio streams.

Why not anyio's own socket streams: on asyncio those sit on a transport, which reads on its own account and throws
away what it holds when a write fails. An engine that refuses an upload half-way answers, closes, and so makes the
next write fail: its answer would be lost. Here nothing is buffered between the kernel and the reader, so that a
failed write or a cancelled read can take nothing with it.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from anydocker._transport.receivers import make_receiver

__all__ = ("SocketStream", "connect_tcp", "connect_unix")

# Seconds between two attempts on a Unix socket whose backlog is full. There is nothing to wait on.
_BACKLOG_PAUSE: Final = 0.005
_IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN})


class SocketStream(ByteStream):
    """
    A connected, non-blocking socket.

    Attributes:
        receiver: What reads from it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.receiver = make_receiver(sock)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Receive what is there, or wait for it. A cancelled call has taken nothing."""
        try:
            data = await self.receiver.receive(max_bytes)
        except OSError as exc:
            raise self._reason(exc) from exc
        if not data:
            raise EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        """Send all of ``item``. A cancelled call may have sent a part of it. Yields only if it has to wait."""
        await checkpoint_if_cancelled()
        rest = memoryview(item)
        while rest:
            rest = rest[await self.send_some(rest) :]

    async def send_some(self, item: bytes | memoryview) -> int:
        """Send as much of ``item`` as there is room for; return how much that was. A cancelled call sends nothing."""
        while True:
            try:
                return self._socket.send(item)
            except BlockingIOError:
                await anyio.wait_writable(self._socket)
            except OSError as exc:
                raise self._reason(exc) from exc

    async def send_eof(self) -> None:
        """Close the sending half; receiving goes on."""
        await checkpoint()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as exc:
            if exc.errno != errno.ENOTCONN:
                raise self._reason(exc) from exc

    async def aclose(self) -> None:
        """Close the socket, at once."""
        if self._socket.fileno() >= 0:
            self.receiver.close()
            self._socket.close()
        await checkpoint()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The raw socket, for those who know what they do."""
        return {SocketAttribute.raw_socket: lambda: self._socket}

    def _reason(self, exc: OSError) -> Exception:
        if self._socket.fileno() < 0:
            return ClosedResourceError()
        return BrokenResourceError(os.strerror(exc.errno) if exc.errno else str(exc))


async def connect_unix(path: str) -> SocketStream:
    """Connect to a Unix socket; raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await _connect(sock, path)
    return SocketStream(sock)


async def connect_tcp(host: str, port: int) -> SocketStream:
    """Connect to the first address of a host that accepts; raises OSError."""
    addresses = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failed: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            await _connect(sock, address)
        except OSError as exc:
            failed = exc
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return SocketStream(sock)
    raise failed


async def _connect(sock: socket.socket, address: Any) -> None:
    try:
        sock.setblocking(False)
        await checkpoint()
        while code := sock.connect_ex(address):
            if code not in _IN_PROGRESS:
                raise OSError(code, os.strerror(code))
            if sock.family != socket.AF_UNIX:
                await _connected(sock)
                return
            await anyio.sleep(_BACKLOG_PAUSE)
    except BaseException:
        sock.close()
        raise


async def _connected(sock: socket.socket) -> None:
    await anyio.wait_writable(sock)
    if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(code, os.strerror(code))
