"""
BuildKit's trace of a build: bytes of protobuf in, values out.

Each event of the trace is one message ``StatusResponse`` of BuildKit's control API, in base64. A message is a row of
fields; each begins with a number that holds its own number and the form of its value, of which there are four: a
varint (seven bits to a byte, the lowest first), four bytes, eight bytes, or a length with so many bytes, which hold
bytes, text or another message. A field that is not there has its zero value, the last one of several counts unless the
field is a list, and a field whose number nobody knows is passed over.

The numbers are those of ``moby.buildkit.v1`` (``StatusResponse``, ``Vertex``, ``VertexStatus``, ``VertexLog``,
``VertexWarning``) and never change. What is called a vertex there is called a step here.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

import attrs

from anydocker.errors import ProtocolError

__all__ = ("BuildLog", "BuildStatus", "BuildStep", "BuildTrace", "BuildWarning", "decode_trace")


@attrs.frozen(kw_only=True)
class BuildStep:
    """
    A step of a build, as far as it has come. It is told of again and again: when it begins, and when it ends.

    Attributes:
        digest: What it is known by; the steps, logs and warnings that belong to it name it.
        name: What it does, such as ``"[2/2] RUN make"``.
        inputs: The digests of the steps that it waits for.
        cached: Whether its result was there already.
        started: When it began; None if it has not.
        completed: When it ended; None if it has not.
        error: Why it failed; empty if it has not.
    """

    digest: str
    name: str = ""
    inputs: tuple[str, ...] = ()
    cached: bool = False
    started: datetime | None = None
    completed: datetime | None = None
    error: str = ""


@attrs.frozen(kw_only=True)
class BuildStatus:
    """
    How far a part of a step is, such as a layer that is pulled.

    Attributes:
        id: What the part is known by.
        step: The digest of its step.
        name: What it is.
        current: How far it is, mostly in bytes.
        total: How far it is to go; 0 where that is not known.
        timestamp: When this was so.
        started: When it began.
        completed: When it ended; None if it has not.
    """

    id: str
    step: str
    name: str = ""
    current: int = 0
    total: int = 0
    timestamp: datetime | None = None
    started: datetime | None = None
    completed: datetime | None = None


@attrs.frozen(kw_only=True)
class BuildLog:
    """
    Output of a step. It may end inside a line, or inside a character.

    Attributes:
        step: The digest of the step.
        stream: Where it was written to.
        data: The output.
        timestamp: When it was written.
    """

    step: str
    stream: Literal["stdout", "stderr"]
    data: bytes
    timestamp: datetime | None = None


@attrs.frozen(kw_only=True)
class BuildWarning:
    """
    Something about the Dockerfile that is better changed.

    Attributes:
        step: The digest of the step it is about; may be empty.
        text: What it is, in a line.
        detail: More about it, line by line.
        url: Where to read about it; may be empty.
        filename: The file it is about; may be empty.
        line: The line there, counted from 1; None where that is not known.
        level: How bad it is; 1 is usual.
    """

    step: str
    text: str
    detail: tuple[str, ...] = ()
    url: str = ""
    filename: str = ""
    line: int | None = None
    level: int = 0


@attrs.frozen
class BuildTrace:
    """
    What one event of BuildKit's trace says.

    Attributes:
        steps: Steps that are new, or have come further.
        statuses: How far parts of steps are.
        logs: Output of steps.
        warnings: What is better changed.
    """

    steps: tuple[BuildStep, ...] = ()
    statuses: tuple[BuildStatus, ...] = ()
    logs: tuple[BuildLog, ...] = ()
    warnings: tuple[BuildWarning, ...] = ()


def decode_trace(text: object) -> BuildTrace:
    """
    Decode an event of the trace.

    Args:
        text: A ``StatusResponse`` in base64, as the engine puts it into a JSON document.

    Raises:
        ProtocolError: It is no text, no base64, or no such message.
    """
    try:
        data = b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        data = None
    if data is None:
        raise ProtocolError("an event of BuildKit's trace is not base64")
    found = _fields_of(data, {1: _step, 2: _status, 3: _log, 4: _warning})
    return BuildTrace(*(tuple(found[number]) for number in (1, 2, 3, 4)))


T = TypeVar("T")

# A value as it stands in a message: a number, or bytes.
_Value = int | bytes
_Convert = Callable[[_Value], Any]

_VARINT: Final = 0
_LENGTH: Final = 2
# The forms of a value, and how many bytes it has where that is fixed.
_FORMS: Final = {_VARINT: 0, 1: 8, _LENGTH: 0, 5: 4}
# Bytes of a varint: ten times seven bits hold 64.
_MAX_VARINT: Final = 10

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _step(value: _Value) -> BuildStep:
    found = _fields_of(value, {1: _text, 2: _text, 3: _text, 4: _bool, 5: _time, 6: _time, 7: _text})
    return BuildStep(
        digest=_last(found[1], ""),
        inputs=tuple(found[2]),
        name=_last(found[3], ""),
        cached=_last(found[4], False),
        started=_last(found[5], None),
        completed=_last(found[6], None),
        error=_last(found[7], ""),
    )


def _status(value: _Value) -> BuildStatus:
    found = _fields_of(value, {1: _text, 2: _text, 3: _text, 4: _int, 5: _int, 6: _time, 7: _time, 8: _time})
    return BuildStatus(
        id=_last(found[1], ""),
        step=_last(found[2], ""),
        name=_last(found[3], ""),
        current=_last(found[4], 0),
        total=_last(found[5], 0),
        timestamp=_last(found[6], None),
        started=_last(found[7], None),
        completed=_last(found[8], None),
    )


def _log(value: _Value) -> BuildLog:
    found = _fields_of(value, {1: _text, 2: _time, 3: _int, 4: _bytes})
    return BuildLog(
        step=_last(found[1], ""),
        timestamp=_last(found[2], None),
        stream="stderr" if _last(found[3], 1) == 2 else "stdout",
        data=_last(found[4], b""),
    )


def _warning(value: _Value) -> BuildWarning:
    found = _fields_of(value, {1: _text, 2: _int, 3: _text, 4: _text, 5: _text, 6: _filename, 7: _first_line})
    return BuildWarning(
        step=_last(found[1], ""),
        level=_last(found[2], 0),
        text=_last(found[3], ""),
        detail=tuple(found[4]),
        url=_last(found[5], ""),
        filename=_last(found[6], ""),
        line=found[7][0] if found[7] else None,
    )


def _filename(value: _Value) -> str:
    return _last(_fields_of(value, {1: _text})[1], "")


def _first_line(value: _Value) -> int:
    """The line of the first of a range's two positions."""
    starts = _fields_of(value, {1: _line})[1]
    return _last(starts, 0)


