"""
Files as bodies, read and written off the event loop.

A hop to a worker thread costs more than reading 32 KiB does, so files move in blocks of 1 MiB.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self, TypeAlias

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


class FileBody:
    """
    The content of a file, from where it stands, in blocks of 1 MiB read in a worker thread.

    A file given by its path is opened when the first block is wanted, and closed at the end; a file object stays
    open, since it is its owner's. It can be iterated once.
    """

    def __init__(self, source: os.PathLike[str] | BinaryIO) -> None:
        self._path = source if isinstance(source, os.PathLike) else None
        self._file = None if isinstance(source, os.PathLike) else source

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._file is None:
            if self._path is None:
                raise StopAsyncIteration
            self._file = await run_sync(_open_to_read, self._path)
        block = await run_sync(self._file.read, _BLOCK)
        match block:
            case bytes():
                pass
            case _:
                raise TypeError(f"{self._file!r} gives {type(block).__name__}: open it in binary mode")
        if not block:
            await self.aclose()
            raise StopAsyncIteration
        return block

    async def aclose(self) -> None:
        """Close the file if it was opened here."""
        if self._path is not None and self._file is not None:
            self._file.close()
        self._path = self._file = None


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
    path = os.fspath(target)
    part = f"{path}.part"
    file = await run_sync(_open_to_write, part)
    try:
        size = await _write(stream, file)
        await run_sync(_complete, file, path)
    except BaseException:
        await finish_within(CLEANUP_SECONDS, lambda: run_sync(_discard, file))
        raise
    return size


def _open_to_read(path: os.PathLike[str]) -> BinaryIO:
    return open(path, "rb")


def _open_to_write(path: str) -> BinaryIO:
    return open(path, "wb")


def _complete(file: BinaryIO, path: str) -> None:
    file.close()
    os.replace(file.name, path)


def _discard(file: BinaryIO) -> None:
    file.close()
    Path(file.name).unlink(missing_ok=True)


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
