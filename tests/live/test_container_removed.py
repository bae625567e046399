"""A container that is removed while it is followed: everyone comes to the end, and learns how it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from anyio import TASK_STATUS_IGNORED, create_task_group, sleep
from anyio.abc import TaskStatus

from anydocker import Completed, Container, Docker, ExecFailed, Frame, Line, NotFound, Unhealthy

pytestmark = [pytest.mark.anyio, pytest.mark.live]

Ready = Callable[[], None]

KILLED = 137


async def logs(container: Container, ready: Ready) -> object:
    async with container.open_logs(follow=True) as log:
        ready()
        return [frame async for frame in log]


async def lines(container: Container, ready: Ready) -> object:
    async with container.open_logs(follow=True) as log:
        ready()
        return [line async for line in log.lines()]


async def stats(container: Container, ready: Ready) -> object:
    async with container.open_stats() as samples:
        first = await samples.receive()
        ready()
        return {first.id, *[sample.id async for sample in samples]} <= {container.id, ""}


async def open_attach(container: Container, ready: Ready) -> object:
    async with container.open_attach() as stream:
        ready()
        return [frame async for frame in stream]


async def attach(container: Container, ready: Ready) -> object:
    ready()
    return await container.attach()


async def open_exec(container: Container, ready: Ready) -> object:
    async with container.open_exec(["sh", "-c", "echo x; sleep 1000"]) as process:
        await process.receive()
        ready()
        return (await process.read()).stdout, await process.wait()


async def execute(container: Container, ready: Ready) -> object:
    ready()
    with pytest.raises(ExecFailed) as caught:
        await container.exec(["sleep", "1000"])
    return caught.value.exit_code


async def wait(container: Container, ready: Ready) -> object:
    ready()
    return await container.wait()


async def wait_for_removal(container: Container, ready: Ready) -> object:
    async with container.open_wait("removed") as pending:
        ready()
        return await pending.exit_code()


async def wait_healthy(container: Container, ready: Ready) -> object:
    ready()
    # Which of them it is depends on whether it is asked between the end and the removal.
    with pytest.raises((NotFound, Unhealthy)):
        await container.wait_healthy()
    return None


EXPECTED: dict[Callable[[Container, Ready], Awaitable[object]], object] = {
    # Those that do not tell when the engine has them come first: the others take their time.
    attach: Completed(KILLED),
    execute: KILLED,
    wait: KILLED,
    wait_healthy: None,
    wait_for_removal: KILLED,
    logs: [Frame("stdout", b"hello\n")],
    lines: [Line("stdout", "hello")],
    open_attach: [],
    open_exec: (b"", KILLED),
    stats: True,
}


async def test_everyone_who_follows_a_container_comes_to_its_end(docker: Docker) -> None:
    found: dict[object, object] = {}

    async def follow(
        use: Callable[[Container, Ready], Awaitable[object]], *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None:
        found[use] = await use(container, task_status.started)

    container = await docker.containers.create(
        "busybox",
        ["sh", "-c", "echo hello; sleep 1000"],
        network="none",
        config={"Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**12}},
    )
    await container.start()
    # What it says is not to reach those who attach.
    while not (await container.logs()).frames:
        await sleep(0.01)
    async with docker.open_events(filters={"container": container.id, "event": ["die", "destroy"]}) as events:
        async with create_task_group() as group:
            for use in EXPECTED:
                await group.start(follow, use)
            await container.remove(force=True)
        assert [(await events.receive()).action for _ in range(2)] == ["die", "destroy"]
    assert found == EXPECTED
    assert docker.statistics().open_streams == 0


async def test_one_that_is_removed_before_it_ran_is_gone_for_everyone(docker: Docker) -> None:
    container = await docker.containers.create("busybox", ["true"], network="none")
    results: list[int] = []

    async def wait_for_removal() -> None:
        async with container.open_wait("removed") as pending:
            opened.append(None)
            results.append(await pending.exit_code())

    opened: list[None] = []
    async with create_task_group() as group:
        group.start_soon(wait_for_removal)
        while not opened:
            await docker.ping()
        # It does not run: whoever waited for no more than that would have been answered by now.
        for _ in range(10):
            await docker.ping()
        assert results == []
        await container.remove()
    assert results == [0]
    for call in (container.logs, container.attach, container.stats, container.wait, container.inspect):
        with pytest.raises(NotFound, match="(?i)no such container"):
            await call()
