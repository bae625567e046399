"""Proxies of ``config.json``, beside what the command line makes of the same file."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import run_sync

import anydocker
from anydocker import Docker

pytestmark = [pytest.mark.anyio, pytest.mark.live]

CLI = Callable[..., Awaitable[str]]
PROXIES = {
    "httpProxy": "http://proxy.example:3128",
    "httpsProxy": "http://proxy.example:3129",
    "noProxy": "localhost,.example",
    "ftpProxy": "",
    "allProxy": "socks5://proxy.example",
}


@pytest.fixture
async def tag(docker: Docker, label: str) -> AsyncGenerator[str, None]:
    """A name for images, which are removed after the test."""
    yield label
    for image in await docker.images.list(filters={"reference": f"{label}*"}):
        await image.remove(force=True)


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
    text = "FROM busybox\nRUN env | grep -i proxy | sort > /proxies\n"
    context = tmp_path / "context"
    await run_sync(context.mkdir)
    await run_sync((context / "Dockerfile").write_text, text)
    arguments = ("--build-arg", "https_proxy=mine", "--network", "none", "--no-cache", "--tag", f"{tag}-theirs")
    await cli("build", *arguments, str(context))
    buildargs = {"https_proxy": "mine"}
    await client.images.build(
        dockerfile_text=text, buildargs=buildargs, network="none", no_cache=True, tags=[f"{tag}-ours"]
    )
    await client.images.build(
        dockerfile_text=text, buildargs=buildargs, network="none", tags=[f"{tag}-kit"], builder="buildkit"
    )
    found = [
        (await client.containers.run(f"{tag}-{name}", ["cat", "/proxies"], network="none")).stdout.decode()
        for name in ("theirs", "ours", "kit")
    ]
    assert found[0] == found[1]
    assert {"https_proxy=mine", "HTTPS_PROXY=http://proxy.example:3129"} < {*found[0].splitlines()}
    # To BuildKit both are one.
    assert {"https_proxy=mine", "HTTPS_PROXY=mine", "no_proxy=localhost,.example"} < {*found[2].splitlines()}


async def test_replace_does_not_look_at_them(client: Docker, label: str, tmp_path: Path) -> None:
    first = await client.containers.replace("busybox", ["true"], name=label)
    await run_sync((tmp_path / "config.json").write_text, "{}")
    async with anydocker.connect(client.endpoint.url) as other:
        assert await other.containers.replace("busybox", ["true"], name=label) == first
    await first.remove()
