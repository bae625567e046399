"""
Credentials stay where they belong: in the request that needs them, and in no text that a program may show or keep.

Each call is made to fail in many ways with a secret in its credentials. Then everything that could be shown is looked
through: messages, reprs, notes, tracebacks, pickles, what is logged, and the same of every cause and context.
"""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

import anydocker
from anydocker import AuthError, ConnectError, Credentials, Docker, DockerError, TLSConfig
from anydocker.auth import find_all_credentials, find_credentials
from anydocker.testing import ReplayBackend, Reply, json_reply, scripted_engine
from tests.recorded import HOST, recorded

pytestmark = pytest.mark.anyio

SECRET: Final = "hunter2-is-secret"
REGISTRY: Final = "registry.example:5000"
NAME: Final = f"{REGISTRY}/team/app:1"

BY_PASSWORD: Final = Credentials(username="me", password=SECRET, server=REGISTRY)
BY_TOKEN: Final = Credentials(identity_token=SECRET, server=REGISTRY)

CALLS: Final[dict[str, Callable[[Docker, Credentials], Awaitable[object]]]] = {
    "login": lambda d, _: d.login(REGISTRY, username="me", password=SECRET),
    "pull": lambda d, auth: d.images.pull(NAME, auth=auth),
    "push": lambda d, auth: d.images.push(NAME, auth=auth),
    "push of an image": lambda d, auth: d.images.image(NAME).push(auth=auth),
    "build": lambda d, auth: d.images.build(dockerfile_text="FROM x", auth={REGISTRY: auth}),
    "distribution": lambda d, auth: d.distribution.inspect(NAME, auth=auth),
}

