"""Events that are followed over the restarts of a real engine, and over connections that are cut."""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from anyio import create_task_group
from anyio.to_thread import run_sync

import anydocker
from anydocker import Docker, EventStream
from anydocker._transport.network import Backend, RawStream
from anydocker.testing import BUSYBOX, busybox_rootfs
from anydocker.testing.fixtures import StartEngine

pytestmark = [pytest.mark.anyio, pytest.mark.live]


class CuttingBackend(Backend):
    """Opens the connections of a client, and can cut the one opened last."""

    def __init__(self) -> None:
        self._last: socket.socket | None = None

    async def connect_unix_socket(self, *arguments: Any, **options: Any) -> RawStream:
        stream = await super().connect_unix_socket(*arguments, **options)
        self._last = stream.get_extra_info("socket")
        return stream

    def cut(self) -> None:
        assert self._last is not None
        self._last.shutdown(socket.SHUT_RDWR)


async def actions(events: EventStream, count: int) -> list[str]:
    return [(await events.receive()).action for _ in range(count)]


async def test_events_go_on_when_the_engine_is_started_again(start_engine: StartEngine) -> None:
    filters = {"type": "container", "event": ["create", "start", "die"]}
    async with start_engine() as engine, anydocker.connect(engine.host) as d:
        await d.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
        async with d.open_events(reconnect=True, filters=filters) as events, create_task_group() as group:
            container = await d.containers.create("busybox", ["true"], network="none")
            assert await actions(events, 1) == ["create"]
            for n, end in enumerate((engine.kill, engine.terminate), 1):

                async def restart(end: Callable[[], Awaitable[None]]) -> None:
                    await end()
                    await engine.start()
                    await container.start()

                group.start_soon(restart, end)
                assert await actions(events, 2) == ["start", "die"]
                # Of what had been seen, the engine knows nothing any more.
                assert (events.reconnects, events.gaps) == (n, n)
            await container.start()
            assert await actions(events, 2) == ["start", "die"]
        assert d.statistics().open_streams == 0


async def test_each_event_comes_once_however_often_it_is_cut(engine_host: str, docker: Docker, label: str) -> None:
    filters = {"type": "image", "event": ["tag", "untag"]}
    backend = CuttingBackend()
    began = time.time()
    async with anydocker.connect(engine_host, network_backend=backend) as watcher:
        async with watcher.open_events(reconnect=True, filters=filters) as events:
            # Something has to have been seen for a reconnection to prove that nothing was missed.
            await docker.images.image("busybox").tag(f"{label}:first")
            seen = [(await events.receive()).raw]
            await docker.images.image(f"{label}:first").remove()
            for n in range(30):
                # Cut before, between and behind what happens, with some of it read, and some not.
                await docker.images.image("busybox").tag(f"{label}:{n}")
                if n % 3 == 0:
                    backend.cut()
                await docker.images.image(f"{label}:{n}").remove()
                seen += [(await events.receive()).raw for _ in range(n % 3 + n % 2)]
                if n % 5 == 0:
                    backend.cut()
            while len(seen) < 62:
                seen.append((await events.receive()).raw)
            assert events.gaps == 0
            assert events.reconnects >= 5
    async with docker.open_events(since=began, until=time.time(), filters=filters) as past:
        happened = [event.raw async for event in past]
    assert seen == happened


async def test_more_than_the_engine_keeps_is_a_gap(engine_host: str, docker: Docker, label: str) -> None:
    filters = {"type": "image", "event": "tag"}
    backend = CuttingBackend()
    tag = docker.images.image("busybox").tag
    async with anydocker.connect(engine_host, network_backend=backend) as watcher:
        async with watcher.open_events(reconnect=True, filters=filters) as events:
            await tag(f"{label}:seen")
            assert (await events.receive()).attributes["name"] == f"{label}:seen"
            backend.cut()
            for n in range(300):
                await tag(f"{label}:{n % 2}")
            kept = [(await events.receive()).attributes["name"] for _ in range(256)]
            assert (events.reconnects, events.gaps) == (1, 1)
            backend.cut()
            await tag(f"{label}:last")
            assert (await events.receive()).attributes["name"] == f"{label}:last"
            assert (events.reconnects, events.gaps) == (2, 1)
    assert kept == [f"{label}:{n % 2}" for n in range(44, 300)]
    for name in ("seen", "0", "1", "last"):
        await docker.images.image(f"{label}:{name}").remove()


async def test_until_is_an_end_across_cuts(engine_host: str, docker: Docker, label: str) -> None:
    filters = {"type": "image", "event": "tag"}
    backend = CuttingBackend()
    since = time.time()
    await docker.images.image("busybox").tag(label)
    until = time.time() + 0.7
    async with anydocker.connect(engine_host, network_backend=backend) as watcher:
        async with watcher.open_events(reconnect=True, since=since, until=until, filters=filters) as events:
            backend.cut()
            names = [event.attributes["name"] async for event in events]
    # Podman has the full name.
    assert [name.rpartition("/")[2] for name in names] == [f"{label}:latest"]
    await docker.images.image(label).remove()
