"""Arguments with a form of their own: what they take, and what they refuse by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import attrs
import pytest

from anydocker import BuildLimits, ContainerOptions, Device, HealthCheck, Mount, Ulimit
from anydocker._wire.checks import check_items, check_text, check_texts, check_type


def wrong(value: object) -> Any:
    """A value of a type that type checkers would not let pass."""
    return value


# -- every option, by its type

# For each annotation values that fit, and values that look as if they did.
VALUES: Final[Mapping[str, tuple[Sequence[object], Sequence[object]]]] = {
    "str": (["a"], [1, b"a", ["a"], True]),
    "int": ([0, 1], ["1", 1.0, True, [1]]),
    "float": ([1, 1.5], ["1.5", True, [1]]),
    "bool": ([True, False], [1, 0, "true", [True]]),
    "HealthCheck": ([HealthCheck(command=None)], ["true", {"command": "true"}]),
    "Sequence[str]": ([["a"], ("a", "b"), []], ["a", b"a", 1, [1], [b"a"], [None]]),
    "Sequence[Ulimit]": ([[Ulimit("a", 1)], ()], [Ulimit("a", 1), "a", [("a", 1)], [{"Name": "a"}]]),
    "Sequence[Device]": ([[Device("/a")], ()], [Device("/a"), "/a", ["/a"]]),
    "Mapping[str, str]": ([{"a": "b"}, {}], [["a"], "a", {"a": 1}, {1: "a"}, {"a": None}, [("a", "b")]]),
}
# Options with a rule of their own.
SPECIAL: Final = {"gpus", "restart"}
FIELDS: Final = [field for field in attrs.fields(ContainerOptions) if field.name not in SPECIAL]


@pytest.mark.parametrize("field", FIELDS, ids=[field.name for field in FIELDS])
def test_option(field: attrs.Attribute[object]) -> None:
    good, bad = VALUES[str(field.type).removesuffix(" | None")]
    for value in (None, *good):
        options = ContainerOptions(**cast("dict[str, Any]", {field.name: value}))
        assert getattr(options, field.name) == value
    for value in bad:
        with pytest.raises(TypeError, match=rf"^{field.name}\b"):
            ContainerOptions(**cast("dict[str, Any]", {field.name: value}))


@pytest.mark.parametrize("restart", ["no", "always", "unless-stopped", "on-failure", "on-failure:3"])
def test_restart(restart: str) -> None:
    policy = ContainerOptions(restart=restart).documents(None)["HostConfig"]["RestartPolicy"]
    assert f"{policy['Name']}:{policy['MaximumRetryCount']}".removesuffix(":0") == restart


@pytest.mark.parametrize("restart", ["", "sometimes", "on-failure:", "on-failure:x", "on-failure:-1", "Always"])
def test_restart_that_is_none(restart: str) -> None:
    with pytest.raises(ValueError, match="restart="):
        ContainerOptions(restart=restart)


# -- what belongs together


BAD_VALUES: Final[list[tuple[Callable[[], object], type[Exception], str]]] = [
    (lambda: ContainerOptions(memory=-1), ValueError, "memory=-1"),
    (lambda: ContainerOptions(cpus=-0.5), ValueError, "cpus=-0.5"),
    (lambda: ContainerOptions(gpus=wrong("some")).documents(None), ValueError, "gpus='some'"),
    (lambda: ContainerOptions(log_options={"a": "b"}).documents(None), ValueError, "log_options"),
    (lambda: ContainerOptions(aliases=["a"]).documents(None), ValueError, "network="),
    (lambda: Mount("m"), ValueError, "target='m'"),
    (lambda: Mount("/m", type=wrong("volum")), ValueError, "type='volum'"),
    (lambda: Mount("/m", type="bind"), ValueError, "source"),
    (lambda: Mount("/m", "v", type="tmpfs"), ValueError, "source"),
    (lambda: BuildLimits(ulimits=wrong(["nofile"])).query(), TypeError, "ulimits"),
]


@pytest.mark.parametrize(
    ("make", "error", "message"), BAD_VALUES, ids=[f"{n}-{bad[2]}" for n, bad in enumerate(BAD_VALUES)]
)
def test_values_that_are_refused(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_they_cannot_be_changed() -> None:
    values: list[Any] = [
        ContainerOptions(),
        HealthCheck(command=None),
        Device("/a"),
        Mount("/a"),
        Ulimit("a", 1),
        BuildLimits(),
    ]
    for value in values:
        name = next(iter(attrs.asdict(value)))
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(value, name, "other")


def test_they_are_equal_by_value() -> None:
    assert ContainerOptions(memory=1) == ContainerOptions(memory=1) != ContainerOptions(memory=2)
    assert Mount("/a") == Mount("/a") != Mount("/a", read_only=True)


def test_most_arguments_have_names() -> None:
    makers: list[Callable[..., object]] = [ContainerOptions, HealthCheck, BuildLimits]
    for make in makers:
        with pytest.raises(TypeError, match="positional"):
            make("a")


# -- the checks themselves


def test_check_type() -> None:
    check_type("a", None, "an int", int)
    check_type("a", 1, "an int", int)
    check_type("a", True, "a bool", bool)
    for value in (True, "1", 1.5):
        with pytest.raises(TypeError, match=rf"^a: expected an int, not {value!r} \({type(value).__name__}\)$"):
            check_type("a", value, "an int", int)


def test_check_text() -> None:
    check_text("a", "")
    for value in (None, b"", 1):
        with pytest.raises(TypeError, match="^a: expected a str"):
            check_text("a", value)


def test_check_items() -> None:
    assert check_items("a", (1, 2), "an int", int) == [1, 2]
    assert check_items("a", (n for n in (1, 2)), "an int", int) == [1, 2]
    for value in ("text", b"data"):
        with pytest.raises(TypeError, match=r"^a is a sequence, not one (str|bytes): a=\[\.\.\.\]$"):
            check_items("a", value, "a str", str)
    with pytest.raises(TypeError, match="^a: expected a sequence of an int, not None"):
        check_items("a", None, "an int", int)
    with pytest.raises(TypeError, match="^a: expected an int, not 'b'"):
        check_items("a", [1, "b"], "an int", int)


def test_check_texts() -> None:
    check_texts("a", None)
    check_texts("a", {"b": "c"})
    check_texts("a", {"b": None}, or_none=True)
    with pytest.raises(TypeError, match=r"^a: expected a mapping of str to str, not \{'b': None\}"):
        check_texts("a", {"b": None})
    with pytest.raises(TypeError, match=r"^a: expected a mapping of str to str or None, not \{'b': 1\}"):
        check_texts("a", {"b": 1}, or_none=True)
    with pytest.raises(TypeError, match=r"^a: expected a mapping of str to str, not \['b'\]"):
        check_texts("a", ["b"])
