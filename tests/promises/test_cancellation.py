"""
2: cancellation loses nothing and leaves nothing: every read, call and block is cancelled at many places.

The sweeps are on an engine in memory, which says exactly where a read waits; what becomes of connections and of
containers is seen on sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from itertools import count, cycle, product
from typing import Any, TypeVar

import anyio
import attrs
import pytest
from anyio import CancelScope, fail_after
from anyio.lowlevel import checkpoint

import anydocker
from anydocker import Docker, Stream
from anydocker.testing import (
    ReplayBackend,
    Reply,
    Route,
    ScriptedEngine,
    chunked_reply,
    json_reply,
    scripted_engine,
    sweep_cancellations,
    upgraded_reply,
)
from anydocker.testing._sweep import MOMENTS, Stepped
from tests.promises.points import Points
from tests.recorded import (
    API_VERSION,
    CALLS,
    STREAMS,
    Call,
    StreamRecording,
    every_call,
    every_stream,
    replay,
    sweep,
)

pytestmark = pytest.mark.anyio

T = TypeVar("T")

LOGS = next(recording for recording in STREAMS if recording.name == "logs")
WAIT = next(recording for recording in CALLS if recording.name == "wait")


# -- reads


async def read_on(pull: Callable[[], Awaitable[T]], backend: ReplayBackend, stop: object) -> tuple[list[T], int]:
    """Call again and again, also when a call is cancelled inside, until one of them gives ``stop``."""
    out: list[T] = []
    cancelled = 0
    while True:
        with CancelScope() as scope:
            backend.on_stall = scope.cancel
            value = await pull()
            if value == stop:
                return out, cancelled
            out.append(value)
        cancelled += scope.cancelled_caught


async def next_or_none(stream: Stream[T]) -> T | None:
    return await anext(stream, None)


async def each(stream: Stream[Any], backend: ReplayBackend) -> tuple[list[Any], int]:
    return await read_on(partial(next_or_none, stream), backend, None)


async def in_batches(stream: Stream[Any], backend: ReplayBackend) -> tuple[list[Any], int]:
    batches, cancelled = await read_on(stream.receive_many, backend, [])
    return [value for batch in batches for value in batch], cancelled


@sweep
@every_stream
@pytest.mark.parametrize("read", [each, in_batches])
@pytest.mark.promise(2, "a read cancelled at any byte can be made again")
async def test_a_read_cancelled_anywhere_can_be_made_again(
    recording: StreamRecording,
    read: Callable[[Stream[Any], ReplayBackend], Awaitable[tuple[list[Any], int]]],
    points: Points,
) -> None:
    backend, client = replay(recording)
    reply = recording.reply
    async with client as d:
        expected = await recording.read(d)
        for offset in points.of(range(reply.head_size, recording.last_read + 1)):
            backend.routes = recording.routes(attrs.evolve(reply, stall_at=offset))
            async with recording.open(d) as stream:
                values, cancelled = await read(stream, backend)
            assert cancelled == 1, offset
            assert recording.whole(values) == expected, offset


async def next_batch(stream: Stream[T]) -> list[T]:
    return await stream.receive_many()


WAYS: dict[str, tuple[Callable[[Stream[Any]], Awaitable[Any]], ...]] = {
    "anext": (next_or_none,),
    "receive_many": (next_batch,),
    "in turn": (next_or_none, next_batch),
}


@sweep
@every_stream
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.promise(2, "a read cancelled at any of its awaits can be made again")
async def test_a_read_cancelled_at_any_of_its_awaits_can_be_made_again(
    recording: StreamRecording, way: str, points: Points
) -> None:
    """Counted over the whole of a stream, the n-th await is cancelled, and the read made again."""
    backend, client = replay(recording)
    reply = attrs.evolve(recording.reply, split=max(20, recording.reply.end // 40))
    backend.routes = recording.routes(reply)
    async with client as d:
        expected = await recording.read(d)
        awaits = await count_awaits(recording, d, way)
        assert awaits > 3
        for at in points.of(product(range(1, awaits + 1), MOMENTS), about=8):
            async with recording.open(d) as stream:
                values, cancelled = await read_again(stream, way, at)
            assert cancelled
            assert recording.whole(values) == expected, at


async def count_awaits(recording: StreamRecording, docker: Docker, way: str) -> int:
    awaits = 0
    async with recording.open(docker) as stream:
        for pull in cycle(WAYS[way]):
            step = Stepped(pull(stream), lambda: None, 0)
            got = as_list(await step)
            awaits += step.steps
            if not got:
                return awaits
    raise AssertionError


async def read_again(stream: Stream[Any], way: str, at: tuple[int, str]) -> tuple[list[Any], bool]:
    """Read a stream, cancelled at one of its awaits; return the values, and whether it came to that."""
    step, moment = at
    values: list[Any] = []
    cancelled = False
    for pull in cycle(WAYS[way]):
        scope = CancelScope()
        steps = Stepped(pull(stream), scope.cancel, step, moment)
        with scope:
            got = as_list(await steps)
            values += got
            if not got:
                return values, cancelled or steps.acted
        cancelled = cancelled or steps.acted
        step -= steps.steps
    raise AssertionError


@every_stream
@pytest.mark.promise(2, "a read on a socket cancelled at any of its awaits can be made again")
async def test_a_read_on_a_socket_cancelled_at_any_of_its_awaits_can_be_made_again(
    recording: StreamRecording, points: Points
) -> None:
    reply = attrs.evolve(recording.reply, split=1 + recording.reply.end // 10)
    routes: dict[str, Route] = {**recording.routes(reply)}
    async with scripted_engine(routes, api_version=API_VERSION) as engine, anydocker.connect(engine.host) as d:
        expected = await recording.read(d)
        awaits = await count_awaits(recording, d, "anext")
        for at in points.of(product(range(1, awaits + 1), MOMENTS), about=6):
            async with recording.open(d) as stream:
                values, _ = await read_again(stream, "anext", at)
            assert recording.whole(values) == expected, at


@sweep
@every_stream
async def test_a_read_cancelled_before_it_began_takes_nothing(recording: StreamRecording) -> None:
    """Every call is made twice, the first time in a scope that is cancelled already; batches and values in turn."""
    backend, client = replay(recording)
    backend.routes = recording.routes(attrs.evolve(recording.reply, split=200))
    async with client as d:
        expected = await recording.read(d)
        async with recording.open(d) as stream:
            values: list[Any] = []
            ended = False
            while not ended:
                for pull in (partial(next_or_none, stream), stream.receive_many):
                    with CancelScope() as scope:
                        scope.cancel()
                        values += as_list(await pull())
                    got = as_list(await pull())
                    values += got
                    ended = not got
        assert recording.whole(values) == expected


def as_list(got: Any) -> list[Any]:
    if hasattr(got, "append"):
        return list(got)
    return [] if got is None else [got]


@sweep
@pytest.mark.promise(2, "a read cancelled at any byte can be made again")
async def test_lines_cancelled_anywhere_go_on(points: Points) -> None:
    backend, client = replay(LOGS)
    reply = LOGS.reply
    async with client as d:
        for offset in points.of(range(reply.head_size, reply.end)):
            backend.routes = LOGS.routes(attrs.evolve(reply, stall_at=offset, split=4))
            async with d.containers.container("c1").open_logs() as logs:
                lines, cancelled = await each(logs.lines(), backend)
            assert cancelled == 1
            assert lines == [("stdout", "out"), ("stderr", "err"), ("stdout", "grüße")]


@sweep
@pytest.mark.promise(2, "a read cancelled at any byte can be made again")
async def test_waiting_cancelled_anywhere_goes_on(points: Points) -> None:
    backend, client = replay(WAIT)
    reply = WAIT.reply
    async with client as d:
        for offset in points.of(range(reply.head_size, reply.data.index(b"}"))):
            backend.routes = WAIT.routes(attrs.evolve(reply, stall_at=offset))
            async with d.containers.container("c1").open_wait() as pending:
                with CancelScope() as scope:
                    backend.on_stall = scope.cancel
                    await pending.exit_code()
                assert scope.cancelled_caught
                assert await pending.exit_code() == await pending.exit_code() == 3


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@every_stream
@pytest.mark.promise(2, "a read cancelled at any byte by asyncio itself can be made again")
async def test_a_read_cancelled_by_asyncio_itself_can_be_made_again(recording: StreamRecording, points: Points) -> None:
    backend, client = replay(recording)
    reply = recording.reply
    task = asyncio.current_task()
    assert task is not None
    backend.on_stall = task.cancel
    async with client as d:
        expected = await recording.read(d)
        for offset in points.of(range(reply.head_size, recording.last_read + 1)):
            backend.routes = recording.routes(attrs.evolve(reply, stall_at=offset))
            values: list[Any] = []
            async with recording.open(d) as stream:
                while True:
                    try:
                        values.append(await anext(stream))
                    except asyncio.CancelledError:
                        task.uncancel()
                    except StopAsyncIteration:
                        break
            assert recording.whole(values) == expected


# -- calls and blocks


async def cancelled_at(
    offset: int,
    recording: Call | StreamRecording,
    act: Callable[[Docker], Awaitable[object]],
    backend: ReplayBackend,
    d: Docker,
) -> None:
    """Cancel what waits for a byte of the answer, and see that it has left no connection."""
    backend.routes = recording.routes(attrs.evolve(recording.reply, stall_at=offset))
    with CancelScope() as scope:
        backend.on_stall = scope.cancel
        await act(d)
    assert scope.cancelled_caught, offset
    assert d.statistics().open_streams == 0
    # One more may idle: that of a call before, such as the one that asks whether there is a terminal.
    assert backend.open_connections == d.statistics().idle_connections <= 1


@sweep
@every_call
@pytest.mark.promise(2, "a call cancelled at any byte gives its connection up")
async def test_a_cancelled_call_gives_its_connection_up(recording: Call, points: Points) -> None:
    backend, client = replay(recording)
    async with client as d:
        for offset in points.of(range(recording.needed)):
            await cancelled_at(offset, recording, recording.make, backend, d)


@sweep
@every_stream
@pytest.mark.promise(2, "a block cancelled at any byte of the head leaves no connection")
async def test_a_block_cancelled_as_it_is_entered_leaves_no_connection(
    recording: StreamRecording, points: Points
) -> None:
    backend, client = replay(recording)
    async with client as d:
        for offset in points.of(range(recording.reply.head_size)):
            await cancelled_at(offset, recording, recording.read, backend, d)


class Trouble(Exception):
    pass


async def leave(stream: Stream[object], road: str, scope: CancelScope) -> None:
    match road:
        case "break":
            async for _ in stream:
                break
        case "error":
            raise Trouble
        case "cancellation":
            scope.cancel()
            await stream.receive()
        case _:
            await checkpoint()


@every_stream
@pytest.mark.parametrize("road", ["end", "break", "error", "cancellation"])
@pytest.mark.promise(2, "leaving a block by any road closes its connection at once")
async def test_leaving_a_block_closes_its_connection_at_once(
    recording: StreamRecording, road: str, points: Points
) -> None:
    """The engine is in the middle of its answer, and says nothing more."""
    reply = attrs.evolve(recording.reply, stall_at=recording.reply.end - 1)
    routes: dict[str, Route] = {**recording.routes(reply)}
    async with scripted_engine(routes, api_version=API_VERSION) as engine, anydocker.connect(engine.host) as d:
        with fail_after(10), CancelScope() as scope:
            try:
                async with recording.open(d) as stream:
                    await engine.wait_stalled()
                    assert d.statistics().open_streams == 1
                    await leave(stream, road, scope)
            except Trouble:
                assert road == "error"
        with fail_after(10):
            await engine.wait_connections(d.statistics().idle_connections)
        assert engine.stalled == 1
        assert d.statistics().open_streams == 0
        await d.ping()
    points.add()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@every_stream
async def test_a_block_left_by_a_cancelled_task_closes_its_connection(recording: StreamRecording) -> None:
    reply = attrs.evolve(recording.reply, stall_at=recording.reply.end - 1)
    routes: dict[str, Route] = {**recording.routes(reply)}
    async with scripted_engine(routes, api_version=API_VERSION) as engine, anydocker.connect(engine.host) as d:
        task = asyncio.create_task(recording.read(d))
        with fail_after(10):
            await engine.wait_stalled()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await engine.wait_connections(d.statistics().idle_connections)


async def test_a_client_left_by_cancellation_closes_every_connection() -> None:
    async with scripted_engine({"GET /slow": attrs.evolve(json_reply({}), stall_at=0)}) as engine:
        with fail_after(10), CancelScope() as scope:
            async with anydocker.connect(engine.host) as d, anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(partial(d.request, "GET", "/slow"))
                await engine.wait_stalled(3)
                engine.resume()
                while d.statistics().idle_connections < 3:
                    await anyio.sleep(0.001)
                scope.cancel()
        assert scope.cancelled_caught
        with fail_after(10):
            await engine.wait_connections(0)


# -- containers


CREATED = attrs.evolve(json_reply({"Id": "c1", "Warnings": []}, 201), split=20)
DONE = Reply(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True)
LIFE: dict[str, Route] = {
    "POST /containers/create": CREATED,
    "GET /containers/c1/json": json_reply({"Config": {"Tty": False}}),
    "POST /containers/c1/attach": upgraded_reply(b"\1\0\0\0\0\0\0\4out\n"),
    "POST /containers/c1/wait": chunked_reply([b'{"StatusCode":0}\n']),
    "POST /containers/c1/start": DONE,
    "DELETE /containers/c1": DONE,
}


async def create(d: Docker) -> object:
    return await d.containers.create("busybox")


async def run(d: Docker) -> object:
    return await d.containers.run("busybox", input=b"in")


async def open_run(d: Docker) -> object:
    async with d.containers.open_run("busybox") as container:
        return container.id


def asked(engine: ScriptedEngine, name: str) -> int:
    return sum(f"{request.method} {request.path}" == name for request in engine.requests)


def check_removal(engine: ScriptedEngine, *, kept: bool) -> bool:
    """Assert that a container that was created was either kept or removed; return whether it was removed."""
    created, removed = asked(engine, "POST /containers/create"), asked(engine, "DELETE /containers/c1")
    # asyncio's own cancellation reaches through a shield, and a clean-up that it stops begins again.
    assert bool(removed) == bool(created and not kept)
    return bool(removed)


async def settled(engine: ScriptedEngine, d: Docker) -> None:
    with fail_after(10):
        await engine.wait_connections(d.statistics().idle_connections)


@pytest.mark.parametrize("operation", [create, run, open_run])
@pytest.mark.promise(2, "a container whose creation is cancelled at any step is removed")
async def test_cancelled_at_any_step_no_container_is_left(
    operation: Callable[[Docker], Awaitable[object]], points: Points
) -> None:
    removed = 0
    async with scripted_engine(LIFE) as engine, anydocker.connect(engine.host) as d:

        async def check(result: object) -> None:
            nonlocal removed
            await settled(engine, d)
            removed += check_removal(engine, kept=operation is create and result is not None)
            engine.requests.clear()

        points.add(await sweep_cancellations(partial(operation, d), check=check))
    assert removed > 6


def cancel_first(tasks: list[asyncio.Task[object]]) -> None:
    tasks[0].cancel()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("operation", [create, run, open_run])
@pytest.mark.promise(2, "a container whose creation asyncio itself cancels at any step is removed")
async def test_cancelled_by_asyncio_at_any_step_no_container_is_left(
    operation: Callable[[Docker], Coroutine[Any, Any, object]], points: Points
) -> None:
    async with scripted_engine(LIFE) as engine, anydocker.connect(engine.host) as d:
        removed = 0
        for step in count(1):
            engine.requests.clear()
            holder: list[asyncio.Task[object]] = []
            steps = Stepped(operation(d), partial(cancel_first, holder), step)

            async def follow(steps: Stepped[object] = steps) -> object:
                return await steps

            holder.append(asyncio.create_task(follow()))
            with fail_after(20):
                await asyncio.wait(holder)
            await settled(engine, d)
            removed += check_removal(engine, kept=operation is create and not holder[0].cancelled())
            if not steps.acted:
                break
            points.add()
        assert removed > 3
