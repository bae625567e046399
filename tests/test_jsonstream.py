from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anydocker._wire import jsonstream
from anydocker._wire.jsonstream import MAX_DOCUMENT, JSONDecoder, dumps, loads
from anydocker.errors import DockerError, ProtocolError, TruncatedStream
from tests.helpers import CountingPattern, borders, decode, keeps_raising, retained, split, ways

WITH_MSGSPEC = jsonstream.fast_decoder()


@pytest.fixture(scope="module", autouse=True, params=["standard library", "msgspec"])
def scanner(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways to decode: what comes out is equal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonstream, "fast_decoder", lambda: WITH_MSGSPEC if request.param == "msgspec" else None)
        yield request.param


def test_the_extra_is_used(scanner: str) -> None:
    assert WITH_MSGSPEC is not None
    assert jsonstream.fast_decoder() is (WITH_MSGSPEC if scanner == "msgspec" else None)


@pytest.mark.parametrize(
    "line",
    [
        "123456789012345678901234567890",
        "-9223372036854775809",
        "18446744073709551616",
        "1e400",
        "-0",
        "-0.0",
        "0.1e1",
        "3.141592653589793238462643383279",
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '{"a":1,"a":2}',
        '"\\u0000"',
        '\x1e{"a":1}',
        '{"a":1}{"b":2}',
        "",
        "[1]\r",
        " [ 1 , 2 ]\t",
    ],
)
def test_both_scanners_read_the_same(line: str) -> None:
    data = f"{line}\n".encode()
    expected: list[Any] = []
    vars(jsonstream)["_scan_documents"](data.decode(), expected)
    found: list[Any] = []
    vars(jsonstream)["_decode_documents"](data, found)
    assert list(map(repr, found)) == list(map(repr, expected))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@given(st.lists(DOCUMENTS), st.booleans())
def test_both_scanners_read_any_documents_alike(documents: list[Any], escaped: bool) -> None:
    data = "".join(f"{json.dumps(document, ensure_ascii=escaped)}\r\n" for document in documents).encode()
    out: list[Any] = []
    vars(jsonstream)["_decode_documents"](data, out)
    assert repr(out) == repr(documents)


RS = "\x1e"

texts = st.text(max_size=8) | st.text('a"\\{}[]\n\r\x1e\x00/\u00e4\u20ac\U0001f600', max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts


def _containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=3) | st.dictionaries(texts, values, max_size=3)


documents: st.SearchStrategy[Any] = st.recursive(scalars, _containers, max_leaves=8)
containers = _containers(documents)


def read(pieces: list[bytes]) -> tuple[list[Any], DockerError | None]:
    """All values, those that the end completes too, and the error behind them."""
    decoder = JSONDecoder()
    out, error = decode(decoder, pieces)
    if error is None:
        try:
            out += decoder.receive_eof()
        except DockerError as exc:
            error = exc
    return out, error


def same(left: Any, right: Any) -> bool:
    """Equality that tells 1 from 1.0 and from true."""
    return repr(left) == repr(right)


# -- framing

# What stands before a document, and behind it.
FRAMINGS = [
    pytest.param("", "\r\n", id="crlf"),
    pytest.param("", "\n", id="lf"),
    pytest.param(RS, "\n", id="rs and lf"),
    pytest.param("", " ", id="space"),
    pytest.param("\n\n ", "\t\r\n\r\n", id="much white space"),
]


@pytest.mark.parametrize(("before", "behind"), FRAMINGS)
@pytest.mark.parametrize("indent", [None, 1])
@given(values=st.lists(documents, max_size=4), ascii_only=st.booleans(), at=borders)
def test_framing(
    before: str, behind: str, indent: int | None, values: list[Any], ascii_only: bool, at: list[float]
) -> None:
    texts = [json.dumps(value, ensure_ascii=ascii_only, indent=indent) for value in values]
    stream = "".join(before + text + behind for text in texts).encode()
    for pieces in (split(stream, at), [stream], [stream[i : i + 1] for i in range(len(stream))]):
        out, error = read(pieces)
        assert error is None
        assert same(out, values)


@pytest.mark.parametrize("before", ["", RS])
@given(values=st.lists(containers, max_size=4), ascii_only=st.booleans(), at=borders)
def test_no_delimiter_at_all(before: str, values: list[Any], ascii_only: bool, at: list[float]) -> None:
    stream = "".join(before + json.dumps(value, ensure_ascii=ascii_only) for value in values).encode()
    for pieces in (split(stream, at), [stream], [stream[i : i + 1] for i in range(len(stream))]):
        out, error = read(pieces)
        assert error is None
        assert same(out, values)


