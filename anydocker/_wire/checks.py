"""Arguments of a wrong type, refused by their names before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

__all__ = ("check_items", "check_text", "check_texts", "check_type")

T = TypeVar("T")


def check_type(what: str, value: object, expected: str, *kinds: type) -> None:
    """
    Refuse a value of another type; None passes.

    Args:
        what: The name of the argument, for the message.
        value: The value.
        expected: What it should be, in words.
        kinds: The types it may have. A bool is no number here.

    Raises:
        TypeError: It has none of them.
    """
    if value is None or (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))):
        return
    raise _wrong(what, value, expected)


def check_text(what: str, value: object) -> None:
    """
    Refuse what is no text.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, str):
        raise _wrong(what, value, "a str")


def check_items(what: str, values: object, expected: str, kind: type[T]) -> list[T]:
    """
    Make a list of a sequence; one text is none, although it could be iterated.

    Raises:
        TypeError: It cannot be iterated, or an item has another type.
    """
    if isinstance(values, (str, bytes)):
        name = type(values).__name__
        raise TypeError(f"{what} is a sequence, not one {name}: {what}=[...]")
    if not isinstance(values, Iterable):
        raise _wrong(what, values, f"a sequence of {expected}")
    items: list[Any] = [*values]
    for item in items:
        if not isinstance(item, kind):
            raise _wrong(what, item, expected)
    return items


def check_texts(what: str, values: object, *, or_none: bool = False) -> None:
    """
    Refuse what is no mapping of texts to texts; None passes, and as a value too if so wished.

    Raises:
        TypeError: It is none.
    """
    expected = "a mapping of str to str" + " or None" * or_none
    check_type(what, values, expected, Mapping)
    kinds = (str, type(None)) if or_none else (str,)
    for key, value in cast("Mapping[Any, Any]", values or {}).items():
        if not isinstance(key, str) or not isinstance(value, kinds):
            raise _wrong(what, {key: value}, expected)


def _wrong(what: str, value: object, expected: str) -> TypeError:
    return TypeError(f"{what}: expected {expected}, not {value!r} ({type(value).__name__})")
