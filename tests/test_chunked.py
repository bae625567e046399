from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker._wire.chunked import ChunkedDecoder
from anydocker.errors import ProtocolError, TruncatedStream
from tests.helpers import borders, decode, keeps_raising, retained, split, ways

KIB = 1024
LAST = b"0\r\n\r\n"


def encode(chunks: Iterable[bytes], extension: bytes = b"", trailers: bytes = b"") -> bytes:
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return body + b"0%s\r\n%s\r\n" % (extension, trailers)


# The stream, and the pieces it comes out in when it arrives whole.
GOOD = [
    pytest.param(encode([]), [], id="empty"),
    pytest.param(encode([b"hello"]), [b"hello"], id="one"),
    pytest.param(encode([b"a", b"bc", b"def" * 7]), [b"a", b"bc", b"def" * 7], id="some"),
    pytest.param(encode([b"\r\n", b"0\r\n\r\n", b"\r"]), [b"\r\n", b"0\r\n\r\n", b"\r"], id="payload like framing"),
    pytest.param(encode([b"x"], b";name=value"), [b"x"], id="extension"),
    pytest.param(encode([b"x"], b' ; q="a;b"\t'), [b"x"], id="extension with white space"),
    pytest.param(encode([b"x"], b"  "), [b"x"], id="trailing white space"),
    pytest.param(encode([b"x"], trailers=b"Digest: a=b\r\nX-Empty:\r\n"), [b"x"], id="trailers"),
    pytest.param(b"00A\r\n0123456789\r\n000\r\n\r\n", [b"0123456789"], id="zeros and upper case"),
]


class Outcome(NamedTuple):
    payload: bytes
    ended: bool
    leftover: bytes


def outcome(pieces: Sequence[bytes]) -> Outcome:
    """What a decoder that is fed until the message has ended, as an exchange does, makes of it."""
    decoder = ChunkedDecoder()
    payload: list[bytes] = []
    for index, piece in enumerate(pieces):
        out, error = decode(decoder, [piece])
        payload += out
        if error is not None:
            break
        if decoder.ended:
            return Outcome(b"".join(payload), True, decoder.leftover + b"".join(pieces[index + 1 :]))
    return Outcome(b"".join(payload), False, b"")


@pytest.mark.parametrize(("stream", "pieces"), GOOD)
def test_pieces(stream: bytes, pieces: list[bytes]) -> None:
    decoder = ChunkedDecoder()
    assert decoder.receive_data(stream) == pieces
    assert (decoder.ended, decoder.leftover, decoder.error) == (True, b"", None)
    decoder.receive_eof()


