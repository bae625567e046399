"""What is uploaded."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncGenerator, Iterable

__all__ = ("small_tar", "stream_of")


def small_tar() -> bytes:
    """A build context with a Dockerfile and nothing else."""
    dockerfile = b"FROM scratch\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(dockerfile)
        tar.addfile(member, io.BytesIO(dockerfile))
    return buffer.getvalue()


async def stream_of(blocks: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Blocks as a program makes them that has them ready."""
    for block in blocks:
        yield block
