"""Images: ``d.images``, and the :class:`Image` handle."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from inspect import isawaitable
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast, final

import attrs

from anydocker import context as build_context
from anydocker._wire.auth import auth_header
from anydocker._wire.jsonstream import dumps
from anydocker._wire.query import Filters, encode_filters, path_segment
from anydocker._wire.reference import ImageReference
from anydocker.errors import LoadFailed, ProtocolError, PullFailed
from anydocker.streams import BuildEvent, BuildStream, Progress, ProgressStream, Stream

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker.auth import Credentials
    from anydocker.types import ImageDeleteResponseItem, ImageInspect, ImageSummary

__all__ = ("BuildSource", "Image", "Images", "ProgressCallback")

T = TypeVar("T")

BuildSource: TypeAlias = str | os.PathLike[str] | bytes | AsyncIterable[bytes]
"""A directory, a tar, or a stream of the bytes of a tar."""
ProgressCallback: TypeAlias = Callable[[T], Awaitable[object] | object]
"""Called with each step in the caller's task; if it returns an awaitable, that is awaited."""


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

    async def inspect(self) -> ImageInspect:
        """
        The engine's document about this image.

        ``GET /images/{name}/json`` (``ImageInspect``).

        Raises:
            NotFound: There is no such image (any more).
        """
        return cast("ImageInspect", (await self._docker.request("GET", f"{self._path}/json")).json())

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
        new = ImageReference.parse(reference).with_default_tag()
        if new.digest is not None:
            msg = f"{reference!r}: a digest follows from what an image is, it cannot be given: name a tag"
            raise ValueError(msg)
        query = {"repo": new.repository, "tag": new.tag}
        await self._docker.request("POST", f"{self._path}/tag", query=query)

    async def remove(self, *, force: bool = False, prune: bool = True) -> list[ImageDeleteResponseItem]:
        """
        Remove this name of the image, and the image with the last of its names.

        ``DELETE /images/{name}`` (``ImageDelete``). A handle whose ``id`` is an id removes the image itself, which
        takes ``force`` if it has several names.

        Args:
            force: Also if it has several names or stopped containers use it.
            prune: Remove parents that have no name, too.

        Returns:
            What was untagged and deleted, in order.

        Raises:
            NotFound: There is no such image.
            Conflict: A container uses it, or it has several names.

        If cancelled: it may have been removed.
        """
        query = {"force": force, "noprune": not prune}
        response = await self._docker.request("DELETE", self._path, query=query, own_connection=True)
        return cast("list[ImageDeleteResponseItem]", response.json())


