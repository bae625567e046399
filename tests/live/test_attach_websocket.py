from __future__ import annotations

from typing import Final

import pytest
from anyio import create_task_group

from anydocker import Conflict, Docker, NotFound, WebSocketStream
from tests.helpers import varied, with_interruptions
from tests.live.helpers import created

pytestmark = [pytest.mark.anyio, pytest.mark.live]

MIB: Final = 1024 * 1024
LARGE: Final = varied(2 * MIB)


async def until(stream: WebSocketStream, end: bytes) -> bytes:
    """Receive up to some text."""
    seen = b""
    while end not in seen:
        seen += await stream.receive()
    return seen


async def test_attached_before_the_start_it_loses_no_byte(docker: Docker) -> None:
    async with created(docker, "printf", "%0102400d", "7") as container:
        for _ in range(5):
            async with container.open_attach_websocket() as stream:
                await container.start()
                assert await stream.read() == b"7".zfill(102_400)
            await container.wait()


async def test_both_streams_come_together(docker: Docker) -> None:
    script = "while read x; do echo $x; read x; echo $x >&2; done"
    async with (
        created(docker, "sh", "-c", script, stdin=True) as container,
        container.open_attach_websocket(stdin=True) as stream,
    ):
        await container.start()
        for _ in range(20):
            await stream.send(b"out\n")
            assert await until(stream, b"\n") == b"out\n"
            await stream.send(b"err\n")
            assert await until(stream, b"\n") == b"err\n"


async def test_a_terminal(docker: Docker) -> None:
    async with (
        created(docker, "sh", "-c", "read x; echo got $x; exit 3", stdin=True, tty=True) as container,
        container.open_attach_websocket(stdin=True) as stream,
    ):
        await container.start()
        await stream.send(b"hello\n")
        assert (await stream.read()).endswith(b"got hello\r\n")
        assert await container.wait() == 3


async def test_large_both_ways(docker: Docker) -> None:
    received = b""
    async with (
        created(docker, "cat", stdin=True) as container,
        container.open_attach_websocket(stdin=True) as stream,
    ):
        await container.start()
        async with create_task_group() as group:
            group.start_soon(stream.send, LARGE)
            while len(received) < len(LARGE):
                received += await stream.receive()
    assert received == LARGE


async def test_what_was_written_before(docker: Docker) -> None:
    script = "echo before; read x; echo after"
    async with created(docker, "sh", "-c", script, stdin=True) as container:
        await container.start()
        async with container.open_attach_websocket(logs=True) as stream:
            assert await until(stream, b"\n") == b"before\n"
            async with container.open_attach_websocket(stdin=True) as other:
                await other.send(b"\n")
            assert await stream.read() == b"after\n"


async def test_a_cancelled_read_goes_on(docker: Docker) -> None:
    script = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); usleep 1000; done"
    seen = b""
    async with created(docker, "sh", "-c", script) as container, container.open_attach_websocket() as stream:
        await container.start()
        while batch := await with_interruptions(stream.receive_many):
            seen += b"".join(batch)
    assert seen == b"".join(b"line %d\n" % number for number in range(300))


async def test_leaving_the_block_leaves_the_container_alone(docker: Docker) -> None:
    async with created(docker, "sh", "-c", "echo here; sleep 86400") as container:
        await container.start()
        async with container.open_attach_websocket(logs=True) as stream:
            assert await until(stream, b"\n") == b"here\n"
        assert (await container.inspect())["State"]["Status"] == "running"


async def test_detach_keys(docker: Docker) -> None:
    async with created(docker, "cat", stdin=True, tty=True) as container:
        await container.start()
        async with container.open_attach_websocket(stdin=True, detach_keys="ctrl-a,x") as stream:
            await stream.send(b"hello\n")
            await until(stream, b"hello\r\nhello\r\n")
            await stream.send(b"\x01x")
            await stream.read()
        assert (await container.inspect())["State"]["Status"] == "running"


async def test_refusals(docker: Docker) -> None:
    with pytest.raises(NotFound, match="(?i)no such container"):
        async with docker.containers.container("nothing-of-that-name").open_attach_websocket():
            raise AssertionError
    async with created(docker, "sleep", "86400") as container:
        await container.start()
        await container.pause()
        with pytest.raises(Conflict, match="paused"):
            async with container.open_attach_websocket():
                raise AssertionError
        await container.unpause()
