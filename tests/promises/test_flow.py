"""3 to 6: streams beside calls, errors inside of streams, no tasks beside the caller's, output in order."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any, TypeAlias

import attrs
import pytest
from anyio import fail_after, get_running_tasks, wait_all_tasks_blocked
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

import anydocker
from anydocker import (
    BuildFailed,
    BuildStream,
    Docker,
    Frame,
    LoadFailed,
    ProgressStream,
    PullFailed,
    PushFailed,
    Stream,
    StreamError,
)
from anydocker.testing import (
    ReplayBackend,
    Reply,
    Request,
    Route,
    chunked_reply,
    json_reply,
    scripted_engine,
    upgraded_reply,
)
from tests.promises.points import EVERY_POINT, Points
from tests.recorded import HOST, STREAMS, StreamRecording, every_stream, replay, sweep

pytestmark = pytest.mark.anyio


# -- 3: streams never starve calls


@sweep
@every_stream
@pytest.mark.promise(3, "beside streams that wait, a call gets its answer")
async def test_streams_never_starve_calls(recording: StreamRecording, points: Points) -> None:
    backend, client = replay(recording)
    async with client as d, AsyncExitStack() as stack:
        backend.routes = recording.routes(attrs.evolve(recording.reply, stall_at=recording.reply.head_size))
        for number in range(1, 1 + (1000 if EVERY_POINT else 50)):
            await stack.enter_async_context(recording.open(d))
            with fail_after(10):
                assert (await d.ping()).os == "linux"
            assert d.statistics().open_streams == number
            assert d.statistics().idle_connections == 1
            points.add()
    assert backend.open_connections == 0


# -- 4: an error inside a stream is an error


ERROR = b'{"errorDetail":{"message":"no space left"},"error":"no space left"}\r\n'
FAILURES: dict[str, type[StreamError]] = {
    "pull": PullFailed,
    "push": PushFailed,
    "build": BuildFailed,
    "load": LoadFailed,
}
every_failure = pytest.mark.parametrize(
    "recording", [each for each in STREAMS if each.name in FAILURES], ids=lambda each: each.name
)


def body_of(reply: Reply) -> bytes:
    """The body of a recording that came in chunks."""
    rest = reply.data[reply.head_size :]
    body = b""
    while size := int((line := rest[: rest.index(b"\r\n")]), 16):
        start = len(line) + 2
        body += rest[start : start + size]
        rest = rest[start + size + 2 :]
    return body


@sweep
@every_failure
@pytest.mark.promise(4, "an error behind any document is raised, the log so far with it")
async def test_an_error_inside_a_stream_is_an_error(recording: StreamRecording, points: Points) -> None:
    documents = body_of(recording.reply).splitlines(keepends=True)
    assert len(documents) > 1
    backend, client = replay(recording)
    async with client as d:
        for place in points.of(range(len(documents) + 1)):
            so_far = chunked_reply(documents[:place])
            backend.routes = recording.routes(so_far)
            expected, log = await values_and_log(recording, d)
            for split in (None, 1, 7):
                reply = chunked_reply([*documents[:place], ERROR, *documents[place:]])
                backend.routes = recording.routes(attrs.evolve(reply, split=split))
                values: list[object] = []
                with pytest.raises(FAILURES[recording.name], match="no space left") as caught:
                    async with recording.open(d) as stream:
                        await collect(stream, values)
                assert values == expected
                assert caught.value.log == log


async def values_and_log(recording: StreamRecording, docker: Docker) -> tuple[list[object], str]:
    values: list[object] = []
    async with recording.open(docker) as stream:
        assert isinstance(stream, ProgressStream | BuildStream)
        await collect(stream, values)
        return values, stream.log


async def collect(stream: Stream[Any], values: list[Any]) -> None:
    """Append what a stream gives, so that it is there should it fail."""
    while batch := await stream.receive_many():
        values += batch


@sweep
@pytest.mark.promise(4, "an error in the place of output is raised, the output first")
async def test_an_error_in_the_place_of_output_is_an_error(points: Points) -> None:
    frames = [b"\1\0\0\0\0\0\0\4out\n", b"\2\0\0\0\0\0\0\4err\n"] * 5
    error = b"\3\0\0\0\0\0\0\6broken"
    backend = ReplayBackend({})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        for place in points.of(range(len(frames) + 1)):
            for split in (None, 1, 5):
                reply = chunked_reply([*frames[:place], error, *frames[place:]], content_type=MULTIPLEXED)
                backend.routes["GET /containers/c1/logs"] = attrs.evolve(reply, split=split)
                values: list[Frame] = []
                with pytest.raises(StreamError, match="broken"):
                    async with d.containers.container("c1").open_logs() as logs:
                        await collect(logs, values)
                assert encoded(values) == frames[:place]


# -- 5: nothing runs in the background


@every_stream
@pytest.mark.promise(5, "between reads there is no task but the caller's")
async def test_no_task_runs_beside_the_callers(recording: StreamRecording, points: Points) -> None:
    backend, client = replay(recording)
    backend.routes = recording.routes(attrs.evolve(recording.reply, split=1 + recording.reply.end // 100))
    before = {task.id for task in get_running_tasks()}
    async with client as d, recording.open(d) as stream:
        while await stream.receive_many():
            assert {task.id for task in get_running_tasks()} == before
            points.add()
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


@pytest.mark.promise(5, "an engine that is faster than its reader has to wait")
async def test_the_socket_is_the_back_pressure(points: Points) -> None:
    sent = 0
    piece = b"\1\0\0\0\0\0\xff\xf8" + bytes(0xFFF8)

    async def talk(request: Request, stream: ByteStream) -> None:
        nonlocal sent
        await stream.send(upgraded_reply(b"").data)
        while True:
            await stream.send(piece)
            sent += len(piece)

    routes: dict[str, Route] = {
        "POST /containers/c1/attach": talk,
        "GET /containers/c1/json": json_reply({"Config": {"Tty": False}}),
    }
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        async with d.containers.container("c1").open_attach() as stream:
            received = 0
            for _ in points.of(range(20), about=5):
                received += len((await stream.receive()).data)
                with fail_after(10):
                    await wait_all_tasks_blocked()
                # What both sockets hold, and one read.
                assert sent - received < 4 * 1024 * 1024


# -- 6: stdout and stderr stay apart and in order


MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
TEXTS = ("a", "gr\u00fc\u00dfe", "\u20ac", "\U0001f433", "one\ntwo", "\n", "\r\n")


def random_frames(chance: random.Random) -> list[Frame]:
    """What two streams wrote, their characters split at any byte."""
    frames: list[Frame] = []
    for stream in chance.choices(("stdout", "stderr"), k=chance.randint(1, 30)):
        data = "".join(chance.choices(TEXTS, k=3)).encode()
        cut = chance.randrange(1, len(data) + 1)
        frames += [Frame(stream, part) for part in (data[:cut], data[cut:]) if part]
    return frames


def encoded(frames: Iterable[Frame]) -> list[bytes]:
    return [bytes([1 + (stream == "stderr"), 0, 0, 0]) + len(data).to_bytes(4) + data for stream, data in frames]


def lines_of(frames: Iterable[Frame]) -> dict[str, list[str]]:
    """The lines of each stream, by way of the whole of its text."""
    out: dict[str, list[str]] = {"stdout": [], "stderr": []}
    for stream in out:
        text = b"".join(data for name, data in frames if name == stream).decode()
        parts = text.split("\n")
        out[stream] = [line.removesuffix("\r") for line in parts[:-1]] + parts[-1:] * bool(parts[-1])
    return out


def in_chunks(frames: list[Frame], chance: random.Random) -> dict[str, Reply]:
    data = b"".join(encoded(frames))
    borders = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(chance.randint(0, 10)))})
    chunks = [data[start:stop] for start, stop in pairwise(borders)]
    return {"GET /containers/c1/logs": chunked_reply(chunks, content_type=MULTIPLEXED)}


def frame_by_frame(frames: list[Frame], chance: random.Random) -> dict[str, Reply]:
    return {"GET /containers/c1/logs": chunked_reply(encoded(frames), content_type=MULTIPLEXED)}


def upgraded(frames: list[Frame], chance: random.Random) -> dict[str, Reply]:
    return {"POST /containers/c1/attach": upgraded_reply(b"".join(encoded(frames)), content_type=MULTIPLEXED)}


Way: TypeAlias = Callable[[list[Frame], random.Random], dict[str, Reply]]


@sweep
@pytest.mark.parametrize("way", [in_chunks, frame_by_frame, upgraded])
@pytest.mark.promise(6, "output of two streams, in any pieces: apart and in order")
async def test_the_streams_stay_apart_and_in_order(way: Way, points: Points) -> None:
    chance = random.Random(way.__name__)
    backend = ReplayBackend({})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        container = d.containers.container("c1")
        opening = container.open_attach if way is upgraded else container.open_logs
        for _ in points.of(range(300), about=12):
            frames = random_frames(chance)
            for route, reply in way(frames, chance).items():
                backend.routes[route] = attrs.evolve(reply, split=chance.choice((None, 1, 3, 50)))
            async with opening() as stream:
                assert [frame async for frame in stream] == frames
            async with opening() as stream:
                lines = [line async for line in stream.lines()]
            assert {name: [text for stream, text in lines if stream == name] for name in ("stdout", "stderr")} == (
                lines_of(frames)
            )
