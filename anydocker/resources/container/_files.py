"""Files of a container: archives, export, commit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from anydocker._files import Upload, upload_body
from anydocker._wire.archive import ArchiveInfo, parse_archive_info
from anydocker._wire.documents import name_at
from anydocker._wire.reference import ImageReference
from anydocker.errors import NotFound
from anydocker.resources.container._base import ContainerBase
from anydocker.streams import ArchiveStream, BodyStream

if TYPE_CHECKING:
    from anydocker.resources.images import Image

__all__ = ("ContainerFiles",)


class ContainerFiles(ContainerBase):
    """The part of the handle that reads and writes the container's files."""

    __slots__ = ()

    async def archive_info(self, path: str) -> ArchiveInfo:
        """
        What there is at a path, without its content.

        ``HEAD /containers/{id}/archive`` (``ContainerArchiveInfo``). A symbolic link is described itself, not what it
        leads to.

        Args:
            path: A path in the container; relative ones begin at its root.

        Raises:
            NotFound: There is no such container, or no such path in it.
            ValueError: The path is empty.
        """
        query = {"path": _checked(path)}
        try:
            response = await self._docker.request("HEAD", f"{self._path}/archive", query=query)
        except NotFound as exc:
            # The answer to HEAD has no room for a reason.
            message = f"no such container, or no {path!r} in it"
            raise NotFound(message, exc.status, exc.method, exc.path) from exc
        return parse_archive_info(response.headers.get("x-docker-container-path-stat"))

    @asynccontextmanager
    async def open_archive(self, path: str) -> AsyncGenerator[ArchiveStream, None]:
        """
        A file or a directory of the container, as a tar.

        ``GET /containers/{id}/archive`` (``ContainerArchive``). The container need not run.

        Args:
            path: A path in the container; relative ones begin at its root. ``/.`` behind it: the content of a
                directory, not the directory itself.

        Yields:
            The bytes of the tar, with the description of the path as ``info``.

        Raises:
            NotFound: There is no such container, or no such path in it.
            ValueError: The path is empty.
        """
        query = {"path": _checked(path)}
        async with (
            self._docker.open_request("GET", f"{self._path}/archive", query=query) as body,
            aclosing(ArchiveStream(body)) as archive,
        ):
            yield archive

    async def put_archive(
        self,
        path: str,
        source: Upload,
        *,
        keep_kind: bool = False,
        copy_owner: bool = False,
    ) -> None:
        """
        Unpack a tar in the container.

        ``PUT /containers/{id}/archive`` (``PutContainerArchive``). The container need not run.

        Args:
            path: The directory to unpack it in.
            source: The tar, plain or compressed: bytes, a path (``pathlib.Path``), a binary file, or a stream of bytes.
            keep_kind: Refuse to replace a directory with something else, or something else with a directory.
            copy_owner: Give everything to the user the container runs as, if it has one, instead of the owners the tar
                names.

        Raises:
            NotFound: There is no such container, or no such path in it.
            BadRequest: The path is no directory, or the source no tar. (Some engines answer 500: EngineFault.)
            Forbidden: The path is read-only.
            TypeError: The source is none of these.
            ValueError: The path is empty.

        If cancelled: a part of the tar may have been unpacked.
        """
        query = {
            "path": _checked(path),
            "noOverwriteDirNonDir": keep_kind or None,
            "copyUIDGID": copy_owner or None,
        }
        headers = {"Content-Type": "application/x-tar"}
        content = upload_body(source, "source")
        await self._docker.request(
            "PUT", f"{self._path}/archive", query=query, headers=headers, body=content, own_connection=True
        )

    @asynccontextmanager
    async def open_export(self) -> AsyncGenerator[BodyStream, None]:
        """
        The container's whole filesystem as a tar, without its volumes.

        ``GET /containers/{id}/export`` (``ContainerExport``). ``d.images.import_`` makes an image of it.

        Yields:
            The bytes of the tar; ``write_to`` puts them into a file.

        Raises:
            NotFound: There is no such container.
        """
        async with self._docker.open_request("GET", f"{self._path}/export") as body:
            yield body

    async def commit(
        self,
        reference: str | None = None,
        *,
        message: str | None = None,
        author: str | None = None,
        pause: bool = True,
        changes: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
    ) -> Image:
        """
        Make an image of what the container has become.

        ``POST /commit`` (``ImageCommit``).

        Args:
            reference: A name for the image; the tag is ``latest`` if none is given.
            message: A message for its history.
            author: Who made it.
            pause: Suspend the container meanwhile, so that its files are of one moment.
            changes: Dockerfile instructions for its configuration, such as ``CMD ["sh"]``.
            config: A raw ``ContainerConfig`` that replaces the container's.

        Returns:
            The image.

        Raises:
            NotFound: There is no such container.
            InvalidReference: The name is malformed.
            BadRequest: A change is not one.

        If cancelled: there may be an image.
        """
        name = None if reference is None else ImageReference.parse_new(reference)
        query = {
            "container": self.id,
            "repo": name.repository if name else None,
            "tag": name.tag if name else None,
            "comment": message,
            "author": author,
            "pause": pause,
            "changes": changes,
        }
        response = await self._docker.request(
            "POST", "/commit", query=query, json=dict(config or {}), own_connection=True
        )
        image = name_at(response.document(), allow_slash=True)
        return await self._docker.images.get(str(name) if name else image)


def _checked(path: str) -> str:
    if not path or "\0" in path:
        msg = f"path={path!r}: expected a path in the container"
        raise ValueError(msg)
    return path