MIXED = '{"a":1}{"b":"}"}\r\n\x1e[1,[2]]\n {"\u20ac":"\\"\\u00e4\\\\"}\n7\n"x\\"y" true\nnull\n'
MIXED_VALUES: list[Any] = [{"a": 1}, {"b": "}"}, [1, [2]], {"\u20ac": '"\u00e4\\'}, 7, 'x"y', True, None]


def test_split_anywhere() -> None:
    for way in ways(MIXED.encode()):
        assert read(way) == (MIXED_VALUES, None)


@given(containers)
def test_a_document_is_out_with_its_last_byte(value: Any) -> None:
    encoded = json.dumps(value, ensure_ascii=False).encode()
    decoder = JSONDecoder()
    for _ in range(2):
        assert decode(decoder, [encoded[i : i + 1] for i in range(len(encoded) - 1)]) == ([], None)
        assert same(decoder.receive_data(encoded[-1:]), [value])


@given(scalars)
def test_a_scalar_is_out_with_its_line_feed(value: Any) -> None:
    encoded = json.dumps(value).encode()
    decoder = JSONDecoder()
    assert decode(decoder, [encoded[i : i + 1] for i in range(len(encoded))]) == ([], None)
    assert same(decoder.receive_data(b"\n"), [value])
    decoder.receive_data(encoded)
    assert same(decoder.receive_eof(), [value])


def test_the_end_completes_several_scalars() -> None:
    decoder = JSONDecoder()
    assert decoder.receive_data(b'\x1e1\x1e"a" \x1etrue') == []
    assert decoder.receive_eof() == [1, "a", True]


# -- cuts


@pytest.mark.parametrize("before", ["", RS, "\r\n"])
@settings(max_examples=40)  # each of them a thousand streams
@given(value=containers, ascii_only=st.booleans())
def test_every_cut_inside_a_document_is_noticed(before: str, value: Any, ascii_only: bool) -> None:
    lead = before.encode()
    stream = lead + json.dumps(value, ensure_ascii=ascii_only, indent=1).encode() + b"\n"
    for end in range(len(stream) + 1):
        for pieces in ([stream[:end]], [stream[i : i + 1] for i in range(end)]):
            out, error = read(pieces)
            if end <= len(lead):
                assert (out, error) == ([], None)
            elif end >= len(stream) - 1:
                assert error is None
                assert same(out, [value])
            else:
                assert out == []
                assert type(error) is TruncatedStream
                assert "inside a JSON document" in str(error)


def test_every_cut_of_a_stream_is_noticed_behind_its_good_values() -> None:
    values = MIXED_VALUES[:4]
    stream = MIXED.encode()[: MIXED.encode().index(b"7")]
    whole = [m.end() for m in re.finditer(rb'\{"a":1\}|\{"b":"\}"\}|\[1,\[2\]\]|\{"\xe2[^\n]*', stream)]
    for end in range(len(stream) + 1):
        complete = sum(border <= end for border in whole)
        out, error = read([stream[:end]])
        assert out == values[:complete]
        between = stream[whole[complete - 1] if complete else 0 : end].strip(b" \r\n\x1e") == b""
        assert (error is None) == between
        assert between or type(error) is TruncatedStream


@given(scalars.filter(lambda value: not isinstance(value, (int, float)) or isinstance(value, bool)))
def test_a_cut_scalar_is_no_value(value: Any) -> None:
    encoded = json.dumps(value).encode()
    for end in range(1, len(encoded)):
        out, error = read([encoded[:end]])
        assert out == []
        assert isinstance(error, ProtocolError)


# -- against the standard library

_SPACE = re.compile(r"[ \t\r\n\x1e]*")


def _refuse(name: str) -> Any:
    raise ValueError(name)


def reference(text: str) -> tuple[list[Any], bool]:
    """
    Document after document by the standard library's decoder, and whether all is well.

    The intended differences to ``json.loads``: any number of documents with white space or nothing between them,
    none included; RS is white space; NaN and Infinity are errors.
    """
    decoder = json.JSONDecoder(parse_constant=_refuse)
    values: list[Any] = []
    pos = 0
    while (pos := _end_of_space(text, pos)) < len(text):
        try:
            value, pos = decoder.raw_decode(text, pos)
        except (ValueError, RecursionError):
            return values, False
        values.append(value)
    return values, True