@pytest.mark.parametrize(("stream", "pieces"), GOOD)
@pytest.mark.parametrize("behind", [b"", b"\r", b"H", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_split_anywhere_with_something_behind(stream: bytes, pieces: list[bytes], behind: bytes) -> None:
    for way in ways(stream + behind):
        assert outcome(way) == (b"".join(pieces), True, behind)


@pytest.mark.parametrize(("stream", "pieces"), GOOD)
def test_every_cut_is_noticed(stream: bytes, pieces: list[bytes]) -> None:
    payload = b"".join(pieces)
    for end in range(len(stream)):
        for way in ([stream[:end]], [stream[i : i + 1] for i in range(end)]):
            decoder = ChunkedDecoder()
            out, error = decode(decoder, way)
            assert (error, decoder.ended) == (None, False)
            assert payload.startswith(b"".join(out))
            with pytest.raises(TruncatedStream, match="before the last chunk"):
                decoder.receive_eof()


@given(st.lists(st.binary(min_size=1, max_size=200)), borders)
def test_split_at_random(chunks: list[bytes], at: list[float]) -> None:
    assert outcome(split(encode(chunks), at)) == (b"".join(chunks), True, b"")


LONG = b"0123456789abcdef" * 8 * KIB  # 128 KiB: too long to be kept


@given(st.lists(st.sampled_from([LONG, LONG[: 64 * KIB], LONG[: 64 * KIB + 1], b"short"]), max_size=4), borders)
def test_long_chunks_split_at_random(chunks: list[bytes], at: list[float]) -> None:
    assert outcome(split(encode(chunks), at)) == (b"".join(chunks), True, b"")


def test_long_chunk_split_around_its_end() -> None:
    head, tail = encode([LONG])[:-20], encode([LONG])[-20:]
    for way in ways(tail):
        assert outcome([head, *way]) == (LONG, True, b"")
    for end in range(len(tail)):
        decoder = ChunkedDecoder()
        decode(decoder, [head, tail[:end]])
        with pytest.raises(TruncatedStream):
            decoder.receive_eof()


@pytest.mark.parametrize(
    "stream",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 1\r\n",
        b"1,1\r\n",
        b";x\r\n",
        b"1\n2\r\n",
        b"1;a\rb\r\n",
        b"1;a\0b\r\n",
        b"1\0\r\n",
        "\u0661\r\n".encode(),
        b"f" * 21 + b"\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n: no name\r\n\r\n",
        b"0\r\nspace : x\r\n\r\n",
        b"0\r\na: b\r\n folded\r\n\r\n",
        b"0\r\na: b\nc: d\r\n\r\n",
        b"0\r\na: \0\r\n\r\n",
    ],
)
def test_malformed(stream: bytes) -> None:
    for way in ways(stream):
        decoder = ChunkedDecoder()
        out, error = decode(decoder, way)
        assert out == []
        assert type(error) is ProtocolError
        assert not decoder.ended
        keeps_raising(decoder, error, LAST)


@pytest.mark.parametrize("behind", [b"b\r\n", b"\n\n", b"\rb", b"\n\r", b"HTTP/1.1 200 OK\r\n"])
def test_short_chunk_without_its_end(behind: bytes) -> None:
    for way in ways(b"1\r\na" + behind):
        decoder = ChunkedDecoder()
        out, error = decode(decoder, way)
        assert out == [b"a"]
        assert type(error) is ProtocolError
        assert "CRLF" in str(error)
        keeps_raising(decoder, error, LAST)


@pytest.mark.parametrize("footer", [b"xx", b"\rx", b"x\n", b"\n\r"])
def test_long_chunk_without_its_end(footer: bytes) -> None:
    stream = encode([LONG])[: -len(LAST) - 2] + footer
    for back in range(3):
        out, error = decode(ChunkedDecoder(), [stream[: len(stream) - back], stream[len(stream) - back :]])
        assert LONG.startswith(b"".join(out))
        assert "CRLF" in str(error)


def test_border() -> None:
    for chunk in (b"ab", LONG):
        stream = encode([chunk, b"c"])
        behind = len(encode([chunk])) - len(LAST), len(stream) - len(LAST)
        borders = {0, *(end - back for end in behind for back in range(3))}
        for end in [*range(10), *range(len(stream) - 20, len(stream) + 1)]:
            decoder = ChunkedDecoder()
            decoder.receive_data(stream[:end])
            assert (decoder.hand_back() in {b"", b"\r", b"\r\n"}) == (end in borders)


def test_size_lines_of_several_widths() -> None:
    chunks = [bytes([number]) * size for number, size in enumerate((70_000, 5_000, 70_000, 5_000, 9, 70_000, 9, 5_000))]
    stream = encode(chunks)
    ends = [len(encode(chunks[:count])) - len(LAST) for count in range(len(chunks))]
    for at in (end + more for end in ends for more in range(10)):
        decoder = ChunkedDecoder()
        out, error = decode(decoder, [stream[:at], stream[at:]])
        assert (b"".join(out), error, decoder.ended) == (b"".join(chunks), None, True)


def test_good_pieces_come_before_the_error() -> None:
    decoder = ChunkedDecoder()
    assert decoder.receive_data(b"1\r\na\r\n2\r\nbc\r\nno size\r\n") == [b"a", b"bc"]
    assert "no size" in str(decoder.error)
    assert decoder.error is not None
    keeps_raising(decoder, decoder.error, LAST)


# -- limits


def few_ways(stream: bytes) -> list[list[bytes]]:
    one_by_one = [stream[i : i + 1] for i in range(len(stream))]
    return [[stream], one_by_one, [stream[:-2], stream[-2:]], [stream[:-1], stream[-1:]]]


@pytest.mark.parametrize(("length", "fits"), [(4096, True), (4097, False)])
def test_size_line_limit(length: int, fits: bool) -> None:
    for way in few_ways(b"0;" + b"x" * (length - 2) + b"\r\n"):
        _, error = decode(ChunkedDecoder(), way)
        assert (error is None) == fits


@pytest.mark.parametrize(("length", "fits"), [(16 * KIB, True), (16 * KIB + 1, False)])
@pytest.mark.parametrize("line", [64, 16 * KIB - 2])
def test_trailer_limit(length: int, fits: bool, line: int) -> None:
    trailers = b""
    while (missing := length - 2 - len(trailers)) > 0:
        # What a last line of its own would be too short for goes into this one.
        size = missing if missing < line + 8 else line
        trailers += b"a:" + b"x" * (size - 4) + b"\r\n"
    for way in few_ways(b"0\r\n" + trailers + b"\r\n"):
        decoder = ChunkedDecoder()
        _, error = decode(decoder, way)
        assert (error is None) == fits == decoder.ended


@pytest.mark.parametrize("stream", [b"0;", b"0\r\na:"])
def test_endless_line_is_not_kept(stream: bytes) -> None:
    decoder = ChunkedDecoder()
    _, error = decode(decoder, [stream])
    for _ in range(40):
        _, error = decode(decoder, [b"x" * 1000])
        assert retained(decoder) <= 20 * KIB
        if error is not None:
            break
    assert "longer than" in str(error)


def test_endless_trailers_are_refused() -> None:
    decoder = ChunkedDecoder()
    _, error = decode(decoder, [b"0\r\n", *[b"a: b\r\n"] * 4000])
    assert "longer than 16384 bytes" in str(error)


def test_endless_chunk_is_handed_out_as_it_comes() -> None:
    decoder = ChunkedDecoder()
    assert decoder.receive_data(b"f" * 20 + b"\r\n") == []
    for _ in range(100):
        assert decoder.receive_data(LONG) == [LONG]
        assert retained(decoder) < 1000
    with pytest.raises(TruncatedStream):
        decoder.receive_eof()


def test_kept_is_at_most_one_short_chunk() -> None:
    decoder = ChunkedDecoder()
    chunk = encode([LONG[: 64 * KIB]])[: -len(LAST)]
    for piece in split(chunk * 4, [n / 64 for n in range(64)]):
        decoder.receive_data(piece)
        assert retained(decoder) < 65 * KIB


def test_new_size_lines_without_end_are_not_all_remembered() -> None:
    decoder = ChunkedDecoder()
    for number in range(5000):
        decoder.receive_data(b"1;%x\r\na\r\n" % number)
    assert retained(decoder) < 50 * KIB


# -- against h11


def h11_outcome(stream: bytes) -> Outcome:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "docker")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + stream)
    payload = b""
    try:
        while (event := connection.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                payload += event.data
            elif isinstance(event, h11.EndOfMessage):
                return Outcome(payload, True, connection.trailing_data[0])
    except h11.RemoteProtocolError:
        pass
    return Outcome(payload, False, b"")


# Streams that h11 and this decoder judge differently: with the reason, and what to know such a stream by.
class Difference(NamedTuple):
    reason: str
    example: bytes
    known_by: re.Pattern[bytes]


ONLY_H11_TAKES = [
    Difference("trailer lines end in CRLF: a bare LF is a way to smuggle", b"0\r\na: b\n\n", re.compile(rb"(?<!\r)\n")),
    Difference("folded trailer lines are obsolete", b"0\r\na: b\r\n c\r\n\r\n", re.compile(rb"\r\n[ \t]")),
    Difference("no control characters in extensions", b"1;\r\r\nx\r\n" + LAST, re.compile(rb";[^\n]*[\0\r](?!\n)")),
    Difference("4096 bytes of a size line", b"1;" + b"x" * 5000 + b"\r\nx\r\n" + LAST, re.compile(rb"[^\n]{4097}")),
]
ONLY_WE_TAKE = [
    Difference("RFC 9112 7.1.1: white space before an extension", b"1 ;a\r\nx\r\n" + LAST, re.compile(rb"[ \t];")),
    Difference("trailers are dropped, not judged", b"0\r\na: \v\r\n\r\n", re.compile(rb"[\v\f]")),
    Difference("not even when they contradict the framing", b"0\r\nContent-Length: x\r\n\r\n", re.compile(rb"(?i)-l")),
]


@pytest.mark.parametrize("difference", ONLY_H11_TAKES, ids=lambda difference: difference.reason)
def test_only_h11_takes(difference: Difference) -> None:
    assert h11_outcome(difference.example).ended
    assert not outcome([difference.example]).ended
    assert difference.known_by.search(difference.example)


@pytest.mark.parametrize("difference", ONLY_WE_TAKE, ids=lambda difference: difference.reason)
def test_only_we_take(difference: Difference) -> None:
    assert not h11_outcome(difference.example).ended
    assert outcome([difference.example]).ended
    assert difference.known_by.search(difference.example)


mutations = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 2),
        st.sampled_from([b"\r", b"\n", b"\r\n", *(bytes([byte]) for byte in b"\0\t\v ;:0119aFgx-")]),
    ),
    max_size=3,
)


