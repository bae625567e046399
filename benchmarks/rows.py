"""
The rows of the table: what is measured, and what is to be reached.

A target is a ratio to aiodocker in the same run: of rates, so that more is better, or of costs, so that less is.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import attrs

from benchmarks.replay import BULK_CHUNK, Framing, Mode, Script

__all__ = ("QUICK", "ROWS", "Measure", "Row")

Measure: TypeAlias = Literal["wall", "cpu", "memory", "import"]
"""What is compared: time, processor time, memory for each stream, or the time an import takes."""

QUICK: Final = 4
"""How much shorter a quick run's streams are."""

_MIB: Final = 1024 * 1024
_STREAMS: Final = 200


@attrs.frozen(kw_only=True)
class Row:
    """
    A row.

    Attributes:
        key: Its short name.
        group: What it belongs to.
        title: Its name in the table.
        target: The ratio that both event loops are to reach.
        action: What the clients do.
        recording: What the server plays.
        items: How many items, bytes or calls in a full run.
        framing: How the server cuts what it sends.
        mode: What the server does.
        streams: How many streams or tasks at once.
        fast: The target with the extra ``anydocker[fast]``.
        unit: What a cost is given for, in items.
        unit_name: What that is called.
        measure: What is compared.
        batches: Whether to measure ``receive_many()``, too.
    """

    key: str
    group: str
    title: str
    target: float | None = None
    action: str
    recording: str = "logs-20"
    items: int
    framing: Framing = "chunks"
    mode: Mode = "send"
    streams: int = 1
    fast: float | None = None
    unit: int = 1
    unit_name: str = "item"
    measure: Measure = "wall"
    batches: bool = False

    @property
    def costs(self) -> bool:
        """Whether less is better."""
        return self.measure in {"memory", "import"}

    def count(self, *, quick: bool) -> int:
        """How many items this time: whole chunks of bytes, the same number for each stream."""
        if self.measure in {"memory", "import"}:
            return self.items
        count = self.items // QUICK if quick else self.items
        grain = BULK_CHUNK if self.framing == "bulk" else self.streams
        return count // grain * grain

    def script(self, count: int, *, check: bool) -> Script:
        """What the server is to play for ``count`` items in all."""
        if self.mode == "take":
            return Script(self.recording, 1, mode="take", check=check)
        each = count // self.streams
        return Script(self.recording, each, framing=self.framing, mode=self.mode, clients=self.streams)


def _logs(
    key: str, title: str, target: float, size: int, items: int, framing: Framing, *, batches: bool = False
) -> Row:
    return Row(
        key=key,
        group="followed logs",
        title=title,
        target=target,
        action="logs",
        recording=f"logs-{size}",
        items=items,
        framing=framing,
        batches=batches,
    )


def _exec(size: int, title: str, target: float, items: int) -> Row:
    return Row(
        key=f"exec-{size}",
        group="exec and attach (101)",
        title=title,
        target=target,
        action="exec",
        recording=f"exec-{size}",
        items=items,
        batches=size == 20,
    )


def _documents(action: str, title: str, target: float, items: int, fast: float | None = None) -> Row:
    return Row(
        key=action,
        group="JSON documents",
        title=title,
        target=target,
        action=action,
        recording=action,
        items=items,
        fast=fast,
        batches=True,
    )


def _calls(key: str, title: str, target: float, items: int, streams: int = 1, fast: float | None = None) -> Row:
    return Row(
        key=key,
        group="calls",
        title=title,
        target=target,
        action=key,
        items=items,
        streams=streams,
        fast=fast,
        unit_name="call",
    )


def _many(key: str, title: str, target: float, items: int, mode: Mode, measure: Measure, action: str = "fan") -> Row:
    return Row(
        key=key,
        group="200 followed logs in one loop",
        title=title,
        target=target,
        action=action,
        recording="logs-200",
        items=items,
        framing="flushed",
        mode=mode,
        streams=_STREAMS,
        measure=measure,
        unit_name="stream" if measure == "memory" else "item",
    )


def _bytes(action: str, title: str, target: float | None, size: int) -> Row:
    upload = action in {"build-file", "load-file", "load-stream"}
    return Row(
        key=action,
        group="upload" if upload else "download",
        title=title,
        target=target,
        action=action,
        recording="load" if upload else action,
        items=size,
        framing="chunks" if upload else "bulk",
        mode="take" if upload else "send",
        unit=_MIB,
        unit_name="MiB",
    )


ROWS: Final = (
    _logs("logs-20", "20 B frames, a chunk for each", 8.0, 20, 80_000, "chunks", batches=True),
    _logs("logs-200", "200 B frames, a chunk for each", 7.0, 200, 80_000, "chunks"),
    _logs("logs-20-coalesced", "20 B frames, coalesced chunks", 9.0, 20, 80_000, "coalesced"),
    _logs("logs-200-coalesced", "200 B frames, coalesced chunks", 9.0, 200, 80_000, "coalesced"),
    _logs("logs-20-flushed", "20 B frames, each flushed", 4.6, 20, 60_000, "flushed", batches=True),
    _logs("logs-200-flushed", "200 B frames, each flushed", 4.5, 200, 60_000, "flushed"),
    _logs("logs-4096", "4 KiB frames, a chunk for each", 3.0, 4096, 40_000, "chunks"),
    _logs("logs-16384", "16 KiB frames, a chunk for each", 2.0, 16384, 16_000, "chunks"),
    _logs("logs-16384-coalesced", "16 KiB frames, coalesced chunks", 1.15, 16384, 16_000, "coalesced"),
    _exec(20, "20 B frames", 4.2, 120_000),
    _exec(200, "200 B frames", 3.3, 120_000),
    _exec(4096, "4 KiB frames", 1.8, 40_000),
    _exec(16384, "16 KiB frames", 1.4, 16_000),
    _documents("pull", "pull progress", 2.2, 60_000, fast=3.5),
    _documents("build", "build progress", 2.2, 60_000),
    _documents("events", "events", 2.0, 40_000, fast=2.8),
    _documents("stats", "stats", 1.0, 12_000, fast=2.3),
    _calls("ping", "ping, one after another", 1.7, 2_000),
    _calls("ping-many", "ping, 50 tasks at once", 1.6, 4_000, streams=50),
    _calls("inspect", "inspect a container", 1.7, 1_600),
    _calls("list", "list 100 containers", 1.5, 200, fast=2.3),
    _many("fan", "saturated, each frame flushed", 2.7, 200_000, "turns", "wall"),
    _many("paced", "10,000 frames a second, processor time", 1.0, 20_000, "pace", "cpu"),
    _many("memory", "memory for each open stream", 0.4, _STREAMS * 2, "hold", "memory", action="hold"),
    _bytes("build-file", "a build context from a file object", 2.5, 256 * _MIB),
    _bytes("load-file", "an image from a file object", None, 256 * _MIB),
    _bytes("load-stream", "an image from an async iterator", 1.0, 256 * _MIB),
    _bytes("save", "save an image", 1.15, 256 * _MIB),
    _bytes("export", "export a container", 1.15, 256 * _MIB),
    _bytes("archive", "copy out of a container", 1.15, 64 * _MIB),
    Row(
        key="import",
        group="import",
        title="import time",
        target=0.5,
        action="import",
        items=1,
        measure="import",
        unit_name="import",
    ),
    Row(
        key="first-call",
        group="import",
        title="import, connect and the first call",
        action="first-call",
        items=1,
        measure="import",
        unit_name="start",
    ),
)