@final
class Images:
    """The images of an engine: ``d.images``."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker

    def image(self, reference: str) -> Image:
        """
        A handle on an image by its name or id. Nothing is sent; whether there is one shows when the handle is used.

        Raises:
            ValueError: It is empty, or could not stand in a path.
        """
        path_segment(reference, "image", allow_slash=True)
        return Image(reference, reference, docker=self._docker)

    async def get(self, reference: str) -> Image:
        """
        Look up an image by its name or id: ``GET /images/{name}/json`` (``ImageInspect``).

        Raises:
            NotFound: There is no such image.
            ValueError: The name is empty, or could not stand in a path.
        """
        document = await self.image(reference).inspect()
        return Image(document["Id"], reference, docker=self._docker)

    async def list(self, *, all: bool = False, filters: Filters | None = None, digests: bool = False) -> list[Image]:
        """
        The images: ``GET /images/json`` (``ImageList``).

        Args:
            all: Intermediate ones of builds, too.
            filters: Which ones, such as ``{"reference": "app:*", "dangling": False}``.
            digests: Have ``RepoDigests`` filled in.

        Returns:
            Handles with the document of the listing as their ``summary``.
        """
        query = {"all": all, "filters": encode_filters(filters), "digests": digests}
        documents = (await self._docker.request("GET", "/images/json", query=query)).json()
        return [self._from_summary(document) for document in documents]

    def _from_summary(self, summary: ImageSummary) -> Image:
        tags = [tag for tag in summary.get("RepoTags") or () if tag != "<none>:<none>"]
        return Image(summary["Id"], tags[0] if tags else None, summary, docker=self._docker)

    # -- pull

    async def pull(
        self,
        reference: str,
        *,
        platform: str | None = None,
        auth: Credentials | None = None,
        progress: ProgressCallback[Progress] | None = None,
    ) -> Image:
        """
        Pull an image.

        ``POST /images/create`` (``ImageCreate``).

        Args:
            reference: Its name; the tag is ``latest`` if neither tag nor digest is given.
            platform: Which variant, such as ``linux/arm64``. Default: the engine's own.
            auth: Credentials for the registry.
            progress: Called with each step.

        Returns:
            The image.

        Raises:
            InvalidReference: The name is malformed.
            NotFound: The registry has no such image.
            PullFailed: The pull failed on the way. Other engines or errors: another :class:`APIError`.

        If cancelled: the engine stops pulling; layers that are complete stay.
        """
        async with self.open_pull(reference, platform=platform, auth=auth) as steps:
            await _report(steps, progress)
        image = ImageReference.parse(reference).with_default_tag()
        # An engine looks a digest up without the tag that may stand before it.
        return await self.get(f"{image.repository}@{image.digest}" if image.digest else str(image))

    @asynccontextmanager
    async def open_pull(
        self, reference: str, *, platform: str | None = None, auth: Credentials | None = None
    ) -> AsyncGenerator[ProgressStream, None]:
        """
        Pull an image and follow the steps; see :meth:`pull`.

        Yields:
            Steps, as :class:`~anydocker.Progress` values. Leaving the block before the end stops the pull.
        """
        image = ImageReference.parse(reference).with_default_tag()
        query = {"fromImage": image.repository, "tag": image.digest or image.tag, "platform": platform}
        headers = {"X-Registry-Auth": auth.header()} if auth else {}
        async with (
            self._docker.open_request("POST", "/images/create", query=query, headers=headers) as body,
            aclosing(ProgressStream(body, PullFailed)) as steps,
        ):
            yield steps

    # -- build

    async def build(
        self,
        source: BuildSource | None = None,
        *,
        dockerfile: str | os.PathLike[str] | None = None,
        dockerfile_text: str | None = None,
        tags: Sequence[str] = (),
        target: str | None = None,
        buildargs: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        platform: str | None = None,
        network: str | None = None,
        no_cache: bool = False,
        pull: bool = False,
        auth: Mapping[str, Credentials] | None = None,
        progress: ProgressCallback[BuildEvent] | None = None,
    ) -> Image:
        """
        Build an image.

        ``POST /build`` (``ImageBuild``), with the engine's classic builder. A directory is sent as a tar while it is
        read; what its ``.dockerignore`` names is left out.

        Args:
            source: The build context: a directory, a tar, or a stream of the bytes of a tar. None: there is nothing
                but ``dockerfile_text``.
            dockerfile: The Dockerfile, relative to a directory, or anywhere else; in a tar, its name there.
            dockerfile_text: The text of a Dockerfile, instead of a file.
            tags: Names for the image.
            target: The stage to build, of several.
            buildargs: Values for ``ARG``; None takes the engine's own environment.
            labels: Labels for the image.
            platform: What to build for, such as ``linux/arm64``.
            network: The network of ``RUN``: ``"none"``, ``"host"`` or a network's name.
            no_cache: Run every step again.
            pull: Look for newer base images.
            auth: Credentials for base images, by registry host.
            progress: Called with each event.

        Returns:
            The image; its ``log`` is what the build said.

        Raises:
            ContextError: The context, its Dockerfile or its ``.dockerignore`` cannot be used.
            InvalidReference: A tag is malformed.
            BuildFailed: A step failed; ``log`` has what was said up to there.
            BadRequest: The engine did not accept the Dockerfile or an argument.

        If cancelled: the build ends, and a step that runs is killed; steps that were complete stay in the cache.
        """
        async with self.open_build(
            source,
            dockerfile=dockerfile,
            dockerfile_text=dockerfile_text,
            tags=tags,
            target=target,
            buildargs=buildargs,
            labels=labels,
            platform=platform,
            network=network,
            no_cache=no_cache,
            pull=pull,
            auth=auth,
        ) as events:
            await _report(events, progress)
            if events.image_id is None:
                raise ProtocolError("the build ended without an error and without an image")
            name = tags[0] if tags else None
            return Image(events.image_id, name, log=events.log, docker=self._docker)

    @asynccontextmanager
    async def open_build(
        self,
        source: BuildSource | None = None,
        *,
        dockerfile: str | os.PathLike[str] | None = None,
        dockerfile_text: str | None = None,
        tags: Sequence[str] = (),
        target: str | None = None,
        buildargs: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        platform: str | None = None,
        network: str | None = None,
        no_cache: bool = False,
        pull: bool = False,
        auth: Mapping[str, Credentials] | None = None,
    ) -> AsyncGenerator[BuildStream, None]:
        """
        Build an image and follow the events; see :meth:`build`.

        Yields:
            Events, as :class:`~anydocker.BuildEvent` values; ``image_id`` is set when the build has succeeded.
            Leaving the block before the end stops the build.
        """
        if isinstance(tags, str):
            raise TypeError("tags is a sequence of names, not one str: tags=[...]")
        names = [str(ImageReference.parse(tag).with_default_tag()) for tag in tags]
        prepared = await build_context.prepare(source, dockerfile=dockerfile, dockerfile_text=dockerfile_text)
        query = {
            "dockerfile": prepared.dockerfile,
            "t": names,
            "target": target,
            "buildargs": dumps(buildargs).decode() if buildargs else None,
            "labels": dumps(labels).decode() if labels else None,
            "platform": platform,
            "networkmode": network,
            "nocache": no_cache or None,
            "pull": pull or None,
            "rm": True,
            "forcerm": True,
        }
        headers = {"Content-Type": "application/x-tar"}
        if auth:
            headers["X-Registry-Config"] = auth_header(
                {host: credentials.document() for host, credentials in auth.items()}
            )
        async with (
            self._docker.open_request("POST", "/build", query=query, headers=headers, body=prepared.body) as body,
            aclosing(BuildStream(body)) as events,
        ):
            yield events

    # -- import

    async def import_(
        self,
        source: bytes | AsyncIterable[bytes],
        *,
        repository: str,
        progress: ProgressCallback[Progress] | None = None,
    ) -> Image:
        """
        Make an image of a root filesystem.

        ``POST /images/create?fromSrc=-`` (``ImageCreate``).

        Args:
            source: A tar of the filesystem, or a stream of its bytes; plain or compressed.
            repository: The name of the image.
            progress: Called with each step.

        Returns:
            The image.

        Raises:
            InvalidReference: The name is malformed.
            LoadFailed: The tar is none.

        If cancelled: there is no image, or a complete one.
        """
        name = str(ImageReference.parse(repository).with_default_tag())
        # The tag goes into repo=, where all engines look for it; Podman 4 ignores tag= here.
        query = {"fromSrc": "-", "repo": name}
        headers = {"Content-Type": "application/x-tar"}
        async with (
            self._docker.open_request("POST", "/images/create", query=query, headers=headers, body=source) as body,
            aclosing(ProgressStream(body, LoadFailed)) as steps,
        ):
            await _report(steps, progress)
        return await self.get(name)


async def _report(stream: Stream[T], progress: ProgressCallback[T] | None) -> None:
    """Run a stream to its end, handing each value to a callback."""
    while batch := await stream.receive_many():
        if progress is None:
            continue
        for value in batch:
            outcome = progress(value)
            if isawaitable(outcome):
                await outcome
