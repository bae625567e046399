"""Targets: what bodies hold."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha1
from itertools import groupby
from struct import unpack_from
from typing import Any

from anydocker._wire import frames, jsonstream, lines
from anydocker._wire.frames import STREAMS, Frame, FrameDecoder
from anydocker._wire.jsonstream import JSONDecoder, loads
from anydocker._wire.lines import Line, LineDecoder
from anydocker._wire.status import api_error
from anydocker._wire.websocket import WebSocketDecoder
from anydocker.errors import ProtocolError, PullFailed, StreamError
from anydocker.streams._base import DocumentDecoder
from anydocker.streams._events import Event
from anydocker.streams._progress import BuildEvent, Progress, ProgressDecoder
from anydocker.streams._stats import Stats
from tests.fuzz.harness import Target, body_of, each_way, outcome, recordings, seed, smaller

__all__ = ("TARGETS",)

_MAX_FRAME = 1000
_NONCE = bytes(16)
_SPACE = b" \t\r\n\x1e"


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
            ProgressDecoder(BuildEvent, PullFailed),
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
    "jsonstream": Target(
        _jsonstream,
        (
            *(s for body in _DOCUMENTS for s in seed(body)),
            *(s for text in (b"1\n2\n", b"[1]\n{}\n", b'\x1e{"a":"}"}\n', b'{"a":\n1}') for s in seed(text)),
        ),
        _JSON_WORDS,
    ),
    "documents": Target(
        _documents,
        tuple(s for body in _DOCUMENTS for s in seed(body)),
        (*_JSON_WORDS, *(b'"%b":' % key.encode() for key in _KEYS)),
    ),
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
