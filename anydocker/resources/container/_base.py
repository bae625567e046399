"""What every part of the container handle needs: the id, the client, the document."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs

from anydocker._wire.query import path_segment

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker.types import ContainerInspectResponse, ContainerSummary

__all__ = ("ContainerBase",)


@attrs.frozen
class ContainerBase:
    """The fields of the handle, and the calls that its parts share."""

    id: str
    name: str | None = attrs.field(default=None, eq=False)
    summary: ContainerSummary | None = attrs.field(default=None, eq=False, repr=False)
    warnings: tuple[str, ...] = attrs.field(default=(), eq=False, repr=False, kw_only=True)
    _docker: Docker = attrs.field(kw_only=True, eq=False, repr=False, alias="docker")

    @property
    def _path(self) -> str:
        return f"/containers/{path_segment(self.id.removeprefix('/'), 'container')}"

    async def inspect(self, *, size: bool = False) -> ContainerInspectResponse:
        """
        The engine's document about this container.

        ``GET /containers/{id}/json`` (``ContainerInspect``).

        Args:
            size: Have ``SizeRw`` and ``SizeRootFs`` reckoned, which takes a while.

        Raises:
            NotFound: There is no such container.
        """
        response = await self._docker.request("GET", f"{self._path}/json", query={"size": size or None})
        return cast("ContainerInspectResponse", response.document())

    async def _act(self, verb: str, *, takes_long: bool = False, **query: str | int | None) -> bool:
        """Do something to the container; return whether that changed anything."""
        path = f"{self._path}/{verb}"
        response = await self._docker.request("POST", path, query=query, own_connection=takes_long)
        return response.status != 304
