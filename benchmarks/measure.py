"""
Rounds, and what follows from them.

In a round every client does the same job, one after the other; then comes the next round, which begins with another
client. Ratios are taken within a round, so that whatever else the machine does slows both sides of a ratio down, and
the median of them is what counts. Before the clock runs at all, every client has to show what it reads: one that
returns other items than the shortest loop does gets no ratio.
"""

from __future__ import annotations

import statistics
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Final

import attrs

from benchmarks.clients import BASELINE, CLIENTS, OURS
from benchmarks.processes import Answer, Processes
from benchmarks.rows import Row
from benchmarks.startup import startup_code

__all__ = ("Lane", "Result", "lanes_of", "measure_row")

_FALLBACK: Final = "docker-py"
# Whose items are the right ones: the first of these that can do the job.
_REFERENCES: Final = ("loop", BASELINE, _FALLBACK)
# Items, and bytes, that are compared before the clock runs.
_CHECKED: Final = 5_000
_CHECKED_EACH: Final = 5
_CHECKED_BYTES: Final = 32 * 1024 * 1024


@attrs.frozen
class Lane:
    """
    A client, and how it takes items.

    Attributes:
        client: The name of the client.
        batches: Whether it takes them in batches.
    """

    client: str
    batches: bool = False

    @property
    def name(self) -> str:
        """What the results call it."""
        return f"{self.client} batches" if self.batches else self.client


@attrs.define
class Result:
    """
    What came of a row.

    Attributes:
        row: The row.
        count: How many items or calls a round has.
        baseline: The lane that the others are compared with.
        values: For each lane and round, what is compared: seconds or bytes.
        cpu: For each lane and round, the processor time in seconds.
        remarks: What kept a lane from having a ratio.
    """

    row: Row
    count: int
    baseline: str = BASELINE
    values: dict[str, list[float]] = attrs.field(factory=dict[str, list[float]])
    cpu: dict[str, list[float]] = attrs.field(factory=dict[str, list[float]])
    remarks: dict[str, str] = attrs.field(factory=dict[str, str])

    def ratio(self, lane: str, *, cpu: bool = False) -> float | None:
        """
        The median of the ratios of all rounds, or None if there is none to be told.

        It is how many times as fast as the baseline the lane is; for costs, how many times as dear.
        """
        values = self.cpu if cpu else self.values
        if lane not in values or self.baseline not in values:
            return None
        pairs = zip(values[lane], values[self.baseline], strict=True)
        ratios = [mine / base if self.row.costs else base / mine for mine, base in pairs if mine > 0 and base > 0]
        return statistics.median(ratios) if ratios else None

    def each(self, lane: str) -> float | None:
        """The median of what a unit costs: microseconds, or bytes."""
        if lane not in self.values:
            return None
        value = statistics.median(self.values[lane])
        return value if self.row.measure == "memory" else value * 1e6 * self.row.unit / self.count

    def reached(self, lane: str, target: float | None) -> bool:
        """Whether a lane reaches a target."""
        ratio = self.ratio(lane)
        if ratio is None or target is None:
            return False
        return ratio <= target if self.row.costs else ratio >= target

    def judges(self, target: float | None) -> bool:
        """Whether there is a target that this result can be held against: it is a ratio to the one baseline."""
        return target is not None and self.baseline == BASELINE

    @property
    def met(self) -> bool | None:
        """Whether both backends reach the row's target; None if there is none to hold them against."""
        if not self.judges(self.row.target):
            return None
        return self.reached("asyncio", self.row.target) and self.reached("trio", self.row.target)


def lanes_of(row: Row, *, quick: bool) -> list[Lane]:
    """Everything that is measured for a row."""
    if row.measure == "import":
        return [Lane(client) for client in CLIENTS if startup_code(row.action, client)]
    lanes = [Lane(client) for client in CLIENTS if not (quick and client == "aiodocker-uvloop")]
    if row.batches:
        lanes += [Lane(client, batches=True) for client in OURS]
    if row.fast is not None and find_spec("msgspec") is not None:
        lanes += [Lane(f"{client}+fast") for client in OURS]
    return lanes


def measure_row(processes: Processes, row: Row, *, rounds: int, quick: bool) -> Result:
    """Measure a row."""
    result = Result(row, row.count(quick=quick))
    lanes = lanes_of(row, quick=quick)
    if row.measure == "import":
        _measure_startup(processes, result, lanes, rounds)
    else:
        able = _compare_items(processes, result, lanes)
        _measure_rounds(processes, result, able, rounds)
    if BASELINE not in result.values:
        result.baseline = _FALLBACK
    return result


