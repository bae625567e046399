from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import run_sync

from anydocker import (
    BadRequest,
    BuildFailed,
    BuildLimits,
    Credentials,
    Docker,
    EngineFault,
    NotFound,
    Ulimit,
)
from anydocker.testing import PrivateEngine, Registry
from tests.helpers import Pieces, cut, tar_of
from tests.live.file_server import file_server
from tests.live.helpers import shown

pytestmark = [pytest.mark.anyio, pytest.mark.live]

MIB = 1024 * 1024
RUNNING = " ---> Running in "


async def step_host_config(docker: Docker, text: str, **options: Any) -> dict[str, Any]:
    """The ``HostConfig`` of the container that runs a step, as the engine has it while the step runs."""
    async with docker.images.open_build(dockerfile_text=f"{text}\nRUN sleep 1000", no_cache=True, **options) as events:
        async for event in events:
            if event.text.startswith(RUNNING):
                container = docker.containers.container(event.text.removeprefix(RUNNING).strip())
                return {**(await container.inspect())["HostConfig"]}
    raise AssertionError(events.log)


# -- what a step may use


async def test_limits(docker: Docker) -> None:
    limits = BuildLimits(
        memory=64 * MIB,
        memory_swap=128 * MIB,
        shm_size=3 * MIB,
        cpu_shares=512,
        cpu_period=50_000,
        cpu_quota=25_000,
        cpuset_cpus="0",
        cpuset_mems="0",
        cgroup_parent="/anydocker-test",
        ulimits=[Ulimit("nofile", 123, 456), Ulimit("core", 0)],
    )
    host = await step_host_config(docker, "FROM busybox", limits=limits, network="none")
    assert (host["Memory"], host["MemorySwap"], host["ShmSize"]) == (64 * MIB, 128 * MIB, 3 * MIB)
    assert (host["CpuShares"], host["CpuPeriod"], host["CpuQuota"]) == (512, 50_000, 25_000)
    assert (host["CpusetCpus"], host["CpusetMems"]) == ("0", "0")
    assert host["CgroupParent"] == "/anydocker-test"
    assert host["Ulimits"] == [
        {"Name": "nofile", "Soft": 123, "Hard": 456},
        {"Name": "core", "Soft": 0, "Hard": 0},
    ]


async def test_limits_in_effect(docker: Docker, tag: str) -> None:
    limits = BuildLimits(shm_size=3 * MIB, ulimits=[Ulimit("nofile", 123, 456)])
    text = f"FROM busybox\nRUN (ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -1) > /{tag}"
    await docker.images.build(dockerfile_text=text, tags=[tag], limits=limits, network="none")
    soft, hard, shm = (await shown(docker, tag, "cat", f"/{tag}")).splitlines()
    assert (soft, hard, shm.split()[1]) == ("123", "456", "3072")


async def test_a_step_that_needs_more_memory(docker: Docker) -> None:
    limits = BuildLimits(memory=16 * MIB, memory_swap=16 * MIB)
    with pytest.raises(BuildFailed, match="137") as caught:
        await docker.images.build(dockerfile_text="FROM busybox\nRUN tail /dev/zero", limits=limits, network="none")
    assert caught.value.code == 137


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (BuildLimits(isolation="nonsense"), "(?i)isolation"),
        (BuildLimits(memory=1), "(?i)memory"),
        (BuildLimits(cpuset_cpus="none"), "(?i)cpu"),
    ],
)
async def test_limits_the_engine_refuses(docker: Docker, limits: BuildLimits, message: str) -> None:
    with pytest.raises((BadRequest, EngineFault, BuildFailed), match=message):
        await docker.images.build(dockerfile_text="FROM busybox\nRUN true", limits=limits, no_cache=True)


# -- the network of a step


async def test_extra_hosts(docker: Docker, tag: str) -> None:
    hosts = {"db.example": "10.1.2.3", "six.example": "fd00::1"}
    text = f"FROM busybox\nRUN cat /etc/hosts > /{tag}"
    await docker.images.build(dockerfile_text=text, tags=[tag], extra_hosts=hosts, network="none")
    assert {"10.1.2.3\tdb.example", "fd00::1\tsix.example"} <= {
        *(await shown(docker, tag, "cat", f"/{tag}")).splitlines()
    }