def _end_of_space(text: str, pos: int) -> int:
    match = _SPACE.match(text, pos)
    assert match is not None
    return match.end()


def judged_alike(result: tuple[list[Any], DockerError | None], expected: list[Any], well: bool) -> None:
    """A scalar with no line feed behind it may be lost to an error on the same line; nothing else may."""
    out, error = result
    assert (error is None) == well
    assert same(out, expected[: len(out)])
    lost = expected[len(out) :]
    assert not lost or not well
    assert not any(isinstance(value, (dict, list)) for value in lost)


pieces_of_json = st.sampled_from(
    [
        *'{}[]":,\\ \n\r\x1e0123456789-+.eE',
        "true",
        "false",
        "null",
        "NaN",
        "Infinity",
        '"a"',
        "{}",
        "[1]",
        '{"a":',
        "\\u",
        "\ufeff",
        "\u20ac",
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    ]
)


@given(st.lists(pieces_of_json, max_size=14).map("".join), borders)
def test_judges_as_json_does(text: str, at: list[float]) -> None:
    expected, well = reference(text)
    for pieces in ([text.encode()], split(text.encode(), at)):
        judged_alike(read(pieces), expected, well)


@given(st.lists(documents, max_size=3), st.data(), borders)
def test_judges_mutated_documents_as_json_does(values: list[Any], data: st.DataObject, at: list[float]) -> None:
    text = "\n".join(json.dumps(value, ensure_ascii=False) for value in values)
    for _ in range(data.draw(st.integers(1, 2))):
        pos = data.draw(st.integers(0, len(text)))
        text = text[:pos] + data.draw(pieces_of_json) + text[pos + data.draw(st.integers(0, 2)) :]
    expected, well = reference(text)
    judged_alike(read(split(text.encode(), at)), expected, well)


# -- errors

MALFORMED = [
    b"nope\n",
    b"{a}",
    b"{'a': 1}",
    b'{"a" 1}',
    b'{"a":1,}',
    b"[1,]",
    b"[1 2]",
    b"]",
    b"}",
    b'{"a":1]',
    b"[1}",
    b'["a\nb"]',
    b'["\x00"]',
    b'["\\x"]',
    b"[01]",
    b"[NaN]",
    b"[Infinity]",
    b"[-Infinity]",
    b"NaN\n",
    b'["\xff"]',
    b'["\xc3"]',
    b'["\xed\xa0\x80"]',
    b'["\xc0\x80"]',
    b'\xef\xbb\xbf{"a":1}',
    b'{"a":1}\x00\n',
    "[\u0661]".encode(),
    b"[" + b"1" * 5000 + b"]",
]


@pytest.mark.parametrize("stream", MALFORMED, ids=lambda stream: repr(stream[:16]))
def test_malformed(stream: bytes) -> None:
    stream += b"\n"
    for way in (w for index, w in enumerate(ways(stream)) if index < 40):
        decoder = JSONDecoder()
        out, error = decode(decoder, way)
        assert out in ([], [{"a": 1}])
        assert type(error) is ProtocolError
        assert "not JSON" in str(error)
        keeps_raising(decoder, error, b"{}\n")


@pytest.mark.parametrize("bad", [b"nope\n", b"{nope}\n", b'["\xff"]\n'])
@pytest.mark.parametrize("between", [b"", b"\n", b"\r\n"])
def test_good_documents_come_before_the_error(bad: bytes, between: bytes) -> None:
    decoder = JSONDecoder()
    assert decoder.receive_data(b'{"a":1}' + between + b'{"b":2}' + between + bad + b"{}\n") == [{"a": 1}, {"b": 2}]
    assert decoder.error is not None
    keeps_raising(decoder, decoder.error, b"{}\n")


# -- limits


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("closed", [False, True])
def test_nested_bomb(opening: bytes, closed: bool) -> None:
    depth = 100_000
    closing = b"".join({b"[": b"]", b"{": b"}"}[bytes([byte])] for byte in reversed(opening) if byte in b"[{")
    stream = opening * depth + (b"1" + closing * depth if closed else b"")
    out, error = read([stream + b"\n"])
    assert out == []
    assert isinstance(error, ProtocolError)
    assert ("nested too deeply" in str(error)) == closed == (type(error) is ProtocolError)


