"""
One HTTP/1.1 exchange on one raw connection.

Plain heads, which is what engines send, are read by ``_wire.head``; h11 judges every other one.
From the first byte behind the head on, the bytes go straight to the decoders of ``_wire``; none of them passes
through h11. Everything read and not yet handed out is kept in attributes, never in a suspended frame, so a
cancelled ``receive`` can be called again, and what it returns then is what it would have returned before.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any, Final

import h11
import httpcore
from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, ResourceGuard
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from anydocker._transport.messages import Request
from anydocker._transport.network import close_now
from anydocker._wire.bodies import BodyDecoder, body_decoder
from anydocker._wire.chunked import ChunkedDecoder
from anydocker._wire.chunked_frames import ChunkedFrameDecoder
from anydocker._wire.frames import FrameDecoder
from anydocker._wire.head import Head, build_request, head_end, parse_plain_head
from anydocker._wire.pieces import Pieces, keep
from anydocker.errors import DockerError, ProtocolError, TruncatedStream

__all__ = ("Exchange",)

# Bytes of a head. Go's net/http sends at most 1 MiB; engines send some hundred bytes, a path stat a few thousand.
_MAX_HEAD: Final = 64 * 1024
# Bytes asked of a socket at a time, at first, at least and at most: a Unix socket never holds more than 208 KiB.
_READ_SIZE: Final = 64 * 1024
_SMALL_READ_SIZE: Final = 16 * 1024
_LARGE_READ_SIZE: Final = 256 * 1024
# Values of one read. More of them fill the processor's cache, and set off the garbage collector (at 700 new objects in
# CPython 3.11); with fewer, what a read costs counts.
_MANY_VALUES: Final = 512
_FEW_VALUES: Final = 16
# Bytes of an upload put into one chunk: small pieces are gathered, because every chunk is a write.
_UPLOAD_CHUNK: Final = 128 * 1024
# Pieces of an upload that are sent without being joined; Linux takes at most 1024 at a time.
_MAX_PARTS: Final = 64

# glibc gives memory back to the system as soon as 128 KiB of it are free, so every large read would take its pages
# anew, which can take longer than the read. Having freed a block this large, glibc keeps twice as much (mallopt(3)).
bytes(2 * 1024 * 1024)

_HTTP: Final = b"HTTP/1."
_LAST_CHUNK: Final = b"0\r\n\r\n"

_NETWORK_ERRORS: Final = (httpcore.NetworkError, httpcore.TimeoutException, BrokenResourceError, OSError)


class Exchange:
    """
    A request and its response.

    ``send``, then ``receive_head``, then ``receive_many`` until it returns an empty list.

    Attributes:
        request: What was asked.
        answered: Whether a byte of the response has come.
        read_size: Bytes asked of the connection at a time.
        filled: Whether the last read brought as many as it was asked for.
        status: The status of the response; 0 until its head has come.
        headers: The fields of the response, by their lower-case names.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, request: Request, authority: str) -> None:
        self.stream = stream
        self.request = request
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.answered = False
        self.read_size = _READ_SIZE
        self.filled = False
        self._authority = authority
        self._h11: h11.Connection | None = None  # only for a head that is not plain
        self._head = b""  # what has come of the head of the response
        self._keep_alive = False
        self._body: BodyDecoder[Any] | None = None
        self._pieces: list[Any] = []
        self._collected: Pieces = []
        self._sent = False
        self._receiving = False
        self._sending = ResourceGuard("sending to")

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another exchange: this one is complete to the byte."""
        body = self._body
        return body is not None and body.ended and not body.leftover and self._keep_alive and self._sent

    @property
    def ended(self) -> bool:
        """Whether everything the engine sent has been handed out."""
        return self._body is not None and self._body.ended and not self._pieces

    # -- the request

    async def send(self) -> None:
        """
        Send the request, body and all.

        An engine that refuses a request answers and closes before it has read all. So a write that fails is no error:
        the answer says what is wrong, or that there is none does.
        """
        request = self.request
        body = request.body
        head = build_request(request.method, request.target, self._fields())
        if body is None or isinstance(body, bytes):
            self._sent = await self._send_part(head + body if body else head)
        elif await self._send_part(head):
            await self._upload(body)

    def _fields(self) -> list[tuple[str, str]]:
        body = self.request.body
        fields = [("Host", self._authority), *self.request.headers]
        if body is None:
            if self.request.method in {"POST", "PUT"}:
                fields.append(("Content-Length", "0"))
        elif isinstance(body, bytes):
            fields.append(("Content-Length", str(len(body))))
        else:
            fields.append(("Transfer-Encoding", "chunked"))
        return fields

    async def _upload(self, body: AsyncIterable[bytes]) -> None:
        pieces = aiter(body)
        try:
            self._sent = await self._upload_all(pieces) and await self._send_part(_LAST_CHUNK)
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    async def _upload_all(self, pieces: AsyncIterator[bytes]) -> bool:
        """Send the body, small pieces gathered; return whether the engine took it all."""
        gathered: list[bytes] = []
        size = 0
        async for piece in pieces:
            gathered.append(piece)
            size += len(piece)
            if size >= _UPLOAD_CHUNK:
                await checkpoint_if_cancelled()
                if not await self._send_part(b"%x\r\n" % size, *gathered, b"\r\n"):
                    return False
                gathered.clear()
                size = 0
        return not size or await self._send_part(b"%x\r\n" % size, *gathered, b"\r\n")

    async def _send_part(self, *pieces: bytes) -> bool:
        """Send a part of the request; return whether the engine still takes it."""
        write_parts = getattr(self.stream, "write_parts", None) if 1 < len(pieces) <= _MAX_PARTS else None
        try:
            if write_parts is None:
                await self.stream.write(b"".join(pieces))
            else:
                await write_parts(pieces)
        except _NETWORK_ERRORS:
            return False
        return True

    # -- the response

    async def receive_head(self) -> None:
        """
        Receive the head of the response. Can be called again after a cancellation, and after it has come.

        Raises:
            ProtocolError: What came is not HTTP.
            TruncatedStream: The connection ended before the head did.
        """
        self._begin_receiving()
        try:
            while self._body is None:
                try:
                    data = await self.stream.read(_READ_SIZE)
                except _NETWORK_ERRORS as exc:
                    raise self._lost(exc) from exc
                if data:
                    self.answered = True
                    self._receive_head_data(data)
                elif self.answered:
                    raise TruncatedStream(f"the connection ended inside the head of the answer to {self.request.name}")
                else:
                    raise self._lost()
        finally:
            self._receiving = False

    def _receive_head_data(self, data: bytes) -> None:
        before = len(self._head)
        head = self._head = self._head + data
        if self._h11 is None:
            # A head mostly comes whole; one that comes in pieces is looked through once.
            ended = not before or head_end(head, before) is not None
            plain = parse_plain_head(head) if ended else None
            if plain is not None:
                self._take_head(*plain)
                return
            if not head.startswith(_HTTP[: len(head)]):
                raise self._not_http(f"it begins with {head[:40]!r}")
            if not before:
                ended = head_end(head) is not None
            if not ended and len(head) <= _MAX_HEAD:
                return
            data = head
        judged = self._ask_h11(data)
        if judged is not None:
            self._take_head(*judged)
        elif len(head) > _MAX_HEAD:
            raise self._not_http(f"its head is longer than {_MAX_HEAD} bytes")

    def _ask_h11(self, data: bytes) -> tuple[Head, bytes] | None:
        """The head as h11 reads it, and what follows it; None: it needs more than what it has got so far."""
        connection = self._h11
        if connection is None:
            connection = self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
            connection.send(h11.Request(method=self.request.method, target=self.request.target, headers=self._fields()))
        connection.receive_data(data)
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError as exc:
                raise self._not_http(str(exc)) from exc
            if isinstance(event, h11.Response):
                return _head_of(event), connection.trailing_data[0]
            if isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    return _head_of(event), connection.trailing_data[0]
            else:
                return None

    def _not_http(self, why: str) -> ProtocolError:
        return ProtocolError(f"the answer to {self.request.name} is not one an engine gives: {why}")

    def _take_head(self, head: Head, behind: bytes) -> None:
        self.status = head.status
        self.headers = head.headers
        self._keep_alive = head.keep_alive
        body = self._body = body_decoder(self.request.method, head.status, head.headers)
        self._head = b""
        self._h11 = None
        if behind:
            self._pieces = body.receive_data(behind)

    async def receive_many(self) -> list[Any]:
        """
        Receive pieces of the body: all that one read brought. Empty once the body has ended.

        A cancelled call has lost nothing and can be made again.

        Raises:
            TruncatedStream: The connection ended before the body did.
            ProtocolError: The framing of the body is broken.
            BusyResourceError: Another task is receiving.
        """
        body = self._body
        if body is None:
            raise ClosedResourceError
        self._begin_receiving()
        try:
            if self._pieces or body.ended:
                await checkpoint()
            while not self._pieces:
                if body.error is not None:
                    raise body.error
                if body.ended:
                    break
                try:
                    data = await self.stream.read(self.read_size)
                except _NETWORK_ERRORS as exc:
                    raise self._lost(exc) from exc
                self.filled = len(data) >= self.read_size
                if data:
                    self._pieces = body.receive_data(data)
                else:
                    body.receive_eof()
        finally:
            self._receiving = False
        pieces, self._pieces = self._pieces, []
        return pieces

    def _begin_receiving(self) -> None:
        # anyio's ResourceGuard does the same, at the cost of a context manager for each read.
        if self._receiving:
            raise BusyResourceError("receiving from")
        self._receiving = True

    def expect_bytes(self) -> None:
        """Read as much at a time as there can be: the body is bytes, and nothing is made of them."""
        self.read_size = _LARGE_READ_SIZE

    def expect_values(self, *, small_reads: bool = False) -> None:
        """Read a moderate amount at a time, or a small one: the body holds values, and objects are made of them."""
        self.read_size = _SMALL_READ_SIZE if small_reads else _READ_SIZE

    def adapt_read_size(self, values: int) -> None:
        """Read more at a time, or less, after a read that was filled and brought this many values."""
        if values > _MANY_VALUES:
            self.read_size = max(self.read_size // 2, _SMALL_READ_SIZE)
        elif values <= _FEW_VALUES:
            self.read_size = min(self.read_size * 2, _LARGE_READ_SIZE)

    def fuse_frames(self, frames: FrameDecoder) -> ChunkedFrameDecoder | None:
        """
        Decode frames together with the chunks they come in, if they come in chunks.

        Returns:
            What decodes them, if they do: ``receive_many`` returns frames from now on, instead of pieces of the body.
        """
        chunks = self._body
        if not isinstance(chunks, ChunkedDecoder):
            return None
        pieces, self._pieces = self._pieces, []
        fused = self._body = ChunkedFrameDecoder(chunks, frames)
        self._pieces = fused.take_over(pieces)
        return fused

    async def read(self, limit: int) -> bytes:
        """
        Read the body to its end. Can be called again after a cancellation.

        Raises:
            ProtocolError: It is longer than ``limit`` bytes.
        """
        # What came with the head is taken as it is: receiving that was a checkpoint.
        size = sum(map(len, self._collected))
        if self._pieces:
            size += self._collect(self._pieces)
            self._pieces = []
        while not self.ended and size <= limit:
            size += self._collect(await self.receive_many())
        if size > limit:
            raise ProtocolError(f"the answer to {self.request.name} is longer than {limit} bytes")
        return b"".join(self._collected)

    def _collect(self, pieces: list[bytes]) -> int:
        data = b"".join(pieces)
        if data:
            keep(self._collected, data)
        return len(data)

    def _lost(self, exc: BaseException | None = None) -> TruncatedStream:
        when = "before the end of its answer" if self.answered else "before it answered"
        why = f": {exc}" if exc is not None and str(exc) else ""
        return TruncatedStream(f"the connection to the engine broke {when} ({self.request.name}){why}")

    # -- both directions, once upgraded

    async def send_data(self, data: bytes) -> None:
        """
        Send to the other side of an upgraded connection. A cancelled call may have sent a part.

        Raises:
            BrokenResourceError: The other side no longer takes anything.
            BusyResourceError: Another task is sending.
        """
        with self._sending:
            await checkpoint_if_cancelled()
            try:
                await self.stream.write(data)
            except _NETWORK_ERRORS as exc:
                raise TruncatedStream(f"{self.request.name}: the other side takes no more input") from exc

    async def send_eof(self) -> None:
        """
        End what is sent; receiving goes on.

        Raises:
            DockerError: The connection is of a kind that cannot be closed in one direction.
        """
        with self._sending:
            send_eof = getattr(self.stream, "send_eof", None)
            if send_eof is None:
                raise DockerError("this network backend cannot end one direction only: its streams lack send_eof()")
            try:
                await send_eof()
            except _NETWORK_ERRORS as exc:
                raise TruncatedStream(f"{self.request.name}: the other side takes no more input") from exc

    async def close(self) -> None:
        """Close the connection at once."""
        await close_now(self.stream)


def _head_of(event: h11.Response | h11.InformationalResponse) -> Head:
    headers: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    keep_alive = (
        event.http_version == b"1.1"
        and event.status_code != 101
        and "close" not in headers.get("connection", "").lower()
    )
    return Head(event.status_code, headers, keep_alive)
