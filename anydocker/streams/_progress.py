"""Progress of what takes the engine a while: pulls, pushes, loads, builds. An error among it is an error."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections import defaultdict, deque
from collections.abc import Iterator
from functools import cached_property, partial
from itertools import takewhile
from operator import is_not
from typing import Any, Final, Generic, TypeVar

import attrs

from anydocker._wire.buildkit import BuildStep, BuildTrace, decode_trace
from anydocker._wire.documents import section_at, shown, text_at
from anydocker._wire.jsonstream import JSONDecoder
from anydocker.errors import BuildFailed, ProtocolError, StreamError
from anydocker.streams._base import BodyStream, DecodedStream

__all__ = ("BuildDecoder", "BuildEvent", "BuildStream", "Progress", "ProgressDecoder", "ProgressStream")

# Bytes of documents that are kept for the log.
_KEPT_LOG: Final = 256 * 1024
_OBJECT: Final[type[Any]] = dict
# The id of an event of BuildKit's.
_TRACE: Final = "moby.buildkit.trace"
_IMAGE: Final = "moby.image.id"
# How BuildKit ends the message of a RUN that failed. The command stands before it, and may hold the same words.
_EXIT_CODE: Final = re.compile(r".*\bexit code: (\d+)", re.DOTALL)


@attrs.define
class _Document:
    """
    A document of a progress stream. The properties read it; ``raw`` holds everything.

    What the engine leaves out, or sends as another type, is None.
    """

    raw: dict[str, Any]
    """The document as the engine sent it."""

    @property
    def id(self) -> str | None:
        """What it is about, such as the short id of a layer."""
        return text_at(self.raw, "id") or None

    @property
    def status(self) -> str | None:
        """What is going on, such as ``"Downloading"``."""
        return text_at(self.raw, "status") or None

    @property
    def current(self) -> int | None:
        """How far it is, mostly in bytes."""
        return _number(self.raw, "current")

    @property
    def total(self) -> int | None:
        """How far it is to go, mostly in bytes."""
        return _number(self.raw, "total")

    @property
    def aux(self) -> Any:
        """Data for programs, such as the digest of what was pushed."""
        return self.raw.get("aux")

    @property
    def text(self) -> str:
        """Output for people; empty where there is none. It may end inside a line."""
        return text_at(self.raw, "stream")

    def __str__(self) -> str:
        if self.text:
            return self.text.rstrip("\n")
        parts = [f"{self.id}:"] if self.id else []
        parts += [part for part in (self.status, text_at(self.raw, "progress")) if part]
        return " ".join(parts)


class Progress(_Document):
    """A step of a pull, a push or a load. ``str()`` gives the line that the command line shows."""

    __slots__ = ()


@attrs.define(str=False)
class BuildEvent(_Document):
    """
    A step of a build: output of the builder, or of a pull it makes. ``str()`` gives the line, or lines, to show.

    BuildKit tells of several steps at once: see ``trace``.
    """

    @cached_property
    def trace(self) -> BuildTrace | None:
        """What BuildKit says of the steps of the build; None for another event, and of the classic builder."""
        return decode_trace(self.raw.get("aux")) if self.raw.get("id") == _TRACE else None

    @property
    def image_id(self) -> str | None:
        """The id of the image that was built, in the event that says so."""
        # BuildKit's trace has text under the same key.
        return text_at(self.raw, "aux", "ID") or None

    @property
    def text(self) -> str:
        """Output for people, of BuildKit that of the steps; empty where there is none. It may end inside a line."""
        if self.trace is None:
            return text_at(self.raw, "stream")
        return b"".join([log.data for log in self.trace.logs]).decode(errors="replace")

    def __str__(self) -> str:
        if self.trace is None:
            return "" if self.image_id else super().__str__()
        lines = [_step_line(step) for step in self.trace.steps]
        lines += [self.text.rstrip("\n")]
        lines += [f"warning: {warning.text}" for warning in self.trace.warnings]
        return "\n".join([line for line in lines if line])


def _number(raw: dict[str, Any], key: str) -> int | None:
    value = section_at(raw, "progressDetail").get(key)
    return value if type(value) is int else None


def _step_line(step: BuildStep) -> str:
    """What there is to show of a step: its beginning, its end; empty if it has not begun."""
    if step.error:
        return f"ERROR {step.name}: {step.error}"
    if step.cached:
        return f"CACHED {step.name}"
    if step.completed is not None:
        return f"DONE {step.name}"
    return step.name if step.started is not None else ""


D = TypeVar("D", bound=_Document)


class ProgressDecoder(Generic[D]):
    """
    Documents, until one says that the operation failed.

    What the documents said is put together only when it is asked for: a pull sends thousands that nobody reads twice.
    """

    def __init__(self, document: type[D], failure: type[StreamError]) -> None:
        self.error: ProtocolError | StreamError | None = None
        self._document = document
        self._failure = failure
        self._decoder = JSONDecoder()
        self._recent: deque[tuple[int, list[dict[str, Any]]]] = deque()
        self._recent_size = 0

    @property
    def log(self) -> str:
        """What the stream has said so far, without progress bars; about the last 256 KiB of it."""
        return "".join([_log_text(raw) for _, documents in self._recent for raw in documents])

    def receive_data(self, data: bytes) -> list[D]:
        """Decode a piece. An error behind a good document waits in ``error``."""
        if self.error is not None:
            raise self.error
        return self._take(self._decoder.receive_data(data), len(data))

    def receive_eof(self) -> list[D]:
        """Learn that the body has ended."""
        if self.error is not None:
            raise self.error
        return self._take(self._decoder.receive_eof(), 0)

    def _take(self, documents: list[Any], size: int) -> list[D]:
        self.error = self._decoder.error
        # All at once, which is what is fast: a bad one is the last there is.
        bad = [raw for raw in documents if type(raw) is not _OBJECT or "error" in raw or "errorDetail" in raw]
        if bad:
            documents = list(takewhile(partial(is_not, bad[0]), documents))
        steps, unreadable = self._read(documents)
        self._remember(steps, size)
        if unreadable is not None:
            self.error = unreadable
        elif bad:
            self.error = self._reason(bad[0])
        if self.error is not None and not steps:
            raise self.error
        return steps

    def _read(self, documents: list[dict[str, Any]]) -> tuple[list[D], ProtocolError | None]:
        """Make values of documents, up to one that cannot be read, and say what is wrong with that."""
        return list(map(self._document, documents)), None

    def _reason(self, raw: Any) -> ProtocolError | StreamError:
        if type(raw) is not _OBJECT:
            return ProtocolError(f"not a progress document: {shown(raw)}")
        return self._failed(raw)

    def _failed(self, raw: dict[str, Any]) -> StreamError:
        detail = section_at(raw, "errorDetail")
        message = detail.get("message") or raw.get("error") or "the engine gave no reason"
        code = detail.get("code")
        if not isinstance(message, str):
            message = shown(message)
        return self._failure(message, code if type(code) is int else None, self.log)

    def _remember(self, steps: list[D], size: int) -> None:
        self._keep([step.raw for step in steps], size)

    def _keep(self, documents: list[dict[str, Any]], size: int) -> None:
        self._recent.append((size, documents))
        self._recent_size += size
        while self._recent_size > _KEPT_LOG and len(self._recent) > 1:
            self._recent_size -= self._recent.popleft()[0]


def _log_text(raw: dict[str, Any]) -> str:
    if raw.get("progressDetail"):
        return ""
    if raw.get("stream") is not None:
        return text_at(raw, "stream")
    line = " ".join([part for part in (text_at(raw, "id"), text_at(raw, "status")) if part])
    return f"{line}\n" if line else ""


class BuildDecoder(ProgressDecoder[BuildEvent]):
    """
    Events of a build.

    BuildKit's are decoded at once: for one that is malformed is an error where it stands, and for the log, which is
    kept as text, because the same steps and statuses come again and again.
    """

    def __init__(self) -> None:
        super().__init__(BuildEvent, BuildFailed)
        self._named: set[str] = set()
        # By step and stream, since a character may be cut in two.
        self._texts = defaultdict[tuple[str, str], Any](partial(getincrementaldecoder("utf-8"), "replace"))

    def _read(self, documents: list[dict[str, Any]]) -> tuple[list[BuildEvent], ProtocolError | None]:
        events = list(map(BuildEvent, documents))
        for event in [event for event in events if event.raw.get("id") == _TRACE]:
            try:
                event.trace  # noqa: B018 - it is decoded when it is looked at, and then kept
            except ProtocolError as exc:
                return list(takewhile(partial(is_not, event), events)), exc
        return events, None

    def _failed(self, raw: dict[str, Any]) -> StreamError:
        failure = super()._failed(raw)
        code = _EXIT_CODE.match(failure.message) if failure.code is None else None
        return BuildFailed(failure.message, int(code[1]), failure.log) if code else failure

    def _remember(self, steps: list[BuildEvent], size: int) -> None:
        documents = [event.raw for event in steps]
        if [raw for raw in documents if raw.get("id") == _TRACE or raw.get("id") == _IMAGE]:
            documents = list(map(self._as_text, steps))
            size = sum(len(text_at(raw, "stream")) for raw in documents)
        self._keep(documents, size)

    def _as_text(self, event: BuildEvent) -> dict[str, Any]:
        if event.trace is not None:
            return {"stream": "".join(self._said(event.trace))}
        return {} if event.image_id else event.raw

    def _said(self, trace: BuildTrace) -> Iterator[str]:
        for step in trace.steps:
            if step.error or (step.started is not None and step.digest not in self._named):
                self._named.add(step.digest)
                yield f"{_step_line(step)}\n".removeprefix("DONE ")
        for log in trace.logs:
            yield self._texts[log.step, log.stream].decode(log.data)
        for warning in trace.warnings:
            yield f"warning: {warning.text}\n"


class _LoggedStream(DecodedStream[D]):
    def __init__(self, body: BodyStream, decoder: ProgressDecoder[D]) -> None:
        super().__init__(body, decoder)
        self._progress = decoder

    @property
    def log(self) -> str:
        """What the stream has said so far, without progress bars; about the last 256 KiB of it."""
        return self._progress.log


class ProgressStream(_LoggedStream[Progress]):
    """Steps of a pull, a push or a load, as :class:`Progress` values."""

    def __init__(self, body: BodyStream, failure: type[StreamError]) -> None:
        super().__init__(body, ProgressDecoder(Progress, failure))


class BuildStream(_LoggedStream[BuildEvent]):
    """
    Steps of a build, as :class:`BuildEvent` values.

    Attributes:
        image_id: The id of the image that was built, once an event has said so.
    """

    def __init__(self, body: BodyStream) -> None:
        super().__init__(body, BuildDecoder())
        self.image_id: str | None = None

    async def _receive_batch(self) -> list[BuildEvent]:
        batch = await super()._receive_batch()
        for event in [event for event in batch if "aux" in event.raw]:
            self.image_id = event.image_id or self.image_id
        return batch
