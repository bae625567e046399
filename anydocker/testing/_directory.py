"""Temporary directories for sockets, whose paths have to be short."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

__all__ = ("make_directory",)

# The path of a unix socket has at most 107 bytes, and an engine makes some that are 60 below its directory's parent.
_MAX_PARENT: Final = 40


def make_directory() -> Path:
    """A new directory in the system's temporary one, or in /tmp where that one's path is too long. It blocks."""
    parent = Path(tempfile.gettempdir()).resolve()
    if len(str(parent)) > _MAX_PARENT:
        parent = Path("/tmp")
    return Path(tempfile.mkdtemp(prefix="anydocker-", dir=parent))
