from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker._wire.status import api_error
from anydocker.errors import (
    APIError,
    BadRequest,
    Conflict,
    EngineFault,
    Forbidden,
    NotFound,
    Unauthorized,
    Unavailable,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, Unauthorized),
        (402, APIError),
        (403, Forbidden),
        (404, NotFound),
        (405, APIError),
        (406, APIError),
        (409, Conflict),
        (418, APIError),
        (499, APIError),
        (500, EngineFault),
        (501, EngineFault),
        (502, EngineFault),
        (503, Unavailable),
        (504, EngineFault),
        (599, EngineFault),
    ],
)
def test_class_is_told_by_the_number(status: int, kind: type[APIError]) -> None:
    error = api_error(status, b'{"message": "not found: conflict, unauthorized"}', "POST", "/v1.45/x")
    assert type(error) is kind
    assert (error.message, error.status) == ("not found: conflict, unauthorized", status)
    assert (error.method, error.path) == ("POST", "/v1.45/x")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message":"no such container: x"}\n', "no such container: x"),
        (b'{"message":"f\xc3\xa4iled"}', "f\u00e4iled"),
        (b'{"cause":"x","message":"libpod says no","response":404}', "libpod says no"),
        (b'{"errorDetail":{"message":"in the detail"},"error":"outside"}', "in the detail"),
        (b"page not found\n", "page not found"),
        (b"Not Found\n", "Not Found: the engine does not know this call"),
        (b"", "the engine gave no reason"),
        (b"  \r\n", "the engine gave no reason"),
        (b'{"message":""}', '{"message":""}'),
        (b'{"message":null}', '{"message":null}'),
        (b'{"message":7}', '{"message":7}'),
        (b'{"message":["x"]}', '{"message":["x"]}'),
        (b'["message"]', '["message"]'),
        (b'"message"', '"message"'),
        (b"null", "null"),
        (b"{", "{"),
        (b'{"errorDetail":"x"}', '{"errorDetail":"x"}'),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"<html>" + b"x" * 5000, "<html>" + "x" * 994),
        (b"[" * 100_000, "[" * 1000),
    ],
)
def test_message(body: bytes, message: str) -> None:
    assert api_error(500, body, "GET", "/x").message == message


@given(st.binary(max_size=50) | st.recursive(st.none() | st.text(max_size=5), st.lists).map(json.dumps).map(str.encode))
def test_any_body_makes_an_error_with_a_message(body: bytes) -> None:
    error = api_error(404, body, "GET", "/x")
    assert type(error) is NotFound
    assert error.message
    assert str(error) == f"{error.message} (GET /x answered 404)"
