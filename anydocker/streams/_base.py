"""What every stream has in common: iteration, batches, the end, errors, closing."""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Protocol, Self, TypeVar

from anyio import ClosedResourceError, EndOfStream, get_current_task
from anyio.lowlevel import checkpoint

from anydocker._files import write_file
from anydocker._wire.documents import shown
from anydocker._wire.jsonstream import JSONDecoder
from anydocker.errors import DockerError, ProtocolError, StreamError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anydocker._transport.exchange import Exchange

__all__ = (
    "BodyStream",
    "DecodedStream",
    "Decoder",
    "DocumentDecoder",
    "Stream",
    "warn_if_dropped",
)

T = TypeVar("T")


class Decoder(Protocol[T]):
    """What turns pieces of a body into values: see the modules of ``_wire``."""

    @property
    def error(self) -> ProtocolError | StreamError | None:
        """What is wrong behind the values already decoded."""
        ...

    def receive_data(self, data: bytes, /) -> list[T]:
        """Decode a piece."""
        ...

    def receive_eof(self) -> list[T]:
        """Learn that the body has ended; raise TruncatedStream where that is too early."""
        ...


class Stream(ABC, Generic[T]):
    """
    Values that the engine sends as they come about.

    Iterate over it with ``async for``. It is pulled in the task that iterates: nothing runs in the background, and
    an engine that is faster than its reader has to wait. There is a checkpoint for each read from the engine and
    none for each value, so at most 64 KiB of values lie between two.

    A ``receive`` or ``anext`` that is cancelled has lost nothing: the next one goes on where the last one stopped.
    A stream belongs to the block that opened it; when that ends, so does its connection, at once.
    """

    def __init__(self) -> None:
        self._ready: Iterator[T] = iter(())
        self._failure: DockerError | None = None
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        for value in self._ready:
            return value
        batch = await self._pull()
        if not batch:
            raise StopAsyncIteration
        self._ready = iter(batch)
        return next(self._ready)

    async def receive(self) -> T:
        """
        Receive the next value.

        Raises:
            EndOfStream: There are no more.
            TruncatedStream: The connection ended before the stream did.
            BusyResourceError: Another task is receiving from this stream.
            ClosedResourceError: The block that opened the stream has ended.
        """
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise EndOfStream from None

    async def receive_many(self) -> list[T]:
        """
        Receive all values that one read brought: at least one, or an empty list at the end of the stream.

        The errors are those of :meth:`receive`.
        """
        batch = list(self._ready)
        if batch:
            # They stay ready until the checkpoint is passed, for it may be where the call is cancelled.
            self._ready = iter(batch)
            await checkpoint()
            batch = list(self._ready)
        return batch or await self._pull()

    async def _pull(self) -> list[T]:
        """The next batch: never empty before the end. An error found behind good values waits until they are out."""
        while True:
            if self._failure is not None:
                await checkpoint()
                raise self._failure
            if self._ended:
                await checkpoint()
                return []
            try:
                batch = await self._receive_batch()
            except (ProtocolError, StreamError) as exc:
                self._failure = exc
                raise
            if batch:
                return batch

    @abstractmethod
    async def _receive_batch(self) -> list[T]:
        """One read's worth of values, perhaps none; sets ``_ended`` at the end."""

    async def aclose(self) -> None:
        """Close the connection at once. The block that opened the stream does this."""
        self._ready = iter(())
        self._ended = False  # a stream that is closed says so, even if it had ended
        await self._close()

    @abstractmethod
    async def _close(self) -> None:
        """Close what the stream reads from."""


