"""
What many streams and calls leave behind: ``python -m benchmarks.load [quick]``, as root.

Four loads, each on asyncio and on trio, in a process of their own: logs that are followed at the same time in one
event loop, with a ping now and then; commands executed one after the other; containers run at the same time; events
of an hour, over connections that are lost again and again. Each load is put on twice, the first time to warm up, with
less of it where it is the time and not the number that counts. What the process holds then, its memory, file
descriptors and tasks, is compared with what it holds at the end. The exit code is 1 where that is more, and where a
container is left.

Logs and containers are those of a private engine. Commands and events are a scripted one's, in another process: a real
one needs a tenth of a second for a command, and would be what is measured.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import attrs
from anyio.to_thread import run_sync

import anydocker
from anydocker.testing import (
    BUSYBOX,
    Reply,
    Request,
    Route,
    busybox_rootfs,
    chunked_reply,
    json_reply,
    private_engine,
    scripted_engine,
    upgraded_reply,
)

__all__ = ("main",)

_BACKENDS: Final = ("asyncio", "trio")
_ROOT: Final = Path(__file__).parent.parent
_MIB: Final = 1024 * 1024
# What may come to be after the warm-up. Memory goes up and down by itself, even where the number of blocks that the
# interpreter has allocated stays the same.
_NOISE: Final = {"blocks": 1000, "memory": 8 * _MIB, "files": 0, "tasks": 0}
_FILES: Final = 8192

_WRITER: Final = ["sh", "-c", "while true; do date; sleep 1; done"]
_CONTAINER: Final = "anydocker-load"
# Calls while logs are followed, one every tenth of a second.
_PINGS: Final = 100
_EVENTS_PER_CONNECTION: Final = 1000
_EVENTS_EPOCH: Final = 1_700_000_000
_EVENTS_PER_SECOND: Final = 10

Figures = dict[str, float]
Work = Callable[[anydocker.Docker, int], Awaitable[Figures]]


@attrs.frozen
class Load:
    """
    A load.

    Attributes:
        work: Puts it on; returns what it measured.
        count: How much of it.
        quick: How much of it where there is little time.
        warm_up: Which part of it is put on beforehand.
        scripted: Whether the engine is a scripted one.
    """

    work: Work
    count: int
    quick: int
    warm_up: float
    scripted: bool


# -- the loads


async def _follow_logs(docker: anydocker.Docker, count: int) -> Figures:
    frames = 0
    opened = 0
    ended = anyio.Event()

    async def follow() -> None:
        nonlocal frames, opened
        async with docker.containers.container(_CONTAINER).open_logs(follow=True, tail=0) as log:
            opened += 1
            async for _ in log:
                frames += 1
                if ended.is_set():
                    return

    figures: Figures = {}
    begin = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(follow)
        while opened < count:
            await anyio.sleep(0.01)
        figures["seconds to open"] = time.perf_counter() - begin
        frames = 0
        begin = time.perf_counter()
        pings = [await _ping(docker) for _ in range(_PINGS)]
        figures["frames a second"] = frames / (time.perf_counter() - begin)
        figures["ping ms, median"] = statistics.median(pings) * 1000
        figures["ping ms, worst"] = max(pings) * 1000
        figures["MiB while open"] = _held()["memory"] / _MIB
        ended.set()
    return figures


async def _ping(docker: anydocker.Docker) -> float:
    await anyio.sleep(0.1)
    begin = time.perf_counter()
    await docker.ping()
    return time.perf_counter() - begin


async def _execute(docker: anydocker.Docker, count: int) -> Figures:
    container = docker.containers.container(_CONTAINER)
    begin = time.perf_counter()
    for _ in range(count):
        done = await container.exec(["true"])
        assert done.stdout == b"done\n"
    return {"a second": count / (time.perf_counter() - begin)}


async def _run(docker: anydocker.Docker, count: int) -> Figures:
    async def run(number: int) -> None:
        done = await docker.containers.run(BUSYBOX, ["echo", str(number)], network="none")
        assert done.stdout == b"%d\n" % number

    begin = time.perf_counter()
    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(run, number)
    seconds = time.perf_counter() - begin
    left = await docker.containers.list(all=True, filters={"status": "exited"})
    return {"seconds": seconds, "a second": count / seconds, "containers left": len(left)}


async def _follow_events(docker: anydocker.Docker, count: int) -> Figures:
    begin = time.perf_counter()
    async with docker.open_events(since=_EVENTS_EPOCH, reconnect=True) as events:
        for number in range(count):
            assert (await events.receive()).id == f"c{number}"
        seconds = time.perf_counter() - begin
        return {"a second": count / seconds, "reconnects": events.reconnects, "gaps": events.gaps}


_LOADS: Final[Mapping[str, Load]] = {
    "logs followed at a time": Load(_follow_logs, 1000, 100, 1.0, scripted=False),
    "commands in turn": Load(_execute, 10_000, 500, 0.1, scripted=True),
    "containers run at a time": Load(_run, 200, 10, 1.0, scripted=False),
    "events": Load(_follow_events, 3600 * _EVENTS_PER_SECOND, 3000, 0.1, scripted=True),
}


# -- one load, in a process of its own


def _held() -> dict[str, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "blocks": sys.getallocatedblocks(),
        "memory": pages * resource.getpagesize(),
        "files": len(os.listdir("/proc/self/fd")),
        "tasks": len(anyio.get_running_tasks()),
    }


async def _measure(name: str, count: int, host: str) -> None:
    load = _LOADS[name]
    async with anydocker.connect(host) as docker:
        await load.work(docker, max(1, round(count * load.warm_up)))
        # A pool keeps as many connections as there were calls at a time, and gives up none of them.
        files = docker.statistics().idle_connections
        before = _held()
        figures = await load.work(docker, count)
        after = _held()
        files = docker.statistics().idle_connections - files
    growth = {key: after[key] - before[key] for key in before}
    growth["files"] -= files
    print(json.dumps({"figures": figures, "growth": growth}))


def _measured(name: str, count: int, backend: str, host: str) -> dict[str, Any]:
    command = (sys.executable, "-m", "benchmarks.load", "--worker", name, str(count), backend, host)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# -- the engines


def _events(request: Request, _: object) -> Reply:
    """Events from ``since`` on; the connection is lost behind some of them."""
    first = max(0, round((float(request.query["since"]) - _EVENTS_EPOCH) * _EVENTS_PER_SECOND))
    numbers = range(first, first + _EVENTS_PER_CONNECTION)
    reply = chunked_reply([json.dumps(_event(number)).encode() + b"\n" for number in numbers])
    return attrs.evolve(reply, cut_at=reply.end - 1)


def _event(number: int) -> dict[str, Any]:
    time_ns = _EVENTS_EPOCH * 10**9 + number * 10**9 // _EVENTS_PER_SECOND
    actor = {"ID": f"c{number}", "Attributes": {"image": BUSYBOX, "name": f"name{number}"}}
    return {"Type": "container", "Action": "start", "Actor": actor, "time": time_ns // 10**9, "timeNano": time_ns}


async def _serve() -> None:
    """A scripted engine, until standard input ends."""
    routes: dict[str, Route] = {
        f"POST /containers/{_CONTAINER}/exec": json_reply({"Id": "e1"}, 201),
        "POST /exec/e1/start": upgraded_reply(b"\1\0\0\0\0\0\0\5done\n"),
        "GET /exec/e1/json": json_reply({"Running": False, "ExitCode": 0}),
        "GET /events": _events,
    }
    async with scripted_engine(routes) as engine:
        print(engine.host, flush=True)
        await run_sync(sys.stdin.read)


@asynccontextmanager
async def _scripted_host() -> AsyncGenerator[str, None]:
    command = (sys.executable, "-m", "benchmarks.load", "--serve")
    async with await anyio.open_process(command, stderr=None, cwd=_ROOT) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        host = (await process.stdout.receive()).decode().strip()
        yield host
        await process.stdin.aclose()


# -- all of them


async def _run_all(loads: Mapping[str, Load], *, quick: bool) -> int:
    failures = 0
    async with private_engine() as engine, _scripted_host() as scripted, anydocker.connect(engine.host) as docker:
        await docker.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
        async with docker.containers.open_run(BUSYBOX, _WRITER, name=_CONTAINER, network="none"):
            for name, load in loads.items():
                for backend in _BACKENDS:
                    count = load.quick if quick else load.count
                    host = scripted if load.scripted else engine.host
                    found = await run_sync(_measured, name, count, backend, host)
                    failures += _report(f"{count:,} {name}", backend, found)
    return failures


def _report(what: str, backend: str, found: dict[str, Any]) -> bool:
    growth: dict[str, int] = found["growth"]
    left = found["figures"].get("containers left", 0)
    grew = left > 0 or any(growth[key] > most for key, most in _NOISE.items())
    figures = ", ".join(f"{name} {figure:,.4g}" for name, figure in found["figures"].items())
    sizes = f"{growth['blocks']:+} blocks, {growth['memory'] / _MIB:+.1f} MiB"
    held = f"{sizes}, {growth['files']:+} files, {growth['tasks']:+} tasks"
    print(f"| {what} | {backend} | {figures} | {held}{' TOO MUCH' if grew else ''} |", flush=True)
    return grew


def main(arguments: Sequence[str] | None = None) -> int:
    """Put on the loads, or one of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description="What load leaves behind.")
    parser.add_argument("quick", nargs="?", choices=["quick"], help="a small part of each load")
    parser.add_argument("--only", choices=_LOADS, help="this load alone")
    parser.add_argument("--worker", nargs=4, metavar=("LOAD", "COUNT", "BACKEND", "HOST"), help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        anyio.run(_serve)
    elif options.worker:
        name, count, backend, host = options.worker
        anyio.run(_measure, name, int(count), host, backend=backend)
    else:
        loads = {name: load for name, load in _LOADS.items() if options.only in (None, name)}
        print("| load | on | measured | growth |\n|---|---|---|---|", flush=True)
        return int(anyio.run(_run_all_of, loads, bool(options.quick)) > 0)
    return 0


async def _run_all_of(loads: Mapping[str, Load], quick: bool) -> int:
    return await _run_all(loads, quick=quick)


if __name__ == "__main__":
    sys.exit(main())
