"""
Fixtures for pytest: ``pytest_plugins = ["anydocker.testing.fixtures"]``.

The engine and the registry last for the session and live in an event loop of their own, so tests on asyncio and
on trio share them. They start when the first test asks for them. Where they cannot be had the tests fail: a test
that is skipped for want of an engine would look like one that passed.

Set ``ANYDOCKER_TEST_HOST`` to run the tests on an engine of your choice; the registry then listens on this
machine's loopback address. Or set ``ANYDOCKER_TEST_KIND`` to ``podman``, to have a private Podman in the place of a
private Docker; ``ANYDOCKER_TEST_OVERLAY`` to the directory with its programs, and ``ANYDOCKER_TEST_OPTIONS`` to more
flags for it, as :func:`private_engine` takes them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Protocol

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.to_thread import run_sync

import anydocker
from anydocker.testing._engine import PrivateEngine, private_engine
from anydocker.testing._kinds import EngineKind
from anydocker.testing._registry import Registry, local_registry
from anydocker.testing._rootfs import BUSYBOX, busybox_rootfs

__all__ = (
    "HOST_VARIABLE",
    "KIND_VARIABLE",
    "OPTIONS_VARIABLE",
    "OVERLAY_VARIABLE",
    "StartEngine",
    "anydocker_engine",
    "anydocker_portal",
    "docker",
    "engine_host",
    "registry",
    "start_engine",
)

HOST_VARIABLE: Final = "ANYDOCKER_TEST_HOST"
KIND_VARIABLE: Final = "ANYDOCKER_TEST_KIND"
OVERLAY_VARIABLE: Final = "ANYDOCKER_TEST_OVERLAY"
OPTIONS_VARIABLE: Final = "ANYDOCKER_TEST_OPTIONS"


@pytest.fixture(scope="session")
def anydocker_portal() -> Iterator[BlockingPortal]:
    """The event loop that the session's engine and registry live in."""
    with start_blocking_portal("asyncio") as portal:
        yield portal


class StartEngine(Protocol):
    """Starts a private engine with more flags for its program, or with a small disk."""

    def __call__(
        self, *, options: Sequence[str] = (), disk_bytes: int | None = None
    ) -> AbstractAsyncContextManager[PrivateEngine]: ...


@pytest.fixture(scope="session")
def start_engine() -> StartEngine:
    """Starts a private engine of the kind that the session's tests run on: for tests that need one of their own."""
    kind: EngineKind = "podman" if os.environ.get(KIND_VARIABLE) == "podman" else "docker"
    overlay = os.environ.get(OVERLAY_VARIABLE)
    given = tuple(os.environ.get(OPTIONS_VARIABLE, "").split())

    def start(
        *, options: Sequence[str] = (), disk_bytes: int | None = None
    ) -> AbstractAsyncContextManager[PrivateEngine]:
        laid_over = Path(overlay) if overlay else None
        return private_engine(kind=kind, overlay=laid_over, options=(*given, *options), disk_bytes=disk_bytes)

    return start


@pytest.fixture(scope="session")
def anydocker_engine(anydocker_portal: BlockingPortal, start_engine: StartEngine) -> Iterator[PrivateEngine | None]:
    """The session's private engine, or None where ``ANYDOCKER_TEST_HOST`` names another."""
    if os.environ.get(HOST_VARIABLE):
        yield None
        return
    with anydocker_portal.wrap_async_context_manager(start_engine()) as engine:
        yield engine


@pytest.fixture(scope="session")
def engine_host(anydocker_engine: PrivateEngine | None, anydocker_portal: BlockingPortal) -> str:
    """The address of an engine for tests. It has the image ``busybox:latest``."""
    host = os.environ[HOST_VARIABLE] if anydocker_engine is None else anydocker_engine.host
    anydocker_portal.call(_seed, host)
    return host


@pytest.fixture(scope="session")
def registry(anydocker_engine: PrivateEngine | None, anydocker_portal: BlockingPortal) -> Iterator[Registry]:
    """An image registry that the engine reaches and that asks for no credentials."""
    with anydocker_portal.wrap_async_context_manager(local_registry(anydocker_engine)) as registry:
        yield registry


# It names the backend's fixture so that anyio runs it for tests that have no mark of anyio's.
@pytest.fixture
async def docker(
    engine_host: str,
    anyio_backend: object,  # noqa: ARG001
) -> AsyncGenerator[anydocker.Docker, None]:
    """A client of the engine, on the test's own backend."""
    async with anydocker.connect(engine_host) as client:
        yield client


async def _seed(host: str) -> None:
    async with anydocker.connect(host) as client:
        try:
            await client.request("GET", f"/images/{BUSYBOX}/json")
        except anydocker.NotFound:
            await client.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
