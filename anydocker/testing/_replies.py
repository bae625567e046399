"""The bytes a scripted engine answers with, and how they reach the client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from itertools import pairwise
from typing import final

import attrs

__all__ = ("Reply", "chunked_reply", "json_reply", "upgraded_reply")


@final
@attrs.frozen
class Reply:
    """
    The bytes of one answer, head included, and what is to go wrong with them.

    ``attrs.evolve(reply, cut_at=100)`` makes a damaged copy. Offsets are bytes of ``data``, head and all.

    Attributes:
        data: What is written, exactly.
        split: Write it in pieces, and let the client read each of them before the next: a number is the size
            of every piece in bytes, a sequence holds the offsets where new pieces begin. None: in one piece.
        cut_at: Write no more than this many bytes, then close the connection.
        stall_at: Stop after this many bytes until :meth:`ScriptedEngine.resume`.
        reset: Close in such a way that the client reads a reset connection after the bytes, not an end.
        keep_alive: Wait for another request on the same connection afterwards, unless it was cut or reset.
        before_body: Answer as soon as the head of the request is in. Its body is not read, and the connection
            is closed.

    Raises:
        ValueError: An offset lies outside of the data or behind the cut, or a piece would be empty.
    """

    data: bytes = attrs.field(repr=False)
    split: int | Sequence[int] | None = attrs.field(default=None, kw_only=True)
    cut_at: int | None = attrs.field(default=None, kw_only=True)
    stall_at: int | None = attrs.field(default=None, kw_only=True)
    reset: bool = attrs.field(default=False, kw_only=True)
    keep_alive: bool = attrs.field(default=False, kw_only=True)
    before_body: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.split, int) and self.split < 1:
            raise ValueError(f"pieces of {self.split} bytes")
        if not 0 <= self.end <= len(self.data):
            raise ValueError(f"cut at {self.cut_at}, but there are {len(self.data)} bytes")
        if self.stall_at is not None and not 0 <= self.stall_at <= self.end:
            raise ValueError(f"stalled at {self.stall_at}, but {self.end} bytes are written")

    @property
    def end(self) -> int:
        """How many bytes are written."""
        return len(self.data) if self.cut_at is None else self.cut_at

    @property
    def head_size(self) -> int:
        """The size of the head in bytes: the offset of the first byte of the body."""
        return self.data.index(b"\r\n\r\n") + 4

    @property
    def closes(self) -> bool:
        """Whether the connection is closed afterwards."""
        return self.reset or self.before_body or self.cut_at is not None or not self.keep_alive

    def pieces(self) -> list[tuple[int, bytes]]:
        """The pieces to write, each with its offset."""
        marks = sorted({0, self.end, *(mark for mark in self._marks() if 0 < mark < self.end)})
        return [(start, self.data[start:stop]) for start, stop in pairwise(marks)]

    def _marks(self) -> Iterable[int]:
        stall = () if self.stall_at is None else (self.stall_at,)
        if isinstance(self.split, int):
            return (*stall, *range(0, self.end, self.split))
        return (*stall, *(self.split or ()))


def json_reply(document: object, status: int = 200, *, content_type: str = "application/json") -> Reply:
    """A complete answer with a JSON document, on a connection that stays open."""
    body = json.dumps(document).encode() + b"\n"
    head = _head(status, {"Content-Type": content_type, "Content-Length": str(len(body))})
    return Reply(head + body, keep_alive=True)


def chunked_reply(chunks: Iterable[bytes], status: int = 200, *, content_type: str = "application/json") -> Reply:
    """
    A complete answer in chunked transfer-coding, on a connection that stays open.

    Raises:
        ValueError: A chunk is empty: that would be the end of the body.
    """
    pieces = [_head(status, {"Content-Type": content_type, "Transfer-Encoding": "chunked"})]
    for chunk in chunks:
        if not chunk:
            raise ValueError("an empty chunk ends the body")
        pieces.append(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    return Reply(b"".join((*pieces, b"0\r\n\r\n")), keep_alive=True)


def upgraded_reply(data: bytes, *, content_type: str = "application/vnd.docker.raw-stream") -> Reply:
    """The answer to attach and exec: the connection becomes a stream of ``data``, and is closed behind it."""
    head = _head(101, {"Content-Type": content_type, "Connection": "Upgrade", "Upgrade": "tcp"}, reason="UPGRADED")
    return Reply(head + data)


def _head(status: int, headers: dict[str, str], *, reason: str | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} {reason or HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode("ascii")
