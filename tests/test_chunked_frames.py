from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker._wire.chunked import ChunkedDecoder
from anydocker._wire.chunked_frames import ChunkedFrameDecoder
from anydocker._wire.frames import MAX_FRAME, Frame, FrameDecoder
from anydocker.errors import DockerError, ProtocolError, StreamError, TruncatedStream
from tests.helpers import borders, decode, keeps_raising, retained, split, ways

STDOUT, STDERR, SYSTEM_ERROR = 1, 2, 3
LAST = b"0\r\n\r\n"
KIB = 1024


def frame(kind: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", kind, len(data)) + data


def chunk(data: bytes, size: str = "%x") -> bytes:
    return (size % len(data)).encode() + b"\r\n" + data + b"\r\n"


def fused() -> ChunkedFrameDecoder:
    decoder = ChunkedFrameDecoder(ChunkedDecoder(), FrameDecoder())
    assert decoder.take_over([]) == []
    return decoder


def read_fused(pieces: list[bytes]) -> tuple[list[Frame], DockerError | None, bytes]:
    """What comes out up to the end of the body or the connection, the error behind it, and what is left over."""
    decoder = fused()
    out: list[Frame] = []
    for index, piece in enumerate(pieces):
        frames, error = decode(decoder, [piece])
        out += frames
        if error is not None:
            return out, error, b""
        if decoder.ended:
            return out, None, decoder.leftover + b"".join(pieces[index + 1 :])
    return out, ended_early(decoder), b""


def ended_early(decoder: ChunkedDecoder | ChunkedFrameDecoder) -> DockerError:
    with pytest.raises(TruncatedStream) as caught:
        decoder.receive_eof()
    return caught.value


def read_in_two_steps(data: bytes) -> tuple[list[Frame], DockerError | None, bytes]:
    """The same by the two decoders one after the other, which have tests of their own."""
    chunks, frames = ChunkedDecoder(), FrameDecoder()
    body, broken = decode(chunks, [data])
    out, error = decode(frames, body)
    if error is None and broken is None and chunks.ended:
        try:
            frames.receive_eof()
        except TruncatedStream as exc:
            error = exc
    if error is None and broken is None and not chunks.ended:
        error = ended_early(chunks)
    error = error or broken
    return out, error, b"" if error else chunks.leftover


USUAL = chunk(frame(STDOUT, b"hello\n")) + chunk(frame(STDERR, b"oops\n")) + chunk(frame(STDOUT, b"hello\n"))
USUAL_FRAMES: list[Frame] = [Frame("stdout", b"hello\n"), Frame("stderr", b"oops\n"), Frame("stdout", b"hello\n")]

STREAMS = [
    pytest.param(USUAL, id="each frame a chunk"),
    pytest.param(b"", id="no frames"),
    pytest.param(chunk(frame(0, b"echo")) + USUAL, id="stdin"),
    pytest.param(chunk(frame(STDOUT, b"")) + USUAL + chunk(frame(STDERR, b"")) + USUAL, id="empty frames"),
    pytest.param(USUAL + chunk(frame(STDOUT, b"a") + frame(STDERR, b"b")) + USUAL, id="two frames in a chunk"),
    pytest.param(USUAL + chunk(frame(STDOUT, b"abc")[:8]) + chunk(b"abc") + USUAL, id="header and data apart"),
    pytest.param(USUAL + chunk(frame(STDOUT, b"abc")[:3]) + chunk(frame(STDOUT, b"abc")[3:]) + USUAL, id="torn header"),
    pytest.param(USUAL + chunk(frame(STDOUT, b"\r\n0\r\n\r\n")) + USUAL, id="data like the end"),
    pytest.param(USUAL + chunk(frame(STDERR, b"x" * 300), "%X;ext") + USUAL, id="extension"),
    pytest.param(USUAL + chunk(frame(STDERR, b"x" * 30), "%06x") + USUAL, id="leading zeros"),
    pytest.param(USUAL + chunk(frame(STDERR, b"x" * 30), "%x ") + USUAL, id="white space"),
    pytest.param(USUAL + chunk(frame(STDOUT, frame(STDOUT, b"x"))) + USUAL, id="data like a frame"),
    pytest.param(USUAL + chunk(frame(STDOUT, b"\n" * 10)) + USUAL, id="a length of ten"),
]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("behind", [b"", b"\r\n8", b"HTTP/1.1 200 OK\r\n\r\n"])
@pytest.mark.parametrize("end", [LAST, b"0\r\nDigest: x\r\n\r\n", b"000;x\r\n\r\n"])
def test_split_anywhere(stream: bytes, end: bytes, behind: bytes) -> None:
    frames, error, leftover = read_in_two_steps(stream + end + behind)
    assert (error, leftover) == (None, behind)
    for way in ways(stream + end + behind):
        assert read_fused(way) == (frames, None, behind)


def test_frames() -> None:
    assert read_fused([USUAL + LAST]) == (USUAL_FRAMES, None, b"")
    assert type(read_fused([USUAL + LAST])[0][0]) is Frame


@pytest.mark.parametrize("stream", STREAMS)
def test_every_cut_is_noticed(stream: bytes) -> None:
    stream += LAST
    frames, _, _ = read_in_two_steps(stream)
    for end in range(len(stream)):
        for way in ([stream[:end]], [stream[i : i + 1] for i in range(end)]):
            out, error, _ = read_fused(way)
            assert out == frames[: len(out)]
            assert type(error) is TruncatedStream


def test_a_frame_is_out_with_its_last_byte() -> None:
    decoder = fused()
    decoder.receive_data(USUAL)
    for _ in range(3):
        stream = chunk(frame(STDOUT, b"followed\n"))[:-2]
        assert decode(decoder, [stream[i : i + 1] for i in range(len(stream) - 1)]) == ([], None)
        assert decoder.receive_data(stream[-1:]) == [("stdout", b"followed\n")]
        assert decoder.receive_data(b"\r\n") == []


@pytest.mark.parametrize("size", [64 * KIB, 64 * KIB + 1, 200 * KIB])
def test_long_frames(size: int) -> None:
    long = frame(STDOUT, b"x" * size)
    for encoded in (chunk(long), chunk(long[:1000]) + chunk(long[1000:])):
        for at in ([], [n / 50 for n in range(50)]):
            out, error, _ = read_fused(split(USUAL + encoded + USUAL + LAST, at))
            assert error is None
            assert out == [*USUAL_FRAMES, ("stdout", b"x" * size), *USUAL_FRAMES]


def test_in_step_while_frames_come_as_chunks() -> None:
    decoder = fused()
    states = [decoder.in_step]
    for data in (USUAL, chunk(frame(STDOUT, b"abc")[:8]), chunk(b"abc"), USUAL):
        decoder.receive_data(data)
        states.append(decoder.in_step)
    assert states == [True, True, False, True, True]


def test_take_over_what_has_been_read_already() -> None:
    for cut in range(len(USUAL) + 1):
        chunks = ChunkedDecoder()
        pieces = chunks.receive_data(USUAL[:cut]) if cut else []
        decoder = ChunkedFrameDecoder(chunks, FrameDecoder())
        out = decoder.take_over(pieces)
        out += decode(decoder, [USUAL[cut:] + LAST])[0]
        assert (out, decoder.ended) == (USUAL_FRAMES, True)


def test_take_over_what_is_wrong_already() -> None:
    chunks = ChunkedDecoder()
    decoder = ChunkedFrameDecoder(chunks, FrameDecoder())
    assert decoder.take_over(chunks.receive_data(chunk(frame(STDOUT, b"a") + b"garbage!"))) == [("stdout", b"a")]
    assert type(decoder.error) is ProtocolError
    assert decoder.error is not None
    keeps_raising(decoder, decoder.error, USUAL)


# -- errors


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (chunk(frame(SYSTEM_ERROR, b"the driver failed")), StreamError),
        (chunk(b"garbage, not frames"), ProtocolError),
        (chunk(b"\4" + frame(STDOUT, b"x")[1:]), ProtocolError),
        (chunk(struct.pack(">BxxxL", STDOUT, MAX_FRAME + 1)), ProtocolError),
        (b"no size line, no chunk\r\n", ProtocolError),
        (b"-6\r\nhello\n\r\n", ProtocolError),
        (b"f" * 21 + b"\r\n" + b"x" * 20, ProtocolError),
        (b"1" * 5000, ProtocolError),
        (chunk(frame(STDOUT, b"abcde"))[:-2] + b"xxxxxx", ProtocolError),
        (chunk(frame(STDOUT, b"torn")[:10]) + LAST, TruncatedStream),
    ],
)
@pytest.mark.parametrize("before", [b"", USUAL])
def test_errors_come_behind_the_good_frames(before: bytes, bad: bytes, kind: type[DockerError]) -> None:
    stream = before + bad
    for way in [[stream], [stream[i : i + 1] for i in range(len(stream))], [before, bad]]:
        decoder = fused()
        out, error = decode(decoder, filter(None, way))
        assert out[:3] == (USUAL_FRAMES if before else out)
        assert error is not None
        assert type(error) is kind
        keeps_raising(decoder, error, USUAL)


