"""Which connection a call takes, when it comes back, and what streams have to do with it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import attrs
import pytest
from anyio import CancelScope, ClosedResourceError, Event, fail_after
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint

import anydocker
from anydocker import Statistics, TruncatedStream
from anydocker.testing import (
    ReplayBackend,
    Reply,
    Request,
    Route,
    ScriptedEngine,
    chunked_reply,
    json_reply,
    scripted_engine,
)
from tests.recorded import HOST

pytestmark = pytest.mark.anyio

MAX_CALLS = 32

OK = json_reply({"ok": True})
EMPTY = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", keep_alive=True)
HELD = attrs.evolve(OK, stall_at=0)


def names(engine: ScriptedEngine) -> list[str]:
    return [f"{request.method} {request.path}" for request in engine.requests]


async def settle(engine: ScriptedEngine, connections: int) -> None:
    with fail_after(10):
        await engine.wait_connections(connections)


class Peers:
    """Route that tells connections apart: the engine's answers say on which one they came."""

    def __init__(self, reply: Reply = OK, *, hold: int = 0) -> None:
        self.seen: list[int] = []
        self._known: list[ByteStream] = []
        self._reply = reply
        self._hold = hold
        self._all = Event()

    async def __call__(self, _: Request, stream: ByteStream) -> Reply:
        if stream not in self._known:
            self._known.append(stream)
        self.seen.append(self._known.index(stream))
        if len(self.seen) == self._hold:
            self._all.set()
        if self._hold:
            await self._all.wait()
        return self._reply


# -- reuse


async def test_a_connection_is_kept_for_the_next_call() -> None:
    peers = Peers()
    async with scripted_engine({"GET /x": peers}) as engine, anydocker.connect(engine.host) as d:
        for _ in range(5):
            await d.request("GET", "/x")
        assert peers.seen == [0] * 5
        assert engine.connections == d.statistics().idle_connections == 1


