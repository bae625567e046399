"""Platforms: ``os/architecture[/variant]``, as people write them, and as JSON (OCI), as newer calls want them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from anydocker._wire.checks import check_items, check_type
from anydocker._wire.jsonstream import dumps

__all__ = ("platform_document", "platform_documents")

_PLATFORM: Final = re.compile(r"([a-z0-9_]+)/([a-z0-9_]+)(?:/([a-z0-9_.]+))?", re.IGNORECASE)


def platform_document(platform: str | None) -> str | None:
    """
    The JSON document for a platform such as ``linux/arm64/v8``; None for none.

    Raises:
        TypeError: It is not a str.
        ValueError: It is not of that form.
    """
    check_type("platform", platform, "a str", str)
    return None if platform is None else _document(platform)


def platform_documents(platforms: Sequence[str]) -> list[str]:
    """
    The documents for several platforms.

    Raises:
        TypeError: ``platforms`` is one str, or no sequence of them.
        ValueError: One is not of the form of a platform.
    """
    return [_document(platform) for platform in check_items("platforms", platforms, "a str", str)]


def _document(platform: str) -> str:
    match = _PLATFORM.fullmatch(platform)
    if match is None:
        msg = f"platform={platform!r}: expected os/architecture or os/architecture/variant, such as linux/arm64"
        raise ValueError(msg)
    document = {"os": match[1], "architecture": match[2]}
    if match[3]:
        document["variant"] = match[3]
    return dumps(document).decode()
