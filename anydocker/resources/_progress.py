"""Running a progress stream to its end for the task forms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from anydocker.streams import Stream

__all__ = ("ProgressCallback", "check_progress", "report")

T = TypeVar("T")

ProgressCallback: TypeAlias = Callable[[T], Awaitable[object] | object]
"""Called with each step in the caller's task; if it returns an awaitable, that is awaited."""


def check_progress(progress: object) -> None:
    """
    Refuse what cannot be called; None passes.

    Raises:
        TypeError: It cannot.
    """
    if progress is not None and not callable(progress):
        raise TypeError(f"progress: expected a function or a coroutine function, not {progress!r}")


async def report(stream: Stream[T], progress: ProgressCallback[T] | None) -> None:
    """Run a stream to its end, handing each value to a callback."""
    while batch := await stream.receive_many():
        if progress is None:
            continue
        for value in batch:
            outcome = progress(value)
            if isawaitable(outcome):
                await outcome
