"""What a container uses, as the ``docker stats`` command line reckons it."""

from __future__ import annotations

from typing import Any

import attrs

from anydocker._wire.documents import array_at, number_at, section_at, text_at
from anydocker.streams._base import BodyStream, DecodedStream, DocumentDecoder

__all__ = ("Stats", "StatsStream")


@attrs.define
class Stats:
    """
    A sample of what a container uses, taken once a second (Podman: every five).

    The properties work on control groups of version 1 and 2. A container that is not running uses nothing; what the
    engine leaves out, or sends as another type, counts as 0.
    """

    raw: dict[str, Any] = attrs.field(repr=False)
    """The document as the engine sent it."""

    @property
    def id(self) -> str:
        """The id of the container."""
        return text_at(self.raw, "id")

    @property
    def name(self) -> str:
        """The name of the container."""
        return text_at(self.raw, "name").removeprefix("/")

    @property
    def cpu_percent(self) -> float:
        """
        Processor time since the sample before, in percent of one processor; 0.0 where there is none before.

        Two busy processors make 200.
        """
        now, before = section_at(self.raw, "cpu_stats"), section_at(self.raw, "precpu_stats")
        used = number_at(now, "cpu_usage", "total_usage") - number_at(before, "cpu_usage", "total_usage")
        available = number_at(now, "system_cpu_usage") - number_at(before, "system_cpu_usage")
        if used <= 0 or available <= 0 or not number_at(before, "system_cpu_usage"):
            return 0.0
        processors = number_at(now, "online_cpus") or len(array_at(now, "cpu_usage", "percpu_usage")) or 1
        return used / available * processors * 100.0

    @property
    def memory_used(self) -> int:
        """Memory in bytes, without the page cache that can be given back at once."""
        memory = section_at(self.raw, "memory_stats")
        usage = number_at(memory, "usage")
        # Control groups of version 1 have total_inactive_file, of version 2 inactive_file.
        version_1 = "total_inactive_file" in section_at(memory, "stats")
        cache = number_at(memory, "stats", "total_inactive_file" if version_1 else "inactive_file")
        return usage - cache if cache < usage else usage

    @property
    def memory_limit(self) -> int:
        """The memory it may use, in bytes: its own limit, or all of the machine's; 0 if it is not running."""
        return number_at(self.raw, "memory_stats", "limit")

    @property
    def memory_percent(self) -> float:
        """``memory_used`` in percent of ``memory_limit``."""
        return self.memory_used / self.memory_limit * 100.0 if self.memory_limit else 0.0

    @property
    def network_received(self) -> int:
        """Bytes received on all networks since it started."""
        return sum(number_at(network, "rx_bytes") for network in section_at(self.raw, "networks").values())

    @property
    def network_sent(self) -> int:
        """Bytes sent on all networks since it started."""
        return sum(number_at(network, "tx_bytes") for network in section_at(self.raw, "networks").values())

    @property
    def block_read(self) -> int:
        """Bytes read from block devices since it started."""
        return self._block_bytes("r")

    @property
    def block_written(self) -> int:
        """Bytes written to block devices since it started."""
        return self._block_bytes("w")

    @property
    def pids(self) -> int:
        """Processes and threads."""
        return number_at(self.raw, "pids_stats", "current")

    def _block_bytes(self, operation: str) -> int:
        entries = array_at(self.raw, "blkio_stats", "io_service_bytes_recursive")
        return sum(number_at(entry, "value") for entry in entries if text_at(entry, "op")[:1].lower() == operation)

    def __repr__(self) -> str:
        return f"<Stats {self.name or self.id[:12]} cpu {self.cpu_percent:.1f}% memory {self.memory_used}>"


class StatsStream(DecodedStream[Stats]):
    """Samples of what a container uses, as :class:`Stats` values, until it is removed."""

    def __init__(self, body: BodyStream) -> None:
        super().__init__(body, DocumentDecoder(Stats))
        # A sample is a hundred objects: a dozen at a time does not set off the garbage collector.
        self._exchange.expect_values(small_reads=True)
