"""
Versions of the engine's API, and the choice of the one to speak.

A version is part of every path (``/v1.45/info``). An engine says what it speaks at most, and newer ones also
what they speak at least; anydocker knows a range of its own. The highest version in both is the one to use.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import attrs

from anydocker.errors import UnsupportedByEngine

__all__ = ("CEILING", "FLOOR", "ApiVersion", "negotiate")

_VERSION: Final = re.compile(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")


@attrs.frozen(order=True)
class ApiVersion:
    """
    A version of the engine's API.

    Versions compare by number: 1.9 is less than 1.41.

    Attributes:
        major: The part before the dot.
        minor: The part behind it.
    """

    major: int
    minor: int

    @classmethod
    @lru_cache(maxsize=16)
    def parse(cls, text: str) -> ApiVersion:
        """
        Read a version such as ``1.45``.

        Raises:
            ValueError: The text is anything but two numbers with a dot between them.
        """
        if match := _VERSION.fullmatch(text):
            return cls(int(match[1]), int(match[2]))
        msg = f"{text!r} is not an API version; expected one such as '1.45'"
        raise ValueError(msg)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


CEILING: Final = ApiVersion(1, 55)
"""The newest version anydocker knows."""

FLOOR: Final = ApiVersion(1, 40)
"""The oldest version anydocker speaks: that of Docker 19.03."""


def negotiate(engine: ApiVersion, engine_floor: ApiVersion | None = None) -> ApiVersion:
    """
    Choose the version to speak.

    Args:
        engine: The newest version the engine speaks.
        engine_floor: The oldest version the engine speaks, if it says.

    Returns:
        The highest version that both sides speak.

    Raises:
        UnsupportedByEngine: There is none: the engine is too old for anydocker, or too new.
    """
    if engine < FLOOR:
        msg = f"the engine speaks API {engine} at most, anydocker needs {FLOOR} or newer: upgrade the engine"
        raise UnsupportedByEngine(msg)
    if engine_floor is not None and engine_floor > CEILING:
        msg = f"the engine speaks API {engine_floor} or newer, anydocker {CEILING} at most: upgrade anydocker"
        raise UnsupportedByEngine(msg)
    return min(engine, CEILING)
