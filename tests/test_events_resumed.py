"""Events that go on behind a lost connection: each of them once, whatever happens on the way."""

from __future__ import annotations

import gc
import json
import pickle
from collections.abc import Callable, Iterable, Sequence
from email.utils import formatdate
from typing import Any, Final

import attrs
import httpcore
import pytest
from anyio import (
    BusyResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    Event,
    create_task_group,
    fail_after,
    get_running_tasks,
    wait_all_tasks_blocked,
)
from anyio.lowlevel import checkpoint

import anydocker
from anydocker import (
    APIError,
    BadRequest,
    ConnectError,
    Docker,
    EngineFault,
    EventStream,
    Forbidden,
    NotFound,
    ProtocolError,
    TruncatedStream,
)
from anydocker._wire.query import nanoseconds
from anydocker.streams._resumed import EventHistory
from anydocker.testing import ReplayBackend, Reply, Request, chunked_reply, json_reply, scripted_engine
from tests.recorded import HOST, recorded, sweep

pytestmark = pytest.mark.anyio

SECOND: Final = 1_000_000_000
EPOCH: Final = 1_700_000_000
PATIENCE: Final = 20.0
END_MARK: Final = len(b"0\r\n\r\n")

RECORDED: Final = recorded("events")
REFUSED: Final = ConnectionRefusedError(111, "refused")


def document(number: int, *, at: float | None = None, **attributes: str) -> dict[str, Any]:
    """Event ``c<number>``, ``number`` seconds after the epoch of these tests unless ``at`` says otherwise."""
    time_ns = EPOCH * SECOND + round((number if at is None else at) * SECOND)
    actor = {"ID": f"c{number}", "Attributes": attributes}
    return {"Type": "container", "Action": "start", "Actor": actor, "timeNano": time_ns}


def documents(*numbers: int) -> list[dict[str, Any]]:
    return [document(number) for number in numbers]


def ended(events: Iterable[object] = (), *, date: float | None = None) -> Reply:
    """An answer that comes to a clean end behind these events."""
    reply = chunked_reply([json.dumps(event).replace("Infinity", "1e999").encode() + b"\n" for event in events])
    if date is None:
        return reply
    field = f"\r\nDate: {formatdate(EPOCH + date, usegmt=True)}\r\n".encode()
    return attrs.evolve(reply, data=reply.data.replace(b"\r\n", field, 1))


def lost(events: Iterable[object] = (), *, date: float | None = None) -> Reply:
    """An answer whose connection is lost behind these events."""
    reply = ended(events, date=date)
    return attrs.evolve(reply, cut_at=reply.end - END_MARK)


def held(events: Iterable[object] = (), *, date: float | None = None) -> Reply:
    """An answer after whose events nothing more comes."""
    reply = ended(events, date=date)
    return attrs.evolve(reply, data=reply.data[:-END_MARK])


class InTurn(httpcore.AsyncNetworkBackend):
    """An engine in memory with a reply, or an error, for each connection in turn; the last one is for good."""

    def __init__(self, *replies: Reply | OSError) -> None:
        self.replies = list(replies)
        self.engine = ReplayBackend({})
        self.on_dial: Callable[[], object] = lambda: None
        self.dialed = -1  # the first connection is for the version

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        turn, self.dialed = self.dialed, self.dialed + 1
        if turn >= 0:
            self.on_dial()
            reply = self.replies[min(turn, len(self.replies) - 1)]
            if isinstance(reply, OSError):
                raise reply
            self.engine.routes["GET /events"] = reply
        return await self.engine.connect_unix_socket("")

    def connect(self) -> Docker:
        return anydocker.connect(HOST, network_backend=self)


@attrs.define
class Memory:
    """A route: what an engine remembers, from ``since`` on, ``step`` events more each time; lost ``losses`` times."""

    events: Sequence[dict[str, Any]]
    losses: int
    step: int = 1000
    since: list[str | None] = attrs.field(factory=list[str | None])

    def __call__(self, request: Request, _: object) -> Reply:
        self.since.append(request.query.get("since"))
        begin = nanoseconds(self.since[-1] or "0")
        known = [event for event in self.events[: self.step * len(self.since)] if event["timeNano"] >= begin]
        return lost(known) if len(self.since) <= self.losses else held(known)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anydocker.streams._resumed._SHORTEST_PAUSE", 0.0)


