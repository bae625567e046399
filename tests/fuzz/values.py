"""Targets: what bodies hold."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import datetime
from hashlib import sha1
from itertools import groupby
from struct import unpack_from
from typing import Any
from unittest.mock import patch

from anydocker._wire import frames, jsonstream, lines
from anydocker._wire.buildkit import BuildTrace, decode_trace
from anydocker._wire.frames import STREAMS, Frame, FrameDecoder
from anydocker._wire.jsonstream import JSONDecoder, loads
from anydocker._wire.lines import Line, LineDecoder
from anydocker._wire.status import api_error
from anydocker._wire.websocket import WebSocketDecoder
from anydocker.errors import ProtocolError, PullFailed, StreamError
from anydocker.streams._base import DocumentDecoder
from anydocker.streams._events import Event
from anydocker.streams._progress import BuildDecoder, BuildEvent, Progress, ProgressDecoder
from anydocker.streams._stats import Stats
from tests.fuzz.harness import Outcome, Target, body_of, each_way, outcome, recordings, seed, smaller

__all__ = ("TARGETS",)

_MAX_FRAME = 1000
_NONCE = bytes(16)
_SPACE = b" \t\r\n\x1e"
_DEEP = 500
_MSGSPEC = jsonstream.fast_decoder()


def _frames(data: bytes) -> None:
    stream, ways = each_way(data)
    with smaller(frames, MAX_FRAME=_MAX_FRAME, _MAX_REMEMBERED=2):
        whole, *others = [outcome(FrameDecoder(), way) for way in ways]
    for other in others:
        assert other.same_as(whole)
    assert whole.values == _simple_frames(stream)


def _simple_frames(stream: bytes) -> list[Frame]:
    """The frames in front of whatever is none."""
    found: list[Frame] = []
    while len(stream) >= 8:
        kind, size = unpack_from(">LL", stream)
        if kind not in STREAMS or size > _MAX_FRAME or len(stream) < 8 + size:
            break
        if size:
            found.append(Frame(STREAMS[kind], stream[8 : 8 + size]))
        stream = stream[8 + size :]
    return found


def _lines(data: bytes) -> None:
    """The bytes 1 and 2 say which stream what follows them belongs to."""
    pieces: list[Frame] = []
    stream = "stdout"
    for is_switch, group in groupby(data, lambda byte: byte in {1, 2}):
        if is_switch:
            stream = "stdout" if list(group)[-1] == 1 else "stderr"
        else:
            pieces.append(Frame("stdout" if stream == "stdout" else "stderr", bytes(group)))
    decoder = LineDecoder()
    found = [line for piece in pieces for line in decoder.receive_frames([piece])] + decoder.receive_eof()
    once = LineDecoder()
    assert once.receive_frames(pieces) + once.receive_eof() == found
    for name in ("stdout", "stderr"):
        content = b"".join(piece.data for piece in pieces if piece.stream == name)
        assert [line.text for line in found if line.stream == name] == _simple_lines(content)
        _lines_in_parts([piece for piece in pieces if piece.stream == name], content)


def _simple_lines(content: bytes) -> list[str]:
    *ended, rest = content.split(b"\n")
    texts = [line.removesuffix(b"\r") for line in ended] + ([rest] if rest else [])
    return [text.decode(errors="replace") for text in texts]


def _lines_in_parts(pieces: list[Frame], content: bytes) -> None:
    """A line that is too long comes in parts, none of which ends inside a character."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    if "\r" in text:
        # Where a part ends in one, it is not known to be a part of the line's end.
        return
    with smaller(lines, MAX_LINE=8):
        decoder = LineDecoder()
        found: list[Line] = [line for piece in pieces for line in decoder.receive_frames([piece])]
        found += decoder.receive_eof()
    assert "".join(line.text for line in found) == "".join(_simple_lines(content))
    assert text.count("\n") <= len(found)


