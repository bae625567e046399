"""From the status of a refusal to its error: by the number, never by the words of the message."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from anydocker.errors import (
    APIError,
    BadRequest,
    Conflict,
    EngineFault,
    Forbidden,
    NotFound,
    Unauthorized,
    Unavailable,
)

__all__ = ("api_error",)

_CLASSES: Final[dict[int, type[APIError]]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    503: Unavailable,
}
# Characters of a refusal that is not in the engine's format, such as a proxy's page.
_SHOWN: Final = 1000


def api_error(status: int, body: bytes, method: str, path: str) -> APIError:
    """The error for a refusal. Engines send ``{"message": ...}``; some paths and old engines plain text."""
    cls = _CLASSES.get(status, EngineFault if status >= 500 else APIError)
    return cls(_message(body), status, method, path)


def _message(body: bytes) -> str:
    text = body.decode(errors="replace").strip()
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    for candidate in (document, _entry(document, "errorDetail")):
        message = _entry(candidate, "message")
        if isinstance(message, str) and message:
            return message
    if text == "Not Found":
        # All that Podman says.
        return "Not Found: the engine does not know this call"
    return text[:_SHOWN] or "the engine gave no reason"


def _entry(document: Any, key: str) -> Any:
    return cast("dict[str, Any]", document).get(key) if isinstance(document, dict) else None