async def take(events: EventStream, count: int) -> list[str]:
    with fail_after(PATIENCE):
        return [(await events.receive()).id for _ in range(count)]


# -- each event once


@sweep
async def test_a_stream_cut_anywhere_brings_every_event_once() -> None:
    recorded_events = await read_plain(RECORDED)
    assert len(recorded_events) == 3
    one_more = chunked_reply([json.dumps(document(4)).encode() + b"\n"])
    data = RECORDED.data[:-END_MARK] + one_more.data[one_more.head_size :]
    first = RECORDED.data.index(b"}\n\r\n")
    for cut in range(RECORDED.head_size, RECORDED.end):
        backend = InTurn(attrs.evolve(RECORDED, cut_at=cut), attrs.evolve(RECORDED, data=data))
        async with backend.connect() as d, d.open_events(reconnect=True) as events:
            assert [(await events.receive()).raw for _ in range(4)] == [*recorded_events, document(4)], cut
            assert events.reconnects == 1
            if not first < cut < first + 4:
                assert events.gaps == (cut <= first), cut
        assert backend.engine.open_connections == 0


@sweep
async def test_a_reconnection_cut_anywhere_in_its_head_is_tried_again() -> None:
    for cut in range(RECORDED.head_size):
        broken = attrs.evolve(RECORDED, cut_at=cut)
        backend = InTurn(lost(), broken, attrs.evolve(broken, reset=True), RECORDED)
        async with backend.connect() as d, d.open_events(reconnect=True) as events:
            assert len(await take(events, 3)) == 3
            assert (backend.dialed, events.reconnects) == (4, 1)


async def read_plain(reply: Reply) -> list[Any]:
    async with InTurn(reply).connect() as d, d.open_events() as events:
        return [event.raw async for event in events]


async def test_it_goes_on_over_many_losses_on_a_socket() -> None:
    """Each connection is lost behind seven events more than the one before."""
    happened = [document(n, at=n / 4) for n in range(40)]
    memory = Memory(happened, losses=5, step=7)
    async with scripted_engine({"GET /events": memory}) as engine, anydocker.connect(engine.host) as d:
        async with d.open_events(reconnect=True) as events:
            assert await take(events, 40) == [f"c{n}" for n in range(40)]
            assert (events.reconnects, events.gaps) == (5, 0)
            assert d.statistics().open_streams == 1
        # A second before the last event: the engine may put events in line a little later than it dates them.
        assert memory.since == [None, *(f"{EPOCH + at}".rstrip("0").rstrip(".") for at in (0.5, 2.25, 4.0, 5.75, 7.5))]
        assert d.statistics().open_streams == 0
        await engine.wait_connections(1)


async def test_the_first_half_of_a_document_is_dropped_with_its_connection() -> None:
    halves = chunked_reply([json.dumps(document(1)).encode() + b'\n{"timeNano":17000', b"00000}"])
    backend = InTurn(attrs.evolve(halves, cut_at=halves.end - END_MARK - 4), held(documents(1, 2)))
    async with backend.connect() as d, d.open_events(reconnect=True) as events:
        assert await take(events, 2) == ["c1", "c2"]


async def test_events_of_one_instant_are_told_apart() -> None:
    instant = [document(1, at=5, network="a"), document(1, at=5, network="b"), document(2, at=5), document(3, at=5)]
    backend = InTurn(lost(instant[:2]), lost(instant[:3]), lost(instant), held([*instant, document(4)]))
    async with backend.connect() as d, d.open_events(reconnect=True) as events:
        with fail_after(PATIENCE):
            seen = [(await events.receive()).raw for _ in range(5)]
        assert seen == [*instant, document(4)]


