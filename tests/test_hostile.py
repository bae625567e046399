"""
An engine that means harm.

Whatever it sends, a call ends, with a documented error or a value, and takes no more memory than the limits in
docs/design.md say.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
from anyio import fail_after

import anydocker
from anydocker import Docker, DockerError
from anydocker.testing import ReplayBackend, Reply, json_reply
from tests.operations import OPERATIONS, PRELIMINARIES, Operation
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
        except DockerError as exc:
            assert str(exc), what
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
    "a WebSocket nobody asked for": b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x7f",
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


def chosen(answers: Mapping[str, bytes], backend_name: str) -> list[tuple[str, bytes]]:
    """Every second answer for one event loop, the others for the other: what they are tells nothing about loops."""
    first = 0 if backend_name == "trio" else 1
    return list(answers.items())[None if EVERYTHING else first :: None if EVERYTHING else 2]


@sweep
@every_operation
async def test_any_answer_ends_a_call_with_a_documented_error_or_a_value(
    operation: Operation, anyio_backend_name: str
) -> None:
    backend = ReplayBackend(PRELIMINARIES)
    refused = 0
    async with anydocker.connect(HOST, network_backend=backend) as d:
        for number, (name, data) in enumerate(chosen(ANSWERS, anyio_backend_name)):
            # Every third answer comes before the request has been sent.
            reply = Reply(data, before_body=number % 3 == 0)
            backend.routes = {**PRELIMINARIES, operation.route: reply}
            refused += await judge(d, operation, name)
            assert d.statistics().open_streams == 0, name
    assert refused >= 10
    assert backend.open_connections == 0


@sweep
@every_operation
async def test_an_engine_that_answers_everything_so(operation: Operation, anyio_backend_name: str) -> None:
    backend = ReplayBackend({})
    async with anydocker.connect(HOST, network_backend=backend) as d:
        for name, data in chosen(HEADS, anyio_backend_name):
            backend.routes = {"* *": Reply(data)}
            await judge(d, operation, name)
            assert d.statistics().open_streams == 0, name
    assert backend.open_connections == 0


# -- documents of another shape

WRONG: tuple[Any, ...] = (None, True, -1, 10**30, 1.5, "", "\ud800", "../x", [], [None], [[]], {}, {"": None})


def misshapen(document: Any) -> Iterator[Any]:
    """The document with each of its parts, and itself, in turn replaced by what has no place there, or left out."""
    yield from WRONG
    entries = list(document.items()) if isinstance(document, dict) else list(enumerate(document))
    for key, value in entries:
        without = deepcopy(document)
        del without[key]
        yield without
        for wrong in misshapen(value) if isinstance(value, dict | list) else WRONG:
            changed = deepcopy(document)
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
