"""
What nobody can beat: reading a socket and doing nothing, and the shortest loop in Python that still yields items.

Both read with blocking calls, know beforehand what comes, check nothing, and cannot be cancelled. They are no
clients, but marks on a scale.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct
from typing import Any, Final

from benchmarks.job import BULK, Job, Unsupported
from benchmarks.recordings import LAST_CHUNK, chunk

__all__ = ("Receiver", "TightLoop", "connect", "document_of", "end_of", "request_of")

_READ: Final = 64 * 1024
_BULK_READ: Final = 256 * 1024
_UPLOAD_BLOCK: Final = 1024 * 1024
_FRAME: Final = Struct(">LL")
_TARGETS: Final = {
    "logs": "GET /v1.41/containers/bench/logs?follow=1&stdout=1&stderr=1",
    "exec": "POST /v1.41/exec/1/start",
    "pull": "POST /v1.41/images/create?fromImage=bench&tag=latest",
    "build": "POST /v1.41/build",
    "events": "GET /v1.41/events",
    "stats": "GET /v1.41/containers/bench/stats",
    "save": "GET /v1.41/images/bench/get",
    "export": "GET /v1.41/containers/bench/export",
    "archive": "GET /v1.41/containers/bench/archive?path=/etc",
    "ping": "HEAD /_ping",
    "inspect": "GET /v1.41/containers/bench/json",
    "list": "GET /v1.41/containers/json?all=1",
    "build-file": "POST /v1.41/build",
    "load-file": "POST /v1.41/images/load",
    "load-stream": "POST /v1.41/images/load",
}
_CALLS: Final = frozenset({"ping", "inspect", "list"})
_UPLOADS: Final = frozenset({"build-file", "load-file", "load-stream"})


def request_of(action: str) -> bytes:
    """The request that an action begins with."""
    fields = "Transfer-Encoding: chunked\r\n" if action in _UPLOADS else ""
    if action == "exec":
        fields = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
    return f"{_TARGETS[action]} HTTP/1.1\r\nHost: docker\r\n{fields}\r\n".encode()


def connect(job: Job) -> socket.socket:
    """A blocking socket to the replay server."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(job.socket_path)
    return sock


def _read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(_READ)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


class Receiver:
    """Reads what comes and looks at none of it."""

    def perform(self, job: Job) -> None:
        """Do the job; it cannot tell how many items came."""
        if job.action not in _TARGETS or job.action in _UPLOADS:
            raise Unsupported(job.action)
        with connect(job) as sock, job.clock:
            if job.action in _CALLS:
                _repeat_call(sock, job)
            else:
                _receive_all(sock, job)

    def canonical(self, action: str, item: Any) -> bytes:
        """There are no items."""
        raise Unsupported(action)


def _repeat_call(sock: socket.socket, job: Job) -> None:
    request = request_of(job.action)
    sock.sendall(request)
    size = len(_receive_answer(sock, job.action))
    for _ in range(job.items - 1):
        sock.sendall(request)
        missing = size
        while missing:
            missing -= len(sock.recv(missing))


def _receive_all(sock: socket.socket, job: Job) -> None:
    sock.sendall(request_of(job.action))
    size = _BULK_READ if job.action in BULK else _READ
    while data := sock.recv(size):
        if data.endswith(LAST_CHUNK):
            return


class TightLoop:
    """Reads what comes and takes the items out, one by one."""

    def perform(self, job: Job) -> int:
        """Do the job."""
        if job.action not in _TARGETS:
            raise Unsupported(job.action)
        if job.action in _CALLS:
            return _call(job)
        if job.action in _UPLOADS:
            return _upload(job)
        decode, size = _KERNELS[job.action]
        with connect(job) as sock, job.clock:
            sock.sendall(request_of(job.action))
            _, rest = _read_head(sock)
            return _count(decode(sock, rest, size), job)

    def canonical(self, action: str, item: Any) -> bytes:
        """The content of an item."""
        return item if isinstance(item, bytes) else json.dumps(item, sort_keys=True).encode()


def _count(batches: Iterator[list[Any]], job: Job) -> int:
    kept = job.kept
    count = 0
    for batch in batches:
        if kept is not None:
            kept += batch
        for item in batch:
            count += len(item) if job.action in BULK else 1
    return count


