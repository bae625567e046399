"""
Credentials as engines take them: JSON in URL-safe base64, in a header field.

The alphabet matters: an engine that meets a ``+`` or a ``/`` ignores the whole field and goes on unauthenticated.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Final

__all__ = ("auth_header", "registry_host")

# Names of Docker Hub that are one to its users.
_HUB_HOSTS: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})


def auth_header(document: Mapping[str, object]) -> str:
    """The value of ``X-Registry-Auth`` or ``X-Registry-Config`` for a document."""
    return urlsafe_b64encode(json.dumps(document).encode()).decode("ascii")


def registry_host(name: str) -> str:
    """The host of a registry, by whatever name it is kept: ``https://host/v1/`` and ``host`` are the same."""
    host = name.partition("://")[2] or name
    host = host.partition("/")[0].lower()
    return "docker.io" if host in _HUB_HOSTS else host
