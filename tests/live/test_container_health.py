from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from anyio import create_task_group, sleep

from anydocker import Container, ContainerOptions, Docker, HealthCheck, NotFound, Unhealthy

pytestmark = [pytest.mark.anyio, pytest.mark.live]

WAITS = ["sleep", "86400"]


def checked(
    docker: Docker, check: HealthCheck | None, command: list[str] = WAITS
) -> AbstractAsyncContextManager[Container]:
    options = ContainerOptions(healthcheck=check)
    return docker.containers.open_run("busybox", command, network="none", options=options)


def often(command: str, retries: int = 1000) -> HealthCheck:
    return HealthCheck(command=command, interval_seconds=0.05, probe_seconds=10, retries=retries)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        await sleep(0.01)


@pytest.fixture
def inspections(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every path that is asked for the state of a container."""
    paths: list[str] = []
    request = docker.request

    async def count(method: str, path: str, **arguments: Any) -> Any:
        if path.startswith("/containers/") and path.endswith("/json"):
            paths.append(path)
        return await request(method, path, **arguments)

    monkeypatch.setattr(docker, "request", count)
    return paths


async def test_it_waits_for_health_and_does_not_poll(docker: Docker, inspections: list[str]) -> None:
    healthy = False

    async def wait(container: Container) -> None:
        nonlocal healthy
        await container.wait_healthy()
        healthy = True

    async def probed() -> bool:
        return len((await container.exec(["cat", "/probes"], check=False)).stdout) >= 5

    asked = 0
    async with checked(docker, often("printf x >> /probes; test -f /ok")) as container:
        async with create_task_group() as group:
            group.start_soon(wait, container)
            await until(probed)
            assert not healthy
            asked = len(inspections)
            await container.exec(["touch", "/ok"])
        assert healthy
        # One that finds the id, one behind the open events, and one when an event says that it has changed.
        assert (asked, len(inspections)) == (2, 3)
        assert (await container.inspect())["State"]["Health"]["Status"] == "healthy"


async def test_what_is_healthy_already(docker: Docker, inspections: list[str]) -> None:
    async with checked(docker, often("true")) as container:
        await container.wait_healthy()
        inspections.clear()
        await container.wait_healthy()
        assert len(inspections) == 2


async def test_unhealthy_says_what_the_last_probe_said(docker: Docker) -> None:
    async with checked(docker, often("echo so sick; exit 1", retries=2)) as container:
        with pytest.raises(Unhealthy, match="so sick") as caught:
            await container.wait_healthy()
    assert caught.value.output == "so sick\n"


async def test_what_recovers(docker: Docker) -> None:
    async with checked(docker, often("test -f /ok", retries=1)) as container:
        with pytest.raises(Unhealthy):
            await container.wait_healthy()
        await container.exec(["touch", "/ok"])

        async def recovered() -> bool:
            return (await container.inspect())["State"]["Health"]["Status"] == "healthy"

        await until(recovered)
        await container.wait_healthy()


async def test_what_ends_first(docker: Docker) -> None:
    command = ["sh", "-c", "until test -f /end; do sleep 0.05; done; exit 7"]
    async with checked(docker, often("echo not yet; false"), command) as container:
        async with create_task_group() as group:
            group.start_soon(container.exec, ["touch", "/end"])
            with pytest.raises(Unhealthy, match="ended with exit code 7"):
                await container.wait_healthy()


async def test_what_has_ended(docker: Docker) -> None:
    async with checked(docker, often("true"), ["false"]) as container:
        await container.wait()
        with pytest.raises(Unhealthy, match="ended with exit code 1"):
            await container.wait_healthy()


async def test_what_is_removed_first(docker: Docker) -> None:
    async with checked(docker, often("false")) as container, create_task_group() as group:

        async def remove() -> None:
            await container.remove(force=True)

        group.start_soon(remove)
        with pytest.raises((NotFound, Unhealthy)):
            await container.wait_healthy()


async def test_what_is_not_checked(docker: Docker) -> None:
    async with checked(docker, None) as container:
        with pytest.raises(Unhealthy, match="has no health check"):
            await container.wait_healthy()


async def test_the_check_of_the_image_and_none(docker: Docker, label: str) -> None:
    text = "FROM busybox\nHEALTHCHECK --interval=50ms CMD true\n"
    image = await docker.images.build(dockerfile_text=text, tags=[label])
    async with docker.containers.open_run(label, WAITS, network="none") as container:
        await container.wait_healthy()
    options = ContainerOptions(healthcheck=HealthCheck(command=None))
    async with docker.containers.open_run(label, WAITS, network="none", options=options) as container:
        with pytest.raises(Unhealthy, match="has no health check"):
            await container.wait_healthy()
    await image.remove(force=True)


async def test_an_unknown_container(docker: Docker) -> None:
    with pytest.raises(NotFound):
        await docker.containers.container("unknown").wait_healthy()


async def test_a_cancelled_wait_leaves_no_stream(docker: Docker) -> None:
    async with checked(docker, often("false")) as container:
        async with create_task_group() as group:
            group.start_soon(container.wait_healthy)

            async def is_waiting() -> bool:
                return docker.statistics().open_streams > 0

            await until(is_waiting)
            group.cancel_scope.cancel()
        assert docker.statistics().open_streams == 0
