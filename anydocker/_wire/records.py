"""
Named tuples that are made quickly.

A value is made for every flush of a process, and the generated ``__new__`` of a NamedTuple is most of its cost. A
subclass of tuple without a ``__new__`` of its own is made from a pair in half the time, so that is what a record is.
Who calls the class, with a value for each field, goes through the generated function all the same: as the metaclass's
``__call__``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ("maker", "record")

T = TypeVar("T")


def record(named_tuple: type[T]) -> type[T]:
    """Class decorator: the same named tuple, without its ``__new__``."""
    # __getnewargs__ goes with __new__; tuple has its own, for pickle and copy.
    namespace = {name: value for name, value in vars(named_tuple).items() if name not in {"__new__", "__getnewargs__"}}
    metaclass = type("RecordType", (type,), {"__call__": named_tuple.__new__})
    return cast("type[T]", metaclass(named_tuple.__name__, (tuple,), namespace))


def maker(record_type: type[T]) -> Callable[[tuple[Any, ...]], T]:
    """What makes a record of a tuple of its fields."""
    return cast("Callable[[tuple[Any, ...]], T]", cast("Any", type.__call__).__get__(record_type))
