"""docker-py, by its low-level client, which makes one request for a call."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker  # type: ignore[import-untyped]  # it has no annotations

from benchmarks.job import Job, Unsupported, resident_bytes
from benchmarks.uploads import small_tar

__all__ = ("DockerClient",)

_START_SECONDS = 0.02


class DockerClient:
    """The adapter."""

    def perform(self, job: Job) -> int:
        """Do the job."""
        method = getattr(self, job.action.replace("-", "_"), None)
        if method is None:
            raise Unsupported(job.action)
        connections = max(10, job.streams)
        client: Any = docker.APIClient(f"http+unix://{job.socket_path}", max_pool_size=connections)
        try:
            count: int = method(client, job)
        finally:
            client.close()
        return count

    def canonical(self, action: str, item: Any) -> bytes:
        """The content of an item."""
        if isinstance(item, bytes):
            return item
        if action == "list":
            identifier: str = item["Id"]
            return identifier.encode()
        return json.dumps(item, sort_keys=True).encode()

    # -- streams

    def logs(self, client: Any, job: Job) -> int:
        """Follow a log."""
        with job.clock:
            return _drain(client.logs(job.container, stream=True, follow=True), job)

    def exec(self, client: Any, job: Job) -> int:
        """Read what a command in a container writes."""
        created = client.exec_create(job.container, ["cat"])
        output = client.exec_start(created["Id"], stream=True)
        # The server holds the output back for a moment, for this client's sake; that is not to count against it.
        time.sleep(_START_SECONDS)
        with job.clock:
            return _drain(output, job)

    def pull(self, client: Any, job: Job) -> int:
        """Follow a pull."""
        with job.clock:
            return _drain(client.pull("bench", tag="latest", stream=True, decode=True), job)

    def build(self, client: Any, job: Job) -> int:
        """Follow a build."""
        with job.clock:
            context = io.BytesIO(small_tar())
            return _drain(client.build(fileobj=context, custom_context=True, decode=True), job)

    def events(self, client: Any, job: Job) -> int:
        """Follow what happens."""
        with job.clock:
            return _drain(client.events(decode=True), job)

    def stats(self, client: Any, job: Job) -> int:
        """Follow what a container uses."""
        with job.clock:
            return _drain(client.stats(job.container, decode=True), job)

    # -- bytes

    def save(self, client: Any, job: Job) -> int:
        """Download an image."""
        with job.clock:
            return _drain_bytes(client.get_image("bench"), job)

    def export(self, client: Any, job: Job) -> int:
        """Download a container's file system."""
        with job.clock:
            return _drain_bytes(client.export(job.container), job)

    def archive(self, client: Any, job: Job) -> int:
        """Download files of a container."""
        with job.clock:
            return _drain_bytes(client.get_archive(job.container, "/etc")[0], job)

    def build_file(self, client: Any, job: Job) -> int:
        """Build from a file object that holds a tar."""
        with Path(job.file).open("rb") as file, job.clock:
            return _drain(client.build(fileobj=file, custom_context=True, decode=True), job)

    def load_file(self, client: Any, job: Job) -> int:
        """Load an image from a file object."""
        with Path(job.file).open("rb") as file, job.clock:
            return _drain(client.load_image(file), job)

    def load_stream(self, client: Any, job: Job) -> int:
        """Load an image from an iterator."""
        blocks = job.blocks()
        with job.clock:
            return _drain(client.load_image(iter(blocks)), job)

    # -- calls

    def ping(self, client: Any, job: Job) -> int:
        """Ask whether the engine is there, again and again."""
        with job.clock:
            for _ in range(job.items):
                client.ping()
        return job.items

    def ping_many(self, client: Any, job: Job) -> int:
        """The same from many threads at once."""
        count = job.items // job.streams

        def ping() -> int:
            for _ in range(count):
                client.ping()
            return count

        with job.clock:
            return _in_threads(ping, job)

    def inspect(self, client: Any, job: Job) -> int:
        """Inspect a container, again and again."""
        document: object = None
        with job.clock:
            for _ in range(job.items):
                document = client.inspect_container(job.container)
        if job.kept is not None:
            job.kept.append(document)
        return job.items

    def list(self, client: Any, job: Job) -> int:
        """List the containers, again and again."""
        containers: list[Any] = []
        with job.clock:
            for _ in range(job.items):
                containers = client.containers(all=True)
        if job.kept is not None:
            job.kept += containers
        return job.items

    # -- many streams

    def fan(self, client: Any, job: Job) -> int:
        """Follow many logs at once, each in a thread; nothing comes before all are open, and then the clock starts."""

        def follow() -> int:
            log = client.logs(job.container, stream=True, follow=True)
            first = next(log)
            job.clock.start()
            if job.kept is not None:
                job.kept.append(first)
            count = 1 + _drain(log, job)
            job.clock.stop()
            return count

        return _in_threads(follow, job)

    def hold(self, client: Any, job: Job) -> int:
        """Open many logs and let them wait, without threads; the memory of each is what counts."""
        before = resident_bytes()
        logs = [client.logs(job.container, stream=True, follow=True) for _ in range(job.streams)]
        for log in logs:
            next(log)
        job.memory = (resident_bytes() - before) / job.streams
        return len(logs)


def _in_threads(work: Callable[[], int], job: Job) -> int:
    with ThreadPoolExecutor(job.streams) as pool:
        return sum(task.result() for task in [pool.submit(work) for _ in range(job.streams)])


def _drain(stream: Iterable[Any], job: Job) -> int:
    count = 0
    if job.kept is None:
        for _ in stream:
            count += 1
    else:
        for item in stream:
            job.kept.append(item)
            count += 1
    return count


def _drain_bytes(stream: Iterable[bytes], job: Job) -> int:
    count = 0
    for piece in stream:
        count += len(piece)
        if job.kept is not None:
            job.kept.append(piece)
    return count
