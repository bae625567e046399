"""
The points of a sweep: counted, and printed as a table by ``nox -s promises``.

A test of a promise is marked with ``@pytest.mark.promise(number, what)`` and takes its points from the fixture
``points``: all of them if ``ANYDOCKER_EVERY_POINT`` is set, else a sample. The table has a row for each test and what
it was run on, and a column of points for each event loop.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

import attrs
import pytest

__all__ = ("EVERY_POINT", "PROMISES", "Points", "print_table", "record_points")

T = TypeVar("T")

EVERY_POINT: Final = bool(os.environ.get("ANYDOCKER_EVERY_POINT"))

PROMISES: Final = {
    1: "No silent end",
    2: "Cancellation loses nothing and leaks nothing",
    3: "Streams never starve calls",
    4: "An error inside a 200 stream is an error",
    5: "No background tasks",
    6: "stdout and stderr stay apart and in order",
    7: "Errors say what to do",
    8: "Leaks are loud",
}

_MARK: Final = "promise"
_PROPERTY: Final = "points of a promise"
_BACKEND: Final = "anyio_backend"


class Points:
    """
    The points of one test.

    Attributes:
        count: How many are done, in a list that the report of the test carries.
    """

    def __init__(self) -> None:
        self.count = [0]

    def of(self, places: Iterable[T], about: int = 40) -> Iterator[T]:
        """Each of the places, or else about so many of them, the first and the last included; counted once done."""
        for place in self.sampled(list(places), about):
            yield place
            self.add()

    def sampled(self, places: Sequence[T], about: int = 40) -> Sequence[T]:
        """All of the places, or else about so many of them, not counted."""
        if EVERY_POINT or len(places) <= about:
            return places
        return [*places[: -1 : len(places) // about], places[-1]]

    def add(self, number: int = 1) -> None:
        self.count[0] += number

    def stride(self, sampled: int, every: int = 1) -> int:
        """How many steps to go on by: ``every``, or else ``sampled``."""
        return every if EVERY_POINT else sampled


def record_points(item: pytest.Item) -> Points:
    """Count what a test does, and have its report say so."""
    points = Points()
    marker = item.get_closest_marker(_MARK)
    assert marker is not None, "a test that counts points is marked with the promise it is for"
    item.user_properties.append((_PROPERTY, [*marker.args, *_subject(item), points.count]))
    return points


def _subject(item: pytest.Item) -> tuple[str, str]:
    """What a test runs on: a recording, an operation; and the event loop."""
    parameters: dict[str, Any] = {**cast("Any", item).callspec.params}
    backend = parameters.pop(_BACKEND)
    name: str = backend if isinstance(backend, str) else backend[0]
    options: dict[str, object] = {} if isinstance(backend, str) else backend[1]
    subject = " ".join(map(_name, parameters.values())) or item.name.partition("[")[0].removeprefix("test_")
    return subject, "uvloop" if options.get("use_uvloop") else name


def _name(value: Any) -> str:
    return str(getattr(value, "name", None) or getattr(value, "__name__", None) or value)


# -- the table


@attrs.define
class _Row:
    points: dict[str, int] = attrs.field(factory=lambda: defaultdict[str, int](int))
    failures: int = 0


_Table: TypeAlias = dict[tuple[int, str], dict[str, _Row]]


def print_table(reporter: pytest.TerminalReporter) -> None:
    """Print what was swept: for each sweep a line for everything it was made on, and then the sums."""
    table, backends = _collect(reporter)
    if not table:
        return
    reporter.section("promises")
    for (number, what), rows in sorted(table.items()):
        reporter.write_line("")
        reporter.write_line(f"{number} {PROMISES[number]}: {what}")
        reporter.write_line(_line("", [*backends, "failures"]))
        for subject, row in sorted(rows.items()):
            reporter.write_line(_row_line(f"    {subject}", row, backends))
    reporter.write_line("")
    reporter.write_line(_line("in all", [*backends, "failures"]))
    for (number, what), rows in sorted(table.items()):
        reporter.write_line(_row_line(f"{number} {what}", _sum(rows.values()), backends))
    total = _sum(row for rows in table.values() for row in rows.values())
    reporter.write_line(_row_line("", total, backends))


def _collect(reporter: pytest.TerminalReporter) -> tuple[_Table, list[str]]:
    table: _Table = defaultdict(lambda: defaultdict(_Row))
    backends: set[str] = set()
    stats: dict[str, list[Any]] = cast("Any", reporter).stats
    for outcome in ("passed", "failed", "error"):
        for report in stats.get(outcome, ()):
            for name, value in report.user_properties:
                if name == _PROPERTY:
                    number, what, subject, backend, (count,) = value
                    row = table[number, what][subject]
                    row.points[backend] += count
                    row.failures += outcome != "passed"
                    backends.add(backend)
    return table, sorted(backends)


def _sum(rows: Iterable[_Row]) -> _Row:
    total = _Row()
    for row in rows:
        total.failures += row.failures
        for backend, count in row.points.items():
            total.points[backend] += count
    return total


def _row_line(text: str, row: _Row, backends: Sequence[str]) -> str:
    counts = [f"{row.points[backend]:,}" if backend in row.points else "-" for backend in backends]
    return _line(text, [*counts, str(row.failures)])


def _line(text: str, cells: Sequence[str]) -> str:
    return f"{text:<80}" + "".join(f"{cell:>10}" for cell in cells)
