from __future__ import annotations

import asyncio
import sys
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import sha1
from typing import Final

import anyio
import attrs
import pytest
from anyio import (
    BusyResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    create_task_group,
    fail_after,
    wait_all_tasks_blocked,
)
from anyio.abc import ByteStream
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

import anydocker
from anydocker import (
    BodyStream,
    Docker,
    DockerError,
    MissingExtra,
    NotFound,
    ProtocolError,
    TruncatedStream,
    WebSocketStream,
)
from anydocker._wire.websocket import WebSocketDecoder
from anydocker.testing import ReplayBackend, Reply, Request, Route, ScriptedEngine, scripted_engine
from tests.helpers import borders, keeps_raising, split

pytestmark = pytest.mark.anyio

NONCE: Final = bytes(range(16))
KEY: Final = "AAECAwQFBgcICQoLDA0ODw=="
# Made with another implementation.
ACCEPT: Final = b64encode(sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
HEAD: Final = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-accept": ACCEPT}
PATH: Final = "/containers/c1/attach/ws"


def frames(*events: Event) -> bytes:
    """What a server sends."""
    server = Connection(ConnectionType.SERVER)
    return b"".join(map(server.send, events))


CLOSE: Final = CloseConnection(1000)
OUTPUT: Final = frames(
    BytesMessage(b"out\n"),
    Ping(b"are you there?"),
    BytesMessage(b"lo", message_finished=False),
    Ping(b""),
    BytesMessage(b"ng"),
    BytesMessage(b""),
    TextMessage("gr\u00fc\u00dfe"),
    Pong(b"nobody asked"),
    BytesMessage(b"x" * 70_000),
    CLOSE,
)
TEXT: Final = b"out\nlong" + "gr\u00fc\u00dfe".encode() + b"x" * 70_000


def answers(data: bytes) -> list[Event]:
    """What a server makes of what a client sends."""
    server = Connection(ConnectionType.SERVER)
    server.receive_data(data)
    return list(server.events())


# -- the decoder


def test_handshake() -> None:
    decoder = WebSocketDecoder(NONCE)
    assert decoder.fields == {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY}
    decoder.receive_head(101, HEAD)
    decoder.receive_head(101, {**HEAD, "upgrade": "WebSocket"})


def test_the_example_of_the_standard() -> None:
    decoder = WebSocketDecoder(b"the sample nonce")
    assert decoder.fields["Sec-WebSocket-Key"] == "dGhlIHNhbXBsZSBub25jZQ=="
    decoder.receive_head(101, {"upgrade": "websocket", "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="})


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, HEAD),
        (101, {}),
        (101, {**HEAD, "upgrade": "tcp"}),
        (101, {**HEAD, "sec-websocket-accept": ACCEPT.lower()}),
        (101, {"upgrade": "websocket"}),
    ],
)
def test_no_handshake(status: int, headers: dict[str, str]) -> None:
    with pytest.raises(ProtocolError, match=f"with status {status}, is none"):
        WebSocketDecoder(NONCE).receive_head(status, headers)


@given(borders)
def test_the_pieces_do_not_matter(at: list[float]) -> None:
    decoder = WebSocketDecoder(NONCE)
    content = [part for piece in split(OUTPUT, at) for part in decoder.receive_data(piece)]
    assert b"".join(content) == TEXT
    assert all(content)
    assert decoder.closed
    assert answers(decoder.take_answers()) == [Pong(b"are you there?"), Pong(b""), CloseConnection(1000, "")]
    assert not decoder.has_answers
    assert decoder.receive_eof() == []


def test_only_a_close_is_an_end() -> None:
    end = len(OUTPUT) - len(frames(CLOSE))
    for cut in (*range(600), end - 1, end, end + 1, len(OUTPUT) - 1):
        decoder = WebSocketDecoder(NONCE)
        assert TEXT.startswith(b"".join(decoder.receive_data(OUTPUT[:cut])))
        with pytest.raises(TruncatedStream, match="before the WebSocket was closed"):
            decoder.receive_eof()


