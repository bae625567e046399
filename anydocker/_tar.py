"""
Tars of files and directories, made while they are sent.

A piece at a time: no temporary file, never the whole of it in memory, and no file-system call in the event loop.
Build contexts and copies into containers share what is here; which files go in, and under which names, differs.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final, final

import attrs
from anyio import ClosedResourceError, ResourceGuard, to_thread
from anyio.lowlevel import checkpoint

from anydocker.errors import ArchiveError, DockerError

__all__ = ("END_OF_TAR", "DirectoryTar", "encode", "file_parts", "gather", "header", "pack", "padding")

# Bytes. A read below 1 MiB costs more in the hop to the worker thread than in the copy, and small pieces make
# an upload slow, so small files are gathered up to _PIECE.
_BLOCK: Final = 1024 * 1024
_PIECE: Final = 256 * 1024
# Entries one hop looks at when it finds nothing to send, so that a cancellation never waits for a whole tree.
_LOOKED_AT: Final = 4096

END_OF_TAR: Final = bytes(2 * tarfile.BLOCKSIZE)

# A file that was swapped for a link or a pipe after the walk saw it is neither followed nor waited for.
_OPEN_FLAGS: Final[int] = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@final
@attrs.define(eq=False)
class DirectoryTar:
    """
    The tar of a directory or a file, made while it is read: an asynchronous iterator of pieces.

    A piece has 256 KiB to 1.25 MiB, unless it is the last or the walk finds little to send. The tar can be
    read once, by one task at a time: after its end, or :meth:`aclose`, it raises
    :class:`anyio.ClosedResourceError`. One that is dropped half read closes what it has open.

    If cancelled: no piece is lost, the next read goes on where this one would have. The worker thread is
    waited for; it is never more than one piece away.

    Raises:
        ContextError: While a build context is read: a file or directory cannot be read, or a file grew or shrank.
        ArchiveError: The same, while a copy is read.
        BusyResourceError: Another task is reading.
    """

    root: str
    """What it is made of, with links resolved."""
    _pieces: Generator[bytes, None, None] = attrs.field(alias="pieces", repr=False)
    # What a worker thread has made and no one has taken: it outlives the cancellation of who asked for it.
    _ready: bytes = attrs.field(default=b"", init=False, repr=False)
    _ended: bool = attrs.field(default=False, init=False)
    _closed: bool = attrs.field(default=False, init=False)
    _working: Lock = attrs.field(factory=Lock, init=False, repr=False)
    _guard: ResourceGuard = attrs.field(factory=lambda: ResourceGuard("reading"), init=False, repr=False)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with self._guard:
            await checkpoint()
            while not self._ready and not self._ended and not self._closed:
                await to_thread.run_sync(self._make_piece)
            if self._closed:
                message = "this tar was read to its end, or closed: prepare a new one"
                raise ClosedResourceError(message)
            if not self._ready:
                self._closed = True
                raise StopAsyncIteration
            piece, self._ready = self._ready, b""
            return piece

    async def aclose(self) -> None:
        """Close the file being read, at once; closing again does nothing."""
        self._closed = True
        self._ready = b""
        self._close_file()
        await checkpoint()

    def _make_piece(self) -> None:
        try:
            with self._working:
                if not self._ready and not self._ended:
                    self._advance()
        finally:
            # aclose() found this thread at work and left the closing to it.
            if self._closed:
                self._close_file()

    def _advance(self) -> None:
        try:
            self._ready = next(self._pieces)
        except StopIteration:
            self._ended = True
        except BaseException:
            self._closed = True
            raise

    def _close_file(self) -> None:
        if self._working.acquire(blocking=False):
            try:
                self._pieces.close()
            finally:
                self._working.release()


def gather(parts: Iterable[bytes]) -> Generator[bytes, None, None]:
    """Join small parts to pieces. A piece is empty if many parts were."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= _PIECE or len(held) >= _LOOKED_AT:
            yield b"".join(held)
            held.clear()
            size = 0
    yield b"".join(held)


