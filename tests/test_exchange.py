"""One request and its response: heads, bodies, uploads, and an engine that does not do as it should."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from anyio import BusyResourceError, CancelScope, ClosedResourceError, Event, fail_after
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint

import anydocker
from anydocker import BadRequest, ProtocolError, TruncatedStream
from anydocker.testing import (
    ReplayBackend,
    Reply,
    Request,
    chunked_reply,
    json_reply,
    scripted_engine,
    upgraded_reply,
)
from tests.recorded import HOST, sweep

pytestmark = pytest.mark.anyio


def answer(*lines: str, body: bytes = b"", closes: bool = False) -> Reply:
    head = "\r\n".join(("HTTP/1.1 200 OK", *lines, "", "")).encode("latin-1")
    return Reply(head + body, keep_alive=not closes)


def client(routes: Mapping[str, Reply]) -> anydocker.Docker:
    return anydocker.connect(HOST, network_backend=ReplayBackend(dict(routes)))


# -- the request


async def test_what_is_asked_arrives() -> None:
    async with scripted_engine({"POST /x": json_reply({})}) as engine, anydocker.connect(engine.host) as d:
        query: dict[str, Any] = {"a": "b c&d", "many": ["1", "2"], "yes": True, "none": None}
        await d.request("POST", "/x", query=query, headers={"X-Extra": "1"}, json={"ü": [1, None]})
        request = engine.requests[-1]
    assert request.target == "/v1.45/x?a=b%20c%26d&many=1&many=2&yes=1"
    assert request.body == b'{"\\u00fc":[1,null]}'
    assert request.headers["host"] == "docker"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(request.body))
    assert request.headers["x-extra"] == "1"


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_request_without_a_body_says_so_where_one_is_expected(method: str) -> None:
    async with scripted_engine({"* /x": json_reply({})}) as engine, anydocker.connect(engine.host) as d:
        await d.request(method, "/x")
        assert engine.requests[-1].headers["content-length"] == "0"
        await d.request("DELETE", "/x")
        assert "content-length" not in engine.requests[-1].headers


BAD_ARGUMENTS: dict[str, Callable[[anydocker.Docker], Any]] = {
    "two bodies": lambda d: d.request("POST", "/x", json={}, body=b""),
    "a query in the path": lambda d: d.request("GET", "/x?y=1"),
    "a space in the path": lambda d: d.request("GET", "/x y"),
    "no slash": lambda d: d.request("GET", "x"),
    "a path that is not ASCII": lambda d: d.request("GET", "/ü"),
    "a line feed in the path": lambda d: d.request("GET", "/x\n"),
    "a method that is none": lambda d: d.request("GET /y", "/x"),
    "a field that ends the head": lambda d: d.request("GET", "/x", headers={"X": "1\r\n\r\nGET /y"}),
    "a name that is none": lambda d: d.request("GET", "/x", headers={"X Y": "1"}),
    "no JSON": lambda d: d.request("POST", "/x", json=float("nan")),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
async def test_bad_arguments_are_refused_before_anything_is_sent(name: str) -> None:
    backend = ReplayBackend({"* /x": json_reply({})})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        with pytest.raises(ValueError, match="."):
            await BAD_ARGUMENTS[name](d)
        assert backend.requests == ["HEAD /_ping"]
        await d.ping()


# -- the response


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (answer("Content-Length: 5", body=b"hello"), b"hello"),
        (answer("Content-Length: 0"), b""),
        (answer("content-LENGTH:5", body=b"hello"), b"hello"),
        (answer("Content-Length: 5", "Content-Length: 5", body=b"hello"), b"hello"),
        (answer("Transfer-Encoding: chunked", body=b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: x\r\n\r\n"), b"hello"),
        (answer("Transfer-Encoding: Chunked", body=b"005\r\nhello\r\n0\r\n\r\n"), b"hello"),
        (answer("Transfer-Encoding: chunked", "Content-Length: 3", body=b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
        (answer(body=b"hello", closes=True), b"hello"),
        (answer("Connection: close", body=b"hello", closes=True), b"hello"),
        (Reply(b"HTTP/1.0 200 OK\r\n\r\nhello"), b"hello"),
        (Reply(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"), b"hello"),
        (Reply(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), b"hello"),
        (Reply(b"HTTP/1.1 204 No Content\r\n\r\n"), b""),
        (Reply(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), b""),
    ],
    ids=lambda value: repr(value.data[:50]) if isinstance(value, Reply) else "",
)
@pytest.mark.parametrize("split", [None, 1, 7], ids="split {}".format)
async def test_bodies_of_every_kind(reply: Reply, body: bytes, split: int | None) -> None:
    async with client({"GET /x": attrs.evolve(reply, split=split)}) as d:
        assert (await d.request("GET", "/x")).body == body
        async with d.open_request("GET", "/x") as stream:
            assert await stream.read() == body


async def test_the_answer_to_head_has_no_body() -> None:
    reply = answer("Content-Length: 5", "X-Info: yes")
    async with scripted_engine({"HEAD /x": reply}) as engine, anydocker.connect(engine.host) as d:
        response = await d.request("HEAD", "/x")
        assert (response.status, response.body, response.headers["x-info"]) == (200, b"", "yes")
        assert d.statistics().idle_connections == 1


async def test_fields_are_found_by_their_lower_case_names_and_joined() -> None:
    reply = answer("X-Some: a", "x-SOME:   b  ", "X-Umlaut: \xfc", "Content-Length: 0")
    async with client({"GET /x": reply}) as d:
        headers = (await d.request("GET", "/x")).headers
    assert headers["x-some"] == "a, b"
    assert headers["x-umlaut"] == "ü"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anydocker.BadRequest),
        (401, anydocker.Unauthorized),
        (403, anydocker.Forbidden),
        (404, anydocker.NotFound),
        (409, anydocker.Conflict),
        (418, anydocker.APIError),
        (500, anydocker.EngineFault),
        (503, anydocker.Unavailable),
    ],
)
async def test_a_refusal_is_raised_by_its_status(status: int, error: type[anydocker.APIError]) -> None:
    async with client({"GET /x": json_reply({"message": "because"}, status)}) as d:
        with pytest.raises(anydocker.APIError, match="because") as caught:
            await d.request("GET", "/x", query={"q": "1"})
        assert type(caught.value) is error
        assert (caught.value.status, caught.value.method, caught.value.path) == (status, "GET", "/v1.45/x")
        with pytest.raises(error, match="because"):
            async with d.open_request("GET", "/x"):
                raise AssertionError("the block is not entered")
        assert d.statistics().open_streams == 0


async def test_a_response_reads_its_json() -> None:
    async with client({"GET /x": json_reply({"a": 1}), "GET /text": answer("Content-Length: 5", body=b"hello")}) as d:
        assert (await d.request("GET", "/x")).json() == {"a": 1}
        assert repr(await d.request("GET", "/text")).endswith("body=<5 bytes>)")
        with pytest.raises(ProtocolError):
            (await d.request("GET", "/text")).json()


@sweep
async def test_a_head_that_is_cut_at_any_byte_is_truncated() -> None:
    reply = json_reply({"a": 1})
    backend = ReplayBackend({})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        for cut in range(reply.end):
            backend.routes["GET /x"] = attrs.evolve(reply, cut_at=cut)
            with pytest.raises(TruncatedStream, match=r"GET /v1\.45/x|before the end of the response"):
                await d.request("GET", "/x")


async def test_an_answer_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anydocker._transport.pool.MAX_ANSWER", 1000)
    async with client({"GET /x": json_reply("x" * 1000)}) as d:
        with pytest.raises(ProtocolError, match="longer than 1000 bytes"):
            await d.request("GET", "/x")


async def test_an_upgrade_that_nobody_asked_for_is_refused() -> None:
    async with client({"GET /x": upgraded_reply(b"data")}) as d:
        with pytest.raises(ProtocolError):
            await d.request("GET", "/x")


# -- streams


async def test_a_second_reader_is_told_that_the_stream_is_busy() -> None:
    reply = chunked_reply([b"one", b"two"])
    route = attrs.evolve(reply, stall_at=reply.head_size)
    async with scripted_engine({"GET /x": route}) as engine, anydocker.connect(engine.host) as d:
        with fail_after(10):
            async with d.open_request("GET", "/x") as stream, anyio.create_task_group() as group:
                group.start_soon(stream.read)
                await anyio.wait_all_tasks_blocked()
                for read in (stream.receive, stream.receive_many, stream.read):
                    with pytest.raises(BusyResourceError):
                        await read()
                engine.resume()


async def test_a_second_writer_is_told_that_the_stream_is_busy() -> None:
    async def swallow(_: Request, stream: ByteStream) -> None:
        await stream.send(upgraded_reply(b"").data)
        await stop.wait()

    stop = Event()
    async with scripted_engine({"POST /x": swallow}) as engine, anydocker.connect(engine.host) as d:
        with fail_after(10):
            async with d.open_request("POST", "/x", upgrade="tcp") as stream, anyio.create_task_group() as group:
                group.start_soon(stream.send, bytes(10_000_000))
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(BusyResourceError):
                    await stream.send(b"more")
                with pytest.raises(BusyResourceError):
                    await stream.send_eof()
                group.cancel_scope.cancel()
        stop.set()


async def test_a_stream_is_closed_behind_its_block() -> None:
    async with client({"POST /x": upgraded_reply(b"data")}) as d:
        async with d.open_request("POST", "/x", upgrade="tcp") as stream:
            assert (stream.status, stream.headers["upgrade"]) == (101, "tcp")
        for use in (stream.receive, stream.receive_many, stream.read, lambda: stream.send(b"x"), stream.send_eof):
            with pytest.raises(ClosedResourceError):
                await use()
        await stream.aclose()


async def test_both_directions_of_an_upgraded_connection() -> None:
    async def echo(_: Request, stream: ByteStream) -> None:
        await stream.send(upgraded_reply(b"hello ").data)
        try:
            while True:
                await stream.send((await stream.receive()).upper())
        except anyio.EndOfStream:
            await stream.send(b" bye")

    async with scripted_engine({"POST /x": echo}) as engine, anydocker.connect(engine.host) as d:
        with fail_after(10):
            async with d.open_request("POST", "/x", upgrade="tcp") as stream:
                await stream.send(b"abc")
                await stream.send_eof()
                await stream.send_eof()
                assert await stream.read() == b"hello ABC bye"
        assert engine.requests[-1].headers["upgrade"] == "tcp"


async def test_a_process_that_takes_no_more_input_ends_a_send() -> None:
    async with scripted_engine({"POST /x": upgraded_reply(b"")}) as engine, anydocker.connect(engine.host) as d:
        with fail_after(10):
            async with d.open_request("POST", "/x", upgrade="tcp") as stream:
                assert await stream.read() == b""
                with pytest.raises(TruncatedStream, match="takes no more input"):
                    while True:
                        await stream.send(bytes(100_000))


# -- uploads


async def pieces(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        await checkpoint()
        yield bytes(size)


@pytest.mark.parametrize("sizes", [(), (0,), (1,), (1, 0, 2), (131_072,), (131_071, 1, 1), (200_000, 5, 300_000)])
async def test_a_streamed_upload_arrives(sizes: tuple[int, ...]) -> None:
    async with scripted_engine({"PUT /x": json_reply({})}) as engine, anydocker.connect(engine.host) as d:
        await d.request("PUT", "/x", body=pieces(*sizes))
        assert engine.requests[-1].body == bytes(sum(sizes))
        assert engine.requests[-1].headers["transfer-encoding"] == "chunked"
        assert d.statistics().idle_connections == 1


class Pieces:
    """A stream of bytes that is no generator: its iterator has no ``aclose``."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return b"piece"