# -- against the two decoders

payloads = st.binary(min_size=1, max_size=12) | st.sampled_from([b"line\n", b"\r\n0\r\n\r\n", b"x" * 300])
frames = st.tuples(st.sampled_from([0, STDOUT, STDERR] * 4 + [SYSTEM_ERROR]), payloads | st.just(b"")).map(
    lambda pair: frame(*pair)
)
sizes = st.sampled_from(["%x"] * 6 + ["%X", "%04x", "%x;a=b", "%x "])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    body = b""
    for part in draw(st.lists(st.lists(frames, min_size=1, max_size=2), max_size=6)):
        data = b"".join(part)
        at = draw(st.just([]) | st.lists(st.floats(0, 1), max_size=2))
        body += b"".join(chunk(piece, draw(sizes)) for piece in split(data, at))
    return body + draw(st.sampled_from([LAST, LAST, LAST + b"behind", b""]))


changes = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 2),
        st.sampled_from([b"", b"\r", b"\n", b"\0", b"\1", b"\3", b"0", b"9", b"a", b";", b"x"]),
    ),
    max_size=2,
)


@given(bodies(), borders)
def test_the_same_comes_out(stream: bytes, at: list[float]) -> None:
    out, error, leftover = read_fused(split(stream, at))
    expected, expected_error, expected_leftover = read_in_two_steps(stream)
    assert (out, type(error), leftover) == (expected, type(expected_error), expected_leftover)


