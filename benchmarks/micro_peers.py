"""
The parsers of the peers, taken out of the peers.

They are internal to them, so nothing here has a type that could be relied on.
"""
# mypy: disable-error-code="no-untyped-call, attr-defined, arg-type, import-untyped"
# pyright: basic

from __future__ import annotations

import asyncio
import http.client
import io
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, Final

import docker
from aiodocker.jsonstream import json_stream_stream
from aiodocker.multiplexed import multiplexed_result_stream
from aiodocker.stream import _ExecParser
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpResponseParser
from aiohttp.streams import StreamReader
from docker.utils.json_stream import json_stream

__all__ = (
    "LAST_CHUNK",
    "aiohttp_chunks",
    "exec_frames",
    "file_frames",
    "file_log_frames",
    "http_client_chunks",
    "line_documents",
    "log_frames",
    "split_documents",
)

LAST_CHUNK: Final = b"0\r\n\r\n"
_HEAD: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_NO_LIMIT: Final = 2**30


# -- aiodocker and aiohttp


class _Queue:
    """What an exec's parser puts its messages into."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def feed_data(self, message: Any, size: int) -> None:
        self.items.append(message)


class _Response:
    def __init__(self, content: StreamReader) -> None:
        self.content = content

    async def release(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is open."""


def exec_frames(pieces: Sequence[bytes]) -> int:
    """The parser behind aiodocker's exec and attach."""
    queue = _Queue()
    parser = _ExecParser(queue)
    for piece in pieces:
        parser.feed_data(piece)
    return len(queue.items)


def _reader(pieces: Sequence[bytes]) -> StreamReader:
    loop = asyncio.get_running_loop()
    reader = StreamReader(BaseProtocol(loop), _NO_LIMIT, loop=loop)
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    return reader


def _chunked_reader(pieces: Sequence[bytes]) -> StreamReader:
    loop = asyncio.get_running_loop()
    parser = HttpResponseParser(BaseProtocol(loop), loop, _NO_LIMIT)
    messages, _, _ = parser.feed_data(_HEAD)
    for piece in pieces:
        parser.feed_data(piece)
    return messages[0][1]


def aiohttp_chunks(pieces: Sequence[bytes]) -> int:
    """The parser of HTTP in aiohttp, which is written in C."""

    async def count() -> int:
        return len([piece async for piece in _chunked_reader(pieces).iter_any()])

    return _finish(count())


def log_frames(pieces: Sequence[bytes]) -> int:
    """What aiodocker does to the bytes of a log."""
    return _finish(_count(multiplexed_result_stream(_Response(_chunked_reader(pieces)))))


def line_documents(pieces: Sequence[bytes]) -> int:
    """What aiodocker does to documents."""
    return _finish(_count(json_stream_stream(_Response(_reader(pieces)))))


async def _count(items: AsyncIterator[Any]) -> int:
    count = 0
    async for _ in items:
        count += 1
    return count


def _finish(work: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine that has everything it needs, and so never waits."""
    try:
        work.send(None)
    except StopIteration as stop:
        return int(stop.value)
    raise AssertionError("it waits for something")


# -- docker-py and the standard library


class _Socket:
    """What http.client wants of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BufferedReader:
        source: Any = io.BytesIO(self._data)
        return io.BufferedReader(source)


def _http_response(pieces: Sequence[bytes]) -> http.client.HTTPResponse:
    sock: Any = _Socket(_HEAD + b"".join(pieces))
    response = http.client.HTTPResponse(sock)
    response.begin()
    return response


def http_client_chunks(pieces: Sequence[bytes]) -> int:
    """The loop in which docker-py takes chunks from http.client, without urllib3 between them."""
    response: Any = _http_response(pieces)
    count = 0
    while data := response.read(1):
        if response.chunk_left:
            data += response.read(response.chunk_left)
        count += 1
    return count


class _Raw:
    """docker-py's view of a response: ``response.raw.read``."""

    def __init__(self, source: Any) -> None:
        self.raw = source


class _Api:
    """The two methods that docker-py's frame parser calls before it begins."""

    def _get_raw_response_socket(self, response: Any) -> None:
        """There is no socket."""

    def _disable_socket_timeout(self, socket: Any) -> None:
        """There is no socket."""


def _helper(source: Any) -> Iterator[bytes]:
    client: Any = docker.APIClient
    items: Iterator[bytes] = client._multiplexed_response_stream_helper(_Api(), _Raw(source))
    return items


def file_frames(pieces: Sequence[bytes]) -> int:
    """docker-py's parser of frames."""
    return sum(1 for _ in _helper(io.BytesIO(b"".join(pieces))))


def file_log_frames(pieces: Sequence[bytes]) -> int:
    """What docker-py does to the bytes of a log, without urllib3 between."""
    return sum(1 for _ in _helper(_http_response(pieces)))


def split_documents(pieces: Sequence[bytes]) -> int:
    """What docker-py does to documents."""
    parts: Any = iter(pieces)
    return sum(1 for _ in json_stream(parts))