@pytest.mark.parametrize("code", [1000, 1001, None])
def test_clean_ends(code: int | None) -> None:
    decoder = WebSocketDecoder(NONCE)
    close = b"\x88\x00" if code is None else frames(CloseConnection(code))
    assert decoder.receive_data(frames(BytesMessage(b"x")) + close + b"garbage") == [b"x"]
    assert decoder.receive_data(b"more garbage") == []
    assert decoder.receive_eof() == []


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (frames(CloseConnection(1011, "out of memory")), "closed with code 1011 out of memory"),
        (frames(CloseConnection(1002)), "closed with code 1002$"),
        (b"\x83\x00", "is no WebSocket frame"),
        (b"\xf2\x00", "is no WebSocket frame"),
        (b"\x82\x80\0\0\0\0", "is no WebSocket frame"),
        (b"\x81\x01\xff", "is no WebSocket frame"),
        (b"\x80\x01x", "is no WebSocket frame"),
        (b"\x88\x01x", "is no WebSocket frame"),
    ],
)
def test_bad_frames(bad: bytes, why: str) -> None:
    for before in (b"", frames(BytesMessage(b"good"))):
        decoder = WebSocketDecoder(NONCE)
        if before:
            assert decoder.receive_data(before + bad) == [b"good"]
        else:
            with pytest.raises(ProtocolError, match=why):
                decoder.receive_data(bad)
        assert decoder.error is not None
        keeps_raising(decoder, decoder.error, frames(BytesMessage(b"more"), CLOSE))


@given(st.binary(max_size=70_000))
def test_what_is_sent_arrives(data: bytes) -> None:
    assert answers(WebSocketDecoder(NONCE).encode(data)) == [BytesMessage(bytearray(data))]


# -- the stream

SHORT: Final = frames(BytesMessage(b"out\n"), Ping(b"hi"), BytesMessage(b"err\n"), BytesMessage(b"y" * 200), CLOSE)
SHORT_TEXT: Final = b"out\nerr\n" + b"y" * 200

sweep = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


def head(accept: str) -> bytes:
    lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
    return "\r\n".join((*lines, f"Sec-WebSocket-Accept: {accept}", "", "")).encode()


def accepted(request: Request) -> bytes:
    key = request.headers["sec-websocket-key"].encode()
    return head(b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode())


REPLY: Final = Reply(head(ACCEPT) + SHORT)


@pytest.fixture
def known_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    def known(size: int) -> bytes:
        return NONCE[:size]

    monkeypatch.setattr("os.urandom", known)


@asynccontextmanager
async def opened(docker: Docker) -> AsyncGenerator[WebSocketStream, None]:
    async with docker.containers.container("c1").open_attach_websocket(stdin=True) as stream:
        yield stream


def replay(reply: Reply = REPLY) -> tuple[ReplayBackend, Docker]:
    backend = ReplayBackend({f"GET {PATH}": reply})
    return backend, anydocker.connect("unix:///nowhere", network_backend=backend)


async def test_what_is_asked_for() -> None:
    async with scripted_engine() as engine, anydocker.connect(engine.host) as d:
        container = d.containers.container("c1")
        with pytest.raises(NotFound):
            async with container.open_attach_websocket(
                stdin=True, stdout=True, stderr=False, logs=True, detach_keys="ctrl-c"
            ):
                raise AssertionError
        request = engine.requests[-1]
    assert (request.method, request.path) == ("GET", PATH)
    assert request.query == {
        "stream": "1", "stdin": "1", "stdout": "1", "stderr": "0", "logs": "1", "detachKeys": "ctrl-c"
    }  # fmt: skip
    fields = ("connection", "upgrade", "sec-websocket-version")
    assert [request.headers[name] for name in fields] == ["Upgrade", "websocket", "13"]
    assert len(b64decode(request.headers["sec-websocket-key"])) == 16


async def test_what_answers_is_no_websocket() -> None:
    _, client = replay(REPLY)  # with another key
    async with client as d:
        with pytest.raises(ProtocolError, match="is none"):
            async with opened(d):
                raise AssertionError


@pytest.mark.usefixtures("known_nonce")
async def test_read() -> None:
    _, client = replay()
    async with client as d:
        async with opened(d) as stream:
            assert await stream.read() == SHORT_TEXT
            assert await stream.receive_many() == []
            with pytest.raises(EndOfStream):
                await stream.receive()
        async with opened(d) as stream:
            assert b"".join([piece async for piece in stream]) == SHORT_TEXT


@sweep
@pytest.mark.usefixtures("known_nonce")
async def test_cut_anywhere_it_is_never_taken_for_whole() -> None:
    backend, client = replay()
    async with client as d:
        for cut in range(REPLY.end):
            for reset in (False, True):
                backend.routes[f"GET {PATH}"] = attrs.evolve(REPLY, cut_at=cut, reset=reset)
                seen = b""
                with pytest.raises(TruncatedStream):
                    async with opened(d) as stream:
                        async for piece in stream:
                            seen += piece
                assert SHORT_TEXT.startswith(seen)
    assert backend.open_connections == 0


