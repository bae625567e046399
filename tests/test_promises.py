"""
What DESIGN promises, tried everywhere: every stream cut, split, damaged and cancelled at every byte.

The sweeps are on an engine in memory, because there are ten thousand exchanges in each; a sample of every sweep
is repeated on sockets.
"""

from __future__ import annotations

import gc
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import anyio
import attrs
import pytest
from anyio import fail_after, get_running_tasks
from anyio.lowlevel import checkpoint

import anydocker
from anydocker import Docker, DockerError, TruncatedStream
from anydocker.testing import (
    ReplayBackend,
    Reply,
    Route,
    chunked_reply,
    json_reply,
    scripted_engine,
    upgraded_reply,
)
from tests.recorded import (
    API_VERSION,
    CALLS,
    HOST,
    STREAMS,
    Call,
    StreamRecording,
    every_call,
    every_stream,
    replay,
    sweep,
)

pytestmark = pytest.mark.anyio


async def outcome(recording: StreamRecording, docker: Docker) -> tuple[list[Any], DockerError | None]:
    """What a reader gets of a stream: the values, and how it ends."""
    values: list[Any] = []
    try:
        async with recording.open(docker) as stream:
            while batch := await stream.receive_many():
                values += batch
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
        for cut in range(0, recording.reply.end, 7):
            backend.routes = recording.routes(attrs.evolve(recording.reply, cut_at=cut, reset=True))
            with pytest.raises(TruncatedStream):
                await recording.read(d)


@sweep
@every_call
async def test_a_call_cut_anywhere_fails(recording: Call) -> None:
    backend, client = replay(recording)
    async with client as d:
        await recording.make(d)
        for cut in range(0, recording.needed, 3):
            backend.routes = recording.routes(attrs.evolve(recording.reply, cut_at=cut))
            with pytest.raises(TruncatedStream):
                await recording.make(d)


@sweep
@every_stream
async def test_the_pieces_in_which_a_stream_comes_do_not_matter(recording: StreamRecording) -> None:
    backend, client = replay(recording)
    chance = random.Random(recording.name)
    end = recording.reply.end
    splits: list[int | list[int]] = [1, 2, 3, 7, *([at] for at in range(1, end, 1 + end // 100))]
    splits += [sorted(chance.sample(range(1, end), chance.randint(2, 12))) for _ in range(30)]
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
    routes: dict[str, Route] = {
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
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        container = d.containers.container("c1")
        with pytest.raises(TruncatedStream, match="runs on"):
            await container.attach()
        with pytest.raises(TruncatedStream, match="runs on"):
            await container.exec(["true"])
        with pytest.raises(TruncatedStream, match="runs on"):
            await d.containers.run("busybox")


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
    source = endless()  # held, so that it is not closed for want of an owner
    before = {task.id for task in get_running_tasks()}
    async with anydocker.connect(HOST, network_backend=ReplayBackend(routes)) as d:
        done = await d.containers.container("c1").exec(["cat"], input=source)
        assert {task.id for task in get_running_tasks()} == before
    assert done == anydocker.Completed(0, b"out\n")


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"more\n"
        await checkpoint()


# -- 7: what can go wrong is an error of ours


@sweep
@pytest.mark.parametrize("bad", [b"\xff", b"\n"], ids=repr)
@pytest.mark.parametrize("recording", [*STREAMS, *CALLS], ids=lambda recording: recording.name)
async def test_a_damaged_byte_is_read_or_refused(recording: StreamRecording | Call, bad: bytes) -> None:
    backend, client = replay(recording)
    data = recording.reply.data
    act = recording.read if isinstance(recording, StreamRecording) else recording.make
    refused = 0
    async with client as d:
        for offset in range(0, len(data), 1 + len(data) // 150):
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
@pytest.mark.parametrize("before_body", [False, True], ids=["in turn", "too early"])
async def test_no_foreign_exception_escapes(name: str, before_body: bool) -> None:
    async with scripted_engine() as engine, anydocker.connect(engine.host) as d:
        for fault, reply in GARBAGE.items():
            engine.routes["* /x"] = attrs.evolve(reply, before_body=before_body)
            with pytest.raises(anydocker.ProtocolError, match=r"/x|chunk|response"):
                await REQUESTS[name](d)
            assert d.statistics().open_streams == 0, fault
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
    held = [anydocker.connect(HOST, network_backend=ReplayBackend({}))]
    await held[0].__aenter__()
    with pytest.warns(ResourceWarning, match=r"unclosed <Docker unix:///nowhere>: use it as `async with`"):
        drop(held)


def drop(held: list[Any]) -> None:
    held.clear()
    gc.collect()


async def test_a_client_that_was_left_or_never_entered_does_not_warn() -> None:
    async with anydocker.connect(HOST, network_backend=ReplayBackend({})):
        anydocker.connect(HOST)
    gc.collect()


@every_stream
async def test_a_stream_that_is_dropped_warns(recording: StreamRecording) -> None:
    backend, client = replay(recording)
    async with client as d:
        held: list[Any] = [recording.open(d)]
        held.append(await held[0].__aenter__())
        # trio has a warning of its own beside ours.
        with pytest.warns(ResourceWarning, match=r"unclosed <\w+ [A-Z]+ /|was garbage collected"):
            await drop_and_wait(held, d)
    assert backend.open_connections == 0


async def drop_and_wait(held: list[Any], d: Docker) -> None:
    """The event loop ends a block that is dropped, in a task of its own."""
    before = get_running_tasks()
    drop(held)
    with fail_after(10):
        while d.statistics().open_streams or get_running_tasks() != before:
            await checkpoint()


async def test_a_block_within_a_generator_that_is_closed_does_not_warn() -> None:
    async def frames(d: Docker) -> AsyncGenerator[object, None]:
        async with STREAMS[4].open(d) as logs:
            yield await logs.receive()

    _, client = replay(STREAMS[4])
    async with client as d:
        async with aclosing(frames(d)) as generator:
            await anext(generator)
        assert d.statistics().open_streams == 0
