"""
A million log lines of a real container: ``docker logs`` beside ``open_logs()``, from start to end.

Unlike the rest it needs root and dockerd: the engine is a private one that ends with the measurement.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
from anyio.to_thread import run_sync

import anydocker
from anydocker.testing import BUSYBOX, busybox_rootfs, private_engine

__all__ = ("measure_command_line",)

_LINES: Final = 1_000_000
_QUICK_LINES: Final = 200_000
_ROUNDS: Final = 3
_ROOT: Final = Path(__file__).parent.parent

# A program of its own for each, because the command line is one, too: both pay for their start.
_READER: Final = """\
import sys, anyio, anydocker
async def main():
    count = 0
    async with anydocker.connect(sys.argv[1]) as d:
        async with d.containers.container("bench").open_logs() as log:
            async for frame in log:
                count += 1
    print(count)
anyio.run(main, backend=sys.argv[2])
"""


def measure_command_line(*, quick: bool) -> None:
    """Measure, and print what came of it."""
    anyio.run(_measure, _QUICK_LINES if quick else _LINES)


async def _measure(lines: int) -> None:
    async with private_engine() as engine, anydocker.connect(engine.host) as d:
        await d.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
        container = await d.containers.create(BUSYBOX, ["seq", "-w", str(lines)], name="bench")
        await container.start()
        await container.wait()
        await run_sync(_compare, engine.host, lines)


def _compare(host: str, lines: int) -> None:
    contestants: dict[str, Callable[[], int]] = {
        "anydocker, asyncio": lambda: _read(host, "asyncio"),
        "anydocker, trio": lambda: _read(host, "trio"),
    }
    if docker := shutil.which("docker"):
        contestants["docker logs"] = lambda: _docker_logs(docker, host)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(_ROUNDS):
        for name, read in contestants.items():
            started = time.perf_counter()
            count = read()
            seconds[name].append(time.perf_counter() - started)
            assert count == lines, f"{name} read {count} lines of {lines}"
    print(f"\n{lines:,} log lines of a real container, from the start of a program to its end")
    for name, values in seconds.items():
        print(f"  {name:20} {statistics.median(values):6.2f} s")


def _read(host: str, backend: str) -> int:
    command = (sys.executable, "-c", _READER, host, backend)
    return int(subprocess.run(command, check=True, capture_output=True, cwd=_ROOT).stdout)


def _docker_logs(docker: str, host: str) -> int:
    done = subprocess.run((docker, "--host", host, "logs", "bench"), check=True, capture_output=True)
    return done.stdout.count(b"\n")
