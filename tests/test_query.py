from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker._wire.query import (
    QueryScalar,
    QueryValue,
    encode_filters,
    encode_query,
    encode_timestamp,
    path_segment,
)

text = st.text(st.characters(exclude_categories=["Cs"]))
names = text.filter(bool)


class TestQuery:
    @pytest.mark.parametrize(
        ("query", "encoded"),
        [
            ({}, ""),
            ({"all": True, "size": False}, "all=1&size=0"),
            ({"t": 10, "shift": -1, "rate": 0.5}, "t=10&shift=-1&rate=0.5"),
            ({"tag": None, "repo": ""}, "repo="),
            ({"names": ["a", "b"], "x": ("y",)}, "names=a&names=b&x=y"),
            ({"names": []}, ""),
            ({"name": "a b&c=d#e?f/g%h+i"}, "name=a%20b%26c%3Dd%23e%3Ff%2Fg%25h%2Bi"),
            ({"a/b": "c/d"}, "a%2Fb=c%2Fd"),
            ({"ü": "日本"}, "%C3%BC=%E6%97%A5%E6%9C%AC"),
            ({"mixed": [True, 2, "three"]}, "mixed=1&mixed=2&mixed=three"),
        ],
    )
    def test_encodes(self, query: dict[str, QueryValue], encoded: str) -> None:
        assert encode_query(query) == encoded

    @pytest.mark.parametrize("value", [b"raw", object(), {"a": "b"}, {1, 2}, [None], [["nested"]], [b"raw"]])
    def test_refuses_other_types_by_name(self, value: Any) -> None:
        with pytest.raises(TypeError, match=r"^platform: expected"):
            encode_query({"platform": value})

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_refuses_what_is_no_number(self, value: float) -> None:
        with pytest.raises(ValueError, match=r"^rate: .* not a finite number"):
            encode_query({"rate": value})

    @given(st.dictionaries(names, st.lists(text)))
    def test_every_text_comes_back(self, query: dict[str, list[QueryScalar]]) -> None:
        sent = [(key, value) for key, values in query.items() for value in values]
        assert parse_qsl(encode_query(query), keep_blank_values=True, strict_parsing=bool(sent)) == sent


class TestFilters:
    @pytest.mark.parametrize(
        ("filters", "document"),
        [
            ({"status": "running"}, {"status": ["running"]}),
            ({"status": ["running", "paused"]}, {"status": ["running", "paused"]}),
            ({"dangling": True}, {"dangling": ["true"]}),
            ({"dangling": False}, {"dangling": ["false"]}),
            ({"exited": 137}, {"exited": ["137"]}),
            ({"exited": (0, 1)}, {"exited": ["0", "1"]}),
            ({"label": {"a": "b", "c": None, "d": ""}}, {"label": ["a=b", "c", "d="]}),
            ({"label": [], "id": "x"}, {"id": ["x"]}),
        ],
    )
    def test_encodes(self, filters: dict[str, Any], document: dict[str, list[str]]) -> None:
        assert json.loads(encode_filters(filters) or "") == document

    @pytest.mark.parametrize("filters", [None, {}, {"label": []}, {"label": {}}])
    def test_nothing_to_filter_by_is_none(self, filters: dict[str, Any] | None) -> None:
        assert encode_filters(filters) is None

    def test_an_empty_text_is_a_value(self) -> None:
        assert encode_filters({"label": ""}) == '{"label":[""]}'

    @pytest.mark.parametrize(
        "value",
        [None, 1.5, b"raw", {1}, [None], [["nested"]], {"a": 1}, {1: "a"}, {1: None}, {"a": ["b"]}, object()],
    )
    def test_refuses_other_types_by_name(self, value: Any) -> None:
        with pytest.raises(TypeError, match=r"^filter 'until': expected"):
            encode_filters({"until": value})

    @given(st.dictionaries(text, st.lists(text, min_size=1), min_size=1))
    def test_every_text_comes_back(self, filters: dict[str, list[str | bool | int]]) -> None:
        assert json.loads(encode_filters(filters) or "") == filters


