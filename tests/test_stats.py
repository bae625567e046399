from __future__ import annotations

import json
from typing import Any

import pytest

import anydocker
from anydocker import Event, Stats
from anydocker._wire.documents import section_at
from anydocker.errors import ProtocolError, TruncatedStream
from anydocker.streams._base import DocumentDecoder
from anydocker.testing import ReplayBackend, chunked_reply
from tests.helpers import decode, keeps_raising

SECOND = 1_000_000_000  # in nanoseconds, of which processor time is counted

# A sample on control groups of version 1, with what matters of it; two processors, half of one of them used.
V1: dict[str, Any] = {
    "name": "/web",
    "id": "c0ffee" * 10 + "c0ff",
    "cpu_stats": {
        "cpu_usage": {"total_usage": 10 * SECOND + SECOND // 2, "percpu_usage": [6 * SECOND, 4 * SECOND + SECOND // 2]},
        "system_cpu_usage": 1002 * SECOND,
        "online_cpus": 2,
    },
    "precpu_stats": {
        "cpu_usage": {"total_usage": 10 * SECOND, "percpu_usage": [5 * SECOND, 5 * SECOND]},
        "system_cpu_usage": 1000 * SECOND,
        "online_cpus": 2,
    },
    "memory_stats": {
        "usage": 100 << 20,
        "limit": 400 << 20,
        "stats": {"cache": 60 << 20, "inactive_file": 30 << 20, "total_inactive_file": 40 << 20},
    },
    "networks": {
        "eth0": {"rx_bytes": 1000, "tx_bytes": 10, "rx_packets": 5},
        "eth1": {"rx_bytes": 500, "tx_bytes": 1},
    },
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 8, "minor": 0, "op": "Read", "value": 4096},
            {"major": 8, "minor": 0, "op": "Write", "value": 100},
            {"major": 8, "minor": 0, "op": "Sync", "value": 4196},
            {"major": 8, "minor": 0, "op": "Async", "value": 0},
            {"major": 8, "minor": 0, "op": "Total", "value": 4196},
            {"major": 8, "minor": 1, "op": "Read", "value": 1},
        ]
    },
    "pids_stats": {"current": 3},
}
# The same on version 2: no time for each processor, other names for the page cache and for the disk's operations.
V2: dict[str, Any] = V1 | {
    "cpu_stats": V1["cpu_stats"] | {"cpu_usage": {"total_usage": 10 * SECOND + SECOND // 2}},
    "precpu_stats": V1["precpu_stats"] | {"cpu_usage": {"total_usage": 10 * SECOND}},
    "memory_stats": {"usage": 100 << 20, "limit": 400 << 20, "stats": {"file": 60 << 20, "inactive_file": 40 << 20}},
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 8, "minor": 0, "op": "read", "value": 4097},
            {"major": 8, "minor": 0, "op": "write", "value": 100},
        ]
    },
}
# What engines send for a container that is not running.
STOPPED: dict[str, Any] = {
    "name": "/web",
    "id": "c0ffee",
    "cpu_stats": {"cpu_usage": {"total_usage": 0}},
    "precpu_stats": {"cpu_usage": {"total_usage": 0}},
    "memory_stats": {},
    "blkio_stats": {"io_service_bytes_recursive": None},
    "pids_stats": {},
}


def with_cpu(**changes: Any) -> Stats:
    return Stats(V1 | {"cpu_stats": V1["cpu_stats"] | changes})


@pytest.mark.parametrize("raw", [V1, V2], ids=["v1", "v2"])
def test_running(raw: dict[str, Any]) -> None:
    stats = Stats(raw)
    assert (stats.id, stats.name) == (V1["id"], "web")
    # Half a second of the four that two processors had in two seconds of each.
    assert stats.cpu_percent == 50.0
    assert stats.memory_used == 60 << 20
    assert stats.memory_limit == 400 << 20
    assert stats.memory_percent == 15.0
    assert (stats.network_received, stats.network_sent) == (1500, 11)
    assert (stats.block_read, stats.block_written) == (4097, 100)
    assert stats.pids == 3
    assert stats.raw is raw
    assert repr(stats) == f"<Stats web cpu 50.0% memory {60 << 20}>"


HOLLOW: dict[str, Any] = {"networks": {"eth0": {}}, "cpu_stats": {"cpu_usage": {}}, "precpu_stats": {"cpu_usage": {}}}


@pytest.mark.parametrize("raw", [STOPPED, {}, dict.fromkeys(V1), HOLLOW], ids=["stopped", "empty", "null", "hollow"])
def test_not_running(raw: dict[str, Any]) -> None:
    stats = Stats(raw)
    assert (stats.cpu_percent, stats.memory_used, stats.memory_limit, stats.memory_percent) == (0.0, 0, 0, 0.0)
    assert (stats.network_received, stats.network_sent, stats.block_read, stats.block_written) == (0, 0, 0, 0)
    assert stats.pids == 0
    assert repr(stats).startswith("<Stats ")


def test_without_a_name_the_id_is_shown() -> None:
    assert repr(Stats({"id": "c0ffee" * 10})) == "<Stats c0ffeec0ffee cpu 0.0% memory 0>"


