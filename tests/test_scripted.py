from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import h11
import pytest
from anyio import BrokenResourceError, EndOfStream, connect_unix, fail_after, move_on_after, sleep_forever
from anyio.abc import ByteReceiveStream, ByteStream, SocketStream
from anyio.lowlevel import checkpoint

from anydocker.testing import (
    Reply,
    Request,
    Route,
    ScriptedEngine,
    chunked_reply,
    json_reply,
    scripted_engine,
    upgraded_reply,
)

pytestmark = pytest.mark.anyio

HELLO = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", keep_alive=True)
GET_X = b"GET /v1.45/x HTTP/1.1\r\nHost: d\r\n\r\n"
POST_X = b"POST /x HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\n\r\n"


@asynccontextmanager
async def dial(engine: ScriptedEngine) -> AsyncGenerator[SocketStream, None]:
    with fail_after(10):
        stream: SocketStream = await connect_unix(engine.host.removeprefix("unix://"))
        async with stream:
            yield stream


async def say_and_wait(routes: Mapping[str, Route], said: bytes) -> None:
    async with scripted_engine(routes) as engine, dial(engine) as stream:
        await stream.send(said)
        await stream.send_eof()
        await sleep_forever()


async def read_all(stream: ByteReceiveStream) -> bytes:
    data = b""
    while True:
        try:
            data += await stream.receive()
        except EndOfStream:
            return data


