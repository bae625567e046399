from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from anydocker import Container, ContainerOptions, Docker, Image, Mount, NotFound

pytestmark = [pytest.mark.anyio, pytest.mark.live]

WAITS = ["sleep", "86400"]
ARGUMENTS: dict[str, Any] = {
    "entrypoint": ["env"],
    "env": {"A": "1", "B": None},
    "labels": {"role": "db"},
    "user": "1:1",
    "workdir": "/tmp",
    "tty": True,
    "stdin": True,
    "ports": {80: None},
    "mounts": [Mount("/m")],
    "network": "none",
    "platform": "linux/amd64",
    "options": ContainerOptions(memory=64 << 20),
    "config": {"Hostname": "box"},
}
OTHERS: list[dict[str, Any]] = [
    {"entrypoint": None},
    {"env": {"A": "2"}},
    {"labels": {}},
    {"user": None},
    {"workdir": "/"},
    {"tty": False},
    {"stdin": False},
    {"ports": {80: 8080}},
    {"mounts": ()},
    {"network": "host"},
    {"platform": None},
    {"options": ContainerOptions(memory=65 << 20)},
    {"config": None},
]


@pytest.fixture
async def name(docker: Docker, label: str) -> AsyncGenerator[str, None]:
    yield label
    for container in await docker.containers.list(all=True, filters={"name": label}):
        await container.remove(force=True, volumes=True)


async def test_there_was_none(docker: Docker, name: str) -> None:
    container = await docker.containers.replace("busybox", WAITS, name=name, **ARGUMENTS)
    document = await container.inspect()
    assert (container.name, document["Name"]) == (name, f"/{name}")
    assert document["State"]["Status"] == "created"
    assert (document["Config"]["Cmd"], document["Config"]["User"]) == (WAITS, "1:1")
    assert (document["Config"]["Labels"] or {})["role"] == "db"


async def test_the_same_stays(docker: Docker, name: str) -> None:
    first = await docker.containers.replace("busybox", WAITS, name=name, **ARGUMENTS)
    assert await docker.containers.replace("busybox", WAITS, name=name, **ARGUMENTS) == first
    await first.start()
    again = await docker.containers.replace("busybox", WAITS, name=name, grace_seconds=0, **ARGUMENTS)
    assert again == first
    assert (await first.inspect())["State"]["Running"] is True


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: next(iter(other)))
async def test_another_is_new(docker: Docker, name: str, other: dict[str, Any]) -> None:
    first = await docker.containers.replace("busybox", WAITS, name=name, **ARGUMENTS)
    second = await docker.containers.replace("busybox", WAITS, name=name, **ARGUMENTS | other)
    await is_replaced(first, second, name)


def test_every_argument_is_tried() -> None:
    assert {key for other in OTHERS for key in other} == ARGUMENTS.keys()


async def is_replaced(first: Container, second: Container, name: str) -> None:
    assert second != first
    assert (await second.inspect())["Name"] == f"/{name}"
    with pytest.raises(NotFound):
        await first.inspect()


async def test_another_command_is_new(docker: Docker, name: str) -> None:
    first = await docker.containers.replace("busybox", WAITS, name=name)
    await is_replaced(first, await docker.containers.replace("busybox", [*WAITS, "1"], name=name), name)


async def test_what_the_name_of_the_image_stands_for_now(docker: Docker, name: str) -> None:
    async def build(number: int) -> Image:
        text = f"FROM busybox\nENV N={number}\nLABEL a={name}"
        return await docker.images.build(dockerfile_text=text, tags=[name])

    old = await build(1)
    first = await docker.containers.replace(name, WAITS, name=name)
    assert await docker.containers.replace(name, WAITS, name=name) == first
    new = await build(2)
    second = await docker.containers.replace(name, WAITS, name=name)
    await is_replaced(first, second, name)
    assert "N=2" in ((await second.inspect())["Config"]["Env"] or ())
    await second.remove()
    for image in (old, new):
        await image.remove(force=True)


async def test_one_that_runs_is_stopped_not_killed(docker: Docker, name: str) -> None:
    await docker.request("POST", "/volumes/create", json={"Name": name})
    script = "trap 'echo stopped > /v/said; exit' TERM; touch /v/ready; while :; do sleep 1000 & wait $!; done"
    mounts = [Mount("/v", name), Mount("/unnamed")]
    first = await docker.containers.replace("busybox", ["sh", "-c", script], name=name, mounts=mounts)
    await first.start()
    while (await first.exec(["test", "-f", "/v/ready"], check=False)).exit_code:
        continue
    found = (await first.inspect())["Mounts"] or []
    unnamed = next(mount["Name"] for mount in found if mount["Destination"] == "/unnamed")
    second = await docker.containers.replace("busybox", ["cat", "/v/said"], name=name, mounts=mounts)
    await is_replaced(first, second, name)
    await second.start()
    assert await second.wait() == 0
    assert (await second.logs()).stdout == b"stopped\n"
    with pytest.raises(NotFound):
        await docker.request("GET", f"/volumes/{unnamed}")
    await second.remove(volumes=True)
    await docker.request("DELETE", f"/volumes/{name}")


async def test_one_that_was_made_otherwise(docker: Docker, name: str) -> None:
    first = await docker.containers.create("busybox", WAITS, name=name)
    await is_replaced(first, await docker.containers.replace("busybox", WAITS, name=name), name)


async def test_one_that_only_begins_with_the_name(docker: Docker, name: str) -> None:
    other = await docker.containers.create("busybox", WAITS, name=f"{name}-b")
    await docker.containers.replace("busybox", WAITS, name=name)
    assert (await other.inspect())["Name"] == f"/{name}-b"


async def test_an_unknown_image_leaves_the_old_one(docker: Docker, name: str) -> None:
    first = await docker.containers.replace("busybox", WAITS, name=name)
    with pytest.raises(NotFound, match="no-such-image"):
        await docker.containers.replace("no-such-image", WAITS, name=name)
    assert (await first.inspect())["Name"] == f"/{name}"