def _jsonstream(data: bytes) -> None:
    stream, ways = each_way(data)
    whole, *others = [outcome(JSONDecoder(), way) for way in ways]
    for other in others:
        # NaN is refused, so values can be compared; by their text, because 1 is True.
        assert repr(other.values) == repr(whole.values)
        assert type(other.error) is type(whole.error)
    valid, document = _parse(stream)
    if valid:
        assert repr(loads(stream)) == repr(document)
        assert (repr(whole.values), whole.error) == (repr([document]), None)
    parts = [_parse(part) for part in stream.split(b"\n")]
    if all(valid for valid, _ in parts):
        expected = [document for _, document in parts]
        for between in (b"\n%b", b"%b\r\n", b"\x1e%b\n"):
            delimited = b"".join(between % part for part in stream.split(b"\n"))
            assert repr(outcome(JSONDecoder(), [delimited]).values) == repr(expected)
    with smaller(jsonstream, MAX_DOCUMENT=20):
        for way in ways:
            limited = outcome(JSONDecoder(), way)
            assert repr(limited.values) == repr(whole.values[: len(limited.values)])


def _scanners(data: bytes) -> None:
    """With msgspec and without it, the same documents come out, and the same errors."""
    assert _MSGSPEC is not None, "msgspec is not installed"
    if data.count(b"[") + data.count(b"{") > _DEEP:
        # How deep a document may be is up to the interpreter, and to the stack that it is decoded on.
        return
    assert _scanned_by(_MSGSPEC, data) == _scanned_by(None, data)


def _scanned_by(scanner: Callable[[bytes], list[Any]] | None, data: bytes) -> list[tuple[str, type]]:
    """What becomes of a stream, in each way it arrives, and as one document: values by their text, errors by class."""
    stream, ways = each_way(data)
    with patch.object(jsonstream, "fast_decoder", lambda: scanner):
        results = [outcome(JSONDecoder(), way) for way in ways]
        try:
            results.append(Outcome([loads(stream)], None))
        except ProtocolError as exc:
            results.append(Outcome([], exc))
    return [(repr(result.values), type(result.error)) for result in results]


