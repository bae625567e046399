"""The handle on one image."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast, final

import attrs

from anydocker._wire.platform import platform_document, platform_documents
from anydocker._wire.query import QueryValue, path_segment
from anydocker._wire.reference import ImageReference

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker.auth import Credentials
    from anydocker.resources._progress import ProgressCallback
    from anydocker.resources.images._transfer import Pushed
    from anydocker.streams import BodyStream, Progress
    from anydocker.types import (
        AttestationStatement,
        ImageDeleteResponseItem,
        ImageHistoryResponseItem,
        ImageInspect,
        ImageSummary,
    )

__all__ = ("Image",)


@final
@attrs.frozen
class Image:
    """
    A handle on an image; made by ``d.images``.

    Attributes:
        id: The id with its algorithm, ``sha256:...``; for a handle from ``d.images.image()`` what that was given.
        name: The reference it was asked for by, or its first tag; None where it has none.
        summary: The document of the listing it comes from; None for others.
        log: What was said while it was built; None for images that were not built by this handle's maker.
    """

    id: str
    name: str | None = attrs.field(default=None, eq=False)
    summary: ImageSummary | None = attrs.field(default=None, eq=False, repr=False)
    log: str | None = attrs.field(default=None, eq=False, repr=False)
    _docker: Docker = attrs.field(kw_only=True, eq=False, repr=False, alias="docker")

    @property
    def _path(self) -> str:
        return f"/images/{path_segment(self.id, 'image', allow_slash=True)}"

    async def inspect(self, *, manifests: bool = False, platform: str | None = None) -> ImageInspect:
        """
        The engine's document about this image.

        ``GET /images/{name}/json`` (``ImageInspect``).

        Args:
            manifests: With the manifests of all its platforms (``Manifests``). API 1.48.
            platform: The document of that platform, such as ``linux/arm64``. API 1.49.

        Raises:
            NotFound: There is no such image (any more), or none for the platform.
            UnsupportedByEngine: An argument needs a newer version than is spoken.
            ValueError: The platform is malformed.
        """
        query = {"manifests": manifests or None, "platform": platform_document(platform)}
        if manifests:
            self._docker.require("1.48", "inspect(manifests=True)")
        if platform is not None:
            self._docker.require("1.49", "inspect(platform=...)")
        return cast("ImageInspect", (await self._docker.request("GET", f"{self._path}/json", query=query)).document())

    async def history(self, *, platform: str | None = None) -> list[ImageHistoryResponseItem]:
        """
        The steps that made this image, the last one first: ``GET /images/{name}/history`` (``ImageHistory``).

        Args:
            platform: Of that platform, such as ``linux/arm64``. API 1.48.

        Raises:
            NotFound: There is no such image.
            UnsupportedByEngine: ``platform`` is given and a lower version is spoken.
        """
        if platform is not None:
            self._docker.require("1.48", "history(platform=...)")
        query = {"platform": platform_document(platform)}
        response = await self._docker.request("GET", f"{self._path}/history", query=query)
        return cast("list[ImageHistoryResponseItem]", response.documents())

    async def attestations(
        self, *, platform: str | None = None, types: Sequence[str] = (), statement: bool = False
    ) -> list[AttestationStatement]:
        """
        What has been attested of this image: ``GET /images/{name}/attestations`` (``ImageAttestations``). API 1.55.

        Args:
            platform: Of that platform, such as ``linux/arm64``.
            types: Only of these predicate types, such as ``https://slsa.dev/provenance/v1``.
            statement: With the statements themselves.

        Raises:
            NotFound: There is no such image.
            UnsupportedByEngine: A lower version is spoken.
        """
        self._docker.require("1.55", "attestations()")
        query = {
            "platform": platform_document(platform),
            "type": types,
            "statement": statement or None,
        }
        response = await self._docker.request("GET", f"{self._path}/attestations", query=query)
        return cast("list[AttestationStatement]", response.documents())

    async def tag(self, reference: str) -> None:
        """
        Give this image another name.

        ``POST /images/{name}/tag`` (``ImageTag``).

        Args:
            reference: The name, such as ``registry.example:5000/app:1``; the tag is ``latest`` if none is given.

        Raises:
            InvalidReference: It is no name, or has a digest, which cannot be given.
            NotFound: There is no such image.
            Conflict: The name cannot be taken.

        If cancelled: the name may have been given.
        """
        new = ImageReference.parse_new(reference)
        query = {"repo": new.repository, "tag": new.tag}
        await self._docker.request("POST", f"{self._path}/tag", query=query)

    async def push(
        self,
        *,
        auth: Credentials | None = None,
        platform: str | None = None,
        progress: ProgressCallback[Progress] | None = None,
    ) -> Pushed:
        """
        Push this image under the name of this handle; see ``d.images.push``.

        Raises:
            ValueError: The handle has no name, only an id.
        """
        if self.name is None:
            msg = f"{self.id[:19]} has no name to be pushed by: tag() it, then push with d.images.push()"
            raise ValueError(msg)
        return await self._docker.images.push(self.name, auth=auth, platform=platform, progress=progress)

    @asynccontextmanager
    async def open_save(self, *, platform: str | None = None) -> AsyncGenerator[BodyStream, None]:
        """
        The image with its layers as a tar: ``GET /images/{name}/get`` (``ImageGet``); see ``d.images.open_save``.

        Yields:
            The bytes of the tar; ``write_to`` puts them into a file.
        """
        async with self._docker.images.open_save([self.name or self.id], platform=platform) as body:
            yield body

    async def remove(
        self, *, force: bool = False, prune: bool = True, platforms: Sequence[str] = ()
    ) -> list[ImageDeleteResponseItem]:
        """
        Remove this name of the image, and the image with the last of its names.

        ``DELETE /images/{name}`` (``ImageDelete``). A handle whose ``id`` is an id removes the image itself, which
        takes ``force`` if it has several names.

        Args:
            force: Also if it has several names or stopped containers use it.
            prune: Remove parents that have no name, too.
            platforms: Only these platforms of it, such as ``linux/arm64``. API 1.50.

        Returns:
            What was untagged and deleted, in order.

        Raises:
            NotFound: There is no such image.
            Conflict: A container uses it, or it has several names.

        If cancelled: it may have been removed.
        """
        if platforms:
            self._docker.require("1.50", "remove(platforms=...)")
        query: dict[str, QueryValue] = {
            "force": force,
            "noprune": not prune,
            "platforms": platform_documents(platforms),
        }
        response = await self._docker.request("DELETE", self._path, query=query, own_connection=True)
        return cast("list[ImageDeleteResponseItem]", response.documents())
