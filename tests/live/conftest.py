"""What the live tests share: a container that sleeps, images in the registry, the engine's own command line."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from anyio.from_thread import BlockingPortal
from anyio.to_thread import run_sync

import anydocker
from anydocker import Container, Docker
from anydocker.testing import PrivateEngine, Registry, local_registry
from tests.live.differences import Difference, engine_name, expected_difference
from tests.live.docker_home import DockerHome
from tests.live.engines_by_name import Engines, engines_by_name
from tests.live.helpers import CLI
from tests.live.ssh_server import ssh_server

PASSWORD: Final = ("alice", "s3cret")
# The limit, in seconds, of a test that is expected to fail; it is cancelled ten seconds earlier.
LIMIT_IN_VAIN: Final = 20.0
BACKENDS: Final = ("asyncio", "asyncio+uvloop", "trio")
# The name of the engine that is tested.
ENGINE: Final = pytest.StashKey[str]()


# -- what is known to be different on some engines


async def _engine_name(host: str) -> str:
    async with anydocker.connect(host) as client:
        return await engine_name(client)


# Before all others, one of which may be what the engine cannot do.
@pytest.fixture(scope="session", autouse=True)
def name_of_engine(request: pytest.FixtureRequest, engine_host: str, anydocker_portal: BlockingPortal) -> None:
    request.config.stash[ENGINE] = anydocker_portal.call(_engine_name, engine_host)


def _difference(item: pytest.Item) -> Difference | None:
    """Why the test is listed, in differences.py, as one that fails on this engine; None where it is not."""
    engine = item.config.stash.get(ENGINE, None)
    if engine is None or not isinstance(item, pytest.Function):
        return None
    return expected_difference(engine, _names(item))


def _names(item: pytest.Function) -> set[str]:
    file = item.path.stem.removeprefix("test_")
    case = item.callspec.id if hasattr(item, "callspec") else ""
    case = "-".join(part for part in case.split("-") if part not in BACKENDS)
    return {file, f"{file}::{item.originalname}", f"{file}::{item.originalname}[{case}]"}


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    if _difference(pyfuncitem) is not None:
        pyfuncitem.add_marker(pytest.mark.timeout(LIMIT_IN_VAIN), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    difference = _difference(item)
    if difference is None:
        return report
    if report.when == "teardown":
        # A test that ends half-way leaves things behind; they have been removed.
        report.outcome = "passed"
    elif report.failed:
        report.outcome, report.wasxfail = "skipped", difference.reason
    elif report.when == "call" and not difference.sometimes:
        report.outcome, report.longrepr = "failed", f"listed in differences.py, but passes: {difference.reason}"
    return report


@pytest.fixture
def label() -> str:
    """A label that no other test has."""
    return f"anydocker-test-{secrets.token_hex(8)}"


@pytest.fixture
async def tag(docker: Docker, label: str) -> AsyncGenerator[str, None]:
    """A name for images, which are removed after the test, as are those whose names begin with it."""
    yield label
    for image in await docker.images.list(filters={"reference": [f"{label}*", f"{label}*/*"]}):
        for name in (image.summary["RepoTags"] if image.summary else None) or ():
            # By its name: what another build in the cache goes back to only loses that.
            await docker.images.image(name).remove(force=True)


@pytest.fixture
def cli(engine_host: str) -> CLI:
    """Runs the ``docker`` command line against the engine: what it prints is the truth to compare with."""

    async def run(*words: str) -> str:
        command = ("docker", "--host", engine_host, *words)
        process = await run_sync(partial(subprocess.run, command, capture_output=True, text=True))
        assert process.returncode == 0, process.stderr
        return process.stdout.strip()

    return run


@asynccontextmanager
async def _sleeping(host: str) -> AsyncGenerator[str, None]:
    async with (
        anydocker.connect(host) as client,
        client.containers.open_run("busybox", ["sleep", "86400"], network="none") as container,
    ):
        yield container.id


@pytest.fixture(scope="session")
def sleeper_id(engine_host: str, anydocker_portal: BlockingPortal) -> Iterator[str]:
    with anydocker_portal.wrap_async_context_manager(_sleeping(engine_host)) as container_id:
        yield container_id


@pytest.fixture
def sleeper(docker: Docker, sleeper_id: str) -> Container:
    """A container that sleeps for the whole session: to execute commands in, never to change."""
    return docker.containers.container(sleeper_id)


@asynccontextmanager
async def _published(host: str, registry: Registry) -> AsyncGenerator[str, None]:
    """An image with a layer of its own that is in the registry, but not in the engine."""
    name = f"{registry.address}/app:1"
    async with anydocker.connect(host) as client:
        image = await client.images.build(
            dockerfile_text=f"FROM busybox\nRUN echo {name} > /app", tags=[name], network="none"
        )
        push = client.request(
            "POST", f"/images/{registry.address}/app/push", query={"tag": "1"}, headers={"X-Registry-Auth": "e30="}
        )
        assert b"errorDetail" not in (await push).body
        await image.remove(force=True)
        yield name


@pytest.fixture(scope="session")
def published(engine_host: str, registry: Registry, anydocker_portal: BlockingPortal) -> Iterator[str]:
    with anydocker_portal.wrap_async_context_manager(_published(engine_host, registry)) as name:
        yield name


@pytest.fixture
async def pullable(docker: Docker, published: str) -> AsyncGenerator[str, None]:
    """The name of an image that the engine can pull, and does not have."""
    yield published
    with suppress(anydocker.NotFound):
        await docker.images.image(published).remove(force=True)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DockerHome:
    """A configuration directory of the command line, and a place on PATH for credential helpers."""
    return DockerHome(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def ssh_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running sshd, and a directory with an ``ssh`` that knows it."""
    directory = tmp_path_factory.mktemp("ssh")
    with ssh_server(directory):
        yield directory


@pytest.fixture(scope="session")
def named_engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """Small engines that say who they are, with and without TLS."""
    with engines_by_name(tmp_path_factory.mktemp("engines")) as running:
        yield running


@pytest.fixture(scope="session")
def token_registry(anydocker_engine: PrivateEngine | None, anydocker_portal: BlockingPortal) -> Iterator[Registry]:
    """A registry that asks for a token."""
    registry = local_registry(anydocker_engine, credentials=PASSWORD, tokens=True)
    with anydocker_portal.wrap_async_context_manager(registry) as running:
        yield running


@pytest.fixture(scope="session")
def closed_registry(anydocker_engine: PrivateEngine | None, anydocker_portal: BlockingPortal) -> Iterator[Registry]:
    """A registry that asks for a password."""
    registry = local_registry(anydocker_engine, credentials=PASSWORD)
    with anydocker_portal.wrap_async_context_manager(registry) as running:
        yield running
