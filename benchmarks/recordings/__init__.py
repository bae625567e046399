"""
What a real engine answered, byte for byte, in its own pieces.

A recording is the head of a response and its body as the engine cut it: a piece for each HTTP chunk, or for each
frame of an upgraded connection. They are JSON files, one character for each byte, so that they can be reviewed.
``python -m benchmarks.record`` makes them anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final, Self

import attrs

__all__ = ("Recording",)

_HERE: Final = Path(__file__).parent
_LENGTH: Final = re.compile(rb"(?i)(\r\ncontent-length: )\d+")


@attrs.frozen
class Recording:
    """
    A response.

    Attributes:
        head: Status line and fields, with the empty line.
        pieces: The body, in the pieces in which the engine wrote it.
    """

    head: bytes
    pieces: tuple[bytes, ...]

    @classmethod
    def load(cls, name: str) -> Self:
        """Read the recording of that name."""
        document = json.loads((_HERE / f"{name}.json").read_text())
        return cls(document["head"].encode("latin-1"), tuple(piece.encode("latin-1") for piece in document["pieces"]))

    def save(self, name: str) -> None:
        """Write it under that name."""
        document = {"head": self.head.decode("latin-1"), "pieces": [piece.decode("latin-1") for piece in self.pieces]}
        (_HERE / f"{name}.json").write_text(json.dumps(document, indent=0) + "\n")

    @property
    def chunked(self) -> bool:
        """Whether the body is in HTTP chunks."""
        return b"transfer-encoding: chunked" in self.head.lower()

    def encode(self, pieces: tuple[bytes, ...]) -> bytes:
        """A response with this head and another body, framed as this one is."""
        if self.chunked:
            return self.head + b"".join(map(chunk, pieces)) + LAST_CHUNK
        body = b"".join(pieces)
        return _LENGTH.sub(rb"\g<1>%d" % len(body), self.head) + body


LAST_CHUNK: Final = b"0\r\n\r\n"


def chunk(piece: bytes) -> bytes:
    """A chunk as Go's net/http writes it."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