async def test_any_asynchronous_iterable_can_be_sent() -> None:
    async with scripted_engine({"PUT /x": json_reply({})}) as engine, anydocker.connect(engine.host) as d:
        await d.request("PUT", "/x", body=Pieces(3))
        assert engine.requests[-1].body == b"piece" * 3


REFUSED = json_reply({"message": "not a tar"}, 400)
UPLOADS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: bytes(3_000_000),
    "a stream": lambda: pieces(*[100_000] * 30),
    "small pieces": lambda: pieces(*[1000] * 3000),
}


@pytest.mark.parametrize("kind", UPLOADS)
@pytest.mark.parametrize("way", ["call", "call on its own connection", "stream"])
async def test_an_upload_that_is_refused_half_way_ends_with_the_answer(kind: str, way: str) -> None:
    """The engine answers and closes without having read it all: that is no broken pipe."""
    route = attrs.evolve(REFUSED, before_body=True)
    async with scripted_engine({"PUT /x": route}) as engine, anydocker.connect(engine.host) as d:
        for _ in range(30):
            with fail_after(10), pytest.raises(BadRequest, match="not a tar"):
                if way == "stream":
                    async with d.open_request("PUT", "/x", body=UPLOADS[kind]()):
                        raise AssertionError("the block is not entered")
                else:
                    await d.request("PUT", "/x", body=UPLOADS[kind](), own_connection=way != "call")
        assert d.statistics().open_streams == 0
        await d.ping()


