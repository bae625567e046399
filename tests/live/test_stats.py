from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import pytest
from anyio import EndOfStream, create_task_group

from anydocker import Container, Docker, Stats
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]


MIB = 1024 * 1024
LIMITS = {"HostConfig": {"NanoCpus": 500_000_000, "Memory": 64 * MIB}}
UNITS = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}


@pytest.fixture
async def busy(docker: Docker) -> AsyncGenerator[Container, None]:
    """A container that would keep one processor busy, and may have the half of it."""
    script = "dd if=/dev/zero of=/tmp/x bs=1M count=8 2>/dev/null; sleep 1000 & while :; do :; done"
    async with docker.containers.open_run("busybox", ["sh", "-c", script], config=LIMITS) as container:
        while len((await container.top())["Processes"] or ()) < 2:
            continue
        yield container


def size(text: str) -> float:
    number = text.strip().rstrip("kKMGiB")
    return float(number) * UNITS[text.strip()[len(number) :]]


async def command_line(cli: CLI, container: Container) -> dict[str, str]:
    shown: dict[str, str] = json.loads(await cli("stats", "--no-stream", "--format", "{{json .}}", container.id))
    return shown


async def test_a_sample_says_what_the_command_line_says(busy: Container, cli: CLI) -> None:
    sample = await busy.stats()
    shown = await command_line(cli, busy)
    used, limit = (size(part) for part in shown["MemUsage"].split("/"))
    assert sample.id == busy.id
    assert sample.name == shown["Name"]
    assert sample.pids == int(shown["PIDs"]) == 2
    assert sample.memory_limit == limit == 64 * MIB
    assert abs(sample.memory_used - used) < 4 * MIB
    assert abs(sample.memory_percent - float(shown["MemPerc"].rstrip("%"))) < 6
    assert 1 < sample.cpu_percent < 100
    assert 1 < float(shown["CPUPerc"].rstrip("%")) < 100
    received, sent = (size(part) for part in shown["NetIO"].split("/"))
    assert abs(sample.network_received - received) < 20_000
    assert abs(sample.network_sent - sent) < 20_000
    assert {"read", "preread", "cpu_stats", "precpu_stats", "memory_stats", "pids_stats"} <= {*sample.raw}


async def test_a_stream_of_samples(docker: Docker, busy: Container) -> None:
    async with busy.open_stats() as samples:
        first = await samples.receive()
        second = await anext(samples)
    assert first.cpu_percent == 0.0
    assert 1 < second.cpu_percent < 100
    assert second.raw["read"] > first.raw["read"]
    assert {first.memory_limit, second.memory_limit} == {64 * MIB}
    assert docker.statistics().open_streams == 0


async def test_what_does_not_run_uses_nothing(docker: Docker) -> None:
    container = await docker.containers.create("busybox", ["true"], network="none")
    sample = await container.stats()
    assert (sample.cpu_percent, sample.memory_used, sample.memory_limit, sample.memory_percent) == (0.0, 0, 0, 0.0)
    assert (sample.pids, sample.network_received, sample.network_sent) == (0, 0, 0)
    assert (sample.block_read, sample.block_written) == (0, 0)
    await container.remove()


async def test_the_stream_ends_when_the_container_is_removed(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["sleep", "1000"], network="none") as container:
        async with container.open_stats() as samples:
            await samples.receive()
            await container.remove(force=True)
            async for sample in samples:
                assert sample.memory_used >= 0
            with pytest.raises(EndOfStream):
                await samples.receive()


async def test_many_at_once(docker: Docker, sleeper: Container) -> None:
    found: list[Stats] = []

    async def sample() -> None:
        found.append(await sleeper.stats())

    async with create_task_group() as group:
        for _ in range(40):
            group.start_soon(sample)
        await docker.ping()
    assert len(found) == 40
    assert {one.name for one in found} == {(await sleeper.inspect())["Name"].removeprefix("/")}
