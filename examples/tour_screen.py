"""What the tour shows: plain text where there is no terminal, live tables and bars where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self, TypeAlias

import attrs
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

import anydocker

CONSOLE = Console(highlight=False)

Rows: TypeAlias = Iterable[Iterable[str | Text]]


def chapter(title: str) -> None:
    CONSOLE.print()
    CONSOLE.print(Rule(Text(title, "bold"), align="left"))


def step(title: str, call: str) -> None:
    CONSOLE.print()
    CONSOLE.print(Text.assemble((title, "bold cyan"), "  ", (call, "dim")), soft_wrap=True)


def note(text: object, good: bool | None = None) -> None:
    mark = Text() if good is None else Text(" ") + verdict(good)
    CONSOLE.print(Text.assemble(f"  {text}", mark), soft_wrap=True)


def verdict(good: bool) -> Text:
    return Text("✓", "bold green") if good else Text("✗", "bold red")


def table(*columns: str, rows: Rows) -> None:
    CONSOLE.print(make_table(*columns, rows=rows))


def make_table(*columns: str, rows: Rows) -> Table:
    made = Table(*columns, box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        made.add_row(*row)
    return made


class PullBars:
    """A bar for each layer. It is what ``pull(progress=...)`` calls with each step."""

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("  {task.fields[layer]}"),
            BarColumn(32),
            TextColumn("{task.percentage:>4.0f} %"),
            TextColumn("{task.description}"),
            console=CONSOLE,
            auto_refresh=False,
        )
        self._layers: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, step: anydocker.Progress) -> None:
        if step.id is None or step.status is None or step.status.startswith("Pulling from"):
            return
        if step.id not in self._layers:
            self._layers[step.id] = self._bars.add_task(step.status, total=None, layer=step.id)
        layer = self._layers[step.id]
        self._bars.update(layer, description=step.status)
        if step.total:
            self._bars.update(layer, completed=step.current, total=step.total)
        elif step.status in {"Pull complete", "Already exists"}:
            self._bars.update(layer, completed=1, total=1)
        self._bars.refresh()


@attrs.define
class Row:
    """What is known of one container."""

    cpu: str = "…"
    memory: str = "…"
    lines: int = 0
    last: str = ""


class Board:
    """A live table with a row for each container."""

    def __init__(self, names: Iterable[str]) -> None:
        self.rows: Mapping[str, Row] = {name: Row() for name in names}
        self._live = Live(console=CONSOLE, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        self.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if not CONSOLE.is_terminal:
            CONSOLE.print()  # what was shown once, without a terminal, has no end of line yet

    def refresh(self) -> None:
        rows = [[f"  {name}", row.cpu, row.memory, str(row.lines), row.last] for name, row in self.rows.items()]
        self._live.update(make_table("  container", "cpu", "memory", "lines", "last line", rows=rows), refresh=True)
