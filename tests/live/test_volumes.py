from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from anyio import CancelScope, create_task_group, sleep

from anydocker import (
    APIError,
    Conflict,
    Docker,
    Mount,
    NotFound,
    UnsupportedByEngine,
    Volume,
)
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]


@pytest.fixture
async def volume(docker: Docker, label: str) -> AsyncGenerator[Volume, None]:
    """A volume of the test's own, with a file in it."""
    async with docker.volumes.open_create(label, labels={label: "yes"}) as volume:
        await sh(docker, volume, f"echo {label} > /data/file")
        yield volume


async def sh(docker: Docker, volume: Volume, script: str, *, read_only: bool = False) -> str:
    """What a script says that has the volume at ``/data``, in a container of its own."""
    mount = Mount("/data", volume.name, read_only=read_only)
    command = ["sh", "-c", f"{{ {script}; }} 2>&1"]
    done = await docker.containers.run("busybox", command, mounts=[mount], network="none", check=False)
    return done.stdout.decode().strip()


async def left(docker: Docker, label: str) -> list[Volume]:
    return await docker.volumes.list(filters={"label": label})


# -- create


async def test_create(docker: Docker, label: str, cli: CLI) -> None:
    volume = await docker.volumes.create(label, driver="local", labels={"a": "1"}, config={"Labels": {"b": ""}})
    found = json.loads(await cli("volume", "inspect", label))[0]
    assert (volume.name, volume.summary) == (label, None)
    assert (found["Name"], found["Driver"], found["Labels"]) == (label, "local", {"a": "1", "b": ""})
    assert await volume.inspect() == found
    await volume.remove()
    with pytest.raises(NotFound):
        await volume.inspect()


async def test_create_without_a_name(docker: Docker) -> None:
    first, second = await docker.volumes.create(), await docker.volumes.create()
    assert first != second
    assert (await docker.volumes.get(first.name)) == first
    for volume in (first, second):
        await volume.remove()


async def test_create_with_options_of_the_driver(docker: Docker, label: str) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    async with docker.volumes.open_create(label, driver_opts=options) as volume:
        assert (await volume.inspect())["Options"] == options
        assert "No space left" in await sh(docker, volume, "dd if=/dev/zero of=/data/file bs=1M count=2")


async def test_create_of_a_volume_that_is_there_gives_that_one(docker: Docker, volume: Volume, label: str) -> None:
    assert await docker.volumes.create(volume.name, labels={"other": ""}) == volume
    assert ((await volume.inspect())["Labels"] or {})[label] == "yes"
    assert await sh(docker, volume, "cat /data/file") == label


async def test_create_is_refused(docker: Docker) -> None:
    with pytest.raises(APIError, match="a b"):
        await docker.volumes.create("a b")
    assert not [volume for volume in await docker.volumes.list() if volume.name == "a b"]


# -- look up


async def test_list(docker: Docker, volume: Volume, label: str) -> None:
    [found] = await docker.volumes.list(filters={"label": {label: "yes"}})
    assert found == volume
    assert found.summary == await volume.inspect()
    assert volume in await docker.volumes.list(filters={"dangling": True})
    assert volume in await docker.volumes.list()
    assert await docker.volumes.list(filters={"name": f"{label}-none"}) == []


async def test_get(docker: Docker, volume: Volume) -> None:
    assert await docker.volumes.get(volume.name) == volume
    with pytest.raises(NotFound, match=f"{volume.name}-none"):
        await docker.volumes.get(f"{volume.name}-none")


# -- volumes in containers


async def test_what_is_in_a_volume_outlives_containers(docker: Docker, volume: Volume, label: str) -> None:
    assert await sh(docker, volume, "cat /data/file") == label
    await sh(docker, volume, "echo more >> /data/file")
    assert await sh(docker, volume, "cat /data/file") == f"{label}\nmore"


async def test_a_mount_that_is_read_only(docker: Docker, volume: Volume, label: str) -> None:
    script = "cat /data/file; echo no > /data/file; rm /data/file"
    lines = (await sh(docker, volume, script, read_only=True)).splitlines()
    assert lines[0] == label
    assert ["Read-only file system" in line for line in lines[1:]] == [True, True]
    assert await sh(docker, volume, "cat /data/file") == label


async def test_two_containers_share_a_volume(docker: Docker, volume: Volume) -> None:
    mounts = [Mount("/data", volume.name)]
    script = "mkfifo /data/pipe; cat /data/pipe"
    writer = docker.containers.open_run("busybox", ["sh", "-c", script], mounts=mounts, network="none")
    async with writer as reader:
        await sh(docker, volume, "until [ -p /data/pipe ]; do sleep 0.1; done; echo across > /data/pipe")
        await reader.wait()
        async with reader.open_logs() as log:
            assert (await log.read()).stdout == b"across\n"


# -- remove


async def test_a_volume_in_use_stays(docker: Docker, volume: Volume) -> None:
    container = await docker.containers.create("busybox", ["true"], mounts=[Mount("/data", volume.name)])
    for force in (False, True):
        with pytest.raises(Conflict, match="in use|being used"):
            await volume.remove(force=force)
    await container.remove()
    assert (await volume.inspect())["Name"] == volume.name


