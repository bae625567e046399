"""Containers that last as long as a block: creation that can be undone, removal that gets its way."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio import get_cancelled_exc_class

from anydocker._concurrency import CLEANUP_SECONDS, finish_within
from anydocker._wire.container import requirements, with_address_of_its_own, with_variables
from anydocker._wire.documents import name_at, texts_at
from anydocker._wire.query import path_segment
from anydocker.errors import Conflict, EngineFault, NotFound
from anydocker.resources.container import Container

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker._transport.messages import Response

__all__ = ("create_container", "open_created")

_LOGGER: Final = logging.getLogger("anydocker")
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
    for version, what in requirements(document):
        docker.require(version, what)
    if not docker.speaks("1.44"):
        document = with_address_of_its_own(document)
    document = with_variables(document, await docker.config_proxies())

    async def undo(response: Response) -> None:
        await _remove_for_good(docker, Container(name_at(response.document()), docker=docker))

    response = await docker.request(
        "POST",
        "/containers/create",
        query={"name": name, "platform": platform},
        json=document,
        undo=undo,
    )
    created = response.document()
    container_id = name_at(created)
    warnings = tuple(texts_at(created, "Warnings"))
    for warning in warnings:
        # run() has no handle to show them on.
        _LOGGER.warning("container %s: %s", name or container_id[:12], warning)
    return Container(container_id, name, warnings=warnings, docker=docker)


@asynccontextmanager
async def open_created(
    docker: Docker, document: Mapping[str, Any], name: str | None = None, platform: str | None = None
) -> AsyncGenerator[Container, None]:
    """Create a container, and remove it when the block ends, whatever state it is in."""
    container = await create_container(docker, document, name, platform)
    remove = partial(_remove_for_good, docker, container)
    try:
        yield container
    except Exception:
        await _in_its_own_time(remove)
        raise
    except BaseException:
        await finish_within(CLEANUP_SECONDS, remove)
        raise
    await _in_its_own_time(remove)


async def _in_its_own_time(remove: Callable[[], Awaitable[object]]) -> None:
    """
    Remove, however long a busy engine takes to; only a cancellation sets a limit.

    A limit of ours would leave the container where nobody is told.
    """
    try:
        await remove()
    except get_cancelled_exc_class():
        await finish_within(CLEANUP_SECONDS, remove)
        raise


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
