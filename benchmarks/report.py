"""Results as a table, as JSON, and as a drawing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from benchmarks.clients import BASELINE, OURS
from benchmarks.measure import Result

__all__ = ("COLUMNS", "as_document", "as_table", "environment")

COLUMNS: Final = (*OURS, "aiodocker-uvloop", "docker-py", "loop", "recv", "bare-asyncio", "bare-trio")
"""The lanes of the table, in order."""

_HEADINGS: Final = {"aiodocker-uvloop": "aio+uvloop"}
_COST_HEADING: Final = "aiodocker us"
_PACKAGES: Final = ("anyio", "httpcore", "h11", "trio", "uvloop", "aiodocker", "aiohttp", "docker", "msgspec")
_TITLE_WIDTH: Final = 44
_WIDTH: Final = 13
_COST_WIDTH: Final = 14


def environment() -> dict[str, str]:
    """What the numbers hold for."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    found["processors"] = str(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count())
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


# -- the table


def as_table(results: Sequence[Result], *, cpu: bool) -> str:
    """The table, with what there is to say about it below."""
    lanes = [lane for lane in COLUMNS if any(lane in result.values for result in results)]
    lines = [_heading(lanes)]
    group = ""
    for result in results:
        if result.row.group != group:
            group = result.row.group
            lines += ["", group]
        lines += _rows(result, lanes, cpu=cpu)
    return "\n".join([*lines, "", *_notes(results, cpu=cpu)])


def _heading(lanes: Sequence[str]) -> str:
    names = [_HEADINGS.get(lane, lane) for lane in lanes]
    cells = "".join(f"{name:>{_WIDTH}}" for name in ("target", *names))
    return f"{'':{_TITLE_WIDTH}}{cells}{_COST_HEADING:>{_COST_WIDTH}}"


def _rows(result: Result, lanes: Sequence[str], *, cpu: bool) -> Iterator[str]:
    row = result.row
    yield _line(f"  {row.title}", row.target, [_cell(result, lane, row.target, cpu=cpu) for lane in lanes], result)
    for suffix, title, target in ((" batches", "receive_many()", None), ("+fast", "anydocker[fast]", row.fast)):
        if any(f"{lane}{suffix}" in result.values for lane in OURS):
            cells = [_cell(result, f"{lane}{suffix}", target, cpu=cpu) if lane in OURS else "" for lane in lanes]
            yield _line(f"    {title}", target, cells, None)


def _line(title: str, target: float | None, cells: Sequence[str], result: Result | None) -> str:
    wanted = "" if target is None else f"{target:g}"
    cost = "" if result is None else _cost(result)
    line = f"{title:{_TITLE_WIDTH}}{wanted:>{_WIDTH}}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells)
    return f"{line}{cost:>{_COST_WIDTH}}".rstrip()


def _cell(result: Result, lane: str, target: float | None, *, cpu: bool) -> str:
    ratio = result.ratio(lane, cpu=cpu)
    if ratio is None:
        return _absence(result.remarks.get(lane, ""))
    ours = lane.removesuffix("+fast") in OURS
    missed = ours and not cpu and result.judges(target) and not result.reached(lane, target)
    number = f"{ratio:.2f}" if ratio < 20 else f"{ratio:.0f}"
    return f"{number}{'*' if missed else ' '}"


def _absence(remark: str) -> str:
    if remark.startswith("returned"):
        return "differs "
    return "- " if not remark or remark == "no such operation" else "failed "


def _cost(result: Result) -> str:
    each = result.each(result.baseline)
    if each is None:
        return ""
    number = f"{each:,.0f}" if each >= 100 else f"{each:.2f}"
    if result.row.measure == "memory":
        number += " B"
    return number if result.baseline == BASELINE else f"({number})"


def _notes(results: Sequence[Result], *, cpu: bool) -> Iterator[str]:
    compared = "processor time" if cpu else "time"
    yield f"Ratios to {BASELINE} = 1.00 by {compared}, medians of paired rounds; memory and import: its share."
    yield f"The last column is what {BASELINE} takes for an item, a call or a MiB; in brackets: docker-py in its place."
    if not cpu:
        yield "* below the target"
        judged = [result.met for result in results if result.met is not None]
        yield f"{judged.count(True)} of {len(judged)} rows reach their target on asyncio and on trio."
    for result in results:
        for lane, remark in result.remarks.items():
            if remark != "no such operation":
                yield f"! {result.row.group}, {result.row.title}: {lane}: {remark}"


# -- the document


def as_document(results: Sequence[Result]) -> dict[str, Any]:
    """Everything that was measured."""
    return {"environment": environment(), "baseline": BASELINE, "rows": [_row_document(result) for result in results]}


def _row_document(result: Result) -> dict[str, Any]:
    row = result.row
    return {
        "key": row.key,
        "group": row.group,
        "title": row.title,
        "measure": row.measure,
        "unit": "byte" if row.measure == "memory" else f"microsecond for each {row.unit_name}",
        "less_is_better": row.costs,
        "target": row.target,
        "fast_target": row.fast,
        "met": result.met,
        "baseline": result.baseline,
        "count": result.count,
        "lanes": {lane: _lane_document(result, lane) for lane in result.values},
        "remarks": result.remarks,
    }


def _lane_document(result: Result, lane: str) -> Mapping[str, Any]:
    return {
        "ratio": result.ratio(lane),
        "cpu_ratio": result.ratio(lane, cpu=True),
        "each": result.each(lane),
        "rounds": result.values[lane],
        "cpu_rounds": result.cpu.get(lane, []),
    }
