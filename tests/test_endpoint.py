from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import anydocker
from anydocker import ConnectError, Endpoint, TLSConfig, _endpoint
from anydocker._endpoint import resolve

DEFAULT = "/var/run/docker.sock"


NOWHERE = Path("/nonexistent")


def find(host: str | None = None, environ: Mapping[str, str] | None = None, home: Path = NOWHERE) -> Endpoint:
    return resolve(host, environ=environ or {}, home=home)


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
    ("", "has to begin with unix://, tcp:// or ssh://"),
    ("/var/run/docker.sock", "has to begin with"),
    ("run/docker.sock", "has to begin with"),
    (":2375", "has to begin with"),
    ("::1", "has to begin with"),
    ("häst:2375", "has to begin with"),
    ("TCP://localhost:2375", "has to begin with"),
    ("Unix:///var/run/docker.sock", "has to begin with"),
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
    ("tcp://localhost:2375?query", "only a host, a port and a path"),
    ("tcp://localhost:2375#fragment", "only a host, a port and a path"),
    ("tcp://user@localhost:2375", "only a host, a port and a path"),
    ("tcp://localhost:2375/a b", "percent-encoded"),
    ("tcp://localhost:2375/ä", "percent-encoded"),
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
    shown = url.replace("user@", "...@")
    assert str(caught.value).startswith(f"{shown!r} (from the argument host=) is not the address of an engine: ")
    if url:
        with pytest.raises(ValueError, match=why) as caught:
            find(environ={"DOCKER_HOST": url})
        assert "(from DOCKER_HOST)" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:2375", "tcp://127.0.0.1:2375"),
        ("localhost", "tcp://localhost"),
        ("[::1]:9", "tcp://[::1]:9"),
        (" tcp://localhost:9 ", "tcp://localhost:9"),
        ("\tunix:///a\n", "unix:///a"),
    ],
)
def test_an_address_is_completed(given: str, url: str) -> None:
    assert find(given).url == url
    assert find(environ={"DOCKER_HOST": given}).url == url


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("tcp://h:1", ""), ("tcp://h:1/", ""), ("tcp://h:1/a/b", "/a/b"), ("tcp://h:1/a%20b/", "/a%20b")],
)
def test_prefix(url: str, prefix: str) -> None:
    assert find(url).prefix == prefix


@pytest.mark.parametrize("host", [b"unix:///var/run/docker.sock", 2375, ("127.0.0.1", 2375)])
def test_address_of_another_type(host: Any) -> None:
    with pytest.raises(TypeError, match="an address is a str"):
        find(host)


