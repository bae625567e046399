"""
Raw connections, by httpcore's network interface.

``httpcore.AsyncNetworkBackend`` is the seam: ours dials sockets over anyio streams, and any other backend, such as
a test double or one for vsock, can take its place. What ours adds to a stream is ``send_eof``, without which stdin
of a container cannot be ended while its output is still read.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, cast

import anyio
import httpcore
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream, SocketAttribute
from anyio.to_thread import run_sync

from anydocker._concurrency import without_waiting
from anydocker._endpoint import Endpoint, TLSConfig
from anydocker._transport.sockets import SocketStream, connect_tcp, connect_unix
from anydocker._transport.ssh import connect_ssh
from anydocker._transport.tls import TLSStream, tls_failure
from anydocker.errors import ConnectError

__all__ = ("Backend", "RawStream", "close_now", "dial")


class RawStream(httpcore.AsyncNetworkStream):
    """A raw connection over an anyio byte stream."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._socket = stream.extra(SocketAttribute.raw_socket, None)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Receive up to ``max_bytes``; ``b""`` is the end. ``timeout`` is ignored: the caller has a cancel scope."""
        try:
            return await self._stream.receive(max_bytes)
        except EndOfStream:
            return b""
        except BrokenResourceError as exc:
            raise httpcore.ReadError(str(exc)) from exc

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of ``buffer``. ``timeout`` is ignored: the caller has a cancel scope."""
        try:
            await self._stream.send(buffer)
        except BrokenResourceError as exc:
            raise httpcore.WriteError(str(exc)) from exc

    async def send_eof(self) -> None:
        """Close the sending half; reading goes on."""
        try:
            await self._stream.send_eof()
        except BrokenResourceError as exc:
            raise httpcore.WriteError(str(exc)) from exc

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """``"socket"``, or ``"is_readable"``: whether there is something to read, be it the end."""
        if info == "socket":
            return self._socket
        if info == "is_readable" and self._socket is not None:
            return _is_readable(self._socket)
        return None


def _is_readable(sock: socket.socket) -> bool:
    """Whether there is something to read, the end and errors included, without taking it."""
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


class SocketConnection(RawStream):
    """A raw connection that is a socket: a call is one write, a batch of values one read, with no layers between."""

    def __init__(self, stream: SocketStream) -> None:
        super().__init__(stream)
        self._socket_stream = stream
        self._receive = stream.receiver.receive
        sock = stream.extra(SocketAttribute.raw_socket)
        self._try_to_send = sock.send
        self._try_to_send_parts = sock.sendmsg

    def read(  # pyright: ignore[reportIncompatibleMethodOverride]  # what it calls is a coroutine function
        self, max_bytes: int, timeout: float | None = None
    ) -> Coroutine[Any, Any, bytes]:
        """The same, but that it raises OSError. No coroutine of its own: a read is waited for in as few as can be."""
        return self._receive(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of ``buffer``; a checkpoint only if it has to wait. ``timeout`` is ignored."""
        try:
            sent = self._try_to_send(buffer)
        except OSError:
            sent = 0
        if sent < len(buffer):
            await super().write(buffer[sent:])

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> RawStream:
        """Speak TLS from now on; raises ssl.SSLError. ``timeout`` is ignored: the caller has a cancel scope."""
        stream = TLSStream(self._socket_stream, ssl_context, server_hostname or "")
        try:
            await stream.handshake()
        except BrokenResourceError as exc:
            raise httpcore.ConnectError(str(exc)) from exc
        return RawStream(stream)

    async def write_parts(self, parts: Sequence[bytes]) -> None:
        """Send all of the parts, one behind the other, without a copy of them; otherwise like :meth:`write`."""
        try:
            sent = self._try_to_send_parts(parts)
        except OSError:
            sent = 0
        for part in parts:
            if sent < len(part):
                # A view is as good as bytes to a socket, and no copy.
                await super().write(cast("bytes", memoryview(part)[sent:]))
            sent = max(sent - len(part), 0)


class Backend(httpcore.AsyncNetworkBackend):
    """Dials Unix and TCP sockets over anyio streams, on trio and on asyncio."""

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> RawStream:
        """Connect to a Unix socket; raises OSError."""
        return SocketConnection(await connect_unix(path))

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> RawStream:
        """Connect to a TCP port; raises OSError."""
        return SocketConnection(await connect_tcp(host, port))

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await anyio.sleep(seconds)


async def dial(endpoint: Endpoint, backend: httpcore.AsyncNetworkBackend) -> httpcore.AsyncNetworkStream:
    """
    Open a raw connection to an engine.

    Raises:
        ConnectError: Nobody answers there; the message says who was asked, on whose word, and what came of it.
    """
    try:
        if endpoint.is_ssh:
            return RawStream(await connect_ssh(endpoint))
        if endpoint.path is not None:
            return await backend.connect_unix_socket(endpoint.path)
        stream = await backend.connect_tcp(endpoint.host, endpoint.port)
        return stream if endpoint.tls is None else await _secure(stream, endpoint, endpoint.tls)
    except ssl.SSLError as exc:
        raise ConnectError(endpoint.failure(tls_failure(exc))) from exc
    except socket.gaierror as exc:
        raise ConnectError(endpoint.failure(f"the name of the host does not resolve ({exc.strerror})")) from exc
    except (OSError, httpcore.NetworkError, httpcore.TimeoutException) as exc:
        raise ConnectError(endpoint.failure(exc)) from exc


async def _secure(
    stream: httpcore.AsyncNetworkStream, endpoint: Endpoint, tls: TLSConfig | ssl.SSLContext
) -> httpcore.AsyncNetworkStream:
    try:
        context = tls if isinstance(tls, ssl.SSLContext) else await run_sync(tls.context)
        return await stream.start_tls(context, endpoint.host)
    except BaseException:
        await close_now(stream)
        raise


async def close_now(stream: httpcore.AsyncNetworkStream) -> None:
    """Close a connection without waiting for the other side. Works in a cancelled task too."""
    await without_waiting(stream.aclose)
