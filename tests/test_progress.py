from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import anydocker
from anydocker import BuildEvent, BuildStream, Progress, ProgressStream
from anydocker.errors import (
    BuildFailed,
    DockerError,
    LoadFailed,
    ProtocolError,
    PullFailed,
    StreamError,
    TruncatedStream,
)
from anydocker.streams._progress import ProgressDecoder
from anydocker.testing import ReplayBackend, chunked_reply
from tests.helpers import borders, decode, keeps_raising, retained, split

LOG_LIMIT = 256 * 1024


def encode(*documents: object, end: str = "\r\n") -> bytes:
    return "".join(json.dumps(document) + end for document in documents).encode()


def progress() -> ProgressDecoder[Progress]:
    return ProgressDecoder(Progress, PullFailed)


PULL: list[dict[str, Any]] = [
    {"status": "Pulling from library/busybox", "id": "latest"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "4f4fb700ef54"},
    {
        "status": "Downloading",
        "progressDetail": {"current": 10, "total": 20},
        "progress": "[=> ] 10B/20B",
        "id": "4f4f",
    },
    {"status": "Digest: sha256:c0ffee"},
    {"status": "Status: Downloaded newer image for busybox:latest"},
]
PULL_LOG = (
    "latest Pulling from library/busybox\n4f4fb700ef54 Pulling fs layer\n"
    "Digest: sha256:c0ffee\nStatus: Downloaded newer image for busybox:latest\n"
)
FAILED = {"errorDetail": {"message": "no space left", "code": 7}, "error": "no space left on device"}


# -- the values


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (PULL[0], "latest: Pulling from library/busybox"),
        (PULL[1], "4f4fb700ef54: Pulling fs layer"),
        (PULL[2], "4f4f: Downloading [=> ] 10B/20B"),
        (PULL[3], "Digest: sha256:c0ffee"),
        ({"stream": "Step 1/2 : FROM busybox\n"}, "Step 1/2 : FROM busybox"),
        ({"stream": "a\nb"}, "a\nb"),
        ({"stream": "\n"}, ""),
        ({"stream": ""}, ""),
        ({"aux": {"ID": "sha256:c0ffee"}}, ""),
        ({"id": "x"}, "x:"),
        ({}, ""),
    ],
)
@pytest.mark.parametrize("kind", [Progress, BuildEvent])
def test_line(kind: type[Progress | BuildEvent], raw: dict[str, Any], line: str) -> None:
    assert str(kind(raw)) == line


def test_properties() -> None:
    step = Progress(PULL[2])
    assert (step.id, step.status, step.current, step.total) == ("4f4f", "Downloading", 10, 20)
    assert (step.text, step.aux, step.raw) == ("", None, PULL[2])
    assert Progress({"stream": "hello\n"}).text == "hello\n"
    assert Progress({"aux": {"Tag": "latest"}}).aux == {"Tag": "latest"}


@pytest.mark.parametrize(
    "raw", [{}, {"progressDetail": None}, {"progressDetail": {}}, {"progressDetail": "?"}, {"stream": None}]
)
def test_what_is_not_there_is_none(raw: dict[str, Any]) -> None:
    step = Progress(raw)
    assert (step.id, step.status, step.current, step.total, step.aux, step.text) == (None, None, None, None, None, "")


@pytest.mark.parametrize(
    ("raw", "image_id"),
    [
        ({"aux": {"ID": "sha256:c0ffee"}}, "sha256:c0ffee"),
        ({"id": "moby.buildkit.trace", "aux": "CgASAA=="}, None),
        ({"aux": {}}, None),
        ({"aux": None}, None),
        ({"stream": "Successfully built c0ffee\n"}, None),
    ],
)
def test_image_id(raw: dict[str, Any], image_id: str | None) -> None:
    assert BuildEvent(raw).image_id == image_id


# -- the decoder


@given(borders)
def test_documents_and_log(at: list[float]) -> None:
    decoder = progress()
    assert decode(decoder, split(encode(*PULL), at)) == ([Progress(raw) for raw in PULL], None)
    assert decoder.receive_eof() == []
    assert decoder.log == PULL_LOG


@pytest.mark.parametrize("failure", [PullFailed, BuildFailed, LoadFailed])
@given(at=borders)
def test_an_error_among_the_documents_is_an_error(failure: type[StreamError], at: list[float]) -> None:
    decoder = ProgressDecoder(Progress, failure)
    out, error = decode(decoder, split(encode(*PULL, FAILED, {"status": "never shown"}), at))
    assert out == [Progress(raw) for raw in PULL]
    assert isinstance(error, DockerError)
    assert type(error) is failure
    assert vars(error) == {"message": "no space left", "code": 7, "log": PULL_LOG}
    keeps_raising(decoder, error, encode(PULL[0]))


@pytest.mark.parametrize(
    ("document", "message", "code"),
    [
        (FAILED, "no space left", 7),
        ({"error": "denied"}, "denied", None),
        ({"errorDetail": {"message": "denied"}}, "denied", None),
        ({"errorDetail": {}, "error": "denied"}, "denied", None),
        ({"errorDetail": None, "error": "denied"}, "denied", None),
        ({"errorDetail": "?", "error": "denied"}, "denied", None),
        ({"errorDetail": {"code": 1}}, "the engine gave no reason", 1),
        ({"error": ""}, "the engine gave no reason", None),
        ({"error": None}, "the engine gave no reason", None),
        ({"error": ["x"]}, "['x']", None),
    ],
)
def test_what_the_error_says(document: dict[str, Any], message: str, code: int | None) -> None:
    out, error = decode(progress(), [encode(document)])
    assert out == []
    assert type(error) is PullFailed
    assert (str(error), error.message, error.code, error.log) == (message, message, code, "")