@pytest.mark.parametrize(
    ("changes", "percent"),
    [
        ({"online_cpus": 4}, 100.0),
        ({"online_cpus": 0}, 50.0),
        ({"online_cpus": None}, 50.0),
        ({"online_cpus": 0, "cpu_usage": {"total_usage": 11 * SECOND, "percpu_usage": None}}, 50.0),
        ({"cpu_usage": {"total_usage": 14 * SECOND}}, 400.0),
        ({"cpu_usage": {"total_usage": 10 * SECOND}}, 0.0),
        ({"cpu_usage": {"total_usage": 9 * SECOND}}, 0.0),
        ({"system_cpu_usage": 1000 * SECOND}, 0.0),
        ({"system_cpu_usage": 1}, 0.0),
    ],
)
def test_processor_time(changes: dict[str, Any], percent: float) -> None:
    assert with_cpu(**changes).cpu_percent == percent


def test_the_first_sample_has_no_processor_time() -> None:
    before = {"cpu_usage": {"total_usage": 0}}
    assert Stats(V1 | {"precpu_stats": before}).cpu_percent == 0.0


@pytest.mark.parametrize(
    ("memory", "used"),
    [
        ({"usage": 10, "stats": {"total_inactive_file": 4, "inactive_file": 1}}, 6),
        ({"usage": 10, "stats": {"inactive_file": 1}}, 9),
        ({"usage": 10, "stats": {"inactive_file": 10}}, 10),
        ({"usage": 10, "stats": {"inactive_file": 11}}, 10),
        ({"usage": 10, "stats": {}}, 10),
        ({"usage": 10, "stats": None}, 10),
        ({"usage": 10}, 10),
    ],
)
def test_memory_without_the_page_cache(memory: dict[str, Any], used: int) -> None:
    assert Stats({"memory_stats": memory}).memory_used == used


@pytest.mark.anyio
@pytest.mark.parametrize("raw", [V1, V2, STOPPED], ids=["v1", "v2", "stopped"])
async def test_stream(raw: dict[str, Any]) -> None:
    reply = chunked_reply([json.dumps(raw).encode() + b"\n"] * 2)
    backend = ReplayBackend({"GET /containers/web/stats": reply})
    async with (
        anydocker.connect("unix:///nowhere", network_backend=backend) as d,
        d.containers.container("web").open_stats() as samples,
    ):
        assert [sample async for sample in samples] == [Stats(raw)] * 2


# -- events

EVENT: dict[str, Any] = {
    "status": "die",
    "id": "c0ffee" * 10,
    "Type": "container",
    "Action": "die",
    "Actor": {"ID": "c0ffee" * 10, "Attributes": {"exitCode": "3", "name": "web"}},
    "scope": "local",
    "time": 1700000000,
    "timeNano": 1700000000123456789,
}


def test_event() -> None:
    event = Event(EVENT)
    assert (event.type, event.action, event.id) == ("container", "die", "c0ffee" * 10)
    assert event.attributes == {"exitCode": "3", "name": "web"}
    assert event.time_ns == 1700000000123456789
    assert event.time == pytest.approx(1700000000.123456789)
    assert event.raw is EVENT
    assert repr(event) == "<Event container die c0ffeec0ffee>"


@pytest.mark.parametrize("raw", [{}, {"Actor": None}, {"Actor": {"Attributes": None}}, {"Actor": {}, "timeNano": 0}])
def test_event_that_says_little(raw: dict[str, Any]) -> None:
    event = Event(raw)
    assert (event.type, event.action, event.id, event.attributes) == ("", "", "", {})
    assert (event.time, event.time_ns) == (0.0, 0)


def test_event_that_knows_the_second_only() -> None:
    assert Event({"time": 1700000000}).time_ns == 1700000000 * SECOND


@pytest.mark.anyio
async def test_event_stream() -> None:
    backend = ReplayBackend({"GET /events": chunked_reply([json.dumps(EVENT).encode() + b"\n"] * 2)})
    async with anydocker.connect("unix:///nowhere", network_backend=backend) as d, d.open_events() as events:
        assert [event async for event in events] == [Event(EVENT)] * 2


# -- the documents behind both


def test_documents_become_values() -> None:
    decoder = DocumentDecoder(Event)
    assert decode(decoder, [b'{"Type":"a"}\n{"Ty', b'pe":"b"}\n']) == (
        [Event({"Type": "a"}), Event({"Type": "b"})],
        None,
    )
    assert decoder.receive_eof() == []
    decoder.receive_data(b'{"Type"')
    with pytest.raises(TruncatedStream):
        decoder.receive_eof()


@pytest.mark.parametrize("bad", [b"7\n", b"[]\n", b'"x"\n', b"null\n", b"{nope}\n"])
def test_what_is_no_object_is_refused_behind_the_good_ones(bad: bytes) -> None:
    for before in ([], [{"Type": "a"}]):
        decoder = DocumentDecoder(Event)
        stream = b"".join(json.dumps(document).encode() for document in before)
        out, error = decode(decoder, [stream + bad + b"{}\n"])
        assert [event.raw for event in out] == before
        assert type(error) is ProtocolError
        keeps_raising(decoder, error, b"{}\n")


def test_what_only_the_end_completes_is_judged_too() -> None:
    decoder = DocumentDecoder(Event)
    assert decoder.receive_data(b"7") == []
    with pytest.raises(ProtocolError, match="not an object: 7"):
        decoder.receive_eof()


@pytest.mark.parametrize("part", [None, 7, "text", [1], True])
def test_section_that_is_none(part: object) -> None:
    assert section_at({"key": part}, "key") == {}
    assert section_at({}, "key") == {}


def test_section_at() -> None:
    assert section_at({"key": {"a": 1}}, "key") == {"a": 1}
