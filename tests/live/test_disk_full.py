"""An engine whose disk is full: whatever writes fails with the engine's words, and works again when there is room."""

from __future__ import annotations

import io
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from anyio import fail_after
from anyio.to_thread import run_sync

import anydocker
from anydocker import BuildFailed, Docker, DockerError, EngineFault, ExecFailed, LoadFailed, PullFailed
from anydocker.testing import BUSYBOX, busybox_rootfs, local_registry
from anydocker.testing.fixtures import StartEngine
from tests.helpers import tar_of

pytestmark = [pytest.mark.anyio, pytest.mark.live]

MIB = 1024 * 1024
PATIENCE = 40.0
NO_SPACE = r"(?i)no space left on device"

# What is to find no room, and what is written beforehand so that there is none for it.
LARGE = random.Random(1).randbytes(6 * MIB)
DISK = 20 * MIB


@asynccontextmanager
async def small_engine(start_engine: StartEngine) -> AsyncGenerator[tuple[Docker, str, bytes], None]:
    """An engine with a small disk, the name of an image that it can pull, and the same image saved."""
    async with start_engine(disk_bytes=DISK) as engine, local_registry(engine) as registry:
        async with anydocker.connect(engine.host) as d:
            await d.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
            image = await d.images.import_(tar_of({"large": LARGE}), repository=f"{registry.address}/large:1")
            await image.push()
            async with image.open_save() as body:
                saved = await body.read()
            await image.remove()
            yield d, f"{registry.address}/large:1", saved


# Leaves three MiB.
FILL = "dd if=/dev/zero of=/full bs=1M count=$(($(df -m / | awk 'END { print $4 }') - 3)) 2> /dev/null"


async def test_what_finds_no_room_fails_and_says_so(start_engine: StartEngine) -> None:
    async with small_engine(start_engine) as (d, name, saved):
        async with d.containers.open_run("busybox", ["sleep", "1000"], network="none") as container:
            await container.exec(["sh", "-c", FILL])
            dockerfile = "FROM busybox\nCOPY large /\n"
            writes: dict[str, tuple[type[DockerError], Callable[[], Awaitable[object]]]] = {
                "pull": (PullFailed, lambda: d.images.pull(name)),
                "load": (LoadFailed, lambda: d.images.load(saved)),
                # Where it fails before it says anything, it is the answer's status that says so.
                "import": (EngineFault, lambda: d.images.import_(tar_of({"large": LARGE}), repository="large:2")),
                "build": (
                    BuildFailed,
                    lambda: d.images.build(
                        dockerfile_text="FROM busybox\nRUN cp bin/busybox large; cat large large large > larger"
                    ),
                ),
                "context": (
                    EngineFault,
                    lambda: d.images.build(io.BytesIO(tar_of({"Dockerfile": dockerfile, "large": LARGE}))),
                ),
                "put_archive": (EngineFault, lambda: container.put_archive("/tmp", tar_of({"large": LARGE}))),
            }
            for what, (error, write) in writes.items():
                with fail_after(PATIENCE), pytest.raises(error) as caught:
                    await write()
                said = f"{caught.value} {getattr(caught.value, 'log', '')}"
                assert "no space left on device" in said.lower(), what
            assert {image.id for image in await d.images.list()} == {(await d.images.get(BUSYBOX)).id}
            # The changes of a container are written once more where it becomes an image. It is not paused for that,
            # because an engine may take it for paused for some moments more.
            with fail_after(PATIENCE), pytest.raises(EngineFault, match=NO_SPACE):
                await container.commit("large:3", pause=False)
            await container.exec(["rm", "/full"])
            with fail_after(PATIENCE):
                assert (await d.images.pull(name)).name == name
        assert d.statistics().open_streams == 0


async def test_an_engine_that_ran_full_can_be_started_again(start_engine: StartEngine) -> None:
    async with start_engine(disk_bytes=DISK) as engine, anydocker.connect(engine.host) as d:
        await d.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
        with fail_after(PATIENCE):
            container = await d.containers.create("busybox", ["sleep", "1000"], network="none")
            await container.start()
            with pytest.raises(ExecFailed, match=NO_SPACE):
                await container.exec(["dd", "if=/dev/zero", "of=/full", "bs=1M"])
            with pytest.raises(EngineFault, match=NO_SPACE):
                await d.images.import_(await run_sync(busybox_rootfs), repository="second")
            await engine.kill()
            await engine.start()
            await d.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
            assert (await d.containers.run("busybox", ["echo", "ok"], network="none")).stdout == b"ok\n"
