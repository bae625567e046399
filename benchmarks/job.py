"""What a client is asked to do, and what comes of it."""

from __future__ import annotations

import gc
import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

import attrs

__all__ = ("BULK", "Client", "Clock", "Job", "Outcome", "Unsupported", "resident_bytes")

BULK: Final = frozenset({"save", "export", "archive"})
"""Actions whose items are bytes: what counts is all of them together, not how they were cut."""


_UPLOAD_BLOCK: Final = 64 * 1024


class Unsupported(Exception):
    """The client has no such operation."""


class Clock:
    """Wall and processor time of a block."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self._running = False

    def __enter__(self) -> None:
        gc.collect()
        self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, if it is not running already."""
        if not self._running:
            self._running = True
            self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Stop, perhaps not for the last time: the latest counts. The times are in seconds."""
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu


@attrs.define
class Job:
    """
    One round of a workload for one client.

    Attributes:
        action: The method of the client that does it.
        host: The address of the replay server, or of an engine.
        items: How many items there are to come, or how many calls to make.
        streams: How many streams or tasks at once.
        batches: Whether to take items in batches, where the client has them.
        container: The name of the container.
        file: The path of the file to upload.
        kept: The items, if they are to be compared; None if they are only counted.
        clock: To be running while the work is done, and only then.
        memory: Bytes of memory for each stream.
    """

    action: str
    host: str
    items: int
    streams: int = 1
    batches: bool = False
    container: str = "bench"
    file: str = ""
    kept: list[Any] | None = None
    clock: Clock = attrs.field(factory=Clock)
    memory: float = 0.0

    @property
    def socket_path(self) -> str:
        """The path of the Unix socket that ``host`` names."""
        return self.host.removeprefix("unix://")

    def blocks(self) -> list[bytes]:
        """The file to upload, in blocks of 64 KiB."""
        data = Path(self.file).read_bytes()
        return [data[at : at + _UPLOAD_BLOCK] for at in range(0, len(data), _UPLOAD_BLOCK)]


@attrs.frozen
class Outcome:
    """
    What came of a job.

    Attributes:
        count: How many items the client returned; None if it does not look at them.
        digest: A hash of their contents, if they were kept.
        wall: Seconds.
        cpu: Seconds of processor time.
        memory: Bytes for each stream.
    """

    count: int | None
    digest: str | None
    wall: float
    cpu: float
    memory: float = 0.0


class Client(Protocol):
    """What every adapter looks like."""

    def perform(self, job: Job) -> int | None:
        """Do the job; return how many items came. Raises Unsupported."""
        ...

    def canonical(self, action: str, item: Any) -> bytes:
        """The content of an item, the same for every client."""
        ...


def perform(client: Client, job: Job) -> Outcome:
    """Have a client do a job."""
    count = client.perform(job)
    digest = None
    if job.kept is not None and count is not None:
        contents = [client.canonical(job.action, item) for item in job.kept]
        if job.streams > 1:
            contents.sort()  # their order between streams is chance
        digest = _digest(contents, bulk=job.action in BULK)
    return Outcome(count, digest, job.clock.wall, job.clock.cpu, job.memory)


def _digest(contents: Iterable[bytes], *, bulk: bool) -> str:
    total = hashlib.sha256()
    for content in contents:
        if not bulk:
            total.update(b"%d:" % len(content))
        total.update(content)
    return total.hexdigest()[:16]


def resident_bytes() -> int:
    """The memory this process has in RAM."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
