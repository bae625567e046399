"""An engine that stops answering: the caller's own deadline ends every call, and what it left behind is not used."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep
from anyio.to_thread import run_sync

import anydocker
from anydocker import Container, Docker
from anydocker.testing import BUSYBOX, PrivateEngine, busybox_rootfs
from anydocker.testing.fixtures import StartEngine

pytestmark = [pytest.mark.anyio, pytest.mark.live]

# Seconds: what a caller waits for an engine that does not answer, and one that does.
DEADLINE = 0.2
PATIENCE = 20.0


def daemon(engine: PrivateEngine) -> int:
    """The process of dockerd, or of Podman's service, itself."""
    socket = engine.host.encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if command[0].endswith((b"dockerd", b"podman")) and any(word.endswith(socket) for word in command):
            return int(path.parent.name)
    raise AssertionError("the engine does not run")


@contextmanager
def stopped(engine: PrivateEngine) -> Generator[None]:
    pid = daemon(engine)
    os.kill(pid, signal.SIGSTOP)
    try:
        while not all(b") T " in path.read_bytes() for path in Path(f"/proc/{pid}/task").glob("*/stat")):
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def open_logs(docker: Docker, container: Container) -> None:
    async with container.open_logs():
        raise AssertionError


async def pull(docker: Docker, container: Container) -> None:
    await docker.images.pull("127.0.0.1:1/image:1")


CALLS: dict[str, Callable[[Docker, Container], Awaitable[object]]] = {
    "ping": lambda docker, _: docker.ping(),
    "list": lambda docker, _: docker.containers.list(),
    "kill": lambda _, container: container.kill("SIGHUP"),
    "stats": lambda _, container: container.stats(),
    "wait": lambda _, container: container.wait(),
    "open_logs": open_logs,
    "pull": pull,
    "import": lambda docker, _: docker.images.import_(bytes(10_000_000), repository="never"),
    "build": lambda docker, _: docker.images.build(dockerfile_text="FROM scratch"),
    "put_archive": lambda _, container: container.put_archive("/tmp", bytes(10_000_000)),
    "export": lambda _, container: container.open_export().__aenter__(),
}


async def test_the_callers_deadline_ends_calls_to_an_engine_that_is_stopped(start_engine: StartEngine) -> None:
    async with start_engine() as engine, anydocker.connect(engine.host) as d:
        await d.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
        async with d.containers.open_run("busybox", ["sleep", "1000"], network="none", name="asleep") as container:
            async with create_task_group() as group:
                for _ in range(5):
                    group.start_soon(d.ping)
            assert d.statistics().idle_connections > 0
            async with container.open_stats() as samples:
                await samples.receive()
                with stopped(engine):
                    ended = dict.fromkeys(CALLS, False)

                    async def call_in_time(name: str) -> None:
                        with move_on_after(DEADLINE) as scope:
                            await CALLS[name](d, container)
                        ended[name] = scope.cancelled_caught

                    with fail_after(PATIENCE):
                        async with create_task_group() as group:
                            for name in CALLS:
                                group.start_soon(call_in_time, name)
                        with move_on_after(DEADLINE) as scope:
                            while True:
                                await samples.receive()
                    assert ended == dict.fromkeys(CALLS, True)
                    assert scope.cancelled_caught
                    # The stream goes on; no connection of a call that was cut short is kept.
                    assert d.statistics().open_streams == 1
                    with fail_after(PATIENCE):
                        for _ in range(d.statistics().idle_connections):
                            with move_on_after(DEADLINE):
                                await d.ping()
                    assert d.statistics().idle_connections == 0
                with fail_after(PATIENCE):
                    # Podman 4 names nobody.
                    assert (await samples.receive()).id in {container.id, ""}
                    # Answers to the calls of before reach nobody: each of these gets its own.
                    async with create_task_group() as group:
                        for n in range(30):
                            group.start_soon(ask, d, container, n)
            with fail_after(PATIENCE):
                await run_to_the_end(d)


async def run_to_the_end(docker: Docker) -> None:
    assert (await docker.containers.run("busybox", ["echo", "hello"], network="none")).stdout == b"hello\n"


async def ask(docker: Docker, container: Container, number: int) -> None:
    match number % 3:
        case 0:
            assert (await docker.ping()).api_version
        case 1:
            assert (await container.inspect())["Id"] == container.id
        case _:
            assert "Images" in await docker.info()


async def test_a_run_cancelled_while_the_engine_is_stopped_leaves_no_container(start_engine: StartEngine) -> None:
    async with start_engine() as engine, anydocker.connect(engine.host) as d:
        await d.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
        with fail_after(PATIENCE):
            async with create_task_group() as group:
                with stopped(engine):
                    for _ in range(3):
                        group.start_soon(run, d)
                    await sleep(2 * DEADLINE)
            # What the engine made of a request that nobody waits for would be there by the end of another one.
            await run_to_the_end(d)
        assert await d.containers.list(all=True) == []
        assert d.statistics().open_streams == 0


async def run(docker: Docker) -> None:
    with move_on_after(DEADLINE) as scope:
        await docker.containers.run("busybox", ["sleep", "1000"], network="none")
    assert scope.cancelled_caught


async def test_events_go_on_behind_a_stop(start_engine: StartEngine) -> None:
    async with start_engine() as engine, anydocker.connect(engine.host) as d:
        await d.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
        await d.images.image(BUSYBOX).tag("other")
        async with d.open_events(reconnect=True, filters={"type": "image", "event": "untag"}) as events:
            with stopped(engine), move_on_after(DEADLINE) as scope:
                await events.receive()
            assert scope.cancelled_caught
            await d.images.image("other").remove()
            with fail_after(PATIENCE):
                assert (await events.receive()).action == "untag"
            assert events.reconnects == 0
