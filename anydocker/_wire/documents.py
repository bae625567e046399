"""
Documents of an engine, read with care.

What an engine sends is JSON, and of any shape until it has been looked at. What a call cannot do without is taken out
by :func:`value_at` and its kin: a value that is missing or of another type is an error that names the place and what
was expected. What is for information is read by :func:`section_at` and its kin, which have an empty value for all that.
"""

from __future__ import annotations

import re
from reprlib import Repr
from typing import Any, Final, TypeVar

from anydocker._wire.query import path_segment
from anydocker.errors import ProtocolError

__all__ = (
    "array_at",
    "name_at",
    "number_at",
    "objects_at",
    "section_at",
    "shown",
    "text_at",
    "texts_at",
    "value_at",
)

T = TypeVar("T")

# Characters of a document that an error shows.
_SHOWN: Final = 80
# What can stand in a path as it is, which is what all ids are.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_-]*")
# JSON has no bounds; Go's numbers have, and so do floats.
_NUMBERS: Final = range(-(2**63), 2**64)
_REPR: Final = Repr()
_REPR.maxlevel = 2
_NAMES: Final[dict[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a whole number",
    bool: "true or false",
}
# To a type checker a dict that comes from nowhere is one of unknown things; one of Any is what JSON holds.
_OBJECT: Final[type[Any]] = dict
_ARRAY: Final[type[Any]] = list


def value_at(document: Any, *keys: str, kind: type[T]) -> T:
    """
    The value behind these keys of a document; without keys, the document itself.

    Raises:
        ProtocolError: There is none of this kind; the message says where it was expected.
    """
    value = _behind(document, keys)
    # JSON has no subclasses, but to Python true is a number.
    if type(value) is not kind:
        raise _unexpected(document, keys, kind, value)
    return value


def objects_at(document: Any, *keys: str) -> list[dict[str, Any]]:
    """
    The objects in the array behind these keys; none where it is missing or null, as Go writes an empty one.

    Raises:
        ProtocolError: It is no array, or there is something else in it.
    """
    return _items(document, keys, dict, "objects")


def texts_at(document: Any, *keys: str) -> list[str]:
    """
    The strings in the array behind these keys; none where it is missing or null, as Go writes an empty one.

    Raises:
        ProtocolError: It is no array, or there is something else in it.
    """
    return _items(document, keys, str, "strings")


def number_at(document: Any, *keys: str) -> int:
    """The whole number of 64 bits behind these keys; 0 where there is none, or anything else."""
    value = _behind(document, keys)
    return value if type(value) is int and value in _NUMBERS else 0


def text_at(document: Any, *keys: str) -> str:
    """The string behind these keys; empty where there is none, or anything else."""
    value = _behind(document, keys)
    return value if type(value) is str else ""


def section_at(document: Any, *keys: str) -> dict[str, Any]:
    """The object behind these keys; empty where there is none, or anything else."""
    value = _behind(document, keys)
    return value if type(value) is _OBJECT else {}


def array_at(document: Any, *keys: str) -> list[Any]:
    """The array behind these keys; empty where there is none, or anything else."""
    value = _behind(document, keys)
    return value if type(value) is _ARRAY else []


def name_at(document: Any, key: str = "Id", *, allow_slash: bool = False) -> str:
    """
    The id or name behind a key: one that can stand in a path.

    Raises:
        ProtocolError: There is none.
    """
    name = document.get(key) if type(document) is _OBJECT else None
    if type(name) is not str:
        raise _unexpected(document, (key,), str, name)
    if _PLAIN.fullmatch(name):
        return name
    try:
        path_segment(name, key, allow_slash=allow_slash)
    except ValueError as exc:
        raise ProtocolError(f"expected an id or a name at {key!r}, not {shown(name)}") from exc
    return name


def _behind(document: Any, keys: tuple[str, ...]) -> Any:
    """What stands behind these keys; None where there is nothing."""
    value: Any = document
    for key in keys:
        value = value.get(key) if type(value) is _OBJECT else None
    return value


def _items(document: Any, keys: tuple[str, ...], kind: type[T], what: str) -> list[T]:
    values: Any = document
    for depth, key in enumerate(keys):
        if type(values) is not _OBJECT:
            raise _unexpected(document, keys[:depth], dict, values)
        values = values.get(key)
    if values is None:
        return []
    if type(values) is not _ARRAY:
        raise _unexpected(document, keys, list, values)
    for value in values:
        if type(value) is not kind:
            raise ProtocolError(f"expected an array of {what}{_place(keys)}, not one with {shown(value)}")
    checked: list[T] = values
    return checked


def _unexpected(document: Any, keys: tuple[str, ...], kind: type, value: object) -> ProtocolError:
    return ProtocolError(f"expected {_NAMES[kind]}{_place(keys)}, not {shown(value)}: {shown(document)}")


def _place(keys: tuple[str, ...]) -> str:
    return f" at {'.'.join(keys)!r}" if keys else ""


def shown(value: object) -> str:
    """The beginning of a value, for an error: a whole one may be too long, and too deep for ``repr()``."""
    return _REPR.repr(value)[:_SHOWN]
