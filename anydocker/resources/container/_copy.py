"""Copies between this machine and a container, as ``docker cp`` makes them."""

from __future__ import annotations

import os
from posixpath import basename, dirname
from stat import S_ISBLK, S_ISCHR
from typing import Final

from anyio.to_thread import run_sync

from anydocker._local import look_at_source, look_at_target
from anydocker._wire.archive import ArchiveInfo
from anydocker._wire.copy_paths import Source, Target, absolute, ending, landing
from anydocker.errors import ArchiveError, EngineFault, NotFound
from anydocker.resources.container._files import ContainerFiles

__all__ = ("ContainerCopy",)

# Engines resolve a link to its end; it takes more than one only where they do not.
_MAX_LINKS: Final = 10


class ContainerCopy(ContainerFiles):
    """The part of the handle that copies files."""

    __slots__ = ()

    async def copy_to(
        self,
        source: str | os.PathLike[str],
        target: str,
        *,
        follow_link: bool = False,
        copy_owner: bool = False,
    ) -> None:
        """
        Copy a file or a directory of this machine into the container, as ``docker cp`` does.

        ``HEAD`` and ``PUT /containers/{id}/archive``. The container need not run. Onto a directory, the copy is put
        into it, under its own name; onto a file, a file replaces it; where nothing is, the copy is called that.

        Modes and times (to the second) stay, hard links within a directory do, symbolic links are copied as links,
        and sockets are left out. Nothing is held in memory, and files are read off the event loop.

        Args:
            source: A local path. ``/.`` behind it: what is in the directory, not the directory itself. (A
                :class:`pathlib.Path` drops that; give a string.)
            target: A path in the container; relative ones begin at its root. A slash behind it: it has to be a
                directory.
            follow_link: If ``source`` is a symbolic link, copy what it leads to. Links in a directory stay links.
            copy_owner: Give the copy to the user the container runs as, if it has one, instead of the numeric owner
                it has here.

        Raises:
            NotFound: There is no such container, or no directory in it that the copy could be put into.
            ArchiveError: There is no such source, or it cannot be read; or a directory would become a file; or the
                target is no directory, and has to be one.
            Forbidden: The target is read-only.
            EngineFault: A file is in the way of a directory, or a directory in that of a file.
            ValueError: A path is empty.

        If cancelled: a part may have been copied.
        """
        path = _checked(os.fsdecode(source), "source")
        _checked(target, "target")
        from anydocker._tar import pack  # noqa: PLC0415 - tarfile and what it needs take long to import

        real, found = await run_sync(lambda: look_at_source(path, follow_link=follow_link))
        place = landing(found, await self._look_at_target(target))
        tar = pack(real, place.name)
        await self.put_archive(place.directory, tar, keep_kind=True, copy_owner=copy_owner)

    async def copy_from(
        self,
        source: str,
        target: str | os.PathLike[str],
        *,
        follow_link: bool = False,
        copy_owner: bool = False,
    ) -> None:
        """
        Copy a file or a directory of the container to this machine, as ``docker cp`` does.

        ``GET /containers/{id}/archive``. The container need not run. Where the copy lands follows the same rules as
        for :meth:`copy_to`, and so does what is kept of it. A file appears when it is complete.

        The container is not trusted: the copy ends if something would leave the directory it lands in. That is a name
        with ``..``, a relative symbolic link that leads out, a hard link to what is not in the copy; a device is
        refused, too. A symbolic link with an absolute target is copied as it is, and may well lead elsewhere here
        than in the container. Nothing is written through a link that the copy made, or found in the directory.

        Args:
            source: A path in the container; relative ones begin at its root. ``/.`` behind it: what is in the
                directory, not the directory itself.
            target: A local path. A slash behind it: it has to be a directory.
            follow_link: If ``source`` is a symbolic link, copy what it leads to. Links in a directory stay links.
            copy_owner: Keep the numeric owners, for which it takes root, instead of making the caller the owner.

        Raises:
            NotFound: There is no such container, or no such path in it.
            ArchiveError: There is no directory that the copy could be put into, or it cannot be written; a directory
                would become a file; or something would leave the target.
            EngineFault: The source is no directory, and has to be one.
            TruncatedStream: The connection ended before the copy did. The message names the file that is incomplete,
                and was removed.
            ValueError: A path is empty.

        If cancelled: files that are complete stay, the one that was being written is removed.
        """
        from anydocker._untar import Unpacker, unpack  # noqa: PLC0415 - as above

        name = basename(absolute(_checked(source, "source")))
        there = await run_sync(look_at_target, _checked(os.fsdecode(target), "target"))
        path = await self._source_path(source, follow_link=follow_link)
        async with self.open_archive(path) as archive:
            found = Source(name, archive.info.is_directory, ending(path))
            unpacker = Unpacker(landing(found, there), is_content=found.is_content, copy_owner=copy_owner)
            await unpack(archive, unpacker)

    async def _source_path(self, source: str, *, follow_link: bool) -> str:
        path = absolute(source)
        if follow_link:
            path, _ = await self._follow(path)
        # The archive of the root has absolute names, that of its content has not.
        return "/." if path == "/" else path + ending(source)

    async def _look_at_target(self, target: str) -> Target:
        clean, written = absolute(target), ending(target)
        path, info = await self._follow(clean)
        if info is None:
            await self._check_directory(dirname(path))
            if written and path != clean:
                raise ArchiveError(f"{target!r} is a link that leads nowhere in the container, and not a directory")
            return Target(path, "missing", written)
        if S_ISCHR(info.mode) or S_ISBLK(info.mode):
            raise ArchiveError(f"{target!r} is a device in the container: a copy would replace it")
        return Target(path, "directory" if info.is_directory else "file", written)

    async def _follow(self, path: str) -> tuple[str, ArchiveInfo | None]:
        """Follow symbolic links at the end of a path; return where they lead, and what is there, if anything."""
        for _ in range(_MAX_LINKS):
            info = await self._find(path)
            if info is None or not info.is_link:
                return path, info
            path = absolute(info.link_target, dirname(path))
        raise ArchiveError(f"too many links in the container, up to {path!r}")

    async def _find(self, path: str) -> ArchiveInfo | None:
        try:
            return await self.archive_info(path)
        except (NotFound, EngineFault):
            # The latter is what engines say of a path that has a file where a directory should be.
            return None

    async def _check_directory(self, path: str) -> None:
        """Insist on a directory. An answer to ``HEAD`` has no words, so it takes ours to say what is missing."""
        try:
            await self.archive_info(f"{path.rstrip('/')}/.")
        except NotFound as exc:
            await self.inspect()
            message = f"there is no directory {path!r} in the container to copy to"
            raise NotFound(message, exc.status, exc.method, exc.path) from exc
        except EngineFault as exc:
            raise ArchiveError(f"{path!r} is not a directory in the container, and cannot be copied into") from exc


def _checked(path: str, what: str) -> str:
    if not path or "\0" in path:
        raise ValueError(f"{what}={path!r}: expected a path")
    return path
