"""An engine that is killed while it is used: an error for everyone who waits for it, never a hang, never an end."""

from __future__ import annotations

import os
import signal
import tarfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from anyio import TASK_STATUS_IGNORED, create_task_group, fail_after, sleep
from anyio.abc import TaskStatus
from anyio.to_thread import run_sync

import anydocker
from anydocker import BodyStream, ConnectError, Container, Docker, TruncatedStream
from anydocker.testing import BUSYBOX, PrivateEngine, busybox_rootfs
from anydocker.testing.fixtures import StartEngine

pytestmark = [pytest.mark.anyio, pytest.mark.live]

Use = Callable[[Docker, Container, Callable[[], None]], Awaitable[object]]

# Seconds in which the end of an engine has to be noticed.
PATIENCE = 20.0


@asynccontextmanager
async def doomed(start_engine: StartEngine) -> AsyncGenerator[tuple[PrivateEngine, Docker], None]:
    async with start_engine() as engine:
        async with anydocker.connect(engine.host) as client:
            await client.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
            yield engine, client


async def run(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    class Input:
        """The first read means that the container has been started."""

        def __aiter__(self) -> Input:
            return self

        async def __anext__(self) -> bytes:
            ready()
            raise StopAsyncIteration

    await docker.containers.run("busybox", ["sleep", "1000"], input=Input(), network="none")


async def execute(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    async with container.open_exec(["sh", "-c", "echo x; sleep 1000"]) as process:
        await process.receive()
        ready()
        # The upgraded connection has no end mark: what tells the truth is wait().
        await process.read()
        await process.wait()


async def attach(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    # It does not tell when it is attached; those that come after it take their time.
    ready()
    await container.attach()


async def logs(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    async with container.open_logs(follow=True) as log:
        ready()
        async for frame in log:
            raise AssertionError(frame)


async def lines(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    async with container.open_logs(follow=True) as log:
        ready()
        async for line in log.lines():
            raise AssertionError(line)


async def events(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    async with docker.open_events(filters={"type": "plugin"}) as stream:
        ready()
        async for event in stream:
            raise AssertionError(event)


async def stats(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    async with container.open_stats() as samples:
        await samples.receive()
        ready()
        async for sample in samples:
            assert sample.id == container.id


async def wait(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    async with container.open_wait() as pending:
        ready()
        await pending.exit_code()


async def build(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    async with docker.images.open_build(dockerfile_text="FROM busybox\nRUN echo started; sleep 1000") as steps:
        async for step in steps:
            if step.text == "started\n":
                ready()


async def wait_to_end(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    ready()
    await container.wait()


async def wait_healthy(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    ready()
    await container.wait_healthy()


async def stop(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    # One of its own, since Podman does nothing else with what it stops.
    container = await docker.containers.create("busybox", ["sleep", "1000"], network="none")
    await container.start()
    ready()
    # Its process is the first of its namespace, and so heeds no SIGTERM.
    await container.stop(grace_seconds=1000)


class EndlessTar:
    """A tar with a file that has no end, and says when the engine has taken some of it."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._sent = 0

    def __aiter__(self) -> EndlessTar:
        return self

    async def __anext__(self) -> bytes:
        self._sent += 1
        if self._sent == 1:
            member = tarfile.TarInfo("endless")
            member.size = 1 << 40
            return member.tobuf()
        if self._sent == 20:
            self._ready()
        await sleep(0.005)
        return bytes(20_000)


async def load(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    await docker.images.load(EndlessTar(ready))


async def import_(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    await docker.images.import_(EndlessTar(ready), repository="endless")


async def build_upload(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    await docker.images.build(EndlessTar(ready))


async def with_large_file(docker: Docker) -> Container:
    """A container of one's own, for what has the engine lock it."""
    container = await docker.containers.create("busybox", ["truncate", "-s", "100G", "/large"], network="none")
    await container.start()
    await container.wait()
    return container


async def put_archive(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    container = await with_large_file(docker)
    await container.put_archive("/tmp", EndlessTar(ready))


async def receive_slowly(body: BodyStream, ready: Callable[[], None]) -> None:
    while await body.receive_many():
        ready()
        await sleep(0.01)


async def export(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    container = await with_large_file(docker)
    async with container.open_export() as body:
        await receive_slowly(body, ready)


async def archive(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    container = await with_large_file(docker)
    async with container.open_archive("/large") as body:
        await receive_slowly(body, ready)


async def raw(docker: Docker, container: Container, ready: Callable[[], None]) -> None:
    ready()
    await docker.request("POST", f"/containers/{container.id}/wait", own_connection=True)


# Those that do not tell when the engine has them come first: the others take their time.
USES: tuple[Use, ...] = (
    *(attach, wait_to_end, wait_healthy, stop, raw),
    *(run, execute, logs, lines, events, stats, wait, build),
    *(load, import_, build_upload, put_archive, export, archive),
)


async def use(
    use: Use,
    docker: Docker,
    container: Container,
    errors: dict[str, Exception | None],
    *,
    task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    started = False

    def ready() -> None:
        nonlocal started
        if not started:
            started = True
            task_status.started()

    try:
        await use(docker, container, ready)
    except Exception as exc:
        errors[use.__name__] = exc
    else:
        errors[use.__name__] = None


async def test_everyone_who_uses_an_engine_learns_that_it_is_gone(start_engine: StartEngine) -> None:
    errors: dict[str, Exception | None] = {}
    async with doomed(start_engine) as (engine, docker):
        config = {"Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**12}}
        container = await docker.containers.create("busybox", ["sleep", "1000"], network="none", config=config)
        await container.start()
        with fail_after(PATIENCE * 2):
            async with create_task_group() as group:
                for one in USES:
                    await group.start(use, one, docker, container, errors)
                os.kill(engine.pid, signal.SIGKILL)
        assert {name: type(error) for name, error in errors.items() if not is_right(error)} == {}
        assert len(errors) == len(USES)
        with fail_after(PATIENCE):
            with pytest.raises((ConnectError, TruncatedStream)):
                await docker.ping()
            with pytest.raises(ConnectError) as caught:
                await docker.containers.run("busybox", ["true"])
            assert engine.host in str(caught.value)
        assert docker.statistics().open_streams == 0


def is_right(error: Exception | None) -> bool:
    return isinstance(error, TruncatedStream | ConnectError)


async def test_kept_connections_to_an_engine_that_is_gone_are_dropped(start_engine: StartEngine) -> None:
    async with doomed(start_engine) as (engine, client):
        async with create_task_group() as group:
            for _ in range(5):
                group.start_soon(client.version)
        assert client.statistics().idle_connections > 0
        os.kill(engine.pid, signal.SIGKILL)
        with fail_after(PATIENCE), pytest.raises((ConnectError, TruncatedStream)):
            while True:
                await client.version()
        with fail_after(PATIENCE), pytest.raises(ConnectError):
            await client.version()
        assert client.statistics().idle_connections == 0
