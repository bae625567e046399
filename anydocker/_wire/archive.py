"""What an engine says of a path in a container: JSON in base64, in the header of the archive."""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK, S_ISDIR, S_ISLNK
from typing import Final

import attrs

from anydocker._wire.documents import shown, text_at, value_at
from anydocker._wire.jsonstream import loads
from anydocker.errors import ProtocolError

__all__ = ("ArchiveInfo", "parse_archive_info")

# Bits of Go's os.FileMode that name the kind of a file; the engine sends its mode in that form.
_GO_KINDS: Final = (
    (1 << 31, S_IFDIR),
    (1 << 27, S_IFLNK),
    (1 << 25, S_IFIFO),
    (1 << 24, S_IFSOCK),
    (1 << 21 | 1 << 26, S_IFCHR),
    (1 << 26, S_IFBLK),
)
_GO_SETUID: Final = 1 << 23
_GO_SETGID: Final = 1 << 22
_GO_STICKY: Final = 1 << 20


@attrs.frozen
class ArchiveInfo:
    """
    A path in a container.

    Attributes:
        name: Its last part.
        size: Bytes.
        mode: Kind and permissions as :func:`os.stat` has them, for the functions of :mod:`stat`.
        modified: When it was modified, as the engine writes it (RFC 3339).
        link_target: Where a symbolic link leads to; empty for others.
    """

    name: str
    size: int
    mode: int
    modified: str
    link_target: str = ""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return S_ISLNK(self.mode)

    @property
    def modified_at(self) -> datetime:
        """
        ``modified`` to the microsecond.

        Raises:
            ProtocolError: It is no time, or none that Python knows: years 1 to 9999.
        """
        try:
            return datetime.fromisoformat(self.modified)
        except ValueError as exc:
            raise ProtocolError(f"not a time: {shown(self.modified)}") from exc


_STANDARD: Final = str.maketrans("-_", "+/")


def parse_archive_info(header: str | None) -> ArchiveInfo:
    """
    Read the ``X-Docker-Container-Path-Stat`` field.

    Raises:
        ProtocolError: It is missing, or not what it should be.
    """
    try:
        # Podman writes it in the alphabet for URLs.
        document = loads(b64decode((header or "").translate(_STANDARD), validate=False))
        return ArchiveInfo(
            name=value_at(document, "name", kind=str),
            size=value_at(document, "size", kind=int),
            mode=_stat_mode(value_at(document, "mode", kind=int)),
            modified=value_at(document, "mtime", kind=str),
            link_target=text_at(document, "linkTarget"),
        )
    except (ValueError, ProtocolError) as exc:
        raise ProtocolError(f"not the description of a path: {header!r}") from exc


def _stat_mode(go_mode: int) -> int:
    kind = next((kind for bits, kind in _GO_KINDS if go_mode & bits == bits), S_IFREG)
    special = (
        (0o4000 if go_mode & _GO_SETUID else 0)
        | (0o2000 if go_mode & _GO_SETGID else 0)
        | (0o1000 if go_mode & _GO_STICKY else 0)
    )
    return kind | special | go_mode & 0o777
