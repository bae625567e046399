from __future__ import annotations

import copy
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker._wire.frames import MAX_FRAME, Frame, FrameDecoder, TextDecoder, frame
from anydocker.errors import ProtocolError, StreamError, TruncatedStream
from tests.helpers import borders, decode, keeps_raising, retained, split, ways

STDIN, STDOUT, STDERR, SYSTEM_ERROR = range(4)


def header(kind: int, size: int) -> bytes:
    return struct.pack(">BxxxL", kind, size)


def encode(*frames: tuple[int, bytes]) -> bytes:
    return b"".join(header(kind, len(data)) + data for kind, data in frames)


GOOD = encode((STDOUT, b"out"))

# The frames on the wire, and those that come out.
TABLE = [
    pytest.param([], [], id="nothing"),
    pytest.param([(STDOUT, b"out")], [("stdout", b"out")], id="stdout"),
    pytest.param([(STDERR, b"err")], [("stderr", b"err")], id="stderr"),
    pytest.param([(STDIN, b"echo")], [("stdout", b"echo")], id="stdin is shown on stdout"),
    pytest.param(
        [(STDOUT, b"a"), (STDERR, b"b"), (STDERR, b"c"), (STDOUT, b"d")],
        [("stdout", b"a"), ("stderr", b"b"), ("stderr", b"c"), ("stdout", b"d")],
        id="in order",
    ),
    pytest.param([(STDOUT, b""), (STDERR, b"e"), (STDERR, b"")], [("stderr", b"e")], id="empty ones are left out"),
    pytest.param([(STDOUT, GOOD), (STDERR, b"\1")], [("stdout", GOOD), ("stderr", b"\1")], id="data like a header"),
    pytest.param([(STDOUT, bytes(range(256)) * 2)], [("stdout", bytes(range(256)) * 2)], id="length of two bytes"),
]


@pytest.mark.parametrize(("wire", "frames"), TABLE)
def test_split_anywhere(wire: list[tuple[int, bytes]], frames: list[Frame]) -> None:
    for way in ways(encode(*wire)):
        decoder = FrameDecoder()
        assert decode(decoder, way) == (frames, None)
        assert decoder.receive_eof() == []


@pytest.mark.parametrize(("wire", "frames"), TABLE)
def test_every_cut_inside_a_frame_is_noticed(wire: list[tuple[int, bytes]], frames: list[Frame]) -> None:
    stream = encode(*wire)
    clean = {len(encode(*wire[:count])) for count in range(len(wire) + 1)}
    for end in range(len(stream) + 1):
        for way in ([stream[:end]], [stream[i : i + 1] for i in range(end)]):
            decoder = FrameDecoder()
            out, error = decode(decoder, way)
            assert (out, error) == (frames[: len(out)], None)
            if end in clean:
                assert decoder.receive_eof() == []
            else:
                with pytest.raises(TruncatedStream, match="inside a frame"):
                    decoder.receive_eof()


@given(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=300))), st.binary(max_size=7), borders)
def test_split_at_random_with_a_torn_header_behind(wire: list[tuple[int, bytes]], torn: bytes, at: list[float]) -> None:
    decoder = FrameDecoder()
    out, error = decode(decoder, split(encode(*wire) + torn, at))
    assert error is None
    assert out == [("stderr" if kind == STDERR else "stdout", data) for kind, data in wire if data]
    if torn:
        with pytest.raises(TruncatedStream, match=f"{len(torn)} of at least 8 bytes"):
            decoder.receive_eof()
    else:
        assert decoder.receive_eof() == []


def test_a_frame_is_a_named_tuple() -> None:
    (one,) = FrameDecoder().receive_data(GOOD)
    assert one == Frame("stdout", b"out") == frame(("stdout", b"out"))
    assert (one.stream, one.data) == ("stdout", b"out")
    assert type(one) is Frame
    assert copy.copy(one) == pickle.loads(pickle.dumps(one)) == one


# -- what is no frame


