"""Both directions of a process, over a WebSocket."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from anyio import Lock, ResourceGuard, get_cancelled_exc_class
from anyio.lowlevel import checkpoint

from anydocker._concurrency import CLEANUP_SECONDS, finish_within
from anydocker.errors import DockerError, MissingExtra, TruncatedStream
from anydocker.streams._base import BodyStream, Stream

if TYPE_CHECKING:
    from anydocker._wire.websocket import WebSocketDecoder

__all__ = ("WebSocketStream", "websocket_decoder")


def websocket_decoder() -> WebSocketDecoder:
    """
    Make what a new WebSocket needs.

    Raises:
        MissingExtra: wsproto is not installed.
    """
    try:
        from anydocker._wire.websocket import WebSocketDecoder  # noqa: PLC0415 - it imports what an extra brings
    except ImportError as exc:
        raise MissingExtra("a WebSocket needs wsproto: install anydocker[websocket]") from exc
    return WebSocketDecoder(os.urandom(16))


class WebSocketStream(Stream[bytes]):
    """
    Output of a container's main process, and its input, over a WebSocket.

    ``async for`` gives pieces of the output, stdout and stderr together. Where a WebSocket ends, the engine says so:
    an end is an end, and a cut raises :class:`~anydocker.TruncatedStream`. Pings are answered while it is read.
    """

    def __init__(self, body: BodyStream, decoder: WebSocketDecoder) -> None:
        super().__init__()
        self._body = body
        self._decoder = decoder
        self._decoded: list[bytes] = []  # what a call that was cancelled while it answered a ping has left
        self._sending = ResourceGuard("sending to")
        self._writing = Lock()  # between a frame of the caller's and an answer to a ping
        self._torn = False

    async def _receive_batch(self) -> list[bytes]:
        self._body.check_open()
        if not self._decoded and not self._decoder.closed:
            self._decoded = await self._receive_content()
        if self._decoder.has_answers:
            await self._answer()
        batch, self._decoded = self._decoded, []
        self._ended = self._decoder.closed and not batch
        return batch

    async def _receive_content(self) -> list[bytes]:
        if self._decoder.error is not None:
            raise self._decoder.error
        pieces = await self._body.receive_many()
        return self._decoder.receive_data(b"".join(pieces)) if pieces else self._decoder.receive_eof()

    async def _answer(self) -> None:
        # Who is sending takes the answers along. A reader must not wait for that: the other side may be waiting for it.
        if self._torn or self._writing.locked():
            return
        try:
            await finish_within(CLEANUP_SECONDS, self._write_answers)
        except TruncatedStream:
            # Nobody waits for the answer any more. What there is to read, there still is.
            return

    async def _write_answers(self) -> None:
        async with self._writing:
            await self._write(self._decoder.take_answers())

    async def send(self, data: bytes) -> None:
        """
        Send to standard input.

        If cancelled, a part may have been sent; nothing else can be sent behind that.

        Raises:
            TruncatedStream: The engine takes no more input: the process or the connection has ended; or a ``send``
                was cancelled.
            BusyResourceError: Another task is sending.
            ClosedResourceError: The block that opened the stream has ended.
        """
        with self._sending:
            async with self._writing:
                if self._torn or self._decoder.closed:
                    why = "a send was cancelled half-way" if self._torn else "the engine has closed it"
                    raise TruncatedStream(f"the WebSocket takes no more input: {why}")
                if data:
                    await self._write(self._decoder.encode(data))

    async def _write(self, frames: bytes) -> None:
        while frames:
            try:
                await self._body.send(frames)
            except get_cancelled_exc_class():
                self._torn = True
                raise
            frames = self._decoder.take_answers()

    async def send_eof(self) -> None:
        """
        Standard input cannot be closed alone: a WebSocket ends in both directions at once.

        Raises:
            DockerError: Always. ``open_attach`` has a connection that can.
        """
        await checkpoint()
        raise DockerError("a WebSocket cannot end one direction only: use open_attach, whose send_eof can")

    async def read(self) -> bytes:
        """Receive everything up to the end. If cancelled, what has been received is lost."""
        pieces: list[bytes] = []
        while batch := await self.receive_many():
            pieces += batch
        return b"".join(pieces)

    async def _close(self) -> None:
        self._decoded = []
        await self._body.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._body!r}>"