async def read_exactly(stream: ByteReceiveStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await stream.receive(size - len(data))
    return data


async def read_until(stream: ByteReceiveStream, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += await stream.receive()
    return data


# -- replies


def test_replies_are_complete_http() -> None:
    reply = json_reply({"a": 1}, 404)
    assert reply.data == (
        b'HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"a": 1}\n'
    )
    assert reply.data[reply.head_size :] == b'{"a": 1}\n'
    assert chunked_reply([b"ab", b"x" * 17], content_type="text/plain").data == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n"
    )
    assert upgraded_reply(b"out").data == (
        b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
        b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nout"
    )


def test_a_chunked_reply_refuses_the_chunk_that_would_end_it() -> None:
    with pytest.raises(ValueError, match="empty chunk"):
        chunked_reply([b"a", b""])


@pytest.mark.parametrize(
    ("reply", "pieces"),
    [
        (Reply(b"abcdef"), [(0, b"abcdef")]),
        (Reply(b"abcdef", split=4), [(0, b"abcd"), (4, b"ef")]),
        (Reply(b"abcdef", split=(1, 3)), [(0, b"a"), (1, b"bc"), (3, b"def")]),
        (Reply(b"abcdef", split=(3, 9), cut_at=4), [(0, b"abc"), (3, b"d")]),
        (Reply(b"abcdef", stall_at=2), [(0, b"ab"), (2, b"cdef")]),
        (Reply(b"abcdef", split=3, stall_at=3), [(0, b"abc"), (3, b"def")]),
        (Reply(b"abcdef", cut_at=0), []),
    ],
)
def test_a_reply_knows_its_pieces(reply: Reply, pieces: list[tuple[int, bytes]]) -> None:
    assert reply.pieces() == pieces


@pytest.mark.parametrize(
    ("cut_at", "stall_at", "split"),
    [(4, None, None), (-1, None, None), (None, 4, None), (1, 2, None), (None, None, 0)],
)
def test_a_reply_refuses_offsets_it_cannot_meet(cut_at: int | None, stall_at: int | None, split: int | None) -> None:
    with pytest.raises(ValueError, match=r"at|pieces"):
        Reply(b"abc", cut_at=cut_at, stall_at=stall_at, split=split)


# -- the scripted engine


async def test_it_answers_pings_and_keeps_the_connection() -> None:
    async with scripted_engine(api_version="1.47") as engine, dial(engine) as stream:
        await stream.send(b"HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\nGET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
        first, second, body = (await read_until(stream, b"OK")).split(b"\r\n\r\n")
        assert first == second
        assert b"\r\nApi-Version: 1.47\r\n" in first
        assert body == b"OK"
        await stream.send(b"GET /v1.47/version HTTP/1.1\r\nHost: d\r\n\r\n")
        assert b'"ApiVersion": "1.47"' in await stream.receive()
        assert [request.method for request in engine.requests] == ["HEAD", "GET", "GET"]


async def test_what_has_no_route_is_not_found() -> None:
    async with scripted_engine() as engine, dial(engine) as stream:
        await stream.send(b"HEAD /x HTTP/1.1\r\nHost: d\r\n\r\n" + GET_X)
        answer = await read_until(stream, b"}\n")
        head = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n"
        assert answer == head + head + b'{"message": "page not found"}\n'


async def test_requests_are_recorded() -> None:
    async with scripted_engine({"POST /images/a b/tag": HELLO}) as engine, dial(engine) as stream:
        await stream.send(
            b"POST /v1.41/images/a%20b/tag?repo=r%2Fx&t=1&t=2&empty= HTTP/1.1\r\nHost: d\r\nX-One: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        await read_exactly(stream, len(HELLO.data))
        (request,) = engine.requests
        assert request == Request(
            method="POST",
            path="/images/a b/tag",
            version="1.41",
            query={"repo": "r/x", "t": "2", "empty": ""},
            headers={"host": "d", "x-one": "1", "transfer-encoding": "chunked"},
            body=b"abcde",
            target="/v1.41/images/a%20b/tag?repo=r%2Fx&t=1&t=2&empty=",
        )


@pytest.mark.parametrize("path", ["/volumes", "/v1/x", "/vx.y/z"])
async def test_only_a_version_is_taken_for_one(path: str) -> None:
    async with scripted_engine() as engine, dial(engine) as stream:
        await stream.send(b"GET %b HTTP/1.1\r\nHost: d\r\n\r\n" % path.encode())
        await stream.receive()
        assert (engine.requests[0].version, engine.requests[0].path) == (None, path)


@pytest.mark.parametrize(("split", "sizes"), [(20, [20, 20, 3]), ((7, 8, 30), [7, 1, 22, 13]), (None, [43])])
async def test_each_piece_is_a_read_of_its_own(split: int | Sequence[int] | None, sizes: list[int]) -> None:
    reply = attrs.evolve(HELLO, split=split)
    async with scripted_engine({"GET /x": reply}) as engine, dial(engine) as stream:
        await stream.send(GET_X)
        assert [len(await stream.receive()) for _ in sizes] == sizes


async def test_a_client_that_takes_its_time_still_gets_the_pieces_apart() -> None:
    reply = attrs.evolve(HELLO, split=20)
    async with scripted_engine({"GET /x": reply}) as engine, dial(engine) as stream:
        await stream.send(GET_X)
        sizes: list[int] = []
        for _ in range(3):
            for _ in range(10):
                await checkpoint()
            sizes.append(len(await stream.receive()))
        assert sizes == [20, 20, 3]


@pytest.mark.parametrize("cut_at", [0, 1, 40, len(HELLO.data)])
async def test_a_cut_closes_the_connection(cut_at: int) -> None:
    routes = {"GET /x": attrs.evolve(HELLO, cut_at=cut_at)}
    async with scripted_engine(routes) as engine, dial(engine) as stream:
        await stream.send(GET_X)
        assert await read_all(stream) == HELLO.data[:cut_at]


async def test_without_keep_alive_the_connection_is_closed() -> None:
    async with scripted_engine({"GET /x": Reply(b"raw")}) as engine, dial(engine) as stream:
        await stream.send(GET_X)
        assert await read_all(stream) == b"raw"


@pytest.mark.parametrize("cut_at", [0, 40, None])
async def test_a_reset_is_read_as_one(cut_at: int | None) -> None:
    routes = {"GET /x": attrs.evolve(HELLO, cut_at=cut_at, reset=True)}
    async with scripted_engine(routes) as engine, dial(engine) as stream:
        await stream.send(GET_X)
        assert await read_exactly(stream, routes["GET /x"].end) == HELLO.data[:cut_at]
        with pytest.raises(BrokenResourceError):
            await stream.receive()


@pytest.mark.parametrize("stall_at", [0, 40, len(HELLO.data)])
async def test_a_stalled_reply_waits_for_resume(stall_at: int) -> None:
    routes = {"GET /x": attrs.evolve(HELLO, stall_at=stall_at, keep_alive=False)}
    async with scripted_engine(routes) as engine, dial(engine) as stream:
        await stream.send(GET_X)
        await engine.wait_stalled()
        assert engine.stalled == 1
        assert await read_exactly(stream, stall_at) == HELLO.data[:stall_at]
        with move_on_after(0.02) as scope:
            await stream.receive()
        assert scope.cancelled_caught
        engine.resume()
        assert await read_all(stream) == HELLO.data[stall_at:]
        assert engine.stalled == 0


async def test_a_resumed_reply_may_stall_the_next_time() -> None:
    async with scripted_engine({"GET /x": attrs.evolve(HELLO, stall_at=3)}) as engine, dial(engine) as stream:
        for _ in range(2):
            await stream.send(GET_X)
            await engine.wait_stalled()
            assert await read_exactly(stream, 3) == HELLO.data[:3]
            engine.resume()
            assert await read_exactly(stream, len(HELLO.data) - 3) == HELLO.data[3:]


async def test_replies_are_used_in_turn_and_the_last_for_good() -> None:
    bodies = [Reply(body, keep_alive=True) for body in (b"one", b"two")]
    async with scripted_engine({"GET /x": bodies}) as engine, dial(engine) as stream:
        seen: list[bytes] = []
        for _ in range(3):
            await stream.send(GET_X)
            seen.append(await read_exactly(stream, 3))
        assert seen == [b"one", b"two", b"two"]


async def test_an_exact_route_wins_over_patterns_and_these_go_in_order() -> None:
    routes = {
        "GET /containers/*": Reply(b"1", keep_alive=True),
        "* /*": Reply(b"2", keep_alive=True),
        "GET /containers/a/json": Reply(b"3", keep_alive=True),
    }
    async with scripted_engine(routes) as engine, dial(engine) as stream:
        answers = b""
        for request in (b"GET /containers/a/json", b"GET /containers/b/json", b"DELETE /containers/b"):
            await stream.send(request + b" HTTP/1.1\r\nHost: d\r\n\r\n")
            answers += await read_exactly(stream, 1)
        engine.routes["DELETE /late"] = Reply(b"4")
        await stream.send(b"DELETE /late HTTP/1.1\r\nHost: d\r\n\r\n")
        assert answers + await read_all(stream) == b"3124"


async def test_a_handler_has_the_stream_to_itself() -> None:
    async def shout(request: Request, stream: ByteStream) -> None:
        await stream.send(upgraded_reply(request.body).data)
        heard = await read_all(stream)
        await stream.send(heard.upper())
        await stream.send_eof()

    async with scripted_engine({"POST /x": shout}) as engine, dial(engine) as stream:
        await stream.send(POST_X + b"bodyhel")
        assert (await read_exactly(stream, len(upgraded_reply(b"body").data))).endswith(b"\r\n\r\nbody")
        await stream.send(b"lo")
        await stream.send_eof()
        assert await read_all(stream) == b"HELLO"


async def test_a_handler_may_read_a_little_at_a_time() -> None:
    async def spell(_: Request, stream: ByteStream) -> None:
        await stream.send(b"-".join([await stream.receive(1) for _ in range(5)]))

    async with scripted_engine({"GET /x": spell}) as engine, dial(engine) as stream:
        await stream.send(GET_X + b"he")
        await stream.send(b"llo")
        assert await read_all(stream) == b"h-e-l-l-o"


async def test_a_handler_may_answer_with_a_reply() -> None:
    def sync(request: Request, _: ByteStream) -> Reply:
        return Reply(request.body, keep_alive=True)

    async def asynchronous(request: Request, _: ByteStream) -> Reply:
        await checkpoint()
        return Reply(request.body[::-1])

    async with scripted_engine({"POST /x": sync, "POST /y": asynchronous}) as engine, dial(engine) as stream:
        await stream.send(POST_X + b"body" + POST_X.replace(b"/x", b"/y") + b"body")
        assert await read_all(stream) == b"bodyydob"


async def test_an_error_in_a_handler_is_raised_in_the_block() -> None:
    def broken(_: Request, __: ByteStream) -> Reply:
        raise LookupError("my script is wrong")

    with pytest.raises(LookupError, match="my script is wrong"):
        await say_and_wait({"GET /x": broken}, GET_X)


async def test_a_handler_that_reads_too_far_is_wrong() -> None:
    async def greedy(_: Request, stream: ByteStream) -> None:
        await stream.receive()

    with pytest.raises(EndOfStream):
        await say_and_wait({"GET /x": greedy}, GET_X)


async def test_a_client_that_is_not_speaking_http_is_an_error() -> None:
    with pytest.raises(h11.RemoteProtocolError, match="illegal request line"):
        await say_and_wait({}, b"\x16\x03\x01\r\n\r\n")


async def test_a_client_may_leave_at_any_time() -> None:
    flood = Reply(b"x" * 10_000_000)
    async with scripted_engine({"GET /x": attrs.evolve(HELLO, stall_at=3), "GET /flood": flood}) as engine:
        for said in (b"", b"GET /x HT", POST_X + b"bo", GET_X, GET_X.replace(b"/x", b"/flood")):
            async with dial(engine) as stream:
                await stream.send(said)
                await engine.wait_connections(1)
            await engine.wait_connections(0)
        async with dial(engine) as stream:
            await stream.send(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            assert await stream.receive()


async def test_connections_are_counted() -> None:
    async with scripted_engine({"GET /x": attrs.evolve(HELLO, stall_at=0)}) as engine:
        assert engine.connections == 0
        async with dial(engine) as first:
            await first.send(GET_X)
            await engine.wait_stalled()
            async with dial(engine):
                await engine.wait_connections(2)
            assert engine.connections == 1
        assert engine.connections == 0
        with move_on_after(0.02) as scope:
            await engine.wait_connections(1)
        assert scope.cancelled_caught


async def test_an_answer_may_come_before_the_body() -> None:
    reply = Reply(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", before_body=True)
    async with scripted_engine({"POST /x": reply}) as engine, dial(engine) as stream:
        await stream.send(POST_X)
        assert await read_exactly(stream, len(reply.data)) == reply.data
        assert engine.requests[0].body == b""
        await engine.wait_connections(0)


async def test_leaving_the_block_closes_and_removes_everything() -> None:
    async with scripted_engine({"GET /x": attrs.evolve(HELLO, stall_at=3)}) as engine:
        stream = await connect_unix(engine.host.removeprefix("unix://"))
        await stream.send(GET_X)
        await engine.wait_stalled()
    async with stream:
        assert await read_all(stream) == HELLO.data[:3]
    assert not Path(engine.host.removeprefix("unix://")).parent.exists()
