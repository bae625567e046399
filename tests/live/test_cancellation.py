"""Every operation that streams, cancelled wherever it gives way to the event loop: nothing is left, nothing leaks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync

from anydocker import Container, Docker, NotFound
from anydocker.testing import sweep_cancellations
from anydocker.testing._sweep import Stepped
from tests.promises.operations import Input
from tests.promises.points import Points

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.live,
    pytest.mark.timeout(600),
    pytest.mark.promise(2, "a real engine: an operation cancelled at any step leaves nothing"),
]

Operation = Callable[[], Coroutine[Any, Any, object]]
Check = Callable[[], Awaitable[object]]

NATIVE: Final = pytest.mark.parametrize("anyio_backend", [("asyncio", {"debug": True})], ids=["asyncio"])


# Without uvloop, whose steps are those of asyncio: the sweeps are long.
BACKENDS: Final[dict[str, dict[str, object]]] = {"asyncio": {"debug": True}, "trio": {}}


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    name: str = request.param
    return name, BACKENDS[name]


async def sweep(operation: Operation, check: Check, points: Points, every: int = 1) -> None:
    """Cancel an operation at each so many of its steps until it is through, or at half of these."""

    async def check_left(_: object) -> None:
        await check()

    points.add(await sweep_cancellations(operation, check=check_left, every=points.stride(2 * every, every)))
    assert points.count != [0]


async def sweep_endless(operation: Operation, check: Check, points: Points) -> None:
    """The same for an operation that comes to no end of its own."""
    for at in points.of(range(1, 1 + await count_steps(operation)), about=6):
        # Should there be fewer steps this time, the deadline cancels it.
        with move_on_after(0.5) as scope:
            await Stepped(operation(), scope.cancel, at)
        assert scope.cancelled_caught
        await check()


async def count_steps(operation: Operation) -> int:
    """How many steps an operation takes before it only waits."""
    steps = Stepped(operation(), lambda: None, 0)
    taken = 0

    async def stop() -> None:
        nonlocal taken
        await sleep(0.5)
        taken = steps.steps
        group.cancel_scope.cancel()

    async with create_task_group() as group:
        group.start_soon(stop)
        await steps
    assert taken > 3
    return taken


async def native_sweep(operation: Operation, check: Check, points: Points, again: tuple[int, ...] = ()) -> None:
    """The same with asyncio's own ``Task.cancel()``, perhaps several times: so many steps after the first one."""
    for at in itertools.count(1):
        steps = {at, *(at + more for more in again)}

        async def run(steps: set[int] = steps) -> None:
            task = asyncio.current_task()
            assert task is not None
            running: Awaitable[object] = operation()
            for step in steps:
                running = Stepped(running, task.cancel, step)
            await running

        task = asyncio.create_task(run())
        await asyncio.wait([task])
        await check()
        if not task.cancelled() and not task.cancelling():
            task.result()
            return
        points.add()


@pytest.fixture
def clean(docker: Docker, label: str) -> Check:
    """Checks that no container and no connection is left, and that the client works on."""

    async def check() -> None:
        assert docker.statistics().open_streams == 0
        left = await docker.containers.list(all=True, filters={"label": label})
        assert not left, [container.summary for container in left]
        assert (await docker.ping()).os == "linux"

    return check


# -- each operation, by a cancel scope


class Creation:
    """The creation of a container, and the check that one that did not return has left none."""

    def __init__(self, docker: Docker, label: str, clean: Check) -> None:
        self._docker = docker
        self._label = label
        self._clean = clean
        self._created: list[Container] = []

    async def operation(self) -> None:
        labels = {self._label: ""}
        self._created.append(await self._docker.containers.create("busybox", ["true"], labels=labels, network="none"))

    async def check(self) -> None:
        while self._created:
            await self._created.pop().remove()
        await self._clean()


async def test_create(docker: Docker, label: str, clean: Check, points: Points) -> None:
    creation = Creation(docker, label, clean)
    await sweep(creation.operation, creation.check, points)


async def test_run(docker: Docker, label: str, clean: Check, points: Points) -> None:
    async def operation() -> None:
        await docker.containers.run("busybox", ["cat"], input=Input(), labels={label: ""}, network="none")

    await sweep(operation, clean, points)


async def test_run_that_pulls(docker: Docker, label: str, clean: Check, pullable: str, points: Points) -> None:
    async def check() -> None:
        await clean()
        await without(docker, pullable)

    async def operation() -> None:
        await docker.containers.run(pullable, ["true"], labels={label: ""}, network="none")

    await sweep(operation, check, points, every=4)


async def test_open_run(docker: Docker, label: str, clean: Check, points: Points) -> None:
    async def operation() -> None:
        async with docker.containers.open_run("busybox", ["sleep", "1000"], labels={label: ""}, network="none"):
            await checkpoint()

    await sweep(operation, clean, points)


async def test_exec(docker: Docker, sleeper: Container, clean: Check, points: Points) -> None:
    async def operation() -> None:
        assert (await sleeper.exec(["cat"], input=Input())).stdout == b"ab"

    await sweep(operation, clean, points)
    assert (await sleeper.inspect())["State"]["Running"] is True


