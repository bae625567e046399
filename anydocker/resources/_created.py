"""Containers that last as long as a block: creation that can be undone, removal that gets its way."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio

from anydocker._concurrency import CLEANUP_SECONDS, finish_within
from anydocker._wire.container import with_address_of_its_own
from anydocker._wire.documents import name_at
from anydocker._wire.query import path_segment
from anydocker.errors import Conflict, EngineFault, NotFound
from anydocker.resources.container import Container

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker._transport.messages import Response

__all__ = ("create_container", "open_created")

# Seconds between two looks at a container that somebody else is removing.
_REMOVAL_PAUSE: Final = 0.05


async def create_container(
    docker: Docker, document: Mapping[str, Any], name: str | None = None, platform: str | None = None
) -> Container:
    """Create a container; if that is cancelled, there is none."""
    if name is not None:
        path_segment(name, "name")
    if platform is not None:
        docker.require("1.41", "create(platform=...)")
    healthcheck: Mapping[str, Any] = document.get("Healthcheck") or {}
    if healthcheck.get("StartInterval"):
        docker.require("1.44", "HealthCheck(start_interval_seconds=...)")
    if not docker.speaks("1.44"):
        document = with_address_of_its_own(document)

    async def undo(response: Response) -> None:
        await _remove_for_good(docker, Container(name_at(response.document()), docker=docker))

    response = await docker.request(
        "POST",
        "/containers/create",
        query={"name": name, "platform": platform},
        json=document,
        undo=undo,
    )
    return Container(name_at(response.document()), name, docker=docker)


@asynccontextmanager
async def open_created(
    docker: Docker, document: Mapping[str, Any], name: str | None = None, platform: str | None = None
) -> AsyncGenerator[Container, None]:
    """Create a container, and remove it when the block ends, whatever state it is in."""
    container = await create_container(docker, document, name, platform)
    try:
        yield container
    finally:
        await finish_within(CLEANUP_SECONDS, lambda: _remove_for_good(docker, container))


async def _remove_for_good(docker: Docker, container: Container) -> None:
    """Remove a container in whatever state it is, also when somebody else is at it."""
    # Podman's answer is a fault, when it is itself still tidying up after the process.
    busy = (Conflict, EngineFault) if docker.is_podman else Conflict
    while True:
        try:
            await container.remove(force=True, volumes=True)
        except NotFound:
            return
        except busy:
            await anyio.sleep(_REMOVAL_PAUSE)
        else:
            return
