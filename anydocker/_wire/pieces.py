"""
What is kept of a value until it is whole.

A value comes in as many pieces as the engine likes, and a piece of two bytes is an object of fifty: in pieces, a limit
in bytes would be passed twenty times over. So pieces are put together once there are many of them.
"""

from __future__ import annotations

from typing import Final, TypeAlias

__all__ = ("Pieces", "keep")

Pieces: TypeAlias = list[bytes | bytearray]
"""Pieces in their order; of those put together there is one, the first."""

# Pieces that are kept as they are: objects of some 50 KiB.
_MANY: Final = 1024


def keep(pieces: Pieces, piece: bytes) -> None:
    """Keep one piece more."""
    pieces.append(piece)
    if len(pieces) >= _MANY:
        first, *others = pieces
        # It grows in place, so that no byte is copied more than a few times.
        whole = first if isinstance(first, bytearray) else bytearray(first)
        whole += b"".join(others)
        pieces[:] = [whole]
