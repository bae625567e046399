"""The targets of the fuzzer on what they begin with, and on what they once found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

every_target = pytest.mark.parametrize("name", TARGETS)


@every_target
def test_seeds(name: str) -> None:
    target = TARGETS[name]
    assert target.seeds
    for data in target.seeds:
        for damaged in (data, data[:-1], data[: len(data) // 2], data.replace(b"\r", b"", 1), data + data):
            target.run(damaged)
    target.run(b"")


@every_target
@given(st.data())
def test_words(name: str, data: st.DataObject) -> None:
    words = st.sampled_from([*TARGETS[name].words, *map(bytes, [[0], [32], [58], [255]])])
    TARGETS[name].run(b"".join(data.draw(st.lists(words, max_size=12))))
