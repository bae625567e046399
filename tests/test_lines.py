from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker._wire import lines as lines_module
from anydocker._wire.frames import Frame, StreamName
from anydocker._wire.lines import MAX_LINE, Line, LineDecoder
from tests.helpers import retained

streams: st.SearchStrategy[StreamName] = st.sampled_from(["stdout", "stderr"])
data = st.binary(max_size=20) | st.text("a\u00e4\u20ac\U0001f600\r\n", max_size=20).map(str.encode)
frames = st.lists(st.builds(Frame, streams, data), max_size=12)


def out(text: bytes) -> Frame:
    return Frame("stdout", text)


def err(text: bytes) -> Frame:
    return Frame("stderr", text)


def decode(frames: list[Frame]) -> list[Line]:
    decoder = LineDecoder()
    return decoder.receive_frames(frames) + decoder.receive_eof()


def text_of(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")


@pytest.mark.parametrize(
    ("frames", "lines"),
    [
        ([], []),
        ([out(b"")], []),
        ([out(b"a\n")], [("stdout", "a")]),
        ([out(b"\n\n")], [("stdout", ""), ("stdout", "")]),
        ([out(b"a\nb\nc")], [("stdout", "a"), ("stdout", "b"), ("stdout", "c")]),
        ([out(b"a\r\nb\r"), out(b"\nc\rd\n")], [("stdout", "a"), ("stdout", "b"), ("stdout", "c\rd")]),
        ([out(b"a\r\r\n")], [("stdout", "a\r")]),
        ([out(b"a"), err(b"e\n"), out(b"b\n")], [("stderr", "e"), ("stdout", "ab")]),
        ([out(b"a"), err(b"e"), out(b"b"), err(b"f")], [("stdout", "ab"), ("stderr", "ef")]),
        ([out(b"\xc3"), err(b"\xc3"), out(b"\xa4\n"), err(b"\n")], [("stdout", "\u00e4"), ("stderr", "\ufffd")]),
        ([out(b"\xff\xfea\n")], [("stdout", "\ufffd\ufffda")]),
        ([out(b"a\0b\n")], [("stdout", "a\0b")]),
        ([out("a\u2028b\x0bc\x85\n".encode())], [("stdout", "a\u2028b\x0bc\x85")]),
        ([out(b"last\xe2\x82")], [("stdout", "last\ufffd")]),
    ],
)
def test_lines(frames: list[Frame], lines: list[Line]) -> None:
    assert decode(frames) == lines
    pieces = [Frame(stream, data[i : i + 1]) for stream, data in frames for i in range(len(data))]
    assert decode(pieces) == lines


@given(frames)
def test_each_stream_is_split_on_its_own(frames: list[Frame]) -> None:
    lines = decode(frames)
    for name in ("stdout", "stderr"):
        *finished, rest = b"".join(data for stream, data in frames if stream == name).split(b"\n")
        expected = [*map(text_of, finished), *([rest.decode(errors="replace")] if rest else [])]
        assert [text for stream, text in lines if stream == name] == expected


@given(frames)
def test_a_line_comes_with_the_frame_that_completes_it(frames: list[Frame]) -> None:
    decoder = LineDecoder()
    for frame in frames:
        lines = decoder.receive_frames([frame])
        assert len(lines) == frame.data.count(b"\n")
        assert all(stream == frame.stream for stream, _ in lines)
    assert len(decoder.receive_eof()) <= 2
    assert decoder.receive_eof() == []


@given(frames)
def test_batches_make_no_difference(frames: list[Frame]) -> None:
    decoder = LineDecoder()
    one_by_one = [line for frame in frames for line in decoder.receive_frames([frame])]
    assert one_by_one + decoder.receive_eof() == decode(frames)


def test_a_line_is_a_named_tuple() -> None:
    (line,) = decode([out(b"a\n")])
    assert type(line) is Line
    assert (line.stream, line.text) == ("stdout", "a")


# -- lines without end


def test_endless_line_is_handed_out_in_parts() -> None:
    decoder = LineDecoder()
    received = 0
    for _ in range(100):
        for line in decoder.receive_frames([out(b"x" * 32_000)]):
            assert set(line.text) == {"x"}
            received += len(line.text)
        assert retained(decoder) <= MAX_LINE + 100
    received += sum(len(line.text) for line in decoder.receive_frames([out(b"\n")]))
    assert received == 3_200_000


def test_an_unfinished_line_is_added_to_and_not_copied() -> None:
    decoder = LineDecoder()
    decoder.receive_frames([out(b"x")])
    buffer = vars(decoder)["_kept"]["stdout"]
    decoder.receive_frames([out(b"y")] * 1000)
    assert vars(decoder)["_kept"]["stdout"] is buffer
    assert decoder.receive_eof() == [("stdout", "x" + "y" * 1000)]


characters = st.text("a\u00e4\u20ac\U0001f600", max_size=40)


@given(characters, st.integers(4, 12), st.integers(1, 8))
def test_parts_are_cut_between_characters(text: str, limit: int, size: int) -> None:
    encoded = text.encode()
    pieces = [out(encoded[i : i + size]) for i in range(0, len(encoded), size)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(lines_module, "MAX_LINE", limit)
        parts = decode(pieces)
    assert "".join(part.text for part in parts) == text
    assert all(len(part.text.encode()) <= limit + size for part in parts)


@given(st.binary(min_size=20, max_size=60))
def test_bytes_that_are_no_characters_do_not_stop_the_cutting(data: bytes) -> None:
    data = data.replace(b"\n", b"\x80")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(lines_module, "MAX_LINE", 8)
        decoder = LineDecoder()
        for i in range(len(data)):
            decoder.receive_frames([out(data[i : i + 1])])
            assert retained(decoder) <= 8 + 20
