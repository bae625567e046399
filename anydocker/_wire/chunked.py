"""
HTTP/1.1 chunked transfer-coding, decoded in bulk.

Theory of operation. An engine writes one chunk for each flush, so a followed log is a chunk for every line: the
cost of a chunk is the cost of the stream. One pass over what a read delivered takes out as many chunks as it
holds. What stands between two chunks, the CRLF that ends one and the size line of the next, is looked up as a whole,
because a stream has few distinct ones, most of the same width as the one before. What is left over, at most that and
a short chunk, is kept in front of the next read, so that the fast path is never left. A chunk too long to be kept is
handed out in parts as they arrive: a chunk's borders mean nothing to the reader of the body.

The grammar is RFC 9112, section 7.1. Trailer fields are read and dropped, as section 7.1.2 permits.
"""

from __future__ import annotations

import re
from typing import Final

from anydocker.errors import ProtocolError, TruncatedStream

__all__ = ("ChunkedDecoder",)

# Bytes of a chunk that are kept until it is whole: enough for a line of a log or a document.
_KEPT_CHUNK: Final = 4 * 1024
# Bytes of a size line with its extensions, the limit of Go's net/http.
_MAX_SIZE_LINE: Final = 4096
# Bytes of a trailer section, the limit of h11 and of most servers for a head.
_MAX_TRAILERS: Final = 16 * 1024
# Distinct size lines remembered, and their bytes. A hostile engine can make each one new; then each is parsed.
_MAX_REMEMBERED: Final = 1024
_REMEMBERED_LINE: Final = 20

# Twenty digits, as in h11: more than any length, and int() stays cheap.
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,20})[ \t]*(?:;[^\x00\r\n]*)?")
_TRAILER: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00\r\n]*")


class ChunkedDecoder:
    """
    Takes the chunked coding off a message body.

    Attributes:
        ended: Whether the last chunk and the trailer section have been read.
        leftover: What came behind the end of the message.
        error: What is wrong with the bytes behind those already decoded, if anything.
    """

    def __init__(self) -> None:
        self.ended = False
        self.leftover = b""
        self.error: ProtocolError | None = None
        self._kept = b"\r\n"  # as if a chunk had just ended: every size line has the end of one before it
        self._open = 0  # bytes still to come of a chunk that is handed out in parts
        self._in_trailers = False
        self._trailers = 0  # bytes of the trailer section that have been read
        self._known: dict[bytes, int] = {}
        self._width = 0  # of what stood between the last two chunks

    def hand_back(self) -> bytes | None:
        """Give back the bytes that are kept, which begin with the CRLF of a chunk; None: it stands inside one."""
        if self._open or self._in_trailers or self.ended:
            return None
        kept, self._kept = self._kept, b""
        return kept

    def receive_data(self, data: bytes) -> list[bytes]:
        """Decode what a read returned, into pieces of the body. An error behind a good piece waits in ``error``."""
        if self.error is not None:
            raise self.error
        out: list[bytes] = []
        try:
            self._decode(self._kept + data if self._kept else data, out)
        except ProtocolError as exc:
            self.error = exc
            if not out:
                raise
        return out

    def receive_eof(self) -> None:
        """
        Learn that the connection has ended.

        Raises:
            TruncatedStream: The last chunk has not been seen.
        """
        if self.error is not None:
            raise self.error
        if not self.ended:
            raise TruncatedStream("the connection ended before the last chunk of the response")

    def _decode(self, data: bytes, out: list[bytes]) -> None:
        self._kept = b""
        pos = 0
        if self._open and data:
            pos = min(self._open, len(data))
            out.append(data[:pos])
            self._open -= pos
        if not self._in_trailers:
            pos = self._decode_chunks(data, pos, out)
        if self._in_trailers:
            self._take_trailers(data, pos)

    def _decode_chunks(self, data: bytes, pos: int, out: list[bytes]) -> int:
        """Take chunks; return where the trailer section begins, if it does."""
        known = self._known.get
        append = out.append
        width = self._width
        total = len(data)
        last = total - 2  # behind it is at most the CRLF that ends a chunk: a read mostly ends there
        size = 0
        while pos < last:
            start = pos + width
            found = known(data[pos:start])
            if found is None:
                found, ahead = self._learn(data, pos)
                if not found:
                    return pos + ahead
                self._width = width = ahead
                start = pos + width
            size = found
            pos = start + size
            append(data[start:pos])
        if pos > total:
            # Looked at here, once: the last one is not whole.
            out.pop()
            self._keep_part(data, pos - size, size, out)
        elif pos < total:
            self._learn(data, pos)
        return pos

    def _learn(self, data: bytes, pos: int) -> tuple[int, int]:
        """
        Read what stands in front of a chunk.

        Returns:
            The size of the chunk, and the width of what stands in front; size 0: it is the last one, or not all there.
        """
        if data[pos] != 13 or data[pos + 1 : pos + 2] not in b"\n":
            raise ProtocolError("a chunk of the response is not followed by CRLF")
        line_end = data.find(b"\r\n", pos + 2)
        if line_end < 0:
            # One more than a line may have: it could be the carriage return of its end.
            if len(data) - pos - 2 > _MAX_SIZE_LINE + 1:
                raise ProtocolError(f"a chunk size line of the response is longer than {_MAX_SIZE_LINE} bytes")
            self._kept = data[pos:]
            return 0, len(data) - pos
        line = data[pos + 2 : line_end]
        match = _SIZE_LINE.fullmatch(line)
        if match is None or len(line) > _MAX_SIZE_LINE:
            raise ProtocolError(f"not a chunk size: {line[:40]!r}")
        size = int(match[1], 16)
        if not size:
            self._in_trailers = True
        elif len(self._known) < _MAX_REMEMBERED and len(line) <= _REMEMBERED_LINE:
            self._known[data[pos : line_end + 2]] = size
        return size, line_end + 2 - pos

    def _keep_part(self, data: bytes, start: int, size: int, out: list[bytes]) -> None:
        """Keep the part of a chunk that has come, or hand it out, if the chunk is a long one."""
        if size <= _KEPT_CHUNK or start > len(data):
            self._kept = data[start - self._width :]
            return
        self._open = start + size - len(data)
        if start < len(data):
            out.append(data[start:])

    def _take_trailers(self, data: bytes, pos: int) -> None:
        while True:
            eol = data.find(b"\r\n", pos)
            size = self._trailers + (eol + 2 if eol >= 0 else len(data)) - pos
            if size > _MAX_TRAILERS:
                raise ProtocolError(f"the trailers of the response are longer than {_MAX_TRAILERS} bytes")
            if eol < 0:
                self._kept = data[pos:]
                return
            if eol == pos:
                self.ended = True
                self._kept = b""
                self.leftover = data[eol + 2 :]
                return
            if not _TRAILER.fullmatch(data, pos, eol):
                raise ProtocolError(f"not a trailer field: {data[pos:eol][:40]!r}")
            self._trailers = size
            pos = eol + 2
