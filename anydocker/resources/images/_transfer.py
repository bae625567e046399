"""Images on their way: pull, push, load, save, import."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

import attrs

from anydocker._files import Upload, upload_body
from anydocker._wire.auth import auth_header
from anydocker._wire.checks import check_items, check_text, check_type
from anydocker._wire.container import container_document
from anydocker._wire.documents import section_at, value_at
from anydocker._wire.platform import platform_document, platform_documents
from anydocker._wire.query import QueryValue, path_segment
from anydocker._wire.reference import DEFAULT_DOMAIN, ImageReference
from anydocker.auth import Credentials, find_credentials
from anydocker.errors import LoadFailed, PullFailed, PushFailed
from anydocker.resources._created import open_created
from anydocker.resources._progress import ProgressCallback, check_progress, report
from anydocker.resources.images._handle import Image
from anydocker.streams import BodyStream, Progress, ProgressStream

if TYPE_CHECKING:
    from anydocker._client import Docker

__all__ = ("ImageTransfer", "Pushed")

# What an engine says where it sends no data for programs: "1: digest: sha256:... size: 528".
_DIGEST: Final = re.compile(r"digest: (\S+:[0-9a-f]+)(?: size: (\d+))?")
_LOADED: Final = re.compile(r"Loaded image(?: ID|\(s\))?: (.+)")
_TAR: Final = {"Content-Type": "application/x-tar"}


@attrs.frozen
class Pushed:
    """
    What was pushed.

    Attributes:
        reference: The name it can be pulled by.
        digest: The digest of its manifest, ``sha256:...``; None where the engine did not say (all tags).
        size: The size of the manifest in bytes; None where the engine did not say.
    """

    reference: str
    digest: str | None = None
    size: int | None = None


class ImageTransfer:
    """The part of ``d.images`` that moves images."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker

    async def pull(
        self,
        reference: str,
        *,
        all_tags: bool = False,
        platform: str | None = None,
        auth: Credentials | None = None,
        progress: ProgressCallback[Progress] | None = None,
    ) -> Image:
        """
        Pull an image.

        ``POST /images/create`` (``ImageCreate``).

        Args:
            reference: Its name; the tag is ``latest`` if neither tag nor digest is given.
            all_tags: Pull every tag of the repository; ``reference`` is its name alone.
            platform: Which variant, such as ``linux/arm64``. Default: the engine's own.
            auth: Credentials for the registry. Default: those of the ``docker`` command line, if it has any.
            progress: Called with each step.

        Returns:
            The image; of several tags, the one the engine lists first.

        Raises:
            InvalidReference: The name is malformed.
            ValueError: ``all_tags`` is given, and a tag or a digest too.
            NotFound: The registry has no such image.
            PullFailed: The pull failed on the way. Other engines or errors: another :class:`APIError`.

        If cancelled: the engine stops pulling; layers that are complete stay.
        """
        check_progress(progress)
        async with self.open_pull(reference, all_tags=all_tags, platform=platform, auth=auth) as steps:
            await report(steps, progress)
        image = ImageReference.parse(reference)
        if all_tags:
            return (await self._docker.images.list(filters={"reference": image.familiar}))[0]
        # An engine looks a digest up without the tag that may stand before it.
        name = f"{image.repository}@{image.digest}" if image.digest else str(image.with_default_tag())
        return await self._docker.images.get(name)

    @asynccontextmanager
    async def open_pull(
        self,
        reference: str,
        *,
        all_tags: bool = False,
        platform: str | None = None,
        auth: Credentials | None = None,
    ) -> AsyncGenerator[ProgressStream, None]:
        """
        Pull an image and follow the steps; see :meth:`pull`.

        Yields:
            Steps, as :class:`~anydocker.Progress` values. Leaving the block before the end stops the pull.
        """
        check_type("all_tags", all_tags, "a bool", bool)
        check_type("auth", auth, "Credentials", Credentials)
        image = ImageReference.parse(reference)
        if all_tags:
            _check_bare(image, "pull")
        else:
            image = image.with_default_tag()
        query = {"fromImage": image.repository, "tag": image.digest or image.tag, "platform": platform}
        auth = auth or await find_credentials(image.domain or DEFAULT_DOMAIN)
        headers = {"X-Registry-Auth": auth.header()} if auth else {}
        async with (
            self._docker.open_request("POST", "/images/create", query=query, headers=headers) as body,
            aclosing(ProgressStream(body, PullFailed)) as steps,
        ):
            yield steps

    # -- push

    async def push(
        self,
        reference: str,
        *,
        all_tags: bool = False,
        auth: Credentials | None = None,
        platform: str | None = None,
        progress: ProgressCallback[Progress] | None = None,
    ) -> Pushed:
        """
        Push an image to the registry that its name begins with.

        ``POST /images/{name}/push`` (``ImagePush``).

        Args:
            reference: Its name; the tag is ``latest`` if none is given.
            all_tags: Push every tag of the repository; ``reference`` is its name alone.
            auth: Credentials for the registry. Default: those of the ``docker`` command line, if it has any.
            platform: Push that platform only, such as ``linux/arm64``. API 1.46.
            progress: Called with each step.

        Returns:
            The name and the digest.

        Raises:
            InvalidReference: The name is malformed.
            ValueError: The name has a digest, which cannot be pushed to; or ``all_tags`` is given, and a tag too.
            NotFound: The engine has no such image.
            PushFailed: The push failed: no such registry, no permission.
            UnsupportedByEngine: ``platform`` is given and a lower version is spoken.

        If cancelled: the engine stops pushing; layers that are complete stay in the registry.
        """
        check_progress(progress)
        name = reference if all_tags else str(ImageReference.parse(reference).with_default_tag())
        digest: str | None = None
        size: int | None = None
        async with self.open_push(reference, all_tags=all_tags, auth=auth, platform=platform) as steps:

            def watch(step: Progress) -> object:
                nonlocal digest, size
                digest, size = _pushed(step) or (digest, size)
                return progress(step) if progress is not None else None

            await report(steps, watch)
        return Pushed(name) if all_tags else Pushed(name, digest, size)

    @asynccontextmanager
    async def open_push(
        self,
        reference: str,
        *,
        all_tags: bool = False,
        auth: Credentials | None = None,
        platform: str | None = None,
    ) -> AsyncGenerator[ProgressStream, None]:
        """
        Push an image and follow the steps; see :meth:`push`.

        Yields:
            Steps, as :class:`~anydocker.Progress` values. Leaving the block before the end stops the push.
        """
        check_type("all_tags", all_tags, "a bool", bool)
        check_type("auth", auth, "Credentials", Credentials)
        image = ImageReference.parse(reference)
        if image.digest is not None:
            msg = f"{reference!r}: an image is pushed by its tag; its digest follows from what it is"
            raise ValueError(msg)
        if all_tags:
            _check_bare(image, "push")
        else:
            image = image.with_default_tag()
        if platform is not None:
            self._docker.require("1.46", "push(platform=...)")
        query = {"tag": image.tag, "platform": platform_document(platform)}
        auth = auth or await find_credentials(image.domain or DEFAULT_DOMAIN)
        # Engines before 28 refuse a push without the field, even to a registry that asks for nothing.
        headers = {"X-Registry-Auth": auth.header() if auth else auth_header({})}
        path = f"/images/{path_segment(image.repository, 'reference', allow_slash=True)}/push"
        async with (
            self._docker.open_request("POST", path, query=query, headers=headers) as body,
            aclosing(ProgressStream(body, PushFailed)) as steps,
        ):
            yield steps

    # -- load and save

    async def load(
        self,
        source: Upload,
        *,
        platforms: Sequence[str] = (),
        progress: ProgressCallback[Progress] | None = None,
    ) -> list[Image]:
        """
        Load images that were saved.

        ``POST /images/load`` (``ImageLoad``).

        Args:
            source: The tar, plain or compressed: bytes, a path (``pathlib.Path``), a binary file, or a stream of bytes.
            platforms: Only these of an archive with several, such as ``linux/arm64``. API 1.48.
            progress: Called with each step.

        Returns:
            The images.

        Raises:
            LoadFailed: The engine cannot read the archive.
            FileNotFoundError: There is no such file. Other errors of reading likewise.
            TypeError: The source is none of these.

        If cancelled: some of the images may have been loaded.
        """
        check_progress(progress)
        loaded: list[str] = []
        async with self.open_load(source, platforms=platforms) as steps:

            def watch(step: Progress) -> object:
                match = _LOADED.match(step.text)
                if match:
                    loaded.extend(match[1].strip().split(","))
                return progress(step) if progress is not None else None

            await report(steps, watch)
        return [await self._docker.images.get(name.strip()) for name in loaded]

    @asynccontextmanager
    async def open_load(self, source: Upload, *, platforms: Sequence[str] = ()) -> AsyncGenerator[ProgressStream, None]:
        """
        Load images and follow the steps; see :meth:`load`. The archive is sent before the block begins.

        Yields:
            Steps, as :class:`~anydocker.Progress` values.
        """
        if platforms:
            self._docker.require("1.48", "load(platforms=...)")
        query: dict[str, QueryValue] = {
            "quiet": False,
            "platform": platform_documents(platforms),
        }
        content = upload_body(source, "source")
        async with (
            self._docker.open_request("POST", "/images/load", query=query, headers=_TAR, body=content) as body,
            aclosing(ProgressStream(body, LoadFailed)) as steps,
        ):
            yield steps

    @asynccontextmanager
    async def open_save(
        self, references: Sequence[str], *, platform: str | None = None
    ) -> AsyncGenerator[BodyStream, None]:
        """
        Images with their layers as one tar, for :meth:`load`.

        ``GET /images/get`` (``ImageGetAll``).

        Args:
            references: Their names or ids.
            platform: Only this one of images with several, such as ``linux/arm64``. API 1.48.

        Yields:
            The bytes of the tar; ``write_to`` puts them into a file.

        Raises:
            NotFound: There is no such image. Some engines answer 500: EngineFault.
            UnsupportedByEngine: ``platform`` is given and a lower version is spoken.
            ValueError: No image is named.
            TypeError: ``references`` is one str.
        """
        references = check_items("references", references, "a str", str)
        if not references:
            raise ValueError("references is empty: name the images to save")
        for reference in references:
            path_segment(reference, "references", allow_slash=True)
        if platform is not None:
            self._docker.require("1.48", "open_save(platform=...)")
        query: dict[str, QueryValue] = {"names": references, "platform": platform_document(platform)}
        async with self._docker.open_request("GET", "/images/get", query=query) as body:
            yield body

    # -- import

    async def import_(
        self,
        source: Upload | str | Image,
        *,
        repository: str,
        changes: Sequence[str] = (),
        message: str | None = None,
        platform: str | None = None,
        progress: ProgressCallback[Progress] | None = None,
    ) -> Image:
        """
        Make an image of one layer of a root filesystem.

        ``POST /images/create?fromSrc=`` (``ImageCreate``).

        Args:
            source: A tar of the filesystem, plain or compressed: bytes, a path (``pathlib.Path``), a binary file, or a
                stream of bytes. A ``str`` is a URL that the engine fetches it from. An :class:`Image` is flattened:
                its filesystem without its history and configuration.
            repository: The name of the image; the tag is ``latest`` if none is given.
            changes: Dockerfile instructions for its configuration, such as ``CMD ["sh"]``.
            message: A message for its history.
            platform: The platform it is for, such as ``linux/arm64``.
            progress: Called with each step.

        Returns:
            The image.

        Raises:
            InvalidReference: The name is malformed.
            LoadFailed: The engine cannot read the archive.
            BadRequest: A change is not one.
            TypeError: The source is none of these.
            ValueError: The ``str`` is no URL.

        If cancelled: there is no image, or a complete one.
        """
        check_progress(progress)
        check_text("repository", repository)
        name = str(ImageReference.parse_new(repository))
        if isinstance(source, Image):
            async with self._open_filesystem(source) as filesystem:
                return await self.import_(
                    filesystem,
                    repository=name,
                    changes=changes,
                    message=message,
                    platform=platform,
                    progress=progress,
                )
        if isinstance(source, str):
            if not source.startswith(("http://", "https://")):
                msg = f"source={source!r}: a str is a URL (http:// or https://); a file is a pathlib.Path"
                raise ValueError(msg)
            content = None
        else:
            content = upload_body(source, "source")
        query = {
            "fromSrc": source if isinstance(source, str) else "-",
            # The tag goes into repo=, where all engines look for it; Podman 4 ignores tag= here.
            "repo": name,
            "changes": changes,
            "message": message,
            "platform": platform,
        }
        async with (
            self._docker.open_request("POST", "/images/create", query=query, headers=_TAR, body=content) as body,
            aclosing(ProgressStream(body, LoadFailed)) as steps,
        ):
            await report(steps, progress)
        return await self._docker.images.get(name)

    @asynccontextmanager
    async def _open_filesystem(self, image: Image) -> AsyncGenerator[BodyStream, None]:
        """The filesystem of an image, by way of a container that is never started."""
        document = container_document(image.id, ["-"])
        async with open_created(self._docker, document) as container, container.open_export() as body:
            yield body


def _check_bare(image: ImageReference, verb: str) -> None:
    if image.tag is not None or image.digest is not None:
        msg = f"{str(image)!r}: {verb}(all_tags=True) takes the name of a repository, without tag and digest"
        raise ValueError(msg)


def _pushed(step: Progress) -> tuple[str, int | None] | None:
    """Digest and size, in the step that says so."""
    aux = section_at(step.raw, "aux")
    if aux:
        return value_at(aux, "Digest", kind=str), None if aux.get("Size") is None else value_at(aux, "Size", kind=int)
    match = _DIGEST.search(step.status or "")
    return (match[1], int(match[2]) if match[2] else None) if match else None