async def test_an_event_that_comes_late_is_not_missed() -> None:
    """Engines take the time first, and put the event in line later."""
    early, late = document(1, at=5.0), document(2, at=5.4)
    memory = Memory([late], losses=1)
    async with scripted_engine({"GET /events": memory}) as engine, anydocker.connect(engine.host) as d:
        async with d.open_events(reconnect=True, since=EPOCH) as events:
            assert await take(events, 1) == ["c2"]
            memory.events = [early, late]
            assert await take(events, 1) == ["c1"]


async def test_a_clock_that_is_set_back_neither_repeats_nor_hides() -> None:
    hours_later, now = document(1, at=7200), document(2, at=1)
    memory = Memory([hours_later, now], losses=1)
    async with scripted_engine({"GET /events": memory}) as engine, anydocker.connect(engine.host) as d:
        async with d.open_events(reconnect=True) as events:
            assert await take(events, 2) == ["c1", "c2"]
            memory.events = [hours_later, now, document(3, at=2)]
            assert await take(events, 1) == ["c3"]
            assert events.gaps == 0


async def test_events_without_a_time_do_not_move_the_place() -> None:
    odd: list[dict[str, Any]] = [{"Type": "x"}, {"timeNano": "soon"}, {"timeNano": -5}, {"time": 1e400}]
    routes = {"GET /events": [lost([document(1), *odd]), held([document(1), *odd, document(2)])]}
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        async with d.open_events(reconnect=True) as events:
            assert await take(events, 6) == ["c1", "", "", "", "", "c2"]
            assert (events.reconnects, events.gaps) == (1, 0)
        assert engine.requests[-1].query["since"] == f"{EPOCH + 1}"


# -- what is asked for


@pytest.mark.parametrize(
    ("arguments", "seen", "since"),
    [
        ({}, [], None),
        ({"since": EPOCH + 0.5}, [], f"{EPOCH}.5"),
        ({"since": 0}, [], "0"),
        ({"since": EPOCH}, [document(5, at=5.123456789)], f"{EPOCH + 4}.123456789"),
        ({"since": EPOCH + 5}, [document(5, at=5.1)], f"{EPOCH + 5}"),
        ({}, [document(5, at=5.1)], f"{EPOCH + 5}.1"),
        ({}, [document(5, at=5.1), document(6, at=5.3)], f"{EPOCH + 5}.1"),
        ({}, [document(5, at=5.1), document(7, at=7)], f"{EPOCH + 6}"),
        ({"until": EPOCH + 99}, [], None),
        ({"until": EPOCH + 99}, [document(1), document(5)], f"{EPOCH + 4}"),
    ],
)
async def test_where_it_goes_on(arguments: dict[str, Any], seen: list[dict[str, Any]], since: str | None) -> None:
    routes = {"GET /events": [lost(seen), held(documents(90))]}
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        async with d.open_events(reconnect=True, filters={"type": "container"}, **arguments) as events:
            assert (await take(events, len(seen) + 1))[-1] == "c90"
        first, second = (request.query for request in engine.requests if request.path == "/events")
    assert second.get("since") == since
    assert first.get("since") == (str(arguments["since"]) if "since" in arguments else None)
    for query in (first, second):
        assert query["filters"] == '{"type":["container"]}'
        assert query.get("until") == (str(arguments["until"]) if "until" in arguments else None)


@pytest.mark.parametrize(("until", "since"), [(None, f"{EPOCH + 3}"), (EPOCH + 99, None)])
async def test_before_the_first_event_it_goes_on_from_when_it_was_opened(until: int | None, since: str | None) -> None:
    routes = {"GET /events": [lost(date=3), lost(date=8), held(documents(9))]}
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        async with d.open_events(reconnect=True, until=until) as events:
            await take(events, 1)
        asked = [request.query.get("since") for request in engine.requests if request.path == "/events"]
    assert asked == [None, since, since]


