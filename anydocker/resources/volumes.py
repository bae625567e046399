"""Volumes: ``d.volumes``, and the :class:`Volume` handle."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast, final

import anyio
import attrs

from anydocker._concurrency import CLEANUP_SECONDS, finish_within
from anydocker._wire.container import merge
from anydocker._wire.documents import name_at, objects_at, section_at, texts_at
from anydocker._wire.query import Filters, encode_filters, path_segment
from anydocker.errors import Conflict, NotFound
from anydocker.resources.networks import check_mapping, check_pairs, check_word

if TYPE_CHECKING:
    from anydocker import types
    from anydocker._client import Docker
    from anydocker._transport.messages import Response

__all__ = ("Volume", "Volumes")

# Creating a volume that exists gives that one, and no sign of it. The label tells which block a volume is of, so
# that its end never takes away somebody else's data.
_BLOCK_LABEL: Final = "anydocker.block"
# Seconds between two attempts to remove a volume that a container is just letting go of.
_REMOVAL_PAUSE: Final = 0.05


@final
@attrs.frozen
class Volume:
    """
    A handle on a volume; made by ``d.volumes``.

    Attributes:
        name: The name, which is also what a volume is known by.
        summary: The document of the listing it comes from; None for others.
    """

    name: str
    summary: types.Volume | None = attrs.field(default=None, eq=False, repr=False)
    _docker: Docker = attrs.field(kw_only=True, eq=False, repr=False, alias="docker")

    @property
    def _path(self) -> str:
        return f"/volumes/{path_segment(self.name, 'volume')}"

    async def inspect(self) -> types.Volume:
        """
        The engine's document about this volume.

        ``GET /volumes/{name}`` (``VolumeInspect``).

        Raises:
            NotFound: There is no such volume.
        """
        return cast("types.Volume", (await self._docker.request("GET", self._path)).document())

    async def update(self, spec: Mapping[str, Any], *, version: int) -> None:
        """
        Change a volume of a swarm.

        ``PUT /volumes/{name}`` (``VolumeUpdate``). API 1.42.

        Args:
            spec: Its whole specification, of which only ``Availability`` may differ from what it is now.
            version: The version it is a change of, ``["ClusterVolume"]["Version"]["Index"]`` of :meth:`inspect`.

        Raises:
            NotFound: There is no such volume.
            BadRequest: The specification cannot be changed so, or the version is not the last one. Some engines:
                EngineFault.
            Unavailable: The engine is not a manager of a swarm.
            UnsupportedByEngine: A lower version is spoken.
            ValueError: The version is negative.
            TypeError: An argument is of the wrong type; the message names it.

        If cancelled: it may have been changed.
        """
        document = {"Spec": check_mapping(spec, "spec")}
        if document["Spec"] is None:
            raise TypeError("spec: expected a mapping, not None")
        query = {"version": _check_version(version)}
        self._docker.require("1.42", "update()")
        await self._docker.request("PUT", self._path, query=query, json=document)

    async def remove(self, *, force: bool = False) -> None:
        """
        Remove this volume, and what is in it.

        ``DELETE /volumes/{name}`` (``VolumeDelete``).

        Args:
            force: Also if its driver is gone, or it itself: then it is no error.

        Raises:
            NotFound: There is no such volume, and ``force`` is not given.
            Conflict: A container has it, running or not; ``force`` does not change that. (Podman removes the
                container, too.)

        If cancelled: it may have been removed.
        """
        await self._docker.request("DELETE", self._path, query={"force": force}, own_connection=True)


@final
class Volumes:
    """The volumes of an engine: ``d.volumes``."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker

    def volume(self, name: str) -> Volume:
        """
        A handle on a volume by its name. Nothing is sent; whether there is one shows when it is used.

        Raises:
            ValueError: It is empty, or could not stand in a path.
        """
        path_segment(name, "volume")
        return Volume(name, docker=self._docker)

    async def get(self, name: str) -> Volume:
        """
        Look up a volume by its name: ``GET /volumes/{name}`` (``VolumeInspect``).

        Raises:
            NotFound: There is no such volume.
            ValueError: The name is empty, or could not stand in a path.
        """
        document = await self.volume(name).inspect()
        return self.volume(name_at(document, "Name"))

    async def create(
        self,
        name: str | None = None,
        *,
        driver: str | None = None,
        driver_opts: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Volume:
        """
        See to it that there is a volume of this name.

        ``POST /volumes/create`` (``VolumeCreate``). To the engine it is no error if there is one: that one stays as
        it is, whatever the other arguments say.

        Args:
            name: The name. Default: the engine makes one up, for a new volume.
            driver: Its driver. Default: ``"local"``.
            driver_opts: Options of the driver, such as ``{"type": "tmpfs", "device": "tmpfs", "o": "size=64m"}``.
            labels: Labels.
            config: A raw document that is merged into the one made of the other arguments, and wins. With
                ``ClusterVolumeSpec`` in it, it is a volume of the swarm. API 1.42.

        Returns:
            The volume.

        Raises:
            Conflict: There is a volume of this name that has another driver.
            NotFound: There is no such driver.
            BadRequest: The driver did not accept the name or an option. Some engines: EngineFault.
            UnsupportedByEngine: ``ClusterVolumeSpec`` is given and a lower version is spoken.
            ValueError: An argument is blank; the message names it.
            TypeError: An argument is of the wrong type; the message names it.

        If cancelled: a volume that there was before is still there, a new one is not. Should the engine not answer
        for ten seconds, it may create one later.
        """
        document = self._document(name, driver, driver_opts, labels, config)
        is_new = "Name" not in document or not await self._exists(document["Name"])
        made = await self._create(document, lambda _: is_new)
        return self.volume(name_at(made, "Name"))

    @asynccontextmanager
    async def open_create(
        self,
        name: str | None = None,
        *,
        driver: str | None = None,
        driver_opts: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Volume, None]:
        """
        Create a volume for as long as a block lasts.

        The arguments and errors are those of :meth:`create`. It gets one label more, ``anydocker.block``.

        Yields:
            The volume. When the block ends, by any road, it is removed with what is in it: the engine has ten seconds
            for that.

        Raises:
            Conflict: There is a volume of this name, which stays as it is. Or, at the end of the block: a container
                still has the volume after ten seconds, so it stays.
        """
        block = os.urandom(16).hex()
        document = self._document(name, driver, driver_opts, labels, config)
        document = merge(document, {"Labels": {_BLOCK_LABEL: block}})

        def is_mine(made: types.Volume) -> bool:
            return section_at(made, "Labels").get(_BLOCK_LABEL) == block

        made = await self._create(document, is_mine)
        if not is_mine(made):
            msg = f"there is a volume {made['Name']} already, and the end of the block would remove it"
            raise Conflict(msg, 409, "POST", "/volumes/create")
        volume = self.volume(name_at(made, "Name"))
        try:
            yield volume
        finally:
            if not await finish_within(CLEANUP_SECONDS, lambda: _remove_for_good(volume)):
                # The engine says which container has it.
                await volume.remove(force=True)

    def _document(
        self,
        name: str | None,
        driver: str | None,
        driver_opts: Mapping[str, str] | None,
        labels: Mapping[str, str] | None,
        config: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """The document for a volume; ``config`` is merged into it and wins."""
        options = {
            "Name": check_word(name, "name"),
            "Driver": check_word(driver, "driver"),
            "DriverOpts": check_pairs(driver_opts, "driver_opts"),
            "Labels": check_pairs(labels, "labels"),
        }
        document: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
        document = merge(document, check_mapping(config, "config") or {})
        if "ClusterVolumeSpec" in document:
            # Older engines would make a volume of their own instead.
            self._docker.require("1.42", "create(config={'ClusterVolumeSpec': ...})")
        return document

    async def _create(self, document: dict[str, Any], is_mine: Callable[[types.Volume], bool]) -> types.Volume:
        """Create a volume; if that is cancelled, and it is a new one, there is none."""

        async def undo(response: Response) -> None:
            made = cast("types.Volume", response.document())
            if is_mine(made):
                await _remove_for_good(self.volume(name_at(made, "Name")))

        response = await self._docker.request("POST", "/volumes/create", json=document, undo=undo)
        return cast("types.Volume", response.document())

    async def _exists(self, name: str) -> bool:
        try:
            await self.get(name)
        except NotFound:
            return False
        return True

    async def prune(self, *, all: bool = False, filters: Filters | None = None) -> types.VolumePruneResponse:
        """
        Remove volumes that no container has, and what is in them: ``POST /volumes/prune`` (``VolumePrune``).

        Args:
            all: Also those that were given a name. Engines below API 1.42 know no other way: there it has to be
                asked for.
            filters: Only those, such as ``{"label": {"ci": None}}``.

        Returns:
            The names, and the bytes reclaimed.

        Raises:
            UnsupportedByEngine: ``all`` is not given and a version below 1.42 is spoken. Nothing was removed.
            ValueError: ``filters`` has ``all`` in it.

        If cancelled: the engine may go on.
        """
        if "all" in (filters or {}):
            raise ValueError("filters: 'all' is an argument of its own: prune(all=True)")
        if self._docker.speaks("1.42"):
            filters = {**(filters or {}), "all": all}
        elif not all:
            self._docker.require("1.42", "prune() of unnamed volumes alone (all=True is for all)")
        query = {"filters": encode_filters(filters)}
        response = await self._docker.request("POST", "/volumes/prune", query=query, own_connection=True)
        return cast("types.VolumePruneResponse", response.document())

    async def list(self, *, filters: Filters | None = None) -> list[Volume]:
        """
        The volumes: ``GET /volumes`` (``VolumeList``).

        Args:
            filters: Which ones, such as ``{"driver": "local", "label": {"ci": None}}`` or ``{"dangling": True}``.

        Returns:
            Handles with the document as their ``summary``.

        Warns:
            RuntimeWarning: The list is not complete: the engine did not reach one of its drivers, and says which.
        """
        query = {"filters": encode_filters(filters)}
        answer = (await self._docker.request("GET", "/volumes", query=query)).document()
        for text in texts_at(answer, "Warnings"):
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        return [self._from_summary(cast("types.Volume", document)) for document in objects_at(answer, "Volumes")]

    def _from_summary(self, summary: types.Volume) -> Volume:
        return Volume(name_at(summary, "Name"), summary, docker=self._docker)


async def _remove_for_good(volume: Volume) -> None:
    """Remove a volume as soon as no container has it any more."""
    while True:
        try:
            await volume.remove(force=True)
        except NotFound:
            return
        except Conflict:
            await anyio.sleep(_REMOVAL_PAUSE)
        else:
            return


def _check_version(version: int) -> int:
    match version:
        case int() if not isinstance(version, bool):
            if version < 0:
                msg = f"version={version!r} is negative"
                raise ValueError(msg)
            return version
        case _:
            raise TypeError(f"version: expected the number of a version, not {version!r}")
