"""
Reading from a non-blocking socket, without ever losing what was read.

There are two ways. Where the event loop tells a task that a socket is readable, the task reads (trio). On asyncio that
costs a registration and its removal for every read, so there the registration stays, and the loop's callback reads on
behalf of the task that waits. If nobody waits when it is called, it takes the registration away; if the task was
cancelled just then, what was read, or why it could not be, is kept for the next one.

uvloop drops a registration, and does not say so, when a socket is in error: where an engine closes without having read
all it was sent, and its answer is still to be read. There it is looked for an error after every read.
"""

from __future__ import annotations

import select
import socket
import sys
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from anyio import ClosedResourceError
from anyio.lowlevel import checkpoint, current_token

if TYPE_CHECKING:
    import asyncio

__all__ = ("Receiver", "make_receiver")


class Receiver(Protocol):
    """Reads from a socket."""

    async def receive(self, max_bytes: int) -> bytes:
        """Receive what there is, or wait for it; ``b""`` is the end. Raises OSError, or ClosedResourceError."""
        ...

    def close(self) -> None:
        """Let go of the socket, before it is closed. Who waits gets ClosedResourceError."""
        ...


def make_receiver(sock: socket.socket) -> Receiver:
    """The receiver that fits the running event loop."""
    loop: Any = current_token().native_token
    if hasattr(loop, "add_reader") and sys.platform != "win32":
        return _LoopReceiver(sock, loop)
    return _TaskReceiver(sock)


class _TaskReceiver:
    """The task waits, and reads."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._more = False  # the last read filled its buffer: there is no need to wait before the next

    async def receive(self, max_bytes: int) -> bytes:
        if self._socket.fileno() < 0:
            raise ClosedResourceError
        if self._more:
            await checkpoint()
        else:
            await anyio.wait_readable(self._socket)
        while True:
            try:
                data = self._socket.recv(max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
                continue
            self._more = len(data) == max_bytes
            return data

    def close(self) -> None:
        anyio.notify_closing(self._socket)


class _LoopReceiver:
    """The loop's callback reads while a task waits."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = sock
        self._loop = loop
        self._waiter: asyncio.Future[bytes] | None = None
        self._max_bytes = 0
        self._registered = False
        self._loses_registrations = type(loop).__module__.partition(".")[0] == "uvloop"
        self._kept: asyncio.Future[bytes] | None = None
        self._closed = False

    async def receive(self, max_bytes: int) -> bytes:
        if self._closed:
            raise ClosedResourceError
        if self._kept is not None:
            await checkpoint()
            kept, self._kept = self._kept, None
            return kept.result()
        if not self._registered:
            self._loop.add_reader(self._socket, self._on_readable)
            self._registered = True
        self._max_bytes = max_bytes
        waiter = self._waiter = self._loop.create_future()
        try:
            data: bytes = await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # looked at, so that asyncio does not call it lost
                self._kept = waiter
            raise
        finally:
            self._waiter = None
        return data

    def _on_readable(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._unregister()
            return
        try:
            waiter.set_result(self._socket.recv(self._max_bytes))
        except BlockingIOError:
            return
        except OSError as exc:
            waiter.set_exception(exc)
            self._unregister()
        if self._loses_registrations and _is_in_error(self._socket):
            self._unregister()

    def _unregister(self) -> None:
        if self._registered:
            self._loop.remove_reader(self._socket)
            self._registered = False

    def close(self) -> None:
        self._closed = True
        self._unregister()
        anyio.notify_closing(self._socket)  # wakes up who sends
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ClosedResourceError())


def _is_in_error(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))
