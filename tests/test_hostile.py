"""
An engine that means harm.

Whatever it sends, a call ends, with a documented error or a value, and takes no more memory than the limits in
docs/design.md say.
"""

from __future__ import annotations

import gzip
import os
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import chain, repeat
from typing import Any

import attrs
import h11
import httpcore
import pytest
from anyio import Event, fail_after, sleep_forever
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

import anydocker
from anydocker import Docker, DockerError, ProtocolError, TruncatedStream
from anydocker._wire import head
from anydocker._wire.websocket import WebSocketDecoder
from anydocker.testing import ReplayBackend, Reply, Request, json_reply, scripted_engine
from tests.helpers import CountingPattern, retained
from tests.hostile_operations import OPERATIONS, PRELIMINARIES, Operation
from tests.recorded import HOST, sweep

pytestmark = pytest.mark.anyio

# Set for the long form: every answer, on every event loop.
EVERYTHING = bool(os.environ.get("ANYDOCKER_EVERYTHING"))
KIB = 1024
MIB = 1024 * KIB

every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second is spent on what such an engine will never do."""
    monkeypatch.setattr("anydocker.resources.exec.SETTLE_SECONDS", 0.01)
    monkeypatch.setattr("anydocker.resources.exec.CLEANUP_SECONDS", 0.05)
    monkeypatch.setattr("anydocker.resources.exec._KILL_PAUSES", (0, 0))
    monkeypatch.setattr("anydocker.resources.container._output.SETTLE_SECONDS", 0.01)
    monkeypatch.setattr("anydocker.resources._created.CLEANUP_SECONDS", 0.05)


async def judge(docker: Docker, operation: Operation, what: object) -> bool:
    """Do it; return whether that was refused, as it may be, with an error that is documented."""
    with fail_after(20):
        try:
            await operation.run(docker)
        except DockerError:
            return True
        except Exception as exc:
            exc.add_note(f"the answer was {what}")
            raise
    return False


# -- answers that no engine gives

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PLAIN = OK + b"Content-Length: 2\r\n\r\n{}"
ONCE = b'{"a":1}'


def with_length(length: bytes, body: bytes = ONCE) -> bytes:
    return OK + b"Content-Length: " + length + b"\r\n\r\n" + body


def in_chunks(body: bytes) -> bytes:
    return CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def frame(size: int, data: bytes = b"", kind: int = 1) -> bytes:
    return bytes((kind, 0, 0, 0)) + size.to_bytes(4, "big") + data


BODIES = {
    "nested too deeply": b"[" * 20_000,
    "nested too deeply, and closed": b"[" * 20_000 + b"]" * 20_000 + b"\n",
    "nested objects": b'{"a":' * 20_000,
    "nested as deep as can be": b"[" * 900 + b"]" * 900,
    "a number of too many digits": b'{"Id":' + b"1" * 5_000 + b"}",
    "a number without end": b"1" * 20_000,
    "a large number": b'{"time":' + b"9" * 4_000 + b',"timeNano":-1,"StatusCode":' + b"9" * 4_000 + b"}",
    "an infinite number": b'{"StatusCode":1e999,"time":1e999,"size":-1e999}',
    "no number": b'{"StatusCode":NaN}',
    "a long string": b'{"Id":"' + b"x" * 20_000 + b'"}',
    "keys twice": b'{"Id":"a","Id":"b","StatusCode":0,"StatusCode":1}',
    "half a character": b'{"Id":"\\ud800","status":"\\udfff","message":"\\ud800","Name":"\\ud800"}',
    "a NUL": b'{"Id":"a\\u0000b","Name":"\\u0000"}',
    "bytes that are no text": b'{"Id":"\xff\xfe"}',
    "a text of another encoding": '{"Id":"x"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a NUL as such": b"\0",
    "an id that leads elsewhere": b'{"Id":"../../x","Name":"../x"}',
    "an empty id": b'{"Id":"","Name":""}',
    **{f"the scalar {text!r}": text for text in (b"null", b"true", b"0", b'"x"', b"[]", b"[null]", b"[[]]", b"-0.0")},
    "half a document": b'{"Id":',
    "two documents": b"{}{}",
    "nothing": b"",
    "white space": b" \r\n" * 10,
    "a page": b"<!doctype html><title>502</title>",
    "a gzip": gzip.compress(b'{"Id":"x"}'),
    "a frame of 2 GiB": frame(2**31),
    "a frame of 4 GiB": frame(2**32 - 1, b"x"),
    "a frame of a kind there is not": frame(1, b"x", kind=77),
    "half a frame": frame(5, b"x"),
    "an error in a frame": frame(2, b"\xff\xfe", kind=3),
    "empty frames": frame(0) * 1000,
    "zeros": bytes(3_000),
}
HEADS = {
    "noise": bytes(range(256)) * 10,
    "a status and no end": OK,
    "a body and no status": b'{"Id":"x"}\n',
    "HTTP/0.9": b"hello\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n{}",
    "HTTP/2": b"HTTP/2 200\r\n\r\n{}",
    "a status of no digits": b"HTTP/1.1 abc OK\r\n\r\n",
    "a status of 999": b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
    "an interim status and an end": b"HTTP/1.1 100 Continue\r\n\r\n",
    "102 without end": b"HTTP/1.1 102 Processing\r\n\r\n" * 2_500,
    "a header of 70 KB": OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n{}",
    "4,000 headers": OK + b"".join(b"X-%d: y\r\n" % n for n in range(4_000)) + b"\r\n{}",
    "headers without names": OK + b": x\r\n\r\n",
    "a folded header": OK + b"X: y\r\n  z\r\nContent-Length: 2\r\n\r\n{}",
    "a NUL in a header": OK + b"X: \0\r\n\r\n",
    "line feeds alone": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "204 with a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "304 with a body": b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a body that is too long": with_length(b"1"),
    "a body that is too short": with_length(b"100"),
    "a huge length": with_length(b"9" * 15),
    "a length of 300 digits": with_length(b"9" * 300),
    "a negative length": with_length(b"-1"),
    "a length with a sign": with_length(b"+7"),
    "a length in hex": with_length(b"0x7"),
    "a length of other digits": with_length("\u0667".encode()),
    "two lengths": OK + b"Content-Length: 7\r\nContent-Length: 2\r\n\r\n" + ONCE,
    "one length twice": OK + b"Content-Length: 7\r\nContent-Length: 7\r\n\r\n" + ONCE,
    "a length and chunks": OK + b"Content-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "another coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip, unasked": OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}"),
    **{
        f"a chunk of size {size!r}": CHUNKED + size + b"\r\n{}\r\n0\r\n\r\n"
        for size in (b"-2", b"+2", b"0x2", b" 2", b"2\t2", b"f" * 16, b"f" * 30, b"1" * 5000, b"", b"2\0", b"\xb2")
    },
    "an endless chunk": CHUNKED + b"7fffffffffffffff\r\n{}",
    "a chunk extension of 20 KB": CHUNKED + b"2;" + b"x" * 20_000 + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"2\r\n{}XX0\r\n\r\n",
    "a trailer of 20 KB": CHUNKED + b"2\r\n{}\r\n0\r\nX: " + b"x" * 20_000,
    "4,000 trailers": CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 4_000 + b"\r\n",
    "trailers that are none": CHUNKED + b"2\r\n{}\r\n0\r\nnothing\r\n\r\n",
    "a redirect": b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "a redirect to itself": b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    "101 for whatever was asked": b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    + frame(1, b"x"),
    "a WebSocket nobody asked for": b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    b"\x81\x7f",
    "200 for whatever was asked": OK + b"\r\n" + frame(1, b"x"),
    "a second answer": PLAIN + PLAIN,
    "something behind the answer": PLAIN + b"\r\n\r\n",
    "a refusal that is no text": b"HTTP/1.1 500 \xff\r\nContent-Length: 2\r\n\r\n\xff\xfe",
    "a refusal that is nested": b"HTTP/1.1 404 Not Found\r\n\r\n" + b"[" * 20_000,
    "a refusal of another shape": b'HTTP/1.1 409 Conflict\r\n\r\n{"message":{"message":[1]},"errorDetail":[]}',
    "a description of a path that is none": OK + b"X-Docker-Container-Path-Stat: e30=\r\nContent-Length: 0\r\n\r\n",
}
ANSWERS = {
    **HEADS,
    **{f"{name}, in a chunk": in_chunks(body) for name, body in BODIES.items()},
    **{
        f"{name}, with a length and up to the end": reply
        for name, body in BODIES.items()
        for reply in ((with_length(b"%d" % len(body), body), OK + b"\r\n" + body) if EVERYTHING else ())
    },
}


def chosen(
    answers: Mapping[str, bytes], operation: Operation, event_loop: str, *, one_in: int = 4
) -> list[tuple[str, bytes]]:
    """A part of the answers, another one for each operation and event loop: so none of them is never tried."""
    first = [*OPERATIONS.values()].index(operation) + (0 if event_loop == "trio" else one_in // 2)
    return list(answers.items()) if EVERYTHING else list(answers.items())[first % one_in :: one_in]


@sweep
@every_operation
async def test_any_answer_ends_a_call_with_a_documented_error_or_a_value(
    operation: Operation, anyio_backend_name: str
) -> None:
    backend = ReplayBackend(PRELIMINARIES)
    refused = 0
    async with anydocker.connect(HOST, network_backend=backend) as d:
        for number, (name, data) in enumerate(chosen(ANSWERS, operation, anyio_backend_name)):
            # Every third answer comes before the request has been sent.
            reply = Reply(data, before_body=number % 3 == 0)
            backend.routes = {**PRELIMINARIES, operation.route: reply}
            refused += await judge(d, operation, name)
            assert d.statistics().open_streams == 0, name
    assert refused
    assert backend.open_connections == 0


@sweep
@every_operation
async def test_an_engine_that_answers_everything_so(operation: Operation, anyio_backend_name: str) -> None:
    backend = ReplayBackend({})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        for name, data in chosen(HEADS, operation, anyio_backend_name, one_in=12):
            backend.routes = {"* *": Reply(data)}
            await judge(d, operation, name)
            assert d.statistics().open_streams == 0, name
    assert backend.open_connections == 0


# -- documents of another shape

WRONG: tuple[Any, ...] = (None, True, -1, 10**400, 1.5, "", "\ud800", "../x", [], [None], [[]], {}, {"": None})


def keys_of(document: Any) -> list[Any]:
    return [*document] if isinstance(document, dict) else [*range(len(document))]


def misshapen(document: Any) -> Iterator[Any]:
    """The document with each of its parts, and itself, in turn replaced by what has no place there, or left out."""
    yield from WRONG
    parts: Any = document
    for key in keys_of(document):
        value: Any = parts[key]
        without: Any = deepcopy(parts)
        del without[key]
        yield without
        for wrong in misshapen(value) if isinstance(value, dict | list) else WRONG:
            changed: Any = deepcopy(parts)
            changed[key] = wrong
            yield changed


WITH_DOCUMENTS = {name: operation for name, operation in OPERATIONS.items() if operation.document is not None}


@sweep
@pytest.mark.parametrize("operation", WITH_DOCUMENTS.values(), ids=list(WITH_DOCUMENTS))
async def test_a_document_of_any_shape(operation: Operation) -> None:
    backend = ReplayBackend({**PRELIMINARIES, operation.route: json_reply(operation.document)})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        await judge(d, operation, operation.document)
        for document in misshapen(operation.document):
            backend.routes[operation.route] = json_reply(document)
            await judge(d, operation, document)


# -- answers without end


class Flood(httpcore.AsyncNetworkBackend):
    """An engine that says ``head``, and then goes on and on; a test that uses up all of it has met no limit."""

    def __init__(self, head: bytes, pieces: Iterable[bytes]) -> None:
        self.head = head
        self.pieces = pieces

    async def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        await checkpoint()
        return FloodStream(self)


class FloodStream(httpcore.AsyncNetworkStream):
    def __init__(self, engine: Flood) -> None:
        self.engine = engine
        self.output: Iterator[bytes] = iter(())

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await checkpoint()
        # As from a socket: a copy of its own each time, which counts for as long as it is kept.
        return bytes(memoryview(next(self.output, b"")))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await checkpoint()
        ping = b"HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nConnection: close\r\n\r\n"
        is_ping = buffer.startswith(b"HEAD /_ping ")
        self.output = iter((ping,)) if is_ping else chain((self.engine.head,), self.engine.pieces)

    async def aclose(self) -> None:
        await checkpoint()

    def get_extra_info(self, info: str) -> Any:
        return None


async def flood(operation: str, head: bytes, pieces: Iterable[bytes]) -> tuple[DockerError, int]:
    """What comes of it, and the bytes of memory that it took."""
    async with anydocker.connect(HOST, network_backend=Flood(head, pieces)) as d:
        tracemalloc.start()
        try:
            with fail_after(50), pytest.raises(DockerError) as caught:
                await OPERATIONS[operation].run(d)
            return caught.value, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@attrs.frozen
class Endless:
    """
    An answer that does not end.

    Attributes:
        operation: What it is the answer to.
        head: What comes first.
        pieces: Makes what comes then, one read at a time; much more than is needed.
        says: What the error says.
        peak: How many bytes of memory it may take.
    """

    operation: str
    head: bytes
    pieces: Callable[[], Iterable[bytes]]
    says: str
    peak: int = MIB


def again(piece: bytes, size: int) -> Callable[[], Iterable[bytes]]:
    return lambda: repeat(piece, size // len(piece))


def small(unit: bytes, size: int) -> Callable[[], Iterable[bytes]]:
    """In reads of about 32 KiB, each of them many small units."""
    return again(unit * (32 * KIB // len(unit)), size)


FRAMES = OK + b"Content-Type: application/vnd.docker.multiplexed-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FRAMES_OF_A_LENGTH = FRAMES.replace(b"Transfer-Encoding: chunked", b"Content-Length: 99999999")
TERMINAL = OK + b"Content-Type: application/vnd.docker.raw-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\n\r\n"
# What is too much where the limits are as small as the fixture below makes them.
LIMIT = 256 * KIB
TOO_MUCH = 4 * LIMIT
LINE = b'{"status":"%b"}\r\n' % (b"Waiting " * 100)

REFUSED = {
    "a field": Endless("info", OK + b"X: ", again(b"x" * 1000, MIB), "too long"),
    "fields": Endless("info", OK, lambda: (b"X-%d: y\r\n" % n for n in range(50_000)), "too long"),
    "interim answers": Endless("info", b"H", again(b"TTP/1.1 103 Early Hints\r\n\r\nH", MIB), "longer than 65536"),
    "a chunk's size line": Endless("events", CHUNKED + b"1;", again(b"x" * 1000, MIB), "longer than 4096"),
    "trailers": Endless("events", CHUNKED + b"0\r\n", again(b"X: y\r\n", MIB), "longer than 16384"),
    "an answer": Endless("info", OK + b"\r\n", again(b" " * 32 * KIB, TOO_MUCH), "is longer than", 640 * KIB),
    "an answer in small chunks": Endless(
        "info", CHUNKED, small(b"2\r\nab\r\n", 4 * TOO_MUCH), "is longer than", 2 * MIB
    ),
    "an answer in small reads": Endless("info", OK + b"\r\n", again(b"ab" * 12, TOO_MUCH), "is longer than", 640 * KIB),
    "a refusal": Endless("events", NOT_FOUND, again(b"x" * 32 * KIB, 2 * MIB), "longer than 1048576", 4 * MIB),
    "a string": Endless("events", CHUNKED, small(b'4\r\n"xxx\r\n', 4 * TOO_MUCH), "JSON document", 2 * MIB),
    "a number": Endless("stats", OK + b"\r\n", again(b"11" * 12, TOO_MUCH), "JSON document", 640 * KIB),
    "an array": Endless("pull", OK + b"\r\n[", again(b"0," * 10_000, TOO_MUCH), "JSON document", 640 * KIB),
    "nesting": Endless("wait", OK + b"\r\n", again(b"[" * 10_000, TOO_MUCH), "JSON document", 640 * KIB),
}
# What may go on for ever, as long as it is read. These end, in the middle, after as much as would show.
FLAT = {
    "white space": Endless("events", CHUNKED, small(b"40\r\n%b\r\n" % (b" " * 64), TOO_MUCH), "before the last chunk"),
    "documents": Endless("pull", CHUNKED + b"fffffff\r\n", small(LINE, 2 * TOO_MUCH), "before the last chunk"),
    "chunks that all differ": Endless(
        "lines", TERMINAL, lambda: (b"2;%x\r\na\n\r\n" % n for n in range(10_000)), "before the last chunk", 512 * KIB
    ),
    "frames that all differ": Endless(
        "lines",
        FRAMES,
        lambda: (b"%x\r\n%b\r\n" % (n + 8, frame(n, bytes(n - 1) + b"\n")) for n in range(1, 3_000)),
        "before the last chunk",
        384 * KIB,
    ),
    "frames that all differ, and no chunks": Endless(
        "lines",
        FRAMES_OF_A_LENGTH,
        lambda: (frame(n, bytes(n - 1) + b"\n") for n in range(1, 3_000)),
        "before the end of the response",
        384 * KIB,
    ),
    "a line": Endless("lines", TERMINAL + b"fffffff\r\n", again(b"x" * 32 * KIB, 16 * MIB), "last chunk", 8 * MIB),
    "a frame in small chunks": Endless(
        "lines",
        FRAMES + b"8\r\n" + frame(LIMIT) + b"\r\n",
        again(b"2\r\nab\r\n" * 4_000, 3 * LIMIT),
        "chunk",
        2 * MIB,
    ),
    "empty frames": Endless("lines", FRAMES, small(b"8\r\n" + frame(0) + b"\r\n", TOO_MUCH), "last chunk"),
    "a file": Endless("save", CHUNKED + b"fffffff\r\n", again(b"x" * 64 * KIB, 8 * MIB), "last chunk", 4 * MIB),
}


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest limits, lowered, so that they are met soon."""
    monkeypatch.setattr("anydocker._transport.pool.MAX_ANSWER", LIMIT)
    monkeypatch.setattr("anydocker._wire.jsonstream.MAX_DOCUMENT", LIMIT)
    monkeypatch.setattr("anydocker._wire.frames._MAX_REMEMBERED", 64)
    monkeypatch.setattr("anydocker._wire.chunked_frames._MAX_REMEMBERED", 64)


