"""What a registry has, asked by way of the engine: ``d.distribution``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, final

from anydocker._wire.checks import check_type
from anydocker._wire.query import path_segment
from anydocker._wire.reference import DEFAULT_DOMAIN, ImageReference
from anydocker.auth import Credentials, find_credentials

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker.types import DistributionInspect

__all__ = ("Distribution",)


@final
class Distribution:
    """Registries: ``d.distribution``."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker

    async def inspect(self, reference: str, *, auth: Credentials | None = None) -> DistributionInspect:
        """
        Digest and platforms of an image in its registry, without pulling it.

        ``GET /distribution/{name}/json`` (``DistributionInspect``).

        Args:
            reference: Its name; the tag is ``latest`` if neither tag nor digest is given.
            auth: Credentials for the registry. Default: those of the ``docker`` command line, if it has any.

        Raises:
            InvalidReference: The name is malformed.
            NotFound: The registry has no such image, or the engine (Podman) no such call.
            Unauthorized: The registry wants other credentials. Some engines answer 403 or 500 instead.
        """
        check_type("auth", auth, "Credentials", Credentials)
        image = ImageReference.parse(reference).with_default_tag()
        auth = auth or await find_credentials(image.domain or DEFAULT_DOMAIN)
        headers = {"X-Registry-Auth": auth.header()} if auth else {}
        path = f"/distribution/{path_segment(str(image), 'reference', allow_slash=True)}/json"
        response = await self._docker.request("GET", path, headers=headers, own_connection=True)
        return cast("DistributionInspect", response.document())
