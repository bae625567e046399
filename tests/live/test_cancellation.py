"""Every operation that streams, cancelled wherever it gives way to the event loop: nothing is left, nothing leaks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, Final, TypeVar

import pytest
from anyio import CancelScope, create_task_group, fail_after, move_on_after
from anyio.lowlevel import checkpoint

from anydocker import Container, Docker, NotFound

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.live,
    pytest.mark.timeout(240),
]

T = TypeVar("T")
Operation = Callable[[], Coroutine[Any, Any, object]]
Check = Callable[[], Awaitable[object]]

NATIVE: Final = pytest.mark.parametrize("anyio_backend", [("asyncio", {"debug": True})], ids=["asyncio"])


# Without uvloop, whose steps are those of asyncio: the sweeps are long.
BACKENDS: Final[dict[str, dict[str, object]]] = {"asyncio": {"debug": True}, "trio": {}}


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    name: str = request.param
    return name, BACKENDS[name]


class Stepped(Awaitable[T]):
    """Runs a coroutine, and does something each time it gives way to the event loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], on_step: Callable[[int], object]) -> None:
        self._coroutine = coroutine
        self._on_step = on_step
        self._steps = 0

    def __await__(self) -> Generator[Any, Any, T]:
        resume: Callable[[], Any] = lambda: self._coroutine.send(None)  # noqa: E731
        while True:
            try:
                trap = resume()
            except StopIteration as stop:
                result: T = stop.value
                return result
            self._on_step(self._steps)
            self._steps += 1
            resume = yield from self._pass_on(trap)

    def _pass_on(self, trap: Any) -> Generator[Any, Any, Callable[[], Any]]:
        try:
            value = yield trap
        except BaseException as exc:
            error = exc
            return lambda: self._coroutine.throw(error)
        return lambda: self._coroutine.send(value)


def cancel_at(at: int, scope: CancelScope) -> Callable[[int], object]:
    return lambda step: scope.cancel() if step == at else None


async def sweep(operation: Operation, check: Check, stride: int = 1) -> int:
    """Cancel an operation at its first step, its second, ... until it is through; return how many steps that took."""
    for at in itertools.count(0, stride):
        with CancelScope() as scope:
            await Stepped(operation(), cancel_at(at, scope))
        await check()
        if not scope.cancel_called:
            return at
    raise AssertionError


async def sweep_endless(operation: Operation, check: Check) -> None:
    """The same for an operation that comes to no end of its own."""
    steps: list[int] = []
    with move_on_after(0.5) as scope:
        await Stepped(operation(), lambda step: None if scope.cancel_called else steps.append(step))
    assert len(steps) > 3
    await check()
    for at in steps:
        # Should there be fewer steps this time, the deadline cancels it.
        with move_on_after(0.5) as scope:
            await Stepped(operation(), cancel_at(at, scope))
        assert scope.cancelled_caught
        await check()


async def native_sweep(operation: Operation, check: Check, again: tuple[int, ...] = ()) -> int:
    """The same with asyncio's own ``Task.cancel()``, perhaps several times: so many steps after the first one."""
    for at in itertools.count():
        steps = {at, *(at + more for more in again)}

        async def run(steps: set[int] = steps) -> None:
            task = asyncio.current_task()
            assert task is not None
            await Stepped(operation(), lambda step: task.cancel() if step in steps else None)

        task = asyncio.create_task(run())
        await asyncio.wait([task])
        await check()
        if not task.cancelled() and not task.cancelling():
            task.result()
            return at
    raise AssertionError


@pytest.fixture
def clean(docker: Docker, label: str) -> Check:
    """Checks that no container and no connection is left, and that the client works on."""

    async def check() -> None:
        assert docker.statistics().open_streams == 0
        left = await docker.containers.list(all=True, filters={"label": label})
        assert not left, [container.summary for container in left]
        assert (await docker.ping()).os == "linux"

    return check


class Input:
    """Two pieces of input, with a step before each."""

    def __init__(self) -> None:
        self._pieces = iter((b"a", b"b"))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await checkpoint()
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


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


async def test_create(docker: Docker, label: str, clean: Check) -> None:
    creation = Creation(docker, label, clean)
    assert await sweep(creation.operation, creation.check) > 3


