"""
Frames inside chunks, decoded in one step.

Theory of operation. An engine that sends logs writes each frame as a chunk of its own. Between the payloads of two
such frames stand always the same few bytes: the CRLF that ends one chunk, the size line of the next, the header of its
frame. For frames of one stream and one length they are equal to the letter, and what they say is known from the first
time on. So the usual case costs one slice and one dictionary look-up for each frame, where the two decoders in turn
cost four times that.

Whatever is not of that shape, a frame in several chunks, several in one, a long one, the last chunk, goes through the
two decoders, which also have the last word on what is an error. When both stand at a border again, so does this one.
"""

from __future__ import annotations

import re
from typing import Final

from anydocker._wire.chunked import ChunkedDecoder
from anydocker._wire.frames import STREAMS, Frame, FrameDecoder, StreamName, frame
from anydocker.errors import ProtocolError, StreamError

__all__ = ("ChunkedFrameDecoder",)

# Bytes of a frame that is kept until it is whole.
_KEPT_FRAME: Final = 64 * 1024
# Distinct prefixes remembered: lengths of lines, of two streams. A hostile engine can make each one new.
_MAX_REMEMBERED: Final = 4096

# The end of a chunk, a plain size line, and the header of a frame of stdout or stderr.
_PREFIX: Final = re.compile(rb"\r\n([0-9A-Fa-f]{1,8})\r\n([\x00\x01\x02])\x00\x00\x00(.{4})", re.DOTALL)
# What can still become one.
_BEGINNING: Final = re.compile(
    rb"\r?|\r\n[0-9A-Fa-f]{0,8}|\r\n[0-9A-Fa-f]{1,8}\r(?:\n(?:[\x00\x01\x02]\x00{0,2}|[\x00\x01\x02]\x00\x00\x00.{0,3})?)?",
    re.DOTALL,
)


class ChunkedFrameDecoder:
    """
    Takes a multiplexed stream out of a chunked body.

    Attributes:
        ended: Whether the last chunk and the trailer section have been read.
        leftover: What came behind the end of the message.
        error: What is wrong with the bytes behind those already decoded, if anything.
    """

    def __init__(self, chunks: ChunkedDecoder, frames: FrameDecoder) -> None:
        self.error: ProtocolError | StreamError | None = None
        self._chunks = chunks
        self._frames = frames
        # Where both decoders stand at a border, as if the chunk before had just ended: its CRLF is still to be read.
        self._kept: bytes | None = None
        self._known: dict[bytes, tuple[StreamName, int]] = {}
        self._width = 0  # of the prefix that came last

    @property
    def ended(self) -> bool:
        """Whether the body has ended."""
        return self._chunks.ended

    @property
    def leftover(self) -> bytes:
        """What came behind the end of the body."""
        return self._chunks.leftover

    @property
    def in_step(self) -> bool:
        """Whether frames come as chunks."""
        return self._kept is not None

    def take_over(self, pieces: list[bytes]) -> list[Frame]:
        """Decode pieces of the body that have left the chunk decoder already; to be called once, first."""
        out: list[Frame] = []
        try:
            self._decode_pieces(pieces, out)
        except (ProtocolError, StreamError) as exc:
            self.error = exc
        return out

    def receive_data(self, data: bytes) -> list[Frame]:
        """Decode what a read returned. An error behind a good frame waits in ``error``."""
        if self.error is not None:
            raise self.error
        out: list[Frame] = []
        try:
            if self._kept is not None:
                data = self._decode_usual(self._kept + data, out)
            if data:
                self._decode_general(data, out)
        except (ProtocolError, StreamError) as exc:
            self.error = exc
            if not out:
                raise
        return out

    def receive_eof(self) -> None:
        """
        Learn that the connection has ended.

        Raises:
            TruncatedStream: The last chunk has not been seen.
            ProtocolError: What was taken for the beginning of a frame is none.
        """
        if self.error is not None:
            raise self.error
        if self._kept:
            kept, self._kept = self._kept, None
            self._decode_general(kept, [])
        self._chunks.receive_eof()

    def _decode_usual(self, data: bytes, out: list[Frame]) -> bytes:
        """Take frames that are chunks; return what it takes the two decoders for."""
        known = self._known
        width = self._width
        append = out.append
        make = frame
        total = len(data)
        last = total - 2  # behind it is at most the CRLF that ends a chunk: a read mostly ends there
        size = pos = 0
        start = width
        while pos < last:
            try:
                name, size = known[data[pos:start]]
            except KeyError:
                width = self._learn(data, pos)
                if not width:
                    return self._unusual(data, pos)
                self._width = width
                start = pos + width
                continue
            pos = start + size
            append(make((name, data[start:pos])))
            start = pos + width
        if pos > total:
            # Looked at here, once: the last one is not whole.
            out.pop()
            self._kept = data[pos - size - width :]
            return b""
        return self._unusual(data, pos)

    def _learn(self, data: bytes, pos: int) -> int:
        """Remember the prefix at ``pos``, and return its width; 0: there is none that can be used."""
        match = _PREFIX.match(data, pos)
        if match is None:
            return 0
        prefix = match[0]
        size = int.from_bytes(match[3], "big")
        if int(match[1], 16) != size + 8 or not 0 < size <= _KEPT_FRAME:
            return 0
        if len(self._known) >= _MAX_REMEMBERED:
            self._known.clear()
        self._known[prefix] = (STREAMS[match[2][0] << 24], size)
        return len(prefix)

    def _unusual(self, data: bytes, pos: int) -> bytes:
        rest = data[pos:]
        if not rest or rest == b"\r\n" or _BEGINNING.fullmatch(rest):
            self._kept = rest
            return b""
        self._kept = None
        return rest

    def _decode_general(self, data: bytes, out: list[Frame]) -> None:
        self._decode_pieces(self._chunks.receive_data(data), out)

    def _decode_pieces(self, pieces: list[bytes], out: list[Frame]) -> None:
        for piece in pieces:
            out += self._frames.receive_data(piece)
            if self._frames.error is not None:
                raise self._frames.error
        if self._chunks.error is not None:
            raise self._chunks.error
        if self._chunks.ended:
            self._frames.receive_eof()
        if self._frames.at_border:
            self._kept = self._chunks.hand_back()