def _log_frames(sock: socket.socket, data: bytes, read_size: int) -> Iterator[list[bytes]]:
    """Frames in chunks, in one pass; chunks hold whole frames."""
    unpack = _FRAME.unpack_from
    sizes: dict[bytes, int] = {}
    while True:
        items: list[bytes] = []
        append = items.append
        find = data.find
        pos = 0
        total = len(data)
        while (eol := find(b"\r\n", pos)) >= 0:
            line = data[pos:eol]
            size = sizes.get(line)
            if size is None:
                size = sizes[line] = int(line, 16)
            at = eol + 2
            end = at + size
            if end + 2 > total:
                break
            if not size:
                yield items
                return
            while at < end:
                stop = at + 8 + unpack(data, at)[1]
                append(data[at + 8 : stop])
                at = stop
            pos = end + 2
        yield items
        data = data[pos:] + sock.recv(read_size)


def _exec_frames(sock: socket.socket, data: bytes, read_size: int) -> Iterator[list[bytes]]:
    unpack = _FRAME.unpack_from
    while True:
        items: list[bytes] = []
        append = items.append
        pos = 0
        total = len(data)
        while total - pos >= 8:
            stop = pos + 8 + unpack(data, pos)[1]
            if stop > total:
                break
            append(data[pos + 8 : stop])
            pos = stop
        yield items
        more = sock.recv(read_size)
        if not more:
            return
        data = data[pos:] + more


def _chunks(sock: socket.socket, data: bytes, read_size: int) -> Iterator[list[bytes]]:
    while True:
        items: list[bytes] = []
        pos = 0
        while (eol := data.find(b"\r\n", pos)) >= 0:
            size = int(data[pos:eol], 16)
            end = eol + 2 + size
            if end + 2 > len(data):
                break
            if not size:
                yield items
                return
            items.append(data[eol + 2 : end])
            pos = end + 2
        yield items
        data = data[pos:] + sock.recv(read_size)


def _documents(sock: socket.socket, data: bytes, read_size: int) -> Iterator[list[Any]]:
    """Documents with a line feed behind each, all of a read at once."""
    for chunks in _chunks(sock, data, read_size):
        if chunks:
            text = b"".join(chunks).decode().rstrip()
            yield json.loads(f"[{text.replace(chr(10), ',')}]")


_Kernel = Callable[[socket.socket, bytes, int], Iterator[list[Any]]]
_KERNELS: Final[dict[str, tuple[_Kernel, int]]] = {
    "logs": (_log_frames, _READ),
    "exec": (_exec_frames, _READ),
    "pull": (_documents, _READ),
    "build": (_documents, _READ),
    "events": (_documents, _READ),
    "stats": (_documents, _READ),
    "save": (_chunks, _BULK_READ),
    "export": (_chunks, _BULK_READ),
    "archive": (_chunks, _BULK_READ),
}


def _call(job: Job) -> int:
    request = request_of(job.action)
    document: Any = None
    with connect(job) as sock, job.clock:
        for _ in range(job.items):
            sock.sendall(request)
            answer = _receive_answer(sock, job.action)
            if job.action != "ping":
                document = document_of(answer)
    if job.kept is not None and document is not None:
        job.kept += [item["Id"].encode() for item in document] if job.action == "list" else [document]
    return job.items


def _receive_answer(sock: socket.socket, action: str) -> bytes:
    data = sock.recv(_BULK_READ)
    end = end_of(action)
    while not data.endswith(end):
        data += sock.recv(_BULK_READ)
    return data


def end_of(action: str) -> bytes:
    """What the answer to a call ends with."""
    return b"\r\n\r\n" if action == "ping" else LAST_CHUNK


def document_of(answer: bytes) -> Any:
    """The document in an answer of one chunk."""
    return json.loads(answer.partition(b"\r\n\r\n")[2].partition(b"\r\n")[2].rpartition(b"\r\n0\r\n")[0])


def _upload(job: Job) -> int:
    blocks = job.blocks() if job.action == "load-stream" else []
    with connect(job) as sock, Path(job.file).open("rb", buffering=0) as file, job.clock:
        sock.sendall(request_of(job.action))
        for block in blocks or iter(lambda: file.read(_UPLOAD_BLOCK), b""):
            sock.sendall(chunk(block))
        sock.sendall(LAST_CHUNK)
        _, rest = _read_head(sock)
        return _count(_documents(sock, rest, _READ), job)
