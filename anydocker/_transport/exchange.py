"""
One HTTP/1.1 exchange on one raw connection.

h11 owns the protocol up to the head of the response: it frames what is sent and judges what the engine answers.
From the first byte behind the head on, the bytes go straight to the decoders of ``_wire``; none of them passes
through h11 again. Everything read and not yet handed out is kept in attributes, never in a suspended frame, so a
cancelled ``receive`` can be called again, and what it returns then is what it would have returned before.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Final

import attrs
import h11
import httpcore
from anyio import BrokenResourceError, ClosedResourceError, ResourceGuard
from anyio.lowlevel import checkpoint

from anydocker._transport.network import close_now
from anydocker._wire.bodies import BodyDecoder, body_decoder
from anydocker.errors import DockerError, ProtocolError, TruncatedStream

__all__ = ("Exchange", "Request")

# Bytes of a head. Go's net/http sends at most 1 MiB; engines send some hundred bytes, a path stat a few thousand.
_MAX_HEAD: Final = 64 * 1024
# Bytes asked of a socket at a time: what a Unix socket holds at most is about three times that.
_READ_SIZE: Final = 64 * 1024
# Bytes of an upload put into one chunk: small pieces are gathered, because every chunk is a write.
_UPLOAD_CHUNK: Final = 128 * 1024

_NETWORK_ERRORS: Final = (httpcore.NetworkError, httpcore.TimeoutException, BrokenResourceError, OSError)


@attrs.frozen
class Request:
    """
    What is asked of an engine.

    Attributes:
        method: The HTTP method.
        target: Path and query, as they go on the wire.
        headers: The fields beside ``Host``, ``Content-Length`` and ``Transfer-Encoding``.
        body: Bytes, a stream of bytes, or None.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | AsyncIterable[bytes] | None = None

    @property
    def name(self) -> str:
        """Method and path: what messages call it."""
        return f"{self.method} {self.target.partition('?')[0]}"


class Exchange:
    """
    A request and its response.

    ``send``, then ``receive_head``, then ``receive_many`` until it returns an empty list.

    Attributes:
        request: What was asked.
        status: The status of the response; 0 until its head has come.
        headers: The fields of the response, by their lower-case names.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, request: Request, authority: str) -> None:
        self.stream = stream
        self.request = request
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.answered = False  # whether a byte of the response has come
        self._authority = authority
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._keep_alive = False
        self._body: BodyDecoder | None = None
        self._pieces: list[bytes] = []
        self._collected: list[bytes] = []
        self._sent = False
        self._receiving = ResourceGuard("receiving from")
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

        An engine that refuses an upload answers and closes before it has read all: the failed write is then no
        error, because the answer says what is wrong.

        Raises:
            TruncatedStream: The connection broke.
        """
        body = self.request.body
        stream = None if body is None or isinstance(body, bytes) else body
        try:
            await self.stream.write(self._head(body))
        except _NETWORK_ERRORS as exc:
            raise self._lost("while the request was sent") from exc
        if stream is None:
            self._sent = True
        else:
            await self._upload(stream)

    def _head(self, body: bytes | AsyncIterable[bytes] | None) -> bytes:
        headers = [("Host", self._authority), *self.request.headers]
        if isinstance(body, bytes):
            headers.append(("Content-Length", str(len(body))))
        elif body is not None:
            headers.append(("Transfer-Encoding", "chunked"))
        elif self.request.method in {"POST", "PUT"}:
            headers.append(("Content-Length", "0"))
        request = h11.Request(method=self.request.method, target=self.request.target, headers=headers)
        data = self._frame(request)
        if isinstance(body, bytes):
            data += self._frame(h11.Data(data=body)) if body else b""
        if body is None or isinstance(body, bytes):
            data += self._frame(h11.EndOfMessage())
        return data

    def _frame(self, event: h11.Event) -> bytes:
        return self._h11.send(event) or b""

    async def _upload(self, body: AsyncIterable[bytes]) -> None:
        pieces = aiter(body)
        try:
            self._sent = await self._upload_all(pieces) and await self._write_part(h11.EndOfMessage())
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
                if not await self._write_part(h11.Data(data=b"".join(gathered))):
                    return False
                gathered.clear()
                size = 0
        return not size or await self._write_part(h11.Data(data=b"".join(gathered)))

    async def _write_part(self, event: h11.Event) -> bool:
        """Write a part of the body; return whether the engine still takes it."""
        try:
            await self.stream.write(self._frame(event))
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
        with self._receiving:
            while self._body is None:
                event = self._next_event()
                if event is h11.NEED_DATA:
                    await self._feed_head()
                elif isinstance(event, h11.Response) or (
                    isinstance(event, h11.InformationalResponse) and event.status_code == 101
                ):
                    self._take_head(event)

    def _next_event(self) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError as exc:
            msg = f"the answer to {self.request.name} is not one an engine gives: {exc}"
            raise ProtocolError(msg) from exc

    async def _feed_head(self) -> None:
        data = await self._read()
        if data:
            self.answered = True
            self._h11.receive_data(data)
        elif self.answered:
            raise TruncatedStream(f"the connection ended inside the head of the answer to {self.request.name}")
        else:
            raise self._lost("before it answered")

    def _take_head(self, event: h11.Response | h11.InformationalResponse) -> None:
        headers: dict[str, str] = {}
        for raw_name, raw_value in event.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self.status = event.status_code
        self.headers = headers
        self._keep_alive = (
            event.http_version == b"1.1"
            and event.status_code != 101
            and "close" not in headers.get("connection", "").lower()
        )
        body = body_decoder(self.request.method, event.status_code, headers)
        self._body = body
        behind, _ = self._h11.trailing_data
        if behind:
            self._pieces = body.receive_data(behind)

    async def receive_many(self) -> list[bytes]:
        """
        Receive pieces of the body: all that one read brought. Empty once the body has ended.

        A cancelled call has lost nothing and can be made again.

        Raises:
            TruncatedStream: The connection ended before the body did.
            ProtocolError: The framing of the body is broken.
            BusyResourceError: Another task is receiving.
        """
        with self._receiving:
            body = self._body
            if body is None:
                raise ClosedResourceError
            if self._pieces or body.ended:
                await checkpoint()
            while not self._pieces and not body.ended:
                if body.error is not None:
                    raise body.error
                data = await self._read()
                if data:
                    self._pieces = body.receive_data(data)
                else:
                    body.receive_eof()
            pieces, self._pieces = self._pieces, []
            return pieces

    async def read(self, limit: int) -> bytes:
        """
        Read the body to its end. Can be called again after a cancellation.

        Raises:
            ProtocolError: It is longer than ``limit`` bytes.
        """
        size = sum(map(len, self._collected))
        while not self.ended:
            pieces = await self.receive_many()
            self._collected += pieces
            size += sum(map(len, pieces))
            if size > limit:
                raise ProtocolError(f"the answer to {self.request.name} is longer than {limit} bytes")
        return b"".join(self._collected)

    async def _read(self) -> bytes:
        try:
            return await self.stream.read(_READ_SIZE)
        except _NETWORK_ERRORS as exc:
            raise self._lost("before the end of its answer" if self.answered else "before it answered") from exc

    def _lost(self, when: str) -> TruncatedStream:
        return TruncatedStream(f"the connection to the engine broke {when} ({self.request.name})")

    # -- both directions, once upgraded

    async def send_data(self, data: bytes) -> None:
        """
        Send to the other side of an upgraded connection. A cancelled call may have sent a part.

        Raises:
            BrokenResourceError: The other side no longer takes anything.
            BusyResourceError: Another task is sending.
        """
        with self._sending:
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
