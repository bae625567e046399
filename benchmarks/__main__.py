"""The command line: ``python -m benchmarks [quick]``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from benchmarks.awake import keep_awake
from benchmarks.chart import draw
from benchmarks.command_line import measure_command_line
from benchmarks.measure import Result, measure_row
from benchmarks.processes import Processes
from benchmarks.report import as_document, as_table, environment
from benchmarks.rows import ROWS, Row

__all__ = ("main",)

_ROUNDS: Final = 9
_QUICK_ROUNDS: Final = 3
# Runnable processes from which on others take time from ours.
_BUSY: Final = 0.5
_MIB: Final = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks."""
    options = _parser().parse_args(arguments)
    rows = [row for row in ROWS if not options.rows or row.key in options.rows]
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    print(", ".join(f"{key} {value}" for key, value in environment().items()), flush=True)
    busy = os.getloadavg()[0] > _BUSY
    with keep_awake() if options.awake else nullcontext():
        results = _measure(rows, rounds, quick=bool(options.quick))
    print(as_table(results, cpu=options.by == "cpu"))
    if busy:
        print("The machine was busy when this began: a ratio of times may be far off; --by cpu is steadier.")
    if options.json:
        options.json.write_text(json.dumps(as_document(results), indent=1) + "\n")
    if options.svg:
        options.svg.write_text(draw(results))
    if options.engine:
        measure_command_line(quick=bool(options.quick))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="anydocker beside other clients.")
    parser.add_argument("quick", nargs="?", choices=["quick"], help="shorter streams and fewer rounds")
    parser.add_argument("--rows", type=_keys, help=f"only these, separated by commas: {', '.join(r.key for r in ROWS)}")
    parser.add_argument("--rounds", type=int, help=f"how many rounds (default: {_ROUNDS}, quick: {_QUICK_ROUNDS})")
    parser.add_argument("--by", choices=["wall", "cpu"], default="wall", help="what the table compares")
    parser.add_argument("--awake", action="store_true", help="keep idle processors from going to sleep (Linux)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the table")
    parser.add_argument("--engine", action="store_true", help="beside `docker logs`, on a private dockerd (as root)")
    return parser


def _keys(text: str) -> list[str]:
    keys = text.split(",")
    known = {row.key for row in ROWS}
    if unknown := sorted(set(keys) - known):
        raise argparse.ArgumentTypeError(f"no such row: {', '.join(unknown)}")
    return keys


def _measure(rows: Sequence[Row], rounds: int, *, quick: bool) -> list[Result]:
    results: list[Result] = []
    with Processes.running() as processes:
        for row in rows:
            started = time.monotonic()
            if row.mode == "take":
                _write_upload(processes.directory / "upload", row.count(quick=quick))
            results.append(measure_row(processes, row, rounds=rounds, quick=quick))
            if sys.stderr.isatty():
                print(f"{row.key}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    return results


def _write_upload(path: Path, size: int) -> None:
    if path.exists() and path.stat().st_size == size:
        return
    tile = os.urandom(_MIB)
    with path.open("wb") as file:
        for _ in range(size // _MIB):
            file.write(tile)


if __name__ == "__main__":
    sys.exit(main())