async def ends_with(expected: type[DockerError], endless: Endless) -> None:
    error, peak = await flood(endless.operation, endless.head, endless.pieces())
    assert type(error) is expected
    assert endless.says in str(error)
    assert peak < endless.peak


@sweep
@pytest.mark.usefixtures("lowered")
@pytest.mark.parametrize("name", REFUSED)
async def test_what_has_no_end_is_refused_at_its_limit(name: str) -> None:
    await ends_with(ProtocolError, REFUSED[name])


@sweep
@pytest.mark.usefixtures("lowered")
@pytest.mark.parametrize("name", FLAT)
async def test_what_may_go_on_takes_no_more_memory(name: str) -> None:
    await ends_with(TruncatedStream, FLAT[name])


async def test_a_head_in_small_pieces_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = CountingPattern(vars(head)["_END"])
    monkeypatch.setattr(head, "_END", pattern)
    lines = OK + b"".join(b"X-%d: y\r\n" % n for n in range(1_000)) + b"Content-Length: 2\r\n\r\n{}"
    backend = ReplayBackend({"GET /info": Reply(lines, split=3)})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        pattern.looked_at = 0
        assert (await d.request("GET", "/info")).json() == {}
    assert len(lines) < pattern.looked_at < 3 * len(lines)


async def test_interim_answers_in_small_pieces_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = 0

    class Counting(h11.Connection):
        def receive_data(self, data: bytes) -> None:
            nonlocal judged
            judged += len(data)
            super().receive_data(data)

    monkeypatch.setattr(h11, "Connection", Counting)
    answer = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50 + PLAIN
    backend = ReplayBackend({"GET /info": Reply(answer, split=3)})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        judged = 0
        assert (await d.request("GET", "/info")).json() == {}
    # The engine in memory reads the request with it, too.
    assert judged < 2 * len(answer)


