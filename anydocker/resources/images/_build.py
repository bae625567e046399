"""Building images."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias, cast

import attrs

from anydocker._files import upload_body
from anydocker._wire.auth import auth_header
from anydocker._wire.build import Builder, BuildLimits, BuildOutput, build_query
from anydocker._wire.checks import check_items, check_type
from anydocker._wire.jsonstream import dumps
from anydocker._wire.query import Filters, encode_filters
from anydocker.auth import Credentials, find_all_credentials
from anydocker.errors import ProtocolError, UnsupportedByEngine
from anydocker.resources._progress import ProgressCallback, check_progress, report
from anydocker.resources.images._handle import Image
from anydocker.streams import BuildEvent, BuildStream

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker.types import BuildPruneResponse

__all__ = ("BuildSource", "ImageBuild")

BuildSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | AsyncIterable[bytes]
"""A directory; or a tar, plain or compressed, as bytes, a binary file or a stream of bytes."""

# Outputs of BuildKit that are images of the engine's.
_IMAGES: Final = frozenset({"image", "moby"})


class ImageBuild:
    """The part of ``d.images`` that builds."""

    _docker: Docker

    async def build(
        self,
        source: BuildSource | None = None,
        *,
        dockerfile: str | os.PathLike[str] | None = None,
        dockerfile_text: str | None = None,
        remote: str | None = None,
        tags: Sequence[str] = (),
        target: str | None = None,
        buildargs: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        platform: str | None = None,
        network: str | None = None,
        extra_hosts: Mapping[str, str] | None = None,
        cache_from: Sequence[str] = (),
        no_cache: bool = False,
        pull: bool = False,
        rm: bool = True,
        force_rm: bool = True,
        squash: bool = False,
        limits: BuildLimits | None = None,
        builder: Builder = "classic",
        outputs: Sequence[BuildOutput] = (),
        auth: Mapping[str, Credentials] | None = None,
        progress: ProgressCallback[BuildEvent] | None = None,
    ) -> Image:
        """
        Build an image.

        ``POST /build`` (``ImageBuild``). A directory is sent as a tar while it is read; what its ``.dockerignore``
        names is left out.

        BuildKit builds stages at the same time, and only those that are needed; its ``RUN`` takes ``--mount`` of types
        cache, bind and tmpfs. Over this call it has no secrets, no ssh keys and no credentials: private base images
        have to be pulled before. It refuses or passes over some options, which are a ``ValueError`` here: see each.

        Args:
            source: The build context: a directory; or a tar, plain or compressed, as bytes, a binary file or a stream
                of bytes. None: there is nothing but ``dockerfile_text``, or the engine fetches ``remote``.
            dockerfile: The Dockerfile, relative to a directory, or anywhere else; in a tar or a remote, its name there.
            dockerfile_text: The text of a Dockerfile, instead of a file.
            remote: A git repository, or the URL of a tar or of a Dockerfile, that the engine fetches.
            tags: Names for the image; the tag is ``latest`` if none is given.
            target: The stage to build, of several.
            buildargs: Values for ``ARG``; None leaves the Dockerfile's own. The proxies of ``config.json`` are added:
                see :func:`~anydocker.connect`.
            labels: Labels for the image.
            platform: What to build for, such as ``linux/arm64``.
            network: The network of ``RUN``: ``"none"``, ``"host"``, ``"container:<id>"`` or a network's name. Of
                BuildKit only the first two.
            extra_hosts: Addresses by host name, for ``RUN``.
            cache_from: Images whose steps may be used again.
            no_cache: Run every step again.
            pull: Look for newer base images.
            rm: Remove the container of a step that has succeeded. BuildKit has none to keep.
            force_rm: Remove it when a step has failed, too. BuildKit has none to keep.
            squash: Make one layer of all new ones. The engine needs to be experimental. Not with BuildKit.
            limits: What ``RUN`` may use. BuildKit takes ``shm_size`` and ``ulimits`` only, from API 1.45.
            builder: ``"classic"``, or ``"buildkit"``.
            outputs: Where BuildKit puts the result: one :class:`~anydocker.BuildOutput`. Default: among the images of
                the engine.
            auth: Credentials for base images, by registry host. Default: those of the ``docker`` command line. Not
                with BuildKit, which gets none.
            progress: Called with each event.

        Returns:
            The image; its ``log`` is what the build said.

        Raises:
            ContextError: The context, its Dockerfile or its ``.dockerignore`` cannot be used.
            InvalidReference: A tag is malformed.
            ValueError: Arguments exclude each other, or one is out of range; the message names it.
            BuildFailed: A step failed; ``log`` has what was said up to there, ``code`` the exit code of a ``RUN``. Of
                BuildKit anything that is wrong with the Dockerfile, too.
            BadRequest: The engine did not accept the Dockerfile or an argument.
            UnsupportedByEngine: BuildKit is asked of Podman, which has none; or an option needs a newer version.

        If cancelled: the build ends, and a step that runs is killed; steps that were complete stay in the cache.
        """
        check_progress(progress)
        types = {output.type for output in check_items("outputs", outputs, "a BuildOutput", BuildOutput)}
        if not types <= _IMAGES:
            raise ValueError("outputs: build() returns an image, and this leaves none: use open_build()")
        async with self.open_build(
            source,
            dockerfile=dockerfile,
            dockerfile_text=dockerfile_text,
            remote=remote,
            tags=tags,
            target=target,
            buildargs=buildargs,
            labels=labels,
            platform=platform,
            network=network,
            extra_hosts=extra_hosts,
            cache_from=cache_from,
            no_cache=no_cache,
            pull=pull,
            rm=rm,
            force_rm=force_rm,
            squash=squash,
            limits=limits,
            builder=builder,
            outputs=outputs,
            auth=auth,
        ) as events:
            await report(events, progress)
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
        remote: str | None = None,
        tags: Sequence[str] = (),
        target: str | None = None,
        buildargs: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        platform: str | None = None,
        network: str | None = None,
        extra_hosts: Mapping[str, str] | None = None,
        cache_from: Sequence[str] = (),
        no_cache: bool = False,
        pull: bool = False,
        rm: bool = True,
        force_rm: bool = True,
        squash: bool = False,
        limits: BuildLimits | None = None,
        builder: Builder = "classic",
        outputs: Sequence[BuildOutput] = (),
        auth: Mapping[str, Credentials] | None = None,
    ) -> AsyncGenerator[BuildStream, None]:
        """
        Build an image and follow the events; see :meth:`build`. The context is sent before the block begins.

        Yields:
            Events, as :class:`~anydocker.BuildEvent` values; ``image_id`` is set when the build has succeeded, unless
            ``outputs`` leave no image. Leaving the block before the end stops the build.
        """
        query = build_query(
            builder=builder,
            tags=tags,
            target=target,
            buildargs=buildargs,
            labels=labels,
            platform=platform,
            network=network,
            extra_hosts=extra_hosts,
            cache_from=cache_from,
            no_cache=no_cache,
            pull=pull,
            rm=rm,
            force_rm=force_rm,
            squash=squash,
            limits=limits,
            outputs=outputs,
            podman=self._docker.is_podman,
        )
        check_type("auth", auth, "a mapping of hosts to Credentials", Mapping)
        for credentials in (auth or {}).values():
            check_type("auth", credentials, "a mapping of hosts to Credentials", Credentials)
        if builder == "buildkit":
            self._check_buildkit(limits, auth)
        prepared = await _prepare(source, dockerfile, dockerfile_text, remote)
        query |= {"dockerfile": prepared.dockerfile, "remote": remote}
        headers = {"Content-Type": "application/x-tar"}
        # BuildKit does not look at what a request brings.
        known = await find_all_credentials() if auth is None and builder == "classic" else auth
        if known:
            documents = {host: credentials.document() for host, credentials in known.items()}
            headers["X-Registry-Config"] = auth_header(documents)
        proxies = await self._docker.config_proxies()
        if proxies:
            query["buildargs"] = dumps(_with_proxies(buildargs or {}, proxies, builder)).decode()
        async with (
            self._docker.open_request("POST", "/build", query=query, headers=headers, body=prepared.body) as body,
            aclosing(BuildStream(body)) as events,
        ):
            yield events

    def _check_buildkit(self, limits: BuildLimits | None, auth: Mapping[str, Credentials] | None) -> None:
        if self._docker.is_podman:
            raise UnsupportedByEngine("builder='buildkit' needs Docker: Podman takes no notice of it")
        if auth is not None:
            msg = "auth is for builder='classic': BuildKit would not look at it; pull private base images first"
            raise ValueError(msg)
        if limits is not None and (limits.shm_size is not None or limits.ulimits):
            self._docker.require("1.45", "BuildLimits(shm_size=..., ulimits=...) with builder='buildkit'")

    async def prune_builds(
        self,
        *,
        all: bool = False,
        filters: Filters | None = None,
        reserved_space: int | None = None,
        max_used_space: int | None = None,
        min_free_space: int | None = None,
    ) -> BuildPruneResponse:
        """
        Remove what is kept to speed up builds: ``POST /build/prune`` (``BuildPrune``).

        Args:
            all: Also what is still of use.
            filters: Which entries, such as ``{"until": "24h"}``.
            reserved_space: Keep so many bytes in any case.
            max_used_space: Keep at most so many bytes. API 1.48.
            min_free_space: Remove until so many bytes of the disk are free. API 1.48.

        Returns:
            What was removed, and the bytes reclaimed.

        Raises:
            UnsupportedByEngine: An argument needs a newer version than is spoken.

        If cancelled: the engine may go on.
        """
        sizes = {"reserved_space": reserved_space, "max_used_space": max_used_space, "min_free_space": min_free_space}
        for what, size in sizes.items():
            check_type(what, size, "a number of bytes", int)
        if max_used_space is not None or min_free_space is not None:
            self._docker.require("1.48", "prune_builds(max_used_space=..., min_free_space=...)")
        reserved = "reserved-space" if self._docker.speaks("1.48") else "keep-storage"
        query = {
            "all": all,
            "filters": encode_filters(filters),
            reserved: reserved_space,
            "max-used-space": max_used_space,
            "min-free-space": min_free_space,
        }
        response = await self._docker.request("POST", "/build/prune", query=query, own_connection=True)
        return cast("BuildPruneResponse", response.document())


def _with_proxies(
    buildargs: Mapping[str, str | None], proxies: Mapping[str, str], builder: Builder
) -> dict[str, str | None]:
    # To BuildKit the two cases of a name are one argument, and either value may win.
    given = {name.upper() for name in buildargs} if builder == "buildkit" else frozenset[str]()
    return {**{name: value for name, value in proxies.items() if name.upper() not in given}, **buildargs}


@attrs.frozen
class _Prepared:
    dockerfile: str | None
    body: bytes | AsyncIterable[bytes] | None


async def _prepare(
    source: BuildSource | None,
    dockerfile: str | os.PathLike[str] | None,
    dockerfile_text: str | None,
    remote: str | None,
) -> _Prepared:
    check_type("remote", remote, "a str", str)
    check_type("dockerfile", dockerfile, "a path", str, os.PathLike)
    check_type("dockerfile_text", dockerfile_text, "a str", str)
    if remote is not None:
        return _prepare_remote(source, dockerfile, dockerfile_text)
    if hasattr(source, "read"):
        content: Any = upload_body(cast("BinaryIO", source), "source")
    else:
        content = source
    from anydocker import context as build_context  # noqa: PLC0415 - tarfile and what it needs take long to import

    prepared = await build_context.prepare(content, dockerfile=dockerfile, dockerfile_text=dockerfile_text)
    return _Prepared(prepared.dockerfile, prepared.body)


def _prepare_remote(
    source: BuildSource | None, dockerfile: str | os.PathLike[str] | None, dockerfile_text: str | None
) -> _Prepared:
    if source is not None or dockerfile_text is not None:
        raise ValueError("remote= is a build context of its own: leave out source and dockerfile_text")
    name = None if dockerfile is None else os.fspath(dockerfile).replace(os.sep, "/")
    if name is not None and (name.startswith("/") or ".." in name.split("/")):
        msg = f"dockerfile={name!r}: of a remote context, the Dockerfile is inside it: give its path there"
        raise ValueError(msg)
    return _Prepared(name, None)
