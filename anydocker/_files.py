"""
Files as bodies, read and written off the event loop.

A hop to a worker thread costs more than reading 32 KiB does, so files move in blocks of 1 MiB.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable
from io import TextIOBase
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, Final, Self, TypeAlias

from anyio import ClosedResourceError
from anyio.to_thread import run_sync

from anydocker._concurrency import CLEANUP_SECONDS, finish_within

if TYPE_CHECKING:
    from anydocker.streams import Stream

__all__ = ("FileBody", "Upload", "upload_body", "write_file")

Upload: TypeAlias = bytes | os.PathLike[str] | BinaryIO | AsyncIterable[bytes]
"""Something to send: bytes, a file by its path, a binary file object, or a stream of bytes."""

# Bytes of a block; from here on a hop to a thread costs less than a tenth of the copying.
_BLOCK: Final = 1024 * 1024


def upload_body(source: Upload, what: str) -> bytes | AsyncIterable[bytes]:
    """
    Make something to send of ``source``.

    Raises:
        TypeError: It is nothing that can be sent; the message names ``what``.
        FileNotFoundError: It is the path of no file. Other errors of ``open`` likewise.
    """
    _refuse_text(source, what)
    match source:
        case bytes() | AsyncIterable():
            return source
        case os.PathLike():
            return FileBody(source)
        case _ if hasattr(source, "read"):
            return FileBody(source)
        case _:
            raise TypeError(
                f"{what}: expected bytes, a path (os.PathLike), a binary file or an async iterable of bytes, "
                f"not {type(source).__name__}"
            )


def _refuse_text(source: object, what: str) -> None:
    if isinstance(source, TextIOBase):
        raise TypeError(f"{what}: {source!r} gives text: open it in binary mode")


class FileBody:
    """
    The content of a file, from where it stands, in blocks of 1 MiB read in a worker thread.

    A file given by its path is opened when the first block is wanted, and closed at the end; a file object stays
    open, since it is its owner's. It can be iterated once.
    """

    def __init__(self, source: os.PathLike[str] | BinaryIO) -> None:
        self._source = source
        self._file: BinaryIO | None = None
        self._closed = False
        self._working = Lock()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        block = await run_sync(self._read)
        match block:
            case bytes():
                pass
            case _:
                raise TypeError(f"{self._source!r} gives {type(block).__name__}: open it in binary mode")
        if not block:
            await self.aclose()
            raise StopAsyncIteration
        return block

    async def aclose(self) -> None:
        """Close the file if it was opened here."""
        self._closed = True
        self._close_own()

    def _read(self) -> object:
        try:
            with self._working:
                return self._read_block()
        finally:
            # aclose() found this thread at work and left the closing to it.
            if self._closed:
                self._close_own()

    def _read_block(self) -> bytes:
        if self._closed:
            return b""
        if self._file is None:
            self._file = _open_to_read(self._source)
        return self._file.read(_BLOCK)

    def _close_own(self) -> None:
        if isinstance(self._source, os.PathLike) and self._working.acquire(blocking=False):
            try:
                if self._file is not None:
                    self._file.close()
            finally:
                self._working.release()


async def write_file(stream: Stream[bytes], target: str | os.PathLike[str] | BinaryIO) -> int:
    """
    Write a stream of bytes to a file, up to the stream's end.

    A file named by its path appears when it is complete: until then it is called ``<name>.part``, which is removed
    if the stream breaks or the call is cancelled.

    Returns:
        How many bytes were written.
    """
    if not isinstance(target, (str, os.PathLike)):
        return await _write(stream, target)
    part = _Part(os.fspath(target))
    try:
        size = await _write(stream, await run_sync(part.open))
        await run_sync(part.complete)
    except BaseException:
        await finish_within(CLEANUP_SECONDS, lambda: run_sync(part.discard))
        raise
    return size


class _Part:
    """
    A file that is being written, under the name it has until it is complete.

    Its methods block, and run in worker threads. A caller that was cancelled may have left one of them running:
    the lock makes ``discard`` come last.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._part = f"{path}.part"
        self._file: BinaryIO | None = None
        self._discarded = False
        self._working = Lock()

    def open(self) -> BinaryIO:
        with self._working:
            if self._discarded:
                raise ClosedResourceError
            self._file = _open_to_write(self._part)
            return self._file

    def complete(self) -> None:
        with self._working:
            if self._file is not None and not self._discarded:
                self._file.close()
                os.replace(self._part, self._path)

    def discard(self) -> None:
        with self._working:
            self._discarded = True
            if self._file is not None:
                self._file.close()
                Path(self._part).unlink(missing_ok=True)


def _open_to_write(path: str) -> BinaryIO:
    return open(path, "wb")


def _open_to_read(source: os.PathLike[str] | BinaryIO) -> BinaryIO:
    return open(source, "rb") if isinstance(source, os.PathLike) else source


async def _write(stream: Stream[bytes], file: BinaryIO) -> int:
    gathered: list[bytes] = []
    waiting = size = 0
    while pieces := await stream.receive_many():
        gathered += pieces
        waiting += sum(map(len, pieces))
        if waiting >= _BLOCK:
            await run_sync(file.write, b"".join(gathered))
            gathered.clear()
            size, waiting = size + waiting, 0
    await run_sync(file.write, b"".join(gathered))
    return size + waiting
