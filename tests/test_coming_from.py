"""The table of what other clients' methods are called here: complete, and without a name that does not exist."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import attrs
import pytest

import anydocker
from anydocker import BodyStream, Container, ExecStream, Image

PAGE: Final = Path(__file__).parent.parent / "docs" / "coming-from.md"

# Whose methods the table lists.
PEERS: Final = {
    "DockerImages": "aiodocker.images",
    "DockerContainers": "aiodocker.containers",
    "DockerContainer": "aiodocker.containers",
    "Exec": "aiodocker.execs",
    "ImageApiMixin": "docker.api.image",
    "BuildApiMixin": "docker.api.build",
    "ContainerApiMixin": "docker.api.container",
    "ExecApiMixin": "docker.api.exec_api",
    "Image": "docker.models.images",
    "ImageCollection": "docker.models.images",
    "RegistryData": "docker.models.images",
    "Container": "docker.models.containers",
    "ContainerCollection": "docker.models.containers",
}
# What the first word of an example stands for.
ROOTS: Final[dict[str, object]] = {
    "anydocker": anydocker,
    "d": anydocker.connect("unix:///nowhere"),
    "c": Container,
    "image": Image,
    "process": ExecStream,
    "body": BodyStream,
}


@attrs.frozen
class Row:
    """A line of the table."""

    theirs: str
    ours: str
    note: str

    def code(self) -> Iterator[ast.expr]:
        """The examples: in the middle all of them, among the notes those that begin with a word of ours."""
        for text in re.findall(r"`([^`]+)`", self.ours):
            yield ast.parse(text, mode="eval").body
        for text in re.findall(r"`([^`]+)`", self.note):
            if re.match(rf"({'|'.join(ROOTS)})\.", text):
                yield ast.parse(text, mode="eval").body


def rows() -> list[Row]:
    lines = re.findall(r"^\| `(\w+\.\w+)` \|(.*)\|(.*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return [Row(theirs, ours.strip(), note.strip()) for theirs, ours, note in lines]


ROWS: Final = rows()
every_row = pytest.mark.parametrize("row", ROWS, ids=[row.theirs for row in ROWS])


def methods(name: str) -> set[str]:
    """The public attributes of a class of another client, those of its own base classes included."""
    module = importlib.import_module(PEERS[name])
    peer: type = getattr(module, name)
    bases = [base for base in peer.__mro__ if base is not object]
    found = {attribute for base in bases for attribute in vars(base) if not attribute.startswith("_")}
    return {f"{name}.{attribute}" for attribute in found | {"__getitem__"} & {*vars(peer)}}


def test_the_table_was_read() -> None:
    assert len(ROWS) > 150
    assert {row.theirs.partition(".")[0] for row in ROWS} == PEERS.keys()


def test_no_method_is_listed_twice() -> None:
    assert len({row.theirs for row in ROWS}) == len(ROWS)


if find_spec("aiodocker") is not None and find_spec("docker") is not None:

    @pytest.mark.parametrize("peer", PEERS)
    def test_every_method_has_a_row_and_every_row_a_method(peer: str) -> None:
        assert {row.theirs for row in ROWS if row.theirs.startswith(f"{peer}.")} == methods(peer)


@every_row
def test_there_is_something_of_ours_or_a_reason(row: Row) -> None:
    assert row.ours or len(row.note) > 10
    assert not row.ours or [*row.code()]


@every_row
def test_every_name_and_argument_exists(row: Row) -> None:
    for example in row.code():
        for node in ast.walk(example):
            match node:
                case ast.Attribute():
                    assert resolved(node) is not None
                case ast.Call():
                    check_arguments(node)
                case _:
                    continue


def resolved(node: ast.expr) -> Any:
    """What an example names; of a call, the class of what it returns."""
    match node:
        case ast.Name(id=name) if name in ROOTS:
            return ROOTS[name]
        case ast.Attribute(value=value, attr=name):
            owner = resolved(value)
            # What only instances have is in the docstring of the class.
            if re.search(rf"^ +{name}: ", owner.__doc__ or "", re.MULTILINE) and not hasattr(owner, name):
                return name
            assert hasattr(owner, name), f"{ast.unparse(node)}: there is no {name}"
            return getattr(owner, name)
        case ast.Call(func=func):
            return returned(resolved(func))
        case _:
            raise AssertionError(f"what is {ast.unparse(node)}?")


def returned(function: Callable[..., object]) -> object:
    """The class of what a function returns."""
    name = str(inspect.signature(function).return_annotation)
    assert hasattr(anydocker, name), f"{function} returns {name}"
    return getattr(anydocker, name)


def check_arguments(call: ast.Call) -> None:
    """Assert that a call could be made, but for what the example leaves out."""
    function = resolved(call.func)
    handle = [None] if inspect.isfunction(function) else []
    keywords = {str(keyword.arg): keyword.value for keyword in call.keywords}
    inspect.signature(function).bind_partial(*handle, *call.args, **keywords)


# -- each of them has been tried on a real engine

LIVE: Final = Path(__file__).parent / "live"
# What no live test gives a call, and why.
UNTRIED: Final = {
    # It asks Docker Hub, where tests do not go.
    "images.search()",
    "images.search(limit=)",
}


def uses(tree: ast.AST) -> Iterator[str]:
    """
    What some code uses: names, ``verb()``, ``namespace.verb()``, and ``verb(option=)`` for each option.

    An option that is handed on in a mapping counts as one of every call that takes the mapping.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr=namespace), attr=verb)) if (
                namespace in NAMESPACES
            ):
                yield from options(f"{namespace}.{verb}", node)
            case ast.Call(func=ast.Attribute(attr=verb) | ast.Name(id=verb)):
                yield from options(verb, node)
            case ast.Attribute(value=ast.Name(id="anydocker")):
                continue
            case ast.Attribute(attr=name):
                yield name
            case _:
                continue


