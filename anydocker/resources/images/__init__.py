"""Images: ``d.images``, and the :class:`Image` handle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast, final

from anydocker._wire.checks import check_text
from anydocker._wire.documents import name_at, texts_at
from anydocker._wire.query import Filters, encode_filters, path_segment
from anydocker.resources.images._build import BuildSource as BuildSource
from anydocker.resources.images._build import ImageBuild
from anydocker.resources.images._handle import Image as Image
from anydocker.resources.images._transfer import ImageTransfer
from anydocker.resources.images._transfer import Pushed as Pushed

if TYPE_CHECKING:
    from anydocker.types import ImagePruneResponse, ImageSearchResponseItem, ImageSummary

__all__ = ("BuildSource", "Image", "Images", "Pushed")


@final
class Images(ImageTransfer, ImageBuild):
    """The images of an engine: ``d.images``."""

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
        return Image(name_at(document, allow_slash=True), reference, docker=self._docker)

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
        documents = (await self._docker.request("GET", "/images/json", query=query)).documents()
        return [self._from_summary(cast("ImageSummary", document)) for document in documents]

    def _from_summary(self, summary: ImageSummary) -> Image:
        tags = [tag for tag in texts_at(summary, "RepoTags") if tag != "<none>:<none>"]
        return Image(name_at(summary, allow_slash=True), tags[0] if tags else None, summary, docker=self._docker)

    async def search(
        self, term: str, *, limit: int | None = None, filters: Filters | None = None
    ) -> Sequence[ImageSearchResponseItem]:
        """
        Search Docker Hub for images: ``GET /images/search`` (``ImageSearch``).

        Args:
            term: What to look for.
            limit: At most so many, from 1 to 100. Default: 25.
            filters: Which ones, such as ``{"is-official": True, "stars": 10}``.

        Returns:
            The engine's documents.

        Raises:
            ValueError: The term is blank.
            EngineFault: The engine does not reach the registry.
        """
        check_text("term", term)
        if not term.strip():
            raise ValueError("term is blank: say what to look for")
        query = {"term": term, "limit": limit, "filters": encode_filters(filters)}
        response = await self._docker.request("GET", "/images/search", query=query, own_connection=True)
        return cast("Sequence[ImageSearchResponseItem]", response.documents())

    async def prune(self, *, filters: Filters | None = None) -> ImagePruneResponse:
        """
        Remove images that nothing uses: ``POST /images/prune`` (``ImagePrune``).

        Args:
            filters: Which ones. Default: those without a name; ``{"dangling": False}`` for all that no container
                uses; ``{"until": "24h"}``, ``{"label": ...}``.

        Returns:
            What was untagged and deleted, and the bytes reclaimed.

        If cancelled: the engine may go on.
        """
        query = {"filters": encode_filters(filters)}
        response = await self._docker.request("POST", "/images/prune", query=query, own_connection=True)
        return cast("ImagePruneResponse", response.document())
