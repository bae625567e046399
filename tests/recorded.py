"""The recordings of a real engine's answers, and how a user reads each of them. ``tools/record.py`` makes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias
from unittest.mock import patch

import attrs
import pytest

import anydocker
from anydocker import Docker, Stream
from anydocker.testing import ReplayBackend, Reply, json_reply

__all__ = (
    "API_VERSION",
    "CALLS",
    "HOST",
    "STREAMS",
    "Call",
    "Opener",
    "Recording",
    "StreamRecording",
    "every_call",
    "every_stream",
    "recorded",
    "replay",
    "sweep",
)

API_VERSION = "1.41"  # of the engine that was recorded
HOST = "unix:///nowhere"
DIRECTORY = Path(__file__).parent / "recordings"

Opener: TypeAlias = Callable[[Docker], AbstractAsyncContextManager[Stream[Any]]]


def recorded(name: str) -> Reply:
    """The bytes of a recording, head and all. An upgraded connection ends with them."""
    data = (DIRECTORY / f"{name}.http").read_bytes()
    return Reply(data, keep_alive=not data.startswith(b"HTTP/1.1 101 "))


@attrs.frozen
class Recording:
    """
    A recorded answer.

    Attributes:
        name: The name of the recording.
        route: The request it answers.
        tty: Whether the container has a terminal.
    """

    name: str
    route: str
    tty: bool = attrs.field(default=False, kw_only=True)
    reply: Reply = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "reply", recorded(self.name))

    @property
    def upgraded(self) -> bool:
        return not self.reply.keep_alive

    def routes(self, reply: Reply | None = None) -> dict[str, Reply]:
        """The script of an engine that gives ``reply`` in place of the recording."""
        return {
            "GET /containers/c1/json": json_reply({"Id": "c1", "Name": "/c1", "Config": {"Tty": self.tty}}),
            "POST /containers/c1/exec": json_reply({"Id": "e1"}, 201),
            "GET /images/*/json": json_reply({"Id": "sha256:1"}),
            self.route: reply or self.reply,
        }

    def backend(self, reply: Reply | None = None) -> ReplayBackend:
        return ReplayBackend(self.routes(reply), api_version=API_VERSION)


@attrs.frozen
class StreamRecording(Recording):
    """
    A recorded stream.

    Attributes:
        open: How a user opens it.
        marked: Whether its end is marked although the connection was upgraded.
    """

    open: Opener = attrs.field(kw_only=True, repr=False)
    marked: bool = attrs.field(default=False, kw_only=True)

    @property
    def last_read(self) -> int:
        """The offset at which the last read of it waits: before the last byte, or before the end of the connection."""
        return self.reply.end - (self.reply.keep_alive or self.marked)

    async def read(self, docker: Docker) -> list[Any]:
        async with self.open(docker) as stream:
            return self.whole([value async for value in stream])

    def whole(self, values: list[Any]) -> list[Any]:
        """The values, with those joined whose borders are those of the reads: bytes, and output of a terminal."""
        if values and (self.tty or isinstance(values[0], bytes)):
            return [b"".join([value.data if self.tty else value for value in values])]
        return values


@attrs.frozen
class Call(Recording):
    """A recorded answer that is taken whole; ``make`` is the call, as a user makes it."""

    make: Callable[[Docker], Awaitable[object]] = attrs.field(kw_only=True, repr=False)

    @property
    def needed(self) -> int:
        """How many bytes it takes. An exit code is known with its document: nobody waits for what ends its chunk."""
        return self.reply.end - (len(b"\r\n0\r\n\r\n") if self.name == "wait" else 0)


def made_up(size: int) -> bytes:
    return bytes(range(size))


@asynccontextmanager
async def open_websocket(docker: Docker) -> AsyncGenerator[Stream[bytes]]:
    # The answer to a WebSocket depends on what the client makes up: it is to make up what was sent for the recording.
    with patch("os.urandom", made_up):
        async with docker.containers.container("c1").open_attach_websocket() as stream:
            yield stream


STREAMS = (
    StreamRecording("pull", "POST /images/create", open=lambda d: d.images.open_pull("small:1")),
    StreamRecording("push", "POST /images/small/push", open=lambda d: d.images.open_push("small:1")),
    StreamRecording("build", "POST /build", open=lambda d: d.images.open_build(dockerfile_text="FROM busybox")),
    StreamRecording("load", "POST /images/load", open=lambda d: d.images.open_load(b"tar")),
    StreamRecording("logs", "GET /containers/c1/logs", open=lambda d: d.containers.container("c1").open_logs()),
    StreamRecording(
        "logs_tty", "GET /containers/c1/logs", open=lambda d: d.containers.container("c1").open_logs(), tty=True
    ),
    StreamRecording("attach", "POST /containers/c1/attach", open=lambda d: d.containers.container("c1").open_attach()),
    StreamRecording(
        "attach_tty", "POST /containers/c1/attach", open=lambda d: d.containers.container("c1").open_attach(), tty=True
    ),
    StreamRecording("attach_websocket", "GET /containers/c1/attach/ws", open=open_websocket, marked=True),
    StreamRecording("exec", "POST /exec/e1/start", open=lambda d: d.containers.container("c1").open_exec(["sh"])),
    StreamRecording(
        "exec_tty",
        "POST /exec/e1/start",
        open=lambda d: d.containers.container("c1").open_exec(["sh"], tty=True),
        tty=True,
    ),
    StreamRecording("stats", "GET /containers/c1/stats", open=lambda d: d.containers.container("c1").open_stats()),
    StreamRecording("events", "GET /events", open=lambda d: d.open_events()),
    StreamRecording(
        "archive", "GET /containers/c1/archive", open=lambda d: d.containers.container("c1").open_archive("/etc/passwd")
    ),
)

CALLS = (
    Call("list", "GET /containers/json", make=lambda d: d.containers.list()),
    Call("wait", "POST /containers/c1/wait", make=lambda d: d.containers.container("c1").wait()),
    Call("logs", "GET /containers/c1/logs", make=lambda d: d.containers.container("c1").logs()),
    Call("pull", "POST /images/create", make=lambda d: d.images.pull("small:1")),
    Call("push", "POST /images/small/push", make=lambda d: d.images.push("small:1")),
    Call("build", "POST /build", make=lambda d: d.images.build(dockerfile_text="FROM busybox")),
    Call("load", "POST /images/load", make=lambda d: d.images.load(b"tar")),
    Call("import", "POST /images/create", make=lambda d: d.images.import_(b"tar", repository="small:1")),
)


def replay(recording: Recording) -> tuple[ReplayBackend, Docker]:
    """An engine in memory that gives the recording, and a client of it that has not been entered."""
    backend = recording.backend()
    return backend, anydocker.connect(HOST, network_backend=backend)


# For thousands of exchanges: once on each event loop, and without the debug mode of asyncio.
sweep = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_stream = pytest.mark.parametrize("recording", STREAMS, ids=lambda recording: recording.name)
every_call = pytest.mark.parametrize("recording", CALLS, ids=lambda recording: recording.name)
