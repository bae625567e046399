"""What is asked of an engine, and what it answers. Needs neither httpcore nor h11."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import Any, cast

import attrs

from anydocker._wire.documents import objects_at, value_at
from anydocker._wire.jsonstream import loads

__all__ = ("Request", "Response")


@attrs.frozen
class Request:
    """
    What is asked of an engine. Its ``repr`` shows no credentials, nor what else may be secret.

    Attributes:
        method: The HTTP method.
        target: Path and query, as they go on the wire.
        headers: The fields beside ``Host``, ``Content-Length`` and ``Transfer-Encoding``.
        body: Bytes, a stream of bytes, or None.
    """

    method: str
    target: str = attrs.field(repr=lambda target: repr(target.partition("?")[0]))
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    body: bytes | AsyncIterable[bytes] | None = attrs.field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Method and path: what messages call it."""
        return f"{self.method} {self.target.partition('?')[0]}"


@attrs.frozen
class Response:
    """
    The answer to :meth:`Docker.request`.

    Attributes:
        status: The HTTP status, below 400.
        headers: The fields, by their lower-case names.
        body: The body, as it came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=lambda body: f"<{len(body)} bytes>")

    def json(self) -> Any:
        """
        The body as a JSON document.

        Raises:
            ProtocolError: It is none.
        """
        return loads(self.body)

    def document(self) -> dict[str, Any]:
        """
        The body as a JSON object.

        Raises:
            ProtocolError: It is none.
        """
        return cast("dict[str, Any]", value_at(self.json(), kind=dict))

    def documents(self) -> list[dict[str, Any]]:
        """
        The body as a JSON array of objects; ``null``, which some engines send for an empty one, is empty.

        Raises:
            ProtocolError: It is none.
        """
        return objects_at(self.json())
