"""What tests share: bytes, pieces of them, and what a decoder makes of those; a user without rights; limits."""

from __future__ import annotations

import io
import pickle
import sys
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from functools import wraps
from hashlib import sha512
from itertools import pairwise
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast

import pytest
from anyio import fail_after, move_on_after, run_process
from hypothesis import strategies as st

from anydocker.errors import ConnectError, DockerError

__all__ = (
    "CountingPattern",
    "Decoder",
    "Pieces",
    "borders",
    "cut",
    "decode",
    "keeps_raising",
    "refused_as_nobody",
    "retained",
    "split",
    "tar_of",
    "varied",
    "ways",
    "with_interruptions",
    "within",
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# Places to cut at, as fractions of a stream's length: so that one set fits every stream.
borders: st.SearchStrategy[list[float]] = st.lists(st.floats(0, 1), max_size=12)


class Decoder(Protocol[T_co]):
    @property
    def error(self) -> DockerError | None: ...

    def receive_data(self, data: bytes, /) -> Iterable[T_co]: ...

    def receive_eof(self) -> object: ...


def split(data: bytes, at: Iterable[float]) -> list[bytes]:
    """The stream in pieces, none of them empty."""
    ends = sorted({0, len(data), *(round(border * len(data)) for border in at)})
    return [data[start:stop] for start, stop in pairwise(ends)]


def ways(data: bytes) -> Iterator[list[bytes]]:
    """The stream whole, byte by byte, and in halves with every border between them."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for border in range(1, len(data)):
        yield [data[:border], data[border:]]


def cut(data: bytes, size: int = 1000) -> list[bytes]:
    """The stream in pieces of a size; the last may be shorter."""
    return [data[at : at + size] for at in range(0, len(data), size)]


class Pieces:
    """A stream of bytes in pieces: an asynchronous iterator that is no generator."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter(pieces)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


def varied(size: int) -> bytes:
    """Bytes, of which no two parts are alike, so that one lost, doubled or misplaced shows."""
    return b"".join(sha512(n.to_bytes(4, "big")).digest() for n in range(size // 64))


def tar_of(members: Mapping[str, bytes | str], *, owner: int = 0) -> bytes:
    """A tar of files with this content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.gid = len(data), owner, owner
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def decode(decoder: Decoder[T_co], pieces: Iterable[bytes]) -> tuple[list[T_co], DockerError | None]:
    """What comes out, and the error behind it: as a stream hands it on, values first."""
    out: list[T_co] = []
    for piece in pieces:
        try:
            fresh = list(decoder.receive_data(piece))
        except DockerError as exc:
            return out, exc
        out += fresh
        if decoder.error is not None:
            assert fresh, "an error with nothing before it is raised at once"
            return out, decoder.error
    return out, None


def keeps_raising(decoder: Decoder[object], error: DockerError, good: bytes) -> None:
    """Assert that there is no way around an error: not by more data, were it good, nor by the end."""
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            decoder.receive_data(good)
        assert caught.value is error
        with pytest.raises(type(error)) as caught:
            decoder.receive_eof()
        assert caught.value is error


def retained(value: object) -> int:
    """How many bytes, characters and entries an object holds on to."""
    match value:
        case bytes() | bytearray() | str():
            return len(value)
        case Mapping():
            entries = cast("Mapping[object, object]", value)
            return sum(1 + retained(part) for pair in entries.items() for part in pair)
        case list() | tuple():
            return sum(1 + retained(part) for part in cast("list[object] | tuple[object]", value))
        case _ if hasattr(value, "__dict__") and not isinstance(value, (type, BaseException)):
            return retained(vars(value))
        case _:
            return 0


# What is needed is imported at once: nobody need not be able to read where Python is installed.
_AS_NOBODY: Final = """
import os, pickle, pwd, sys
import anydocker, anydocker._transport.pool, anyio

async def main():
    nobody = pwd.getpwnam("nobody")
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    try:
        async with anydocker.connect(sys.argv[1]):
            sys.exit("connected")
    except anydocker.ConnectError as exc:
        sys.stdout.buffer.write(pickle.dumps(exc))

anyio.run(main, backend=sys.argv[2])
"""


async def refused_as_nobody(host: str, backend: str) -> ConnectError:
    """What a user without any rights gets who connects."""
    done = await run_process((sys.executable, "-c", _AS_NOBODY, host, backend), check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    error: ConnectError = pickle.loads(done.stdout)
    return error


AsyncTest: TypeAlias = Callable[..., Coroutine[Any, Any, None]]


def within(seconds: float, test: AsyncTest) -> AsyncTest:
    """The same test, cancelled and failed if it takes longer."""

    @wraps(test)
    async def run(**arguments: Any) -> None:
        with fail_after(seconds):
            await test(**arguments)

    return run


async def with_interruptions(receive: Callable[[], Awaitable[T]]) -> T:
    """What ``receive`` returns. It is cancelled and called again, with more time each time, or it might never end."""
    seconds = 0.0002
    while True:
        with move_on_after(seconds):
            return await receive()
        seconds *= 2


class CountingPattern:
    """A pattern that counts how many bytes its searches look at."""

    def __init__(self, pattern: Any) -> None:
        self._pattern = pattern
        self.looked_at = 0

    def search(self, data: bytes, pos: int) -> Any:
        match = self._pattern.search(data, pos)
        self.looked_at += (match.end() if match else len(data)) - pos
        return match
