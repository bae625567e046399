"""
HTTP/1.1 chunked transfer-coding, decoded in bulk.

Theory of operation. An engine writes one chunk for each flush, so a followed log is a chunk for every line: the
cost of a chunk is the cost of the stream. One pass over what a read delivered takes out as many chunks as it
holds. A size line costs a dictionary look-up, because a stream has few distinct ones. What is left over, at most
a size line and a short chunk, is kept in front of the next read, so that the fast path is never left. A chunk too
long to be kept is handed out in parts as they arrive: a chunk's borders mean nothing to the reader of the body.

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
# Distinct size lines remembered. A hostile engine can make each one new; then it is parsed each time.
_MAX_REMEMBERED: Final = 1024

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
        self._kept = b""
        self._open = 0  # bytes still to come of a chunk that is handed out in parts, with its CRLF
        self._in_trailers = False
        self._trailers = 0  # bytes of the trailer section that have been read
        self._sizes: dict[bytes, int] = {}

    def hand_back(self) -> bytes | None:
        """Give back the bytes that are kept, which begin with a size line; None: there is none where it stands."""
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
        pos = 0
        if self._open:
            pos = self._take_open(data, out)
        sizes = self._sizes
        append = out.append
        find = data.find
        total = len(data)
        while not (self._open or self._in_trailers):
            eol = find(b"\r\n", pos)
            if eol < 0:
                # One more than a line may have: it could be the carriage return of its end.
                if total - pos > _MAX_SIZE_LINE + 1:
                    raise ProtocolError(f"a chunk size line of the response is longer than {_MAX_SIZE_LINE} bytes")
                self._kept = data[pos:]
                return
            line = data[pos:eol]
            size = sizes.get(line)
            if size is None:
                size = self._parse_size(line)
            start = eol + 2
            stop = start + size
            if size == 0:
                self._in_trailers = True
                pos = start
            elif stop + 2 <= total:
                if data[stop] != 13 or data[stop + 1] != 10:
                    raise ProtocolError("a chunk of the response is not followed by CRLF")
                append(data[start:stop])
                pos = stop + 2
            elif size <= _KEPT_CHUNK:
                self._kept = data[pos:]
                return
            else:
                self._open = size + 2
                self._take_open(data[start:], out)
                return
        if self._in_trailers:
            self._take_trailers(data, pos)

    def _take_open(self, data: bytes, out: list[bytes]) -> int:
        """Hand out a part of a long chunk; return where the next size line starts."""
        self._kept = b""
        body = min(self._open - 2, len(data))
        if body > 0:
            out.append(data[:body])
            self._open -= body
        if self._open > 2:
            return len(data)
        end = data[max(body, 0) :][: self._open]
        if not b"\r\n"[-self._open :].startswith(end):
            raise ProtocolError("a chunk of the response is not followed by CRLF")
        self._open -= len(end)
        return max(body, 0) + len(end)

    def _parse_size(self, line: bytes) -> int:
        match = _SIZE_LINE.fullmatch(line)
        if match is None or len(line) > _MAX_SIZE_LINE:
            raise ProtocolError(f"not a chunk size: {line[:40]!r}")
        size = int(match[1], 16)
        if len(self._sizes) < _MAX_REMEMBERED and len(line) <= 20:
            self._sizes[line] = size
        return size

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
