"""
What DESIGN promises, tried everywhere: every stream cut, split, damaged and cancelled at every byte.

The sweeps are on an engine in memory, because there are ten thousand exchanges in each; a sample of every sweep
is repeated on sockets.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from typing import Any, TypeVar

import anyio
import attrs
import pytest
from anyio import CancelScope, fail_after, get_running_tasks
from anyio.lowlevel import checkpoint

import anydocker
from anydocker import Docker, DockerError, Stream, TruncatedStream
from anydocker.testing import (
    ReplayBackend,
    Reply,
    Request,
    Route,
    ScriptedEngine,
    chunked_reply,
    json_reply,
    scripted_engine,
    upgraded_reply,
)
from tests.recorded import API_VERSION, CALLS, STREAMS, Call, Recording, StreamRecording

pytestmark = pytest.mark.anyio

T = TypeVar("T")

# Ten thousand exchanges: once on each event loop, and without asyncio's debug mode.
sweep = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_stream = pytest.mark.parametrize("recording", STREAMS, ids=lambda recording: recording.name)
every_call = pytest.mark.parametrize("recording", CALLS, ids=lambda recording: recording.name)

HOST = "unix:///nowhere"


def replay(recording: Recording) -> tuple[ReplayBackend, Docker]:
    backend = recording.backend()
    return backend, anydocker.connect(HOST, network_backend=backend)


async def outcome(recording: StreamRecording, docker: Docker) -> tuple[list[Any], DockerError | None]:
    """What a reader gets of a stream: the values, and how it ends."""
    values: list[Any] = []
    try:
        async with recording.open(docker) as stream:
            async for value in stream:
                values.append(value)
    except DockerError as exc:
        return recording.whole(values), exc
    return recording.whole(values), None


def is_beginning(part: list[Any], of: list[Any]) -> bool:
    if part and isinstance(part[0], bytes):
        return bool(of[0].startswith(part[0]))
    return of[: len(part)] == part


# -- 1: no silent end


def silent_ends(recording: StreamRecording) -> set[int]:
    """Where a cut looks like the end: nowhere, but on the borders of frames where there is no end mark."""
    reply = recording.reply
    if not recording.upgraded:
        return set()
    if recording.tty:
        return set(range(reply.head_size, reply.end))
    borders: set[int] = set()
    at = reply.head_size
    while at < reply.end:
        borders.add(at)
        at += 8 + int.from_bytes(reply.data[at + 4 : at + 8])
    return borders


@sweep
@every_stream
async def test_a_stream_cut_anywhere_is_never_taken_for_whole(recording: StreamRecording) -> None:
    backend, client = replay(recording)
    silent: set[int] = set()
    async with client as d:
        expected = await recording.read(d)
        for cut in range(recording.reply.end):
            backend.routes = recording.routes(attrs.evolve(recording.reply, cut_at=cut))
            values, error = await outcome(recording, d)
            assert is_beginning(values, expected), cut
            if error is None:
                silent.add(cut)
            else:
                assert type(error) is TruncatedStream, cut
    assert expected
    assert silent == silent_ends(recording)
    assert backend.open_connections == 0


@sweep
@every_stream
async def test_a_reset_is_never_an_end(recording: StreamRecording) -> None:
    backend, client = replay(recording)
    async with client as d:
        for cut in range(recording.reply.end):
            backend.routes = recording.routes(attrs.evolve(recording.reply, cut_at=cut, reset=True))
            with pytest.raises(TruncatedStream):
                await recording.read(d)


@sweep
@every_call
async def test_a_call_cut_anywhere_fails(recording: Call) -> None:
    backend, client = replay(recording)
    # An exit code is known with its document; nobody waits for the last chunk behind it.
    end = recording.reply.end - (len(b"0\r\n\r\n") if recording.name == "wait" else 0)
    async with client as d:
        await recording.make(d)
        for cut in range(end):
            backend.routes = recording.routes(attrs.evolve(recording.reply, cut_at=cut))
            with pytest.raises(TruncatedStream):
                await recording.make(d)


@sweep
@every_stream
async def test_the_pieces_in_which_a_stream_comes_do_not_matter(recording: StreamRecording) -> None:
    backend, client = replay(recording)
    chance = random.Random(recording.name)
    end = recording.reply.end
    splits: list[int | list[int]] = [1, 2, 3, 7, *([at] for at in range(1, end, 1 + end // 200))]
    splits += [sorted(chance.sample(range(1, end), chance.randint(1, 12))) for _ in range(50)]
    async with client as d:
        expected = await recording.read(d)
        for split in splits:
            backend.routes = recording.routes(attrs.evolve(recording.reply, split=split))
            assert await recording.read(d) == expected, split


@every_stream
async def test_cuts_and_splits_on_a_socket(recording: StreamRecording) -> None:
    reply = recording.reply
    samples = {0, 1, reply.head_size - 1, reply.head_size, reply.head_size + 1, reply.end - 1}
    samples |= set(range(0, reply.end, 1 + reply.end // 7))
    routes: dict[str, Route] = {**recording.routes()}
    async with scripted_engine(routes, api_version=API_VERSION) as engine, anydocker.connect(engine.host) as d:
        expected = await recording.read(d)
        engine.routes.update(recording.routes(attrs.evolve(reply, split=5)))
        assert await recording.read(d) == expected
        for cut in sorted(samples):
            engine.routes.update(recording.routes(attrs.evolve(reply, cut_at=cut)))
            values, error = await outcome(recording, d)
            assert is_beginning(values, expected)
            assert isinstance(error, TruncatedStream) != (cut in silent_ends(recording))
            engine.routes.update(recording.routes(attrs.evolve(reply, cut_at=cut, reset=True)))
            with pytest.raises(TruncatedStream):
                await recording.read(d)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anydocker.resources.exec.SETTLE_SECONDS", 0.05)
    monkeypatch.setattr("anydocker.resources.container._output.SETTLE_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("silent", [0, 12, 24], ids="{} bytes".format)
async def test_where_a_cut_looks_like_the_end_the_engine_is_asked(silent: int) -> None:
    frames = b"\1\0\0\0\0\0\0\4out\n\2\0\0\0\0\0\0\4err\n\1\0\0\0\0\0\0\4end\n"
    cut = upgraded_reply(frames[:silent])
    wait = chunked_reply([b'{"StatusCode":0}'])
    routes = {
        "GET /containers/c1/json": json_reply({"Config": {"Tty": False}, "State": {"Status": "running"}}),
        "POST /containers/c1/attach": cut,
        "POST /containers/c1/exec": json_reply({"Id": "e1"}, 201),
        "POST /containers/create": json_reply({"Id": "c1"}, 201),
        "POST /containers/c1/start": Reply(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True),
        "POST /containers/c1/wait": attrs.evolve(wait, stall_at=wait.head_size),
        "DELETE /containers/c1": Reply(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True),
        "POST /exec/e1/start": cut,
        "GET /exec/e1/json": json_reply({"Running": True}),
    }
    async with anydocker.connect(HOST, network_backend=ReplayBackend(routes)) as d:
        container = d.containers.container("c1")
        with pytest.raises(TruncatedStream, match="runs on"):
            await container.attach()
        with pytest.raises(TruncatedStream, match="runs on"):
            await container.exec(["true"])
        with pytest.raises(TruncatedStream, match="runs on"):
            await d.containers.run("busybox")


# -- 2: cancellation loses nothing


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
async def test_a_read_cancelled_anywhere_can_be_made_again(
    recording: StreamRecording, read: Callable[[Stream[Any], ReplayBackend], Awaitable[tuple[list[Any], int]]]
) -> None:
    backend, client = replay(recording)
    reply = recording.reply
    async with client as d:
        expected = await recording.read(d)
        for offset in range(reply.head_size, reply.end + (not reply.keep_alive)):
            backend.routes = recording.routes(attrs.evolve(reply, stall_at=offset))
            async with recording.open(d) as stream:
                values, cancelled = await read(stream, backend)
            assert cancelled == 1, offset
            assert recording.whole(values) == expected, offset


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
    return got if isinstance(got, list) else [] if got is None else [got]


@sweep
async def test_lines_cancelled_anywhere_go_on(recording: StreamRecording = STREAMS[4]) -> None:
    backend, client = replay(recording)
    reply = recording.reply
    async with client as d:
        for offset in range(reply.head_size, reply.end):
            backend.routes = recording.routes(attrs.evolve(reply, stall_at=offset, split=4))
            async with d.containers.container("c1").open_logs() as logs:
                lines, cancelled = await each(logs.lines(), backend)
            assert cancelled == 1
            assert lines == [("stdout", "out"), ("stderr", "err"), ("stdout", "grüße")]


@sweep
async def test_waiting_cancelled_anywhere_goes_on(recording: Call = CALLS[1]) -> None:
    backend, client = replay(recording)
    reply = recording.reply
    async with client as d:
        for offset in range(reply.head_size, reply.data.index(b"}")):
            backend.routes = recording.routes(attrs.evolve(reply, stall_at=offset))
            async with d.containers.container("c1").open_wait() as pending:
                with CancelScope() as scope:
                    backend.on_stall = scope.cancel
                    await pending.exit_code()
                assert scope.cancelled_caught
                assert await pending.exit_code() == await pending.exit_code() == 3


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@every_stream
async def test_a_read_cancelled_by_asyncio_itself_can_be_made_again(recording: StreamRecording) -> None:
    backend, client = replay(recording)
    reply = recording.reply
    task = asyncio.current_task()
    assert task is not None
    backend.on_stall = task.cancel
    async with client as d:
        expected = await recording.read(d)
        for offset in range(reply.head_size, reply.end):
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


@sweep
async def test_a_cancelled_call_gives_its_connection_up(recording: Call = CALLS[0]) -> None:
    backend, client = replay(recording)
    async with client as d:
        for offset in range(recording.reply.end):
            backend.routes = recording.routes(attrs.evolve(recording.reply, stall_at=offset))
            with CancelScope() as scope:
                backend.on_stall = scope.cancel
                await recording.make(d)
            assert scope.cancelled_caught
            assert backend.open_connections == d.statistics().idle_connections == 0


class Trouble(Exception):
    pass


@every_stream
@pytest.mark.parametrize("road", ["end", "break", "error", "cancellation"])
async def test_leaving_a_block_closes_its_connection_at_once(recording: StreamRecording, road: str) -> None:
    """The engine is in the middle of its answer, and says nothing more."""
    reply = attrs.evolve(recording.reply, stall_at=recording.reply.end - 1)
    routes: dict[str, Route] = {**recording.routes(reply)}
    async with scripted_engine(routes, api_version=API_VERSION) as engine, anydocker.connect(engine.host) as d:
        with fail_after(10), CancelScope() as scope:
            try:
                async with recording.open(d):
                    await engine.wait_stalled()
                    assert d.statistics().open_streams == 1
                    match road:
                        case "error":
                            raise Trouble
                        case "cancellation":
                            scope.cancel()
                            await anyio.sleep_forever()
                        case _:
                            pass
            except Trouble:
                assert road == "error"
        with fail_after(10):
            await engine.wait_connections(d.statistics().idle_connections)
        assert engine.stalled == 1
        assert d.statistics().open_streams == 0
        await d.ping()


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


# -- 2: a cancelled call leaves no container


class Stepper(Awaitable[T]):
    """Awaits a coroutine, and does something at the n-th of its steps: while it waits, or as it wakes."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], act: Callable[[], object], step: int, when: str) -> None:
        self._coroutine = coroutine
        self._act = act
        self._step = step
        self._when = when
        self.acted = False

    def __await__(self) -> Generator[Any, Any, T]:
        resume: Callable[[], Any] = partial(self._coroutine.send, None)
        count = 0
        while True:
            try:
                waits_for = resume()
            except StopIteration as exc:
                return exc.value  # type: ignore[no-any-return]
            count += 1
            self._at(count, "waiting")
            try:
                value = yield waits_for
            except BaseException as exc:
                resume = partial(self._coroutine.throw, exc)
            else:
                self._at(count, "waking")
                resume = partial(self._coroutine.send, value)

    def _at(self, count: int, when: str) -> None:
        if count == self._step and when == self._when:
            self.acted = True
            self._act()


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