@pytest.mark.parametrize(
    "stream",
    [
        b"hello, I am not multiplexed",
        b'{"message":"no"}\n',
        header(4, 1) + b"x",
        header(255, 0),
        b"\1\1\0\0\0\0\0\1x",
        b"\1\0\1\0\0\0\0\1x",
        b"\1\0\0\1\0\0\0\1x",
        b"\3\0\0\1\0\0\0\1x",
        header(STDOUT, MAX_FRAME + 1),
        header(STDOUT, 1 << 31),
        header(STDERR, (1 << 32) - 1),
        header(SYSTEM_ERROR, MAX_FRAME + 1),
    ],
)
def test_malformed(stream: bytes) -> None:
    for way in ways(stream):
        decoder = FrameDecoder()
        out, error = decode(decoder, way)
        assert out == []
        assert type(error) is ProtocolError
        assert repr(stream[:8]) in str(error)
        keeps_raising(decoder, error, GOOD)


@pytest.mark.parametrize("size", [MAX_FRAME, 32 * 1024])
def test_long_frame(size: int) -> None:
    decoder = FrameDecoder()
    data = b"x" * size
    pieces = split(header(STDOUT, size) + data, [n / 64 for n in range(64)])
    for piece in pieces[:-1]:
        assert decoder.receive_data(piece) == []
        assert retained(decoder) <= size + 1000
    assert decoder.receive_data(pieces[-1]) == [("stdout", data)]
    assert retained(decoder) < 1000


def test_a_frame_in_many_pieces_is_put_together_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_apart: list[int] = []
    original = vars(FrameDecoder)["_decode"]

    def counting(self: FrameDecoder, data: bytes, out: list[Frame]) -> None:
        taken_apart.append(len(data))
        original(self, data, out)

    monkeypatch.setattr(FrameDecoder, "_decode", counting)
    stream = encode((STDOUT, b"x" * 5000))
    out, _ = decode(FrameDecoder(), [stream[i : i + 1] for i in range(len(stream))])
    assert out == [("stdout", b"x" * 5000)]
    assert sum(taken_apart) <= len(stream) + 16


# -- errors of the engine


def test_system_error() -> None:
    for way in ways(encode((SYSTEM_ERROR, "the driver f\u00e4iled".encode()))):
        decoder = FrameDecoder()
        out, error = decode(decoder, way)
        assert out == []
        assert type(error) is StreamError
        assert (error.message, error.code) == ("the driver f\u00e4iled", None)
        keeps_raising(decoder, error, GOOD)


def test_system_error_that_is_not_text() -> None:
    _, error = decode(FrameDecoder(), [encode((SYSTEM_ERROR, b"\xff!"))])
    assert str(error) == "\ufffd!"


def test_torn_system_error_is_a_truncation() -> None:
    stream = encode((SYSTEM_ERROR, b"failed"))
    for end in range(1, len(stream)):
        decoder = FrameDecoder()
        assert decode(decoder, [stream[:end]]) == ([], None)
        with pytest.raises(TruncatedStream):
            decoder.receive_eof()


def test_longest_system_error() -> None:
    assert decode(FrameDecoder(), [header(SYSTEM_ERROR, MAX_FRAME)]) == ([], None)


def test_border() -> None:
    stream = encode((STDOUT, b"a"), (STDERR, b"b"))
    for end in range(len(stream) + 1):
        decoder = FrameDecoder()
        decoder.receive_data(stream[:end])
        assert decoder.at_border == (end in {0, 9, 18})


@pytest.mark.parametrize("bad", [encode((SYSTEM_ERROR, b"failed")), b"garbage!"])
def test_good_frames_come_before_the_error(bad: bytes) -> None:
    decoder = FrameDecoder()
    assert decoder.receive_data(GOOD + encode((STDERR, b"e")) + bad + GOOD) == [("stdout", b"out"), ("stderr", b"e")]
    assert decoder.error is not None
    keeps_raising(decoder, decoder.error, GOOD)


# -- the output of a terminal


def test_terminal() -> None:
    decoder = TextDecoder()
    assert decoder.receive_data(GOOD) == [("stdout", GOOD)]
    assert decoder.receive_data(b"") == []
    assert decoder.receive_data(b"\xc3") == [("stdout", b"\xc3")]
    assert decoder.receive_eof() == []
    assert decoder.error is None
