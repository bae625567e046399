"""
The replay server: plays what an engine recorded, at any length, as fast as a socket takes it.

It is a process of its own, with blocking sockets and a thread for each connection. Everything it sends is laid out
before the clock starts. Calls are answered from their recordings; every streaming endpoint plays the script that
the driver has set last. Scripts come as JSON documents on standard input, each answered by a line on standard output.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import socket
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final, Literal, TypeAlias

import attrs

from benchmarks.flushes import Flushes
from benchmarks.recordings import LAST_CHUNK, Recording, chunk

__all__ = ("Framing", "Mode", "Script", "main")

Framing: TypeAlias = Literal["chunks", "coalesced", "flushed", "bulk"]
"""How a body is cut: an HTTP chunk for each item; chunks of 64 KiB with many items; a chunk and a write for each item;
32 KiB of bytes in two writes, as engines send archives."""
Mode: TypeAlias = Literal["send", "hold", "turns", "pace", "take"]
"""What to do with a streaming request: send everything; send an item and wait for the client to leave; send to all
clients in turn, as fast as they take it or at a fixed rate; take what is uploaded."""

BLOCK: Final = 64 * 1024
"""Bytes that are written at a time, at least."""
BULK_CHUNK: Final = 32 * 1024
_BULK_FIRST_WRITE: Final = 4096  # Go's bufio.Writer passes that much on before it lets large writes through
_TAR_END: Final = bytes(2 * tarfile.BLOCKSIZE)
_LISTED: Final = 100
_PACE_SECONDS: Final = 0.001
_START_SECONDS: Final = 0.02
_PACE_BURST: Final = 10
_HEAD_END: Final = b"\r\n\r\n"


@attrs.frozen
class Script:
    """
    What streaming endpoints play.

    Attributes:
        recording: The recording whose head and items are played.
        items: How many items; for ``bulk``, how many bytes.
        framing: How they are cut.
        mode: What to do with them.
        clients: For ``turns`` and ``pace``: how many connections to wait for.
        check: Whether an upload is hashed, which takes longer than receiving it.
    """

    recording: str
    items: int
    framing: Framing = "chunks"
    mode: Mode = "send"
    clients: int = 1
    check: bool = False


# -- laying out


def lay_out(recording: Recording, script: Script) -> list[bytes]:
    """Everything a response consists of, as the writes it is sent in."""
    if script.framing == "bulk":
        return [recording.head, *_bulk_writes(script.items), LAST_CHUNK]
    encode = chunk if recording.chunked else bytes
    end = LAST_CHUNK if recording.chunked else b""
    if script.framing == "flushed":
        items = [encode(piece) for piece in recording.pieces]
        return [recording.head, *islice(cycle(items), script.items), end]
    return [recording.head, *_blocks(recording, script), end]


def _blocks(recording: Recording, script: Script) -> Iterator[bytes]:
    """Writes of about BLOCK bytes, the same objects over and over."""
    pieces = recording.pieces
    rounds = max(1, BLOCK // sum(map(len, pieces)))
    count, rest = divmod(script.items, rounds * len(pieces))
    block = _encode_block(recording, pieces * rounds, script.framing)
    for _ in range(count):
        yield block
    if rest:
        yield _encode_block(recording, (pieces * rounds)[:rest], script.framing)


def _encode_block(recording: Recording, pieces: tuple[bytes, ...], framing: Framing) -> bytes:
    if not recording.chunked:
        return b"".join(pieces)
    if framing == "coalesced":
        return chunk(b"".join(pieces))
    return b"".join(map(chunk, pieces))


def _bulk_writes(size: int) -> Iterator[bytes]:
    for data in _tar_pieces(size // BULK_CHUNK):
        encoded = chunk(data)
        yield encoded[:_BULK_FIRST_WRITE]
        yield encoded[_BULK_FIRST_WRITE:]


def _tar_pieces(count: int) -> Iterator[bytes]:
    """A tar of one large file, in pieces of a chunk each: a client may look into it."""
    tile = random.Random(0).randbytes(1024 * 1024)
    pieces = cycle([tile[at : at + BULK_CHUNK] for at in range(0, len(tile), BULK_CHUNK)])
    member = tarfile.TarInfo("file")
    member.size = count * BULK_CHUNK - tarfile.BLOCKSIZE - len(_TAR_END)
    yield member.tobuf() + next(pieces)[tarfile.BLOCKSIZE :]
    yield from islice(pieces, count - 2)
    yield next(pieces)[len(_TAR_END) :] + _TAR_END


def listing() -> bytes:
    """The recorded container, a hundred times, each with an id of its own."""
    recording = Recording.load("list")
    document = json.loads(recording.pieces[0])
    documents = [{**document, "Id": f"{number:064x}"} for number in range(_LISTED)]
    body = json.dumps(documents, separators=(",", ":")).encode() + b"\n"
    return recording.encode((body,))


# -- serving


class Replay:
    """Answers requests by the script of the moment."""

    def __init__(self) -> None:
        self._calls: Final = [(re.compile(pattern), answer) for pattern, answer in _answers()]
        self._script = Script("logs-20", 0)
        self._writes: list[bytes] = []
        self._flushes = Flushes(())
        self._turns = _Turns(1, 0.0)

    def set(self, script: Script) -> None:
        """Play another script from now on."""
        self._script = script
        self._writes = lay_out(Recording.load(script.recording), script)
        self._flushes = Flushes(self._writes[1:] if script.mode == "send" else ())
        self._turns = _Turns(script.clients, _PACE_SECONDS if script.mode == "pace" else 0.0)

    def serve(self, sock: socket.socket) -> None:
        """Answer the requests of one connection, until either side closes it."""
        with sock:
            try:
                connection = _Connection(sock)
                while request := connection.read_head():
                    if not self._answer(connection, request):
                        return
            except (BrokenPipeError, ConnectionResetError):
                return

    def _answer(self, connection: _Connection, head: bytes) -> bool:
        """Answer a request; return whether the connection goes on."""
        line = head[: head.index(b" HTTP/")]
        for pattern, answer in self._calls:
            if pattern.fullmatch(line):
                connection.drop_body(head)
                connection.sock.sendall(answer)
                return True
        match self._script.mode:
            case "take":
                self._take(connection, head)
            case "hold":
                connection.drop_body(head)
                connection.sock.sendall(b"".join(self._writes[:2]))
                connection.sock.recv(1)
                return False
            case "turns" | "pace":
                connection.drop_body(head)
                self._turns.join(connection.sock, self._writes)
            case "send":
                connection.drop_body(head)
                connection.sock.sendall(self._writes[0])
                if b"101 " in self._writes[0][:20] and b"docker-sdk-python" in head:
                    # It loses what it reads together with the head. A process that has to start hides that.
                    time.sleep(_START_SECONDS)
                self._flushes.send(connection.sock)
        return not self._writes[0].startswith(b"HTTP/1.1 101")

    def _take(self, connection: _Connection, head: bytes) -> None:
        if not self._script.check:
            connection.drop_body(head)
            connection.sock.sendall(b"".join(self._writes))
            return
        body = connection.read_body(head)
        name = f"{hashlib.sha256(body).hexdigest()}-{len(body)}"
        document = json.dumps({"stream": f"Loaded image: bench:{name}\n"}).encode() + b"\r\n"
        connection.sock.sendall(Recording.load("load").encode((document,)))


def _answers() -> Iterator[tuple[bytes, bytes]]:
    """Patterns of request lines, and the responses to them."""
    version = rb"(/v[0-9.]+)?"
    for pattern, name in (
        (rb"HEAD " + version + rb"/_ping", "ping-head"),
        (rb"GET " + version + rb"/_ping", "ping"),
        (rb"GET " + version + rb"/version", "version"),
        (rb"GET " + version + rb"/containers/[^/]+/json(\?.*)?", "inspect"),
        (rb"POST " + version + rb"/containers/[^/]+/exec", "exec-create"),
    ):
        recording = Recording.load(name)
        yield pattern, recording.encode(recording.pieces)
    yield rb"GET " + version + rb"/containers/json(\?.*)?", listing()


class _Connection:
    """A socket and what has been read from it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def read_head(self) -> bytes:
        """The next request up to its empty line; empty at the end of the connection."""
        while _HEAD_END not in self._buffer:
            data = self.sock.recv(BLOCK)
            if not data:
                return b""
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(_HEAD_END)
        return head + _HEAD_END

    def drop_body(self, head: bytes) -> None:
        """Receive the body that belongs to a head, as fast as it comes."""
        if b"transfer-encoding: chunked" in head.lower():
            # Nothing that is uploaded here contains the end mark.
            tail = self._buffer[-5:]
            room = bytearray(1024 * 1024)
            while tail != LAST_CHUNK:
                size = self.sock.recv_into(room)
                if not size:
                    raise ConnectionResetError
                tail = (tail + room[max(0, size - 5) : size])[-5:]
            self._buffer = b""
            return
        missing = _length(head) - len(self._buffer)
        self._buffer = b""
        while missing > 0:
            missing -= len(self._receive())

    def read_body(self, head: bytes) -> bytes:
        """Receive the body that belongs to a head, and take its framing off."""
        pieces = [self._buffer]
        if b"transfer-encoding: chunked" in head.lower():
            while not b"".join(pieces[-2:]).endswith(LAST_CHUNK):
                pieces.append(self._receive())
            body = b"".join(_dechunk(b"".join(pieces)))
        else:
            while sum(map(len, pieces)) < _length(head):
                pieces.append(self._receive())
            body = b"".join(pieces)
        self._buffer = b""
        return body

    def _receive(self) -> bytes:
        data = self.sock.recv(1024 * 1024)
        if not data:
            raise ConnectionResetError
        return data