@pytest.mark.parametrize("when", ["waiting", "waking"])
@pytest.mark.parametrize("operation", [create, run, open_run])
async def test_cancelled_at_any_step_no_container_is_left(
    operation: Callable[[Docker], Coroutine[Any, Any, object]], when: str
) -> None:
    async with scripted_engine(LIFE) as engine, anydocker.connect(engine.host) as d:
        step = removed = 0
        finished = False
        while not finished:
            step += 1
            result: object = None
            engine.requests.clear()
            with fail_after(20), CancelScope() as scope:
                steps = Stepper(operation(d), scope.cancel, step, when)
                result = await steps
            await settled(engine, d)
            removed += check_removal(engine, kept=operation is create and result is not None)
            finished = not steps.acted
        assert removed > 3


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("operation", [create, run, open_run])
async def test_cancelled_by_asyncio_at_any_step_no_container_is_left(
    operation: Callable[[Docker], Coroutine[Any, Any, object]],
) -> None:
    async with scripted_engine(LIFE) as engine, anydocker.connect(engine.host) as d:
        step = removed = 0
        finished = False
        while not finished:
            step += 1
            engine.requests.clear()
            holder: list[asyncio.Task[object]] = []
            steps = Stepper(operation(d), lambda: holder[0].cancel(), step, "waiting")  # noqa: B023

            async def follow(steps: Stepper[object] = steps) -> object:
                return await steps

            holder.append(asyncio.create_task(follow()))
            with fail_after(20):
                await asyncio.wait(holder)
            await settled(engine, d)
            removed += check_removal(engine, kept=operation is create and not holder[0].cancelled())
            finished = not steps.acted
        assert removed > 3


