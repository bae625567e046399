"""8: what is dropped unclosed warns."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import attrs
import pytest
from anyio import fail_after, get_running_tasks
from anyio.lowlevel import checkpoint

import anydocker
from anydocker import Docker
from anydocker.testing import ReplayBackend
from tests.promises.points import Points
from tests.recorded import HOST, STREAMS, StreamRecording, every_stream, replay

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("small_heap")]


@pytest.fixture
def small_heap() -> Iterator[None]:
    """Have the collector look at what a test makes only, not at all there is: it is called for every point."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.promise(8, "a client that is dropped warns")
async def test_a_client_that_is_dropped_warns(points: Points) -> None:
    held = [anydocker.connect(HOST, network_backend=ReplayBackend({}))]
    await held[0].__aenter__()
    with pytest.warns(ResourceWarning, match=r"unclosed <Docker unix:///nowhere>: use it as `async with`"):
        drop(held)
    points.add()


def drop(held: list[Any]) -> None:
    held.clear()
    gc.collect()


async def test_a_client_that_was_left_or_never_entered_does_not_warn() -> None:
    async with anydocker.connect(HOST, network_backend=ReplayBackend({})):
        anydocker.connect(HOST)
    gc.collect()


@every_stream
@pytest.mark.promise(8, "a stream that is dropped after any number of reads warns")
async def test_a_stream_that_is_dropped_warns(recording: StreamRecording, points: Points) -> None:
    backend, client = replay(recording)
    backend.routes = recording.routes(attrs.evolve(recording.reply, split=1 + recording.reply.end // 10))
    async with client as d:
        for reads in points.of(range(10), about=2):
            held: list[Any] = [recording.open(d)]
            held.append(await held[0].__aenter__())
            for _ in range(reads):
                await held[1].receive_many()
            with pytest.warns(ResourceWarning) as caught:
                await drop_and_wait(held, d)
            # trio has a warning of its own beside ours.
            assert any(str(warning.message).startswith("unclosed <") for warning in caught), reads
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