async def test_the_network_of_a_container(docker: Docker, tag: str) -> None:
    text = f"FROM busybox\nRUN readlink /proc/self/ns/net > /{tag}"
    async with docker.containers.open_run("busybox", ["sleep", "1000"], network="none") as container:
        expected = (await container.exec(["readlink", "/proc/self/ns/net"])).stdout.decode()
        network = f"container:{container.id}"
        await docker.images.build(dockerfile_text=text, tags=[tag], network=network)
    assert await shown(docker, tag, "cat", f"/{tag}") == expected


@pytest.mark.parametrize("network", ["none", "host"])
async def test_network(docker: Docker, network: str) -> None:
    assert (await step_host_config(docker, "FROM busybox", network=network))["NetworkMode"] == network


async def test_a_network_that_is_none(docker: Docker) -> None:
    with pytest.raises((BuildFailed, BadRequest), match="no-such-network"):
        await docker.images.build(dockerfile_text="FROM busybox\nRUN true", network="no-such-network", no_cache=True)


# -- stages, arguments, cache


@pytest.mark.parametrize(("target", "number"), [("first", "1"), ("second", "2"), (None, "3")])
async def test_target(docker: Docker, tag: str, target: str | None, number: str) -> None:
    text = "FROM busybox AS first\nENV N=1\nFROM first AS second\nENV N=2\nFROM busybox\nENV N=3\n"
    image = await docker.images.build(dockerfile_text=text, target=target, tags=[tag])
    assert f"N={number}" in ((await image.inspect())["Config"]["Env"] or ())


async def test_an_argument_without_a_value_leaves_the_default(docker: Docker, tag: str) -> None:
    text = f"FROM busybox\nARG A=default\nARG B=default\nRUN echo $A $B > /{tag}"
    await docker.images.build(dockerfile_text=text, buildargs={"A": None, "B": ""}, tags=[tag], network="none")
    assert await shown(docker, tag, "cat", f"/{tag}") == "default\n"


async def test_proxies_need_no_declaration(docker: Docker, tag: str) -> None:
    text = f"FROM busybox\nRUN echo $HTTP_PROXY $no_proxy > /{tag}"
    proxies = {"HTTP_PROXY": "http://proxy.example", "no_proxy": "localhost"}
    await docker.images.build(dockerfile_text=text, buildargs=proxies, tags=[tag], network="none")
    assert await shown(docker, tag, "cat", f"/{tag}") == "http://proxy.example localhost\n"


async def test_cache_from(docker: Docker, tag: str) -> None:
    text = f"FROM busybox\nRUN head -c 8 /dev/urandom | md5sum > /{tag}"
    first = await docker.images.build(dockerfile_text=text, tags=[tag], network="none")
    again = await docker.images.build(dockerfile_text=text, cache_from=[tag], network="none")
    other = await docker.images.build(dockerfile_text=text, cache_from=["busybox"], network="none")
    assert again.id == first.id
    assert "Using cache" in (again.log or "")
    assert other.id != first.id
    assert "Using cache" not in (other.log or "")
    await other.remove()


# -- the containers of steps


async def left_behind(docker: Docker, label: str) -> int:
    """Count the containers of steps, and remove them."""
    containers = await docker.containers.list(all=True, filters={"label": label})
    for container in containers:
        await container.remove()
    return len(containers)


@pytest.mark.parametrize("rm", [True, False])
async def test_rm(docker: Docker, tag: str, *, rm: bool) -> None:
    text = f"FROM busybox\nLABEL {tag}=1\nRUN true"
    await docker.images.build(dockerfile_text=text, tags=[tag], rm=rm, force_rm=False, network="none")
    assert (await left_behind(docker, tag) == 0) is rm


@pytest.mark.parametrize("force_rm", [True, False])
async def test_force_rm(docker: Docker, tag: str, *, force_rm: bool) -> None:
    text = f"FROM busybox\nLABEL {tag}=1\nRUN false"
    with pytest.raises(BuildFailed):
        await docker.images.build(dockerfile_text=text, force_rm=force_rm, network="none")
    assert (await left_behind(docker, tag) == 0) is force_rm


