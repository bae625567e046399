from __future__ import annotations

import builtins
import copy
import pickle
import re

import pytest

import anydocker
from anydocker import errors
from anydocker.errors import (
    APIError,
    BuildFailed,
    ContainerFailed,
    DockerError,
    ExecFailed,
    ExitError,
    InvalidReference,
    LoadFailed,
    NotFound,
    PullFailed,
    PushFailed,
    StreamError,
    Unhealthy,
)

CLASSES: list[type[DockerError]] = [getattr(errors, name) for name in errors.__all__]

# What each family is made with, and its attributes then.
FAMILIES: dict[type[DockerError], dict[str, object]] = {
    APIError: {"message": "no such container: x", "status": 404, "method": "GET", "path": "/v1.45/containers/x/json"},
    StreamError: {"message": "no space left", "code": 7, "log": "Step 1/2\n"},
    ExitError: {"message": "container x", "exit_code": 3, "stdout": b"out\xff", "stderr": b"err\xff"},
    Unhealthy: {"message": "container x is unhealthy", "output": "connection refused"},
    DockerError: {},
}


def attributes(kind: type[DockerError]) -> dict[str, object]:
    return next(values for family, values in FAMILIES.items() if issubclass(kind, family))


def make(kind: type[DockerError]) -> DockerError:
    return kind(*(attributes(kind).values() or ("what went wrong",)))


@pytest.mark.parametrize("kind", CLASSES)
def test_attributes(kind: type[DockerError]) -> None:
    error = make(kind)
    assert vars(error) == attributes(kind)
    assert error.args == tuple(attributes(kind).values() or ("what went wrong",))


@pytest.mark.parametrize("kind", CLASSES)
def test_arguments_can_be_given_by_name(kind: type[DockerError]) -> None:
    if named := attributes(kind):
        assert vars(kind(**named)) == named
    else:
        assert str(kind("what went wrong")) == "what went wrong"


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(kind: type[DockerError], protocol: int) -> None:
    error = make(kind)
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert (again.args, str(again), vars(again)) == (error.args, str(error), vars(error))


@pytest.mark.parametrize("kind", CLASSES)
def test_copies(kind: type[DockerError]) -> None:
    error = make(kind)
    for again in (copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert again is not error
        assert (again.args, str(again), vars(again)) == (error.args, str(error), vars(error))


@pytest.mark.parametrize("kind", CLASSES)
def test_is_public(kind: type[DockerError]) -> None:
    assert getattr(anydocker, kind.__name__) is kind
    assert kind.__module__ == "anydocker.errors"
    assert kind.__doc__
    assert not hasattr(builtins, kind.__name__)


def test_all_of_them_are_listed() -> None:
    defined = {value for value in vars(errors).values() if isinstance(value, type)}
    assert defined == set(CLASSES)
    assert all(issubclass(kind, DockerError) for kind in CLASSES)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__
    parents: list[str] = []
    found: dict[str, str] = {}
    for line in errors.__doc__.splitlines():
        if match := re.match(r"    ([│├└─ ]*)(\w+)(?: |$)", line):
            depth = len(match[1]) // 3
            del parents[depth:]
            found[match[2]] = parents[-1] if parents else "Exception"
            parents.append(match[2])
    assert found == {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES}


def test_an_invalid_reference_is_a_bad_argument_too() -> None:
    assert issubclass(InvalidReference, ValueError)


# -- messages


def test_api_error_message() -> None:
    error = NotFound("no such container: x", 404, "GET", "/v1.45/containers/x/json")
    assert str(error) == "no such container: x (GET /v1.45/containers/x/json answered 404)"


@pytest.mark.parametrize("kind", [StreamError, PullFailed, PushFailed, BuildFailed, LoadFailed])
def test_stream_error_message(kind: type[StreamError]) -> None:
    assert str(kind("no space left", 7, "a long log")) == "no space left"
    assert vars(kind("x")) == {"message": "x", "code": None, "log": ""}


@pytest.mark.parametrize("kind", [ExitError, ContainerFailed, ExecFailed])
@pytest.mark.parametrize(
    ("stderr", "shown"),
    [
        (b"", ""),
        (b" \n", ""),
        (b"oops\n", "; stderr: oops"),
        (b"\xff oops", "; stderr: \ufffd oops"),
        (b"first\nlast\n", "; stderr: first\nlast"),
    ],
)
def test_exit_error_shows_stderr(kind: type[ExitError], stderr: bytes, shown: str) -> None:
    assert str(kind("command ['x']", 137, b"out", stderr)) == f"command ['x']: exit code 137{shown}"
    assert vars(kind("x", 1)) == {"message": "x", "exit_code": 1, "stdout": b"", "stderr": b""}


def test_exit_error_shows_the_tail_of_stderr_only() -> None:
    error = ExitError("x", 1, b"", b"<head>" + b"." * 100_000 + b"<tail>")
    assert len(str(error)) < 3000
    assert str(error).endswith("<tail>")
    assert "<head>" not in str(error)
    assert len(error.stderr) == 100_012


@pytest.mark.parametrize(("output", "shown"), [("", ""), (" \n", ""), ("refused\n", "; its last probe said: refused")])
def test_unhealthy_message(output: str, shown: str) -> None:
    assert str(Unhealthy("container x is unhealthy", output)) == f"container x is unhealthy{shown}"