async def test_run(docker: Docker, label: str, clean: Check) -> None:
    async def operation() -> None:
        await docker.containers.run("busybox", ["cat"], input=Input(), labels={label: ""}, network="none")

    assert await sweep(operation, clean) > 15


async def test_run_that_pulls(docker: Docker, label: str, clean: Check, pullable: str) -> None:
    async def check() -> None:
        await clean()
        await without(docker, pullable)

    async def operation() -> None:
        await docker.containers.run(pullable, ["true"], labels={label: ""}, network="none")

    assert await sweep(operation, check, stride=4) > 15


async def test_open_run(docker: Docker, label: str, clean: Check) -> None:
    async def operation() -> None:
        async with docker.containers.open_run("busybox", ["sleep", "1000"], labels={label: ""}, network="none"):
            await checkpoint()

    assert await sweep(operation, clean) > 6


async def test_exec(docker: Docker, sleeper: Container, clean: Check) -> None:
    async def operation() -> None:
        assert (await sleeper.exec(["cat"], input=Input())).stdout == b"ab"

    assert await sweep(operation, clean) > 8
    assert (await sleeper.inspect())["State"]["Running"] is True


async def test_exec_kills_what_it_has_started(docker: Docker, sleeper: Container, clean: Check) -> None:
    async def operation() -> None:
        await sleeper.exec(["sh", "-c", "sleep 4321 & sleep 4321"])

    async def check() -> None:
        await clean()
        with fail_after(10):
            while any("4321" in process[-1] for process in (await sleeper.top())["Processes"] or ()):
                continue

    await sweep_endless(operation, check)


async def test_attach(docker: Docker, label: str, clean: Check) -> None:
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
        assert await sweep(operation, check) > 3
        await sweep_endless(container.attach, check)


async def test_build(docker: Docker, label: str, clean: Check) -> None:
    text = f"FROM busybox\nLABEL {label}=1\n"

    async def operation() -> None:
        await docker.images.build(dockerfile_text=text, tags=[label], no_cache=True)

    async def check() -> None:
        assert docker.statistics().open_streams == 0
        assert (await docker.ping()).os == "linux"

    assert await sweep(operation, check) > 5
    await docker.images.image(label).remove(force=True)


async def without(docker: Docker, image: str) -> None:
    """Remove an image; a pull that has been cancelled may have brought it all the same."""
    with suppress(NotFound):
        await docker.images.image(image).remove(force=True)


async def test_pull(docker: Docker, clean: Check, pullable: str) -> None:
    async def check() -> None:
        await clean()
        await without(docker, pullable)

    async def operation() -> None:
        assert (await docker.images.pull(pullable)).name == pullable

    assert await sweep(operation, check) > 5


async def test_short_calls(docker: Docker, sleeper: Container, clean: Check) -> None:
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
        assert await sweep(call, clean) >= 1


async def test_streams(docker: Docker, sleeper: Container, clean: Check) -> None:
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
        assert await sweep(operation, clean) >= 2


# -- by asyncio's own means


@NATIVE
@pytest.mark.parametrize("again", [(), (1, 2, 5)], ids=["once", "again"])
async def test_run_by_task_cancel(docker: Docker, label: str, clean: Check, again: tuple[int, ...]) -> None:
    async def operation() -> None:
        await docker.containers.run("busybox", ["cat"], input=b"x", labels={label: ""}, network="none")

    assert await native_sweep(operation, clean, again) > 15


@NATIVE
async def test_create_by_task_cancel(docker: Docker, label: str, clean: Check) -> None:
    creation = Creation(docker, label, clean)
    assert await native_sweep(creation.operation, creation.check) > 3


@NATIVE
async def test_open_run_by_asyncio_timeout(docker: Docker, label: str, clean: Check) -> None:
    async def operation() -> None:
        async with docker.containers.open_run("busybox", ["sleep", "1000"], labels={label: ""}, network="none"):
            await checkpoint()

    loop = asyncio.get_running_loop()
    at = -1
    expired = True
    while expired:
        at += 1
        deadline = asyncio.timeout(None)
        with suppress(TimeoutError):
            async with deadline:
                await Stepped(operation(), lambda step: deadline.reschedule(loop.time()) if step == at else None)  # noqa: B023
        await clean()
        expired = deadline.expired()
    assert at > 6