class BodyStream(Stream[bytes]):
    """
    The body of a response, piece by piece, and the connection it comes on.

    Attributes:
        status: The HTTP status; 101 where the connection was upgraded.
        headers: The fields of the response, by their lower-case names.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange
        exchange.expect_bytes()
        self._closed = False
        self.status = exchange.status
        self.headers: Mapping[str, str] = exchange.headers

    async def _receive_batch(self) -> list[bytes]:
        self.check_open()
        pieces = await self._exchange.receive_many()
        self._ended = not pieces
        return pieces

    async def send(self, data: bytes) -> None:
        """
        Send to the other side of an upgraded connection. A cancelled call may have sent a part of ``data``.

        Raises:
            TruncatedStream: The other side takes no more.
            BusyResourceError: Another task is sending.
            ClosedResourceError: The block that opened the stream has ended.
        """
        self.check_open()
        await self._exchange.send_data(data)

    async def send_eof(self) -> None:
        """
        End what is sent; what the other side sends still comes. A second call does nothing.

        Raises:
            DockerError: The connection is of a kind that cannot be closed in one direction.
            ClosedResourceError: The block that opened the stream has ended.
        """
        self.check_open()
        await self._exchange.send_eof()

    async def read(self) -> bytes:
        """Receive everything up to the end. If cancelled, what has been received is lost."""
        pieces: list[bytes] = []
        while batch := await self.receive_many():
            pieces += batch
        return b"".join(pieces)

    async def write_to(self, target: str | os.PathLike[str] | BinaryIO) -> int:
        """
        Write everything up to the end to a file, off the event loop, in flat memory.

        Args:
            target: The path of a file, which appears when it is complete (until then it is ``<target>.part``), or a
                binary file object, which stays open.

        Returns:
            How many bytes were written.

        If cancelled: there is no file at the path, or the one that was there before.
        """
        return await write_file(self, target)

    async def _close(self) -> None:
        self._closed = True
        await self._exchange.close()

    def check_open(self) -> None:
        """Raise ClosedResourceError if the block that opened the stream has ended."""
        if self._closed:
            raise ClosedResourceError

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if not getattr(self, "_closed", True):
            _warn(f"unclosed {self!r}: leave the block that opened it", ResourceWarning, source=self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._exchange.request.name} {self.status}>"


@contextmanager
def warn_if_dropped(stream: Stream[Any]) -> Generator[None]:
    """
    Warn if a block of ``async with`` is not ended by its own task.

    Where nobody holds on to a block, the event loop ends it, in a task of the loop's.
    """
    opener = get_current_task().id
    try:
        yield
    except GeneratorExit:
        if get_current_task().id != opener:
            warnings.warn(f"unclosed {stream!r}: use it as `async with`", ResourceWarning, source=stream, stacklevel=2)
        raise


class DecodedStream(Stream[T]):
    """A stream of values that a decoder takes out of a body."""

    def __init__(self, body: BodyStream, decoder: Decoder[T]) -> None:
        super().__init__()
        self._read_from(body, decoder)

    def _read_from(self, body: BodyStream, decoder: Decoder[T]) -> None:
        self._body = body
        self._exchange = body._exchange  # pyright: ignore[reportPrivateUsage]  # this module's own
        self._exchange.expect_values()
        self._decoder = decoder

    async def _receive_batch(self) -> list[T]:
        if self._decoder.error is not None:
            raise self._decoder.error
        pieces = await self._receive_pieces()
        if not pieces:
            self._ended = True
            return self._decoder.receive_eof()
        return self._decoder.receive_data(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _receive_pieces(self) -> Awaitable[list[Any]]:
        """What one read brought of the body. The body's own batches are left out: they are empty."""
        self._body.check_open()
        return self._exchange.receive_many()

    async def _close(self) -> None:
        await self._body.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._body!r}>"


class DocumentDecoder(Generic[T]):
    """Turns JSON documents into values that wrap them."""

    def __init__(self, make: Callable[[dict[str, Any]], T]) -> None:
        self._make = make
        self._decoder = JSONDecoder()
        self._error: ProtocolError | None = None

    @property
    def error(self) -> ProtocolError | None:
        """What is wrong behind the values already decoded."""
        return self._error or self._decoder.error

    def receive_data(self, data: bytes) -> list[T]:
        """Decode a piece."""
        if self._error is not None:
            raise self._error
        return self._wrap(self._decoder.receive_data(data))

    def receive_eof(self) -> list[T]:
        """Learn that the body has ended."""
        if self._error is not None:
            raise self._error
        return self._wrap(self._decoder.receive_eof())

    def _wrap(self, documents: list[Any]) -> list[T]:
        good = list(takewhile(_is_object, documents))
        if len(good) < len(documents):
            self._error = ProtocolError(f"not an object: {shown(documents[len(good)])}")
            if not good:
                raise self._error
        return list(map(self._make, good))


def _is_object(document: object) -> bool:
    return isinstance(document, dict)