async def test_squash(docker: Docker, tag: str) -> None:
    text = f"FROM busybox\nRUN echo 1 > /{tag}\nRUN echo 2 > /{tag}"
    if (await docker.ping()).experimental:
        image = await docker.images.build(dockerfile_text=text, squash=True, tags=[tag], network="none")
        base = await docker.images.get("busybox")
        layers = [len((await one.inspect())["RootFS"]["Layers"] or ()) for one in (base, image)]
        assert layers[1] == layers[0] + 1
    else:
        with pytest.raises(BadRequest, match="experimental"):
            await docker.images.build(dockerfile_text=text, squash=True)


async def test_a_platform_that_is_none(docker: Docker) -> None:
    with pytest.raises(BadRequest, match="nonsense"):
        await docker.images.build(dockerfile_text="FROM busybox", platform="nonsense")


# -- a context the engine fetches


FILES = {"Dockerfile": "FROM busybox\nCOPY a /a\n", "other": "FROM busybox\nCOPY a /b\n", "a": "A"}


@pytest.mark.parametrize(("compress", "ending"), [(bytes, ""), (gzip.compress, ".gz"), (lzma.compress, ".xz")])
async def test_a_tar_behind_a_url(
    docker: Docker,
    anydocker_engine: PrivateEngine | None,
    tag: str,
    tmp_path: Path,
    compress: Callable[[bytes], bytes],
    ending: str,
) -> None:
    await run_sync((tmp_path / f"context.tar{ending}").write_bytes, compress(tar_of(FILES)))
    async with file_server(anydocker_engine, tmp_path) as url:
        remote = f"{url}/context.tar{ending}"
        await docker.images.build(remote=remote, tags=[tag])
        await docker.images.build(remote=remote, dockerfile="other", tags=[f"{tag}-other"])
        with pytest.raises((BuildFailed, BadRequest, EngineFault), match="none"):
            await docker.images.build(remote=remote, dockerfile="none")
    assert await shown(docker, tag, "cat", "/a") == "A"
    assert await shown(docker, f"{tag}-other", "cat", "/b") == "A"


async def test_a_dockerfile_behind_a_url(
    docker: Docker, anydocker_engine: PrivateEngine | None, tag: str, tmp_path: Path
) -> None:
    await run_sync((tmp_path / "file").write_text, f"FROM busybox\nRUN echo {tag} > /made\n")
    async with file_server(anydocker_engine, tmp_path) as url:
        image = await docker.images.build(remote=f"{url}/file", tags=[tag], network="none")
    assert "Step 2/2" in (image.log or "")
    assert await shown(docker, tag, "cat", "/made") == f"{tag}\n"


async def test_nothing_behind_a_url(docker: Docker, anydocker_engine: PrivateEngine | None, tmp_path: Path) -> None:
    async with file_server(anydocker_engine, tmp_path) as url:
        with pytest.raises((NotFound, BadRequest, EngineFault), match="404"):
            await docker.images.build(remote=f"{url}/none.tar")


# -- a repository the engine fetches

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example", "-c", "init.defaultBranch=main")
SUBDIRECTORY = {
    "sub/Dockerfile": "FROM busybox\nCOPY a /a\n",
    "sub/docker/file": "FROM busybox\nCOPY a /b\n",
    "sub/a": "A",
}


def make_repository(directory: Path) -> None:
    """A repository that any server of files can serve: one commit on ``main``, with the tag ``v1``."""
    tree = directory / "tree"
    for name, text in {**SUBDIRECTORY, "a": "root", "Dockerfile": "FROM busybox\nCOPY a /a\n"}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "sub" / "outside").symlink_to("/etc/passwd")
    for words in (["init"], ["add", "."], ["commit", "-m", "all"], ["tag", "v1"]):
        subprocess.run([*GIT, *words], cwd=tree, check=True, capture_output=True)
    repository = directory / "app.git"
    subprocess.run([*GIT, "clone", "--bare", str(tree), str(repository)], check=True, capture_output=True)
    subprocess.run([*GIT, "update-server-info"], cwd=repository, check=True, capture_output=True)


@pytest.fixture
async def repository(anydocker_engine: PrivateEngine | None, tmp_path: Path) -> AsyncGenerator[str, None]:
    """The URL of a git repository that the engine reaches."""
    await run_sync(make_repository, tmp_path)
    async with file_server(anydocker_engine, tmp_path) as url:
        yield f"{url}/app.git"


