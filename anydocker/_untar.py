"""
Unpacking what an engine sends into a directory that nothing leaves.

The archive is the word of a container, which need not be trusted. A name with ``..``, an absolute one, a hard link to
the outside, a relative symbolic link that leads out, a device: each ends the copy. A symbolic link with an absolute
target is written as it is, for it speaks of the container's root; but nothing is ever written through a link, be it
of the archive or one that was there before.

A file is written under a name of its own and takes its place when it is complete. What a directory says of itself,
its mode and its time, applies once everything in it is there.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Final, final

import attrs
from anyio.to_thread import run_sync

from anydocker._concurrency import CLEANUP_SECONDS, finish_within
from anydocker._wire.copy_paths import Landing, leads_out, path_inside
from anydocker._wire.tar import MemberEnd, TarEvent, TarReader
from anydocker.errors import ArchiveError, TruncatedStream
from anydocker.streams import Stream

__all__ = ("Unpacker", "unpack")

# Bytes written at a time; from here on a hop to a thread costs less than a tenth of the copying.
_BLOCK: Final = 1024 * 1024
# Seconds. Times outside of it are not those of files; file systems keep no later ones.
_TIMES: Final = range(2**34)


async def unpack(archive: Stream[bytes], unpacker: Unpacker) -> None:
    """
    Unpack an archive, up to its end, off the event loop and in flat memory.

    Raises:
        ArchiveError: A file cannot be written, or would leave the directory.
        TruncatedStream: The archive broke off; the message says in which file.
        ProtocolError: It is no tar.

    If cancelled: complete files stay, the one that was being written is removed.
    """
    try:
        broken = await _feed(archive, unpacker)
        await run_sync(unpacker.finish, broken)
    except BaseException:
        await finish_within(CLEANUP_SECONDS, lambda: run_sync(unpacker.discard))
        raise


async def _feed(archive: Stream[bytes], unpacker: Unpacker) -> TruncatedStream | None:
    """Unpack all there is; return what cut it off, if anything did."""
    gathered: list[bytes] = []
    waiting = 0
    broken: TruncatedStream | None = None
    while broken is None:
        try:
            pieces = await archive.receive_many()
        except TruncatedStream as exc:
            pieces, broken = [], exc
        gathered += pieces
        waiting += sum(map(len, pieces))
        if waiting >= _BLOCK or not pieces:
            await run_sync(unpacker.feed, b"".join(gathered))
            gathered.clear()
            waiting = 0
        if not pieces:
            break
    return broken


@final
@attrs.define(eq=False)
class Unpacker:
    """
    Unpacks one archive. Its methods block, and are called in worker threads.

    Attributes:
        landing: Where it goes.
        is_content: Whether the archive's names begin with what is in the directory, and not with its own name.
        copy_owner: Whether files get the owners that the archive names.
    """

    landing: Landing
    is_content: bool = False
    copy_owner: bool = False
    _top: str = attrs.field(init=False)
    _reader: TarReader = attrs.field(factory=TarReader, init=False)
    _base: str | None = attrs.field(default=None, init=False)
    """The first part of all names."""
    _directories: set[str] = attrs.field(factory=set[str], init=False)
    """Paths that are known to be directories, and no links to some."""
    _described: list[tuple[str, tarfile.TarInfo]] = attrs.field(factory=list[tuple[str, tarfile.TarInfo]], init=False)
    """Directories whose modes and times are still to be set."""
    _file: _PartialFile | None = attrs.field(default=None, init=False)
    _discarded: bool = attrs.field(default=False, init=False)
    # A task that asyncio itself cancels does not wait for its worker thread: the clean-up has to.
    _working: Lock = attrs.field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        directory, name = self.landing.directory, self.landing.name
        self._top = os.path.join(directory, name) if name else directory

    def feed(self, data: bytes) -> None:
        """Unpack a piece of the archive."""
        with self._working:
            if self._discarded:
                return
            for event in self._reader.receive_data(data):
                self._take(event)

    def finish(self, broken: TruncatedStream | None = None) -> None:
        """
        Learn that the archive has ended, and complete its directories.

        Raises:
            TruncatedStream: It ended too early, or it is what ended it.
        """
        if broken is not None:
            raise TruncatedStream(f"{broken}; of the archive, {self._reader.where}") from broken
        self._reader.receive_eof()
        while self._described:
            path, info = self._described.pop()
            with _failures_named(path):
                self._describe(path, info)

    def discard(self) -> None:
        """Remove the file that is not complete, and write nothing more."""
        with self._working:
            self._discarded = True
            if self._file is not None:
                self._file.discard()
                self._file = None

    def _take(self, event: TarEvent) -> None:
        match event:
            case tarfile.TarInfo():
                self._begin(event)
            case MemberEnd.MEMBER_END:
                self._end()
            case _:
                self._write(event)

    def _begin(self, info: tarfile.TarInfo) -> None:
        parts = self._parts(info.name)
        path = os.path.join(self._top, *parts)
        with _failures_named(path):
            if parts:
                self._make_parents(parts)
            elif not self.landing.name:
                # The directory was there before, and stays as it is.
                self._directories.add(path)
                return
            if info.isdir():
                self._make_directory(path, info)
            else:
                self._make(path, info)

    def _write(self, content: memoryview) -> None:
        # Only files have content: what else claims to was refused with its header.
        if self._file is not None:
            with _failures_named(self._file.path):
                self._file.write(content)

    def _parts(self, name: str) -> tuple[str, ...]:
        parts = path_inside(name)
        if self.is_content:
            return parts
        if self._base is None and parts:
            self._base = parts[0]
        if not parts or parts[0] != self._base:
            raise ArchiveError(f"the archive has {name!r}, which is not in {self._base!r}, the directory to copy")
        return parts[1:]

    def _make_parents(self, parts: tuple[str, ...]) -> None:
        path = self._top
        for part in parts:
            if path not in self._directories:
                self._make_directory(path, None)
            path = os.path.join(path, part)

    def _make_directory(self, path: str, info: tarfile.TarInfo | None) -> None:
        mode = _mode_of(path)
        if mode is None:
            # Nobody else is to look into it before its own mode is set.
            os.mkdir(path, 0o755 if info is None else 0o700)
        elif not stat.S_ISDIR(mode):
            raise ArchiveError(f"{path!r} is not a directory, but has to become one")
        self._directories.add(path)
        if info is not None:
            self._described.append((path, info))

    def _make(self, path: str, info: tarfile.TarInfo) -> None:
        mode = _mode_of(path)
        if mode is not None and stat.S_ISDIR(mode):
            raise ArchiveError(f"{path!r} is a directory, and cannot be replaced by something else")
        match info.type:
            case tarfile.REGTYPE | tarfile.AREGTYPE | tarfile.CONTTYPE if not info.sparse:
                self._file = _PartialFile(path, info)
            case tarfile.SYMTYPE:
                self._make_symbolic_link(path, info)
            case tarfile.LNKTYPE:
                self._make_hard_link(path, info.linkname)
            case tarfile.FIFOTYPE:
                _make_way(path)
                os.mkfifo(path, 0o600)
                self._describe(path, info)
            case _:
                raise ArchiveError(f"the archive has {info.name!r}, {_kind(info)}: it is not copied")

    def _make_symbolic_link(self, path: str, info: tarfile.TarInfo) -> None:
        if "\0" in info.linkname:
            raise ArchiveError(f"the archive has {info.name!r}, a link to {info.linkname!r}, which cannot be")
        if not info.linkname.startswith("/") and leads_out(path, info.linkname, self.landing.directory):
            message = f"the archive has {info.name!r}, a link to {info.linkname!r}, which leads out of its target"
            raise ArchiveError(message)
        _make_way(path)
        os.symlink(info.linkname, path)
        self._describe(path, info)

    def _make_hard_link(self, path: str, name: str) -> None:
        source = self._top
        parts = self._parts(name)
        for part in parts:
            if source not in self._directories:
                raise ArchiveError(f"the archive has a hard link to {name!r}, which is not in the archive")
            source = os.path.join(source, part)
        mode = _mode_of(source)
        if mode is None or stat.S_ISDIR(mode) or source == path:
            raise ArchiveError(f"the archive has a hard link to {name!r}, which is no file in the archive")
        _make_way(path)
        os.link(source, path, follow_symlinks=False)

    def _end(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with _failures_named(file.path):
                try:
                    file.close()
                    self._describe(file.part, file.info)
                    os.replace(file.part, file.path)
                except OSError:
                    file.discard()
                    raise

    def _describe(self, path: str, info: tarfile.TarInfo) -> None:
        if self.copy_owner:
            os.chown(path, info.uid, info.gid, follow_symlinks=False)
        if not info.issym():
            os.chmod(path, info.mode & 0o7777)
        nanoseconds = _nanoseconds(info.mtime)
        os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)


class _PartialFile:
    """A file that is being written, beside its place."""

    def __init__(self, path: str, info: tarfile.TarInfo) -> None:
        self.path = path
        self.info = info
        self.part = os.path.join(os.path.dirname(path), f".{os.urandom(8).hex()}.part")
        self._file = open(self.part, "xb", opener=_private)  # noqa: SIM115 - open until its content is there

    def write(self, content: memoryview) -> None:
        self._file.write(content)

    def close(self) -> None:
        self._file.close()

    def discard(self) -> None:
        # What could not be written cannot be written by closing either.
        with suppress(OSError):
            self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self.part)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _mode_of(path: str) -> int | None:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def _make_way(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _kind(info: tarfile.TarInfo) -> str:
    return "a device" if info.ischr() or info.isblk() else f"an entry of type {info.type!r}"


def _nanoseconds(seconds: float) -> int:
    # An archive may say anything, such as nan.
    return int(seconds * 1_000_000_000) if _TIMES[0] <= seconds <= _TIMES[-1] else 0


@contextmanager
def _failures_named(path: str) -> Generator[None, None, None]:
    try:
        yield
    except OSError as exc:
        raise ArchiveError(f"cannot write {path!r}: {exc.strerror}") from exc
