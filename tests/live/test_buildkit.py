from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync

from anydocker import (
    BuildEvent,
    BuildFailed,
    BuildLimits,
    BuildOutput,
    BuildStep,
    Docker,
    EngineFault,
    NotFound,
    Ulimit,
    UnsupportedByEngine,
)
from anydocker.testing import PrivateEngine
from tests.live.file_server import file_server
from tests.live.helpers import CLI, shown

pytestmark = [pytest.mark.anyio, pytest.mark.live]

# -- what it builds


async def test_from_text(docker: Docker, tag: str, cli: CLI) -> None:
    text = f"FROM busybox\nRUN echo {tag} > /made; echo making; echo ünd >&2\n"
    events: list[BuildEvent] = []
    image = await docker.images.build(
        dockerfile_text=text, tags=[tag], network="none", builder="buildkit", progress=events.append
    )
    assert (image.name, image.id) == (tag, await cli("image", "inspect", "--format", "{{.Id}}", tag))
    assert await shown(docker, tag, "cat", "/made") == f"{tag}\n"
    logs = [log for event in events if event.trace for log in event.trace.logs]
    assert sorted((log.stream, log.data.decode()) for log in logs) == [("stderr", "ünd\n"), ("stdout", "making\n")]
    assert "making\n" in "".join(event.text for event in events)
    assert image.log is not None
    assert {"making", "ünd", f"[2/2] RUN echo {tag} > /made; echo making; echo ünd >&2"} < {*image.log.splitlines()}
    assert [event.image_id for event in events if event.image_id] == [image.id]


async def test_the_steps(docker: Docker, tag: str) -> None:
    text = f"FROM busybox\nRUN echo {tag}\n"
    steps: dict[str, BuildStep] = {}
    async with docker.images.open_build(dockerfile_text=text, network="none", builder="buildkit") as events:
        async for event in events:
            steps |= {step.digest: step for step in (event.trace.steps if event.trace else ())}
    run = next(step for step in steps.values() if "RUN echo" in step.name)
    assert [steps[digest].name.partition(" ")[0] for digest in run.inputs] == ["[1/2]"]
    assert all(step.completed is not None and step.started is not None for step in steps.values())
    assert (run.cached, run.error) == (False, "")
    again = await docker.images.build(dockerfile_text=text, network="none", builder="buildkit", tags=[tag])
    assert again.id == events.image_id
    assert f"CACHED {run.name}\n" in (again.log or "")
    anew = await docker.images.build(
        dockerfile_text=text, network="none", builder="buildkit", tags=[tag], no_cache=True
    )
    assert run.name in (anew.log or "")
    assert f"CACHED {run.name}\n" not in (anew.log or "")


async def test_from_a_directory(docker: Docker, tag: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY . /context/\n")
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / ".dockerignore").write_text("secret\nDockerfile\n")
    await docker.images.build(tmp_path, tags=[tag], builder="buildkit")
    assert "secret" not in await shown(docker, tag, "find", "/context")
    assert await shown(docker, tag, "cat", "/context/kept") == "kept"


async def test_options(docker: Docker, tag: str) -> None:
    text = (
        "FROM busybox AS first\nARG WHO=nobody\nARG UNSET=default\nRUN cat /etc/hosts > /hosts\n"
        'RUN echo "$WHO/$UNSET" > /who\nRUN (ls /sys/class/net | grep eth || echo no network) > /links\n'
        "FROM nowhere.invalid/never AS second\nRUN false\n"
    )
    image = await docker.images.build(
        dockerfile_text=text,
        builder="buildkit",
        target="first",
        buildargs={"WHO": "ä b", "UNSET": None},
        labels={"one": "1"},
        extra_hosts={"db.example": "10.1.2.3"},
        network="none",
        tags=[tag, f"{tag}-b:1.0"],
    )
    document = await image.inspect()
    assert document["Config"]["Labels"] == {"one": "1"}
    assert sorted(document["RepoTags"] or ()) == [f"{tag}-b:1.0", f"{tag}:latest"]
    files = await shown(docker, tag, "cat", "/hosts", "/who", "/links")
    assert "10.1.2.3\tdb.example\nä b/default\nno network\n" in files


async def test_a_platform(docker: Docker, tag: str) -> None:
    text = f"FROM scratch\nLABEL tag={tag}\n"
    image = await docker.images.build(
        dockerfile_text=text, builder="buildkit", platform="linux/arm64", network="none", tags=[tag]
    )
    assert (await image.inspect())["Architecture"] == "arm64"


async def test_a_cache_mount_keeps_its_files(docker: Docker, tag: str) -> None:
    mount = f"--mount=type=cache,id={tag},target=/cache"
    first = f"FROM busybox\nRUN {mount} echo {tag} > /cache/kept\n"
    second = f"FROM busybox\nRUN {mount} cp /cache/kept /copy\n"
    await docker.images.build(dockerfile_text=first, builder="buildkit", network="none", tags=[tag])
    await docker.images.build(dockerfile_text=second, builder="buildkit", network="none", tags=[tag])
    assert await shown(docker, tag, "cat", "/copy") == f"{tag}\n"


