"""
Heads of HTTP/1.1 messages: ours, and the plain ones that engines send.

Theory of operation. h11 judges heads, and takes 50 µs for a request and its response, which is most of what a small
call costs. But engines send very plain heads: one status line, then ``Name: value`` lines, no name twice, one way to
frame the body. One regular expression knows that shape and nothing else, and takes a tenth of the time. Whatever it
does not match in full is no error here: the caller gives it to h11, whose word is final. So the fast path may only ever
accept what h11 accepts, with the same outcome; the tests hold the two against each other.

Requests are built from parts that have been checked by the same kind of expression: nothing in them can end a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ("Head", "build_request", "head_end", "parse_plain_head")

_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_TARGET: Final = re.compile(r"/[\x21-\x7e]*")
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|")

# Fields that say the same in most requests, and no secret, so that their lines can be remembered.
_SAME: Final = frozenset({"Host", "User-Agent", "Content-Type", "Content-Length", "Transfer-Encoding"})

_END: Final = re.compile(rb"\n\r?\n")
_PLAIN: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) [\x20-\x7e]*\r\n((?:[A-Za-z0-9-]+: [\x21-\x7e][\x20-\x7e]*\r\n)*)\r\n"
)
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
# Bytes of a head that may be remembered; engines send some hundred.
_REMEMBERED_HEAD: Final = 4096


class Head(NamedTuple):
    """The head of a response."""

    status: int
    """The status."""
    headers: dict[str, str]
    """The fields by their lower-case names."""
    keep_alive: bool
    """Whether the connection may carry another exchange after this one."""


def build_request(method: str, target: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """
    The head of a request.

    Raises:
        ValueError: A part could break out of its place, such as a line feed in a field; the message names it.
    """
    if not _METHOD.fullmatch(method):
        msg = f"method={method!r}: expected one such as 'GET'"
        raise ValueError(msg)
    if not _TARGET.fullmatch(target):
        msg = f"{target!r} cannot stand in a request"
        raise ValueError(msg)
    lines = [_same_line(*field) if field[0] in _SAME else _line(*field) for field in fields]
    return f"{method} {target} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1")


def _line(name: str, value: str) -> str:
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        # The value may be a secret.
        msg = f"headers: {name!r} or its value cannot stand in a request"
        raise ValueError(msg)
    return f"{name}: {value}\r\n"


_same_line: Final = lru_cache(maxsize=64)(_line)


def head_end(data: bytes, known: int = 0) -> int | None:
    """
    Where the first head in ``data`` ends, by the laxest rule there is; None: it goes on.

    Args:
        data: What has come.
        known: How much of it is known to hold no end.
    """
    match = _END.search(data, max(known - 2, 0))
    return match and match.end()


def parse_plain_head(data: bytes) -> tuple[Head, bytes] | None:
    """Read a plain head and return it with what follows it; None where it takes h11 to judge."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    read = _read_plain if end <= _REMEMBERED_HEAD else _read_plain.__wrapped__
    plain = read(data[:end])
    if plain is None:
        return None
    status, headers = plain
    return Head(status, headers.copy(), True), data[end:]


@lru_cache(maxsize=64)
def _read_plain(data: bytes) -> tuple[int, dict[str, str]] | None:
    # Within a second, the answers to calls of one kind have the same head to the letter.
    match = _PLAIN.fullmatch(data)
    if match is None:
        return None
    lines = match[2].decode("ascii").split("\r\n")
    lines.pop()
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value.rstrip(" ")
    if len(headers) != len(lines) or not _is_plain(headers):
        return None
    return int(match[1]), headers


def _is_plain(headers: dict[str, str]) -> bool:
    """Whether there is nothing to say about the connection, and one way to frame the body at the most."""
    if "connection" in headers:
        return False
    length = headers.get("content-length")
    if "transfer-encoding" in headers:
        return headers["transfer-encoding"] == "chunked" and length is None
    return length is None or _LENGTH.fullmatch(length) is not None