def file_parts(
    path: str, describe: Callable[[os.stat_result], tarfile.TarInfo], changed: Callable[[str, str], DockerError]
) -> Iterator[bytes]:
    """
    A regular file: its header, its content, its padding.

    Args:
        path: Where it is.
        describe: Makes its header of its status.
        changed: Makes the error for a file that changes while it is read, of its path and what became of it.
    """
    with open(path, "rb", buffering=0, opener=_open) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise changed(path, "is not a file any more")
        yield encode(describe(status))
        left = status.st_size
        while left:
            block = file.read(min(left, _BLOCK))
            if not block:
                raise changed(path, f"became shorter than its {status.st_size} bytes")
            left -= len(block)
            yield block
        if file.read(1):
            raise changed(path, f"became longer than its {status.st_size} bytes")
    yield padding(status.st_size)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | _OPEN_FLAGS)


def header(path: str, kind: bytes, status: os.stat_result, *, linkname: str = "") -> tarfile.TarInfo:
    """The header of a file or whatever it is, with its mode and its time in whole seconds, and no owner."""
    info = tarfile.TarInfo(path)
    info.type = kind
    info.size = status.st_size if kind == tarfile.REGTYPE else 0
    info.linkname = linkname
    info.mode = stat.S_IMODE(status.st_mode)
    info.mtime = status.st_mtime_ns // 1_000_000_000
    return info


def encode(info: tarfile.TarInfo) -> bytes:
    """A header, as it stands in a tar."""
    return info.tobuf(tarfile.PAX_FORMAT)


def padding(size: int) -> bytes:
    """What follows the content of a file of ``size`` bytes."""
    return bytes(-size % tarfile.BLOCKSIZE)


def pack(source: str, name: str) -> DirectoryTar:
    """
    The tar of a file or a directory to copy, under another name.

    Owners, modes and hard links between its files stay; times are whole seconds. A symbolic link stays one. Sockets
    are left out, and so are extended attributes.

    Args:
        source: Where it is; a symbolic link is packed itself.
        name: What it is called in the tar; empty for what is in a directory, without the directory.
    """
    return DirectoryTar(source, gather(_Copy().tar(source, name)))


_SPECIAL: Final = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


@attrs.define
class _Copy:
    """What is to be copied. Its methods block, and run in worker threads."""

    _names: dict[tuple[int, int], str] = attrs.field(factory=dict[tuple[int, int], str], init=False)
    """Under which name a file with several links was packed first."""

    def tar(self, path: str, name: str) -> Iterator[bytes]:
        waiting = [(path, name)]
        while waiting:
            path, name = waiting.pop()
            with _failures_named(path):
                status = os.lstat(path)
                if name:
                    yield from self._entry(path, name, status)
                if stat.S_ISDIR(status.st_mode):
                    below = sorted(os.listdir(path), reverse=True)
                    waiting += [(os.path.join(path, each), f"{name}/{each}" if name else each) for each in below]
        yield END_OF_TAR

    def _entry(self, path: str, name: str, status: os.stat_result) -> Iterator[bytes]:
        kind = stat.S_IFMT(status.st_mode)
        packed = self._names.setdefault((status.st_dev, status.st_ino), name) if status.st_nlink > 1 else name
        if packed != name and kind != stat.S_IFDIR:
            yield encode(_owned(name, tarfile.LNKTYPE, status, packed))
        elif kind == stat.S_IFREG:
            yield from file_parts(path, lambda opened: _owned(name, tarfile.REGTYPE, opened), _changed)
        elif kind == stat.S_IFLNK:
            yield encode(_owned(name, tarfile.SYMTYPE, status, os.readlink(path)))
        elif kind in _SPECIAL:
            yield encode(_owned(name, _SPECIAL[kind], status))
        else:
            yield b""


def _owned(name: str, kind: bytes, status: os.stat_result, linkname: str = "") -> tarfile.TarInfo:
    info = header(name, kind, status, linkname=linkname)
    info.uid, info.gid = status.st_uid, status.st_gid
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return info


def _changed(path: str, how: str) -> ArchiveError:
    return ArchiveError(f"{path!r} {how} while it was copied; copy it again when it rests")


@contextmanager
def _failures_named(path: str) -> Generator[None, None, None]:
    try:
        yield
    except OSError as exc:
        raise ArchiveError(f"cannot read {path!r} to copy it: {exc.strerror}") from exc
