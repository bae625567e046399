"""Targets: how messages are framed."""

from __future__ import annotations

from typing import Any, cast

from anydocker._transport.exchange import Exchange
from anydocker._transport.messages import Request
from anydocker._wire import chunked, chunked_frames
from anydocker._wire.bodies import body_decoder
from anydocker._wire.chunked import ChunkedDecoder
from anydocker._wire.chunked_frames import ChunkedFrameDecoder
from anydocker._wire.frames import FrameDecoder
from anydocker._wire.head import head_end, parse_plain_head
from anydocker.errors import DockerError, ProtocolError
from tests.fuzz.harness import Outcome, Target, body_of, each_way, outcome, recordings, seed, smaller
from tests.test_chunked import ONLY_H11_TAKES, ONLY_WE_TAKE, h11_outcome
from tests.test_chunked_frames import read_in_two_steps
from tests.test_head import h11_head

__all__ = ("TARGETS",)

_METHODS = ("GET", "HEAD", "POST")


def _chunked(data: bytes) -> None:
    stream, ways = each_way(data)
    whole, *others = [_decode_chunks(way) for way in ways]
    for other in others:
        assert type(other.error) is type(whole.error)
        assert other.leftover == whole.leftover
        _same_payload(whole, other)
    theirs = h11_outcome(stream)
    ours = b"".join(whole.values), whole.error is None, whole.leftover
    if ours == theirs:
        return
    if whole.error is not None and not theirs.ended and theirs.payload.startswith(ours[0]):
        return
    known = ONLY_WE_TAKE if whole.error is None or ours[0] > theirs.payload else ONLY_H11_TAKES
    assert any(difference.known_by.search(stream) for difference in known), "h11 judges otherwise"


def _decode_chunks(pieces: list[bytes]) -> Outcome:
    # A chunk of more than eight bytes is a long one, so that the parts of those are seen, too.
    with smaller(chunked, _KEPT_CHUNK=8):
        return outcome(ChunkedDecoder(), pieces)


def _same_payload(whole: Outcome, other: Outcome) -> None:
    ours, theirs = b"".join(whole.values), b"".join(other.values)
    # Of a long chunk that is broken at its end, what has come first has been handed out.
    assert ours == theirs or (whole.error is not None and (ours.startswith(theirs) or theirs.startswith(ours)))


def _chunked_frames(data: bytes) -> None:
    stream, ways = each_way(data)
    frames, error, leftover = read_in_two_steps(stream)
    expected = Outcome(frames, error, leftover)
    for way in ways:
        with smaller(chunked_frames, _KEPT_FRAME=64, _MAX_REMEMBERED=2):
            decoder = ChunkedFrameDecoder(ChunkedDecoder(), FrameDecoder())
            assert decoder.take_over([]) == []
            found = outcome(decoder, way)
        if error is None:
            assert found.same_as(expected)
            continue
        # A frame is out with its last byte: if what should end its chunk is missing, that shows behind it.
        assert type(found.error) is type(error)
        assert found.values[: len(frames)] == frames
        assert len(found.values) - len(frames) <= 1


def _head(data: bytes) -> None:
    ours = parse_plain_head(data)
    theirs = h11_head(data)
    if ours is not None:
        assert ours == theirs
    if theirs is not None:
        assert head_end(data) is not None


def _answer(data: bytes) -> None:
    method = _METHODS[data[0] % len(_METHODS)] if data else "GET"
    _, ways = each_way(data[1:])
    whole, *others = [_take_answer(method, way) for way in ways]
    for other in others:
        assert other[0] == whole[0]
        assert type(other[1].error) is type(whole[1].error)
        assert other[1].leftover == whole[1].leftover
        _same_payload(whole[1], other[1])


def _take_answer(method: str, pieces: list[bytes]) -> tuple[Any, Outcome]:
    """The head, and what became of the body."""
    exchange: Any = Exchange(cast("Any", None), Request(method, "/x", ()), "docker")
    while pieces and exchange.status == 0:
        piece, *pieces = pieces
        try:
            exchange._receive_head_data(piece)
        except DockerError as exc:
            # It may be about what has come of the body with the end of the head.
            return _head_of(exchange), Outcome([], exc)
    head = _head_of(exchange)
    if head is None:
        return None, Outcome([], None)
    body = exchange._body
    values = exchange._pieces
    if body.error is not None:
        return head, Outcome(values, body.error)
    if body.ended:
        return head, Outcome(values, None, body.leftover + b"".join(pieces))
    rest = outcome(body, pieces)
    return head, Outcome(values + rest.values, rest.error, rest.leftover)


def _head_of(exchange: Any) -> tuple[Any, ...] | None:
    return (exchange.status, exchange.headers, exchange._keep_alive) if exchange.status else None


def _bodies(data: bytes) -> None:
    """How a body is framed: as h11 frames it, or refused."""
    head, _, rest = data.partition(b"\0")
    fields = [line.partition(":") for line in head.decode("latin-1").split("\n")]
    headers = {name.lower(): value for name, _, value in fields}
    status = 200 + len(rest) % 200
    try:
        decoder = body_decoder("GET", status, headers)
    except ProtocolError:
        return
    _, ways = each_way(rest)
    whole, *others = [outcome(body_decoder("GET", status, headers), way) for way in ways]
    for other in others:
        assert type(other.error) is type(whole.error)
        _same_payload(whole, other)
    if not isinstance(decoder, ChunkedDecoder):
        assert b"".join(whole.values) + whole.leftover == b"".join(ways[0])


_ANSWERS = tuple(recordings())
_HTTP_WORDS = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    b"HTTP/1.0 ",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Connection: close\r\n",
    b"\r\n\r\n",
)
_CHUNK_WORDS = (b"\r\n", b"0\r\n\r\n", b"1\r\na\r\n", b"9\r\n123456789\r\n", b";x=y", b"ffffffff", b"0\r\na: b\r\n\r\n")
_FRAME_WORDS = (b"\1\0\0\0\0\0\0\1a", b"\2\0\0\0\0\0\0\2bc", b"\3\0\0\0\0\0\0\1e", b"9\r\n\1\0\0\0\0\0\0\1a\r\n")
_CHUNKED = tuple(s for answer in _ANSWERS if b"chunked" in answer for s in seed(body_of(answer)))

TARGETS = {
    "chunked": Target(_chunked, (*_CHUNKED, *seed(b"3;x\r\nabc\r\n0\r\na: b\r\n\r\nHTTP/1.1")), _CHUNK_WORDS),
    "chunked_frames": Target(
        _chunked_frames,
        (*_CHUNKED, *seed(b"9\r\n\1\0\0\0\0\0\0\1a\r\n" * 3 + b"0\r\n\r\n")),
        (*_CHUNK_WORDS, *_FRAME_WORDS),
    ),
    "head": Target(_head, tuple(answer[:1000] for answer in _ANSWERS), _HTTP_WORDS),
    "answer": Target(
        _answer,
        tuple(b"\0" + s for answer in _ANSWERS for s in seed(answer)),
        (*_HTTP_WORDS, *_CHUNK_WORDS),
    ),
    "bodies": Target(
        _bodies,
        tuple(
            fields + b"\0" + s
            for fields in (b"transfer-encoding:chunked", b"content-length:5", b"")
            for s in seed(b"5\r\nhello\r\n0\r\n\r\nmore")
        ),
        (b"transfer-encoding:chunked", b"content-length:", b"\n", *_CHUNK_WORDS),
    ),
}
