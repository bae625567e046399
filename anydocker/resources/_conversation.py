"""Feeding a process and reading what it says, at the same time."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Final, TypeAlias

from anydocker._concurrency import hidden_task_group
from anydocker._wire.checks import check_type
from anydocker.errors import TruncatedStream
from anydocker.streams import AttachStream, Output

__all__ = ("SETTLE_SECONDS", "Input", "check_input", "converse")

SETTLE_SECONDS: Final = 10.0
"""How long after the end of its output, in seconds, the engine has to say that a process has ended, too."""

Input: TypeAlias = bytes | AsyncIterable[bytes] | None
"""What a process is given to read: bytes, a stream of them, or None for no input at all."""


def check_input(input: object) -> None:
    """Refuse what cannot be sent to a process, before there is one: a str would have to be encoded first."""
    check_type("input", input, "bytes or an asynchronous iterable of bytes", bytes, AsyncIterable)


async def converse(stream: AttachStream, input: Input) -> Output:
    """Send the input and its end while the output is read up to its end."""
    if input is None:
        return await stream.read()
    async with hidden_task_group() as group:
        group.start_soon(_feed, stream, input)
        return await stream.read()


async def _feed(stream: AttachStream, input: bytes | AsyncIterable[bytes]) -> None:
    try:
        if isinstance(input, bytes):
            await stream.send(input)
        else:
            await _feed_all(stream, aiter(input))
        await stream.send_eof()
    except TruncatedStream:
        # The process has ended without reading it all, as it may. If it was the connection, reading finds out.
        return


async def _feed_all(stream: AttachStream, pieces: AsyncIterator[bytes]) -> None:
    try:
        async for piece in pieces:
            await stream.send(piece)
    finally:
        # A generator that is left in the middle would be closed by the event loop, at some time.
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