@given(bodies(), changes, borders)
def test_damage_is_noticed_alike(stream: bytes, changes: list[tuple[float, int, bytes]], at: list[float]) -> None:
    for where, removed, inserted in changes:
        pos = round(where * len(stream))
        stream = stream[:pos] + inserted + stream[pos + removed :]
    out, error, leftover = read_fused(split(stream, at))
    expected, expected_error, expected_leftover = read_in_two_steps(stream)
    assert (error is None, leftover) == (expected_error is None, expected_leftover)
    # A frame is handed out when it is whole; the two decoders wait for the end of its chunk, too.
    assert out[: len(expected)] == expected
    assert len(out) <= len(expected) + 1
    assert error is not None or out == expected


# -- memory


def test_what_could_have_become_a_frame_is_judged_at_the_end() -> None:
    decoder = fused()
    assert decoder.receive_data(b"5\r\n\x01\0\0\0\n\r2") == []
    with pytest.raises(ProtocolError, match="CRLF"):
        decoder.receive_eof()


def test_new_prefixes_without_end_are_not_all_remembered() -> None:
    decoder = fused()
    known = vars(decoder)["_known"]
    most = 0
    for size in range(1, 6000):
        decoder.receive_data(chunk(frame(STDOUT, b"x" * size)))
        most = max(most, len(known))
    assert most == 4096


def test_kept_is_at_most_one_short_frame() -> None:
    decoder = fused()
    for piece in split(chunk(frame(STDOUT, b"x" * 64 * KIB)) * 4, [n / 64 for n in range(64)]):
        decoder.receive_data(piece)
        assert retained(decoder) < 66 * KIB


@pytest.mark.parametrize("endless", [b"8", b"8;x", b"0\r\nA: b", b"\r\n"])
def test_endless_lines_are_not_kept(endless: bytes) -> None:
    decoder = fused()
    _, error = decode(decoder, [USUAL, endless])
    for _ in range(40):
        if error is None:
            _, error = decode(decoder, [b"a" * 1000])
            assert retained(decoder) < 30 * KIB
    assert type(error) is ProtocolError
