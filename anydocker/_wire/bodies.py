"""
Message bodies that carry no coding: one with a length, and one that ends with the connection.

Both have the shape of :class:`~anydocker._wire.chunked.ChunkedDecoder`, so that what reads a body need not know
how it is framed. Which one applies is RFC 9112, section 6.3, in :func:`body_decoder`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol, TypeVar

from anydocker._wire.chunked import ChunkedDecoder
from anydocker.errors import ProtocolError, StreamError, TruncatedStream

__all__ = ("BodyDecoder", "LengthDecoder", "UntilCloseDecoder", "body_decoder")

T = TypeVar("T")

_REDIRECTS: Final = frozenset({300, 301, 302, 303, 305, 306, 307, 308})
_LENGTH: Final = re.compile(r"[0-9]{1,20}")


class BodyDecoder(Protocol[T]):
    """What turns the bytes behind a head into pieces of the body, or into what they hold."""

    @property
    def ended(self) -> bool:
        """Whether the body has ended."""
        ...

    @property
    def leftover(self) -> bytes:
        """What came behind the end of the body."""
        ...

    @property
    def error(self) -> ProtocolError | StreamError | None:
        """What is wrong behind what has been decoded, if anything."""
        ...

    def receive_data(self, data: bytes, /) -> list[T]:
        """Decode what a read returned."""
        ...

    def receive_eof(self) -> None:
        """Learn that the connection has ended; raise TruncatedStream where that is too early."""
        ...


class LengthDecoder:
    """A body of a known length, in bytes."""

    def __init__(self, length: int) -> None:
        self._missing = length
        self.ended = length == 0
        self.leftover = b""
        self.error: ProtocolError | None = None

    def receive_data(self, data: bytes) -> list[bytes]:
        """Take what belongs to the body; the rest is ``leftover``."""
        if len(data) >= self._missing:
            data, self.leftover = data[: self._missing], data[self._missing :]
            self.ended = True
        self._missing -= len(data)
        return [data] if data else []

    def receive_eof(self) -> None:
        """
        Learn that the connection has ended.

        Raises:
            TruncatedStream: Bytes of the body are missing.
        """
        if not self.ended:
            raise TruncatedStream(f"the connection ended {self._missing} bytes before the end of the response")


class UntilCloseDecoder:
    """A body that ends with the connection, as the bytes of an upgraded connection do."""

    def __init__(self) -> None:
        self.ended = False
        self.leftover = b""
        self.error: ProtocolError | None = None

    def receive_data(self, data: bytes) -> list[bytes]:
        """Everything belongs to the body."""
        return [data] if data else []

    def receive_eof(self) -> None:
        """Learn that the connection, and so the body, has ended."""
        self.ended = True


def body_decoder(method: str, status: int, headers: Mapping[str, str]) -> BodyDecoder[bytes]:
    """
    The decoder for the body of a response.

    Args:
        method: The method of the request: the response to HEAD has no body.
        status: The final status, or 101.
        headers: The fields by their lower-case names.

    Raises:
        ProtocolError: The length is not a number, the body has a coding other than chunked, or is none: a redirect.
    """
    if status in _REDIRECTS:
        # Taken for an answer, it would be a success of what has not been done.
        where = headers.get("location", "nowhere")
        raise ProtocolError(
            f"instead of an answer, a redirect that is not followed: status {status}, to {where[:80]!r}"
        )
    if method == "HEAD" or status in {204, 304}:
        return LengthDecoder(0)
    if status == 101:
        return UntilCloseDecoder()
    if headers.get("content-encoding", "identity") != "identity":
        raise ProtocolError(f"a Content-Encoding nobody asked for: {headers['content-encoding'][:40]!r}")
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise ProtocolError(f"not a Transfer-Encoding an engine uses: {coding[:40]!r}")
        return ChunkedDecoder()
    length = headers.get("content-length")
    if length is None:
        return UntilCloseDecoder()
    if not _LENGTH.fullmatch(length):
        raise ProtocolError(f"not a Content-Length: {length[:40]!r}")
    return LengthDecoder(int(length))
