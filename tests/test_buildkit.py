"""BuildKit's trace: the decoder, what a real engine sent, and what a stream of events makes of it."""

from __future__ import annotations

import datetime as dt
import json
from base64 import b64encode
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anydocker import BuildEvent, BuildLog, BuildStatus, BuildStep, BuildTrace, BuildWarning
from anydocker._wire.buildkit import decode_trace
from anydocker.errors import BuildFailed, ProtocolError
from anydocker.streams._progress import BuildDecoder
from tests.helpers import borders, decode, keeps_raising, split
from tests.recorded import recorded

UTC: Final = dt.UTC
NOON: Final = dt.datetime(2024, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)


# -- an encoder, to have something to decode


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def moment(when: dt.datetime) -> bytes:
    since = when - dt.datetime(1970, 1, 1, tzinfo=UTC)
    return field(1, since // dt.timedelta(seconds=1)) + field(2, since.microseconds * 1000)


def encoded(message: bytes) -> str:
    return b64encode(message).decode()


STEP: Final = (
    field(1, "sha256:a")
    + field(2, "sha256:b")
    + field(2, "sha256:c")
    + field(3, "[2/2] RUN ä")
    + field(4, 1)
    + field(5, moment(NOON))
    + field(6, moment(NOON + dt.timedelta(days=1)))
    + field(7, "bad")
)
STATUS: Final = (
    field(1, "layer")
    + field(2, "sha256:a")
    + field(3, "pulling")
    + field(4, 5)
    + field(5, 300)
    + field(6, moment(NOON))
    + field(7, moment(NOON))
    + field(8, moment(NOON))
)
LOG: Final = field(1, "sha256:a") + field(2, moment(NOON)) + field(3, 2) + field(4, b"\xff\0")
WARNING: Final = (
    field(1, "sha256:a")
    + field(2, 1)
    + field(3, "short")
    + field(4, "one")
    + field(4, "two")
    + field(5, "https://u")
    + field(6, field(1, "Dockerfile") + field(2, b"FROM a"))
    + field(7, field(1, field(1, 4) + field(2, 9)) + field(2, field(1, 5)))
    + field(7, field(1, field(1, 7)))
)
WHOLE: Final = field(1, STEP) + field(2, STATUS) + field(3, LOG) + field(4, WARNING) + field(1, field(1, "sha256:z"))
TRACE: Final = BuildTrace(
    steps=(
        BuildStep(
            digest="sha256:a",
            name="[2/2] RUN ä",
            inputs=("sha256:b", "sha256:c"),
            cached=True,
            started=NOON,
            completed=NOON + dt.timedelta(days=1),
            error="bad",
        ),
        BuildStep(digest="sha256:z"),
    ),
    statuses=(
        BuildStatus(
            id="layer",
            step="sha256:a",
            name="pulling",
            current=5,
            total=300,
            timestamp=NOON,
            started=NOON,
            completed=NOON,
        ),
    ),
    logs=(BuildLog(step="sha256:a", stream="stderr", data=b"\xff\0", timestamp=NOON),),
    warnings=(
        BuildWarning(
            step="sha256:a",
            text="short",
            detail=("one", "two"),
            url="https://u",
            filename="Dockerfile",
            line=4,
            level=1,
        ),
    ),
)


# -- the decoder


def test_every_field() -> None:
    assert decode_trace(encoded(WHOLE)) == TRACE


def test_what_is_not_there_is_zero() -> None:
    assert decode_trace("") == BuildTrace()
    empty = field(1, b"") + field(2, b"") + field(3, b"") + field(4, b"")
    assert decode_trace(encoded(empty)) == BuildTrace(
        (BuildStep(digest=""),),
        (BuildStatus(id="", step=""),),
        (BuildLog(step="", stream="stdout", data=b""),),
        (BuildWarning(step="", text=""),),
    )


def test_the_last_of_several_counts() -> None:
    assert decode_trace(encoded(field(1, field(3, "first") + field(3, "last")))).steps[0].name == "last"


@pytest.mark.parametrize("current", [0, 1, 127, 128, 2**31, 2**63 - 1, -1, -(2**63)])
def test_numbers_have_64_bits_and_a_sign(current: int) -> None:
    assert decode_trace(encoded(field(2, field(4, current)))).statuses[0].current == current


@pytest.mark.parametrize(
    ("message", "when"),
    [
        (b"", dt.datetime(1970, 1, 1, tzinfo=UTC)),
        (field(1, -62_135_596_800), dt.datetime(1, 1, 1, tzinfo=UTC)),
        (field(1, 1) + field(2, 999_999_999), dt.datetime(1970, 1, 1, 0, 0, 1, 999_999, tzinfo=UTC)),
    ],
)
def test_times(message: bytes, when: dt.datetime) -> None:
    assert decode_trace(encoded(field(1, field(5, message)))).steps[0].started == when


# Fields of each form that nobody knows.
UNKNOWN: Final = (
    field(99, 7) + field(98, b"bytes") + varint(97 << 3 | 1) + bytes(8) + varint(96 << 3 | 5) + b"four" + field(15, "")
)


def test_unknown_fields_are_passed_over() -> None:
    messages = (field(1, UNKNOWN + STEP), field(2, STATUS + UNKNOWN), field(3, UNKNOWN + LOG), field(4, WARNING))
    again = UNKNOWN.join([b"", *messages, field(1, field(1, "sha256:z")), b""])
    assert decode_trace(encoded(again)) == TRACE


MALFORMED: Final[list[tuple[object, str]]] = [
    (None, "base64"),
    ({"ID": "x"}, "base64"),
    ("no base64!", "base64"),
    ("abc", "base64"),
    ("ä", "base64"),
    (encoded(b"\x08"), "cut short"),
    (encoded(b"\x0a\x05abc"), "cut short"),
    (encoded(b"\x0a" + b"\xff" * 9 + b"\x01"), "cut short"),
    (encoded(b"\xff" * 10 + b"\x01"), "longer than 64 bits"),
    (encoded(field(1, 7)), "the form of a number"),
    (encoded(field(1, field(1, 7))), "the form of a number"),
    (encoded(field(2, field(4, b"7"))), "the form of bytes"),
    (encoded(field(1, field(4, b"1"))), "the form of bytes"),
    (encoded(varint(1 << 3 | 5) + bytes(3)), "cut short"),
    (encoded(varint(1 << 3 | 3)), "field 1 of form 3"),
    (encoded(field(0, 1)), "field 0 of form 0"),
    (encoded(field(1, field(5, field(1, 2**62)))), "out of range"),
]


@pytest.mark.parametrize(("text", "message"), MALFORMED, ids=[f"{n}-{bad[1]}" for n, bad in enumerate(MALFORMED)])
def test_malformed(text: object, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        decode_trace(text)


def test_a_cut_is_an_error_or_at_the_border_of_a_field() -> None:
    borders = {0, *(len(part) for part in (field(1, STEP), WHOLE))}
    borders |= {len(field(1, STEP) + field(2, STATUS)), len(field(1, STEP) + field(2, STATUS) + field(3, LOG))}
    borders |= {len(WHOLE) - len(field(1, field(1, "sha256:z")))}
    for end in range(len(WHOLE) + 1):
        try:
            decode_trace(encoded(WHOLE[:end]))
        except ProtocolError:
            assert end not in borders
        else:
            assert end in borders


@given(st.binary(max_size=60))
@example(b"\x80" * 12)
def test_any_bytes_are_a_trace_or_a_protocol_error(data: bytes) -> None:
    for message in (data, field(1, data), field(2, data), field(4, field(7, data)), field(1, field(5, data))):
        try:
            trace = decode_trace(encoded(message))
        except ProtocolError:
            continue
        assert isinstance(trace, BuildTrace)


@given(st.text(max_size=12))
def test_any_text_is_a_trace_or_a_protocol_error(text: str) -> None:
    try:
        trace = decode_trace(text)
    except ProtocolError:
        return
    assert isinstance(trace, BuildTrace)


# -- the events


def event(*messages: bytes) -> dict[str, Any]:
    return {"id": "moby.buildkit.trace", "aux": encoded(b"".join(messages))}


def step(digest: str, name: str, **fields: int | str) -> bytes:
    """A step: ``started``, ``completed`` in seconds; ``cached``; ``error``."""
    numbers = {"cached": 4, "started": 5, "completed": 6, "error": 7}
    parts = [field(1, digest), field(3, name)]
    for key, value in fields.items():
        parts.append(field(numbers[key], field(1, value) if key in ("started", "completed") else value))
    return field(1, b"".join(parts))


def log(digest: str, data: bytes, stream: int = 1) -> bytes:
    return field(3, field(1, digest) + field(3, stream) + field(4, data))


def documents(*raws: object) -> bytes:
    return "".join(json.dumps(raw) + "\r\n" for raw in raws).encode()


IMAGE: Final = {"id": "moby.image.id", "aux": {"ID": "sha256:1"}}


@pytest.mark.parametrize(
    ("raw", "line", "text"),
    [
        (event(step("a", "one")), "", ""),
        (event(step("a", "one", started=1)), "one", ""),
        (event(step("a", "one", started=1, completed=2)), "DONE one", ""),
        (event(step("a", "one", cached=1, started=1, completed=2)), "CACHED one", ""),
        (event(step("a", "one", started=1, completed=2, error="bad")), "ERROR one: bad", ""),
        (event(log("a", b"out\n"), log("a", b"err\n", 2)), "out\nerr", "out\nerr\n"),
        (event(step("b", "two", started=1), log("a", b"\xff")), "two\n\ufffd", "\ufffd"),
        (event(field(4, field(3, "old"))), "warning: old", ""),
        (event(field(2, STATUS)), "", ""),
        (IMAGE, "", ""),
    ],
)
def test_what_an_event_shows(raw: dict[str, Any], line: str, text: str) -> None:
    assert (str(BuildEvent(raw)), BuildEvent(raw).text) == (line, text)


def test_the_typed_form() -> None:
    assert BuildEvent(event(WHOLE)).trace == TRACE
    assert BuildEvent(IMAGE).trace is None
    assert BuildEvent(IMAGE).image_id == "sha256:1"
    assert BuildEvent({"stream": "Step 1/1 : FROM a\n"}).trace is None


BUILD: Final = [
    event(step("a", "[1/2] FROM x"), step("b", "[2/2] RUN y")),
    event(step("a", "[1/2] FROM x", cached=1, started=1, completed=1)),
    event(step("b", "[2/2] RUN y", started=1)),
    event(log("b", "grü".encode()[:-1]), log("b", b"err\n", 2)),
    event(log("b", "grüß\n".encode()[3:])),
    event(step("b", "[2/2] RUN y", started=1, completed=2), step("c", "exporting", started=2, completed=3)),
    event(step("c", "exporting", started=3, completed=4), field(4, field(3, "old"))),
    IMAGE,
]
BUILD_LOG: Final = "CACHED [1/2] FROM x\n[2/2] RUN y\ngrerr\nüß\nexporting\nwarning: old\n"


@given(borders)
def test_events_and_log(at: list[float]) -> None:
    decoder = BuildDecoder()
    assert decode(decoder, split(documents(*BUILD), at)) == ([BuildEvent(raw) for raw in BUILD], None)
    assert decoder.receive_eof() == []
    assert decoder.log == BUILD_LOG


def test_a_malformed_trace_comes_behind_the_good_ones() -> None:
    bad = {"id": "moby.buildkit.trace", "aux": "CgU="}
    decoder = BuildDecoder()
    out, error = decode(decoder, [documents(*BUILD[:3], bad, *BUILD[3:])])
    assert out == [BuildEvent(raw) for raw in BUILD[:3]]
    assert type(error) is ProtocolError
    assert "cut short" in str(error)
    assert decoder.log == "CACHED [1/2] FROM x\n[2/2] RUN y\n"
    keeps_raising(decoder, error, documents(BUILD[3]))


@pytest.mark.parametrize("bad", [7, {"id": "moby.buildkit.trace"}, {"id": "moby.buildkit.trace", "aux": {"ID": "x"}}])
def test_what_is_no_trace_is_refused(bad: object) -> None:
    out, error = decode(BuildDecoder(), [documents(bad)])
    assert (out, type(error)) == ([], ProtocolError)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("executor failed running [/bin/sh -c exit 3]: exit code: 3", 3),
        ('process "/bin/sh -c exit 3" did not complete successfully: exit code: 137', 137),
        ('process "/bin/sh -c echo exit code: 5;\nexit 3" did not complete successfully: exit code: 3', 3),
        ("dockerfile parse error on line 2: unknown instruction: RUNN", None),
        ("failed to compute cache key", None),
    ],
)
def test_the_exit_code_is_in_the_message(message: str, code: int | None) -> None:
    failed = {"errorDetail": {"message": message}, "error": message}
    out, error = decode(BuildDecoder(), [documents(BUILD[2], failed)])
    assert out == [BuildEvent(BUILD[2])]
    assert type(error) is BuildFailed
    assert (error.message, error.code, error.log) == (message, code, "[2/2] RUN y\n")