async def test_a_dockerfile_behind_a_url(
    docker: Docker, anydocker_engine: PrivateEngine | None, tag: str, tmp_path: Path
) -> None:
    await run_sync((tmp_path / "file").write_text, f"FROM busybox\nENV A={tag}\n")
    async with file_server(anydocker_engine, tmp_path) as url:
        image = await docker.images.build(remote=f"{url}/file", tags=[tag], builder="buildkit")
    assert f"A={tag}" in ((await image.inspect())["Config"]["Env"] or ())


async def test_the_output_can_stay_in_the_cache(docker: Docker, tag: str) -> None:
    images = {image.id for image in await docker.images.list(all=True)}
    text = f"FROM busybox\nRUN echo {tag}\n"
    cached = docker.images.open_build(
        dockerfile_text=text, network="none", builder="buildkit", outputs=[BuildOutput("cacheonly")]
    )
    try:
        async with cached as events:
            assert f"{tag}\n" in "".join([event.text async for event in events])
    except EngineFault as refused:
        # Docker 26 and newer.
        assert "exporter" in refused.message  # noqa: PT017
    else:
        assert events.image_id is None
    assert {image.id for image in await docker.images.list(all=True)} == images


async def test_an_output_that_is_none(docker: Docker) -> None:
    outputs = [BuildOutput("nonsense")]
    with pytest.raises((BuildFailed, EngineFault), match="nonsense"):
        async with docker.images.open_build(
            dockerfile_text="FROM busybox", builder="buildkit", outputs=outputs
        ) as events:
            await events.receive_many()


async def test_limits_that_it_takes_or_does_not(docker: Docker, tag: str) -> None:
    limits = BuildLimits(shm_size=3 << 20, ulimits=[Ulimit("nofile", 123, 456)])
    text = f"FROM busybox\nRUN (ulimit -Sn; df -k /dev/shm | tail -1) > /{tag}\n"
    build = docker.images.build(
        dockerfile_text=text, builder="buildkit", limits=limits, network="none", tags=[tag], no_cache=True
    )
    if docker.speaks("1.45"):
        await build
        soft, shm = (await shown(docker, tag, "cat", f"/{tag}")).splitlines()
        assert (soft, shm.split()[1]) == ("123", "3072")
    else:
        with pytest.raises(UnsupportedByEngine, match="shm_size"):
            await build


# -- failures


async def test_a_failing_step(docker: Docker, tag: str) -> None:
    text = f"FROM busybox\nRUN echo about to fail {tag}; echo exit code: 5; exit 7\nRUN echo never\n"
    with pytest.raises(BuildFailed, match="exit code: 7") as caught:
        await docker.images.build(dockerfile_text=text, tags=[tag], network="none", builder="buildkit")
    assert caught.value.code == 7
    assert f"about to fail {tag}\nexit code: 5\nERROR [2/3] RUN" in caught.value.log
    assert "never\n" not in caught.value.log.replace("RUN echo never\n", "")
    assert not await docker.images.list(filters={"reference": tag})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM busybox\nRUNN true\n", "RUNN"),
        ("FROM busybox\nCOPY no-such-file /\n", "no-such-file"),
        ("FROM 127.0.0.1:1/no/such:image\n", r"127\.0\.0\.1:1"),
        ("FROM busybox AS one\nFROM two AS three\n", "(?i)target.*none"),
    ],
)
async def test_what_is_wrong_with_the_dockerfile(docker: Docker, text: str, message: str) -> None:
    target = "none" if "three" in text else None
    with pytest.raises(BuildFailed, match=message) as caught:
        await docker.images.build(dockerfile_text=text, builder="buildkit", target=target)
    assert caught.value.code is None


async def test_a_private_network_is_none_of_buildkits(docker: Docker) -> None:
    with pytest.raises(ValueError, match="network='bridge'"):
        await docker.images.build(dockerfile_text="FROM busybox", builder="buildkit", network="bridge")


# -- the end of a build that is left


def processes(marker: str) -> list[int]:
    """The processes of the machine, those in containers too, that have a word in their command line."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if marker.encode() in words:
            found.append(int(path.parent.name))
    return found


async def until(marker: str, *, runs: bool) -> None:
    while bool(await run_sync(processes, marker)) is not runs:
        await anyio.sleep(0.02)


async def test_leaving_the_block_early_kills_the_step(docker: Docker, tag: str) -> None:
    text = f'FROM busybox\nRUN ["sh", "-c", "echo up; sleep 1000; true", "{tag}"]\n'
    async with docker.images.open_build(dockerfile_text=text, network="none", builder="buildkit") as events:
        async for event in events:
            if event.text == "up\n":
                break
        await until(tag, runs=True)
    await until(tag, runs=False)


async def test_a_cancelled_build_kills_the_step(docker: Docker, tag: str) -> None:
    text = f'FROM busybox\nRUN ["sh", "-c", "echo up; sleep 1000; true", "{tag}"]\n'

    def leave(event: BuildEvent) -> None:
        if event.text == "up\n":
            scope.cancel()

    with anyio.CancelScope() as scope:
        await docker.images.build(dockerfile_text=text, network="none", builder="buildkit", tags=[tag], progress=leave)
    assert scope.cancelled_caught
    await until(tag, runs=False)
    with pytest.raises(NotFound):
        await docker.images.get(tag)