def _length(head: bytes) -> int:
    match = re.search(rb"(?i)content-length: (\d+)", head)
    return int(match[1]) if match else 0


def _dechunk(data: bytes) -> Iterator[bytes]:
    at = 0
    while True:
        end = data.index(b"\r\n", at)
        size = int(data[at:end], 16)
        if not size:
            return
        yield data[end + 2 : end + 2 + size]
        at = end + 4 + size


class _Turns:
    """Sends to many connections in turn, from one thread, with a pause after a few writes."""

    def __init__(self, clients: int, pause: float) -> None:
        self._clients = clients
        self._pause = pause
        self._socks: list[socket.socket] = []
        self._lock = Lock()
        self._done = Event()

    def join(self, sock: socket.socket, writes: list[bytes]) -> None:
        """Take part; returns when everything has been sent to everybody."""
        sock.sendall(writes[0])
        with self._lock:
            self._socks.append(sock)
            complete = len(self._socks) == self._clients
        if complete:
            self._send_all(writes[1:])
            self._done.set()
        self._done.wait()

    def _send_all(self, writes: Iterable[bytes]) -> None:
        due = time.perf_counter()
        for write in writes:
            for at in range(0, self._clients, _PACE_BURST):
                due += self._pause
                if (early := due - time.perf_counter()) > 0.0:
                    time.sleep(early)
                for sock in self._socks[at : at + _PACE_BURST]:
                    sock.sendall(write)


# -- the process


def main() -> None:
    """Serve on the Unix socket named as the argument until standard input ends."""
    path = Path(sys.argv[1])
    replay = Replay()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1024)
        Thread(target=_accept, args=(listener, replay), daemon=True).start()
        for line in sys.stdin:
            replay.set(Script(**json.loads(line)))
            print("ready", flush=True)
    path.unlink()


def _accept(listener: socket.socket, replay: Replay) -> None:
    while True:
        sock, _ = listener.accept()
        Thread(target=replay.serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
