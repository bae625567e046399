"""Many streams and calls: not a file descriptor, not a task more than before. ``benchmarks/load.py`` has thousands."""

from __future__ import annotations

import gc
import os

import pytest
from anyio import Event, create_task_group, fail_after, get_running_tasks

from anydocker import Container, Docker

pytestmark = [pytest.mark.anyio, pytest.mark.live]

STREAMS = 50
EXECS = 30


def held(docker: Docker) -> tuple[int, int]:
    """File descriptors, but for those kept for the next calls, and tasks of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")) - docker.statistics().idle_connections, len(get_running_tasks())


async def follow(container: Container, lines: int, begin: Event) -> None:
    async with container.open_logs(follow=True) as log:
        await begin.wait()
        for _ in range(lines):
            await log.receive()


async def test_followed_logs_and_calls_in_between_leave_nothing(docker: Docker) -> None:
    command = ["sh", "-c", "while true; do echo tick; sleep 0.1; done"]
    begin = Event()
    async with docker.containers.open_run("busybox", command, network="none") as container:
        before = held(docker)
        with fail_after(30):
            async with create_task_group() as group:
                for _ in range(STREAMS):
                    group.start_soon(follow, container, 10, begin)
                while docker.statistics().open_streams < STREAMS:
                    assert (await docker.ping()).api_version
                begin.set()
                while docker.statistics().open_streams:
                    assert (await docker.ping()).api_version
        assert held(docker) == before


async def test_many_commands_leave_nothing(docker: Docker, sleeper: Container) -> None:
    await sleeper.exec(["true"])
    before = held(docker)
    for n in range(EXECS):
        assert (await sleeper.exec(["echo", str(n)])).stdout == b"%d\n" % n
    assert held(docker) == before
    assert (docker.statistics().open_streams, docker.statistics().idle_connections) == (0, 1)