@pytest.mark.parametrize("opening", [b'{"a":"', b"[", b'"', b"[1,", b"1"])
def test_endless_document_is_refused(opening: bytes) -> None:
    decoder = JSONDecoder()
    block = b" " * 65536 if opening[-1:] in {b"[", b","} else b"1" * 65536
    out, error = decode(decoder, [opening])
    sent = 0
    while error is None:
        out, error = decode(decoder, [block])
        sent += len(block)
        assert retained(decoder) <= MAX_DOCUMENT + 2 * len(block)
    assert out == []
    assert MAX_DOCUMENT - len(block) <= sent <= MAX_DOCUMENT + len(block)
    assert f"longer than {MAX_DOCUMENT} bytes" in str(error)


def test_endless_stream_leaves_nothing_behind() -> None:
    decoder = JSONDecoder()
    for _ in range(3):
        for pieces in ([b'{"a":"', b"x" * 65536, b'"}\n'], [b"\n" * 65536], [b" " * 65536, b"\x1e", b"{}", b"7\n"]):
            _, error = decode(decoder, pieces)
            assert error is None
            assert retained(decoder) < 100
    assert decoder.receive_eof() == []


def test_the_limit_is_for_each_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonstream, "MAX_DOCUMENT", 100)
    document = b'{"a":"' + b"x" * 80 + b'"}'
    pieces = [document[:50], document[50:]] * 10
    assert decode(JSONDecoder(), pieces) == ([{"a": "x" * 80}] * 10, None)
    assert "longer than 100" in str(decode(JSONDecoder(), [b'{"a":"', b"x" * 80, b"x" * 20])[1])


# -- cost: what has been looked at is not looked at again


@pytest.fixture
def patterns(monkeypatch: pytest.MonkeyPatch) -> list[CountingPattern]:
    counting: list[CountingPattern] = []
    for name in ("_BETWEEN", "_OUTSIDE", "_INSIDE"):
        counting.append(CountingPattern(vars(jsonstream)[name]))
        monkeypatch.setattr(jsonstream, name, counting[-1])
    return counting


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    lengths: list[int] = []
    original = vars(jsonstream)["_scan_documents"]

    def counting(text: str, out: list[Any]) -> None:
        lengths.append(len(text))
        original(text, out)

    monkeypatch.setattr(jsonstream, "_scan_documents", counting)
    return lengths


@pytest.mark.parametrize(
    "stream",
    [
        b'["' + b"x" * 20_000 + b'"]',
        b"[" + b"[1],\n" * 4000 + b"1]",
        b'["' + b"\\n" * 10_000 + b'"]\n',
        b'{"a":\n' * 500 + b"1" + b"}" * 500,
        b"[\n" + b"1,\n" * 5000 + b"1]\n",
        b"1\n" * 5000 + b"[\n1]",
        b"[]" * 5000 + b"[\n1]",
        b'"" ' * 5000 + b"[\n1]",
        b"\n" * 10_000 + b"[\n1]",
    ],
    ids=lambda stream: repr(stream[:8]),
)
@pytest.mark.parametrize("size", [1, 7, 1000, 1_000_000])
def test_every_byte_is_looked_at_a_few_times_only(
    stream: bytes, size: int, patterns: list[CountingPattern], scanned: list[int]
) -> None:
    _, error = read([stream[i : i + size] for i in range(0, len(stream), size)])
    assert error is None
    assert sum(pattern.looked_at for pattern in patterns) <= 2 * len(stream)
    assert sum(scanned) <= 2 * len(stream)


# -- one document


@given(documents)
def test_there_and_back(value: Any) -> None:
    assert same(loads(dumps(value)), value)


def test_compact() -> None:
    assert dumps({"a": [1, "\u00e4"]}) == b'{"a":[1,"\\u00e4"]}'


@pytest.mark.parametrize(
    "data", [b"", b" \n", b"{} {}", b"{}x", b"nope", b"[NaN]", b'"\xff"', b"[" * 100_000, b'{"a":']
)
def test_loads_refuses(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="not JSON"):
        loads(data)


@pytest.mark.parametrize(
    ("value", "error"), [(float("nan"), ValueError), ([float("inf")], ValueError), ({"a": b""}, TypeError)]
)
def test_dumps_refuses(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        dumps(value)