def _parse(data: bytes) -> tuple[bool, Any]:
    """Whether this is one JSON document, and which, by the standard library."""
    try:
        return True, json.loads(data.strip(_SPACE).decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False, None


def _refuse(name: str) -> None:
    raise ValueError(name)


def _documents(data: bytes) -> None:
    """Whatever the documents say, their properties are of the documented types, and only documented errors come."""
    _, ways = each_way(data)
    for way in ways[:2]:
        for decoder in (
            ProgressDecoder(Progress, PullFailed),
            BuildDecoder(),
            DocumentDecoder(Event),
            DocumentDecoder(Stats),
        ):
            result = outcome(decoder, way)
            assert result.error is None or isinstance(result.error, ProtocolError | StreamError)
            for value in result.values:
                _check(value)
            if isinstance(decoder, ProgressDecoder):
                assert isinstance(decoder.log, str)


def _check(value: object) -> None:
    assert isinstance(repr(value), str)
    assert isinstance(str(value), str)
    match value:
        case Progress() | BuildEvent():
            texts = [value.id, value.status, *([value.image_id] if isinstance(value, BuildEvent) else [])]
            assert all(text is None or type(text) is str for text in texts)
            assert all(number is None or type(number) is int for number in (value.current, value.total))
            assert type(value.text) is str
        case Event():
            assert all(type(text) is str for text in (value.type, value.action, value.id))
            assert all(type(text) is str for pair in value.attributes.items() for text in pair)
            assert type(value.time_ns) is int
            assert type(value.time) is float
        case Stats():
            _check_stats(value)
        case _:
            raise AssertionError(value)


def _check_stats(value: Stats) -> None:
    assert all(type(text) is str for text in (value.id, value.name))
    assert all(type(number) is float for number in (value.cpu_percent, value.memory_percent))
    counts = (
        value.memory_used,
        value.memory_limit,
        value.network_received,
        value.network_sent,
        value.block_read,
        value.block_written,
        value.pids,
    )
    assert all(type(count) is int for count in counts)


def _trace(data: bytes) -> None:
    """A message is a trace, with every field of its type, or refused; a message twice is its trace twice."""
    message, twice = b64encode(data).decode(), b64encode(data + data).decode()
    once = _decoded_trace(message)
    if once is not None:
        assert _decoded_trace(twice) == BuildTrace(2 * once.steps, 2 * once.statuses, 2 * once.logs, 2 * once.warnings)
    _decoded_trace(data.decode("latin-1"))
    valid, document = _parse(data)
    if valid:
        _decoded_trace(document)


def _decoded_trace(text: object) -> BuildTrace | None:
    try:
        trace = decode_trace(text)
    except ProtocolError:
        return None
    assert type(trace) is BuildTrace
    for step in trace.steps:
        assert all(type(text) is str for text in (step.digest, step.name, step.error, *step.inputs))
        assert all(time is None or type(time) is datetime for time in (step.started, step.completed))
        assert type(step.cached) is bool
    for status in trace.statuses:
        assert all(type(text) is str for text in (status.id, status.step, status.name))
        assert all(type(number) is int for number in (status.current, status.total))
        times = (status.timestamp, status.started, status.completed)
        assert all(time is None or type(time) is datetime for time in times)
    for log in trace.logs:
        assert (type(log.step), type(log.data)) == (str, bytes)
        assert log.stream in {"stdout", "stderr"}
        assert log.timestamp is None or type(log.timestamp) is datetime
    for warning in trace.warnings:
        texts = (warning.step, warning.text, warning.url, warning.filename, *warning.detail)
        assert all(type(text) is str for text in texts)
        assert warning.line is None or type(warning.line) is int
        assert type(warning.level) is int
    return trace


def _refusal(data: bytes) -> None:
    status = 400 + (data[0] if data else 0) % 200
    error = api_error(status, data[1:], "GET", "/x")
    assert error.message
    assert error.status == status
    assert isinstance(str(error), str)


def _websocket(data: bytes) -> None:
    _, ways = each_way(data)
    whole, *others = [_decode_websocket(way) for way in ways]
    for other in others:
        assert other[1:] == whole[1:]
        # Of a text that is not UTF-8, what has come in front of the fault has been handed out.
        assert other[0] == whole[0] or (whole[1] is ProtocolError and other[0].startswith(whole[0]))


def _decode_websocket(pieces: list[bytes]) -> tuple[bytes, type | None, bool, int]:
    decoder = WebSocketDecoder(_NONCE)
    key = decoder.fields["Sec-WebSocket-Key"].encode()
    accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    decoder.receive_head(101, {"upgrade": "websocket", "sec-websocket-accept": accept})
    result = outcome(decoder, pieces)
    # The masks of what is answered are random: their number is what can be compared.
    return b"".join(result.values), type(result.error), decoder.closed, len(decoder.take_answers())


_BODIES = tuple(body_of(answer) for answer in recordings())
_FRAMES = (b"\1\0\0\0\0\0\0\1a", b"\2\0\0\0\0\0\0\2bc", b"\3\0\0\0\0\0\0\1e", b"\0\0\0\0\0\0\0\0")
_JSON_WORDS = (
    *(b'"', b"{", b"}", b"[", b"]", b"\\", b"\\u", b"\\ud800", b"\x1e", b"\r\n", b"\n", b"null", b"true", b"1e999"),
    *(b"NaN", b"-Infinity", b'{"a":', b"[[[[", b"-0", b"1.5", b"\xff", b"\xef\xbb\xbf", b"\0"),
)
_KEYS = (
    *("id", "status", "progressDetail", "current", "total", "aux", "stream", "progress", "error", "errorDetail"),
    *("message", "code", "ID", "Type", "Action", "Actor", "Attributes", "time", "timeNano", "name", "cpu_stats"),
    *("precpu_stats", "cpu_usage", "total_usage", "system_cpu_usage", "online_cpus", "percpu_usage", "memory_stats"),
    *("usage", "stats", "inactive_file", "total_inactive_file", "limit", "networks", "rx_bytes", "tx_bytes", "op"),
    *("blkio_stats", "io_service_bytes_recursive", "value", "pids_stats"),
)
_DOCUMENTS = tuple(body.partition(b"\r\n")[2] for body in _BODIES)
_JSON_SEEDS = (
    *(s for body in _DOCUMENTS for s in seed(body)),
    *(
        s
        for text in (b"1\n2\n", b"[1]\n{}\n", b'\x1e{"a":"}"}\n', b'{"a":\n1}', b"[1.0,-0,1e400]\n")
        for s in seed(text)
    ),
)
_NUMBERS = (b"18446744073709551616", b"-9223372036854775809", b"0.1e1", b"-0.0", b"\\ud83d\\ude00")
_TRACES = (
    *(b64decode(text) for body in _BODIES for text in re.findall(rb'"aux":"([\w+/=]+)"', body)),
    # A step, a status, a log and a warning with what the recorded ones do not have; a time that is none.
    b"\x0a\x08\x0a\1a\x12\1b\x20\1",
    b"\x12\x0e\x0a\1l\x12\1a\x20\5\x28\x09\x32\2\x08\1",
    b"\x1a\x08\x0a\1a\x18\2\x22\1\xff",
    b"\x22\x19\x0a\1a\x10\1\x1a\1w\x22\1d\x2a\1u\x32\3\x0a\1f\x3a\4\x0a\2\x08\7",
    b"\x0a\x0c\x2a\x0a\x08" + b"\x80" * 8 + b"\x40",
)
# A field of each number that a message has, as a number and as bytes; the largest number, and one that is too long.
_FIELDS = (
    *(bytes([number << 3 | form]) for number in range(1, 9) for form in (0, 2)),
    b"\xff" * 9 + b"\1",
    b"\xff" * 10,
)

TARGETS = {
    "frames": Target(
        _frames,
        tuple(s for frame in (b"".join(_FRAMES[:2]), b"".join(_FRAMES)) for s in seed(frame)),
        _FRAMES,
    ),
    "lines": Target(
        _lines,
        (b"one\ntwo\r\nthr\1ee\n\2err\xc3\1\xa4\2\xa4\n", "\u2603\U0001f600".encode() * 9, b"\r\1\n"),
        (b"\n", b"\r\n", b"\1", b"\2", "\u2603".encode(), "\U0001f600".encode()),
    ),
    "jsonstream": Target(_jsonstream, _JSON_SEEDS, _JSON_WORDS),
    "scanners": Target(_scanners, _JSON_SEEDS, (*_JSON_WORDS, *_NUMBERS)),
    "documents": Target(
        _documents,
        tuple(s for body in (*_DOCUMENTS, b'{"id":"moby.buildkit.trace","aux":"CgU="}\n') for s in seed(body)),
        (*_JSON_WORDS, *(b'"%b":' % key.encode() for key in _KEYS)),
    ),
    "trace": Target(_trace, (*_TRACES, b'"CgA="', b"CgA="), _FIELDS),
    "refusal": Target(_refusal, (b'\4{"message":"no such container"}', b"\4<html>", b"\0[1]"), _JSON_WORDS),
    "websocket": Target(
        _websocket,
        tuple(
            s
            for frame in (
                b"\x82\x02hi",
                b"\x81\x03\xe2\x98\x83",
                b"\x89\x01p\x82\x01a",
                b"\x88\x02\x03\xe8",
                b"\x02\x01a\x80\x01b",
            )
            for s in seed(frame + b"\x82\x7e\x00\x80" + bytes(128))
        ),
        (b"\x88\x02\x03\xe8", b"\x89\x00", b"\x82\x7e", b"\x82\x7f", b"\x80", b"\xff"),
    ),
}