def test_pings_that_nobody_takes_the_answers_to_are_not_all_kept() -> None:
    decoder = WebSocketDecoder(bytes(16))
    for _ in range(1_000):
        decoder.receive_data(b"\x89\x01p" * 100)
    assert retained(decoder.take_answers()) < KIB


# -- answers to another question


SECOND = with_length(b"14", b'{"ID":"wrong"}')


@sweep
async def test_an_answer_nobody_asked_for_is_not_given_to_the_next_call() -> None:
    first, comes, has_come = Event(), Event(), Event()

    async def answer(request: Request, stream: ByteStream) -> Reply | None:
        if first.is_set():
            return json_reply({"ID": "right"})
        first.set()
        await stream.send(PLAIN)
        await comes.wait()
        await stream.send(SECOND)
        has_come.set()
        await sleep_forever()
        return None

    async with scripted_engine({"GET /info": answer}) as engine, anydocker.connect(engine.host) as d:
        assert (await d.request("GET", "/info")).json() == {}
        comes.set()
        await has_come.wait()
        with fail_after(20):
            assert (await d.info()).get("ID") == "right"


@sweep
async def test_an_answer_that_has_begun_with_the_last_one_is_not_given_to_the_next_call() -> None:
    first = Event()

    async def answer(request: Request, stream: ByteStream) -> Reply | None:
        if first.is_set():
            return json_reply({"ID": "right"})
        first.set()
        await stream.send(PLAIN + SECOND[:9])
        await stream.receive()
        await stream.send(SECOND[9:])
        return None

    async with scripted_engine({"GET /info": answer}) as engine, anydocker.connect(engine.host) as d:
        assert (await d.request("GET", "/info")).json() == {}
        with fail_after(20):
            assert (await d.info()).get("ID") == "right"


