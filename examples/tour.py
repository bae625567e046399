"""
A tour of anydocker on a real engine: on trio, and once more on asyncio.

    python examples/tour.py                   # both
    python examples/tour.py --backend trio    # one of them

It needs the extra ``anydocker[progress]`` and trio. The engine and the registry are private ones, started for the tour
and gone with it, which takes root, dockerd and docker-registry; or set ANYDOCKER_TEST_HOST to an engine for tests.
The engine you work with is never touched.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import anyio
import attrs
import tour_screen as screen
from anyio.to_thread import run_sync

import anydocker
from anydocker.testing import BUSYBOX, EngineUnavailable, busybox_rootfs, local_registry, private_engine

APP: Final = "anydocker-tour:app"
LABELS: Final = {"anydocker.tour": "yes"}
LAYERS_MIB: Final = {"large": 24, "medium": 12, "small": 6}
FOLLOW_SECONDS: Final = 4
CANCEL_SECONDS: Final = 1

CONTEXT: Final = {
    "Dockerfile": "ARG BASE\nFROM ${BASE}\nWORKDIR /app\nCOPY . .\n",
    ".dockerignore": "Dockerfile\n.dockerignore\n*.env\ncache\n!cache/keep.txt\n",
    "hello.sh": "echo hello from $1\n",
    "secret.env": "PASSWORD=hunter2\n",
    "cache/keep.txt": "kept by the last line of .dockerignore\n",
    "cache/large.bin": "x" * 1000,
}
COUNT: Final = "n=0; while true; do n=$((n + 1)); echo count $n; sleep 0.2; done"
WORK: Final = "while true; do head -c 20000000 /dev/zero | sha256sum | cut -c 1-16; sleep 0.3; done"
ECHO: Final = 'while read line; do echo "heard $line"; done; echo "input has ended"'

Findings: TypeAlias = dict[str, object]
"""What came out of each step. It has to be the same on both backends."""


def main() -> None:
    parser = argparse.ArgumentParser(description="A tour of anydocker on a real engine.")
    parser.add_argument("--backend", choices=["trio", "asyncio"], help="one only; default: both")
    chosen: str | None = parser.parse_args().backend
    with TemporaryDirectory() as directory:
        write_files(Path(directory))
        try:
            results = {
                backend: anyio.run(take_tour, backend, Path(directory), backend=backend)
                for backend in ([chosen] if chosen else ["trio", "asyncio"])
            }
        except EngineUnavailable as exc:
            sys.exit(f"No engine for the tour: {exc}")
    sys.exit(0 if summarize(results) else 1)


def write_files(directory: Path) -> None:
    """The directory ``app`` to build from, and ``layers`` with something to pull."""
    for name, text in CONTEXT.items():
        file = directory / "app" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    layers = directory / "layers"
    layers.mkdir()
    for name, size in LAYERS_MIB.items():
        (layers / name).write_bytes(os.urandom(size * 1024 * 1024))
    copies = "".join(f"COPY {name} /layers/\n" for name in LAYERS_MIB)
    (layers / "Dockerfile").write_text(f"FROM {BUSYBOX}\n{copies}")


async def take_tour(backend: str, directory: Path) -> tuple[Findings, bool]:
    """The tour on one backend: what was found, and whether nothing was left."""
    screen.chapter(f"anydocker on {backend}")
    async with open_engine() as (host, registry), anydocker.connect(host) as d:
        screen.note(f"speaks API {d.api_version} with {d.endpoint.url}")
        image = f"{registry}/tour:1"
        await seed(d, image, directory / "layers")
        counts = [await count(d)]
        findings = {
            "pull": await pull(d, image),
            "build": await build(d, image, directory / "app"),
            "run": await run(d),
            "attach": await attach(d),
            "exec": await execute(d),
            "cancel": await cancel_run(d),
        }
        counts.append(await follow(d))
        counts.append(await count(d))
        clean = report(counts)
        for name in APP, image:
            await d.images.image(name).remove(force=True)
    return findings, clean


@asynccontextmanager
async def open_engine() -> AsyncGenerator[tuple[str, str]]:
    """The address of an engine, and of a registry that it reaches."""
    host = os.environ.get("ANYDOCKER_TEST_HOST")
    async with AsyncExitStack() as stack:
        engine = None
        if host is None:
            screen.note("starting a private engine and a registry; they end with the tour")
            engine = await stack.enter_async_context(private_engine())
            host = engine.host
        else:
            screen.note("using the engine that ANYDOCKER_TEST_HOST names, and a private registry")
        registry = await stack.enter_async_context(local_registry(engine))
        yield host, registry.address


# -- the steps


async def seed(d: anydocker.Docker, image: str, layers: Path) -> None:
    """Push an image, and take it away from the engine, so that there is something to pull."""
    screen.step("Seed the registry", "d.images.build(directory, tags=[image]), d.images.push(image)")
    try:
        await d.images.get(BUSYBOX)
    except anydocker.NotFound:
        await d.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
    built = await d.images.build(layers, tags=[image])
    await d.images.push(image)
    await built.remove(force=True)
    screen.note(f"{image}: {len(LAYERS_MIB)} layers of {', '.join(map(str, LAYERS_MIB.values()))} MiB")


async def pull(d: anydocker.Docker, image: str) -> object:
    screen.step("Pull", "d.images.pull(image, progress=bars)")
    with screen.PullBars() as bars:
        pulled = await d.images.pull(image, progress=bars)
    document = await pulled.inspect()
    screen.note(f"{pulled.name} is here: {pulled.id[:19]}…")
    return len(document["RootFS"]["Layers"] or ())


async def build(d: anydocker.Docker, base: str, directory: Path) -> object:
    screen.step("Build a directory", 'd.images.build(directory, tags=[...], buildargs={"BASE": image}, progress=print)')
    await d.images.build(directory, tags=[APP], buildargs={"BASE": base}, progress=show_build_step)
    listing = await d.containers.run(APP, ["find", ".", "-type", "f"], labels=LABELS)
    arrived = {name.removeprefix("./") for name in listing.stdout.decode().split()}
    screen.table("  file", "in the image", rows=[[f"  {name}", "✓" if name in arrived else "–"] for name in CONTEXT])
    return sorted(arrived)


def show_build_step(event: anydocker.BuildEvent) -> None:
    if event.text.startswith(("Step", "Success")):
        screen.note(event)


async def run(d: anydocker.Docker) -> object:
    screen.step("Run", 'd.containers.run(image, ["wc", "-c"], input=...)')
    done = await d.containers.run(APP, ["wc", "-c"], input=b"x" * 1_000_000, labels=LABELS)
    screen.note(f"fed it 1000000 bytes; it counted {done.stdout.decode().strip()}, exit code {done.exit_code}")
    return done


async def attach(d: anydocker.Docker) -> object:
    screen.step("Attach", "c.open_attach(stdin=True): send, send_eof, and read on to the end")
    async with (
        d.containers.open_run(APP, ["sh", "-c", ECHO], stdin=True, labels=LABELS) as c,
        c.open_attach(stdin=True) as io,
    ):
        await io.send(b"one\ntwo\n")
        await io.send_eof()
        lines = [line async for line in io.lines()]
    for line in lines:
        screen.note(f"{line.stream}: {line.text}")
    return lines


async def execute(d: anydocker.Docker) -> object:
    screen.step("Exec", 'c.exec(["sh", "-c", "echo oops >&2; exit 3"])')
    async with d.containers.open_run(APP, ["sleep", "600"], labels=LABELS) as c:
        done = await c.exec(["sh", "hello.sh", "exec"])
        screen.note(f"stdout {done.stdout!r}, exit code {done.exit_code}")
        try:
            await c.exec(["sh", "-c", "echo oops >&2; exit 3"])
        except anydocker.ExecFailed as exc:
            screen.note(f"ExecFailed: {exc}")
            return done, exc.exit_code, exc.stderr
    raise AssertionError("a command that fails raises ExecFailed")


async def cancel_run(d: anydocker.Docker) -> object:
    screen.step("Cancel", f'with move_on_after({CANCEL_SECONDS}): await d.containers.run(image, ["sleep", "600"])')
    with anyio.move_on_after(CANCEL_SECONDS) as scope:
        await d.containers.run(APP, ["sleep", "600"], labels=LABELS)
    left = await d.containers.list(all=True, filters={"label": LABELS})
    screen.note(f"cancelled: {scope.cancelled_caught}; containers left: {len(left)}")
    return scope.cancelled_caught


# -- two containers, four streams, one task group


async def follow(d: anydocker.Docker) -> Counts:
    screen.step("Follow", "the logs and the stats of two containers, in one task group; then all is cancelled")
    counts: list[Counts] = []
    with screen.Board(["counter", "worker"]) as board, anyio.CancelScope() as scope:
        async with (
            d.containers.open_run(APP, ["sh", "-c", COUNT], labels=LABELS) as counter,
            d.containers.open_run(APP, ["sh", "-c", WORK], labels=LABELS) as worker,
            anyio.create_task_group() as tg,
        ):
            for name, container in {"counter": counter, "worker": worker}.items():
                tg.start_soon(follow_logs, container, board, name)
                tg.start_soon(follow_stats, container, board, name)
            await anyio.sleep(FOLLOW_SECONDS)
            counts.append(await count(d))
            scope.cancel()
    return counts[0]


async def follow_logs(container: anydocker.Container, board: screen.Board, name: str) -> None:
    row = board.rows[name]
    async with container.open_logs(follow=True) as log:
        async for line in log.lines():
            row.lines += 1
            row.last = line.text[:32]
            board.refresh()


async def follow_stats(container: anydocker.Container, board: screen.Board, name: str) -> None:
    row = board.rows[name]
    async with container.open_stats() as samples:
        async for sample in samples:
            row.cpu = f"{sample.cpu_percent:.1f} %"
            row.memory = f"{sample.memory_used / 1024:.0f} KiB"
            board.refresh()


# -- nothing is left


@attrs.frozen
class Counts:
    """What there is at a moment."""

    containers: int
    streams: int
    tasks: int
    files: int


async def count(d: anydocker.Docker) -> Counts:
    containers = await d.containers.list(all=True, filters={"label": LABELS})
    held = d.statistics()
    # Connections that are kept for the next calls are files, too, but none of a stream.
    files = len(os.listdir("/dev/fd")) - held.idle_connections
    return Counts(len(containers), held.open_streams, len(anyio.get_running_tasks()), files)


def report(counts: list[Counts]) -> bool:
    screen.step("What is left", "d.containers.list(...), d.statistics(), anyio.get_running_tasks(), /dev/fd")
    labels = ["containers of the tour", "connections of streams", "tasks", "open files and sockets"]
    rows: screen.Rows = [
        [f"  {label}", *map(str, numbers), screen.verdict(numbers[0] == numbers[-1])]
        for label, *numbers in zip(labels, *map(attrs.astuple, counts), strict=True)
    ]
    screen.table("  what there is", "before", "while it followed", "now", "", rows=rows)
    return counts[0] == counts[-1]


def summarize(results: dict[str, tuple[Findings, bool]]) -> bool:
    screen.chapter("Summary")
    findings = [found for found, _ in results.values()]
    same = all(found == findings[0] for found in findings)
    verdicts = {f"{backend}: nothing is left": clean for backend, (_, clean) in results.items()}
    if len(results) > 1:
        verdicts["both backends found the same"] = same
    for text, good in verdicts.items():
        screen.note(text, good)
    return all(verdicts.values())


if __name__ == "__main__":
    main()
