from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any

import pytest

import anydocker
from anydocker import Endpoint
from anydocker._endpoint import resolve

DEFAULT = "/var/run/docker.sock"


def find(host: str | None = None, environ: Mapping[str, str] | None = None, there: tuple[str, ...] = ()) -> Endpoint:
    return resolve(host, environ=environ or {}, exists=there.__contains__)


# The address, the file of the socket or the host and port, and what the Host field says.
GOOD = [
    ("unix:///var/run/docker.sock", DEFAULT, "", 0, "docker"),
    ("unix:///run/user/1000/podman/podman.sock", "/run/user/1000/podman/podman.sock", "", 0, "docker"),
    ("unix:///tmp/with space/ä%20?#.sock", "/tmp/with space/ä%20?#.sock", "", 0, "docker"),
    ("unix:///tmp/a:b@c.sock", "/tmp/a:b@c.sock", "", 0, "docker"),
    ("tcp://127.0.0.1:2375", None, "127.0.0.1", 2375, "127.0.0.1:2375"),
    ("tcp://127.0.0.1", None, "127.0.0.1", 2375, "127.0.0.1:2375"),
    ("tcp://engine.example:80/", None, "engine.example", 80, "engine.example:80"),
    ("tcp://ENGINE:80", None, "engine", 80, "engine:80"),
    ("tcp://[::1]:2375", None, "::1", 2375, "[::1]:2375"),
    ("tcp://[::1]", None, "::1", 2375, "[::1]:2375"),
    ("http://localhost:1", None, "localhost", 1, "localhost:1"),
]

BAD = [
    ("", "has to begin with unix:// or tcp://"),
    ("docker.sock", "has to begin with"),
    ("/var/run/docker.sock", "has to begin with"),
    ("127.0.0.1:2375", "has to begin with"),
    ("ftp://localhost", "has to begin with"),
    ("npipe:////./pipe/docker_engine", "has to begin with"),
    ("fd://", "has to begin with"),
    ("unix://", "absolute path"),
    ("unix:docker.sock", "absolute path"),
    ("unix:/var/run/docker.sock", "absolute path"),
    ("unix://var/run/docker.sock", "absolute path"),
    ("unix://~/docker.sock", "absolute path"),
    ("unix:///a\0b", "absolute path"),
    ("tcp://", "the host is missing"),
    ("tcp://:2375", "the host is missing"),
    ("tcp:localhost:2375", "the host is missing"),
    ("tcp://häst:2375", "not an ASCII name"),
    ("tcp://a b:2375", "not an ASCII name"),
    ("tcp://a\0b:2375", "not an ASCII name"),
    ("tcp://localhost:port", "port"),
    ("tcp://localhost:65536", "[Pp]ort out of range"),
    ("tcp://localhost:-1", "[Pp]ort"),
    ("tcp://localhost:2375/path", "only a host and a port"),
    ("tcp://localhost:2375?query", "only a host and a port"),
    ("tcp://localhost:2375#fragment", "only a host and a port"),
    ("tcp://user@localhost:2375", "only a host and a port"),
    ("tcp://user:secret@localhost:2375", "only a host and a port"),
    ("tcp://[::1", "Invalid IPv6 URL"),
]


@pytest.mark.parametrize(("url", "path", "host", "port", "authority"), GOOD)
def test_address(url: str, path: str | None, host: str, port: int, authority: str) -> None:
    by_argument = find(url)
    assert (by_argument.url, by_argument.path, by_argument.host, by_argument.port) == (url, path, host, port)
    assert by_argument.authority == authority
    assert by_argument.source == "the argument host="
    by_environment = find(environ={"DOCKER_HOST": url})
    assert by_environment == Endpoint(url, "DOCKER_HOST", path, host, port)


@pytest.mark.parametrize(("url", "why"), BAD)
def test_malformed_address(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        find(url)
    assert str(caught.value).startswith(f"{url!r} (from the argument host=) is not the address of an engine: ")
    if url:
        with pytest.raises(ValueError, match=why) as caught:
            find(environ={"DOCKER_HOST": url})
        assert "(from DOCKER_HOST)" in str(caught.value)


@pytest.mark.parametrize("host", [b"unix:///var/run/docker.sock", 2375, ("127.0.0.1", 2375)])
def test_address_of_another_type(host: Any) -> None:
    with pytest.raises(TypeError, match="an address is a str"):
        find(host)


RUNTIME = {"XDG_RUNTIME_DIR": "/run/user/1000"}
ROOTLESS = "/run/user/1000/docker.sock"


@pytest.mark.parametrize(
    ("host", "environ", "there", "path", "source"),
    [
        (None, {}, (), DEFAULT, "the default"),
        (None, {"DOCKER_HOST": ""}, (), DEFAULT, "the default"),
        (None, {"DOCKER_HOST": "unix:///a"}, (), "/a", "DOCKER_HOST"),
        ("unix:///b", {"DOCKER_HOST": "unix:///a"}, (), "/b", "the argument host="),
        ("unix:///b", {"DOCKER_HOST": "nonsense"}, (), "/b", "the argument host="),
        (None, RUNTIME, (), DEFAULT, "the default"),
        (None, RUNTIME, (DEFAULT,), DEFAULT, "the default"),
        (None, RUNTIME, (ROOTLESS,), ROOTLESS, "the rootless default"),
        (None, RUNTIME, (DEFAULT, ROOTLESS), DEFAULT, "the default"),
        (None, {"XDG_RUNTIME_DIR": ""}, ("/docker.sock",), DEFAULT, "the default"),
        (None, RUNTIME | {"DOCKER_HOST": "unix:///a"}, (ROOTLESS,), "/a", "DOCKER_HOST"),
    ],
)
def test_order(host: str | None, environ: dict[str, str], there: tuple[str, ...], path: str, source: str) -> None:
    endpoint = find(host, environ, there)
    assert (endpoint.path, endpoint.source, endpoint.url) == (path, source, f"unix://{path}")


def test_connect_asks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    assert anydocker.connect().endpoint == Endpoint("tcp://127.0.0.1:9", "DOCKER_HOST", host="127.0.0.1", port=9)
    assert anydocker.connect("unix:///b").endpoint.path == "/b"
    monkeypatch.setenv("DOCKER_HOST", "nonsense")
    with pytest.raises(ValueError, match="from DOCKER_HOST"):
        anydocker.connect()


# -- what went wrong

WHY = {
    errno.ENOENT: "is the engine running?",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ECONNREFUSED: "connection refused",
    errno.ENOTSOCK: "not a socket",
    errno.EPROTOTYPE: "not of the stream kind",
    errno.ETIMEDOUT: "did not answer",
}


@pytest.mark.parametrize(("number", "why"), WHY.items(), ids=map(errno.errorcode.__getitem__, WHY))
@pytest.mark.parametrize("url", [url for url, *_ in GOOD])
def test_failure_says_where_on_whose_word_and_why(url: str, number: int, why: str) -> None:
    message = find(environ={"DOCKER_HOST": url}).failure(OSError(number, os.strerror(number)))
    assert message.startswith(f"no engine at {url} (from DOCKER_HOST): ")
    assert why in message


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("it speaks SMTP", ": it speaks SMTP"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), ": connection refused: nothing listens there"),
        (OSError(errno.EMFILE, "Too many open files"), ": [Errno 24] Too many open files"),
        (OSError("engine.example has no address"), ": engine.example has no address"),
        (RuntimeError(), ": the connection failed"),
        ("", ": the connection failed"),
    ],
)
def test_failure_of_another_kind(reason: BaseException | str, end: str) -> None:
    assert find().failure(reason).endswith(f"(from the default){end}")
