"""Who imports whom: down only, as the table says. What is imported for type checkers alone does not count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

import anydocker

PACKAGE: Final = Path(anydocker.__file__).parent

# From the ground up. A part may import from itself and from what stands lower, never from its neighbours.
LAYERS: Final = (
    {"errors", "_concurrency", "_generated_types"},
    {"_wire", "types"},
    {"_endpoint", "_files", "_local", "_tar"},
    {"_config"},
    {"_proxies", "auth", "context"},
    {"_transport"},
    {"streams"},
    {"_untar"},
    {"resources"},
    {"_client"},
    {"anydocker"},
    {"testing"},
)

# What a module that knows no I/O may import: nothing here waits, reads a clock or looks at the machine. (Of io and
# tarfile, that goes for what is in memory.)
SANS_IO: Final = {
    "__future__", "attrs", "base64", "binascii", "collections", "datetime", "enum", "functools", "hashlib", "io",
    "itertools", "json", "math", "msgspec.json", "posixpath", "re", "reprlib", "stat", "string", "struct", "tarfile",
    "typing", "urllib.parse", "wsproto.connection", "wsproto.events",
}  # fmt: skip

# What only some parts may import.
RESERVED: Final[dict[str, set[str]]] = {
    "httpcore": {"_transport", "testing"},
    "h11": {"_transport", "testing"},
    "socket": {"_transport", "testing"},
    "select": {"_transport", "testing"},
    "subprocess": {"testing"},
    "pytest": {"testing"},
    "asyncio": set(),
    "trio": set(),
}


class Module:
    def __init__(self, path: Path) -> None:
        self.name = name_of(path)
        self.part = part_of(self.name)
        self.tree = ast.parse(path.read_text("utf-8"))

    def __repr__(self) -> str:
        return self.name

    def imports(self) -> Iterator[str]:
        """The modules it imports at run time, now or later, by their full names."""
        for node in _run_time_nodes(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.module
                assert not node.level, f"{self}: imports are absolute"
                submodules = {f"{node.module}.{alias.name}" for alias in node.names} & NAMES
                yield from submodules or {node.module}


def _run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _run_time_nodes(other)
            continue
        yield child
        yield from _run_time_nodes(child)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def part_of(name: str) -> str:
    _, _, inner = name.partition(".")
    return inner.partition(".")[0] or name


PATHS: Final = sorted(PACKAGE.rglob("*.py"))
NAMES: Final = {name_of(path) for path in PATHS}
MODULES: Final = [Module(path) for path in PATHS]
every_module = pytest.mark.parametrize("module", MODULES, ids=repr)


def height(part: str) -> int:
    for number, layer in enumerate(LAYERS):
        if part in layer:
            return number
    pytest.fail(f"{part} has no place yet: give it one in LAYERS")


def test_every_place_is_taken() -> None:
    assert {part for layer in LAYERS for part in layer} == {module.part for module in MODULES}


@every_module
def test_imports_point_down(module: Module) -> None:
    for imported in module.imports():
        if imported in NAMES and part_of(imported) != module.part:
            assert height(part_of(imported)) < height(module.part), f"{module} imports {imported}"


def test_there_are_no_circles() -> None:
    graph = {module.name: {name for name in module.imports() if name in NAMES} for module in MODULES}
    order = [*TopologicalSorter(graph).static_order()]
    assert set(order) == NAMES
    assert order.index("anydocker.errors") < order.index("anydocker._wire.chunked") < order.index("anydocker._client")


@every_module
def test_reserved_imports(module: Module) -> None:
    for imported in module.imports():
        allowed = RESERVED.get(imported.partition(".")[0])
        assert allowed is None or module.part in allowed, f"{module} imports {imported}"


every_wire_module = pytest.mark.parametrize("module", [m for m in MODULES if m.part == "_wire"], ids=repr)


@every_wire_module
def test_wire_imports_nothing_that_does_io(module: Module) -> None:
    for imported in module.imports():
        ours = imported.startswith(("anydocker._wire.", "anydocker.errors"))
        assert ours or imported in SANS_IO or imported.partition(".")[0] in SANS_IO - {"urllib"}, imported


@every_wire_module
def test_wire_neither_waits_nor_looks_at_a_clock_or_a_file(module: Module) -> None:
    for node in ast.walk(module.tree):
        assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith))
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today"}
        if isinstance(node, ast.Name):
            assert node.id not in {"open", "print", "input", "__import__"}


# -- structured concurrency

GROUPS_AND_SHIELDS: Final = {"create_task_group", "open_nursery", "TaskGroup", "shield"}


def uses(module: Module) -> Iterator[tuple[str, ast.AST]]:
    """The names of task groups and shields that the code of a module says, each with where."""
    for node in _run_time_nodes(module.tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) | ast.keyword(arg=str(name)):
                if name in GROUPS_AND_SHIELDS:
                    yield name, node
            case _:
                continue


@every_module
def test_task_groups_and_shields_have_one_home(module: Module) -> None:
    said = {name for name, _ in uses(module)}
    if module.name == "anydocker._concurrency":
        assert {"create_task_group", "shield"} <= said
    else:
        assert not said, f"{module}: {said}"


def shielding(node: ast.AST) -> Iterator[tuple[ast.With, ast.Call, str]]:
    """The `with` blocks that shield, the scope of each, and its name."""
    for block in ast.walk(node):
        if isinstance(block, ast.With):
            for item in block.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and any(keyword.arg == "shield" for keyword in call.keywords):
                    yield block, call, ast.unparse(item.optional_vars) if item.optional_vars else ""


def test_every_shield_has_a_deadline() -> None:
    (concurrency,) = [module for module in MODULES if module.name == "anydocker._concurrency"]
    found = [*shielding(concurrency.tree)]
    assert len(found) == sum(name == "shield" for name, _ in uses(concurrency)) > 0
    for block, call, name in found:
        over_at_once = ast.unparse(block.body[0]) == f"{name}.cancel()"
        assert over_at_once or ast.unparse(call.func) in {"move_on_after", "fail_after"}


@every_module
def test_nobody_swallows_a_cancellation(module: Module) -> None:
    """A handler that catches everything raises something, or keeps what it caught to raise it later."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "BaseException"):
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            assert raises or node.name is not None, f"{module}, line {node.lineno}"