# -- what they read


def _compare_items(processes: Processes, result: Result, lanes: Sequence[Lane]) -> list[Lane]:
    """Let every lane read a little; return those that read what the reference does."""
    answers = {
        lane.name: answer for lane, answer in zip(lanes, _check_round(processes, result.row, lanes), strict=True)
    }
    read = {name: (answer["count"], answer["digest"]) for name, answer in answers.items() if answer.get("digest")}
    expected = next((read[name] for name in _REFERENCES if name in read), None)
    for name, answer in answers.items():
        if remark := _remark(answer, read.get(name), expected):
            result.remarks[name] = remark
    return [lane for lane in lanes if lane.name not in result.remarks]


def _check_round(processes: Processes, row: Row, lanes: Sequence[Lane]) -> Iterator[Answer]:
    most = _CHECKED_BYTES if row.framing == "bulk" else max(_CHECKED // row.streams, _CHECKED_EACH) * row.streams
    count = min(row.count(quick=False), most)
    for lane in lanes:
        yield _job(processes, row, lane, count, keep=True)


def _remark(answer: Answer, read: object, expected: object) -> str | None:
    if answer.get("unsupported"):
        return "no such operation"
    if "error" in answer:
        return str(answer["error"])
    if read is not None and read != expected:
        return f"returned other items than it should ({answer['count']} of them)"
    return None


# -- how fast


def _measure_rounds(processes: Processes, result: Result, lanes: Sequence[Lane], rounds: int) -> None:
    for number in range(rounds):
        first = number % len(lanes) if lanes else 0
        answers: dict[str, Answer] = {}
        for lane in (*lanes[first:], *lanes[:first]):
            answers[lane.name] = _job(processes, result.row, lane, result.count, keep=False)
        _check_counts(result, answers)
        for name in {lane.name for lane in lanes} - result.remarks.keys():
            answer = answers[name]
            result.values.setdefault(name, []).append(answer[_FIELDS[result.row.measure]])
            result.cpu.setdefault(name, []).append(answer["cpu"])
    for name in result.remarks:
        result.values.pop(name, None)
        result.cpu.pop(name, None)


_FIELDS: Final[Mapping[str, str]] = {"wall": "wall", "cpu": "cpu", "memory": "memory"}


def _check_counts(result: Result, answers: Mapping[str, Answer]) -> None:
    """A lane that failed, or that did not get as many items as most, is out."""
    counts = [answer["count"] for answer in answers.values() if answer.get("count") is not None]
    expected = Counter(counts).most_common(1)[0][0] if counts else None
    for name, answer in answers.items():
        if "error" in answer:
            result.remarks[name] = str(answer["error"])
        elif answer["count"] not in {expected, None}:
            result.remarks[name] = f"returned {answer['count']} items of {expected}"


def _job(processes: Processes, row: Row, lane: Lane, count: int, *, keep: bool) -> Answer:
    processes.play(row.script(count, check=keep))
    ask: Callable[..., Answer] = processes.fresh_job if row.measure == "memory" else processes.job
    if keep and row.action in {"inspect", "list", "ping", "ping-many"}:
        count = row.streams  # they need no more to show what they read
    return ask(
        lane.client,
        action=row.action,
        items=count,
        streams=row.streams,
        batches=lane.batches,
        file=str(processes.directory / "upload"),
        keep=keep,
    )


# -- how long until it can be used


def _measure_startup(processes: Processes, result: Result, lanes: Sequence[Lane], rounds: int) -> None:
    for _ in range(rounds * 2):
        for lane in lanes:
            if lane.name not in result.remarks:
                _start_once(processes, result, lane)
    # Of a start, the shortest is the one that nothing disturbed.
    for name, values in result.values.items():
        result.values[name] = [min(values)]


def _start_once(processes: Processes, result: Result, lane: Lane) -> None:
    try:
        seconds = float(processes.run_python(startup_code(result.row.action, lane.client)))
    except subprocess.CalledProcessError as exc:
        result.values.pop(lane.name, None)
        result.remarks[lane.name] = f"ended with exit code {exc.returncode}"
    else:
        result.values.setdefault(lane.name, []).append(seconds)
