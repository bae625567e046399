from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anydocker
from anydocker._wire.head import Head, build_request, head_end, parse_plain_head
from anydocker.errors import ProtocolError
from anydocker.testing import ReplayBackend, Reply

PLAIN = (
    b"HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Type: application/json\r\n"
    b"Date: Sat, 21 Nov 2026 09:16:50 GMT\r\nContent-Length: 5\r\n\r\n"
)


def h11_head(data: bytes, method: str = "GET") -> tuple[Head, bytes] | None:
    """What h11 makes of a response; None: it is no response, not all of one, or has a field twice."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "docker")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.Response):
        return None
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
    if len(headers) < len(event.headers):
        return None
    keep_alive = event.http_version == b"1.1" and "connection" not in headers
    behind = connection.trailing_data[0]
    return Head(event.status_code, headers, keep_alive), behind


# -- what is read


def test_plain_head() -> None:
    expected = {
        "api-version": "1.45",
        "content-type": "application/json",
        "date": "Sat, 21 Nov 2026 09:16:50 GMT",
        "content-length": "5",
    }
    assert parse_plain_head(PLAIN) == (Head(200, expected, keep_alive=True), b"")
    assert parse_plain_head(PLAIN + b"hello") == (Head(200, expected, keep_alive=True), b"hello")


def test_a_head_that_is_not_whole_is_not_read() -> None:
    for end in range(len(PLAIN)):
        assert parse_plain_head(PLAIN[:end]) is None
        assert head_end(PLAIN[:end]) is None
    assert head_end(PLAIN) == len(PLAIN)
    assert head_end(PLAIN + b"hello\r\n\r\n") == len(PLAIN)


@pytest.mark.parametrize(
    ("lines", "headers"),
    [
        (b"", {}),
        (b"X-Empty-Not: a\r\n", {"x-empty-not": "a"}),
        (b"A: b: c\r\n", {"a": "b: c"}),
        (b"A: b  \r\n", {"a": "b"}),
        (b"Transfer-Encoding: chunked\r\n", {"transfer-encoding": "chunked"}),
        (b"Content-Length: 0\r\n", {"content-length": "0"}),
    ],
)
def test_fields(lines: bytes, headers: dict[str, str]) -> None:
    assert parse_plain_head(b"HTTP/1.1 404 Not Found\r\n" + lines + b"\r\n") == (Head(404, headers, True), b"")


NOT_PLAIN = [
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    b"HTTP/1.1 600 What\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
    b"HTTP/1.1  200 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"http/1.1 200 OK\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\n\n",
    b"HTTP/1.1 200 OK\r\nA: b\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA:b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA:  b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: \r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\tc\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: \xe4\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA_b: c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\na: c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
]


@pytest.mark.parametrize("data", NOT_PLAIN)
def test_anything_unusual_is_left_to_h11(data: bytes) -> None:
    assert parse_plain_head(data) is None
    assert head_end(data) is not None


# -- against h11

names = st.sampled_from(["Api-Version", "Content-Length", "Transfer-Encoding", "X-1", "a", "A", "Server", "Upgrade"])
values = st.sampled_from(["1.45", "chunked", "0", "5", "a b", "tcp", "Docker/20.10 (linux)", "x "])
fields = st.lists(st.tuples(names, values), max_size=4)
edits = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 2),
        st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"\x7f", b"\xe4", b"0", b"9", b"a", b"_"]),
    ),
    max_size=2,
)


@given(st.integers(195, 605), st.sampled_from(["OK", "", "Not Found", "a\tb"]), fields, edits, st.binary(max_size=3))
def test_what_is_read_is_what_h11_reads(
    status: int, reason: str, fields: list[tuple[str, str]], edits: list[tuple[float, int, bytes]], behind: bytes
) -> None:
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in fields), "", ""]
    data = "\r\n".join(lines).encode()
    for at, removed, inserted in edits:
        pos = round(at * len(data))
        data = data[:pos] + inserted + data[pos + removed :]
    data += behind
    ours = parse_plain_head(data)
    if ours is not None:
        assert ours == h11_head(data)
    if h11_head(data) is not None:
        assert head_end(data) is not None


@given(st.integers(200, 599), st.dictionaries(st.sampled_from(["Api-Version", "Server", "X-Y"]), values, max_size=3))
def test_plain_heads_are_read(status: int, fields: dict[str, str]) -> None:
    lines = [f"HTTP/1.1 {status} OK", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    assert parse_plain_head("\r\n".join(lines).encode()) is not None


# -- requests


def test_request() -> None:
    fields = [("Host", "docker"), ("X-Registry-Auth", "e30="), ("X-Empty", ""), ("X-Name", "f\u00e4")]
    assert build_request("GET", "/v1.45/info?a=%20", fields) == (
        b"GET /v1.45/info?a=%20 HTTP/1.1\r\nHost: docker\r\nX-Registry-Auth: e30=\r\nX-Empty: \r\nX-Name: f\xe4\r\n\r\n"
    )


@pytest.mark.parametrize("method", ["", "get", "GET ", "G\r\nET", "G" * 17, "GÉT"])
def test_method_that_is_none(method: str) -> None:
    with pytest.raises(ValueError, match="method="):
        build_request(method, "/", [])


@pytest.mark.parametrize("target", ["", "info", "*", "/a b", "/a\r\nX: y", "/a\n", "/\u00e4", "/a\0", "/\x7f"])
def test_target_that_is_none(target: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a request"):
        build_request("GET", target, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "x"),
        ("A B", "x"),
        ("A:", "x"),
        ("A\r\nB", "x"),
        ("\u00c4", "x"),
        ("Secret", "s3cret\r\nX: y"),
        ("Secret", "s3cret\n"),
        ("Secret", "s3cret\r"),
        ("Secret", "s3cret\0"),
        ("Secret", " s3cret"),
        ("Secret", "s3cret "),
        ("Secret", "s3cret\u20ac"),
        ("Secret", "s3cret\x7f"),
        ("Secret", "\ts3cret"),
    ],
)
def test_field_that_is_none(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="headers: ") as caught:
        build_request("GET", "/", [("Host", "docker"), (name, value)])
    assert repr(name) in str(caught.value)
    assert "s3cret" not in str(caught.value)


@given(
    st.sampled_from(["GET", "POST", "HEAD"]),
    st.text(max_size=6),
    st.lists(st.tuples(st.text(max_size=4), st.text(max_size=6)), max_size=2),
)
def test_a_request_is_what_h11_would_read(method: str, path: str, fields: list[tuple[str, str]]) -> None:
    try:
        data = build_request(method, f"/{path}", [("Host", "docker"), *fields])
    except ValueError:
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    event = server.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (method.encode(), f"/{path}".encode())
    given = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    assert list(event.headers) == [(b"host", b"docker"), *given]
    assert server.trailing_data == (b"", False)


# -- the whole way


async def answer(*data: bytes) -> int:
    backend = ReplayBackend({"GET /info": Reply(b"".join(data))})
    async with anydocker.connect("unix:///nowhere", network_backend=backend) as d:
        return (await d.request("GET", "/info")).status


CONTINUE = b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 100 + b"\r\n\r\n"


@pytest.mark.anyio
async def test_informational_heads_come_before_the_answer() -> None:
    assert await answer(CONTINUE * 2, PLAIN, b"hello") == 200


@pytest.mark.anyio
async def test_informational_heads_without_end_are_refused() -> None:
    with pytest.raises(ProtocolError, match="longer than 65536 bytes"):
        await answer(CONTINUE * 5000)


@pytest.mark.anyio
async def test_a_head_without_end_is_refused() -> None:
    with pytest.raises(ProtocolError, match="GET /"):
        await answer(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 30_000)
