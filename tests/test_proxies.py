"""Proxies of ``config.json``: who gets which, and what wins."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

import anydocker
from anydocker import AuthError, ConfigError, Docker
from anydocker._proxies import find_proxies
from anydocker.testing import Request, ScriptedEngine, chunked_reply, json_reply, scripted_engine

pytestmark = pytest.mark.anyio

ALL: Final = {
    "httpProxy": "http://p:1",
    "httpsProxy": "http://p:2",
    "noProxy": "localhost",
    "ftpProxy": "http://p:3",
    "allProxy": "socks5://p:4",
}
HTTP: Final = {"HTTP_PROXY": "http://p:1", "http_proxy": "http://p:1"}
ROUTES: Final = {
    "POST /containers/create": json_reply({"Id": "1234", "Warnings": []}, 201),
    "POST /build": chunked_reply([b'{"aux":{"ID":"sha256:1"}}\r\n']),
    "GET /images/*/json": json_reply({"Id": "sha256:1"}),
    "GET /containers/*/json": json_reply({"message": "no such container"}, 404),
}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def configure(directory: Path, document: object) -> None:
    (directory / "config.json").write_text(json.dumps(document))


@asynccontextmanager
async def connected(**arguments: Any) -> AsyncGenerator[tuple[Docker, ScriptedEngine], None]:
    async with scripted_engine({**ROUTES}) as engine, anydocker.connect(engine.host, **arguments) as docker:
        engine.requests.clear()
        yield docker, engine


def environment(request: Request) -> list[str]:
    env: list[str] = json.loads(request.body).get("Env", [])
    return env


def buildargs(request: Request) -> Any:
    (text,) = parse_qs(urlsplit(request.target).query).get("buildargs", ["null"])
    return json.loads(text)


# -- the file


async def test_each_goes_under_two_names(directory: Path) -> None:
    configure(directory, {"proxies": {"default": ALL}})
    found = await find_proxies("unix:///nowhere")
    assert found == {
        "HTTP_PROXY": "http://p:1",
        "HTTPS_PROXY": "http://p:2",
        "NO_PROXY": "localhost",
        "FTP_PROXY": "http://p:3",
        "ALL_PROXY": "socks5://p:4",
        "http_proxy": "http://p:1",
        "https_proxy": "http://p:2",
        "no_proxy": "localhost",
        "ftp_proxy": "http://p:3",
        "all_proxy": "socks5://p:4",
    }


async def test_where_the_file_is(directory: Path) -> None:
    configure(directory, {"proxies": {"default": {"httpProxy": "http://p:1"}}})
    assert await find_proxies("unix:///nowhere") == HTTP
    assert await find_proxies("unix:///nowhere", environ={}, home=directory) == {}
    (directory / ".docker").mkdir()
    configure(directory / ".docker", {"proxies": {"default": {"noProxy": "x"}}})
    found = await find_proxies("unix:///nowhere", environ={}, home=directory)
    assert found == {"NO_PROXY": "x", "no_proxy": "x"}


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({}, {}),
        ({"proxies": None}, {}),
        ({"proxies": {}}, {}),
        ({"proxies": {"default": None}}, {}),
        ({"proxies": {"default": {"httpProxy": "", "httpsProxy": None, "other": 3}}}, {}),
        ({"proxies": {"tcp://other:2375": {"httpProxy": "http://p:1"}}}, {}),
        ({"proxies": {"unix:///nowhere": {"httpProxy": "http://p:1"}, "default": ALL}}, HTTP),
        ({"proxies": {"unix:///nowhere": {}, "default": ALL}}, {}),
    ],
)
async def test_what_is_found(directory: Path, document: object, found: dict[str, str]) -> None:
    configure(directory, document)
    assert await find_proxies("unix:///nowhere") == found


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "does not hold a JSON object"),
        ({"proxies": 3}, "proxies is not an object"),
        ({"proxies": {"default": "http://p"}}, "proxies.default is not an object"),
        ({"proxies": {"default": {"noProxy": ["localhost"]}}}, "proxies.default.noProxy is not a string"),
    ],
)
async def test_what_is_malformed(directory: Path, document: object, message: str) -> None:
    configure(directory, document)
    with pytest.raises(ConfigError, match=message):
        await find_proxies("unix:///nowhere")


async def test_what_cannot_be_read_is_an_error_that_shows_nothing_of_it(directory: Path) -> None:
    (directory / "config.json").write_text("{s3cret")
    async with connected() as (docker, engine):
        with pytest.raises(ConfigError, match="does not hold a JSON object") as caught:
            await docker.containers.create("a")
        assert "s3cret" not in str(caught.value)
        with pytest.raises(AuthError):
            await docker.images.build(b"tar")
        assert not engine.requests
    async with connected(use_config_proxies=False) as (docker, engine):
        await docker.containers.create("a")
        assert environment(engine.requests[0]) == []


# -- who gets them


async def test_a_container_gets_them(directory: Path) -> None:
    configure(directory, {"proxies": {"default": {"httpProxy": "http://p:1"}}})
    async with connected() as (docker, engine):
        await docker.containers.create("a", env={"A": "1"})
        await docker.containers.replace("a", name="c")
        created = [request for request in engine.requests if request.path == "/containers/create"]
        assert await docker.config_proxies() == HTTP
    expected = ["HTTP_PROXY=http://p:1", "http_proxy=http://p:1"]
    assert [environment(request) for request in created] == [["A=1", *expected], expected]


async def test_a_build_gets_them(directory: Path) -> None:
    configure(directory, {"proxies": {"default": {"httpProxy": "http://p:1"}}})
    async with connected() as (docker, engine):
        await docker.images.build(b"tar")
        await docker.images.build(b"tar", buildargs={"A": "1"}, builder="buildkit")
        first, second = engine.requests
    assert buildargs(first) == HTTP
    assert buildargs(second) == {**HTTP, "A": "1"}


async def test_what_is_given_wins_name_by_name(directory: Path) -> None:
    configure(directory, {"proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "x"}}})
    given: dict[str, str | None] = {"http_proxy": "mine", "NO_PROXY": "", "no_proxy": None}
    async with connected() as (docker, engine):
        await docker.containers.create("a", env=given)
        await docker.containers.create("a", config={"Env": ["HTTP_PROXY", "http_proxy=", "NO_PROXY", "no_proxy=y=z"]})
        await docker.containers.create("a", config={"Env": None})
        await docker.images.build(b"tar", buildargs=given)
        await docker.images.build(b"tar", buildargs=given, builder="buildkit")
        first, second, third, build, buildkit = engine.requests
    assert environment(first) == ["http_proxy=mine", "NO_PROXY=", "no_proxy", "HTTP_PROXY=http://p:1"]
    assert environment(second) == ["HTTP_PROXY", "http_proxy=", "NO_PROXY", "no_proxy=y=z"]
    assert len(environment(third)) == 4
    assert buildargs(build) == {"HTTP_PROXY": "http://p:1", **given}
    # To BuildKit the two cases of a name are one.
    assert buildargs(buildkit) == given


async def test_nobody_gets_them_who_does_not_want_them(directory: Path) -> None:
    configure(directory, {"proxies": {"default": ALL}})
    async with connected(use_config_proxies=False) as (docker, engine):
        await docker.containers.create("a", env={"A": "1"})
        await docker.images.build(b"tar")
        assert await docker.config_proxies() == {}
        create, build = engine.requests
    assert environment(create) == ["A=1"]
    assert buildargs(build) is None


async def test_the_file_is_read_once(directory: Path) -> None:
    configure(directory, {"proxies": {"default": {"httpProxy": "http://p:1"}}})
    async with connected() as (docker, engine):
        await docker.containers.create("a")
        configure(directory, {"proxies": {"default": {"httpProxy": "http://p:2"}}})
        await docker.containers.create("a")
        first, second = engine.requests
    assert first.body == second.body


async def test_replace_compares_without_them(directory: Path) -> None:
    labels: list[str] = []
    for port in ("1", "2"):
        configure(directory, {"proxies": {"default": {"httpProxy": f"http://p:{port}"}}})
        async with connected() as (docker, engine):
            await docker.containers.replace("a", name="c")
            created = json.loads(engine.requests[-1].body)
        assert created["Env"] == [f"HTTP_PROXY=http://p:{port}", f"http_proxy=http://p:{port}"]
        labels.append(created["Labels"]["anydocker.config"])
    assert labels[0] == labels[1]
