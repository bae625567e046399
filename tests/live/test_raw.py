from __future__ import annotations

import gc
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from anyio import BusyResourceError, CancelScope, ClosedResourceError, EndOfStream, create_task_group

import anydocker
from anydocker import (
    BadRequest,
    ConnectError,
    Container,
    Docker,
    EngineFault,
    NotFound,
    ProtocolError,
    Response,
    UnsupportedByEngine,
)
from tests.helpers import Pieces
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]

# -- the engine


async def test_ping(docker: Docker, cli: CLI) -> None:
    ping = await docker.ping()
    said: dict[str, Any] = json.loads(await cli("version", "--format", "{{json .Server}}"))
    assert ping.api_version == said["ApiVersion"]
    assert (ping.os, ping.podman) == (said["Os"], docker.is_podman)
    assert ping.experimental is said.get("Experimental", False)


async def test_version(docker: Docker, cli: CLI) -> None:
    version = await docker.version()
    said: dict[str, Any] = json.loads(await cli("version", "--format", "{{json .Server}}"))
    assert {key: version[key] for key in ("Version", "Os", "Arch")} == {
        key: said[key] for key in ("Version", "Os", "Arch")
    }


async def test_info(docker: Docker, cli: CLI) -> None:
    info = await docker.info()
    said: dict[str, Any] = json.loads(await cli("info", "--format", "{{json .}}"))
    assert (info["ID"], info["NCPU"], info["MemTotal"]) == (said["ID"], said["NCPU"], said["MemTotal"])


async def test_the_version_that_is_spoken(docker: Docker, engine_host: str) -> None:
    assert docker.api_version == (await docker.ping()).api_version or docker.speaks("1.44")
    async with anydocker.connect(engine_host, api_version="1.40") as older:
        assert older.api_version == "1.40"
        assert older.speaks("1.40")
        assert not older.speaks("1.41")
        assert (await older.version())["ApiVersion"] != "1.40"
        with pytest.raises(UnsupportedByEngine, match=r"1\.41"):
            await older.containers.create("busybox", platform="linux/amd64")
        with pytest.raises(UnsupportedByEngine, match=r"thing needs API 1\.41"):
            older.require("1.41", "thing")
        older.require("1.40", "thing")


# -- calls


async def test_request(docker: Docker) -> None:
    response = await docker.request("GET", "/version")
    assert isinstance(response, Response)
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == json.loads(response.body) == await docker.version()


async def test_request_with_a_query_and_a_document(docker: Docker, label: str) -> None:
    created = await docker.request(
        "POST",
        "/containers/create",
        query={"name": label, "platform": None},
        json={"Image": "busybox", "Cmd": ["true"], "Labels": {label: "ä"}},
    )
    assert created.status == 201
    listed = await docker.request(
        "GET", "/containers/json", query={"all": True, "filters": json.dumps({"label": [f"{label}=ä"]})}
    )
    assert [one["Id"] for one in listed.json()] == [created.json()["Id"]]
    removed = await docker.request("DELETE", f"/containers/{label}", own_connection=True)
    assert (removed.status, removed.body) == (204, b"")


async def test_request_with_bytes_and_with_a_stream(docker: Docker, label: str) -> None:
    body = json.dumps({"Image": "busybox", "Cmd": ["true"], "Labels": {label: ""}}).encode()
    headers = {"Content-Type": "application/json"}
    one = await docker.request("POST", "/containers/create", headers=headers, body=body)
    two = await docker.request("POST", "/containers/create", headers=headers, body=Pieces(body[:9], b"", body[9:]))
    found = await docker.containers.list(all=True, filters={"label": label})
    assert {container.id for container in found} == {one.json()["Id"], two.json()["Id"]}
    for container in found:
        await container.remove()


async def test_head(docker: Docker) -> None:
    response = await docker.request("HEAD", "/_ping")
    assert (response.status, response.body) == (200, b"")
    with pytest.raises(ProtocolError):
        response.json()


async def test_an_answer_that_is_no_json(docker: Docker) -> None:
    response = await docker.request("GET", "/_ping")
    assert response.body == b"OK"
    with pytest.raises(ProtocolError):
        response.json()


async def test_a_refusal(docker: Docker) -> None:
    with pytest.raises(NotFound) as caught:
        await docker.request("GET", "/containers/none/json", query={"size": True})
    error = caught.value
    assert (error.status, error.method) == (404, "GET")
    assert error.path == f"/v{docker.api_version}/containers/none/json"
    assert "none" in error.message
    assert str(error) == f"{error.message} (GET {error.path} answered 404)"
    with pytest.raises(NotFound, match="(?i)page not found|does not know this call"):
        await docker.request("GET", "/no/such/endpoint")
    with pytest.raises((BadRequest, EngineFault)):
        await docker.request("POST", "/containers/create", body=b"{", headers={"Content-Type": "application/json"})


async def test_a_path_that_is_none(docker: Docker) -> None:
    for path in ("", "version", "/a b", "/a?b=c", "/a#b", "/ä", "/a\r\nX: y", "http://other/version"):
        with pytest.raises(ValueError, match="path"):
            await docker.request("GET", path)
        with pytest.raises(ValueError, match="path"):
            async with docker.open_request("GET", path):
                raise AssertionError


async def test_bad_arguments(docker: Docker) -> None:
    with pytest.raises(ValueError, match="json"):
        await docker.request("POST", "/containers/create", json={}, body=b"{}")
    with pytest.raises(TypeError, match="size"):
        await docker.request("GET", "/version", query={"size": object()})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    with pytest.raises((ValueError, TypeError)):
        await docker.request("GET", "/version", headers={"X-Bad": "a\r\nX-Worse: b"})
    with pytest.raises((ValueError, TypeError)):
        await docker.request("GET /containers/json HTTP/1.1\r\n", "/version")
    assert (await docker.ping()).os == "linux"


