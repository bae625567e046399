from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker._wire.versions import CEILING, FLOOR, ApiVersion, negotiate
from anydocker.errors import UnsupportedByEngine

numbers = st.integers(0, 9999)
versions = st.builds(ApiVersion, numbers, numbers)


@given(versions)
def test_text_and_back(version: ApiVersion) -> None:
    assert ApiVersion.parse(str(version)) == version


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "1.", ".45", "v1.45", "1.45.0", "1,45", "1.45 ", " 1.45", "1.45\n", "-1.45", "1.-4", "+1.4",
        "1.045", "01.45", "1.4e1", "١.٤", "latest", "1.12345", "1/45",
    ],
)  # fmt: skip
def test_anything_else_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="is not an API version") as caught:
        ApiVersion.parse(text)
    assert repr(text) in str(caught.value)


@given(st.lists(versions))
def test_order_is_by_number(many: list[ApiVersion]) -> None:
    assert sorted(many) == sorted(many, key=lambda version: (version.major, version.minor))


def test_order_is_not_that_of_text() -> None:
    assert ApiVersion(1, 9) < ApiVersion(1, 41) < ApiVersion(2, 0)


def test_is_a_value() -> None:
    version = ApiVersion(1, 45)
    assert {version: "x"}[ApiVersion(1, 45)] == "x"
    assert copy.copy(version) == pickle.loads(pickle.dumps(version)) == version


def test_the_range() -> None:
    assert (str(FLOOR), str(CEILING)) == ("1.40", "1.55")


@pytest.mark.parametrize(
    ("engine", "engine_floor", "spoken"),
    [
        ("1.40", None, "1.40"),
        ("1.41", "1.12", "1.41"),
        ("1.55", "1.40", "1.55"),
        ("1.56", "1.40", "1.55"),
        ("1.56", "1.55", "1.55"),
        ("2.0", None, "1.55"),
    ],
)
def test_speaks_the_highest_that_both_know(engine: str, engine_floor: str | None, spoken: str) -> None:
    floor = None if engine_floor is None else ApiVersion.parse(engine_floor)
    assert negotiate(ApiVersion.parse(engine), floor) == ApiVersion.parse(spoken)


def test_an_old_engine_wants_an_upgrade() -> None:
    with pytest.raises(UnsupportedByEngine, match=r"API 1\.39 .* needs 1\.40 .*upgrade the engine"):
        negotiate(ApiVersion(1, 39))


def test_a_new_engine_wants_a_newer_anydocker() -> None:
    with pytest.raises(UnsupportedByEngine, match=r"API 1\.56 or newer.* 1\.55 at most.*upgrade anydocker"):
        negotiate(ApiVersion(1, 60), ApiVersion(1, 56))


@given(versions, st.none() | versions)
def test_never_speaks_what_one_side_does_not(engine: ApiVersion, engine_floor: ApiVersion | None) -> None:
    try:
        spoken = negotiate(engine, engine_floor)
    except UnsupportedByEngine:
        assert engine < FLOOR or (engine_floor is not None and engine_floor > CEILING)
    else:
        assert FLOOR <= spoken <= CEILING
        assert spoken <= engine