FAULTS: Final = {
    "refused": json_reply({"message": "unauthorized"}, 401),
    "failed": json_reply({"message": "no"}, 500),
    "no JSON": Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{no}"),
    "no HTTP": Reply(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "nothing": Reply(b""),
    "a reset": Reply(b"", reset=True),
    "cut": attrs.evolve(recorded("pull"), cut_at=recorded("pull").end - 3),
    "an error in the stream": Reply(
        b'HTTP/1.1 200 OK\r\n\r\n{"errorDetail": {"message": "denied"}, "error": "denied"}\r\n'
    ),
}


def spellings(secret: str = SECRET) -> set[str]:
    """The secret as it is, and as it looks within base64, wherever it begins there."""
    found = {secret}
    for front in (b"", b"x", b"xx"):
        for encode in (b64encode, urlsafe_b64encode):
            # The first and the last characters are made of the neighbours too.
            found.add(encode(front + secret.encode()).decode()[4:-4])
    return found


def shown(error: BaseException) -> str:
    """Everything that could be shown of an error, its causes and its contexts."""
    parts: list[str] = []
    queue: list[BaseException | None] = [error]
    seen: set[int] = set()
    while queue:
        exc = queue.pop()
        if exc is None or id(exc) in seen:
            continue
        seen.add(id(exc))
        parts += [str(exc), repr(exc), repr(exc.args), repr(vars(exc)), *getattr(exc, "__notes__", ())]
        queue += [exc.__cause__, exc.__context__, *getattr(exc, "exceptions", ())]
    parts.append("".join(traceback.format_exception(error)))
    if isinstance(error, DockerError):
        parts.append(pickle.dumps(error).decode("latin-1"))
    return "\n".join(parts)


def locals_of_ours(error: BaseException) -> str:
    """The local variables of the frames of ours that an error came through, as a reporter of errors would keep them."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if frame.f_globals.get("__name__", "").startswith("anydocker.")]
    return "\n".join(repr(value) for frame in ours for value in frame.f_locals.values() if is_public(value))


def is_public(value: object) -> bool:
    """Whether it is an object of a class of ours: a bare text of the caller's is his own."""
    return type(value).__module__.startswith("anydocker")


def assert_hidden(text: str) -> None:
    assert [spelling for spelling in spellings() if spelling in text] == []


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever is logged, by whomever, has no secret in it."""
    caplog.set_level(logging.DEBUG)
    yield
    assert_hidden("\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records))


def test_the_spellings_are_found() -> None:
    header = BY_PASSWORD.header()
    assert any(spelling in header for spelling in spellings())
    assert any(spelling in Credentials(username="mee", password=SECRET).header() for spelling in spellings())


@pytest.mark.parametrize("auth", [BY_PASSWORD, BY_TOKEN], ids=["password", "token"])
@pytest.mark.parametrize("name", CALLS)
async def test_calls_that_fail_do_not_tell(
    name: str, auth: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    failed = 0
    for fault in FAULTS.values():
        backend = ReplayBackend({"HEAD /_ping": ReplayBackend({}).find_reply("HEAD /_ping"), "* *": fault})
        async with anydocker.connect(HOST, network_backend=backend) as d:
            try:
                await CALLS[name](d, auth)
            except DockerError as exc:
                assert_hidden(shown(exc) + locals_of_ours(exc))
                failed += 1
            assert_hidden(repr(d) + repr(backend.requests))
    assert failed >= 6


@pytest.mark.parametrize("name", [name for name in CALLS if name != "push of an image"])
async def test_the_secret_was_there_to_be_told(name: str) -> None:
    """On the wire it is: else the test above would say nothing."""
    async with scripted_engine() as engine, anydocker.connect(engine.host) as d:
        with pytest.raises(DockerError):
            await CALLS[name](d, BY_PASSWORD)
        sent = str(engine.requests[-1].headers) + engine.requests[-1].body.decode("latin-1")
    assert any(spelling in sent for spelling in spellings())


async def test_streams_that_are_open_do_not_tell() -> None:
    backend = ReplayBackend({"POST /images/create": recorded("pull"), "POST /build": recorded("build")})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        async with d.images.open_pull(NAME, auth=BY_PASSWORD) as steps:
            assert_hidden(repr(steps) + repr(vars(steps)) + str(d.statistics()))
        async with d.images.open_build(dockerfile_text="FROM x", auth={REGISTRY: BY_TOKEN}) as events:
            assert_hidden(repr(events) + repr(vars(events)))


async def test_an_engine_that_is_gone_does_not_tell() -> None:
    async with scripted_engine() as engine:
        client = anydocker.connect(engine.host)
        await client.__aenter__()
    for name in ("login", "pull", "push", "distribution"):
        with pytest.raises(ConnectError) as caught:
            await CALLS[name](client, BY_PASSWORD)
        assert_hidden(shown(caught.value) + locals_of_ours(caught.value))
    await client.__aexit__(None, None, None)


@pytest.mark.parametrize("value", [BY_PASSWORD, BY_TOKEN, [BY_PASSWORD], {"a": BY_TOKEN}], ids=type)
def test_credentials_do_not_show_themselves(value: object) -> None:
    assert_hidden(f"{value} {value!r} {value!s:>50}")


def test_credentials_that_cannot_be_do_not_tell() -> None:
    with pytest.raises(ValueError, match="credentials are") as caught:
        Credentials(password=SECRET)
    assert_hidden(shown(caught.value) + locals_of_ours(caught.value))


# -- where credentials come from


SOURCES: Final[dict[str, tuple[str, str | None]]] = {
    "no JSON": (f'{{"auths": {{"{REGISTRY}": {{"auth": "{SECRET}"', None),
    "no object": (f'["{SECRET}"]', None),
    "no base64": (json.dumps({"auths": {REGISTRY: {"auth": f"!{SECRET}"}}}), None),
    "no colon": (json.dumps({"auths": {REGISTRY: {"auth": b64encode(SECRET.encode()).decode()}}}), None),
    "helper with another answer": ('{"credsStore": "odd"}', f"echo '{SECRET}'"),
    "helper with half an answer": ('{"credsStore": "odd"}', f"""echo '{{"Secret": "{SECRET}"}}'"""),
    "helper without a name": ('{"credsStore": "odd"}', f"""echo '{{"Username": "", "Secret": "{SECRET}"}}'"""),
    "helper with a list": ('{"credsStore": "odd"}', f"""echo '["{SECRET}"]'"""),
    "helper that fails behind its answer": (
        '{"credsStore": "odd"}',
        f"""echo '{{"Username": "me", "Secret": "{SECRET}"}}'; exit 1""",
    ),
}


@pytest.mark.parametrize("name", SOURCES)
async def test_what_cannot_be_read_is_not_repeated(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, script = SOURCES[name]
    (tmp_path / "config.json").write_text(config)
    if script is not None:
        program = tmp_path / "docker-credential-odd"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    with pytest.raises(AuthError) as caught:
        await find_credentials(REGISTRY, environ=environ)
    assert_hidden(shown(caught.value))
    if script is None:
        with pytest.raises(AuthError) as caught:
            await find_all_credentials(environ=environ)
        assert_hidden(shown(caught.value))


@pytest.mark.parametrize("content", [f'{{"auths": "{SECRET}"', f'["{SECRET}"]', f"{{}} {SECRET}"])
def test_a_configuration_that_names_no_engine_does_not_tell(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(content)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConnectError, match="cannot be read") as caught:
        anydocker.connect()
    assert_hidden(shown(caught.value))


# -- addresses


@pytest.mark.parametrize("scheme", ["tcp", "ssh", "http", "https", "ftp", "TCP", ""])
@pytest.mark.parametrize("rest", ["box", "box:port", "box:2375?query", "b%20ox", "[::1", "böx", ""])
@pytest.mark.parametrize("where", ["argument", "environment", "context"])
def test_a_password_in_an_address(
    scheme: str, rest: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{scheme}://me:{SECRET}@{rest}" if scheme else f"me:{SECRET}@{rest}"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    if where == "context":
        from tests.live.engines_by_name import write_context

        write_context(tmp_path, "box", {"Endpoints": {"docker": {"Host": address}}}, None)
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        anydocker.connect(address if where == "argument" else None, context="box" if where == "context" else None)
    assert_hidden(shown(caught.value))


async def test_a_password_in_the_address_of_a_build_context() -> None:
    remote = f"https://me:{SECRET}@example.org/app.git"
    for fault in FAULTS.values():
        backend = ReplayBackend({"POST /build": fault})
        async with anydocker.connect(HOST, network_backend=backend) as d:
            with pytest.raises(DockerError) as caught:
                await d.images.build(remote=remote)
            assert_hidden(shown(caught.value) + repr(backend.requests))


async def test_a_password_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:{SECRET}@127.0.0.1:9")
    client = anydocker.connect("tcp://127.0.0.1:9")
    with pytest.raises(ConnectError) as caught:
        await client.__aenter__()
    assert_hidden(shown(caught.value) + locals_of_ours(caught.value) + repr(client) + repr(client.endpoint))


async def test_a_secret_in_a_field_that_cannot_be_sent() -> None:
    async with anydocker.connect(HOST, network_backend=ReplayBackend({})) as d:
        with pytest.raises(ValueError, match="headers") as caught:
            await d.request("GET", "/info", headers={"Authorization": f"Bearer {SECRET}\r\nEvil: 1"})
    assert_hidden(shown(caught.value))


def test_keys_for_tls_are_files_and_not_shown(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").write_text(f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n")
    tls = TLSConfig(ca=tmp_path / "ca.pem", cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    with pytest.raises(ConnectError) as caught:
        tls.context()
    assert_hidden(shown(caught.value) + repr(tls) + repr(anydocker.connect("tcp://box", tls=tls).endpoint))
