"""anydocker, on asyncio, on asyncio with uvloop, and on trio."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
from anyio import create_task_group

import anydocker
from anydocker import Docker, Stream
from benchmarks.job import Job, Unsupported, resident_bytes
from benchmarks.uploads import small_tar, stream_of

__all__ = ("AnydockerClient",)

Loop: TypeAlias = Literal["asyncio", "uvloop", "trio"]


class AnydockerClient:
    """The adapter."""

    def __init__(self, loop: Loop) -> None:
        self._backend = "trio" if loop == "trio" else "asyncio"
        self._options = {"use_uvloop": True} if loop == "uvloop" else {}

    def perform(self, job: Job) -> int:
        """Do the job in an event loop of its own."""
        method = getattr(self, job.action.replace("-", "_"), None)
        if method is None:
            raise Unsupported(job.action)
        return anyio.run(_connected, method, job, backend=self._backend, backend_options=self._options)

    def canonical(self, action: str, item: Any) -> bytes:
        """The content of an item."""
        match item:
            case bytes():
                return item
            case anydocker.Frame():
                return item.data
            case anydocker.Container():
                return item.id.encode()
            case _:
                return json.dumps(getattr(item, "raw", item), sort_keys=True).encode()

    # -- streams

    async def logs(self, d: Docker, job: Job) -> int:
        """Follow a log."""
        with job.clock:
            async with d.containers.container(job.container).open_logs(follow=True) as log:
                return await _drain(log, job)

    async def exec(self, d: Docker, job: Job) -> int:
        """Read what a command in a container writes."""
        with job.clock:
            async with d.containers.container(job.container).open_exec(["cat"]) as process:
                return await _drain(process, job)

    async def pull(self, d: Docker, job: Job) -> int:
        """Follow a pull."""
        with job.clock:
            async with d.images.open_pull("bench:latest") as progress:
                return await _drain(progress, job)

    async def build(self, d: Docker, job: Job) -> int:
        """Follow a build."""
        with job.clock:
            async with d.images.open_build(small_tar()) as progress:
                return await _drain(progress, job)

    async def events(self, d: Docker, job: Job) -> int:
        """Follow what happens."""
        with job.clock:
            async with d.open_events() as events:
                return await _drain(events, job)

    async def stats(self, d: Docker, job: Job) -> int:
        """Follow what a container uses."""
        with job.clock:
            async with d.containers.container(job.container).open_stats() as samples:
                return await _drain(samples, job)

    # -- bytes

    async def save(self, d: Docker, job: Job) -> int:
        """Download an image."""
        with job.clock:
            async with d.images.open_save(["bench"]) as body:
                return await _drain_bytes(body, job)

    async def export(self, d: Docker, job: Job) -> int:
        """Download a container's file system."""
        with job.clock:
            async with d.containers.container(job.container).open_export() as body:
                return await _drain_bytes(body, job)

    async def archive(self, d: Docker, job: Job) -> int:
        """Download files of a container."""
        with job.clock:
            async with d.containers.container(job.container).open_archive("/etc") as body:
                return await _drain_bytes(body, job)

    async def build_file(self, d: Docker, job: Job) -> int:
        """Build from a file object that holds a tar."""
        with Path(job.file).open("rb") as file, job.clock:
            async with d.images.open_build(file) as progress:
                return await _drain(progress, job)

    async def load_file(self, d: Docker, job: Job) -> int:
        """Load an image from a file object."""
        with Path(job.file).open("rb") as file, job.clock:
            async with d.images.open_load(file) as progress:
                return await _drain(progress, job)

    async def load_stream(self, d: Docker, job: Job) -> int:
        """Load an image from an async iterator."""
        blocks = job.blocks()
        with job.clock:
            async with d.images.open_load(stream_of(blocks)) as progress:
                return await _drain(progress, job)

    # -- calls

    async def ping(self, d: Docker, job: Job) -> int:
        """Ask whether the engine is there, again and again."""
        with job.clock:
            for _ in range(job.items):
                await d.ping()
        return job.items

    async def ping_many(self, d: Docker, job: Job) -> int:
        """The same from many tasks at once."""
        count = job.items // job.streams

        async def ping() -> None:
            for _ in range(count):
                await d.ping()

        with job.clock:
            async with create_task_group() as tg:
                for _ in range(job.streams):
                    tg.start_soon(ping)
        return count * job.streams

    async def inspect(self, d: Docker, job: Job) -> int:
        """Inspect a container, again and again."""
        container = d.containers.container(job.container)
        document: object = None
        with job.clock:
            for _ in range(job.items):
                document = await container.inspect()
        _keep(job, document)
        return job.items

    async def list(self, d: Docker, job: Job) -> int:
        """List the containers, again and again."""
        containers: list[anydocker.Container] = []
        with job.clock:
            for _ in range(job.items):
                containers = await d.containers.list(all=True)
        _keep(job, *containers)
        return job.items

    # -- many streams

    async def fan(self, d: Docker, job: Job) -> int:
        """Follow many logs at once; nothing comes before all are open, and then the clock starts."""
        counts: list[int] = []

        async def follow() -> None:
            async with d.containers.container(job.container).open_logs(follow=True) as log:
                _keep(job, await log.receive())
                job.clock.start()
                counts.append(1 + await _drain(log, job))
                job.clock.stop()

        async with create_task_group() as tg:
            for _ in range(job.streams):
                tg.start_soon(follow)
        return sum(counts)

    async def hold(self, d: Docker, job: Job) -> int:
        """Open many logs and let them wait; the memory of each is what counts."""
        opened: list[bytes] = []

        async def follow() -> None:
            async with d.containers.container(job.container).open_logs(follow=True) as log:
                opened.append((await log.receive()).data)
                await log.receive()

        before = resident_bytes()
        async with create_task_group() as tg:
            for _ in range(job.streams):
                tg.start_soon(follow)
            while len(opened) < job.streams:
                await anyio.sleep(0.01)
            await anyio.sleep(0.05)
            job.memory = (resident_bytes() - before) / job.streams
            tg.cancel_scope.cancel()
        return len(opened)


async def _connected(method: Any, job: Job) -> int:
    async with anydocker.connect(job.host) as d:
        count: int = await method(d, job)
        return count


async def _drain(stream: Stream[Any], job: Job) -> int:
    if job.batches:
        return await _drain_batches(stream, job)
    count = 0
    if job.kept is None:
        async for _ in stream:
            count += 1
    else:
        async for item in stream:
            job.kept.append(item)
            count += 1
    return count


async def _drain_batches(stream: Stream[Any], job: Job) -> int:
    count = 0
    while batch := await stream.receive_many():
        count += len(batch)
        _keep(job, *batch)
    return count


async def _drain_bytes(stream: AsyncIterable[bytes], job: Job) -> int:
    count = 0
    async for piece in stream:
        count += len(piece)
        _keep(job, piece)
    return count


def _keep(job: Job, *items: object) -> None:
    if job.kept is not None:
        job.kept += items
