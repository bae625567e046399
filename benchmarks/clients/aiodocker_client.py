"""aiodocker, on asyncio and on asyncio with uvloop."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterable, AsyncIterator, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import aiodocker
import aiohttp
from aiodocker.containers import DockerContainer
from aiodocker.stream import Message

from benchmarks.job import Job, Unsupported, resident_bytes
from benchmarks.uploads import small_tar, stream_of

__all__ = ("AiodockerClient",)

Engine: TypeAlias = Any
"""An ``aiodocker.Docker``: only a part of it is annotated."""

# It opens a hundred connections at most unless told otherwise; the next stream waits for ever.
_UNLIMITED = 0
_DOWNLOAD_BLOCK = 64 * 1024


class AiodockerClient:
    """The adapter."""

    def __init__(self, loop: Literal["asyncio", "uvloop"]) -> None:
        self._loop = loop

    def perform(self, job: Job) -> int:
        """Do the job in an event loop of its own."""
        method = getattr(self, job.action.replace("-", "_"), None)
        if method is None:
            raise Unsupported(job.action)
        return self._run(_connected(method, job))

    def _run(self, work: Coroutine[Any, Any, int]) -> int:
        if self._loop == "asyncio":
            return asyncio.run(work)
        import uvloop  # noqa: PLC0415 - only where it is asked for

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)

    def canonical(self, action: str, item: Any) -> bytes:
        """The content of an item."""
        match item:
            case str():
                return item.encode()
            case bytes():
                return item
            case Message():
                return item.data
            case DockerContainer():
                return item.id.encode()
            case _:
                return json.dumps(item, sort_keys=True, default=_unix_time).encode()

    # -- streams

    async def logs(self, d: Engine, job: Job) -> int:
        """Follow a log."""
        with job.clock:
            log = d.containers.container(job.container).log(stdout=True, stderr=True, follow=True)
            return await _drain(log, job)

    async def exec(self, d: Engine, job: Job) -> int:
        """Read what a command in a container writes."""
        with job.clock:
            process = await d.containers.container(job.container).exec(["cat"])
            async with process.start() as stream:
                return await _drain(_messages(stream), job) if job.kept is not None else await _count(stream)

    async def pull(self, d: Engine, job: Job) -> int:
        """Follow a pull."""
        with job.clock:
            return await _drain(d.images.pull("bench", tag="latest", stream=True), job)

    async def build(self, d: Engine, job: Job) -> int:
        """Follow a build."""
        with job.clock:
            context = io.BytesIO(small_tar())
            return await _drain(d.images.build(fileobj=context, encoding="identity", stream=True), job)

    async def events(self, d: Engine, job: Job) -> int:
        """Follow what happens."""
        with job.clock:
            subscriber = d.events.subscribe()
            count = 0
            while (event := await subscriber.get()) is not None:
                count += 1
                if job.kept is not None:
                    job.kept.append(event)
            return count

    async def stats(self, d: Engine, job: Job) -> int:
        """Follow what a container uses."""
        with job.clock:
            return await _drain(d.containers.container(job.container).stats(stream=True), job)

    # -- bytes

    async def save(self, d: Engine, job: Job) -> int:
        """Download an image."""
        with job.clock:
            async with d.images.export_image("bench") as content:
                return await _drain_bytes(content.iter_chunked(_DOWNLOAD_BLOCK), job)

    async def archive(self, d: Engine, job: Job) -> int:
        """Download files of a container, which come as a whole."""
        with job.clock:
            tar = await d.containers.container(job.container).get_archive("/etc")
        data: bytes = tar.fileobj.getvalue()
        if job.kept is not None:
            job.kept.append(data)
        return len(data)

    async def build_file(self, d: Engine, job: Job) -> int:
        """Build from a file object that holds a tar."""
        with Path(job.file).open("rb") as file, job.clock:
            return await _drain(d.images.build(fileobj=file, encoding="identity", stream=True), job)

    async def load_file(self, d: Engine, job: Job) -> int:
        """Load an image from a file object."""
        with Path(job.file).open("rb") as file, job.clock:
            return await _drain(d.images.import_image(file, stream=True), job)

    async def load_stream(self, d: Engine, job: Job) -> int:
        """Load an image from an async iterator."""
        blocks = job.blocks()
        with job.clock:
            return await _drain(d.images.import_image(stream_of(blocks), stream=True), job)

    # -- calls

    async def ping(self, d: Engine, job: Job) -> int:
        """Ask whether the engine is there, again and again."""
        with job.clock:
            for _ in range(job.items):
                await _ping(d)
        return job.items

    async def ping_many(self, d: Engine, job: Job) -> int:
        """The same from many tasks at once."""
        count = job.items // job.streams

        async def ping() -> None:
            for _ in range(count):
                await _ping(d)

        with job.clock:
            async with asyncio.TaskGroup() as tg:
                for _ in range(job.streams):
                    tg.create_task(ping())
        return count * job.streams

    async def inspect(self, d: Engine, job: Job) -> int:
        """Inspect a container, again and again."""
        container = d.containers.container(job.container)
        document: object = None
        with job.clock:
            for _ in range(job.items):
                document = await container.show()
        if job.kept is not None:
            job.kept.append(document)
        return job.items

    async def list(self, d: Engine, job: Job) -> int:
        """List the containers, again and again."""
        containers: list[DockerContainer] = []
        with job.clock:
            for _ in range(job.items):
                containers = await d.containers.list(all=True)
        if job.kept is not None:
            job.kept += containers
        return job.items

    # -- many streams

    async def fan(self, d: Engine, job: Job) -> int:
        """Follow many logs at once; nothing comes before all are open, and then the clock starts."""

        async def follow() -> int:
            log = _follow(d, job)
            first = await anext(log)
            job.clock.start()
            if job.kept is not None:
                job.kept.append(first)
            count = 1 + await _drain(log, job)
            job.clock.stop()
            return count

        async with asyncio.TaskGroup() as tg:
            tasks = [tg.create_task(follow()) for _ in range(job.streams)]
        return sum(task.result() for task in tasks)

    async def hold(self, d: Engine, job: Job) -> int:
        """Open many logs and let them wait; the memory of each is what counts."""
        opened: list[str] = []

        async def follow() -> None:
            log = _follow(d, job)
            opened.append(await anext(log))
            await anext(log)

        before = resident_bytes()
        tasks = [asyncio.create_task(follow()) for _ in range(job.streams)]
        while len(opened) < job.streams:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        job.memory = (resident_bytes() - before) / job.streams
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(opened)


async def _connected(method: Any, job: Job) -> int:
    connector = aiohttp.UnixConnector(job.socket_path, limit=_UNLIMITED)
    async with connector, aiodocker.Docker("unix://localhost", connector=connector) as d:
        await d.version()
        count: int = await method(d, job)
        return count


async def _ping(d: Engine) -> None:
    # It has no ping. This is what its own calls are made of, on the same endpoint as everybody's.
    await d._query_json("_ping", versioned_api=False)


def _follow(d: Engine, job: Job) -> AsyncIterator[str]:
    log: AsyncIterator[str] = d.containers.container(job.container).log(stdout=True, stderr=True, follow=True)
    return log


async def _drain(stream: AsyncIterable[Any], job: Job) -> int:
    count = 0
    if job.kept is None:
        async for _ in stream:
            count += 1
    else:
        async for item in stream:
            job.kept.append(item)
            count += 1
    return count


async def _drain_bytes(stream: AsyncIterable[bytes], job: Job) -> int:
    count = 0
    async for piece in stream:
        count += len(piece)
        if job.kept is not None:
            job.kept.append(piece)
    return count


async def _count(stream: Any) -> int:
    count = 0
    while await stream.read_out() is not None:
        count += 1
    return count


async def _messages(stream: Any) -> AsyncIterator[Message]:
    while (message := await stream.read_out()) is not None:
        yield message


def _unix_time(value: object) -> int:
    # Events have their time made into a naive datetime.
    if isinstance(value, datetime):
        return int(value.timestamp())
    raise TypeError(type(value).__name__)