async def test_the_connection_used_last_is_used_next() -> None:
    peers = Peers(hold=3)
    async with scripted_engine({"GET /*": peers}) as engine, anydocker.connect(engine.host) as d:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(partial(d.request, "GET", "/x"))
        assert sorted(peers.seen) == [0, 1, 2]
        assert d.statistics().idle_connections == 3
        for _ in range(4):
            await d.request("GET", "/x")
        assert len(set(peers.seen[3:])) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", keep_alive=True),
        chunked_reply([b"ok"]),
        Reply(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True),
        Reply(b"HTTP/1.1 304 Not Modified\r\n\r\n", keep_alive=True),
        Reply(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", keep_alive=True),
        json_reply({"message": "no"}, 404),
    ],
    ids=lambda reply: repr(reply.data[:60]),
)
async def test_a_complete_exchange_gives_its_connection_back(reply: Reply) -> None:
    peers = Peers(reply)
    async with scripted_engine({"GET /x": peers}) as engine, anydocker.connect(engine.host) as d:
        for _ in range(2):
            with suppress(anydocker.NotFound):
                await d.request("GET", "/x")
        assert peers.seen == [0, 0]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", keep_alive=True),
        Reply(b"HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 2\r\n\r\nok", keep_alive=True),
        Reply(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", keep_alive=True),
        Reply(b"HTTP/1.1 200 OK\r\n\r\nup to the end"),
        Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", keep_alive=True),
        Reply(chunked_reply([b"ok"]).data + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", keep_alive=True),
        Reply(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", keep_alive=True),
    ],
    ids=lambda reply: repr(reply.data[:60]),
)
@pytest.mark.parametrize("split", [None, "apart"])
async def test_a_connection_that_may_not_be_used_again_is_closed(reply: Reply, split: str | None) -> None:
    """An answer behind an answer would be taken for that of the next call."""
    if split and b"okHTTP" in reply.data:
        reply = attrs.evolve(reply, split=[reply.data.index(b"okHTTP") + 2])
    peers = Peers(reply)
    async with scripted_engine({"GET /x": peers}) as engine, anydocker.connect(engine.host) as d:
        for _ in range(3):
            await d.request("GET", "/x")
            await anyio.wait_all_tasks_blocked()
        assert peers.seen == [0, 1, 2]
        await d.ping()


async def test_the_answer_to_head_that_has_a_body_costs_the_connection() -> None:
    reply = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", keep_alive=True)
    peers = Peers(reply)
    async with scripted_engine({"HEAD /x": peers}) as engine, anydocker.connect(engine.host) as d:
        assert (await d.request("HEAD", "/x")).body == b""
        await anyio.wait_all_tasks_blocked()
        assert (await d.request("HEAD", "/x")).body == b""
        assert peers.seen == [0, 1]


# -- connections that have ended meanwhile


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_ended_while_it_idled_is_not_used(method: str) -> None:
    closing = attrs.evolve(OK, keep_alive=False)
    async with scripted_engine({"* /x": closing}) as engine, anydocker.connect(engine.host) as d:
        for _ in range(3):
            await d.request(method, "/x")
            assert d.statistics().idle_connections == 1
            await settle(engine, 0)
        assert names(engine) == ["HEAD /_ping", *[f"{method} /x"] * 3]


async def test_a_connection_on_which_something_came_unasked_is_not_used() -> None:
    async def late(_: Request, stream: ByteStream) -> Reply:
        sockets.append(stream.extra(SocketAttribute.raw_socket))
        return OK

    sockets: list[Any] = []
    async with scripted_engine({"GET /x": late}) as engine, anydocker.connect(engine.host) as d:
        await d.request("GET", "/x")
        sockets[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        assert (await d.request("GET", "/x")).json() == {"ok": True}
        assert sockets[0].fileno() != sockets[1].fileno()


class EndsOnUse:
    """Closes a connection that is used a second time without an answer, as an engine that is tired of waiting does."""

    def __init__(self, said: bytes = b"") -> None:
        self._known: list[ByteStream] = []
        self._said = said

    async def __call__(self, _: Request, stream: ByteStream) -> Reply | None:
        if stream in self._known:
            await stream.send(self._said)
            return None
        self._known.append(stream)
        return EMPTY


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_changes_nothing_is_sent_again_once(method: str) -> None:
    async with scripted_engine({"* /x": EndsOnUse()}) as engine, anydocker.connect(engine.host) as d:
        await d.request(method, "/x")
        assert (await d.request(method, "/x")).status == 200
        assert names(engine) == ["HEAD /_ping", *[f"{method} /x"] * 3]
        assert d.statistics().idle_connections == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_what_may_change_something_is_not_sent_again(method: str) -> None:
    async with scripted_engine({"* /x": EndsOnUse()}) as engine, anydocker.connect(engine.host) as d:
        await d.request(method, "/x")
        with pytest.raises(TruncatedStream, match="before it answered"):
            await d.request(method, "/x")
        assert names(engine) == ["HEAD /_ping", *[f"{method} /x"] * 2]


async def test_what_was_answered_in_part_is_not_sent_again() -> None:
    async with scripted_engine({"GET /x": EndsOnUse(b"HTTP/1.1 2")}) as engine, anydocker.connect(engine.host) as d:
        await d.request("GET", "/x")
        with pytest.raises(TruncatedStream):
            await d.request("GET", "/x")
        assert names(engine) == ["HEAD /_ping", *["GET /x"] * 2]


async def test_a_new_connection_that_ends_is_not_tried_again() -> None:
    routes: dict[str, Route] = {"GET /x": attrs.evolve(OK, cut_at=0), "GET /y": attrs.evolve(OK, keep_alive=False)}
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        await d.request("GET", "/y")
        await settle(engine, 0)
        with pytest.raises(TruncatedStream):
            await d.request("GET", "/x")
        assert names(engine) == ["HEAD /_ping", "GET /y", "GET /x"]


# -- the bound


async def test_one_call_too_many_waits_for_a_place() -> None:
    async with scripted_engine({"GET /x": HELD}) as engine, anydocker.connect(engine.host) as d:
        with fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(MAX_CALLS + 1):
                    group.start_soon(partial(d.request, "GET", "/x"))
                await engine.wait_stalled(MAX_CALLS)
                await anyio.wait_all_tasks_blocked()
                assert engine.stalled == engine.connections == MAX_CALLS
                engine.resume()
                while len(engine.requests) < MAX_CALLS + 2 or engine.stalled > 1:
                    await checkpoint()
                await engine.wait_stalled()
                engine.resume()
        assert names(engine) == ["HEAD /_ping", *["GET /x"] * (MAX_CALLS + 1)]
        assert d.statistics() == Statistics(MAX_CALLS, 0)


async def test_a_call_that_waits_for_a_place_can_be_cancelled() -> None:
    async with scripted_engine({"GET /x": HELD}) as engine, anydocker.connect(engine.host) as d:
        with fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(MAX_CALLS):
                    group.start_soon(partial(d.request, "GET", "/x"))
                await engine.wait_stalled(MAX_CALLS)
                with anyio.move_on_after(0.01) as scope:
                    await d.ping()
                assert scope.cancelled_caught
                engine.resume()
            await d.ping()


async def test_cancelled_and_failed_calls_give_their_places_back() -> None:
    routes: dict[str, Route] = {"GET /x": HELD, "GET /cut": attrs.evolve(OK, cut_at=10)}
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        with fail_after(20):
            for _ in range(2):
                async with anyio.create_task_group() as group:
                    for _ in range(MAX_CALLS):
                        group.start_soon(partial(d.request, "GET", "/x"))
                    await engine.wait_stalled(MAX_CALLS)
                    group.cancel_scope.cancel()
                await settle(engine, 0)
            for _ in range(MAX_CALLS + 1):
                with pytest.raises(TruncatedStream):
                    await d.request("GET", "/cut")
            await d.ping()


async def test_streams_take_no_places() -> None:
    reply = chunked_reply([b'{"status": "start"}'])
    routes: dict[str, Route] = {"GET /events": attrs.evolve(reply, stall_at=reply.end - 5)}
    count = 200

    async def follow() -> None:
        async with d.open_events() as events:
            seen.append(await events.receive())
            await events.receive()

    seen: list[anydocker.Event] = []
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        with fail_after(30):
            async with anyio.create_task_group() as group:
                for _ in range(count):
                    group.start_soon(follow)
                while len(seen) < count:
                    await anyio.sleep(0.01)
                assert d.statistics().open_streams == count
                for _ in range(3):
                    await d.ping()
                assert engine.connections == count + 1
                group.cancel_scope.cancel()
            await settle(engine, 1)


async def test_calls_that_take_long_take_no_places() -> None:
    async with scripted_engine({"POST /x": HELD}) as engine, anydocker.connect(engine.host) as d:
        with fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(MAX_CALLS):
                    group.start_soon(partial(d.request, "POST", "/x", own_connection=True))
                await engine.wait_stalled(MAX_CALLS)
                assert d.statistics().open_streams == MAX_CALLS
                await d.ping()
                engine.resume()
            await settle(engine, 1)


# -- the life of a client


async def test_leaving_the_client_closes_what_idles() -> None:
    async with scripted_engine() as engine:
        async with anydocker.connect(engine.host) as d:
            assert engine.connections == 1
        await settle(engine, 0)
        assert d.statistics() == Statistics(0, 0)


async def test_a_client_that_was_left_is_closed() -> None:
    async with anydocker.connect(HOST, network_backend=ReplayBackend({"GET /x": OK})) as d:
        await d.request("GET", "/x")
    for use in (d.ping, d.info, d.containers.list, partial(d.request, "POST", "/x")):
        with pytest.raises(ClosedResourceError):
            await use()
    with pytest.raises(ClosedResourceError):
        async with d.open_events():
            raise AssertionError("the block is not entered")


async def test_a_stream_whose_client_was_left_is_closed() -> None:
    reply = chunked_reply([b"some", b"more"])
    async with scripted_engine({"GET /x": attrs.evolve(reply, stall_at=reply.end - 10)}) as engine:
        client = anydocker.connect(engine.host)
        await client.__aenter__()
        with fail_after(10):
            async with client.open_request("GET", "/x") as stream:
                assert await stream.receive() == b"some"
                await client.__aexit__(None, None, None)
                with pytest.raises(ClosedResourceError):
                    await stream.receive()
        await settle(engine, 0)


async def test_a_call_that_ends_after_its_client_was_left_keeps_no_connection() -> None:
    async with scripted_engine({"GET /x": HELD}) as engine, anyio.create_task_group() as group:
        with fail_after(10):
            async with anydocker.connect(engine.host) as d:
                group.start_soon(partial(d.request, "GET", "/x"))
                await engine.wait_stalled()
            engine.resume()
            await settle(engine, 0)


async def test_a_client_is_entered_once() -> None:
    client = anydocker.connect(HOST, network_backend=ReplayBackend({}))
    async with client:
        with pytest.raises(RuntimeError, match="entered once"):
            await client.__aenter__()
        await client.ping()
    with pytest.raises(RuntimeError, match="entered once"):
        await client.__aenter__()


async def test_a_client_that_was_not_entered_says_so() -> None:
    client = anydocker.connect(HOST, network_backend=ReplayBackend({}))
    with pytest.raises(RuntimeError, match="async with"):
        await client.ping()
    with pytest.raises(RuntimeError, match="async with"):
        await client.request("GET", "/x")
    with pytest.raises(RuntimeError, match="async with"):
        print(client.api_version)
    with pytest.raises(RuntimeError, match="async with"):
        async with client.open_events():
            raise AssertionError("the block is not entered")
    assert client.statistics() == Statistics(0, 0)
    assert repr(client) == "<Docker unix:///nowhere>"


async def test_a_client_whose_entering_is_cancelled_leaves_nothing() -> None:
    async with scripted_engine({"HEAD /_ping": attrs.evolve(OK, stall_at=0)}) as engine:
        with fail_after(10), CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def cancel() -> None:
                    await engine.wait_stalled()
                    scope.cancel()

                group.start_soon(cancel)
                async with anydocker.connect(engine.host):
                    raise AssertionError("the block is not entered")
        assert scope.cancelled_caught
        await settle(engine, 0)
