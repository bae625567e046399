"""
Tars, taken apart as they come.

The standard library parses the headers; what it lacks is a reader that can stop anywhere and be fed again.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from enum import Enum, auto
from io import BytesIO
from typing import Final, TypeAlias

from anydocker.errors import ProtocolError, TruncatedStream

__all__ = ("MemberEnd", "TarEvent", "TarReader")

# Headers that tell more about the member behind them: long names, times, sizes above 8 GiB.
_EXTENDED: Final = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
# Bytes of a member's headers, which have to be in memory at once. Those that engines send stay below 10 KiB.
_MAX_HEAD: Final = 1024 * 1024
_ZEROS: Final = bytes(tarfile.BLOCKSIZE)


class MemberEnd(Enum):
    """The mark behind the content of a member."""

    MEMBER_END = auto()


TarEvent: TypeAlias = tarfile.TarInfo | memoryview | MemberEnd
"""A header, then the member's content in as many pieces as it comes in, then the mark of its end."""


class TarReader:
    """
    Takes one tar apart.

    Attributes:
        ended: Whether the mark of its end has come. What follows it is ignored.
        member: The name of the member that is not complete, or that was the last to be.
        is_inside: Whether that one is not complete.
    """

    def __init__(self) -> None:
        self.ended = False
        self.member = ""
        self.is_inside = False
        self._rest = b""  # of what came: too short for a header
        self._missing = 0  # bytes of content
        self._padding = 0  # bytes behind it

    def receive_data(self, data: bytes) -> Iterator[TarEvent]:
        """
        Take a piece apart. The events have to be used up before the next one.

        Raises:
            ProtocolError: It is no tar.
        """
        view = memoryview(self._rest + data)
        self._rest = b""
        while view and not self.ended:
            if self.is_inside:
                content, view = view[: self._missing], view[self._missing :]
                self._missing -= len(content)
                if content:
                    yield content
                if not self._missing:
                    self.is_inside = False
                    yield MemberEnd.MEMBER_END
            elif self._padding:
                skipped = min(self._padding, len(view))
                self._padding -= skipped
                view = view[skipped:]
            else:
                size = _head_size(view)
                if size is None:
                    self._rest = bytes(view)
                    return
                head, view = bytes(view[:size]), view[size:]
                if head == _ZEROS:
                    self.ended = True
                else:
                    yield from self._begin(_parse(head))

    def _begin(self, info: tarfile.TarInfo) -> Iterator[TarEvent]:
        # Links and directories may state a size, and have no content all the same.
        has_content = info.isreg() or info.type not in tarfile.SUPPORTED_TYPES
        self.member = info.name
        self._missing = info.size if has_content else 0
        self._padding = -self._missing % tarfile.BLOCKSIZE
        self.is_inside = self._missing > 0
        yield info
        if not self.is_inside:
            yield MemberEnd.MEMBER_END

    def receive_eof(self) -> None:
        """
        Learn that the tar has ended.

        Raises:
            TruncatedStream: Its end mark has not come; the message says where it broke off.
        """
        if not self.ended:
            raise TruncatedStream(f"the archive has no end: {self.where}")

    @property
    def where(self) -> str:
        """How far the tar has come, in words."""
        if self.is_inside:
            return f"{self.member!r} is incomplete"
        return f"it broke off behind {self.member!r}" if self.member else "it broke off before the first file"


def _head_size(view: memoryview) -> int | None:
    """How many bytes the headers of the next member take; None: not all of them are there."""
    end = 0
    while end <= _MAX_HEAD:
        block = bytes(view[end : end + tarfile.BLOCKSIZE])
        if len(block) < tarfile.BLOCKSIZE:
            return None
        end += tarfile.BLOCKSIZE
        if block == _ZEROS:
            return end
        info = _header(block)
        if info.type not in _EXTENDED:
            return end
        end += info.size + -info.size % tarfile.BLOCKSIZE
    raise ProtocolError(f"not a tar an engine sends: the headers of a file take more than {_MAX_HEAD} bytes")


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return _checked(tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape"))
    except tarfile.TarError as exc:
        raise ProtocolError(f"not a tar: {exc} at {block[:20]!r}") from exc


def _parse(head: bytes) -> tarfile.TarInfo:
    """The header, with what the extended ones in front of it say."""
    if len(head) == tarfile.BLOCKSIZE:
        return _header(head)
    try:
        with tarfile.open(fileobj=BytesIO(head), mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
            info = tar.next()
    except (tarfile.TarError, ValueError, OverflowError) as exc:
        raise ProtocolError(f"not a tar: {exc}") from exc
    if info is None:
        raise ProtocolError("not a tar: the headers of a file break off")
    return _checked(info)


def _checked(info: tarfile.TarInfo) -> tarfile.TarInfo:
    if info.size < 0:
        raise ProtocolError(f"not a tar: a file of {info.size} bytes")
    return info
