"""What a fuzz target is, and what the targets share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeVar, cast

import attrs

from anydocker.errors import DockerError
from tests.helpers import Decoder, decode, split

__all__ = ("Outcome", "Target", "body_of", "each_way", "outcome", "recordings", "seed", "smaller")

T = TypeVar("T")

# Bytes of a seed: what is found in long inputs is found in short ones, and sooner.
_SEED_SIZE = 1500
# Bytes of a stream that is also tried one by one.
_SHORT = 200


@attrs.frozen
class Target:
    """
    What is fuzzed.

    Attributes:
        run: Takes an input, and raises if anything is wrong.
        seeds: Inputs to begin with.
        words: What is worth to be put into one.
    """

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...] = ()
    words: tuple[bytes, ...] = ()


@attrs.frozen
class Outcome:
    """
    What a decoder made of a stream.

    Attributes:
        values: What it gave.
        error: What it raised, be it at the end, if anything.
        leftover: What it did not take.
    """

    values: list[Any]
    error: DockerError | None
    leftover: bytes = b""

    def same_as(self, other: Outcome) -> bool:
        """Whether it is the same, errors by their class."""
        return (self.values, type(self.error), self.leftover) == (other.values, type(other.error), other.leftover)


class _Ending(Protocol):
    @property
    def ended(self) -> bool: ...

    @property
    def leftover(self) -> bytes: ...


def outcome(decoder: Decoder[Any], pieces: list[bytes]) -> Outcome:
    """What becomes of a stream that ends with its pieces; a decoder that knows its own end gets no more behind that."""
    values: list[Any] = []
    for index, piece in enumerate(pieces):
        fresh, error = decode(decoder, [piece])
        values += fresh
        if error is not None:
            return Outcome(values, error)
        if getattr(decoder, "ended", False):
            leftover = cast("_Ending", decoder).leftover
            return Outcome(values, None, leftover + b"".join(pieces[index + 1 :]))
    try:
        rest = decoder.receive_eof()
    except DockerError as exc:
        return Outcome(values, exc)
    return Outcome(values + (rest if isinstance(rest, list) else []), None)


def each_way(data: bytes) -> tuple[bytes, list[list[bytes]]]:
    """
    A stream, and the ways in which it arrives: whole, in the input's own pieces, and one by one if it is short.

    An input is the number of its borders, the borders, and the stream.
    """
    count = data[0] % 8 if data else 0
    borders, stream = data[1 : 1 + count], data[1 + count :]
    ways = [split(stream, ()), split(stream, [border / 255 for border in borders])]
    if len(stream) <= _SHORT:
        ways.append([stream[i : i + 1] for i in range(len(stream))])
    return stream, ways


def seed(stream: bytes) -> tuple[bytes, bytes]:
    """Two inputs with this stream: whole, and in three pieces."""
    stream = stream[:_SEED_SIZE]
    return b"\0" + stream, b"\2\x55\xaa" + stream


def recordings() -> Iterator[bytes]:
    """What an engine has answered, head and all."""
    for path in sorted((Path(__file__).parent.parent / "recordings").glob("*.http")):
        yield path.read_bytes()


def body_of(answer: bytes) -> bytes:
    """What stands behind the head, in its chunks if it has some."""
    return answer.partition(b"\r\n\r\n")[2]


@contextmanager
def smaller(module: ModuleType, **limits: int) -> Generator[None]:
    """Lower the limits of a module, so that an input of some hundred bytes reaches them."""
    before = {name: getattr(module, name) for name in limits}
    for name, value in limits.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def joined(values: Iterable[bytes]) -> bytes:
    """The payload, whatever pieces it came in."""
    return b"".join(values)
