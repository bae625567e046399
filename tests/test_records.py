"""Records are named tuples in every respect but the cost of making one."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any, NamedTuple

import pytest

import anydocker
from anydocker._wire.records import maker, record


class Plain(NamedTuple):
    """A pair."""

    name: str
    data: bytes


Quick = record(Plain)
QUICK = Quick("stdout", b"x")


def test_it_is_made_of_a_value_for_each_field() -> None:
    assert QUICK == Quick(name="stdout", data=b"x") == ("stdout", b"x") == maker(Quick)(("stdout", b"x"))
    assert type(QUICK) is Quick is type(maker(Quick)(("stdout", b"x")))
    assert str(inspect.signature(Quick)) == str(inspect.signature(Plain))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'data'"):
        eval("Quick('stdout')", {"Quick": Quick})


def test_it_behaves_as_the_named_tuple() -> None:
    assert repr(QUICK) == repr(Plain("stdout", b"x"))
    assert (QUICK.name, QUICK.data) == ("stdout", b"x")
    assert Quick.__doc__ == "A pair."
    assert QUICK._replace(data=b"y") == Quick("stdout", b"y")
    assert type(QUICK._replace(data=b"y")) is Quick
    assert QUICK._asdict() == {"name": "stdout", "data": b"x"}
    assert QUICK.__match_args__ == ("name", "data")
    with pytest.raises(AttributeError):
        setattr(QUICK, "name", "stderr")  # noqa: B010 - a checker would refuse the statement
    assert not hasattr(QUICK, "__dict__")


@pytest.mark.parametrize("value", [anydocker.Frame("stderr", b"x"), anydocker.Line("stdout", "x")], ids=type)
def test_the_values_of_streams_can_be_copied_and_pickled(value: Any) -> None:
    copies = [copy.copy(value), copy.deepcopy(value)]
    copies += [pickle.loads(pickle.dumps(value, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    assert copies == [value] * len(copies)
    assert {type(each) for each in copies} == {type(value)}