async def test_a_stream_that_may_not_reconnect_does_not() -> None:
    backend = InTurn(lost(documents(1)), held(documents(2)))
    async with backend.connect() as d, d.open_events() as events:
        assert await take(events, 1) == ["c1"]
        for _ in range(2):
            with pytest.raises(TruncatedStream):
                await events.receive()
        assert (backend.dialed, events.reconnects, events.gaps) == (1, 0, 0)


# -- gaps


async def test_a_gap_is_counted_before_the_event_behind_it() -> None:
    backend = InTurn(lost(documents(1, 2)), lost(documents(2, 3)), lost(documents(7)), lost(), held(documents(9)))
    async with backend.connect() as d, d.open_events(reconnect=True) as events:
        found = [(await take(events, 1), events.gaps) for _ in range(5)]
        assert found == [(["c1"], 0), (["c2"], 0), (["c3"], 0), (["c7"], 1), (["c9"], 2)]
        assert events.reconnects == 4


async def test_what_is_remembered_is_bounded() -> None:
    history = EventHistory(None, None)
    sizes: list[int] = []
    for n in range(2000):
        event = anydocker.Event(document(n % 10, at=100_000 + n / 10))
        assert history.take([event]) == [event]
        assert history.take([event]) == []
        sizes.append(len(pickle.dumps(history)))
    assert max(sizes) < sizes[600] * 1.1
    # As many as an engine may send again, and more.
    again = [anydocker.Event(document(n % 10, at=100_000 + n / 10)) for n in range(2000 - 512, 2000)]
    assert history.take(again) == []
    burst = [anydocker.Event(document(n, at=200_000 + n / 10_000)) for n in range(5000)]
    assert history.take(burst) == burst
    assert history.take(burst) == []


# -- the end


async def test_the_end_that_was_asked_for_is_the_end() -> None:
    backend = InTurn(ended(documents(1), date=60))
    async with backend.connect() as d, d.open_events(reconnect=True, until=EPOCH + 60) as events:
        assert [event.id async for event in events] == ["c1"]
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await take(events, 1)
        assert await events.receive_many() == []
    assert backend.dialed == 1


@pytest.mark.parametrize("date", [None, 58])
async def test_an_end_that_may_be_early_is_asked_about_once_more(date: float | None) -> None:
    backend = InTurn(ended(documents(1), date=date))
    async with backend.connect() as d, d.open_events(reconnect=True, until=EPOCH + 60) as events:
        assert [event.id async for event in events] == ["c1"]
        with pytest.raises(EndOfStream):
            await take(events, 1)
    assert backend.dialed == 2


async def test_the_clean_end_of_an_engine_that_shuts_down_is_none() -> None:
    backend = InTurn(
        ended(documents(1)),
        REFUSED,
        ended(documents(1)),
        ended(documents(1, 2)),
        lost(documents(2)),
        ended(documents(2, 3)),
    )
    async with backend.connect() as d, d.open_events(reconnect=True, until=EPOCH + 60) as events:
        assert [event.id async for event in events] == ["c1", "c2", "c3"]
    assert backend.dialed == 7


async def test_two_clean_ends_with_a_loss_between_are_no_end() -> None:
    backend = InTurn(ended(documents(1)), lost(documents(1)), ended(documents(1)))
    async with backend.connect() as d, d.open_events(reconnect=True, until=EPOCH + 60) as events:
        assert [event.id async for event in events] == ["c1"]
    assert backend.dialed == 4


async def test_without_until_there_is_no_end() -> None:
    backend = InTurn(ended(documents(1)), ended(), ended(), ended(documents(1, 2)), held(documents(3)))
    async with backend.connect() as d, d.open_events(reconnect=True) as events:
        assert await take(events, 3) == ["c1", "c2", "c3"]


# -- what heals, and what does not


async def test_an_engine_that_is_not_there_yet_is_tried_again() -> None:
    backend = InTurn(
        lost(documents(1)),
        REFUSED,
        FileNotFoundError(2, "no socket"),
        PermissionError(13, "not yet"),
        json_reply({"message": "starting"}, 503),
        json_reply({"message": "starting"}, 500),
        attrs.evolve(RECORDED, cut_at=0),
        held(documents(1, 2)),
    )
    async with backend.connect() as d, d.open_events(reconnect=True) as events:
        assert await take(events, 2) == ["c1", "c2"]
        assert (events.reconnects, events.gaps) == (1, 0)
    assert backend.dialed == 8


