"""What live tests share beside the fixtures of conftest.py: what they do to containers and images."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from anydocker import AttachStream, Container, Docker

__all__ = ("CLI", "created", "shown", "until")

# The fixture ``cli``: runs the command line with these words, and gives what it prints.
CLI: TypeAlias = Callable[..., Awaitable[str]]


@asynccontextmanager
async def created(
    docker: Docker, *command: str, stdin: bool = False, tty: bool = False
) -> AsyncGenerator[Container, None]:
    """A container that has not been started; it is removed at the end."""
    container = await docker.containers.create("busybox", command, stdin=stdin, tty=tty, network="none")
    try:
        yield container
    finally:
        await container.remove(force=True)


async def shown(docker: Docker, image: str, *command: str) -> str:
    """What a command says in a container of an image."""
    return (await docker.containers.run(image, command, network="none")).stdout.decode()


async def until(stream: AttachStream, end: bytes) -> bytes:
    """Receive up to some text."""
    seen = b""
    while end not in seen:
        seen += (await stream.receive()).data
    return seen
