"""Proxies of ``config.json``, beside what the command line makes of the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import run_sync

import anydocker
from anydocker import Docker
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]

PROXIES = {
    "httpProxy": "http://proxy.example:3128",
    "httpsProxy": "http://proxy.example:3129",
    "noProxy": "localhost,.example",
    "ftpProxy": "",
    "allProxy": "socks5://proxy.example",
}
# Keeps in the image what a step of the build sees.
SHOW = "FROM busybox\nRUN env | grep -i proxy > /proxies\n"


@pytest.fixture(params=["default", "engine"])
async def client(
    request: pytest.FixtureRequest, engine_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker: Docker
) -> Docker:
    """A client that finds proxies in ``config.json``: those of all engines, or of this one."""
    both = {"default": {"httpProxy": "http://other.example"}, engine_host: PROXIES}
    proxies = both if request.param == "engine" else {"default": PROXIES}
    await run_sync((tmp_path / "config.json").write_text, json.dumps({"proxies": proxies}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return docker


async def environment(docker: Docker, container_id: str) -> set[str]:
    """The variables of a container, which is removed."""
    container = docker.containers.container(container_id)
    document: dict[str, Any] = {**(await container.inspect())}
    await container.remove()
    return {*document["Config"]["Env"]}


async def proxies(docker: Docker, image: str) -> set[str]:
    """What the build of an image saw."""
    done = await docker.containers.run(image, ["cat", "/proxies"], network="none")
    return {*done.stdout.decode().splitlines()}


async def test_a_container_gets_what_the_command_line_gives(client: Docker, cli: CLI) -> None:
    theirs = await cli("create", "-e", "HTTP_PROXY=mine", "-e", "no_proxy", "-e", "A=1", "busybox", "true")
    env = {"HTTP_PROXY": "mine", "no_proxy": None, "A": "1"}
    ours = await client.containers.create("busybox", ["true"], env=env)
    found = await environment(client, ours.id)
    assert found == await environment(client, theirs)
    assert {"HTTP_PROXY=mine", "http_proxy=http://proxy.example:3128", "ALL_PROXY=socks5://proxy.example"} < found


async def test_a_command_sees_them(client: Docker) -> None:
    done = await client.containers.run("busybox", ["sh", "-c", "echo $https_proxy $NO_PROXY"], network="none")
    assert done.stdout == b"http://proxy.example:3129 localhost,.example\n"


async def test_a_build_gets_what_the_command_line_gives(
    client: Docker, cli: CLI, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    context = tmp_path / "context"
    await run_sync(context.mkdir)
    await run_sync((context / "Dockerfile").write_text, SHOW)
    arguments = ("--build-arg", "https_proxy=mine", "--network", "none", "--no-cache", "--tag", f"{tag}-theirs")
    await cli("build", *arguments, str(context))
    await client.images.build(
        dockerfile_text=SHOW, buildargs={"https_proxy": "mine"}, network="none", no_cache=True, tags=[f"{tag}-ours"]
    )
    theirs, ours = [await proxies(client, f"{tag}-{name}") for name in ("theirs", "ours")]
    assert theirs == ours
    assert {"https_proxy=mine", "HTTPS_PROXY=http://proxy.example:3129"} < ours


async def test_a_build_by_buildkit_gets_them(client: Docker, tag: str) -> None:
    await client.images.build(
        dockerfile_text=SHOW, buildargs={"https_proxy": "mine"}, network="none", tags=[tag], builder="buildkit"
    )
    # To BuildKit both are one.
    assert {"https_proxy=mine", "HTTPS_PROXY=mine", "no_proxy=localhost,.example"} < await proxies(client, tag)


async def test_replace_does_not_look_at_them(client: Docker, label: str, tmp_path: Path) -> None:
    first = await client.containers.replace("busybox", ["true"], name=label)
    await run_sync((tmp_path / "config.json").write_text, "{}")
    async with anydocker.connect(client.endpoint.url) as other:
        assert await other.containers.replace("busybox", ["true"], name=label) == first
    await first.remove()