@pytest.mark.parametrize(("status", "error"), [(400, BadRequest), (403, Forbidden), (404, NotFound), (418, APIError)])
async def test_a_refusal_is_final(status: int, error: type[APIError]) -> None:
    backend = InTurn(lost(documents(1)), json_reply({"message": "no"}, status), held(documents(2)))
    async with backend.connect() as d, d.open_events(reconnect=True) as events:
        assert await take(events, 1) == ["c1"]
        for _ in range(2):
            with pytest.raises(error, match="no") as caught:
                await take(events, 1)
            assert caught.value.status == status
    assert backend.dialed == 2
    assert backend.engine.open_connections == 0


async def test_what_is_no_event_is_final() -> None:
    reply = chunked_reply([b'{"timeNano":1}\n', b"nonsense\n"])
    backend = InTurn(reply, held(documents(2)))
    async with backend.connect() as d, d.open_events(reconnect=True) as events:
        await take(events, 1)
        for _ in range(2):
            with pytest.raises(ProtocolError, match="nonsense"):
                await take(events, 1)
    assert backend.dialed == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [(REFUSED, ConnectError), (json_reply({}, 500), EngineFault), (attrs.evolve(RECORDED, cut_at=9), TruncatedStream)],
)
async def test_the_first_connection_is_made_or_fails_at_once(reply: Reply | OSError, error: type[Exception]) -> None:
    backend = InTurn(reply, held())
    async with backend.connect() as d:
        with pytest.raises(error):
            async with d.open_events(reconnect=True):
                raise AssertionError
        assert d.statistics().open_streams == 0
    assert backend.dialed == 1


async def test_the_pauses_grow_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anydocker.streams._resumed._SHORTEST_PAUSE", 0.1)
    monkeypatch.setattr("anydocker.streams._resumed.current_time", lambda: 1000.0)
    deadlines: list[float] = []

    async def sleep_until(deadline: float) -> None:
        deadlines.append(deadline)

    monkeypatch.setattr("anydocker.streams._resumed.sleep_until", sleep_until)
    down = [REFUSED] * 8
    backend = InTurn(lost(documents(1)), *down, lost(documents(1)), lost(documents(2)), REFUSED, held(documents(3)))
    async with backend.connect() as d, d.open_events(reconnect=True) as events:
        assert await take(events, 3) == ["c1", "c2", "c3"]
    # At once, then later and later; at once again as soon as something new has come.
    growing = [0.0, 1000.1, 1000.2, 1000.4, 1000.8, 1001.6, 1003.2, 1005.0, 1005.0, 1005.0]
    assert deadlines == [pytest.approx(deadline) for deadline in [*growing, 0.0, 1000.1]]


# -- cancellation, closing, leaks


async def test_a_read_cancelled_while_it_dials_goes_on() -> None:
    backend = InTurn(lost(documents(1)), REFUSED, lost(documents(1)), held(documents(1, 2)))
    cancelled = 0
    async with backend.connect() as d, d.open_events(reconnect=True) as events:
        assert await take(events, 1) == ["c1"]
        seen: list[str] = []
        with fail_after(PATIENCE):
            while not seen:
                # Every second attempt to dial is cancelled; one that is cancelled has used up its turn.
                with CancelScope() as scope:
                    backend.on_dial = scope.cancel if cancelled < 3 else (lambda: None)
                    seen += [(await events.receive()).id]
                cancelled += scope.cancelled_caught
        assert seen == ["c2"]
        assert cancelled == 3
        assert events.gaps == 0
    assert backend.engine.open_connections == 0