async def test_a_repository(docker: Docker, tag: str, repository: str) -> None:
    await docker.images.build(remote=repository + "#main", tags=[tag])
    assert await shown(docker, tag, "cat", "/a") == "root"
    await docker.images.build(remote=repository + "#v1:sub", tags=[tag])
    assert await shown(docker, tag, "cat", "/a") == "A"
    await docker.images.build(remote=repository + "#main:sub", dockerfile="docker/file", tags=[tag])
    assert await shown(docker, tag, "cat", "/b") == "A"
    await docker.images.build(remote=repository + "#main", tags=[tag], builder="buildkit")
    assert await shown(docker, tag, "cat", "/a") == "root"


@pytest.mark.parametrize(
    ("fragment", "dockerfile", "message"),
    [
        ("#main:no-such-directory", None, "no-such-directory"),
        ("#no-such-branch", None, "no-such-branch"),
        ("#main:sub", "no-such-file", "no-such-file"),
        ("#main:sub", "outside", "(?i)dockerfile|outside|/etc/passwd"),
        ("#main:../../..", None, "(?i)forbidden|outside|context|directory"),
    ],
)
async def test_what_a_repository_does_not_have(
    docker: Docker, repository: str, fragment: str, dockerfile: str | None, message: str
) -> None:
    with pytest.raises((BadRequest, BuildFailed, EngineFault), match=message):
        await docker.images.build(remote=repository + fragment, dockerfile=dockerfile)


@pytest.mark.parametrize("dockerfile", ["../Dockerfile", "/etc/passwd", "docker/../../Dockerfile"])
async def test_a_dockerfile_outside_of_a_repository(docker: Docker, repository: str, dockerfile: str) -> None:
    with pytest.raises(ValueError, match=r"dockerfile='.*': of a remote context, the Dockerfile is inside it"):
        await docker.images.build(remote=repository + "#main:sub", dockerfile=dockerfile)


# -- a tar as a file or a stream


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
async def test_a_tar_in_a_file(docker: Docker, tag: str, tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    await run_sync((tmp_path / "context").write_bytes, compress(tar_of({**FILES, "a": "A" * 50_000})))
    with (tmp_path / "context").open("rb") as file:
        await docker.images.build(file, dockerfile="other", tags=[tag])
        assert not file.closed
    assert await shown(docker, tag, "cat", "/b") == "A" * 50_000


async def test_a_tar_in_memory(docker: Docker, tag: str) -> None:
    await docker.images.build(io.BytesIO(tar_of(FILES)), tags=[tag])
    assert await shown(docker, tag, "cat", "/a") == "A"


async def test_a_compressed_stream(docker: Docker, tag: str) -> None:
    await docker.images.build(Pieces(*cut(gzip.compress(tar_of(FILES)))), tags=[tag])
    assert await shown(docker, tag, "cat", "/a") == "A"


# -- private base images


@pytest.fixture
async def private_base(docker: Docker, closed_registry: Registry, tag: str) -> AsyncGenerator[str, None]:
    """The name of an image in a registry with a password, which the engine does not have."""
    assert closed_registry.credentials is not None
    username, password = closed_registry.credentials
    name = f"{closed_registry.address}/{tag}"
    image = await docker.images.build(dockerfile_text=f"FROM busybox\nLABEL base={tag}", tags=[name])
    await docker.images.push(name, auth=Credentials(username=username, password=password))
    await image.remove(force=True)
    yield name
    if await docker.images.list(filters={"reference": name}):
        await docker.images.image(name).remove()


async def test_credentials_for_a_private_base_image(
    docker: Docker, closed_registry: Registry, tag: str, private_base: str
) -> None:
    assert closed_registry.credentials is not None
    username, password = closed_registry.credentials
    auth = {closed_registry.address: Credentials(username=username, password=password)}
    image = await docker.images.build(dockerfile_text=f"FROM {private_base}\nENV A=1", tags=[tag], auth=auth)
    assert ((await image.inspect())["Config"]["Labels"] or {})["base"] == tag


@pytest.mark.parametrize("password", [None, "wrong"])
async def test_a_private_base_image_without_the_right_credentials(
    docker: Docker, closed_registry: Registry, private_base: str, password: str | None
) -> None:
    auth = {closed_registry.address: Credentials(username="alice", password=password)} if password else {}
    with pytest.raises(BuildFailed, match="(?i)no basic auth credentials|unauthorized|denied|authentication required"):
        await docker.images.build(dockerfile_text=f"FROM {private_base}", auth=auth)