async def test_exec_kills_what_it_has_started(docker: Docker, sleeper: Container, clean: Check, points: Points) -> None:
    async def operation() -> None:
        await sleeper.exec(["sh", "-c", "sleep 4321 & sleep 4321"])

    async def check() -> None:
        await clean()
        with fail_after(10):
            while any("4321" in process[-1] for process in (await sleeper.top())["Processes"] or ()):
                continue

    await sweep_endless(operation, check, points)


async def test_attach(docker: Docker, label: str, clean: Check, points: Points) -> None:
    async def operation() -> None:
        async with container.open_attach(stdin=True) as stream:
            await stream.send(b"x\n")
            # What a cancelled operation has sent comes back to the next one.
            assert {*(await stream.receive()).data.split()} == {b"x"}

    async def check() -> None:
        assert docker.statistics().open_streams == 0
        assert (await container.inspect())["State"]["Running"] is True

    keep_open = {"StdinOnce": False}
    async with docker.containers.open_run(
        "busybox", ["cat"], stdin=True, network="none", config=keep_open
    ) as container:
        await sweep(operation, check, points)
        await sweep_endless(container.attach, check, points)


async def test_build(docker: Docker, label: str, clean: Check, points: Points) -> None:
    text = f"FROM busybox\nLABEL {label}=1\n"

    async def operation() -> None:
        await docker.images.build(dockerfile_text=text, tags=[label], no_cache=True)

    async def check() -> None:
        assert docker.statistics().open_streams == 0
        assert (await docker.ping()).os == "linux"

    await sweep(operation, check, points)
    await docker.images.image(label).remove(force=True)


async def without(docker: Docker, image: str) -> None:
    """Remove an image; a pull that has been cancelled may have brought it all the same."""
    with suppress(NotFound):
        await docker.images.image(image).remove(force=True)


async def test_pull(docker: Docker, clean: Check, pullable: str, points: Points) -> None:
    async def check() -> None:
        await clean()
        await without(docker, pullable)

    async def operation() -> None:
        assert (await docker.images.pull(pullable)).name == pullable

    await sweep(operation, check, points)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def test_copy(docker: Docker, sleeper: Container, clean: Check, tmp_path: Path, points: Points) -> None:
    (tmp_path / "sent").write_bytes(b"content" * 1000)

    async def copy_to() -> None:
        await sleeper.copy_to(tmp_path / "sent", "/tmp/sent")

    async def copy_from() -> None:
        await sleeper.copy_from("/tmp/sent", tmp_path / "received")

    async def check() -> None:
        await clean()
        assert await run_sync(names, tmp_path) <= {"sent", "received"}

    await sweep(copy_to, clean, points)
    await sweep(copy_from, check, points)
    assert (tmp_path / "received").read_bytes() == b"content" * 1000
    await sleeper.exec(["rm", "/tmp/sent"])


async def test_short_calls(docker: Docker, sleeper: Container, clean: Check, points: Points) -> None:
    calls: list[Operation] = [
        docker.ping,
        docker.info,
        docker.containers.list,
        docker.images.list,
        sleeper.inspect,
        sleeper.logs,
        sleeper.top,
    ]
    for call in calls:
        await sweep(call, clean, points)


async def test_streams(docker: Docker, sleeper: Container, clean: Check, points: Points) -> None:
    async def events() -> None:
        async with docker.open_events(since=1) as stream:
            await stream.receive()

    async def stats() -> None:
        async with sleeper.open_stats():
            await checkpoint()

    async def logs() -> None:
        async with sleeper.open_logs(follow=True) as stream, create_task_group() as group:
            group.start_soon(stream.receive_many)
            await checkpoint()
            group.cancel_scope.cancel()

    for operation in (events, stats, logs):
        await sweep(operation, clean, points)


# -- by asyncio's own means


@NATIVE
@pytest.mark.parametrize("again", [(), (1, 2, 5)], ids=["once", "again"])
async def test_run_by_task_cancel(
    docker: Docker, label: str, clean: Check, again: tuple[int, ...], points: Points
) -> None:
    async def operation() -> None:
        await docker.containers.run("busybox", ["cat"], input=b"x", labels={label: ""}, network="none")

    await native_sweep(operation, clean, points, again)


@NATIVE
async def test_create_by_task_cancel(docker: Docker, label: str, clean: Check, points: Points) -> None:
    creation = Creation(docker, label, clean)
    await native_sweep(creation.operation, creation.check, points)


def expire(deadline: asyncio.Timeout) -> None:
    deadline.reschedule(asyncio.get_running_loop().time())


@NATIVE
async def test_open_run_by_asyncio_timeout(docker: Docker, label: str, clean: Check, points: Points) -> None:
    async def operation() -> None:
        async with docker.containers.open_run("busybox", ["sleep", "1000"], labels={label: ""}, network="none"):
            await checkpoint()

    for at in itertools.count(1):
        deadline = asyncio.timeout(None)
        with suppress(TimeoutError):
            async with deadline:
                await Stepped(operation(), partial(expire, deadline), at)
        await clean()
        if not deadline.expired():
            break
        points.add()
    assert points.count != [0]
