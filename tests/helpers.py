"""What tests share: ways to cut a stream into pieces, and what a decoder makes of them; a limit on waiting."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from functools import wraps
from itertools import pairwise
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import pytest
from anyio import fail_after
from hypothesis import strategies as st

from anydocker.errors import DockerError

__all__ = ("CountingPattern", "Decoder", "borders", "decode", "keeps_raising", "retained", "split", "ways", "within")

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


AsyncTest: TypeAlias = Callable[..., Coroutine[Any, Any, None]]


def within(seconds: float, test: AsyncTest) -> AsyncTest:
    """The same test, cancelled and failed if it takes longer."""

    @wraps(test)
    async def run(**arguments: Any) -> None:
        with fail_after(seconds):
            await test(**arguments)

    return run


class CountingPattern:
    """A pattern that counts how many bytes its searches look at."""

    def __init__(self, pattern: Any) -> None:
        self._pattern = pattern
        self.looked_at = 0

    def search(self, data: bytes, pos: int) -> Any:
        match = self._pattern.search(data, pos)
        self.looked_at += (match.end() if match else len(data)) - pos
        return match
