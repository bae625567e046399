from __future__ import annotations

import attrs
import httpcore
import pytest
from anyio import CancelScope, ClosedResourceError, fail_after

import anydocker
from anydocker.testing import ReplayBackend, Reply, chunked_reply, json_reply, upgraded_reply

pytestmark = pytest.mark.anyio

OK = json_reply({"ok": True})
GET_X = b"GET /v1.45/x HTTP/1.1\r\nHost: d\r\n\r\n"


async def said(backend: ReplayBackend, request: bytes = GET_X) -> list[bytes]:
    """What is read, up to the end, on a connection on which one request is made."""
    stream = await backend.connect_unix_socket("/any")
    out: list[bytes] = []
    with fail_after(10):
        await stream.write(request)
        while data := await stream.read(1000):
            out.append(data)
    await stream.aclose()
    return out


async def test_it_is_an_engine() -> None:
    backend = ReplayBackend({"GET /containers/*/json": OK, "GET /info": json_reply({"ID": "x"})}, api_version="1.44")
    async with anydocker.connect("tcp://any", network_backend=backend) as d:
        assert d.api_version == "1.44"
        assert (await d.info())["ID"] == "x"
        assert (await d.request("GET", "/containers/a%20b/json")).json() == {"ok": True}
        with pytest.raises(anydocker.NotFound):
            await d.request("GET", "/nowhere")
        assert backend.open_connections == 1
    assert backend.requests == ["HEAD /_ping", "GET /info", "GET /containers/a b/json", "GET /nowhere"]
    assert backend.open_connections == 0


async def test_a_script_can_be_changed() -> None:
    backend = ReplayBackend({"HEAD /_ping": json_reply({}, 500), "GET /_ping": OK})
    assert b" 500 " in (await said(ReplayBackend({"GET /x": Reply(json_reply({}, 500).data)})))[0]
    backend.routes["GET /x"] = Reply(b"now")
    assert await said(backend) == [b"now"]


@pytest.mark.parametrize(("split", "pieces"), [(None, [b"abcdef"]), (4, [b"abcd", b"ef"]), ([1], [b"a", b"bcdef"])])
async def test_it_splits(split: int | list[int] | None, pieces: list[bytes]) -> None:
    assert await said(ReplayBackend({"GET /x": Reply(b"abcdef", split=split)})) == pieces


async def test_a_read_takes_no_more_than_it_asks_for() -> None:
    stream = await ReplayBackend({"GET /x": Reply(b"abcdef")}).connect_tcp("any", 1)
    await stream.write(GET_X)
    assert [await stream.read(4), await stream.read(4), await stream.read(4), await stream.read(4)] == [
        b"abcd",
        b"ef",
        b"",
        b"",
    ]


async def test_it_cuts_and_resets() -> None:
    assert await said(ReplayBackend({"GET /x": attrs.evolve(OK, cut_at=3)})) == [b"HTT"]
    backend = ReplayBackend({"GET /x": attrs.evolve(OK, cut_at=3, reset=True)})
    stream = await backend.connect_unix_socket("/any")
    await stream.write(GET_X)
    assert await stream.read(10) == b"HTT"
    for _ in range(2):
        with pytest.raises(httpcore.ReadError):
            await stream.read(10)


@pytest.mark.parametrize("stall_at", [0, 3, 6])
async def test_it_stalls_once(stall_at: int) -> None:
    stalls = 0
    backend = ReplayBackend({"GET /x": Reply(b"abcdef", stall_at=stall_at)})
    stream = await backend.connect_unix_socket("/any")
    await stream.write(GET_X)
    received = b""
    with fail_after(10):
        while len(received) < 6 or not stalls:
            with CancelScope() as scope:
                backend.on_stall = scope.cancel
                received += await stream.read(10)
            if scope.cancelled_caught:
                stalls += 1
                assert len(received) == stall_at
    assert (received, stalls) == (b"abcdef", 1)


async def test_an_answer_may_come_before_the_body() -> None:
    stream = await ReplayBackend({"PUT /x": attrs.evolve(OK, before_body=True)}).connect_unix_socket("/any")
    await stream.write(b"PUT /x HTTP/1.1\r\nHost: d\r\nContent-Length: 1000\r\n\r\n")
    with pytest.raises(httpcore.WriteError):
        await stream.write(bytes(1000))
    assert await stream.read(10_000) == OK.data


async def test_input_of_a_process_is_swallowed() -> None:
    async with anydocker.connect("tcp://any", network_backend=ReplayBackend({"POST /x": upgraded_reply(b"out")})) as d:
        async with d.open_request("POST", "/x", upgrade="tcp") as stream:
            await stream.send(b"no request at all")
            await stream.send_eof()
            assert await stream.read() == b"out"


async def test_a_request_in_pieces_is_one_request() -> None:
    backend = ReplayBackend({"GET /x": chunked_reply([b"a"])})
    stream = await backend.connect_unix_socket("/any")
    for byte in GET_X:
        assert stream.get_extra_info("is_readable") is False
        await stream.write(bytes([byte]))
    assert stream.get_extra_info("is_readable") is True
    assert stream.get_extra_info("socket") is None
    assert backend.requests == ["GET /x"]


async def test_a_closed_connection_is_closed() -> None:
    backend = ReplayBackend({})
    stream = await backend.connect_unix_socket("/any")
    await stream.aclose()
    await stream.aclose()
    assert backend.open_connections == 0
    with pytest.raises(ClosedResourceError):
        await stream.read(1)
    with pytest.raises(ClosedResourceError):
        await stream.write(b"x")
    await backend.sleep(0)
