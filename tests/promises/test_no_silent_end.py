"""
1: a connection that ends too early is never taken for the end of what it carried.

The sweeps are on an engine in memory, because there are ten thousand exchanges in each; a sample of them is repeated
on sockets.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import attrs
import pytest
from anyio import create_task_group

import anydocker
from anydocker import Completed, Docker, DockerError, TruncatedStream
from anydocker.testing import ReplayBackend, Reply, Route, chunked_reply, json_reply, scripted_engine, upgraded_reply
from tests.promises.points import EVERY_POINT, Points
from tests.recorded import (
    API_VERSION,
    HOST,
    Call,
    StreamRecording,
    every_call,
    every_stream,
    recorded,
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


def silent_ends(recording: StreamRecording) -> set[int]:
    """Where a cut looks like the end: nowhere, but on the borders of frames where there is no end mark."""
    reply = recording.reply
    if not recording.upgraded or recording.marked:
        return set()
    if recording.tty:
        return set(range(reply.head_size, reply.end))
    borders: set[int] = set()
    at = reply.head_size
    while at < reply.end:
        borders.add(at)
        at += 8 + int.from_bytes(reply.data[at + 4 : at + 8])
    return borders


# -- cuts


@sweep
@every_stream
@pytest.mark.promise(1, "a cut at any byte is no end")
async def test_a_stream_cut_anywhere_is_never_taken_for_whole(recording: StreamRecording, points: Points) -> None:
    backend, client = replay(recording)
    silent = silent_ends(recording)
    async with client as d:
        expected = await recording.read(d)
        for cut in points.of(range(recording.reply.end), about=400):
            backend.routes = recording.routes(attrs.evolve(recording.reply, cut_at=cut))
            values, error = await outcome(recording, d)
            assert is_beginning(values, expected), cut
            assert type(error) is (TruncatedStream if cut not in silent else type(None)), cut
    assert expected
    assert backend.open_connections == 0


@sweep
@every_stream
@pytest.mark.promise(1, "a reset at any byte is no end")
async def test_a_reset_is_never_an_end(recording: StreamRecording, points: Points) -> None:
    backend, client = replay(recording)
    async with client as d:
        for cut in points.of(range(recording.reply.end)):
            backend.routes = recording.routes(attrs.evolve(recording.reply, cut_at=cut, reset=True))
            with pytest.raises(TruncatedStream):
                await recording.read(d)


@sweep
@every_call
@pytest.mark.promise(1, "a call cut at any byte fails")
async def test_a_call_cut_anywhere_fails(recording: Call, points: Points) -> None:
    backend, client = replay(recording)
    async with client as d:
        await recording.make(d)
        for cut in points.of(range(recording.needed), about=100):
            backend.routes = recording.routes(attrs.evolve(recording.reply, cut_at=cut))
            with pytest.raises(TruncatedStream):
                await recording.make(d)


@every_stream
@pytest.mark.promise(1, "a cut or a reset on a socket is no end")
async def test_cuts_and_splits_on_a_socket(recording: StreamRecording, points: Points) -> None:
    reply = recording.reply
    samples = {0, 1, reply.head_size - 1, reply.head_size, reply.head_size + 1, reply.end - 1}
    samples |= set(range(0, reply.end, 1 + reply.end // (100 if EVERY_POINT else 7)))
    routes: dict[str, Route] = {**recording.routes()}
    async with scripted_engine(routes, api_version=API_VERSION) as engine, anydocker.connect(engine.host) as d:
        expected = await recording.read(d)
        engine.routes.update(recording.routes(attrs.evolve(reply, split=5)))
        assert await recording.read(d) == expected
        for cut in points.of(sorted(samples)):
            engine.routes.update(recording.routes(attrs.evolve(reply, cut_at=cut)))
            values, error = await outcome(recording, d)
            assert is_beginning(values, expected)
            assert isinstance(error, TruncatedStream) != (cut in silent_ends(recording))
            engine.routes.update(recording.routes(attrs.evolve(reply, cut_at=cut, reset=True)))
            with pytest.raises(TruncatedStream):
                await recording.read(d)


# -- where a cut looks like the end


TaskForm: TypeAlias = Callable[[Docker, bool], Awaitable[Completed]]


def attach(docker: Docker, tty: bool) -> Awaitable[Completed]:
    return docker.containers.container("c1").attach()


def execute(docker: Docker, tty: bool) -> Awaitable[Completed]:
    return docker.containers.container("c1").exec(["true"], tty=tty)


def run(docker: Docker, tty: bool) -> Awaitable[Completed]:
    return docker.containers.run("busybox", tty=tty)


DONE = Reply(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True)


def life(reply: Reply, *, tty: bool, over: bool) -> dict[str, Reply]:
    """An engine that gives ``reply`` as the output of a process, and says whether that is over."""
    exit_code = chunked_reply([b'{"StatusCode":0}'])
    no_exit_code = attrs.evolve(exit_code, data=exit_code.data[: exit_code.head_size])
    return {
        "GET /containers/c1/json": json_reply({"Config": {"Tty": tty}, "State": {"Status": "running"}}),
        "POST /containers/c1/attach": reply,
        "POST /containers/c1/exec": json_reply({"Id": "e1"}, 201),
        "POST /containers/create": json_reply({"Id": "c1"}, 201),
        "POST /containers/c1/start": DONE,
        "POST /containers/c1/wait": exit_code if over else no_exit_code,
        "DELETE /containers/c1": DONE,
        "POST /exec/e1/start": reply,
        "GET /exec/e1/json": json_reply({"Running": not over, "ExitCode": 0 if over else None}),
    }


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anydocker.resources.exec.SETTLE_SECONDS", 0.01)
    monkeypatch.setattr("anydocker.resources.container._output.SETTLE_SECONDS", 0.01)


every_task_form = pytest.mark.parametrize("call", [attach, execute, run])


@sweep
@every_task_form
@pytest.mark.parametrize("name", ["attach", "attach_tty"])
@pytest.mark.promise(1, "the engine is asked where a cut looks like the end")
@pytest.mark.usefixtures("impatient")
async def test_a_process_cut_anywhere_is_never_taken_for_ended(call: TaskForm, name: str, points: Points) -> None:
    reply, tty = recorded(name), name.endswith("_tty")
    backend = ReplayBackend(life(reply, tty=tty, over=False), api_version=API_VERSION)
    async with anydocker.connect(HOST, network_backend=backend) as d:
        for cut in points.of([*range(reply.end), None]):
            backend.routes = life(attrs.evolve(reply, cut_at=cut), tty=tty, over=False)
            with pytest.raises(TruncatedStream):
                await call(d, tty)


@every_task_form
@pytest.mark.parametrize("name", ["attach", "attach_tty"])
@pytest.mark.promise(1, "the engine is asked where a cut looks like the end")
async def test_a_process_that_the_engine_calls_ended_has_ended(call: TaskForm, name: str, points: Points) -> None:
    reply, tty = recorded(name), name.endswith("_tty")
    backend = ReplayBackend(life(reply, tty=tty, over=True), api_version=API_VERSION)
    async with anydocker.connect(HOST, network_backend=backend) as d:
        done = await call(d, tty)
    assert done.exit_code == 0
    assert done.stdout + done.stderr
    points.add()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("silent", [0, 12, 24], ids="{} bytes".format)
async def test_where_a_cut_looks_like_the_end_the_engine_is_asked(silent: int) -> None:
    frames = b"\1\0\0\0\0\0\0\4out\n\2\0\0\0\0\0\0\4err\n\1\0\0\0\0\0\0\4end\n"
    routes: dict[str, Route] = {**life(upgraded_reply(frames[:silent]), tty=False, over=False)}
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        for call in (attach, execute, run):
            with pytest.raises(TruncatedStream, match="runs on"):
                await call(d, False)


# -- pieces and pauses


@sweep
@every_stream
@pytest.mark.promise(1, "in any pieces: the same values")
async def test_the_pieces_in_which_a_stream_comes_do_not_matter(recording: StreamRecording, points: Points) -> None:
    backend, client = replay(recording)
    chance = random.Random(recording.name)
    end = recording.reply.end
    splits: list[int | list[int]] = [1, 2, 3, 7, *([at] for at in points.sampled(range(1, end), 100))]
    splits += [sorted(chance.sample(range(1, end), chance.randint(2, 12))) for _ in range(200 if EVERY_POINT else 30)]
    async with client as d:
        expected = await recording.read(d)
        for split in points.of(splits, about=len(splits)):
            backend.routes = recording.routes(attrs.evolve(recording.reply, split=split))
            assert await recording.read(d) == expected, split


@sweep
@every_stream
@pytest.mark.promise(1, "a pause at any byte is no end")
async def test_a_stream_that_pauses_anywhere_goes_on(recording: StreamRecording, points: Points) -> None:
    backend, client = replay(recording)
    pauses: list[int] = []

    async def resume(at: int) -> None:
        pauses.append(at)
        backend.resume()

    def start(at: int) -> None:
        group.start_soon(resume, at)

    async with client as d, create_task_group() as group:
        expected = await recording.read(d)
        for at in points.of(range(recording.reply.end)):
            backend.routes = recording.routes(attrs.evolve(recording.reply, stall_at=at))
            backend.on_stall = partial(start, at)
            assert await recording.read(d) == expected, at
            assert pauses[-1] == at