def mutate(stream: bytes, mutations: list[tuple[float, int, bytes]]) -> bytes:
    """Insert bytes here and there; ``removed`` bytes that stood there make way for them."""
    for at, removed, inserted in mutations:
        pos = round(at * len(stream))
        stream = stream[:pos] + inserted + stream[pos + removed :]
    return stream


@given(
    st.lists(
        st.binary(min_size=1, max_size=20) | st.text("x\r\n0", min_size=1, max_size=20).map(str.encode), max_size=4
    ),
    st.sampled_from([b"", b";", b";a=b", b" ", b"\t"]),
    st.sampled_from([b"", b"a: b\r\n", b"a:\r\nb: c\td \r\n"]),
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n\r\n"]),
    mutations,
    borders,
)
def test_judges_as_h11_does(
    chunks: list[bytes],
    extension: bytes,
    trailers: bytes,
    behind: bytes,
    mutations: list[tuple[float, int, bytes]],
    at: list[float],
) -> None:
    stream = mutate(encode(chunks, extension, trailers) + behind, mutations)
    ours, theirs = outcome(split(stream, at)), h11_outcome(stream)
    # Of a chunk that is not whole, h11 hands out what there is.
    both_refuse = not ours.ended and not theirs.ended and theirs.payload.startswith(ours.payload)
    if ours != theirs and not both_refuse:
        known = ONLY_WE_TAKE if ours.ended or ours.payload > theirs.payload else ONLY_H11_TAKES
        assert any(difference.known_by.search(stream) for difference in known), stream
