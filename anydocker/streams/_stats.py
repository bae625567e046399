"""What a container uses, as the ``docker stats`` command line reckons it."""

from __future__ import annotations

from typing import Any

import attrs

from anydocker.streams._base import BodyStream, DecodedStream, DocumentDecoder, section

__all__ = ("Stats", "StatsStream")


@attrs.define
class Stats:
    """
    A sample of what a container uses, taken once a second (Podman: every five).

    The properties work on control groups of version 1 and 2. A container that is not running uses nothing.
    """

    raw: dict[str, Any] = attrs.field(repr=False)
    """The document as the engine sent it."""

    @property
    def id(self) -> str:
        """The id of the container."""
        return str(self.raw.get("id") or "")

    @property
    def name(self) -> str:
        """The name of the container."""
        return str(self.raw.get("name") or "").removeprefix("/")

    @property
    def cpu_percent(self) -> float:
        """
        Processor time since the sample before, in percent of one processor; 0.0 where there is none before.

        Two busy processors make 200.
        """
        now, before = section(self.raw, "cpu_stats"), section(self.raw, "precpu_stats")
        used = _total(now) - _total(before)
        available = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
        if used <= 0 or available <= 0 or not before.get("system_cpu_usage"):
            return 0.0
        processors = now.get("online_cpus") or len(section(now, "cpu_usage").get("percpu_usage") or ()) or 1
        percent: float = used / available * processors * 100.0
        return percent

    @property
    def memory_used(self) -> int:
        """Memory in bytes, without the page cache that can be given back at once."""
        memory = section(self.raw, "memory_stats")
        usage: int = memory.get("usage", 0)
        details = section(memory, "stats")
        # Control groups of version 1 have total_inactive_file, of version 2 inactive_file.
        cache: int = details.get("total_inactive_file", details.get("inactive_file", 0))
        return usage - cache if cache < usage else usage

    @property
    def memory_limit(self) -> int:
        """The memory it may use, in bytes: its own limit, or all of the machine's; 0 if it is not running."""
        return int(section(self.raw, "memory_stats").get("limit", 0))

    @property
    def memory_percent(self) -> float:
        """``memory_used`` in percent of ``memory_limit``."""
        return self.memory_used / self.memory_limit * 100.0 if self.memory_limit else 0.0

    @property
    def network_received(self) -> int:
        """Bytes received on all networks since it started."""
        return sum(network.get("rx_bytes", 0) for network in section(self.raw, "networks").values())

    @property
    def network_sent(self) -> int:
        """Bytes sent on all networks since it started."""
        return sum(network.get("tx_bytes", 0) for network in section(self.raw, "networks").values())

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
        return int(section(self.raw, "pids_stats").get("current", 0))

    def _block_bytes(self, operation: str) -> int:
        entries = section(self.raw, "blkio_stats").get("io_service_bytes_recursive") or ()
        return sum(entry["value"] for entry in entries if entry["op"][:1].lower() == operation)

    def __repr__(self) -> str:
        return f"<Stats {self.name or self.id[:12]} cpu {self.cpu_percent:.1f}% memory {self.memory_used}>"


def _total(stats: dict[str, Any]) -> int:
    return int(section(stats, "cpu_usage").get("total_usage", 0))


class StatsStream(DecodedStream[Stats]):
    """Samples of what a container uses, as :class:`Stats` values, until it is removed."""

    def __init__(self, body: BodyStream) -> None:
        super().__init__(body, DocumentDecoder(Stats))
        # A sample is a hundred objects: a dozen at a time does not set off the garbage collector.
        self._exchange.expect_values(small_reads=True)
