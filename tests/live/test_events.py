from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from anyio import EndOfStream, create_task_group, fail_after

from anydocker import BadRequest, Container, Docker, EngineFault, Event
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]


async def test_the_life_of_a_container(docker: Docker, label: str) -> None:
    async with docker.open_events(filters={"type": "container", "label": label}) as events:
        container = await docker.containers.create(
            "busybox", ["sh", "-c", "exit 3"], labels={label: "ä"}, network="none"
        )
        await container.start()
        await container.wait()
        await container.remove()
        seen = [await events.receive() for _ in range(4)]
    assert [event.action for event in seen] == ["create", "start", "die", "destroy"]
    assert {(event.type, event.id) for event in seen} == {("container", container.id)}
    assert seen[2].attributes["exitCode"] == "3"
    assert {event.attributes[label] for event in seen} == {"ä"}
    assert [event.time_ns for event in seen] == sorted(event.time_ns for event in seen)
    assert [event.time for event in seen] == [event.time_ns / 1e9 for event in seen]
    assert docker.statistics().open_streams == 0


async def test_several_values_of_a_filter(docker: Docker, label: str) -> None:
    async with docker.open_events(filters={"event": ["start", "die"], "label": {label: "yes"}}) as events:
        await docker.containers.run("busybox", ["true"], labels={label: "no"}, network="none")
        await docker.containers.run("busybox", ["true"], labels={label: "yes"}, network="none")
        assert [(await events.receive()).action for _ in range(2)] == ["start", "die"]


async def test_events_of_images(docker: Docker, label: str) -> None:
    async with docker.open_events(filters={"type": "image"}) as events:
        await docker.images.image("busybox").tag(label)
        await docker.images.image(label).remove()
        tagged, untagged = await events.receive(), await events.receive()
    assert (tagged.type, tagged.action, tagged.attributes["name"]) == ("image", "tag", f"{label}:latest")
    assert untagged.action == "untag"


async def test_events_of_commands(docker: Docker, sleeper: Container) -> None:
    async with docker.open_events(filters={"container": sleeper.id}) as events:
        await sleeper.exec(["true"])
        actions = [(await events.receive()).action.strip() for _ in range(3)]
    assert actions == ["exec_create: true", "exec_start: true", "exec_die"]


@pytest.mark.parametrize("kind", ["seconds", "datetime"])
async def test_events_of_the_past(docker: Docker, label: str, cli: CLI, kind: str) -> None:
    began = time.time() - 1
    await docker.containers.run("busybox", ["true"], labels={label: ""}, network="none")
    until = time.time() + 1
    since = began if kind == "seconds" else datetime.fromtimestamp(began, UTC)
    filters = {"label": label}
    async with docker.open_events(since=since, until=until, filters=filters) as events:
        seen = [event async for event in events]
    shown = await cli(
        "events", "--since", str(began), "--until", str(until), "--filter", f"label={label}", "--format", "{{.Action}}"
    )
    assert [event.action for event in seen] == shown.splitlines()
    assert [event.action for event in seen][:1] == ["create"]


async def test_until_is_an_end(docker: Docker) -> None:
    async with docker.open_events(since=1, until=2) as events:
        assert await events.receive_many() == []
        with pytest.raises(EndOfStream):
            await events.receive()


async def test_a_cancelled_receive_loses_nothing(docker: Docker, label: str) -> None:
    async with docker.open_events(filters={"type": "image", "event": "tag"}) as events:
        for n in range(4):
            with pytest.raises(TimeoutError), fail_after(0.001 * n):
                await events.receive()
            await docker.images.image("busybox").tag(f"{label}:{n}")
            assert (await events.receive()).attributes["name"] == f"{label}:{n}"
            await docker.images.image(f"{label}:{n}").remove()


async def test_events_start_with_the_block(docker: Docker, label: str) -> None:
    for n in range(10):
        async with docker.open_events(filters={"type": "image", "event": "tag"}) as events:
            await docker.images.image("busybox").tag(f"{label}:{n}")
            assert (await events.receive()).attributes["name"] == f"{label}:{n}"
        await docker.images.image(f"{label}:{n}").remove()


async def test_two_readers_with_a_stream_each(docker: Docker, label: str) -> None:
    found: list[Event] = []

    async def read() -> None:
        async with docker.open_events(since=began, filters={"type": "image", "event": "untag"}) as events:
            found.append(await events.receive())

    began = time.time()
    async with create_task_group() as group:
        group.start_soon(read)
        group.start_soon(read)
        await docker.images.image("busybox").tag(label)
        await docker.images.image(label).remove()
    assert found[0] == found[1]
    assert found[0].action == "untag"


async def test_bad_arguments(docker: Docker) -> None:
    with pytest.raises(ValueError, match="time zone"):
        async with docker.open_events(since=datetime(2020, 1, 1)):
            raise AssertionError
    with pytest.raises(ValueError, match="until"):
        async with docker.open_events(until=-1):
            raise AssertionError
    with pytest.raises(TypeError, match="since"):
        async with docker.open_events(since="now"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            raise AssertionError
    with pytest.raises(TypeError, match="type"):
        async with docker.open_events(filters={"type": 1.5}):  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
            raise AssertionError
    now = datetime.now(UTC)
    with pytest.raises((BadRequest, EngineFault)):
        async with docker.open_events(since=now, until=now - timedelta(hours=1)):
            raise AssertionError
