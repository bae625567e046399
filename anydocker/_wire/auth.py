"""
Credentials as engines take them: JSON in URL-safe base64, in a header field.

The alphabet matters: an engine that meets a ``+`` or a ``/`` ignores the whole field and goes on unauthenticated.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping

__all__ = ("auth_header",)


def auth_header(document: Mapping[str, object]) -> str:
    """The value of ``X-Registry-Auth`` or ``X-Registry-Config`` for a document."""
    return urlsafe_b64encode(json.dumps(document).encode()).decode("ascii")
