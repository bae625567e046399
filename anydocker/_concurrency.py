"""
The only task group, and the only shield.

Two needs of a client cannot be met in the caller's task alone: feeding a process while its output is read, and
cleaning up what a cancelled call has left in the engine. Both live here, so that their rules are kept in one
place: a task group never shows in an exception the user gets, and a shield always has a deadline.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, cast

from anyio import CancelScope, create_task_group, get_cancelled_exc_class, move_on_after
from anyio.abc import TaskGroup

__all__ = ("CLEANUP_SECONDS", "finish_within", "hidden_task_group", "without_waiting")

CLEANUP_SECONDS: Final = 10.0
"""How long a cancelled call may go on, in seconds, to take back what it has left in the engine."""


@asynccontextmanager
async def hidden_task_group() -> AsyncGenerator[TaskGroup, None]:
    """
    A task group that exists only for its block, and that no exception of the block passes through.

    What the block raises leaves unchanged, the same object with a clean traceback. Leaving the block cancels the
    tasks that still run. A task that fails cancels the block, and its own error, unwrapped, is what the block
    raises; where the block failed too, the block's error wins and the task's is noted on it.
    """
    caught: BaseException | None = None
    failed: BaseException | None = None
    try:
        async with create_task_group() as group:
            try:
                yield group
            except get_cancelled_exc_class():
                raise
            except BaseException as exc:  # noqa: BLE001 - raised again below, outside the group
                caught = exc
            group.cancel_scope.cancel()
    except BaseExceptionGroup as exc:
        failed = _first_leaf(exc)
    if caught is not None:
        if failed is not None:
            caught.add_note(f"meanwhile, in the background: {failed!r}")
        raise caught
    if failed is not None:
        raise failed


def _first_leaf(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup):
        exc = cast("BaseExceptionGroup[BaseException]", exc).exceptions[0]
    return exc


async def finish_within(seconds: float, clean_up: Callable[[], Awaitable[object]]) -> bool:
    """
    Run a clean-up to its end even though the caller is being cancelled, but for no longer than ``seconds``.

    The clean-up has to be one that can be started again: asyncio's own ``Task.cancel()`` (and so
    ``asyncio.timeout``) reaches through a shield, and is answered by starting over and by raising the
    cancellation once the clean-up is done.

    Returns:
        Whether it came to its end in time.
    """
    cancelled: BaseException | None = None
    done = False
    with move_on_after(seconds, shield=True) as scope:  # noqa: ASYNC912 - the clean-up's own waits end it
        while not done:
            try:
                await clean_up()
                done = True
            except get_cancelled_exc_class() as exc:  # noqa: ASYNC103 - raised again below
                if scope.cancel_called:
                    raise
                cancelled = exc
    if cancelled is not None:
        raise cancelled
    return done


async def without_waiting(close: Callable[[], Awaitable[object]]) -> None:
    """
    Run something that closes, cut short where it would wait, and cut short nothing else.

    A cancellation of the caller does not come out of here: it would keep the caller from closing what is next.
    """
    with CancelScope(shield=True) as scope:
        scope.cancel()
        await close()