@pytest.fixture
def no_system_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no engine runs as root."""
    templates = [path for path in _endpoint._DEFAULT_SOCKETS if path.startswith("{")]  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(_endpoint, "_DEFAULT_SOCKETS", (DEFAULT + ".absent", *templates))


@pytest.mark.parametrize(
    ("host", "environ", "path", "source"),
    [
        (None, {"DOCKER_HOST": "unix:///a"}, "/a", "DOCKER_HOST"),
        ("unix:///b", {"DOCKER_HOST": "unix:///a"}, "/b", "the argument host="),
        ("unix:///b", {"DOCKER_HOST": "nonsense"}, "/b", "the argument host="),
        ("unix:///b", {"DOCKER_CONTEXT": "absent"}, "/b", "the argument host="),
        (None, {"DOCKER_HOST": "unix:///a", "DOCKER_CONTEXT": "absent"}, "/a", "DOCKER_HOST"),
    ],
)
def test_order(host: str | None, environ: dict[str, str], path: str, source: str) -> None:
    endpoint = find(host, environ)
    assert (endpoint.path, endpoint.source, endpoint.url) == (path, source, f"unix://{path}")


@pytest.mark.usefixtures("no_system_socket")
@pytest.mark.parametrize(
    "socket",
    [
        "run/docker.sock",
        ".docker/run/docker.sock",
        ".docker/desktop/docker.sock",
        ".orbstack/run/docker.sock",
        ".colima/default/docker.sock",
        ".rd/docker.sock",
        "run/podman/podman.sock",
    ],
)
@pytest.mark.parametrize("docker_host", [None, ""])
def test_default_sockets(tmp_path: Path, socket: str, docker_host: str | None) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "run")} | ({} if docker_host is None else {"DOCKER_HOST": ""})
    assert find(environ=environ, home=tmp_path).path == DEFAULT + ".absent"
    (tmp_path / socket).parent.mkdir(parents=True)
    (tmp_path / socket).touch()
    endpoint = find(environ=environ, home=tmp_path)
    assert (endpoint.path, endpoint.source) == (str(tmp_path / socket), "the default")


@pytest.mark.usefixtures("no_system_socket")
def test_places_that_cannot_be_looked_into_are_passed_by(tmp_path: Path) -> None:
    too_long = "/" + "x" * 5000
    environ = {"XDG_RUNTIME_DIR": too_long, "DOCKER_HOST": ""}
    assert find(environ=environ, home=tmp_path).source == "the default"
    with pytest.raises(ConnectError, match="set DOCKER_CERT_PATH"):
        find("tcp://127.0.0.1", {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": too_long})


def make_context(home: Path, name: str, host: str, **more: object) -> Path:
    """A context as the command line stores it; returns where its TLS files belong."""
    identity = hashlib.sha256(name.encode()).hexdigest()
    meta = home / ".docker" / "contexts" / "meta" / identity
    meta.mkdir(parents=True)
    document = {"Name": name, "Endpoints": {"docker": {"Host": host, **more}}}
    (meta / "meta.json").write_text(json.dumps(document))
    return home / ".docker" / "contexts" / "tls" / identity / "docker"


class TestContexts:
    def test_by_argument_environment_and_configuration(self, tmp_path: Path) -> None:
        make_context(tmp_path, "box", "tcp://127.0.0.1:9")
        make_context(tmp_path, "other", "unix:///other.sock")
        (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "other"}')
        current = resolve(None, environ={}, home=tmp_path)
        assert (current.path, "current context 'other'" in current.source) == ("/other.sock", True)
        by_environment = resolve(None, environ={"DOCKER_CONTEXT": "box"}, home=tmp_path)
        assert (by_environment.port, by_environment.source) == (9, "DOCKER_CONTEXT=box")
        by_argument = resolve(None, context="box", environ={"DOCKER_CONTEXT": "other"}, home=tmp_path)
        assert (by_argument.port, by_argument.source) == (9, "the argument context='box'")
        assert resolve(None, context="default", environ={}, home=tmp_path).source == "the default"
        elsewhere = {"DOCKER_CONFIG": str(tmp_path / ".docker"), "DOCKER_CONTEXT": "box"}
        assert resolve(None, environ=elsewhere, home=NOWHERE).port == 9

    def test_argument_wins(self, tmp_path: Path) -> None:
        make_context(tmp_path, "box", "tcp://127.0.0.1:9")
        environ = {"DOCKER_HOST": "unix:///a"}
        assert resolve(None, context="box", environ=environ, home=tmp_path).port == 9
        assert resolve(None, context="default", environ=environ, home=tmp_path).path == "/a"

    @pytest.mark.parametrize(
        "meta",
        [
            '{"Name": "box"}',
            '{"Endpoints": null}',
            '{"Endpoints": {"docker": "x"}}',
            '{"Endpoints": {"docker": {"Host": 7}}}',
        ],
    )
    def test_odd_documents(self, tmp_path: Path, meta: str) -> None:
        make_context(tmp_path, "box", "unix:///a")
        (file,) = tmp_path.rglob("meta.json")
        file.write_text(meta)
        with pytest.raises(ConnectError, match=r"the context 'box' \(from .*\) names no engine"):
            resolve(None, context="box", environ={}, home=tmp_path)

    def test_tls_files(self, tmp_path: Path) -> None:
        directory = make_context(tmp_path, "box", "tcp://127.0.0.1:9")
        directory.mkdir(parents=True)
        for name in ("ca.pem", "cert.pem", "key.pem"):
            (directory / name).touch()
        tls = resolve(None, context="box", environ={}, home=tmp_path).tls
        assert tls == TLSConfig(ca=directory / "ca.pem", cert=directory / "cert.pem", key=directory / "key.pem")
        (directory / "key.pem").unlink()
        assert resolve(None, context="box", environ={}, home=tmp_path).tls == TLSConfig(ca=directory / "ca.pem")
        make_context(tmp_path, "lax", "tcp://127.0.0.1:9", SkipTLSVerify=True)
        assert resolve(None, context="lax", environ={}, home=tmp_path).tls == TLSConfig(verify=False)

    def test_absent_or_broken(self, tmp_path: Path) -> None:
        with pytest.raises(ConnectError, match=r"there is no context 'box' .*DOCKER_CONTEXT=box"):
            resolve(None, environ={"DOCKER_CONTEXT": "box"}, home=tmp_path)
        (tmp_path / ".docker").mkdir()
        for content in ("{", "[]"):
            (tmp_path / ".docker" / "config.json").write_text(content)
            with pytest.raises(ConnectError, match=r"config\.json cannot be read"):
                resolve(None, environ={}, home=tmp_path)
        with pytest.raises(ValueError, match="two ways"):
            resolve("unix:///a", context="box", environ={}, home=tmp_path)


class TestEnvironmentTLS:
    def test_verified_or_not(self, tmp_path: Path) -> None:
        for name in ("ca.pem", "cert.pem", "key.pem"):
            (tmp_path / name).touch()
        environ = {"DOCKER_HOST": "tcp://127.0.0.1", "DOCKER_CERT_PATH": str(tmp_path)}
        assert find(environ=environ).tls is None
        files = TLSConfig(ca=tmp_path / "ca.pem", cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
        verified = find(environ=environ | {"DOCKER_TLS_VERIFY": "1"})
        assert (verified.tls, verified.port) == (files, 2376)
        unverified = find(environ=environ | {"DOCKER_TLS": "1"})
        assert unverified.tls == TLSConfig(ca=files.ca, cert=files.cert, key=files.key, verify=False)

    def test_missing_files(self, tmp_path: Path) -> None:
        environ = {"DOCKER_HOST": "tcp://127.0.0.1", "DOCKER_TLS_VERIFY": "1"}
        with pytest.raises(ConnectError, match=r"DOCKER_TLS_VERIFY is set, and .*/\.docker/ca\.pem is not there"):
            find(environ=environ, home=tmp_path)
        with pytest.raises(ConnectError, match=rf"DOCKER_TLS is set, and {tmp_path}/ca\.pem is not there"):
            find(environ={"DOCKER_TLS": "1", "DOCKER_CERT_PATH": str(tmp_path)})

    def test_it_means_tcp(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").touch()
        found = find(environ={"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)})
        assert (found.url, found.source, found.tls) == (
            "tcp://localhost:2376",
            "the default",
            TLSConfig(ca=tmp_path / "ca.pem"),
        )

    def test_argument_wins(self) -> None:
        mine = TLSConfig(verify=False)
        environ = {"DOCKER_HOST": "tcp://127.0.0.1", "DOCKER_TLS_VERIFY": "1"}
        assert resolve(None, tls=mine, environ=environ, home=NOWHERE).tls == mine


@pytest.mark.parametrize(
    ("url", "user", "host", "port", "path"),
    [
        ("ssh://box", None, "box", 0, None),
        ("ssh://me@box:2222", "me", "box", 2222, None),
        ("ssh://me%40home@box/run/engine.sock", "me@home", "box", 0, "/run/engine.sock"),
        ("ssh://box/", None, "box", 0, None),
        ("ssh://BOX", None, "BOX", 0, None),
        ("ssh://me@[::1]:22", "me", "::1", 22, None),
        ("ssh://box/a%20b.sock", None, "box", 0, "/a b.sock"),
    ],
)
def test_ssh(url: str, user: str | None, host: str, port: int, path: str | None) -> None:
    endpoint = find(url)
    assert (endpoint.user, endpoint.host, endpoint.port, endpoint.path) == (user, host, port, path)
    assert endpoint.is_ssh
    assert endpoint.authority == "docker"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ssh://box:0", "no port 0"),
        ("ssh://b%6fx", "not percent-encoded"),
        ("ssh://box/a%00b", "control characters"),
        ("ssh://a%0ab@box", "control characters"),
        ("ssh://", "the host is missing"),
        ("ssh://-oProxyCommand=x", "begin with a dash"),
        ("ssh://-l@box", "begin with a dash"),
        ("ssh://me:secret@box", "holds a password"),
        ("tcp://me:secret@box", "holds a password"),
        ("ssh://box?query", "only a user"),
    ],
)
def test_malformed_ssh(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        find(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "tcp://me:s3cret@box",
        "tcp://me:s3cret@box:port",
        "tcp://me:x/s3cret@box",
        "ftp://me:s3cret@box",
        "FTP://s3cret@box",
        "ssh://me:s3cret@box?query",
        "me:s3cret@box",
        "s3cret@box:2375",
        "tcp://me:[s3cret@box",
    ],
)
def test_a_password_in_an_address_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="DOCKER_HOST") as caught:
        find(environ={"DOCKER_HOST": url})
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_connect_asks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    assert anydocker.connect().endpoint == Endpoint("tcp://127.0.0.1:9", "DOCKER_HOST", host="127.0.0.1", port=9)
    assert anydocker.connect("unix:///b").endpoint.path == "/b"
    monkeypatch.setenv("DOCKER_HOST", "nonsense://")
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