@sweep
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
async def test_a_redirect_is_neither_followed_nor_a_success(method: str, status: int) -> None:
    data = b"HTTP/1.1 %d Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n" % status
    backend = ReplayBackend({"* /x": Reply(data, keep_alive=True)})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        with pytest.raises(ProtocolError, match=rf"redirect .* {status}, to '/elsewhere'"):
            await d.request(method, "/x")
        with pytest.raises(ProtocolError, match="redirect"):
            async with d.open_request(method, "/x"):
                pytest.fail("entered")
    assert backend.requests == ["HEAD /_ping", f"{method} /x", f"{method} /x"]
    assert backend.open_connections == 0


@sweep
@pytest.mark.parametrize("name", ["info", "events", "logs", "export", "archive", "save", "pull"])
async def test_a_coding_nobody_asked_for_is_refused(name: str) -> None:
    operation = OPERATIONS[name]
    coded = Reply(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}"))
    backend = ReplayBackend({**PRELIMINARIES, operation.route: coded})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        with pytest.raises(ProtocolError, match="Content-Encoding nobody asked for: 'gzip'"):
            await operation.run(d)


# -- what the errors say


@sweep
@pytest.mark.parametrize(
    ("name", "document", "says"),
    [
        ("create", {"Warnings": []}, "expected a string at 'Id', not None"),
        ("create", {"Id": 7}, "expected a string at 'Id', not 7"),
        ("create", {"Id": "../x"}, "expected an id or a name at 'Id', not '../x'"),
        ("create", ["c1"], "expected an object, not ['c1']"),
        ("containers", {"c1": {}}, "expected an array, not {'c1'"),
        ("containers", [{"Id": "c1"}, None], "expected an array of objects, not one with None"),
        ("containers", [{"Id": "c1", "Names": [1]}], "expected an array of strings at 'Names', not one with 1"),
        ("inspect", [], "expected an object, not []"),
        ("logs", {"Config": {"Tty": None}}, "expected true or false at 'Config.Tty', not None"),
        ("attach", {"Config": None}, "expected a string at 'State.Status', not None"),
        ("port", {"NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "::", "HostPort": "x"}]}}}, "'HostPort'"),
        ("wait", {"StatusCode": True}, "expected a whole number at 'StatusCode', not True"),
        ("events", [1], "not an object: [1]"),
        ("pull", None, "not a progress document: None"),
    ],
)
async def test_an_error_says_what_was_expected(name: str, document: object, says: str) -> None:
    operation = OPERATIONS[name]
    route = "GET /containers/c1/json" if name in {"logs", "attach"} else operation.route
    backend = ReplayBackend({"GET /containers/c1/logs": Reply(OK + b"\r\n"), route: json_reply(document)})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        with pytest.raises(ProtocolError) as caught:
            await operation.run(d)
    assert says in str(caught.value)
