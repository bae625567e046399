"""Cancelling an operation at every place where it can be cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from itertools import count
from typing import Any, Final, Generic, TypeVar, cast, final

from anyio import CancelScope

__all__ = ("MOMENTS", "Stepped", "sweep_cancellations")

T = TypeVar("T")

MOMENTS: Final = ("waiting", "waking")
"""The two moments of a step: the task has begun to wait, and what it waited for has come but it has not gone on yet."""


@final
class Stepped(Awaitable[T], Generic[T]):
    """
    Awaits an operation, and does something at one of the steps in which it gives way to the event loop.

    Only steps of the task itself count, not those of tasks that the operation starts.

    Attributes:
        acted: Whether the operation came to that step.
        steps: How many steps it has taken.
    """

    def __init__(self, operation: Awaitable[T], act: Callable[[], object], step: int, moment: str = "waiting") -> None:
        self.acted = False
        self.steps = 0
        self._operation = operation.__await__()
        self._act = act
        self._when = (step, moment)

    def __await__(self) -> Generator[Any, Any, T]:
        resume: Callable[[], Any] = partial(next, self._operation)
        while True:
            try:
                waits_for = resume()
            except StopIteration as exc:
                return cast("T", exc.value)
            self.steps += 1
            self._come_to("waiting")
            try:
                value = yield waits_for
            except BaseException as exc:  # noqa: ASYNC103, BLE001 - it is the operation's
                resume = partial(self._operation.throw, exc)
            else:
                resume = partial(self._operation.send, value)
            self._come_to("waking")

    def _come_to(self, moment: str) -> None:
        if (self.steps, moment) == self._when:
            self.acted = True
            self._act()


async def sweep_cancellations(
    operation: Callable[[], Awaitable[T]],
    *,
    check: Callable[[T | None], Awaitable[object]] | None = None,
    every: int = 1,
) -> int:
    """
    Run an operation again and again, cancelled at its first step, at its second, ... until it is through.

    A step is where the task gives way to the event loop. In each of them the operation is cancelled twice: once as it
    begins to wait, once as it is about to go on. An operation that comes to no end of its own needs a deadline inside,
    such as ``anyio.move_on_after``.

    Args:
        operation: What to run: it is called, and awaited, once for every cancellation, and once to the end.
        check: Called after each run with what the operation has returned, or with None if it was cancelled before it
            could; it is not cancelled itself.
        every: Cancel at every so many steps only.

    Returns:
        How many times it was cancelled.
    """
    cancelled = 0
    for step in count(1, every):
        for moment in MOMENTS:
            result: T | None = None
            scope = CancelScope()
            steps = Stepped(operation(), scope.cancel, step, moment)
            with scope:
                result = await steps
            if check is not None:
                await check(result)
            if not steps.acted:
                return cancelled
            cancelled += 1
    raise AssertionError
