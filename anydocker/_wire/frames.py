"""
The engine's multiplexed stream: stdout and stderr of a process on one connection.

Theory of operation. Each frame is a header of 8 bytes, ``[kind, 0, 0, 0, length]`` with a big-endian 32-bit
length, and that many bytes of output (the "Stream format" of ``ContainerAttach``). Kind 1 is stdout, 2 is stderr;
0 is stdin echoed by old engines, which every client shows on stdout. Kind 3 carries an error of the engine
itself, not output of the process.

A frame is handed out whole. Frames come as long as the engine's copy buffer, 32 KiB, so a header that announces
more than MAX_FRAME is not the header of a frame but the sign that the stream is not multiplexed at all, or that
it lost its step.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, Literal, NamedTuple

from anydocker._wire.pieces import Pieces, keep
from anydocker._wire.records import maker, record
from anydocker.errors import ProtocolError, StreamError, TruncatedStream

__all__ = ("MAX_FRAME", "STREAMS", "Frame", "FrameDecoder", "StreamName", "TextDecoder", "frame")

# Bytes of one frame. 16 MiB: 512 times the engine's copy buffer, and more than the longest message a log driver keeps.
MAX_FRAME: Final = 16 * 1024 * 1024

# Distinct headers remembered: a look-up costs less than taking a header apart. A hostile engine can make each one new.
_MAX_REMEMBERED: Final = 4096

_HEADER: Final = Struct(">LL")
_SYSTEM_ERROR: Final = 3 << 24

StreamName = Literal["stdout", "stderr"]
STREAMS: Final[dict[int, StreamName]] = {0: "stdout", 1 << 24: "stdout", 2 << 24: "stderr"}


@record
class Frame(NamedTuple):
    """A piece of output, as the engine flushed it."""

    stream: StreamName
    """``"stdout"`` or ``"stderr"``. A terminal has only one stream, which is ``"stdout"``."""
    data: bytes
    """The bytes written. A piece, not a line: it may end inside a line or a character."""


frame = maker(Frame)


class FrameDecoder:
    """
    Takes a multiplexed stream apart.

    Attributes:
        error: What is wrong with the bytes behind those already decoded, if anything.
    """

    def __init__(self) -> None:
        self.error: ProtocolError | StreamError | None = None
        self._kept: Pieces = []
        self._kept_size = 0
        self._known: dict[bytes, tuple[StreamName, int]] = {}
        self._needed = 8  # bytes that have to be there before the next frame can be taken

    @property
    def at_border(self) -> bool:
        """Whether the next byte is the first of a header."""
        return not self._kept_size

    def receive_data(self, data: bytes) -> list[Frame]:
        """Decode a piece of the body into the frames it completes. An error behind a good one waits in ``error``."""
        if self.error is not None:
            raise self.error
        if self._kept:
            keep(self._kept, data)
            self._kept_size += len(data)
            if self._kept_size < self._needed:
                return []
            data = b"".join(self._kept)
        out: list[Frame] = []
        try:
            self._decode(data, out)
        except (ProtocolError, StreamError) as exc:
            self.error = exc
            if not out:
                raise
        return out

    def receive_eof(self) -> list[Frame]:
        """
        Learn that the body has ended.

        Raises:
            TruncatedStream: It ended inside a frame.
        """
        if self.error is not None:
            raise self.error
        if self._kept_size:
            raise TruncatedStream(
                f"the output ended inside a frame: {self._kept_size} of at least {self._needed} bytes came"
            )
        return []

    def _decode(self, data: bytes, out: list[Frame]) -> None:
        known = self._known
        append = out.append
        make = frame
        total = len(data)
        needed = 8
        size = pos = 0
        start = 8
        while pos < total:
            try:
                name, size = known[data[pos:start]]
            except KeyError:
                if start > total:
                    break
                stop = start + self._learn(data, pos)
                if stop > total:
                    needed = stop - pos
                    break
                if stop > start:
                    continue
                pos = stop  # an empty frame is no output
            else:
                pos = start + size
                append(make((name, data[start:pos])))
            start = pos + 8
        if pos > total:
            # Looked at here, once: the last one is not whole.
            out.pop()
            needed = size + 8
            pos -= needed
        self._needed = needed
        self._kept_size = total - pos
        self._kept = [data[pos:]] if pos < total else []

    def _learn(self, data: bytes, pos: int) -> int:
        """Remember the header at ``pos``; return the length of its frame."""
        kind, size = _HEADER.unpack_from(data, pos)
        if size > MAX_FRAME or (kind not in STREAMS and kind != _SYSTEM_ERROR):
            raise ProtocolError(f"not the header of a frame: {data[pos : pos + 8]!r}")
        if kind != _SYSTEM_ERROR:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            if size:
                self._known[data[pos : pos + 8]] = (STREAMS[kind], size)
        elif pos + 8 + size <= len(data):
            raise StreamError(data[pos + 8 : pos + 8 + size].decode(errors="replace"))
        return int(size)


class TextDecoder:
    """The output of a terminal: one stream without frames, so every piece is one. Never torn."""

    def __init__(self) -> None:
        self.error: ProtocolError | StreamError | None = None

    def receive_data(self, data: bytes) -> list[Frame]:
        """Hand the piece on."""
        return [frame(("stdout", data))] if data else []

    def receive_eof(self) -> list[Frame]:
        """Nothing is kept, so nothing is missing."""
        return []