class TestPathSegment:
    @pytest.mark.parametrize(
        ("value", "encoded"),
        [
            ("web-1", "web-1"),
            ("sha256:0a1b", "sha256:0a1b"),
            ("my volume", "my%20volume"),
            ("a?b#c%d", "a%3Fb%23c%25d"),
            ("plugin/name", "plugin%2Fname"),
            ("a\\b", "a%5Cb"),
            ("...", "..."),
            ("a..b", "a..b"),
            ("日", "%E6%97%A5"),
        ],
    )
    def test_encodes(self, value: str, encoded: str) -> None:
        assert path_segment(value, "volume") == encoded

    def test_image_names_keep_their_slashes(self) -> None:
        name = "registry.example:5000/team/app:1@sha256:ab"
        assert path_segment(name, "image", allow_slash=True) == name

    @pytest.mark.parametrize("allow_slash", [False, True])
    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ("", "is empty"),
            ("  ", "is blank"),
            ("\t", "is blank"),
            ("a\nb", "has a control character"),
            ("a\0", "has a control character"),
            ("a\x7f", "has a control character"),
            ("a\x85b", "has a control character"),
            (".", "would lead to another path"),
            ("..", "would lead to another path"),
            ("../info", "would lead to another path"),
            ("a/../../info", "would lead to another path"),
            ("a/./b", "would lead to another path"),
            ("a/..", "would lead to another path"),
            ("/a", "would lead to another path"),
            ("a//b", "would lead to another path"),
            ("a/", "would lead to another path"),
        ],
    )
    def test_refuses_what_is_no_name(self, value: str, problem: str, *, allow_slash: bool) -> None:
        with pytest.raises(ValueError, match=f"^container: .* {problem}"):
            path_segment(value, "container", allow_slash=allow_slash)

    @pytest.mark.parametrize("value", [None, 1, b"name", ["name"]])
    def test_refuses_other_types(self, value: Any) -> None:
        with pytest.raises(TypeError, match=r"^container: expected str"):
            path_segment(value, "container")

    @given(text, st.booleans())
    def test_what_is_accepted_stays_one_place(self, value: str, allow_slash: bool) -> None:
        try:
            encoded = path_segment(value, "container", allow_slash=allow_slash)
        except ValueError:
            return
        assert unquote(encoded, errors="strict") == value
        assert encoded.isascii()
        assert not set(encoded) & set(" ?#\\\r\n\t\0")
        assert allow_slash or "/" not in encoded


class TestTimestamp:
    @pytest.mark.parametrize(
        ("value", "encoded"),
        [
            (0, "0"),
            (1_700_000_000, "1700000000"),
            (0.0, "0"),
            (-0.0, "0"),
            (1_700_000_000.0, "1700000000"),
            (1_700_000_000.25, "1700000000.25"),
            (1_700_000_000.123, "1700000000.123"),
            (0.1 + 0.2, "0.3"),
            (1e-7, "0.0000001"),
            (1e-12, "0"),
            (1e16, "10000000000000000"),
            (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "0"),
            (dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC), "1700000000"),
            (dt.datetime(2023, 11, 14, 22, 13, 20, 120, tzinfo=dt.UTC), "1700000000.00012"),
            (
                dt.datetime(2023, 11, 15, 0, 13, 20, 5, tzinfo=dt.timezone(dt.timedelta(hours=2))),
                "1700000000.000005",
            ),
        ],
    )
    def test_encodes(self, value: float | dt.datetime, encoded: str) -> None:
        assert encode_timestamp(value, "since") == encoded

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            (-1, "before 1970"),
            (-0.5, "before 1970"),
            (dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC), "before 1970"),
            (float("nan"), "not a finite number"),
            (float("inf"), "not a finite number"),
            (dt.datetime(2024, 1, 1), "make it aware"),
        ],
    )
    def test_refuses_what_is_no_time(self, value: float | dt.datetime, problem: str) -> None:
        with pytest.raises(ValueError, match=f"^since: .*{problem}"):
            encode_timestamp(value, "since")

    @pytest.mark.parametrize("value", [True, False, None, "1700000000", dt.date(2024, 1, 1), dt.timedelta(1)])
    def test_refuses_other_types(self, value: Any) -> None:
        with pytest.raises(TypeError, match=r"^since: expected Unix seconds"):
            encode_timestamp(value, "since")

    @given(st.floats(0, 1e15))
    def test_a_float_keeps_nine_decimals(self, value: float) -> None:
        encoded = encode_timestamp(value, "since")
        assert set(encoded) <= set("0123456789.")
        assert len(encoded.partition(".")[2]) <= 9
        assert abs(float(encoded) - value) <= 5.1e-10

    @given(
        st.datetimes(
            dt.datetime(1970, 1, 2),
            timezones=st.timezones(),
        )
    )
    def test_a_datetime_keeps_its_microseconds(self, value: dt.datetime) -> None:
        since = value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        exact = Decimal(since // dt.timedelta(microseconds=1)).scaleb(-6)
        assert Decimal(encode_timestamp(value, "until")) == exact