@sweep
@pytest.mark.usefixtures("known_nonce")
async def test_the_pieces_in_which_it_comes_do_not_matter() -> None:
    backend, client = replay()
    splits: list[int | list[int]] = [1, 2, 3, 7, *([at] for at in range(1, REPLY.end))]
    async with client as d:
        for split_at in splits:
            backend.routes[f"GET {PATH}"] = attrs.evolve(REPLY, split=split_at)
            async with opened(d) as stream:
                assert await stream.read() == SHORT_TEXT


@sweep
@pytest.mark.usefixtures("known_nonce")
async def test_a_read_cancelled_anywhere_can_be_made_again() -> None:
    backend, client = replay()
    async with client as d:
        for offset in range(REPLY.head_size, REPLY.end):
            backend.routes[f"GET {PATH}"] = attrs.evolve(REPLY, stall_at=offset)
            seen = b""
            cancelled = 0
            async with opened(d) as stream:
                while True:
                    with CancelScope() as scope:
                        backend.on_stall = scope.cancel
                        piece = await anext(stream, None)
                        if piece is None:
                            break
                        seen += piece
                    cancelled += scope.cancelled_caught
            assert (seen, cancelled) == (SHORT_TEXT, 1), offset


# The ping comes with the first piece, and the rest of the output behind it.
IN_TWO: Final = attrs.evolve(
    REPLY, split=[REPLY.head_size, REPLY.head_size + len(frames(BytesMessage(b"out\n"), Ping(b"hi")))]
)


