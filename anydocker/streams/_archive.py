"""Archives of a container's files."""

from __future__ import annotations

from anydocker._wire.archive import ArchiveInfo, parse_archive_info
from anydocker.streams._base import BodyStream

__all__ = ("ArchiveStream",)


class ArchiveStream(BodyStream):
    """
    The bytes of a tar.

    Attributes:
        info: The path that the archive holds.
    """

    def __init__(self, body: BodyStream) -> None:
        self.info: ArchiveInfo = parse_archive_info(body.headers.get("x-docker-container-path-stat"))
        super().__init__(body._exchange)