# -- 5: nothing runs in the background


@every_stream
async def test_no_task_runs_beside_the_callers(recording: StreamRecording) -> None:
    backend, client = replay(recording)
    backend.routes = recording.routes(attrs.evolve(recording.reply, split=50))
    before = {task.id for task in get_running_tasks()}
    async with client as d, recording.open(d) as stream:
        while await stream.receive_many():
            assert {task.id for task in get_running_tasks()} == before
    assert {task.id for task in get_running_tasks()} == before


async def test_what_feeds_a_process_ends_with_the_call() -> None:
    routes = {
        "POST /containers/c1/exec": json_reply({"Id": "e1"}, 201),
        "POST /exec/e1/start": upgraded_reply(b"\1\0\0\0\0\0\0\4out\n"),
        "GET /exec/e1/json": json_reply({"Running": False, "ExitCode": 0}),
    }
    before = {task.id for task in get_running_tasks()}
    async with anydocker.connect(HOST, network_backend=ReplayBackend(routes)) as d:
        done = await d.containers.container("c1").exec(["cat"], input=endless())
        assert {task.id for task in get_running_tasks()} == before
    assert done == anydocker.Completed(0, b"out\n")


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"more\n"
        await checkpoint()


# -- 7: what can go wrong is an error of ours


@sweep
@pytest.mark.parametrize("bad", [b"\xff", b"\n"], ids=repr)
@pytest.mark.parametrize("recording", (*STREAMS, *CALLS), ids=lambda recording: recording.name)
async def test_a_damaged_byte_is_read_or_refused(recording: StreamRecording | Call, bad: bytes) -> None:
    backend, client = replay(recording)
    data = recording.reply.data
    act = recording.read if isinstance(recording, StreamRecording) else recording.make
    refused = 0
    async with client as d:
        for offset in range(0, len(data), 1 + len(data) // 250):
            damaged = data[:offset] + bad + data[offset + 1 :]
            backend.routes = recording.routes(Reply(damaged))
            try:
                await act(d)
            except DockerError:
                refused += 1
    assert refused


REQUESTS: dict[str, Callable[[Docker], Awaitable[object]]] = {
    "call": lambda d: d.request("GET", "/x"),
    "call that changes something": lambda d: d.request("POST", "/x", json={}),
    "call on its own connection": lambda d: d.request("GET", "/x", own_connection=True),
    "call that can be undone": lambda d: d.request("POST", "/x", undo=anyio.sleep_forever),  # type: ignore[arg-type]
    "upload of bytes": lambda d: d.request("PUT", "/x", body=bytes(300_000)),
    "streamed upload": lambda d: d.request("PUT", "/x", body=blocks()),
    "stream": lambda d: take(d.open_request("GET", "/x")),
    "upgrade": lambda d: take(d.open_request("POST", "/x", upgrade="tcp")),
}
every_request = pytest.mark.parametrize("name", REQUESTS)


async def blocks() -> AsyncIterator[bytes]:
    for _ in range(10):
        yield bytes(30_000)


async def take(opened: AbstractAsyncContextManager[anydocker.BodyStream]) -> bytes:
    async with opened as stream:
        return await stream.read()


FULL = json_reply({"some": "thing"})
GARBAGE = {
    "noise": Reply(bytes(range(256))),
    "another protocol": Reply(b"220 mail.example ESMTP\r\n"),
    "a status that is none": Reply(b"HTTP/1.1 20 OK\r\n\r\n"),
    "HTTP/2": Reply(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80"),
    "a head without end": Reply(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 70_000),
    "two lengths": Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "a length that is none": Reply(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    "an unknown coding": Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    "a chunk that is none": Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    "nothing": Reply(b""),
    "a reset": Reply(b"", reset=True),
    "a reset behind half a head": attrs.evolve(FULL, cut_at=20, reset=True),
    "half a body": attrs.evolve(FULL, cut_at=FULL.end - 3),
    "a reset behind half a body": attrs.evolve(FULL, cut_at=FULL.end - 3, reset=True),
}


@every_request
@pytest.mark.parametrize("fault", GARBAGE)
@pytest.mark.parametrize("before_body", [False, True], ids=["in turn", "too early"])
async def test_no_foreign_exception_escapes(name: str, fault: str, before_body: bool) -> None:
    reply = attrs.evolve(GARBAGE[fault], before_body=before_body)
    async with scripted_engine({"* /x": reply}) as engine, anydocker.connect(engine.host) as d:
        with pytest.raises(anydocker.ProtocolError, match=r"/x|chunk|response"):
            await REQUESTS[name](d)
        assert d.statistics().open_streams == 0
        await d.ping()


@every_request
async def test_an_engine_that_is_gone_is_a_connect_error(name: str) -> None:
    async with scripted_engine() as engine:
        client = anydocker.connect(engine.host)
        await client.__aenter__()
    try:
        with pytest.raises(DockerError) as caught:
            await REQUESTS[name](client)
        assert isinstance(caught.value, anydocker.ConnectError)
        assert engine.host in str(caught.value)
        assert "host=" in str(caught.value)
    finally:
        await client.__aexit__(None, None, None)


# -- 8: leaks are loud


async def test_a_client_that_is_dropped_warns() -> None:
    backend = ReplayBackend({})
    client = anydocker.connect(HOST, network_backend=backend)
    await client.__aenter__()
    with pytest.warns(ResourceWarning, match=r"unclosed <Docker unix:///nowhere>: use it as `async with`"):
        del client
        gc.collect()


async def test_a_client_that_was_left_or_never_entered_does_not_warn() -> None:
    async with anydocker.connect(HOST, network_backend=ReplayBackend({})):
        anydocker.connect(HOST)
    gc.collect()


@every_stream
async def test_a_stream_that_is_dropped_warns(recording: StreamRecording) -> None:
    backend, client = replay(recording)
    async with client as d:
        block = recording.open(d)
        stream = await block.__aenter__()
        before = get_running_tasks()
        # trio has a warning of its own beside ours.
        with fail_after(10), pytest.warns(ResourceWarning, match=r"unclosed <\w+ [A-Z]+ /|was garbage collected"):
            del block, stream
            gc.collect()
            while d.statistics().open_streams or get_running_tasks() != before:
                await checkpoint()
    assert backend.open_connections == 0


async def test_a_block_within_a_generator_that_is_closed_does_not_warn() -> None:
    async def frames(d: Docker) -> AsyncGenerator[object, None]:
        async with STREAMS[4].open(d) as logs:
            async for frame in logs:
                yield frame

    _, client = replay(STREAMS[4])
    async with client as d:
        async with aclosing(frames(d)) as generator:
            await anext(generator)
        assert d.statistics().open_streams == 0
