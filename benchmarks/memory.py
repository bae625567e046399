"""
How much memory a gigabyte takes on its way: ``python -m benchmarks.memory [MIB]``, as root.

A private engine gets and gives archives of 1 GiB of zeros. Each transfer runs in a process of its own, on asyncio and
on trio. Printed is how far its memory grew, at the most, over what it was with the client connected: the kernel's own
mark (``VmHWM``). The exit code is 1 if a transfer took more than 16 MiB.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import anyio
from anyio.to_thread import run_sync

import anydocker
from anydocker.testing import PrivateEngine, private_engine

__all__ = ("main",)

_MIB: Final = 1024 * 1024
_LIMIT: Final = 16 * _MIB
_BACKENDS: Final = ("asyncio", "trio")
_IMAGE: Final = "anydocker-memory"
_CONTAINER: Final = "anydocker-memory"

Transfer = Callable[[anydocker.Docker, Path], Awaitable[object]]


# -- the transfers


async def _build(docker: anydocker.Docker, directory: Path) -> None:
    await docker.images.build(directory / "context", tags=[_IMAGE], no_cache=True)


async def _open_save(docker: anydocker.Docker, directory: Path) -> None:
    async with docker.images.open_save([_IMAGE]) as body:
        await body.write_to(directory / "image.tar")


async def _load(docker: anydocker.Docker, directory: Path) -> None:
    await docker.images.load(directory / "image.tar")


async def _put_archive(docker: anydocker.Docker, directory: Path) -> None:
    await docker.containers.container(_CONTAINER).put_archive("/", directory / "zeros.tar")


async def _open_archive(docker: anydocker.Docker, directory: Path) -> None:
    async with docker.containers.container(_CONTAINER).open_archive("/zeros") as archive:
        await archive.write_to(directory / "archive.tar")


# In this order: each leaves behind what the next one needs.
_TRANSFERS: Final[Mapping[str, Transfer]] = {
    "build": _build,
    "open_save": _open_save,
    "load": _load,
    "put_archive": _put_archive,
    "open_archive": _open_archive,
}


# -- one transfer, in a process of its own


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _memory(key: str) -> int:
    """What the kernel says of this process's memory, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


async def _measure(name: str, host: str, directory: Path) -> None:
    async with anydocker.connect(host) as docker:
        _forget_peak()
        before = _memory("VmRSS")
        await _TRANSFERS[name](docker, directory)
        print(_memory("VmHWM") - before)


def _measured(name: str, backend: str, host: str, directory: Path) -> int:
    command = (sys.executable, "-m", "benchmarks.memory", "--transfer", name, backend, host, str(directory))
    root = Path(__file__).parent.parent
    return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout)


# -- all of them


def _prepare(directory: Path, size: int) -> None:
    """The files to send. They have no content but holes."""
    context = directory / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY zeros /\n")
    with (context / "zeros").open("wb") as file:
        file.truncate(size)
    member = tarfile.TarInfo("zeros")
    member.size = size
    with (directory / "zeros.tar").open("wb") as file:
        file.write(member.tobuf())
        file.truncate(len(member.tobuf()) + size + 2 * tarfile.BLOCKSIZE)


async def _run(engine: PrivateEngine, directory: Path, backend: str) -> int:
    """Make every transfer; return how many took too much."""
    failures = 0
    async with anydocker.connect(engine.host) as docker:
        for name in _TRANSFERS:
            if name == "put_archive":
                await docker.containers.create(_IMAGE, ["-"], name=_CONTAINER)
            begin = time.perf_counter()
            growth = await run_sync(_measured, name, backend, engine.host, directory)
            seconds = time.perf_counter() - begin
            too_much = growth > _LIMIT
            failures += too_much
            print(
                f"{name:14}{backend:10}{growth / _MIB:6.1f} MiB {seconds:6.1f} s{'  TOO MUCH' if too_much else ''}",
                flush=True,
            )
            if name == "open_save":
                await docker.images.image(_IMAGE).remove(force=True)
        await docker.containers.container(_CONTAINER).remove(force=True)
        await docker.images.image(_IMAGE).remove(force=True)
    return failures


async def _main(size: int) -> int:
    failures = 0
    async with private_engine() as engine:
        with tempfile.TemporaryDirectory(dir=engine.directory) as name:
            directory = Path(name)
            await run_sync(_prepare, directory, size)
            for backend in _BACKENDS:
                failures += await _run(engine, directory, backend)
    return failures


def main(arguments: list[str]) -> int:
    """Run the benchmark, or one transfer of it."""
    if arguments[:1] == ["--transfer"]:
        name, backend, host, directory = arguments[1:]
        anyio.run(_measure, name, host, Path(directory), backend=backend)
        return 0
    size = int(arguments[0]) * _MIB if arguments else 1024 * _MIB
    print(f"{size // _MIB} MiB each; peak growth of the client's memory, limit {_LIMIT // _MIB} MiB", flush=True)
    return int(anyio.run(_main, size) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
