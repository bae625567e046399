"""What is public: its names, its docstrings, the shape of its signatures."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final, cast

import attrs
import pytest

import anydocker
from anydocker import auth, errors, streams

MODULES: Final = [
    importlib.import_module(info.name) for info in pkgutil.walk_packages(anydocker.__path__, "anydocker.")
]
PUBLIC: Final = [anydocker, *(module for module in MODULES if not re.search(r"\._|\.resources", module.__name__))]

every_module = pytest.mark.parametrize("module", [anydocker, *MODULES], ids=lambda module: module.__name__)
every_public_module = pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)


def test_the_public_modules() -> None:
    assert {module.__name__ for module in PUBLIC} == {
        "anydocker",
        "anydocker.auth",
        "anydocker.context",
        "anydocker.errors",
        "anydocker.streams",
        "anydocker.testing",
        "anydocker.testing.fixtures",
        "anydocker.types",
    }


# -- names


def tree_of(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module) or "\n")


def exports(module: ModuleType) -> tuple[str, ...]:
    names: Any = vars(module)["__all__"]
    assert isinstance(names, tuple)
    return cast("tuple[str, ...]", names)


def has_code(module: ModuleType) -> bool:
    return len(tree_of(module).body) > 1


def names_given(module: ModuleType) -> Iterator[str]:
    """The names that a module defines, or imports for others to import: ``X as X``, or listed in ``__all__``."""
    for node in tree_of(module).body:
        match node:
            case ast.ImportFrom(names=names):
                handed_on = {alias.name for alias in names if alias.asname == alias.name}
                imported = {alias.name for alias in names if alias.asname is None}
                yield from handed_on | imported & set(exports(module))
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case _:
                continue


@pytest.mark.parametrize(
    "module",
    [module for module in PUBLIC if module.__name__ != "anydocker.types"],  # which hands on what is generated
    ids=lambda module: module.__name__,
)
def test_all_is_every_public_name(module: ModuleType) -> None:
    public = {name for name in names_given(module) if not name.startswith("_")}
    assert public == set(exports(module))


@every_module
def test_all_is_a_tuple_of_names_that_are_there(module: ModuleType) -> None:
    if not has_code(module):
        assert not hasattr(module, "__all__")
        return
    assert len(set(exports(module))) == len(exports(module))
    for name in exports(module):
        assert hasattr(module, name)
        assert not name.startswith("_")


@every_public_module
def test_import_star(module: ModuleType) -> None:
    namespace: dict[str, Any] = {}
    exec(f"from {module.__name__} import *", namespace)
    assert namespace.keys() - {"__builtins__"} == set(exports(module))


@every_module
def test_every_module_says_what_it_is_for(module: ModuleType) -> None:
    assert module.__doc__
    assert module.__doc__.strip()


def test_handles_streams_and_values_are_at_the_top() -> None:
    """What a public call returns can be named: everything that streams and resources export is here, too."""
    for module in (streams, errors, auth):
        missing = set(exports(module)) - set(exports(anydocker))
        assert not {name for name in missing if isinstance(getattr(module, name), type)}


# -- every public callable


def is_ours(value: object) -> bool:
    return getattr(value, "__module__", "").startswith("anydocker")


def overrides_httpcore(kind: type, name: str) -> bool:
    return any(name in vars(base) for base in kind.__mro__ if base.__module__.startswith("httpcore"))


def members(kind: type) -> Iterator[tuple[str, object]]:
    """The public attributes of a class that classes of ours define, by their qualified names."""
    seen: set[str] = set()
    for base in kind.__mro__:
        for name, value in vars(base).items():
            if is_ours(base) and not name.startswith("_") and name not in seen and not overrides_httpcore(kind, name):
                seen.add(name)
                yield f"{kind.__qualname__}.{name}", value


def function_of(value: object) -> Callable[..., Any] | None:
    """The function behind a method, a property or a wrapper, if there is one."""
    found: Callable[..., Any] | None
    match value:
        case staticmethod() | classmethod():
            found = cast("Any", value).__func__
        case property():
            found = value.fget
        case functools.cached_property():
            found = cast("Any", value).func
        case _ if inspect.isfunction(value):
            found = value
        case _:
            found = None
    return found


def public_objects() -> dict[str, object]:
    found: dict[str, object] = {}
    for module in PUBLIC:
        if module.__name__ not in {"anydocker.types", "anydocker.testing.fixtures"}:
            for name in exports(module):
                value = getattr(module, name)
                if inspect.isclass(value) and is_ours(value):
                    found[value.__qualname__] = value
                    found |= members(value)
                elif inspect.isfunction(value):
                    found[value.__qualname__] = value
    return found


OBJECTS: Final = public_objects()
FUNCTIONS: Final = {name: function for name, value in OBJECTS.items() if (function := function_of(value)) is not None}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def parameters(name: str) -> list[inspect.Parameter]:
    found = [*inspect.signature(FUNCTIONS[name]).parameters.values()]
    return found[1:] if found and found[0].name in {"self", "cls"} else found


def test_the_walk_finds_what_there_is() -> None:
    for name in ("connect", "Docker.request", "Container.exec", "Container.inspect", "Images.open_pull", "Stats.pids"):
        assert name in FUNCTIONS
    assert "Docker" in OBJECTS
    assert "ReplayBackend.connect_tcp" not in OBJECTS


@pytest.mark.parametrize(
    "name", [name for name, value in OBJECTS.items() if inspect.isclass(value) or function_of(value)]
)
def test_docstring(name: str) -> None:
    value = OBJECTS[name]
    text = (function_of(value) or value).__doc__
    assert text
    assert text.strip()[0].isupper() or text.strip()[0] == "`"
    assert "." in text


@every_function
def test_arguments_in_the_docstring_are_those_of_the_signature(name: str) -> None:
    text = inspect.cleandoc(FUNCTIONS[name].__doc__ or "")
    section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
    if section is not None:
        documented = re.findall(r"^    (\w+):", section[1], re.MULTILINE)
        assert documented == [parameter.name for parameter in parameters(name)]


@every_function
def test_no_kwargs_and_no_timeout(name: str) -> None:
    for parameter in parameters(name):
        assert parameter.kind not in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}
        assert parameter.name != "timeout"


@every_function
def test_everything_is_annotated(name: str) -> None:
    assert "return" in FUNCTIONS[name].__annotations__
    for parameter in parameters(name):
        assert parameter.annotation is not parameter.empty


@pytest.mark.parametrize("kind", [value for value in OBJECTS.values() if inspect.isclass(value)])
def test_constructors_have_no_kwargs_and_no_timeout(kind: type[Any]) -> None:
    if issubclass(kind, BaseException) and "__init__" not in vars(kind):
        return
    for parameter in inspect.signature(kind).parameters.values():
        assert parameter.kind not in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}
        assert parameter.name != "timeout"


# The arguments that may be given by position where there is more than one of them.
BY_POSITION: Final = {
    "Container.copy_from": ["source", "target"],
    "Container.copy_to": ["source", "target"],
    "Container.put_archive": ["path", "source"],
    "Containers.create": ["image", "command"],
    "Containers.run": ["image", "command"],
    "Containers.open_run": ["image", "command"],
    "Containers.replace": ["image", "command"],
    "Docker.open_request": ["method", "path"],
    "Docker.request": ["method", "path"],
    "Docker.require": ["version", "what"],
}


def by_position(name: str) -> list[str]:
    return [parameter.name for parameter in parameters(name) if parameter.kind is not parameter.KEYWORD_ONLY]


CALLS: Final = [
    name
    for name, value in FUNCTIONS.items()
    if value.__module__.startswith(("anydocker._client", "anydocker.resources", "anydocker.streams"))
]


@pytest.mark.parametrize("name", CALLS)
def test_everything_after_the_first_argument_is_keyword_only(name: str) -> None:
    assert by_position(name) == BY_POSITION.get(name, by_position(name)[:1])


def test_the_exceptions_are_still_needed() -> None:
    assert {name for name in CALLS if len(by_position(name)) > 1} == set(BY_POSITION)


# -- the two forms of an operation


def is_context_manager(name: str) -> bool:
    return inspect.isasyncgenfunction(getattr(FUNCTIONS[name], "__wrapped__", None))


@every_function
def test_no_public_generators(name: str) -> None:
    assert not inspect.isasyncgenfunction(FUNCTIONS[name])
    assert not inspect.isgeneratorfunction(FUNCTIONS[name])


@pytest.mark.parametrize("name", CALLS)
def test_what_is_called_open_is_a_block(name: str) -> None:
    assert is_context_manager(name) == name.rpartition(".")[2].startswith("open_")


@pytest.mark.parametrize("name", [name for name in CALLS if is_context_manager(name)])
def test_every_block_says_what_it_yields(name: str) -> None:
    assert "Yields:" in (FUNCTIONS[name].__doc__ or "")


PAIRS: Final = [
    (name.replace(".open_", "."), name) for name in CALLS if ".open_" in name and name.replace(".open_", ".") in CALLS
]


# Opened before the start, it is the exit to come that is waited for.
OTHER_DEFAULTS: Final = {("Container.open_wait", "condition")}


def test_there_are_pairs() -> None:
    assert {"Images.pull", "Images.build", "Containers.run", "Container.exec", "Docker.request"} <= {
        task for task, _ in PAIRS
    }


@pytest.mark.parametrize(("task", "scope"), PAIRS)
def test_both_forms_know_an_argument_by_the_same_name(task: str, scope: str) -> None:
    known = {parameter.name: parameter for parameter in parameters(task)}
    for parameter in parameters(scope):
        if parameter.name in known:
            other = known[parameter.name]
            assert (parameter.kind, parameter.annotation) == (other.kind, other.annotation)
            assert parameter.default == other.default or (scope, parameter.name) in OTHER_DEFAULTS


@pytest.mark.parametrize("task", [task for task, _ in PAIRS])
def test_the_task_form_is_a_coroutine(task: str) -> None:
    assert inspect.iscoroutinefunction(FUNCTIONS[task])


# -- handles and values


def test_values_are_attrs_classes_or_named_tuples() -> None:
    for name in ("BuildEvent", "Completed", "Event", "Output", "Progress", "Stats"):
        assert attrs.has(getattr(anydocker, name))
    for name in ("Frame", "Line"):
        assert issubclass(getattr(anydocker, name), tuple)


@pytest.mark.parametrize("name", [name for name, value in OBJECTS.items() if isinstance(value, property)])
def test_properties_do_no_io(name: str) -> None:
    assert not inspect.iscoroutinefunction(FUNCTIONS[name])


# -- the cost of an import

HEAVY: Final = {
    "asyncio", "trio", "httpcore", "h11", "ssl", "_ssl", "socket", "subprocess",
    "anydocker.types", "anydocker._generated_types", "anydocker._transport.pool", "anydocker.testing",
}  # fmt: skip


def run(program: str) -> str:
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=env).stdout


def test_import_is_light() -> None:
    program = "import sys; before = set(sys.modules); import anydocker; print(*set(sys.modules) - before)"
    assert set(run(program).split()) & HEAVY == set()


def test_the_types_are_there_for_who_asks() -> None:
    assert "ContainerSummary" in run("import anydocker.types; print(anydocker.types.ContainerSummary)")
