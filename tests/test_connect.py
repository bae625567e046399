"""Reaching an engine, agreeing on a version, and what is said where that fails."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import attrs
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.to_thread import run_sync

import anydocker
from anydocker import ConnectError, UnsupportedByEngine
from anydocker.testing import ReplayBackend, Reply, Route, json_reply, scripted_engine
from tests.helpers import refused_as_nobody
from tests.recorded import HOST

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def no_version_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_API_VERSION", raising=False)


def ping(*fields: str, body: bytes = b"", closes: bool = False) -> Reply:
    head = "\r\n".join(("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *fields, "", "")).encode("ascii")
    return Reply(head + body, keep_alive=not closes)


async def spoken(routes: dict[str, Reply] | None = None, *, engine: str = "1.45", pinned: str | None = None) -> str:
    """The version that is spoken with an engine in memory."""
    backend = ReplayBackend(routes or {}, api_version=engine)
    async with anydocker.connect(HOST, api_version=pinned, network_backend=backend) as d:
        return d.api_version


def versions(minimum: str | None = None) -> dict[str, Reply]:
    document = {"Version": "x"} if minimum is None else {"Version": "x", "MinAPIVersion": minimum}
    return {"GET /version": json_reply(document)}


# -- the version


@pytest.mark.parametrize("engine", ["1.40", "1.41", "1.45", "1.55"])
async def test_an_engine_within_our_range_is_spoken_to_in_its_own_version(engine: str) -> None:
    assert await spoken(engine=engine) == engine


async def test_it_takes_one_request_and_one_connection() -> None:
    backend = ReplayBackend({})
    async with anydocker.connect(HOST, network_backend=backend):
        assert backend.requests == ["HEAD /_ping"]
        assert backend.open_connections == 1
    assert backend.open_connections == 0


@pytest.mark.parametrize("minimum", [None, "1.24", "1.44", "1.55"])
async def test_a_newer_engine_is_spoken_to_in_our_newest(minimum: str | None) -> None:
    assert await spoken(versions(minimum), engine="1.60") == "1.55"
    assert await spoken(versions(minimum), engine="2.0") == "1.55"


async def test_an_engine_that_is_too_new() -> None:
    with pytest.raises(UnsupportedByEngine, match=r"1\.56 or newer.*upgrade anydocker"):
        await spoken(versions("1.56"), engine="1.60")


@pytest.mark.parametrize("engine", ["1.39", "1.9", "0.1"])
async def test_an_engine_that_is_too_old(engine: str) -> None:
    with pytest.raises(UnsupportedByEngine, match=rf"{engine} at most.*upgrade the engine"):
        await spoken(engine=engine)


@pytest.mark.parametrize("pinned", ["1.40", "1.44", "1.45"])
async def test_a_version_that_is_asked_for_is_spoken(pinned: str) -> None:
    assert await spoken(versions("1.24"), pinned=pinned) == pinned
    assert await spoken(versions(), pinned=pinned) == pinned


async def test_a_version_that_the_engine_does_not_speak() -> None:
    with pytest.raises(UnsupportedByEngine, match=r"api_version='1.46' was asked for; .* speaks 1\.24 to 1\.45"):
        await spoken(versions("1.24"), pinned="1.46")
    with pytest.raises(UnsupportedByEngine, match=r"'1.46' was asked for; .* speaks at most 1\.45"):
        await spoken(versions(), pinned="1.46")
    with pytest.raises(UnsupportedByEngine, match=r"'1.40' was asked for; .* speaks 1\.44 to 1\.45"):
        await spoken(versions("1.44"), pinned="1.40")


@pytest.mark.parametrize("pinned", ["1.39", "1.56", "2.0"])
def test_a_version_that_we_do_not_speak(pinned: str) -> None:
    with pytest.raises(ValueError, match=rf"api_version='{pinned}'.*1\.40 to 1\.55"):
        anydocker.connect(HOST, api_version=pinned)


@pytest.mark.parametrize("pinned", ["", "1", "v1.41", "1.41.0", "newest"])
def test_a_version_that_is_none(pinned: str) -> None:
    with pytest.raises(ValueError, match="is not an API version"):
        anydocker.connect(HOST, api_version=pinned)


async def test_a_version_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_API_VERSION", "1.42")
    assert await spoken(versions("1.24")) == "1.42"
    assert await spoken(versions("1.24"), pinned="1.43") == "1.43"
    monkeypatch.setenv("DOCKER_API_VERSION", "1.39")
    with pytest.raises(ValueError, match="DOCKER_API_VERSION='1.39'"):
        anydocker.connect(HOST)


@pytest.mark.parametrize(
    "document",
    [b"[]", b"no", b'{"MinAPIVersion": "none"}', b'{"MinAPIVersion": 1}'],
    ids=repr,
)
async def test_an_engine_that_does_not_say_what_it_speaks_at_least(document: bytes) -> None:
    with pytest.raises(ConnectError, match=rf"no engine at {HOST}"):
        await spoken({"GET /version": ping(body=document)}, engine="1.60")


async def test_calls_carry_the_version_and_the_ping_does_not() -> None:
    async with scripted_engine(api_version="1.44") as engine, anydocker.connect(engine.host) as d:
        await d.version()
        assert [request.version for request in engine.requests] == [None, "1.44"]
        assert d.speaks("1.44")
        assert not d.speaks("1.45")
        d.require("1.44", "this")
        with pytest.raises(UnsupportedByEngine, match=r"that needs API 1\.45"):
            d.require("1.45", "that")


# -- the ping


@pytest.mark.parametrize("status", [404, 405, 500, 501])
async def test_an_engine_that_does_not_know_how_to_head_is_got(status: int) -> None:
    refusal = Reply(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode(), keep_alive=True)
    backend = ReplayBackend({"HEAD /_ping": refusal, "GET /_ping": ping("Api-Version: 1.41", body=b"OK")})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        assert d.api_version == "1.41"
    assert backend.requests == ["HEAD /_ping", "GET /_ping"]


async def test_a_ping_says_what_the_engine_says() -> None:
    fields = (
        "API-Version: 1.47",
        "OSType: windows",
        "Builder-Version: 2",
        "Docker-Experimental: true",
        "Swarm: active/manager",
    )
    async with anydocker.connect(HOST, network_backend=ReplayBackend({"HEAD /_ping": ping(*fields)})) as d:
        assert await d.ping() == anydocker.Ping("1.47", "windows", "2", experimental=True, swarm="active/manager")
        assert not d.is_podman


async def test_podman_is_known_by_its_own_version() -> None:
    fields = ("Api-Version: 1.41", "Libpod-Api-Version: 5.4.2")
    async with anydocker.connect(HOST, network_backend=ReplayBackend({"HEAD /_ping": ping(*fields)})) as d:
        assert await d.ping() == anydocker.Ping("1.41", podman=True)
        assert d.is_podman


async def test_a_ping_on_an_engine_that_is_gone() -> None:
    async with scripted_engine() as engine:
        client = anydocker.connect(engine.host)
        await client.__aenter__()
    with pytest.raises(ConnectError, match="there is no such socket"):
        await client.ping()
    await client.__aexit__(None, None, None)


# -- not an engine


NO_ENGINES = {
    "something else in HTTP": (ping("Server: nginx"), "no Api-Version"),
    "a version that is none": (ping("Api-Version: newest"), "no Api-Version"),
    "nothing but refusals": (json_reply({"message": "go away"}, 403), "go away"),
    "another protocol": (Reply(b"SSH-2.0-OpenSSH_9.2p1\r\n"), "SSH-2.0"),
    "one that closes at once": (Reply(b""), "broke before it answered"),
    "one that resets at once": (Reply(b"", reset=True), "broke before it answered"),
    "one that closes inside the head": (Reply(b"HTTP/1.1 200 O"), "ended inside the head"),
    "one that speaks TLS": (Reply(b"\x15\x03\x01\x00\x02\x02\x46"), "begins with"),
}


@pytest.mark.parametrize("name", NO_ENGINES)
async def test_what_is_no_engine_is_not_taken_for_one(name: str) -> None:
    reply, reason = NO_ENGINES[name]
    route = attrs.evolve(reply, keep_alive=False)
    routes: dict[str, Route] = {"HEAD /_ping": route, "GET /_ping": route}
    async with scripted_engine(routes) as engine:
        with pytest.raises(ConnectError) as caught:
            async with anydocker.connect(engine.host):
                raise AssertionError("the block is not entered")
        await engine.wait_connections(0)
    message = str(caught.value)
    assert message.startswith(f"no engine at {engine.host} (from the argument host=): ")
    assert reason in message


async def refused(host: str | None = None) -> str:
    with pytest.raises(ConnectError) as caught:
        async with anydocker.connect(host):
            raise AssertionError("the block is not entered")
    assert isinstance(caught.value.__cause__, OSError)
    return str(caught.value)


async def test_there_is_no_socket(tmp_path: Path) -> None:
    host = f"unix://{tmp_path}/d.sock"
    expected = f"no engine at {host} (from the argument host=): there is no such socket: is the engine running?"
    assert await refused(host) == expected


async def test_the_message_says_that_the_environment_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/d.sock")
    assert "(from DOCKER_HOST)" in await refused()


async def test_it_is_a_file_and_no_socket(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    path.touch()
    assert "connection refused" in await refused(f"unix://{path}")


async def test_it_is_a_socket_of_another_kind(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "d.sock"))
        assert "not of the stream kind" in await refused(f"unix://{tmp_path}/d.sock")


async def test_nobody_listens_on_the_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "d.sock"))
    assert "nothing listens there" in await refused(f"unix://{tmp_path}/d.sock")


async def test_the_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    assert "path too long" in await refused(f"unix://{tmp_path}/{'x' * 200}.sock")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and nobody else gets."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


async def test_nobody_listens_on_the_port(closed_port: int) -> None:
    host = f"tcp://127.0.0.1:{closed_port}"
    expected = f"no engine at {host} (from the argument host=): connection refused: nothing listens there"
    assert await refused(host) == expected


async def test_there_is_no_such_host() -> None:
    assert "no engine at tcp://no-such-host.invalid:2375" in await refused("tcp://no-such-host.invalid:2375")


async def test_the_user_may_not_use_the_socket(anyio_backend_name: str) -> None:
    async with scripted_engine() as engine:
        path = Path(engine.host.removeprefix("unix://"))
        await run_sync(path.parent.chmod, 0o755)
        await run_sync(path.chmod, 0)
        error = await refused_as_nobody(engine.host, anyio_backend_name)
    assert str(error).startswith(f"no engine at {engine.host} (from the argument host=): permission denied")


# -- TCP


async def test_an_engine_on_tcp() -> None:
    async def serve(stream: SocketStream) -> None:
        async with stream:
            request = await stream.receive()
            assert f"Host: 127.0.0.1:{port}".encode() in request
            await stream.send(ping("Api-Version: 1.45").data)
            with suppress(anyio.EndOfStream):
                await stream.receive()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        port = listener.extra(SocketAttribute.local_port)
        group.start_soon(listener.serve, serve)
        async with anydocker.connect(f"tcp://127.0.0.1:{port}") as d:
            assert d.api_version == "1.45"
        group.cancel_scope.cancel()
