"""
Events that go on where a connection was lost.

An engine keeps its last events (dockerd: 256, in memory) and repeats those behind ``since``. So a reader that dials
again asks for what came behind the last event it has seen, and for a little more: engines take the time of an event
before they put it in line, so two events may come the wrong way round. What has been seen is dropped by its content.

One repeated event is proof that there is no gap: the engine's memory reaches back to what was seen. If there is none,
the engine has been started anew, or more has happened than it keeps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, TypeAlias

from anyio import ClosedResourceError, ResourceGuard, current_time, sleep_until

from anydocker._wire.query import encode_nanoseconds
from anydocker.errors import APIError, ConnectError, EngineFault, TruncatedStream
from anydocker.streams._base import BodyStream, DocumentDecoder, warn_if_dropped
from anydocker.streams._events import Event, EventStream

__all__ = ("EventHistory", "ResumedEventStream", "open_resumed")

OpenSince: TypeAlias = Callable[[str | None], AbstractAsyncContextManager[BodyStream]]

# Pauses between two attempts to reach the engine again, in seconds. The first attempt is made at once.
_SHORTEST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
# How far the times of two events may be out of order, in nanoseconds. Too much costs nothing but events sent twice.
_DISORDER: Final = 1_000_000_000
# Events that are recognized when they come again, at least: twice as many as an engine keeps.
_REMEMBERED: Final = 512


class EventHistory:
    """
    Which events have been seen, as far back as an engine may repeat them.

    Attributes:
        gaps: After how many reconnections the engine no longer knew the last events that had been seen.
    """

    def __init__(self, since: int | None, until: int | None) -> None:
        self.gaps = 0
        self.until = until
        self._floor = since  # what comes before it was not asked for
        self._opened: int | None = None
        self._last = 0
        self._order: deque[tuple[int, str]] = deque()
        self._seen: set[str] = set()
        self._connected_to_the_past = True

    @property
    def since(self) -> str | None:
        """Where the next connection is to begin, as the engine takes it."""
        begin = self._opened if self._floor is None else self._floor
        if self._last:
            # The floor is not above the last event, unless the engine's clock was set back.
            begin = max(self._last - _DISORDER, min(self._last, begin or 0))
        return None if begin is None else encode_nanoseconds(begin)

    def open(self, engine_time: int | None) -> None:
        """Learn when the first connection was opened, by the engine's clock."""
        if self.until is None:
            # Without since, but with until, an engine sends all it has.
            self._opened = engine_time

    def reopen(self) -> None:
        """Learn that what comes now comes on another connection."""
        self._connected_to_the_past = False

    def take(self, events: list[Event]) -> list[Event]:
        """Return those events that have not been seen, and remember them."""
        return [event for event in events if self._is_new(event)]

    def _is_new(self, event: Event) -> bool:
        key = repr(event.raw)
        if key in self._seen:
            self._connected_to_the_past = True
            return False
        if not self._connected_to_the_past:
            self._connected_to_the_past = True
            self.gaps += 1
        self._remember(_time_of(event) or self._last, key)
        return True

    def _remember(self, time: int, key: str) -> None:
        if self._floor is None and time:
            self._floor = time
        self._last = time
        self._seen.add(key)
        self._order.append((time, key))
        while len(self._order) > _REMEMBERED and abs(time - self._order[0][0]) > _DISORDER:
            self._seen.remove(self._order.popleft()[1])


class ResumedEventStream(EventStream):
    """
    Events of one connection after the other. All state is in attributes, so a cancelled read can be repeated anywhere.

    Made by :func:`open_resumed`.
    """

    def __init__(
        self, open_since: OpenSince, history: EventHistory, connection: AsyncExitStack, body: BodyStream
    ) -> None:
        super().__init__(body)
        self._open_since = open_since
        self._history = history
        self._connection = connection
        self._connected = True
        self._closed = False
        self._pause = 0.0
        self._next_attempt = 0.0
        self._clean_end = False  # the last connection came to a clean end, and nothing new since
        self._receiving = ResourceGuard("receiving from")

    async def _receive_batch(self) -> list[Event]:
        with self._receiving:
            if self._closed:
                raise ClosedResourceError
            if not self._connected and not await self._reconnect():
                return []
            try:
                new = self._history.take(await super()._receive_batch())
            except TruncatedStream:
                self._connected = self._clean_end = False
                return []
            self.gaps = self._history.gaps
            if new:
                self._pause = self._next_attempt = 0.0
                self._clean_end = False
            if self._ended:
                self._judge_end()
            return new

    def _judge_end(self) -> None:
        """
        Go on behind a clean end, unless it is the one that was asked for.

        An engine that is shut down may end its streams as cleanly as one that has come to ``until``. The first
        will not do so twice.
        """
        until = self._history.until
        is_over = until is not None and (self._clean_end or (_engine_time(self._body) or 0) >= until)
        self._ended = is_over
        self._connected = is_over
        self._clean_end = True

    async def _reconnect(self) -> bool:
        """Try once to reach the engine again, when it is time to."""
        await self._connection.aclose()
        await sleep_until(self._next_attempt)
        self._pause = min(max(2 * self._pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        self._next_attempt = current_time() + self._pause
        try:
            body = await self._connection.enter_async_context(self._open_since(self._history.since))
        except (ConnectError, TruncatedStream, EngineFault):
            self._clean_end = False
            return False
        except APIError as exc:
            self._failure = exc
            raise
        if self._closed:
            await self._connection.aclose()
            raise ClosedResourceError
        self._read_from(body, DocumentDecoder(Event))
        self._connected = True
        self.reconnects += 1
        self._history.reopen()
        return True

    async def _close(self) -> None:
        self._closed = True
        await self._connection.aclose()


@asynccontextmanager
async def open_resumed(open_since: OpenSince, history: EventHistory) -> AsyncGenerator[EventStream, None]:
    """
    Open a stream that dials again, with ``open_since``, whenever its connection is lost.

    Raises:
        DockerError: The first connection cannot be made.
    """
    connection = AsyncExitStack()
    body = await connection.enter_async_context(open_since(history.since))
    history.open(_engine_time(body))
    stream = ResumedEventStream(open_since, history, connection, body)
    try:
        with warn_if_dropped(stream):
            yield stream
    finally:
        await stream.aclose()


def _engine_time(body: BodyStream) -> int | None:
    """When the engine answered, in nanoseconds since 1970, by its own clock, the fraction cut off; None: unknown."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - costly, and of use here only

    try:
        return int(parsedate_to_datetime(body.headers.get("date", "")).timestamp()) * 1_000_000_000
    except (TypeError, ValueError):
        return None


def _time_of(event: Event) -> int:
    """When it happened, in nanoseconds since 1970; 0 if it does not say, as every engine does."""
    try:
        return max(0, event.time_ns)
    except (TypeError, ValueError, OverflowError):
        return 0