async def test_an_answer_that_comes_before_the_upload_is_complete_is_taken() -> None:
    route = attrs.evolve(json_reply({"early": True}), before_body=True)
    async with scripted_engine({"PUT /x": route}) as engine, anydocker.connect(engine.host) as d:
        response = await d.request("PUT", "/x", body=pieces(*[100_000] * 30))
        assert response.json() == {"early": True}
        with fail_after(10):
            await engine.wait_connections(0)


async def test_a_connection_whose_upload_was_not_taken_is_not_used_again(tmp_path: Path) -> None:
    """The engine reads no more and answers, but does not close."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Length: 0\r\n\r\n")
            with suppress(anyio.EndOfStream):
                await stream.receive(100)
                stream.extra(SocketAttribute.raw_socket).shutdown(socket.SHUT_RD)
                await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await finished.wait()

    finished = Event()
    path = tmp_path / "d.sock"
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        with fail_after(10):
            async with anydocker.connect(f"unix://{path}") as d:
                assert (await d.request("PUT", "/x", body=pieces(*[100_000] * 30))).body == b"ok"
                assert d.statistics().idle_connections == 0
        finished.set()
        group.cancel_scope.cancel()


async def test_an_upload_nobody_answers_is_truncated() -> None:
    route = attrs.evolve(REFUSED, before_body=True, cut_at=0)
    async with scripted_engine({"PUT /x": route}) as engine, anydocker.connect(engine.host) as d:
        for kind in UPLOADS.values():
            with fail_after(10), pytest.raises(TruncatedStream, match=r"PUT /v1\.45/x"):
                await d.request("PUT", "/x", body=kind())


class Trouble(Exception):
    pass


@pytest.mark.parametrize("at", [0, 1, 200_000])
async def test_an_upload_that_fails_at_its_source_closes_the_connection(at: int) -> None:
    closed = False

    async def source() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            if at:
                yield bytes(at)
            raise Trouble
        finally:
            closed = True

    async with scripted_engine({"PUT /x": json_reply({})}) as engine, anydocker.connect(engine.host) as d:
        with pytest.raises(Trouble):
            await d.request("PUT", "/x", body=source())
        with pytest.raises(Trouble):
            async with d.open_request("PUT", "/x", body=source()):
                raise AssertionError("the block is not entered")
        assert closed
        with fail_after(10):
            await engine.wait_connections(d.statistics().idle_connections)
        assert [request.method for request in engine.requests] == ["HEAD"]


@pytest.mark.parametrize("waits", ["source", "engine"])
async def test_an_upload_that_is_cancelled_closes_source_and_connection(waits: str) -> None:
    closed = False

    async def source() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            yield bytes(1000)
            if waits == "source":
                await anyio.sleep_forever()
            while True:
                yield bytes(1_000_000)
        finally:
            closed = True

    route = attrs.evolve(REFUSED, before_body=True, stall_at=0)
    async with scripted_engine({"PUT /x": route}) as engine, anydocker.connect(engine.host) as d:
        async with anyio.create_task_group() as group:
            group.start_soon(upload, d, source())
            with fail_after(10):
                await engine.wait_stalled()
                await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert closed
        with fail_after(10):
            await engine.wait_connections(0)


async def upload(d: anydocker.Docker, source: AsyncIterator[bytes]) -> None:
    await d.request("PUT", "/x", body=source)


async def test_an_upload_in_a_cancelled_scope_sends_nothing() -> None:
    async with scripted_engine({"PUT /x": json_reply({})}) as engine, anydocker.connect(engine.host) as d:
        with CancelScope() as scope:
            scope.cancel()
            await d.request("PUT", "/x", body=b"data")
        assert scope.cancelled_caught
        assert [request.method for request in engine.requests] == ["HEAD"]