async def test_connections_are_kept(docker: Docker) -> None:
    for _ in range(5):
        await docker.version()
    assert docker.statistics().idle_connections == 1
    async with create_task_group() as group:
        for _ in range(100):
            group.start_soon(docker.version)
    assert 1 <= docker.statistics().idle_connections <= 32
    assert docker.statistics().open_streams == 0


async def test_a_cancelled_call_gives_its_connection_up(docker: Docker) -> None:
    await docker.ping()
    assert docker.statistics().idle_connections == 1
    with CancelScope() as scope:

        class Cancelling(Pieces):
            async def __anext__(self) -> bytes:
                scope.cancel()
                return b"x" * 1000

        await docker.request("POST", "/containers/create", body=Cancelling())
    assert scope.cancelled_caught
    assert docker.statistics().idle_connections == 0
    assert (await docker.version())["Os"] == "linux"


# -- streams


async def test_open_request(docker: Docker) -> None:
    async with docker.open_request("GET", "/version") as body:
        assert (body.status, body.headers["content-type"]) == (200, "application/json")
        assert docker.statistics().open_streams == 1
        data = b"".join([piece async for piece in body])
        with pytest.raises(EndOfStream):
            await body.receive()
    assert json.loads(data) == await docker.version()
    assert docker.statistics().open_streams == 0


async def test_open_request_reads_all_at_once(docker: Docker) -> None:
    async with docker.open_request("GET", "/images/busybox/get") as body:
        saved = await body.read()
    assert saved[257:262] == b"ustar"
    async with docker.open_request("GET", "/images/busybox/get") as body:
        assert (await body.receive_many())[0]
    with pytest.raises(ClosedResourceError):
        await body.receive()


async def test_open_request_refused(docker: Docker) -> None:
    with pytest.raises(NotFound, match="none"):
        async with docker.open_request("GET", "/containers/none/logs", query={"stdout": True}):
            raise AssertionError
    assert docker.statistics().open_streams == 0


async def test_an_upgrade(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["cat"], stdin=True, tty=True, network="none") as container:
        async with docker.open_request(
            "POST",
            f"/containers/{container.id}/attach",
            query={"stream": True, "stdin": True, "stdout": True},
            upgrade="tcp",
        ) as body:
            assert body.status == 101
            await body.send(b"hello\n")
            seen = b""
            while seen.count(b"hello\r\n") < 2:
                seen += await body.receive()
            await body.send_eof()


async def test_one_reader_at_a_time(docker: Docker) -> None:
    errors: list[Exception] = []
    async with docker.open_request("GET", "/events") as body, create_task_group() as group:

        async def read() -> None:
            try:
                await body.receive()
            except BusyResourceError as exc:
                errors.append(exc)
                group.cancel_scope.cancel()

        group.start_soon(read)
        group.start_soon(read)
    assert len(errors) == 1


# -- clients


async def test_a_client_is_entered_once(engine_host: str) -> None:
    client = anydocker.connect(engine_host)
    with pytest.raises(RuntimeError, match="not been entered"):
        await client.ping()
    with pytest.raises(RuntimeError, match="not been entered"):
        assert client.api_version
    async with client:
        assert client.endpoint.url == engine_host
        with pytest.raises(RuntimeError, match="once"):
            await client.__aenter__()
    with pytest.raises(ClosedResourceError):
        await client.ping()
    with pytest.raises(ClosedResourceError):
        async with client.open_events():
            raise AssertionError
    assert client.statistics().idle_connections == 0


async def test_leaving_the_client_closes_what_is_open(engine_host: str, sleeper_id: str) -> None:
    async with create_task_group() as group:
        async with anydocker.connect(engine_host) as client:
            log = client.containers.container(sleeper_id).open_logs(follow=True)
            stream = await log.__aenter__()
        with pytest.raises(ClosedResourceError):
            await stream.receive()
        await log.__aexit__(None, None, None)
        group.cancel_scope.cancel()


async def test_a_client_that_is_dropped_warns(engine_host: str) -> None:
    client = anydocker.connect(engine_host)
    await client.__aenter__()
    await client.ping()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del client
        gc.collect()
    # The socket that it kept warns, too.
    assert any(str(warning.message).startswith("unclosed <Docker") for warning in caught)
    assert {warning.category for warning in caught} == {ResourceWarning}


@pytest.mark.parametrize("kind", ["missing", "file", "refused"])
async def test_no_engine_there(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "d.sock"
    if kind == "file":
        path.write_text("")
    host = "tcp://127.0.0.1:1" if kind == "refused" else f"unix://{path}"
    with pytest.raises(ConnectError) as caught:
        async with anydocker.connect(host):
            raise AssertionError
    assert host in str(caught.value)
    assert "the argument host=" in str(caught.value)


async def test_a_version_the_engine_does_not_speak(docker: Docker, engine_host: str) -> None:
    newest = (await docker.ping()).api_version
    if newest == "1.56":
        assert docker.speaks("1.44")
        return
    major, minor = newest.split(".")
    with pytest.raises((UnsupportedByEngine, ValueError), match=rf"{major}\.{int(minor) + 1}"):
        async with anydocker.connect(engine_host, api_version=f"{major}.{int(minor) + 1}"):
            raise AssertionError


async def test_an_engine_found_by_the_environment(
    engine_host: str, monkeypatch: pytest.MonkeyPatch, sleeper: Container
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine_host)
    async with anydocker.connect() as client:
        assert client.endpoint.source == "DOCKER_HOST"
        assert await client.containers.get(sleeper.id) == sleeper
