"""What happens in an engine."""

from __future__ import annotations

from typing import Any

import attrs

from anydocker._wire.documents import number_at, section_at, text_at
from anydocker.streams._base import BodyStream, DecodedStream, DocumentDecoder

__all__ = ("Event", "EventStream")


@attrs.define
class Event:
    """
    Something that happened in the engine.

    What the engine leaves out, or sends as another type, is empty or 0.
    """

    raw: dict[str, Any] = attrs.field(repr=False)
    """The document as the engine sent it."""

    @property
    def type(self) -> str:
        """The kind of object, such as ``"container"`` or ``"image"``."""
        return text_at(self.raw, "Type")

    @property
    def action(self) -> str:
        """What happened to it, such as ``"start"``, ``"die"`` or ``"health_status: healthy"``."""
        return text_at(self.raw, "Action")

    @property
    def id(self) -> str:
        """The id of the object; for an image, its reference."""
        return text_at(self.raw, "Actor", "ID")

    @property
    def attributes(self) -> dict[str, str]:
        """Labels of the object and details of the action, such as ``exitCode``."""
        attributes = section_at(self.raw, "Actor", "Attributes")
        return {name: value for name, value in attributes.items() if isinstance(value, str)}

    @property
    def time(self) -> float:
        """When it happened, in seconds since 1970; ``time_ns`` has it exactly."""
        return self.time_ns / 1e9

    @property
    def time_ns(self) -> int:
        """When it happened, in nanoseconds since 1970."""
        return number_at(self.raw, "timeNano") or number_at(self.raw, "time") * 1_000_000_000

    def __repr__(self) -> str:
        return f"<Event {self.type} {self.action} {self.id[:12]}>"


class EventStream(DecodedStream[Event]):
    """
    Events as :class:`Event` values, until the block ends or the time given as ``until`` is reached.

    Attributes:
        reconnects: How often the connection was lost and another one opened (``open_events(reconnect=True)``).
        gaps: After how many of those events may be missing, because the engine no longer knew what had been seen. It is
            counted before the first event behind the gap is handed out.
    """

    def __init__(self, body: BodyStream) -> None:
        super().__init__(body, DocumentDecoder(Event))
        self.reconnects = 0
        self.gaps = 0