def test_the_code_that_the_engine_gives_counts() -> None:
    failed = {"errorDetail": {"message": "exit code: 4", "code": 3}}
    _, error = decode(BuildDecoder(), [documents(failed)])
    assert isinstance(error, BuildFailed)
    assert error.code == 3


def test_statuses_that_come_all_the_time_do_not_push_out_the_log() -> None:
    decoder = BuildDecoder()
    decode(decoder, [documents(BUILD[2], event(log("b", b"first\n")))])
    status = documents(event(field(2, STATUS * 100)))
    for _ in range(300_000 // len(status)):
        decode(decoder, [status])
    assert decoder.log == "[2/2] RUN y\nfirst\n"


def test_the_log_is_bounded() -> None:
    decoder = BuildDecoder()
    for number in range(30):
        decode(decoder, [documents(event(log("b", b"%d" % number + bytes([120]) * 20_000)))])
    assert 200_000 < len(decoder.log) <= 256 * 1024
    assert decoder.log.startswith("17x")


# -- what a real engine sent


def test_a_recorded_build_that_failed() -> None:
    body = recorded("buildkit_failed").data.partition(b"\r\n\r\n")[2]
    lines = [line for line in body.split(b"\r\n") if line.startswith(b"{")]
    out, error = decode(BuildDecoder(), [b"".join(lines)])
    traces = [trace for trace in (event.trace for event in out) if trace is not None]
    steps = {step.digest: step for trace in traces for step in trace.steps}
    run = next(step for step in steps.values() if step.name.startswith("[2/2] RUN"))
    assert run.started is not None
    assert run.completed is not None
    assert run.started < run.completed
    assert run.error.endswith("exit code: 3")
    assert [steps[digest].name for digest in run.inputs] == ["[1/2] FROM docker.io/library/busybox:latest"]
    logs = [(log.step, log.stream, log.data) for trace in traces for log in trace.logs]
    assert logs == [(run.digest, "stdout", b"so far\n"), (run.digest, "stderr", b"bad\n")]
    assert isinstance(error, BuildFailed)
    assert (error.message, error.code) == (run.error, 3)
    assert f"{run.name}\nso far\nbad\nERROR {run.name}" in error.log
