"""
A stream of JSON documents, whatever lies between them.

Theory of operation. Engines end a document with CR LF (progress), with LF (events, statistics; Podman always), or
begin it with RS (``application/json-seq``, RFC 7464); some clients of the same wire have met none of these. A
document may be split anywhere between two reads, inside a UTF-8 character too, and several may come in one.

Up to the last line feed the bytes are whole characters, so that part is decoded at once and the standard
library's scanner takes document after document out of the text, with no line split and none copied. What follows
the last line feed is watched by a small scanner of our own that knows strings, braces and brackets, no more: it
finds the end of a document that no line feed follows, and tells a document that is not complete from one that is
malformed. It remembers how far it came, so a document in a thousand parts is still read once.

Only objects and arrays can be told complete without a delimiter; other values need white space behind them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NoReturn

from anydocker._wire.pieces import Pieces, keep
from anydocker.errors import ProtocolError, TruncatedStream

__all__ = ("MAX_DOCUMENT", "JSONDecoder", "dumps", "loads")

# Bytes of one document. 16 MiB: the largest that engines stream, a build trace with its logs, stays below 1 MiB.
MAX_DOCUMENT: Final = 16 * 1024 * 1024

_SPACE: Final = "\r\n \t\x1e"
_SPACE_BYTES: Final = b" \t\r\n\x1e"
# What ends a value or begins one that spans lines, between documents; what changes the depth or opens a string,
# inside a document; what ends a string, or hides its end.
_BETWEEN: Final = re.compile(rb'["{}\[\]\n]')
_OUTSIDE: Final = re.compile(rb'["{}\[\]]')
_INSIDE: Final = re.compile(rb'["\\]')


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


# What JSONDecoder.raw_decode calls; it has no underscore, but the type stubs leave it out.
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(parse_constant=_refuse_constant).scan_once  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def loads(data: bytes) -> Any:
    """
    Decode one document.

    Raises:
        ProtocolError: It is not JSON in UTF-8.
    """
    documents: list[Any] = []
    try:
        _decode_documents(data, documents)
    except (ValueError, RecursionError) as exc:
        raise _malformed(data, exc) from exc
    if len(documents) != 1:
        raise _malformed(data, ValueError(f"{len(documents)} documents where one was expected"))
    return documents[0]


def dumps(document: object) -> bytes:
    """
    Encode one document.

    Raises:
        TypeError: It holds something JSON has no form for.
        ValueError: It holds an infinite number or NaN.
    """
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


class JSONDecoder:
    """
    Takes documents out of a stream.

    Attributes:
        error: What is wrong with the bytes behind those already decoded, if anything.
    """

    def __init__(self) -> None:
        self.error: ProtocolError | None = None
        self._kept: Pieces = []
        self._kept_size = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def receive_data(self, data: bytes) -> list[Any]:
        """Decode a piece of the body into the documents it completes. An error behind a good one waits in ``error``."""
        if self.error is not None:
            raise self.error
        out: list[Any] = []
        try:
            self._decode(data, out)
        except ProtocolError as exc:
            self.error = exc
            if not out:
                raise
        return out

    def receive_eof(self) -> list[Any]:
        """
        Learn that the body has ended; what only its end completes, such as a bare number, is returned.

        Raises:
            TruncatedStream: It ended inside a document.
        """
        if self.error is not None:
            raise self.error
        rest = b"".join(self._kept)
        self._kept.clear()
        if not rest.strip(_SPACE_BYTES):
            return []
        if self._depth or self._in_string:
            raise TruncatedStream(f"the response ended inside a JSON document, after {rest[-40:]!r}")
        out: list[Any] = []
        self._complete(rest, out)
        return out

    def _decode(self, data: bytes, out: list[Any]) -> None:
        if self._kept:
            border = self._find_end(data, 0)
            if border is None:
                self._keep(data)
                return
            self._complete(data[:border], out)
            data = data[border:]
        done = len(out)
        end = data.rfind(b"\n") + 1
        if end:
            try:
                _decode_documents(data[:end], out)
            except (ValueError, RecursionError):
                # Malformed, or a document that goes on behind the line feed: the scanner of brackets can tell.
                del out[done:]
                end = 0
        if end < len(data):
            self._decode_general(data[end:] if end else data, out)

    def _decode_general(self, data: bytes, out: list[Any]) -> None:
        """Find the borders of documents by their brackets."""
        start = 0
        while (end := self._find_end(data, start)) is not None:
            self._complete(data[start:end], out)
            start = end
        if start < len(data):
            self._keep(data[start:] if start else data)

    def _complete(self, piece: bytes, out: list[Any]) -> None:
        """Decode what a border ends: what is kept, and a piece more."""
        document = b"".join((*self._kept, piece)) if self._kept else piece
        self._kept.clear()
        self._kept_size = 0
        if not document.strip(_SPACE_BYTES):
            return
        try:
            _decode_documents(document, out)
        except (ValueError, RecursionError) as exc:
            raise _malformed(document, exc) from exc

    def _keep(self, data: bytes) -> None:
        if not self._kept and not data.strip(_SPACE_BYTES):
            return
        keep(self._kept, data)
        self._kept_size += len(data)
        if self._kept_size > MAX_DOCUMENT:
            raise ProtocolError(f"a JSON document of the response is longer than {MAX_DOCUMENT} bytes")

    def _find_end(self, data: bytes, pos: int) -> int | None:
        """Where the first document that ends in ``data[pos:]`` does, or a line feed at depth 0; None: in neither."""
        while True:
            if self._in_string:
                if self._escaped and pos < len(data):
                    pos += 1
                    self._escaped = False
                match = _INSIDE.search(data, pos)
                if match is None:
                    return None
                pos = match.end()
                if match[0] == b'"':
                    self._in_string = False
                else:
                    self._escaped = True
                continue
            match = (_OUTSIDE if self._depth else _BETWEEN).search(data, pos)
            if match is None:
                return None
            pos = match.end()
            token = match[0]
            if token == b"\n":
                # A value that is no object or array ends with its line.
                return pos
            if token == b'"':
                self._in_string = True
            elif token in b"{[":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth <= 0:
                    self._depth = 0
                    return pos


def _decode_documents(data: bytes, out: list[Any]) -> None:
    """Decode documents, all of them whole. What msgspec refuses, the standard library judges: it has the last word."""
    decode_lines = fast_decoder()
    if decode_lines is not None:
        try:
            out += decode_lines(data)
        except (ValueError, RecursionError):
            decode_lines = None
    if decode_lines is None:
        _scan_documents(data.decode(), out)


@cache
def fast_decoder() -> Callable[[bytes], list[Any]] | None:
    """What decodes documents where ``anydocker[fast]`` is installed. Both decoders give equal values."""
    try:
        from msgspec.json import Decoder  # noqa: PLC0415 - it is an extra, and takes a while to import
    except ImportError:
        return None
    return Decoder().decode_lines


def _scan_documents(text: str, out: list[Any]) -> None:
    append = out.append
    pos = 0
    total = len(text)
    while pos < total:
        if text[pos] in _SPACE:
            pos += 1
            continue
        try:
            document, pos = _scan(text, pos)
        except StopIteration:
            raise ValueError(f"no JSON value at {text[pos : pos + 40]!r}") from None
        append(document)


def _malformed(data: bytes, exc: Exception) -> ProtocolError:
    reason = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)
    return ProtocolError(f"the response holds something that is not JSON: {data[:80]!r} ({reason})")
