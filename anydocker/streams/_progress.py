"""Progress of what takes the engine a while: pulls, pushes, loads, builds. An error among it is an error."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Generic, TypeVar

import attrs

from anydocker._wire.jsonstream import JSONDecoder
from anydocker.errors import BuildFailed, ProtocolError, StreamError
from anydocker.streams._base import BodyStream, DecodedStream, section

__all__ = ("BuildEvent", "BuildStream", "Progress", "ProgressDecoder", "ProgressStream")

# Characters of a stream's log that are kept for its error.
_KEPT_LOG: Final = 256 * 1024


@attrs.define
class _Document:
    """A document of a progress stream. The properties read it; ``raw`` holds everything."""

    raw: dict[str, Any]
    """The document as the engine sent it."""

    @property
    def id(self) -> str | None:
        """What it is about, such as the short id of a layer."""
        return self.raw.get("id")

    @property
    def status(self) -> str | None:
        """What is going on, such as ``"Downloading"``."""
        return self.raw.get("status")

    @property
    def current(self) -> int | None:
        """How far it is, mostly in bytes."""
        return section(self.raw, "progressDetail").get("current")

    @property
    def total(self) -> int | None:
        """How far it is to go, mostly in bytes."""
        return section(self.raw, "progressDetail").get("total")

    @property
    def aux(self) -> Any:
        """Data for programs, such as the digest of what was pushed."""
        return self.raw.get("aux")

    @property
    def text(self) -> str:
        """Output for people; empty where there is none. It may end inside a line."""
        return self.raw.get("stream") or ""

    def __str__(self) -> str:
        if self.text:
            return self.text.rstrip("\n")
        parts = [f"{self.id}:"] if self.id else []
        parts += [part for part in (self.status, self.raw.get("progress")) if part]
        return " ".join(parts)


@attrs.define(str=False)
class Progress(_Document):
    """A step of a pull, a push or a load. ``str()`` gives the line that the command line shows."""


@attrs.define(str=False)
class BuildEvent(_Document):
    """A step of a build: output of the builder, or of a pull it makes. ``str()`` gives the line to show."""

    @property
    def image_id(self) -> str | None:
        """The id of the image that was built, in the event that says so."""
        # BuildKit's trace has text under the same key.
        return section(self.raw, "aux").get("ID") if isinstance(self.raw.get("aux"), dict) else None


D = TypeVar("D", bound=_Document)


class ProgressDecoder(Generic[D]):
    """Documents, until one says that the operation failed."""

    def __init__(self, document: type[D], failure: type[StreamError]) -> None:
        self.error: ProtocolError | StreamError | None = None
        self.log: deque[str] = deque()
        self._log_size = 0
        self._document = document
        self._failure = failure
        self._decoder = JSONDecoder()

    def receive_data(self, data: bytes) -> list[D]:
        if self.error is not None:
            raise self.error
        return self._check(self._decoder.receive_data(data))

    def receive_eof(self) -> list[D]:
        if self.error is not None:
            raise self.error
        return self._check(self._decoder.receive_eof())

    def _check(self, documents: list[Any]) -> list[D]:
        out: list[D] = []
        document = self._document
        for raw in documents:
            try:
                failed = "errorDetail" in raw or "error" in raw
                if "progressDetail" not in raw or not raw["progressDetail"]:
                    self._remember(raw)
            except (TypeError, AttributeError):
                self.error = ProtocolError(f"not a progress document: {str(raw)[:80]}")
                break
            if failed:
                self.error = self._failed(raw)
                break
            out.append(document(raw))
        else:
            self.error = self._decoder.error
        if self.error is not None and not out:
            raise self.error
        return out

    def _failed(self, raw: dict[str, Any]) -> StreamError:
        detail = section(raw, "errorDetail")
        message = detail.get("message") or raw.get("error") or "the engine gave no reason"
        return self._failure(str(message), detail.get("code"), "".join(self.log))

    def _remember(self, raw: dict[str, Any]) -> None:
        text = raw.get("stream")
        if text is None:
            text = " ".join([part for part in (raw.get("id"), raw.get("status")) if part])
            text = f"{text}\n" if text else ""
        self.log.append(text)
        self._log_size += len(text)
        while self._log_size > _KEPT_LOG and len(self.log) > 1:
            self._log_size -= len(self.log.popleft())


class _LoggedStream(DecodedStream[D]):
    def __init__(self, body: BodyStream, document: type[D], failure: type[StreamError]) -> None:
        decoder = ProgressDecoder(document, failure)
        super().__init__(body, decoder)
        self._log = decoder.log

    @property
    def log(self) -> str:
        """What the stream has said so far, without progress bars; the last 256 KiB of it."""
        return "".join(self._log)


class ProgressStream(_LoggedStream[Progress]):
    """Steps of a pull, a push or a load, as :class:`Progress` values."""

    def __init__(self, body: BodyStream, failure: type[StreamError]) -> None:
        super().__init__(body, Progress, failure)


class BuildStream(_LoggedStream[BuildEvent]):
    """
    Steps of a build, as :class:`BuildEvent` values.

    Attributes:
        image_id: The id of the image that was built, once an event has said so.
    """

    def __init__(self, body: BodyStream) -> None:
        super().__init__(body, BuildEvent, BuildFailed)
        self.image_id: str | None = None

    async def _receive_batch(self) -> list[BuildEvent]:
        batch = await super()._receive_batch()
        for event in batch:
            self.image_id = event.image_id or self.image_id
        return batch
