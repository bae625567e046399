"""
The parts of a request's target: query strings, filters, path segments, timestamps.

The engine decodes a path and then cleans it: ``a%2F..%2Fb`` means ``b`` to it, and an empty segment vanishes
(it answers with a redirect). So escaping alone does not keep a name inside its segment, and
:func:`path_segment` refuses what cleaning would change. Everything else is percent-encoded, with ``%20`` for
a space in paths and queries alike.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import quote

__all__ = (
    "FilterScalar",
    "FilterValue",
    "Filters",
    "QueryScalar",
    "QueryValue",
    "encode_filters",
    "encode_nanoseconds",
    "encode_query",
    "encode_timestamp",
    "nanoseconds",
    "path_segment",
)

QueryScalar: TypeAlias = str | bool | int | float
QueryValue: TypeAlias = QueryScalar | Sequence[QueryScalar] | None

FilterScalar: TypeAlias = str | bool | int
FilterValue: TypeAlias = FilterScalar | Sequence[FilterScalar] | Mapping[str, str | None]
Filters: TypeAlias = Mapping[str, FilterValue]

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND: Final = 1_000_000_000  # in nanoseconds

# RFC 3986 lets these stand in a path as they are, and image names are full of them.
_SAFE_IN_PATH: Final = ":@"


def encode_query(query: Mapping[str, QueryValue]) -> str:
    """
    Encode a query string, without its question mark.

    Args:
        query: Values by key. None is left out, True is ``1`` and False ``0``, a sequence repeats its key.

    Returns:
        The string, in the order of the mapping; empty when nothing is left.

    Raises:
        TypeError: A value is of another type; the message names its key.
        ValueError: A number is infinite or NaN.
    """
    return "&".join(f"{quote(key, safe='')}={quote(text, safe='')}" for key, text in _pairs(query))


def _pairs(query: Mapping[str, QueryValue]) -> Iterator[tuple[str, str]]:
    for key, value in query.items():
        match value:
            case None:
                continue
            case [*items]:
                for item in items:
                    yield key, _query_text(item, key)
            case _:
                yield key, _query_text(value, key)


def _query_text(value: QueryScalar, key: str) -> str:
    match value:
        case str():
            return value
        case bool():
            return str(int(value))
        case int():
            return str(value)
        case float():
            return repr(_finite(value, key))
        case _:
            raise _type_error(key, "str, bool, int, float or a sequence of them", value)


def encode_filters(filters: Filters | None) -> str | None:
    """
    Encode filters as the JSON document that the engine takes as its ``filters`` parameter.

    Args:
        filters: Values by filter. A sequence means any of its values, a bool is ``true`` or ``false``, and a
            mapping such as ``{"tier": "db", "public": None}`` gives ``tier=db`` and ``public``, as labels
            want it. A filter with no values is left out: it would mean the same to the engine.

    Returns:
        The document, such as ``{"status":["running","paused"]}``, or None when there is nothing to filter by.

    Raises:
        TypeError: A value is of another type; the message names its filter.
    """
    match filters:
        case None:
            return None
        case Mapping():
            pass
        case _:
            raise _type_error("filters", "a mapping such as {'label': 'a'}", filters)
    by_name = {name: _filter_values(value, f"filter {name!r}") for name, value in filters.items()}
    document = {name: values for name, values in by_name.items() if values}
    return json.dumps(document, separators=(",", ":")) if document else None


def _filter_values(value: FilterValue, what: str) -> list[str]:
    match value:
        case Mapping():
            return [_label(key, text, what) for key, text in value.items()]
        case [*items]:
            return [_filter_text(item, what) for item in items]
        case _:
            return [_filter_text(value, what)]


def _label(key: str, text: str | None, what: str) -> str:
    match key, text:
        case str(), None:
            return key
        case str(), str():
            return f"{key}={text}"
        case _:
            raise _type_error(what, "a mapping of str to str or None", (key, text))


def _filter_text(value: FilterScalar, what: str) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case _:
            raise _type_error(what, "str, bool, int, a sequence of them or a mapping", value)


def path_segment(value: str, what: str, *, allow_slash: bool = False) -> str:
    """
    Make an id or a name fit to stand in a path.

    Args:
        value: The id or name.
        what: What it is, for the message of an error: ``"container"``, ``"image"``.
        allow_slash: Leave slashes as they are, for image names. Otherwise they are escaped too.

    Returns:
        The percent-encoded text.

    Raises:
        TypeError: It is not a str.
        ValueError: It is empty or blank, has a control character, or has a part between slashes that is
            empty, ``.`` or ``..``, which would lead to another path.
    """
    match value:
        case str():
            return _segment(value, what, _SAFE_IN_PATH + "/" * allow_slash)
        case _:
            raise _type_error(what, "str", value)


@lru_cache(maxsize=256)
def _segment(value: str, what: str, safe: str) -> str:
    # Most calls in a row are about few containers.
    _check_segment(value, what)
    return quote(value, safe=safe)


def _check_segment(value: str, what: str) -> None:
    if not value.strip():
        problem = "is blank" if value else "is empty"
    elif any(char < " " or "\x7f" <= char < "\xa0" for char in value):
        problem = "has a control character"
    elif not {"", ".", ".."}.isdisjoint(value.split("/")):
        problem = "would lead to another path: no part of it between slashes may be empty, '.' or '..'"
    else:
        return
    msg = f"{what}: {value!r} {problem}"
    raise ValueError(msg)


def encode_timestamp(value: float | dt.datetime, what: str) -> str:
    """
    Encode a point in time as the engine takes it: Unix seconds, with up to nine decimals.

    Args:
        value: Unix seconds, or a datetime that knows its time zone.
        what: The name of the argument, for the message of an error.

    Returns:
        Such as ``1700000000`` or ``1700000000.25``: no trailing zeros, no exponent, no noise of binary
        fractions.

    Raises:
        TypeError: It is neither a number nor a datetime. A bool is no number.
        ValueError: It is before 1970, infinite or NaN, or a datetime without a time zone.
    """
    match value:
        case int() if not isinstance(value, bool):
            return str(_not_negative(value, what))
        case float():
            return _float_text(_not_negative(_finite(value, what), what))
        case dt.datetime():
            return _datetime_text(value, what)
        case _:
            raise _type_error(what, "Unix seconds (int or float) or an aware datetime", value)


def encode_nanoseconds(time: int) -> str:
    """Encode a point in time, in nanoseconds since 1970, as :func:`encode_timestamp` does."""
    seconds, fraction = divmod(time, _SECOND)
    return _without_zeros(f"{seconds}.{fraction:09d}")


def nanoseconds(timestamp: str) -> int:
    """The nanoseconds since 1970 of what :func:`encode_timestamp` made."""
    seconds, _, fraction = timestamp.partition(".")
    return int(seconds) * _SECOND + int(fraction.ljust(9, "0"))


def _float_text(seconds: float) -> str:
    # The shortest text that gives the float back has no noise, but has an exponent at both ends of the scale.
    text = repr(round(abs(seconds), 9))
    return _without_zeros(f"{seconds:.9f}" if "e" in text else text)


def _datetime_text(value: dt.datetime, what: str) -> str:
    if value.utcoffset() is None:
        msg = f"{what}: {value!r} has no time zone; make it aware, with .astimezone() if it is local time"
        raise ValueError(msg)
    since = value - _EPOCH
    seconds = _not_negative(since // dt.timedelta(seconds=1), what)
    return _without_zeros(f"{seconds}.{since.microseconds:06d}")


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".")


def _not_negative(value: float, what: str) -> float:
    if value >= 0:
        return value
    msg = f"{what}: {value!r} is negative, a time before 1970"
    raise ValueError(msg)


def _finite(value: float, what: str) -> float:
    if math.isfinite(value):
        return value
    msg = f"{what}: {value!r} is not a finite number"
    raise ValueError(msg)


def _type_error(what: str, expected: str, value: object) -> TypeError:
    return TypeError(f"{what}: expected {expected}, not {value!r} ({type(value).__name__})")