def _line(value: _Value) -> int:
    return _last(_fields_of(value, {1: _int})[1], 0)


def _time(value: _Value) -> datetime:
    found = _fields_of(value, {1: _int, 2: _int})
    try:
        return _EPOCH + timedelta(seconds=_last(found[1], 0), microseconds=_last(found[2], 0) // 1000)
    except OverflowError as exc:
        raise ProtocolError("a time in BuildKit's trace is out of range") from exc


def _int(value: _Value) -> int:
    if not isinstance(value, int):
        raise ProtocolError("a number in BuildKit's trace has the form of bytes")
    return value - (1 << 64) if value >> 63 else value


def _bool(value: _Value) -> bool:
    return _int(value) != 0


def _bytes(value: _Value) -> bytes:
    if not isinstance(value, bytes):
        raise ProtocolError("bytes in BuildKit's trace have the form of a number")
    return value


def _text(value: _Value) -> str:
    return _bytes(value).decode(errors="replace")


def _last(values: list[Any], default: T) -> T:
    last: T = values[-1] if values else default
    return last


def _fields_of(message: _Value, converts: Mapping[int, _Convert]) -> dict[int, list[Any]]:
    """The values of those fields of a message that there is a conversion for."""
    found: dict[int, list[Any]] = {number: [] for number in converts}
    for number, value in _fields(_bytes(message)):
        if number in converts:
            found[number].append(converts[number](value))
    return found


def _fields(message: bytes) -> Iterator[tuple[int, _Value]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, form = key >> 3, key & 7
        if number == 0 or form not in _FORMS:
            raise ProtocolError(f"BuildKit's trace has a field {number} of form {form}, which cannot be")
        if form == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        size, at = _varint(message, at) if form == _LENGTH else (_FORMS[form], at)
        if size > len(message) - at:
            raise ProtocolError("a field of BuildKit's trace is cut short")
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A varint, and where the next thing begins."""
    value = 0
    for index, byte in enumerate(message[at : at + _MAX_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + index + 1
    raise ProtocolError("a number in BuildKit's trace is cut short, or longer than 64 bits")
