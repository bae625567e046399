from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker._wire.bodies import BodyDecoder, LengthDecoder, UntilCloseDecoder, body_decoder
from anydocker._wire.chunked import ChunkedDecoder
from anydocker.errors import ProtocolError, TruncatedStream
from tests.helpers import borders, split, ways

BODY = b"0123456789"


@pytest.mark.parametrize("behind", [b"", b"x", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_length_split_anywhere(behind: bytes) -> None:
    for way in ways(BODY + behind):
        decoder = LengthDecoder(len(BODY))
        out: list[bytes] = []
        for index, piece in enumerate(way):
            out += decoder.receive_data(piece)
            if decoder.ended:
                assert decoder.leftover + b"".join(way[index + 1 :]) == behind
                break
        assert (b"".join(out), decoder.ended, decoder.error) == (BODY, True, None)
        decoder.receive_eof()


def test_length_notices_every_cut() -> None:
    for end in range(len(BODY)):
        decoder = LengthDecoder(len(BODY))
        assert b"".join(decoder.receive_data(BODY[:end])) == BODY[:end]
        assert not decoder.ended
        with pytest.raises(TruncatedStream, match=f"ended {len(BODY) - end} bytes before"):
            decoder.receive_eof()


def test_no_body_has_ended_before_it_begins() -> None:
    decoder = LengthDecoder(0)
    assert decoder.ended
    decoder.receive_eof()
    assert decoder.receive_data(b"more") == []
    assert decoder.leftover == b"more"


@given(st.binary(max_size=50), borders)
def test_until_close(body: bytes, at: list[float]) -> None:
    decoder = UntilCloseDecoder()
    pieces = [piece for data in split(body, at) for piece in decoder.receive_data(data)]
    assert (b"".join(pieces), decoder.ended) == (body, False)
    assert decoder.receive_data(b"") == []
    decoder.receive_eof()
    assert (decoder.ended, decoder.leftover, decoder.error) == (True, b"", None)


@pytest.mark.parametrize(
    ("method", "status", "headers", "kind"),
    [
        ("GET", 200, {}, UntilCloseDecoder),
        ("GET", 200, {"content-length": "5"}, LengthDecoder),
        ("GET", 200, {"content-length": "0"}, LengthDecoder),
        ("GET", 200, {"content-length": "9" * 20}, LengthDecoder),
        ("GET", 200, {"transfer-encoding": "chunked"}, ChunkedDecoder),
        ("GET", 200, {"transfer-encoding": "Chunked"}, ChunkedDecoder),
        ("GET", 200, {"transfer-encoding": "chunked", "content-length": "5"}, ChunkedDecoder),
        ("POST", 404, {"content-length": "5"}, LengthDecoder),
        ("POST", 101, {}, UntilCloseDecoder),
        ("POST", 101, {"content-length": "0"}, UntilCloseDecoder),
        ("POST", 101, {"transfer-encoding": "chunked"}, UntilCloseDecoder),
        ("HEAD", 200, {"content-length": "5"}, LengthDecoder),
        ("HEAD", 404, {"transfer-encoding": "chunked"}, LengthDecoder),
        ("POST", 204, {}, LengthDecoder),
        ("POST", 204, {"transfer-encoding": "chunked"}, LengthDecoder),
        ("GET", 304, {"content-length": "5"}, LengthDecoder),
    ],
)
def test_which_decoder(method: str, status: int, headers: dict[str, str], kind: type[BodyDecoder[bytes]]) -> None:
    decoder = body_decoder(method, status, headers)
    assert type(decoder) is kind
    without_body = method == "HEAD" or status in {204, 304} or (status != 101 and headers == {"content-length": "0"})
    assert decoder.ended == without_body


def test_the_length_is_that_of_the_field() -> None:
    decoder = body_decoder("GET", 200, {"content-length": "5"})
    assert decoder.receive_data(BODY) == [BODY[:5]]
    assert decoder.leftover == BODY[5:]


@pytest.mark.parametrize("length", ["", "-1", "+1", "1.0", "0x1", " 1", "1 ", "1, 1", "1,2", "\u0661", "9" * 21])
def test_length_that_is_none(length: str) -> None:
    with pytest.raises(ProtocolError, match="Content-Length"):
        body_decoder("GET", 200, {"content-length": length})


@pytest.mark.parametrize("coding", ["", "gzip", "gzip, chunked", "chunked, chunked", "identity"])
def test_coding_that_is_not_chunked(coding: str) -> None:
    with pytest.raises(ProtocolError, match="Transfer-Encoding"):
        body_decoder("GET", 200, {"transfer-encoding": coding})