@sweep
async def test_a_read_cancelled_at_any_checkpoint_loses_nothing() -> None:
    """The n-th checkpoint cancels the read, the next one that after it, and so on."""
    for start in range(1, 40):
        backend = InTurn(lost(documents(1, 2)), lost(documents(1, 2, 3)), REFUSED, ended(), held(documents(1, 2, 3, 4)))
        async with backend.connect() as d, d.open_events(reconnect=True) as events:
            seen: list[str] = []
            patience = start
            with fail_after(PATIENCE):
                while len(seen) < 4:
                    patience += 1
                    with CancelScope() as scope:
                        async with create_task_group() as group:
                            group.start_soon(cancel_after, patience, scope)
                            seen.append((await events.receive()).id)
                            group.cancel_scope.cancel()
            assert seen == ["c1", "c2", "c3", "c4"], start
            assert events.gaps == 0


async def cancel_after(checkpoints: int, scope: CancelScope) -> None:
    for _ in range(checkpoints):
        await checkpoint()
    scope.cancel()


async def test_a_block_that_ends_while_it_reconnects() -> None:
    backend = InTurn(lost(documents(1)), held(documents(1, 2)))
    async with backend.connect() as d:
        opened = d.open_events(reconnect=True)
        events = await opened.__aenter__()
        assert await take(events, 1) == ["c1"]
        left = Event()

        async def leave() -> None:
            await opened.__aexit__(None, None, None)
            left.set()

        with fail_after(PATIENCE):
            async with create_task_group() as group:
                backend.on_dial = lambda: group.start_soon(leave)
                with pytest.raises(ClosedResourceError):
                    await events.receive()
                await left.wait()
        with pytest.raises(ClosedResourceError):
            await events.receive()
        assert d.statistics().open_streams == 0
    assert backend.engine.open_connections == 0


async def test_a_client_that_is_closed_ends_the_stream() -> None:
    backend = InTurn(lost(documents(1)), held())
    async with backend.connect() as d:
        opened = d.open_events(reconnect=True)
        events = await opened.__aenter__()
        assert await take(events, 1) == ["c1"]
    with pytest.raises(ClosedResourceError):
        await events.receive()
    await opened.__aexit__(None, None, None)
    assert backend.dialed == 1


async def test_two_readers_are_one_too_many() -> None:
    async with InTurn(held()).connect() as d, d.open_events(reconnect=True) as events:
        with fail_after(PATIENCE):
            async with create_task_group() as group:
                group.start_soon(events.receive)
                await wait_all_tasks_blocked()
                with pytest.raises(BusyResourceError):
                    await events.receive()
                group.cancel_scope.cancel()


async def test_a_second_reader_is_one_too_many_while_the_first_waits_to_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anydocker.streams._resumed._SHORTEST_PAUSE", 1000.0)
    monkeypatch.setattr("anydocker.streams._resumed._LONGEST_PAUSE", 1000.0)
    backend = InTurn(lost(), REFUSED)
    async with backend.connect() as d, d.open_events(reconnect=True) as events:
        with fail_after(PATIENCE):
            async with create_task_group() as group:
                group.start_soon(events.receive)
                await wait_all_tasks_blocked()
                assert (backend.dialed, d.statistics().open_streams) == (2, 0)
                with pytest.raises(BusyResourceError):
                    await events.receive()
                group.cancel_scope.cancel()


async def test_nothing_runs_in_the_background() -> None:
    before = {task.id for task in get_running_tasks()}
    backend = InTurn(lost(documents(1)), lost(documents(1)), held(documents(2)))
    async with backend.connect() as d, d.open_events(reconnect=True) as events:
        for _ in range(2):
            await take(events, 1)
            assert {task.id for task in get_running_tasks()} == before


async def test_a_stream_that_is_dropped_warns() -> None:
    async with InTurn(held()).connect() as d:
        opened = [d.open_events(reconnect=True)]
        await opened[0].__aenter__()
        before = get_running_tasks()
        # trio has a warning of its own beside ours.
        with pytest.warns(ResourceWarning, match=r"unclosed <ResumedEventStream|was garbage collected"):
            opened.clear()
            gc.collect()
            with fail_after(PATIENCE):
                while d.statistics().open_streams or get_running_tasks() != before:
                    await checkpoint()