async def test_remove_what_is_not_there(docker: Docker, label: str) -> None:
    volume = docker.volumes.volume(label)
    await volume.remove(force=True)
    with pytest.raises(NotFound, match=label):
        await volume.remove()


async def test_prune_all(docker: Docker, volume: Volume, label: str) -> None:
    unused = await docker.volumes.create(f"{label}-unused", labels={label: "yes"})
    await sh(docker, unused, "dd if=/dev/zero of=/data/file bs=1k count=100")
    container = await docker.containers.create("busybox", ["true"], mounts=[Mount("/data", volume.name)])
    report = await docker.volumes.prune(all=True, filters={"label": {label: "yes"}})
    await container.remove()
    assert report["VolumesDeleted"] == [unused.name]
    assert report["SpaceReclaimed"] >= 100 * 1024
    assert await left(docker, label) == [volume]


async def test_prune_keeps_what_has_a_name(docker: Docker, volume: Volume, label: str) -> None:
    unnamed = await docker.volumes.create(labels={label: "yes"})
    filters = {"label": {label: "yes"}}
    if docker.speaks("1.42"):
        assert (await docker.volumes.prune(filters=filters))["VolumesDeleted"] == [unnamed.name]
    else:
        with pytest.raises(UnsupportedByEngine, match="all=True"):
            await docker.volumes.prune(filters=filters)
        await unnamed.remove()
    assert await left(docker, label) == [volume]


# -- for as long as a block lasts


async def test_a_block_never_takes_a_volume_that_was_there(docker: Docker, volume: Volume, label: str) -> None:
    with pytest.raises(Conflict, match=f"{volume.name} already"):
        async with docker.volumes.open_create(volume.name):
            raise AssertionError("the block began")
    assert await sh(docker, volume, "cat /data/file") == label


async def test_a_volume_removed_in_the_block_is_no_error(docker: Docker, label: str) -> None:
    async with docker.volumes.open_create(label, labels={label: ""}) as volume:
        assert await left(docker, label) == [volume]
        await volume.remove()
    assert not await left(docker, label)


async def test_a_cancelled_block_leaves_nothing(docker: Docker, label: str) -> None:
    with CancelScope() as scope:
        async with docker.volumes.open_create(labels={label: ""}) as volume:
            mounts = [Mount("/data", volume.name)]
            async with docker.containers.open_run("busybox", ["sleep", "86400"], mounts=mounts, network="none"):
                scope.cancel()
                await docker.ping()
    assert scope.cancelled_caught
    assert not await left(docker, label)


async def test_an_error_comes_out_of_the_block_as_it_is(docker: Docker, label: str) -> None:
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught:
        async with docker.volumes.open_create(labels={label: ""}):
            raise error
    assert caught.value is error
    assert not await left(docker, label)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("milliseconds", [0, 1, 2, 4, 8])
async def test_a_create_cancelled_at_any_time_leaves_nothing(
    docker: Docker, label: str, milliseconds: int, named: bool
) -> None:
    made: list[Volume] = []

    async def create() -> None:
        made.append(await docker.volumes.create(label if named else None, labels={label: ""}))

    async with create_task_group() as tasks:
        tasks.start_soon(create)
        await sleep(milliseconds / 1000)
        tasks.cancel_scope.cancel()
    assert await left(docker, label) == made
    for volume in made:
        await volume.remove()


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 4, 8])
async def test_a_cancelled_create_keeps_what_was_there(
    docker: Docker, volume: Volume, label: str, milliseconds: int
) -> None:
    async with create_task_group() as tasks:
        tasks.start_soon(docker.volumes.create, volume.name)
        await sleep(milliseconds / 1000)
        tasks.cancel_scope.cancel()
    assert await sh(docker, volume, "cat /data/file") == label


# -- the disk


def items(document: Any, kind: str) -> list[Any]:
    """What takes up the disk, one by one, in the form of the version that is spoken."""
    listed = document[f"{kind}s"] if f"{kind}s" in document else document[f"{kind}Usage"]["Items"]
    return listed or []


async def test_df(docker: Docker, volume: Volume) -> None:
    await sh(docker, volume, "dd if=/dev/zero of=/data/file bs=1k count=100")
    container = await docker.containers.create("busybox", ["true"], mounts=[Mount("/data", volume.name)])
    document = await docker.df(verbose=docker.speaks("1.52"))
    await container.remove()
    [found] = [one for one in items(document, "Volume") if one["Name"] == volume.name]
    assert found["UsageData"]["RefCount"] == 1
    assert found["UsageData"]["Size"] >= 100 * 1024
    assert container.id in {one["Id"] for one in items(document, "Container")}
    assert "busybox:latest" in {tag for one in items(document, "Image") for tag in one["RepoTags"] or ()}


async def test_df_of_some_types(docker: Docker) -> None:
    if docker.speaks("1.42"):
        document = await docker.df(types=["volume"])
        assert {"Images", "ImageUsage"}.isdisjoint(key for key, value in document.items() if value)
    else:
        with pytest.raises(UnsupportedByEngine, match="types"):
            await docker.df(types=["volume"])