NAMESPACES: Final = {"containers", "distribution", "images", "networks", "volumes"}


def options(verb: str, call: ast.Call) -> Iterator[str]:
    yield f"{verb}()"
    yield from (f"{verb}({keyword.arg or '**'}=)" for keyword in call.keywords)


TRIED: Final = {use for path in LIVE.glob("*.py") for use in uses(ast.parse(path.read_text("utf-8")))}


def untried(row: Row) -> set[str]:
    """What of a row no live test uses."""
    wanted = {use for example in row.code() for use in uses(example)}
    return {use for use in wanted - TRIED - UNTRIED if f"{use.partition('(')[0]}(**=)" not in TRIED or "=" not in use}


@every_row
def test_it_has_been_tried_on_a_real_engine(row: Row) -> None:
    assert not untried(row)


def test_what_is_untried_is_seen() -> None:
    example = "`d.images.search(TERM, stars=1)`, `d.swarm`, `c.vanish(force=True)`, `d.containers.build(SOURCE)`"
    missing = {"images.search(stars=)", "swarm", "vanish", "vanish()", "vanish(force=)", "containers.build()"}
    assert untried(Row("Image.x", example, "")) == missing


def test_the_exceptions_are_needed() -> None:
    wanted = {use for row in ROWS for example in row.code() for use in uses(example)}
    assert wanted >= UNTRIED
    assert not UNTRIED & TRIED


@pytest.mark.parametrize(
    "wrong", ["d.images.fetch(NAME)", "c.logs(lines=3)", "c.kill(1, 2)", "image.labels", "d.images.image(NAME).x()"]
)
def test_the_walk_sees_what_is_wrong(wrong: str) -> None:
    with pytest.raises((AssertionError, TypeError)):
        test_every_name_and_argument_exists(Row("Image.x", f"`{wrong}`", ""))


def test_it_looks_up_modules_too() -> None:
    assert isinstance(ROOTS["anydocker"], ModuleType)
    assert resolved(ast.parse("anydocker.ContainerOptions", mode="eval").body) is anydocker.ContainerOptions