@pytest.mark.parametrize("bad", [7, "error", ["error"], None, True, "progressDetail"])
def test_what_is_no_object_is_refused(bad: object) -> None:
    decoder = progress()
    out, error = decode(decoder, [encode(PULL[0], bad, FAILED, PULL[1])])
    assert out == [Progress(PULL[0])]
    assert type(error) is ProtocolError
    assert "not a progress document" in str(error)
    keeps_raising(decoder, error, encode(PULL[0]))


def test_malformed_json_comes_behind_the_good_documents() -> None:
    decoder = progress()
    out, error = decode(decoder, [encode(*PULL[:2]) + b"{nope}\r\n" + encode(PULL[2])])
    assert out == [Progress(raw) for raw in PULL[:2]]
    assert type(error) is ProtocolError
    keeps_raising(decoder, error, encode(PULL[0]))


def test_an_error_before_malformed_json_wins() -> None:
    _, error = decode(progress(), [encode(PULL[0], FAILED) + b"{nope}\r\n"])
    assert type(error) is PullFailed


def test_every_cut_inside_a_document_is_noticed() -> None:
    stream = encode(*PULL, end="")
    whole = {len(encode(*PULL[:count], end="")) for count in range(len(PULL) + 1)}
    for end in range(len(stream) + 1):
        decoder = progress()
        out, error = decode(decoder, [stream[:end]])
        assert (out, error) == ([Progress(raw) for raw in PULL[: len(out)]], None)
        if end in whole:
            assert decoder.receive_eof() == []
        else:
            with pytest.raises(TruncatedStream):
                decoder.receive_eof()


anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda parts: (
        st.lists(parts, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["error", "errorDetail", "message", "code", "progressDetail", "stream", "id", "status", "aux"]
            ),
            parts,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@given(st.lists(anything, max_size=3))
def test_any_document_is_a_value_or_an_error_of_ours(documents: list[object]) -> None:
    decoder = ProgressDecoder(BuildEvent, BuildFailed)
    out, error = decode(decoder, [encode(*documents)])
    assert [event.raw for event in out] == documents[: len(out)]
    assert (error is None) == (len(out) == len(documents))
    assert isinstance(decoder.log, str)
    assert error is None or isinstance(str(error), str)
    assert all(event.image_id is None for event in out if "aux" not in event.raw)


# -- the log


def test_the_log_keeps_the_end() -> None:
    decoder = ProgressDecoder(BuildEvent, BuildFailed)
    for number in range(2000):
        decode(decoder, [encode({"stream": f"line {number} " + "x" * 1000 + "\n"})])
        assert retained(decoder) < 2 * LOG_LIMIT
    assert LOG_LIMIT / 2 < len(decoder.log) <= LOG_LIMIT
    _, error = decode(decoder, [encode(FAILED)])
    assert isinstance(error, BuildFailed)
    assert error.log == decoder.log
    assert error.log.endswith("x\n")
    assert "line 1999 " in error.log
    assert "line 1 " not in error.log


def test_progress_bars_are_not_in_the_log() -> None:
    decoder = progress()
    decode(decoder, [encode(*[PULL[2]] * 3)])
    assert decoder.log == ""


def test_output_is_in_the_log_as_it_came() -> None:
    decoder = ProgressDecoder(BuildEvent, BuildFailed)
    decode(
        decoder,
        [encode({"stream": "a "}, {"stream": "b\n"}, {"stream": ""}, {"aux": {}}, {"status": "s"}, {"id": "i"})],
    )
    assert decoder.log == "a b\ns\ni\n"


# -- the streams


async def collect(stream: ProgressStream | BuildStream) -> tuple[list[dict[str, Any]], DockerError | None]:
    values: list[dict[str, Any]] = []
    try:
        while batch := await stream.receive_many():
            values += [value.raw for value in batch]
    except DockerError as exc:
        return values, exc
    return values, None


def client(*documents: object) -> anydocker.Docker:
    pieces = [encode(document) for document in documents]
    routes = {"POST /images/create": chunked_reply(pieces), "POST /build": chunked_reply(pieces)}
    return anydocker.connect("unix:///nowhere", network_backend=ReplayBackend(routes))


@pytest.mark.anyio
async def test_stream() -> None:
    async with client(*PULL) as d, d.images.open_pull("busybox") as stream:
        assert await collect(stream) == (PULL, None)
        assert stream.log == PULL_LOG


@pytest.mark.anyio
async def test_stream_that_fails() -> None:
    async with client(*PULL, FAILED) as d, d.images.open_pull("busybox") as stream:
        values, error = await collect(stream)
        assert values == PULL
        assert isinstance(error, PullFailed)
        assert error.log == PULL_LOG == stream.log
        assert (await collect(stream))[1] is error


@pytest.mark.anyio
async def test_build_stream_knows_the_image() -> None:
    events = [
        {"stream": "Step 1/1 : FROM x\n"},
        {"aux": {"ID": "sha256:c0ffee"}},
        {"aux": "dHJhY2U="},
        {"stream": "done\n"},
    ]
    async with client(*events) as d, d.images.open_build(dockerfile_text="FROM x") as stream:
        known = [stream.image_id]
        assert await collect(stream) == (events, None)
        known.append(stream.image_id)
        assert known == [None, "sha256:c0ffee"]
        assert stream.log == "Step 1/1 : FROM x\ndone\n"
