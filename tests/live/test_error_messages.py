"""What ``docs/errors.md`` says a user reads, against what a user does read: each situation of the page is made."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import attrs
import pytest
from anyio.to_thread import run_sync

import anydocker
import anydocker.errors
from anydocker import Docker, TLSConfig
from anydocker.testing import Registry, ReplayBackend, Reply, json_reply, scripted_engine
from tests.helpers import refused_as_nobody
from tests.live.docker_home import DockerHome
from tests.live.engines_by_name import Engines, write_context

pytestmark = [pytest.mark.anyio, pytest.mark.live]

PAGE: Final = Path(__file__).parents[2] / "docs" / "errors.md"
HEAD: Final = "| situation | error | message |"
# The situation, the class of the error, and its message between one backtick or two.
ROW: Final = re.compile(r"^\| (.+?) \| `(\w+)` \| (`` ?|`)(.+?)(?: ``|`) \|$", re.MULTILINE)


@attrs.frozen
class World:
    """What a situation is made of. What is said about it has placeholders in place of ``values``."""

    directory: Path
    engines: Engines
    docker: Docker
    closed_registry: Registry
    home: DockerHome
    ssh: Path
    monkeypatch: pytest.MonkeyPatch
    values: dict[str, str] = attrs.field(factory=dict[str, str])

    def placed(self, message: str) -> str:
        """The message as the page has it."""
        for value in sorted(self.values, key=len, reverse=True):
            message = message.replace(value, f"<{self.values[value]}>")
        return message

    def tcp(self, port: int, host: str = "127.0.0.1") -> str:
        self.values[str(port)] = "port"
        return f"tcp://{host}:{port}"

    def tls(self, ca: str = "certs", certificate: str | None = "certs") -> TLSConfig:
        directory = self.engines.directory
        if certificate is None:
            return TLSConfig(ca=directory / ca / "ca.pem")
        own = directory / certificate
        return TLSConfig(ca=directory / ca / "ca.pem", cert=own / "cert.pem", key=own / "key.pem")


@pytest.fixture
def world(
    tmp_path: Path,
    named_engines: Engines,
    docker: Docker,
    closed_registry: Registry,
    home: DockerHome,
    ssh_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
    values = {str(tmp_path): "dir", str(named_engines.directory): "dir"}
    return World(tmp_path, named_engines, docker, closed_registry, home, ssh_directory, monkeypatch, values)


async def reach(host: str | None = None, **options: Any) -> None:
    async with anydocker.connect(host, **options):
        pytest.fail("reached an engine")


# -- no engine


async def no_socket(world: World) -> None:
    world.monkeypatch.setenv("DOCKER_HOST", f"unix://{world.directory}/d.sock")
    await reach()


async def stale_socket(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(world.directory / "d.sock"))
    await reach(f"unix://{world.directory}/d.sock")


async def not_allowed(world: World) -> None:
    path = world.directory / "d.sock"
    async with await anyio.create_unix_listener(path):
        await run_sync(path.chmod, 0)
        raise await refused_as_nobody(f"unix://{path}", "asyncio")


async def closed_port(world: World) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        await reach(world.tcp(sock.getsockname()[1]))


async def no_name(world: World) -> None:
    host = "no-such-host.invalid"
    try:
        await run_sync(socket.getaddrinfo, host, 2375)
    except socket.gaierror as exc:
        world.values[exc.strerror or ""] = "what the resolver says"
    await reach(f"tcp://{host}:2375")


async def not_an_engine(world: World) -> None:
    async with scripted_engine({"* /_ping": Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")}) as engine:
        world.values[engine.host.removeprefix("unix://")] = "socket"
        await reach(engine.host)


async def not_http(world: World) -> None:
    async with scripted_engine({"* /_ping": Reply(b"SSH-2.0-OpenSSH_9.2p1\r\n")}) as engine:
        world.values[engine.host.removeprefix("unix://")] = "socket"
        await reach(engine.host)


async def no_context(world: World) -> None:
    await reach(context="box")


async def no_current_context(world: World) -> None:
    world.home.configure(currentContext="box")
    await reach()


async def empty_context(world: World) -> None:
    write_context(world.directory, "box", {"Name": "box", "Endpoints": {}}, None)
    (meta,) = world.directory.glob("contexts/meta/*")
    world.values[meta.name] = "id"
    await reach(context="box")


async def broken_configuration(world: World) -> None:
    (world.directory / "config.json").write_text("{")
    await reach()


async def two_names(world: World) -> None:
    await reach("unix:///d.sock", context="box")


async def bad_address(world: World) -> None:
    world.monkeypatch.setenv("DOCKER_HOST", "/var/run/docker.sock")
    await reach()


async def password_in_address(world: World) -> None:
    await reach("tcp://me:secret@engine.example:2375")


# -- TLS


async def wrong_authority(world: World) -> None:
    await reach(world.tcp(world.engines.mutual), tls=world.tls("other-ca"))


async def wrong_name(world: World) -> None:
    await reach(world.tcp(world.engines.mutual, "localhost"), tls=world.tls())


async def no_certificate(world: World) -> None:
    await reach(world.tcp(world.engines.mutual), tls=world.tls(certificate=None))


async def tls_on_plain(world: World) -> None:
    await reach(world.tcp(world.engines.plain), tls=world.tls())


async def plain_on_tls(world: World) -> None:
    await reach(world.tcp(world.engines.tls))


async def no_pem(world: World) -> None:
    await reach(world.tcp(world.engines.tls), tls=world.tls("none"))


async def environment_without_pem(world: World) -> None:
    world.monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    await reach(world.tcp(world.engines.tls))


# -- ssh


def use_ssh(world: World, *options: str) -> str:
    program = world.directory / "ssh"
    program.write_text(f'#!/bin/sh\nexec {world.ssh}/ssh {" ".join(options)} "$@"\n')
    program.chmod(0o755)
    (port,) = re.findall(r"Port (\d+)", (world.ssh / "ssh_config").read_text())
    world.values[port] = "port"
    return "ssh://root@box"


async def unknown_key(world: World) -> None:
    await reach(use_ssh(world, "-o UserKnownHostsFile=/dev/null"))


async def ssh_refused(world: World) -> None:
    use_ssh(world)
    await reach("ssh://root@box:1")


async def not_let_in(world: World) -> None:
    await reach(use_ssh(world).replace("root", "nobody"))


async def no_docker_there(world: World) -> None:
    host = use_ssh(world, f"-i {world.ssh}/bare")
    shell = ["/bin/sh", "-c", "docker system dial-stdio"]
    done = await run_sync(partial(subprocess.run, shell, capture_output=True, text=True, env={"PATH": "/nonexistent"}))
    world.values[done.stderr.strip()] = "what the shell says"
    await reach(host)


async def no_socket_there(world: World) -> None:
    await reach(use_ssh(world) + "/nonexistent.sock")


async def no_ssh(world: World) -> None:
    world.monkeypatch.setenv("PATH", "/nonexistent")
    await reach("ssh://root@box")


# -- versions


async def pinned_too_new(world: World) -> None:
    await reach("unix:///d.sock", api_version="1.99")


async def pinned_by_environment(world: World) -> None:
    world.monkeypatch.setenv("DOCKER_API_VERSION", "1.12")
    await reach("unix:///d.sock")


async def pinned_badly(world: World) -> None:
    await reach("unix:///d.sock", api_version="newest")


async def pinned_too_new_for_the_engine(world: World) -> None:
    backend = ReplayBackend({"GET /version": json_reply({"MinAPIVersion": "1.24"})}, api_version="1.45")
    await reach("unix:///d.sock", api_version="1.50", network_backend=backend)


async def engine_too_old(world: World) -> None:
    await reach("unix:///d.sock", network_backend=ReplayBackend({}, api_version="1.39"))


async def engine_too_new(world: World) -> None:
    backend = ReplayBackend({"GET /version": json_reply({"MinAPIVersion": "1.60"})}, api_version="1.70")
    await reach("unix:///d.sock", network_backend=backend)


async def unsupported(world: World) -> None:
    async with anydocker.connect("unix:///d.sock", network_backend=ReplayBackend({}, api_version="1.41")) as d:
        await d.containers.container("web").stop(signal="SIGINT")


# -- credentials


def private(world: World) -> str:
    world.values[world.closed_registry.address] = "registry"
    return f"{world.closed_registry.address}/app:1"


async def pull_with_helper(world: World, script: str | None) -> None:
    name = private(world)
    if script is not None:
        world.home.install_program("docker-credential-keys", script)
    world.home.configure(credsStore="keys")
    await world.docker.images.pull(name)


async def no_helper(world: World) -> None:
    await pull_with_helper(world, None)


async def helper_fails(world: World) -> None:
    await pull_with_helper(world, "echo 'the keychain is locked'; exit 1")


async def helper_says_nothing(world: World) -> None:
    await pull_with_helper(world, "exit 1")


async def helper_says_garbage(world: World) -> None:
    await pull_with_helper(world, "echo garbage")


async def bad_entry(world: World) -> None:
    name = private(world)
    world.home.configure(auths={world.closed_registry.address: {"auth": "garbage"}})
    await world.docker.images.pull(name)


async def configuration_not_json(world: World) -> None:
    (world.directory / "config.json").write_text("{")
    await world.docker.images.pull(private(world))


async def empty_credentials(world: World) -> None:
    anydocker.Credentials(password="secret")


# -- calls


async def nothing_there(world: World) -> None:
    backend = ReplayBackend({"* /containers/web/json": json_reply({"message": "No such container: web"}, 404)})
    async with anydocker.connect("unix:///d.sock", network_backend=backend) as d:
        await d.containers.container("web").inspect()


async def bad_name(world: World) -> None:
    await world.docker.images.pull("Busybox:latest")


async def bad_id(world: World) -> None:
    await world.docker.containers.container("../images").inspect()


async def container_fails(world: World) -> None:
    await world.docker.containers.run("busybox", ["sh", "-c", "echo no such thing >&2; exit 3"], network="none")


async def cut(world: World) -> None:
    reply = json_reply({"Containers": 1})
    backend = ReplayBackend({"* /info": attrs.evolve(reply, cut_at=reply.end - 5)})
    async with anydocker.connect("unix:///d.sock", network_backend=backend) as d:
        await d.info()


async def no_build_context(world: World) -> None:
    await world.docker.images.build(world.directory / "app")


async def no_dockerfile(world: World) -> None:
    await world.docker.images.build(world.directory)


async def nothing_to_copy(world: World) -> None:
    await world.docker.containers.container("web").copy_to(world.directory / "missing", "/")


async def not_entered(world: World) -> None:
    await anydocker.connect("unix:///d.sock").info()


SITUATIONS: Final[dict[str, Callable[[World], Awaitable[None]]]] = {
    "there is no socket": no_socket,
    "nothing listens on the socket": stale_socket,
    "the user may not use the socket": not_allowed,
    "nothing listens on the port": closed_port,
    "the host has no address": no_name,
    "something else answers, in HTTP": not_an_engine,
    "something else answers, not in HTTP": not_http,
    "the context is missing": no_context,
    "the current context is missing": no_current_context,
    "the context has no engine": empty_context,
    "`config.json` is broken": broken_configuration,
    "both an address and a context": two_names,
    "the address is none": bad_address,
    "the address has a password": password_in_address,
    "another authority": wrong_authority,
    "another name": wrong_name,
    "no client certificate": no_certificate,
    "TLS on a plain port": tls_on_plain,
    "no TLS on a TLS port": plain_on_tls,
    "a file for TLS is missing": no_pem,
    "`DOCKER_TLS_VERIFY` and no certificates": environment_without_pem,
    "the host's key is unknown": unknown_key,
    "ssh is refused": ssh_refused,
    "ssh is not let in": not_let_in,
    "there is no docker over there": no_docker_there,
    "there is no engine over there": no_socket_there,
    "there is no ssh here": no_ssh,
    "`api_version=` is too new": pinned_too_new,
    "`DOCKER_API_VERSION` is too old": pinned_by_environment,
    "`api_version=` is no version": pinned_badly,
    "`api_version=` is too new for the engine": pinned_too_new_for_the_engine,
    "the engine is too old": engine_too_old,
    "the engine is too new": engine_too_new,
    "a call is too new for the engine": unsupported,
    "the credential helper is missing": no_helper,
    "the credential helper fails": helper_fails,
    "the credential helper gives no reason": helper_says_nothing,
    "the credential helper says something else": helper_says_garbage,
    "an entry of `config.json` is broken": bad_entry,
    "`config.json` is no JSON": configuration_not_json,
    "credentials without a user name": empty_credentials,
    "there is no such container": nothing_there,
    "an image's name is none": bad_name,
    "a container's id is none": bad_id,
    "a container fails": container_fails,
    "the connection is cut": cut,
    "there is no build context": no_build_context,
    "there is no Dockerfile": no_dockerfile,
    "there is nothing to copy": nothing_to_copy,
    "the client was not entered": not_entered,
}


KNOWN: Final[dict[str, type[Exception]]] = {
    "RuntimeError": RuntimeError,
    "ValueError": ValueError,
    **{name: getattr(anydocker.errors, name) for name in anydocker.errors.__all__},
}


def read_page() -> dict[str, tuple[str, str]]:
    return {row[1]: (row[2], row[4]) for row in ROW.finditer(PAGE.read_text())}


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_the_page_says_what_a_user_reads(situation: str, world: World) -> None:
    error, message = read_page()[situation]
    with pytest.raises(KNOWN[error]) as caught:
        await SITUATIONS[situation](world)
    assert (type(caught.value).__name__, world.placed(str(caught.value))) == (error, message)


def test_the_page_has_these_situations_and_no_other() -> None:
    assert list(read_page()) == list(SITUATIONS)
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and line != HEAD]
    assert len(rows) == len(SITUATIONS)
