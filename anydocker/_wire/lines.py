"""
Lines of output, put together from frames.

Theory of operation. A frame may end inside a line, and stdout and stderr take turns at any point, so each stream
keeps its own unfinished line. A line feed is never part of a longer UTF-8 sequence: a finished line is decoded as
a whole, and no character can be split. Bytes that are not UTF-8 become U+FFFD.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from anydocker._wire.frames import Frame, StreamName
from anydocker._wire.records import maker, record

__all__ = ("MAX_LINE", "Line", "LineDecoder")

# Bytes of a line kept in memory while its end has not come; what is longer is handed out in parts of about this size.
MAX_LINE: Final = 1024 * 1024


@record
class Line(NamedTuple):
    """A line of output."""

    stream: StreamName
    """``"stdout"`` or ``"stderr"``."""
    text: str
    """The line without its line feed (or carriage return and line feed); bytes that are not UTF-8 are U+FFFD."""


_line = maker(Line)


class LineDecoder:
    """Puts lines together."""

    def __init__(self) -> None:
        self._kept: dict[StreamName, bytearray] = {}

    def receive_frames(self, frames: Iterable[Frame]) -> list[Line]:
        """The lines that these frames complete, in the order in which they were completed."""
        out: list[Line] = []
        append = out.append
        kept = self._kept
        for stream, piece in frames:
            data = piece
            if stream in kept:
                unfinished = kept[stream]
                unfinished += piece
                if b"\n" not in piece and len(unfinished) <= MAX_LINE:
                    continue
                data = bytes(kept.pop(stream))
            *lines, rest = data.split(b"\n")
            for line in lines:
                text = line[:-1] if line.endswith(b"\r") else line
                append(_line((stream, text.decode(errors="replace"))))
            if len(rest) > MAX_LINE:
                cut = _character_border(rest)
                append(_line((stream, rest[:cut].decode(errors="replace"))))
                rest = rest[cut:]
            if rest:
                kept[stream] = bytearray(rest)
        return out

    def receive_eof(self) -> list[Line]:
        """The lines that the end of the output completes."""
        out = [_line((stream, data.decode(errors="replace"))) for stream, data in self._kept.items()]
        self._kept.clear()
        return out


def _character_border(data: bytes) -> int:
    """Where ``data`` can be cut near its end without splitting a character."""
    cut = len(data)
    for back in range(1, 4):
        byte = data[cut - back]
        if byte & 0xC0 != 0x80:  # not a continuation byte: a character starts here
            return cut - back if byte >= 0xC0 else cut
    return cut