@asynccontextmanager
async def cancelled_answering(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[WebSocketStream, None]:
    """A stream on which a read was cancelled by asyncio itself while it answered a ping."""
    _, client = replay(IN_TWO)
    task = asyncio.current_task()
    assert task is not None
    send = BodyStream.send

    async def cancelled_send(self: BodyStream, data: bytes) -> None:
        monkeypatch.setattr(BodyStream, "send", send)
        task.cancel()
        await send(self, data)

    monkeypatch.setattr(BodyStream, "send", cancelled_send)
    async with client as d, opened(d) as stream:
        with pytest.raises(asyncio.CancelledError):
            await stream.receive()
        task.uncancel()
        yield stream


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.usefixtures("known_nonce")
async def test_what_was_read_with_a_ping_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the answer was sent, nobody knows, so nothing can be sent behind it."""
    async with cancelled_answering(monkeypatch) as stream:
        assert await stream.read() == SHORT_TEXT
        with pytest.raises(TruncatedStream, match="a send was cancelled half-way"):
            await stream.send(b"more")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.usefixtures("known_nonce")
async def test_what_was_read_with_a_ping_is_gone_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    async with cancelled_answering(monkeypatch) as stream:
        await stream.aclose()
        with pytest.raises(ClosedResourceError):
            await stream.receive()


# -- both directions


@attrs.define
class Server:
    """The engine's end of a WebSocket, for as long as the block of the test."""

    stream: ByteStream
    events: list[Event] = attrs.field(factory=list[Event])
    _connection: Connection = attrs.field(factory=lambda: Connection(ConnectionType.SERVER))

    async def send(self, *events: Event) -> None:
        await self.stream.send(b"".join(map(self._connection.send, events)))

    async def receive(self, events: int) -> list[Event]:
        """Receive so many events; of a message, every part is one."""
        while len(self.events) < events:
            self._connection.receive_data(await self.stream.receive())
            self.events += self._connection.events()
        received, self.events = self.events[:events], self.events[events:]
        return received


@asynccontextmanager
async def connected() -> AsyncGenerator[tuple[Server, WebSocketStream, ScriptedEngine], None]:
    """A stream, and the other end of it."""
    servers: list[Server] = []
    ready = anyio.Event()
    done = anyio.Event()

    async def serve(request: Request, stream: ByteStream) -> None:
        servers.append(Server(stream))
        await stream.send(accepted(request))
        ready.set()
        await done.wait()

    routes: dict[str, Route] = {f"GET {PATH}": serve}
    with fail_after(30):
        async with (
            scripted_engine(routes) as engine,
            anydocker.connect(engine.host) as docker,
            opened(docker) as stream,
        ):
            await ready.wait()
            yield servers[0], stream, engine
            done.set()


async def test_both_directions() -> None:
    async with connected() as (server, stream, _):
        await stream.send(b"hello")
        await stream.send(b"")
        await stream.send(b"world")
        assert [event.data for event in await server.receive(2) if isinstance(event, BytesMessage)] == [
            b"hello",
            b"world",
        ]
        await server.send(BytesMessage(b"out"))
        assert await stream.receive() == b"out"
        await server.send(CLOSE)
        assert [piece async for piece in stream] == []
        assert await server.receive(1) == [CloseConnection(1000, "")]
        with pytest.raises(TruncatedStream, match="the engine has closed it"):
            await stream.send(b"more")


async def test_pings_are_answered() -> None:
    async with connected() as (server, stream, _):
        await server.send(Ping(b"1"), BytesMessage(b"a"), Ping(b"2"), BytesMessage(b"b"))
        assert await stream.receive() == b"a"
        assert await server.receive(2) == [Pong(b"1"), Pong(b"2")]


async def test_an_answer_outlives_the_cancellation_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    receive_data = WebSocketDecoder.receive_data

    def cancelling_receive_data(self: WebSocketDecoder, data: bytes) -> list[bytes]:
        scope.cancel()
        return receive_data(self, data)

    monkeypatch.setattr(WebSocketDecoder, "receive_data", cancelling_receive_data)
    async with connected() as (server, stream, _):
        await server.send(Ping(b"1"), BytesMessage(b"a"))
        with CancelScope() as scope:
            assert await stream.receive() == b"a"
        assert scope.cancel_called
        await stream.send(b"b")
        assert await server.receive(2) == [Pong(b"1"), BytesMessage(bytearray(b"b"))]


async def test_nobody_takes_the_answer_to_a_ping() -> None:
    """The other side is gone; what it sent before it went is still good."""
    async with connected() as (server, stream, engine):
        await server.send(Ping(b"1"), BytesMessage(b"a"))
        await server.stream.aclose()
        await engine.wait_connections(1)  # the one that is kept for calls
        assert await stream.receive() == b"a"
        with pytest.raises(TruncatedStream):
            await stream.receive()


BIG: Final = bytes(8 * 1024 * 1024)


async def test_a_reader_does_not_wait_for_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that reads nothing before its output is read: the answer to a ping goes behind what is being sent."""
    monkeypatch.setattr("anydocker.streams._websocket.CLEANUP_SECONDS", 3600)
    async with connected() as (server, stream, _), create_task_group() as group:
        group.start_soon(stream.send, BIG)
        await wait_all_tasks_blocked()
        await server.send(Ping(b"1"), BytesMessage(b"a"))
        assert await stream.receive() == b"a"
        received = b""
        while len(received) < len(BIG):
            (event,) = await server.receive(1)
            assert isinstance(event, BytesMessage)
            received += event.data
        assert received == BIG
        assert await server.receive(1) == [Pong(b"1")]


async def test_a_send_that_was_cancelled_half_way_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_send(self: BodyStream, data: bytes) -> None:
        raise AssertionError("this would be inside of the frame")

    async with connected() as (server, stream, _):
        async with create_task_group() as group:
            group.start_soon(stream.send, BIG)
            await wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        with pytest.raises(TruncatedStream, match="a send was cancelled half-way"):
            await stream.send(b"more")
        monkeypatch.setattr(BodyStream, "send", no_send)
        await server.send(Ping(b"1"), BytesMessage(b"a"))
        assert await stream.receive() == b"a"


async def test_a_send_that_was_cancelled_before_it_began_is_harmless() -> None:
    async with connected() as (server, stream, _):
        with CancelScope() as scope:
            scope.cancel()
            await stream.send(b"never")
        assert scope.cancelled_caught
        await stream.send(b"sent")
        (event,) = await server.receive(1)
        assert isinstance(event, BytesMessage)
        assert event.data == b"sent"


async def test_one_sender_and_one_reader_at_a_time() -> None:
    async with connected() as (_, stream, _), create_task_group() as group:
        group.start_soon(stream.send, BIG)
        group.start_soon(stream.receive)
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await stream.send(b"x")
        with pytest.raises(BusyResourceError):
            await stream.receive()
        group.cancel_scope.cancel()


async def test_one_direction_cannot_be_ended() -> None:
    async with connected() as (server, stream, _):
        with pytest.raises(DockerError, match="use open_attach"):
            await stream.send_eof()
        await server.send(BytesMessage(b"a"))
        assert await stream.receive() == b"a"


async def test_leaving_the_block_closes_the_connection() -> None:
    async with connected() as (server, stream, _):
        await server.send(BytesMessage(b"a"), BytesMessage(b"b"))
        assert await stream.receive() == b"a"
        await stream.aclose()
        with pytest.raises(ClosedResourceError):
            await stream.receive()
        with pytest.raises(ClosedResourceError):
            await stream.send(b"x")
        with pytest.raises(EndOfStream):
            await server.receive(1)


async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "anydocker._wire.websocket")
    monkeypatch.setitem(sys.modules, "wsproto.connection", None)
    backend, client = replay()
    async with client as d:
        with pytest.raises(MissingExtra, match=r"install anydocker\[websocket\]") as caught:
            async with opened(d):
                raise AssertionError
    assert isinstance(caught.value, ImportError)
    assert backend.requests == ["HEAD /_ping"]
