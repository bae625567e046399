"""7: whatever goes wrong is an error of ours, and says what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import anyio
import attrs
import pytest

import anydocker
from anydocker import Docker, DockerError
from anydocker.testing import Reply, json_reply, scripted_engine
from tests.promises.points import Points
from tests.recorded import CALLS, STREAMS, Call, StreamRecording, replay, sweep

pytestmark = pytest.mark.anyio


@sweep
@pytest.mark.parametrize("bad", [b"\xff", b"\n"], ids=repr)
@pytest.mark.parametrize("recording", [*STREAMS, *CALLS], ids=lambda recording: recording.name)
@pytest.mark.promise(7, "a damaged byte is read or refused")
async def test_a_damaged_byte_is_read_or_refused(recording: StreamRecording | Call, bad: bytes, points: Points) -> None:
    backend, client = replay(recording)
    data = recording.reply.data
    act = recording.read if isinstance(recording, StreamRecording) else recording.make
    refused = 0
    async with client as d:
        for offset in points.of(range(len(data)), about=100):
            damaged = data[:offset] + bad + data[offset + 1 :]
            backend.routes = recording.routes(Reply(damaged))
            try:
                await act(d)
            except DockerError:
                refused += 1
    assert refused


REQUESTS: dict[str, Callable[[Docker], Awaitable[object]]] = {
    "call": lambda d: d.request("GET", "/x"),
    "call that changes something": lambda d: d.request("POST", "/x", json={}),
    "call on its own connection": lambda d: d.request("GET", "/x", own_connection=True),
    "call that can be undone": lambda d: d.request("POST", "/x", undo=anyio.sleep_forever),  # type: ignore[arg-type]
    "upload of bytes": lambda d: d.request("PUT", "/x", body=bytes(300_000)),
    "streamed upload": lambda d: d.request("PUT", "/x", body=blocks()),
    "stream": lambda d: take(d.open_request("GET", "/x")),
    "upgrade": lambda d: take(d.open_request("POST", "/x", upgrade="tcp")),
}
every_request = pytest.mark.parametrize("name", REQUESTS)


async def blocks() -> AsyncIterator[bytes]:
    for _ in range(10):
        yield bytes(30_000)


async def take(opened: AbstractAsyncContextManager[anydocker.BodyStream]) -> bytes:
    async with opened as stream:
        return await stream.read()


FULL = json_reply({"some": "thing"})
GARBAGE = {
    "noise": Reply(bytes(range(256))),
    "another protocol": Reply(b"220 mail.example ESMTP\r\n"),
    "a status that is none": Reply(b"HTTP/1.1 20 OK\r\n\r\n"),
    "HTTP/2": Reply(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80"),
    "a head without end": Reply(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 70_000),
    "two lengths": Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "a length that is none": Reply(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    "an unknown coding": Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    "a chunk that is none": Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    "nothing": Reply(b""),
    "a reset": Reply(b"", reset=True),
    "a reset behind half a head": attrs.evolve(FULL, cut_at=20, reset=True),
    "half a body": attrs.evolve(FULL, cut_at=FULL.end - 3),
    "a reset behind half a body": attrs.evolve(FULL, cut_at=FULL.end - 3, reset=True),
}


@every_request
@pytest.mark.parametrize("before_body", [False, True], ids=["in turn", "too early"])
@pytest.mark.promise(7, "no foreign exception escapes")
async def test_no_foreign_exception_escapes(name: str, before_body: bool, points: Points) -> None:
    async with scripted_engine() as engine, anydocker.connect(engine.host) as d:
        for fault, reply in points.of(GARBAGE.items()):
            engine.routes["* /x"] = attrs.evolve(reply, before_body=before_body)
            with pytest.raises(anydocker.ProtocolError, match=r"/x|chunk|response"):
                await REQUESTS[name](d)
            assert d.statistics().open_streams == 0, fault
            await d.ping()


@every_request
@pytest.mark.promise(7, "an engine that is gone is named, and who named it")
async def test_an_engine_that_is_gone_is_a_connect_error(name: str, points: Points) -> None:
    async with scripted_engine() as engine:
        client = anydocker.connect(engine.host)
        await client.__aenter__()
    try:
        with pytest.raises(DockerError) as caught:
            await REQUESTS[name](client)
        assert isinstance(caught.value, anydocker.ConnectError)
        assert engine.host in str(caught.value)
        assert "host=" in str(caught.value)
    finally:
        await client.__aexit__(None, None, None)
    points.add()
