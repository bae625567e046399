from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio import CancelScope, Event, fail_after, get_cancelled_exc_class, get_running_tasks, move_on_after
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from anydocker._concurrency import finish_within, hidden_task_group, without_waiting

pytestmark = pytest.mark.anyio

native = pytest.mark.parametrize("anyio_backend", ["asyncio", ("asyncio", {"use_uvloop": True})])


class Trouble(Exception):
    pass


class InTheBackground(Exception):
    pass


async def fail(exc: BaseException) -> None:
    await checkpoint()
    raise exc


async def fail_when_cancelled(started: Event, exc: BaseException) -> None:
    try:
        started.set()
        await anyio.sleep_forever()
    finally:
        raise exc


# -- hidden_task_group


async def test_leaving_the_block_cancels_the_tasks() -> None:
    ended: list[str] = []

    async def run(name: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(name)

    before = get_running_tasks()
    async with hidden_task_group() as group:
        group.start_soon(run, "one")
        group.start_soon(run, "two")
        await anyio.wait_all_tasks_blocked()
    assert sorted(ended) == ["one", "two"]
    assert get_running_tasks() == before


async def test_a_task_that_has_ended_is_no_reason_to_end_the_block() -> None:
    async with hidden_task_group() as group:
        group.start_soon(checkpoint)
        await anyio.wait_all_tasks_blocked()
        reached = True
    assert reached


@pytest.mark.parametrize(
    "raised",
    [
        Trouble("of the user"),
        ExceptionGroup("of the user", [Trouble(), ValueError()]),
        BaseExceptionGroup("of the user", [KeyboardInterrupt()]),
        KeyboardInterrupt(),
        SystemExit(3),
    ],
    ids=repr,
)
async def test_what_the_block_raises_leaves_it_unchanged(raised: BaseException) -> None:
    caught: BaseException | None = None
    try:
        async with hidden_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            await checkpoint()
            raise raised
    except BaseException as exc:
        caught = exc
    assert caught is raised
    assert raised.__cause__ is None
    assert raised.__context__ is None
    assert not hasattr(raised, "__notes__")


async def test_an_error_that_is_handled_around_the_block_stays_its_context() -> None:
    first = Trouble("first")
    with pytest.raises(Trouble, match="second") as caught:
        try:
            raise first
        except Trouble:
            async with hidden_task_group():
                raise Trouble("second") from None
    assert caught.value.__context__ is first


async def test_the_error_of_a_task_cancels_the_block_and_comes_out_bare() -> None:
    raised = InTheBackground()
    cancelled = False
    with fail_after(10):
        with pytest.raises(InTheBackground) as caught:
            async with hidden_task_group() as group:
                group.start_soon(fail, raised)
                try:
                    await anyio.sleep_forever()
                except get_cancelled_exc_class():
                    cancelled = True
                    raise
        assert caught.value is raised
    assert cancelled
    await checkpoint()


async def test_if_both_fail_the_error_of_the_block_wins_and_has_the_other_as_a_note() -> None:
    mine = Trouble()
    with pytest.raises(Trouble) as caught:
        async with hidden_task_group() as group:
            started = Event()
            group.start_soon(fail_when_cancelled, started, InTheBackground("too"))
            await started.wait()
            raise mine
    assert caught.value is mine
    assert mine.__notes__ == ["meanwhile, in the background: InTheBackground('too')"]


async def test_of_two_tasks_that_fail_one_error_comes_out() -> None:
    with pytest.raises(InTheBackground):
        async with hidden_task_group() as group:
            started = Event()
            group.start_soon(fail_when_cancelled, started, InTheBackground())
            await started.wait()
            group.start_soon(fail, InTheBackground())
            await anyio.sleep_forever()


async def test_a_cancellation_from_outside_goes_through() -> None:
    with fail_after(10), CancelScope() as scope:
        async with hidden_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    await checkpoint()


async def test_a_cancellation_does_not_hide_the_error_of_a_task() -> None:
    with fail_after(10), CancelScope() as scope:
        with pytest.raises(InTheBackground):
            async with hidden_task_group() as group:
                started = Event()
                group.start_soon(fail_when_cancelled, started, InTheBackground())
                await started.wait()
                scope.cancel()
                await anyio.sleep_forever()


async def test_a_deadline_around_the_block_ends_it() -> None:
    with pytest.raises(TimeoutError):
        with fail_after(0.01):
            async with hidden_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                await anyio.sleep_forever()


async def test_what_the_block_returns_arrives() -> None:
    async def converse() -> str:
        async with hidden_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            return "said"

    assert await converse() == "said"


@native
async def test_a_task_cancelled_by_asyncio_takes_its_children_along() -> None:
    started = Event()

    async def run() -> None:
        async with hidden_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            started.set()
            await anyio.sleep_forever()

    before = asyncio.all_tasks()
    task = asyncio.create_task(run())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert asyncio.all_tasks() == before


# -- finish_within


async def test_a_clean_up_runs_to_its_end() -> None:
    done: list[int] = []

    async def clean_up() -> None:
        await checkpoint()
        done.append(1)

    assert await finish_within(10, clean_up) is True
    assert done == [1]


async def test_a_clean_up_runs_to_its_end_in_a_cancelled_task() -> None:
    done: list[int] = []

    async def clean_up() -> None:
        for step in range(3):
            await checkpoint()
            done.append(step)

    with fail_after(10), CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        finally:
            assert await finish_within(10, clean_up) is True
    assert scope.cancelled_caught
    assert done == [0, 1, 2]


async def test_a_cancellation_during_the_clean_up_comes_after_it() -> None:
    done = False
    with fail_after(10), CancelScope() as scope:

        async def clean_up() -> None:
            nonlocal done
            scope.cancel()
            await checkpoint()
            done = True

        await finish_within(10, clean_up)
        await checkpoint()
    assert scope.cancelled_caught
    assert done


async def test_a_clean_up_that_takes_too_long_is_given_up() -> None:
    with fail_after(10):
        assert await finish_within(0.01, anyio.sleep_forever) is False
    await checkpoint()


async def test_a_clean_up_that_has_no_time_is_not_waited_for() -> None:
    with fail_after(10), CancelScope() as scope:
        scope.cancel()
        assert await finish_within(0, anyio.sleep_forever) is False
    await checkpoint()


async def test_the_error_of_a_clean_up_is_raised() -> None:
    with pytest.raises(Trouble):
        await finish_within(math.inf, lambda: fail(Trouble()))


async def run_native(clean_up: Callable[[], Awaitable[object]], seconds: float = 10) -> bool:
    try:
        await anyio.sleep_forever()
    finally:
        await finish_within(seconds, clean_up)
    return True


@native
async def test_the_cancellation_of_asyncio_starts_a_clean_up_over() -> None:
    attempts = 0
    finished = 0

    async def clean_up() -> None:
        nonlocal attempts, finished
        attempts += 1
        await anyio.sleep(0.005)
        finished += 1

    task = asyncio.create_task(run_native(clean_up))
    for expected in (0, 1, 2):
        while attempts < expected:
            await checkpoint()
        await checkpoint()
        task.cancel()
    with fail_after(10), pytest.raises(asyncio.CancelledError):
        await task
    assert (attempts, finished) == (3, 1)


@native
async def test_a_deadline_ends_a_clean_up_that_asyncio_cancels_again_and_again() -> None:
    begun = Event()

    async def clean_up() -> None:
        begun.set()
        await anyio.sleep_forever()

    task = asyncio.create_task(run_native(clean_up, 0.05))
    await checkpoint()
    task.cancel()
    await begun.wait()
    with fail_after(10):
        while not task.done():
            task.cancel()
            await anyio.sleep(0.005)
    assert task.cancelled()


@native
async def test_a_timeout_of_asyncio_waits_for_the_clean_up() -> None:
    done = False

    async def clean_up() -> None:
        nonlocal done
        await anyio.sleep(0.01)
        done = True

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_native(clean_up)
    assert done


# -- without_waiting


async def test_closing_is_cut_short_where_it_waits() -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("begun")
        await anyio.sleep_forever()

    with fail_after(10):
        await without_waiting(close)
    assert closed == ["begun"]
    await checkpoint()


async def test_all_is_closed_in_a_cancelled_task() -> None:
    closed: list[int] = []

    async def close(number: int) -> None:
        closed.append(number)
        await checkpoint()

    with CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        finally:
            for number in range(3):
                await without_waiting(lambda number=number: close(number))  # type: ignore[misc]
    assert closed == [0, 1, 2]
    assert scope.cancelled_caught


async def test_the_error_of_closing_is_raised() -> None:
    async def close() -> None:
        raise Trouble

    with pytest.raises(Trouble):
        await without_waiting(close)


async def test_a_group_of_the_users_own_is_not_disturbed() -> None:
    """Blocks in blocks, as a stream inside a task of the user's."""
    out: list[str] = []

    async def work(group: TaskGroup) -> None:
        async with hidden_task_group() as inner:
            inner.start_soon(anyio.sleep_forever)
            await checkpoint()
        out.append("worked")
        group.cancel_scope.cancel()

    with move_on_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(work, group)
            await anyio.sleep_forever()
    assert out == ["worked"]
