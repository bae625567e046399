"""What the streams give their readers: values, ends, errors, and terminals told from pipes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import attrs
import pytest
from anyio import ClosedResourceError, EndOfStream

import anydocker
from anydocker import (
    BuildEvent,
    BuildFailed,
    BuildStream,
    Docker,
    Frame,
    Line,
    LoadFailed,
    Progress,
    ProgressStream,
    ProtocolError,
    PullFailed,
    PushFailed,
    Stream,
    StreamError,
    TruncatedStream,
)
from anydocker.testing import ReplayBackend, Reply, chunked_reply, json_reply, upgraded_reply
from tests.recorded import API_VERSION, CALLS, HOST, STREAMS, StreamRecording, every_stream, recorded, replay

pytestmark = pytest.mark.anyio

BY_NAME = {recording.name: recording for recording in STREAMS}
OUTPUT = [Frame("stdout", b"out\n"), Frame("stderr", b"err\n"), Frame("stdout", "grüße".encode())]
LINES = [Line("stdout", "out"), Line("stderr", "err"), Line("stdout", "grüße")]
TERMINAL = "out\r\nerr\r\ngrüße".encode()


def client(routes: dict[str, Reply], *, api_version: str = "1.45") -> Docker:
    return anydocker.connect(HOST, network_backend=ReplayBackend(routes, api_version=api_version))


async def read(name: str) -> list[Any]:
    _, unentered = replay(BY_NAME[name])
    async with unentered as d:
        return await BY_NAME[name].read(d)


# -- what a real engine sent


async def test_a_pull() -> None:
    steps = await read("pull")
    assert all(type(step) is Progress for step in steps)
    assert [str(step) for step in steps[:2]] == ["1: Pulling from small", f"{steps[1].id}: Pulling fs layer"]
    assert (steps[2].status, steps[2].current, steps[2].total) == ("Downloading", 109, 109)
    assert steps[-1].status.startswith("Status: Downloaded newer image for ")


async def test_a_push() -> None:
    steps = await read("push")
    assert steps[-1].aux == {"Tag": "1", "Digest": steps[-1].aux["Digest"], "Size": 523}


async def test_a_build() -> None:
    _, unentered = replay(BY_NAME["build"])
    async with unentered as d, d.images.open_build(dockerfile_text="FROM busybox") as events:
        before = events.image_id
        texts = [event.text async for event in events]
        assert before is None
        assert str(events.image_id).startswith("sha256:")
        assert events.log == "".join(texts)
    assert "built\n" in texts


async def test_a_load() -> None:
    assert [str(step) for step in await read("load")][-1] == "Loaded image: small:2"


@pytest.mark.parametrize("name", ["logs", "attach", "exec"])
async def test_output_through_pipes(name: str) -> None:
    assert await read(name) == OUTPUT


@pytest.mark.parametrize("name", ["logs_tty", "attach_tty"])
async def test_output_through_a_terminal(name: str) -> None:
    assert await read(name) == [TERMINAL]


async def test_statistics() -> None:
    first, second = await read("stats")
    assert (first.cpu_percent, first.pids, second.pids) == (0.0, 1, 1)
    assert first.memory_used > 0
    assert first.memory_used <= first.memory_limit


async def test_events() -> None:
    events = await read("events")
    assert [(event.type, event.action) for event in events] == [
        ("container", "create"),
        ("container", "start"),
        ("container", "die"),
    ]
    assert events[-1].attributes["exitCode"] == "0"
    assert events[0].time_ns < events[1].time_ns < events[2].time_ns


async def test_an_archive(tmp_path: Path) -> None:
    (data,) = await read("archive")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["passwd"]
    _, unentered = replay(BY_NAME["archive"])
    target = tmp_path / "passwd.tar"
    async with unentered as d, d.containers.container("c1").open_archive("/etc/passwd") as stream:
        assert (stream.info.name, stream.info.size, stream.info.is_link) == ("passwd", 104, False)
        assert await stream.write_to(target) == len(data)
    assert target.read_bytes() == data


@pytest.mark.parametrize("recording", CALLS, ids=lambda recording: recording.name)
async def test_calls(recording: Any) -> None:
    _, unentered = replay(recording)
    async with unentered as d:
        value = await recording.make(d)
    match recording.name:
        case "wait":
            assert value == 3
        case "logs":
            assert (value.stdout, value.stderr, value.lines()) == ("out\ngrüße".encode(), b"err\n", LINES)
        case "list":
            assert [container.summary["State"] for container in value] == ["created"]
        case "load":
            assert [image.name for image in value] == ["small:2"]
        case "push":
            assert value.size == 523
        case _:
            assert value.id.startswith("sha256:")


# -- what all streams have in common


@every_stream
async def test_three_ways_to_read(recording: StreamRecording) -> None:
    backend, unentered = replay(recording)
    backend.routes = recording.routes(attrs.evolve(recording.reply, split=60))
    async with unentered as d:
        async with recording.open(d) as stream:
            iterated = [value async for value in stream]
            assert await anext(stream, None) is None
            assert await stream.receive_many() == []
        async with recording.open(d) as stream:
            received: list[Any] = []
            with pytest.raises(EndOfStream):
                while True:
                    received.append(await stream.receive())
            with pytest.raises(EndOfStream):
                await stream.receive()
        async with recording.open(d) as stream:
            batched: list[Any] = [await anext(stream)]
            while batch := await stream.receive_many():
                batched += batch
    assert iterated
    assert iterated == received == batched


@every_stream
async def test_an_error_is_raised_again_and_again(recording: StreamRecording) -> None:
    backend, unentered = replay(recording)
    backend.routes = recording.routes(attrs.evolve(recording.reply, cut_at=recording.reply.end - 1, reset=True))
    async with unentered as d, recording.open(d) as stream:
        with pytest.raises(TruncatedStream) as first:
            while True:
                await stream.receive()
        for pull in (stream.receive, stream.receive_many, stream.__anext__):
            with pytest.raises(TruncatedStream) as again:
                await pull()
            assert again.value is first.value


@every_stream
async def test_a_stream_ends_with_its_block(recording: StreamRecording) -> None:
    _, unentered = replay(recording)
    async with unentered as d:
        async with recording.open(d) as stream:
            await stream.receive()
        assert recording.route.split()[0] in repr(stream)
        for pull in (stream.receive, stream.receive_many):
            with pytest.raises(ClosedResourceError):
                await pull()


async def test_lines() -> None:
    backend, unentered = replay(BY_NAME["logs"])
    async with unentered as d:
        for split in (None, 1, 3):
            backend.routes = BY_NAME["logs"].routes(attrs.evolve(recorded("logs"), split=split))
            async with d.containers.container("c1").open_logs() as logs:
                assert [line async for line in logs.lines()] == LINES


async def test_lines_before_a_cut_are_given_first() -> None:
    backend, unentered = replay(BY_NAME["logs"])
    reply = recorded("logs")
    backend.routes = BY_NAME["logs"].routes(attrs.evolve(reply, cut_at=reply.end - 8))
    lines: list[Line] = []
    async with unentered as d, d.containers.container("c1").open_logs() as logs:
        with pytest.raises(TruncatedStream):
            async for line in logs.lines():
                lines.append(line)  # noqa: PERF401 - it is what comes before the error that counts
    assert lines == LINES[:2]


async def test_closing_lines_closes_the_output() -> None:
    _, unentered = replay(BY_NAME["logs"])
    async with unentered as d, d.containers.container("c1").open_logs() as logs:
        lines = logs.lines()
        await lines.receive()
        await lines.aclose()
        with pytest.raises(ClosedResourceError):
            await logs.receive()


# -- an error inside a stream is an error


DOCUMENTS = [b'{"status": "Pulling", "id": "layer"}\r\n', b'{"stream": "so far\\n"}\r\n']
FAILURE = b'{"errorDetail": {"code": 7, "message": "no space left"}, "error": "no space left"}\r\n'
BEHIND = b'{"status": "never seen"}\r\n'

Steps: TypeAlias = ProgressStream | BuildStream
Seen: TypeAlias = Callable[[Any], object]

FAILING: dict[str, tuple[str, Callable[[Docker], AbstractAsyncContextManager[Steps]], type[StreamError]]] = {
    "pull": ("POST /images/create", lambda d: d.images.open_pull("app:1"), PullFailed),
    "push": ("POST /images/app/push", lambda d: d.images.open_push("app:1"), PushFailed),
    "build": ("POST /build", lambda d: d.images.open_build(dockerfile_text="FROM x"), BuildFailed),
    "load": ("POST /images/load", lambda d: d.images.open_load(b"tar"), LoadFailed),
}


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize(
    "chunks",
    [[*DOCUMENTS, FAILURE, BEHIND], [b"".join(DOCUMENTS) + FAILURE + BEHIND], [*DOCUMENTS, FAILURE]],
    ids=["apart", "together", "last"],
)
@pytest.mark.parametrize("split", [None, 1])
async def test_an_error_document_is_raised_behind_the_values(
    name: str, chunks: Sequence[bytes], split: int | None
) -> None:
    route, open_stream, failure = FAILING[name]
    async with client({route: attrs.evolve(chunked_reply(chunks), split=split)}) as d, open_stream(d) as stream:
        texts: list[str] = []
        with pytest.raises(StreamError) as caught:
            async for value in stream:
                texts.append(str(value))  # noqa: PERF401 - it is what comes before the error that counts
        assert type(caught.value) is failure
        assert (caught.value.message, caught.value.code) == ("no space left", 7)
        assert caught.value.log == stream.log == "layer Pulling\nso far\n"
        assert texts == ["layer: Pulling", "so far"]
        with pytest.raises(failure):
            await stream.receive()


TASKS: dict[str, Callable[[Docker, Seen], Awaitable[object]]] = {
    "pull": lambda d, seen: d.images.pull("app:1", progress=seen),
    "push": lambda d, seen: d.images.push("app:1", progress=seen),
    "build": lambda d, seen: d.images.build(dockerfile_text="FROM x", progress=seen),
    "load": lambda d, seen: d.images.load(b"tar", progress=seen),
}


@pytest.mark.parametrize("name", TASKS)
async def test_the_task_form_fails_likewise_and_shows_progress_first(name: str) -> None:
    route, _, failure = FAILING[name]
    seen: list[Progress | BuildEvent] = []
    async with client({route: chunked_reply([*DOCUMENTS, FAILURE, BEHIND])}) as d:
        with pytest.raises(failure, match="no space left"):
            await TASKS[name](d, seen.append)
        assert d.statistics().open_streams == 0
    assert [str(step) for step in seen] == ["layer: Pulling", "so far"]


async def test_an_import_that_fails() -> None:
    async with client({"POST /images/create": chunked_reply([FAILURE])}) as d:
        with pytest.raises(LoadFailed, match="no space left"):
            await d.images.import_(b"tar", repository="app:1")


@pytest.mark.parametrize(
    ("name", "failure", "message", "code"),
    [
        ("build_failed", BuildFailed, "returned a non-zero code: 3", 3),
        ("load_failed", LoadFailed, "unexpected EOF", None),
    ],
)
async def test_a_failure_of_a_real_engine(
    name: str, failure: type[StreamError], message: str, code: int | None
) -> None:
    routes = {"POST /build": recorded(name), "POST /images/load": recorded(name)}
    async with client(routes, api_version=API_VERSION) as d:
        with pytest.raises(failure, match=message) as caught:
            if failure is BuildFailed:
                await d.images.build(dockerfile_text="FROM busybox")
            else:
                await d.images.load(b"tar")
    assert caught.value.code == code
    assert ("so far\n" in caught.value.log) == (failure is BuildFailed)


async def test_an_error_wins_over_a_cut_behind_it() -> None:
    reply = chunked_reply([*DOCUMENTS, FAILURE])
    async with client({"POST /images/create": attrs.evolve(reply, cut_at=reply.end - 5)}) as d:
        with pytest.raises(PullFailed):
            await d.images.pull("app:1")


async def test_an_error_of_the_engine_among_output() -> None:
    data = b"\1\0\0\0\0\0\0\4out\n\3\0\0\0\0\0\0\4dead"
    async with client(labelled(chunked_reply([data], content_type=MULTIPLEXED))) as d:
        async with d.containers.container("c1").open_logs() as logs:
            assert await logs.receive() == Frame("stdout", b"out\n")
            with pytest.raises(StreamError, match="dead"):
                await logs.receive()


# -- the exit of a container


async def exit_of(*chunks: bytes) -> list[Any]:
    """What two calls in a row give or raise."""
    out: list[Any] = []
    async with client({"POST /containers/c1/wait": chunked_reply(chunks)}) as d:
        async with d.containers.container("c1").open_wait() as pending:
            for _ in range(2):
                try:
                    out.append(await pending.exit_code())
                except anydocker.DockerError as exc:
                    out.append((type(exc), str(exc), getattr(exc, "code", None)))
    return out


async def test_an_exit_code_can_be_asked_for_again() -> None:
    assert await exit_of(b'{"StatusCode": 3}') == [3, 3]
    assert await exit_of(b'{"StatusCode": 0, "Error": null}') == [0, 0]
    assert await exit_of(b'{"StatusCode": 0, "Error": {"Message": ""}}') == [0, 0]


async def test_an_engine_that_could_not_wait_says_why() -> None:
    failed = (StreamError, "it broke", 125)
    assert await exit_of(b'{"StatusCode": 125, "Error": {"Message": "it broke"}}') == [failed, failed]


@pytest.mark.parametrize("document", [b"[]", b"{}", b'"text"', b'{"StatusCode": null}', b'{"StatusCode": "no"}'])
async def test_what_is_no_exit_is_refused(document: bytes) -> None:
    first, second = await exit_of(document + b"\n")
    assert first[0] is second[0] is ProtocolError


async def test_an_end_without_an_exit_is_truncated() -> None:
    first, second = await exit_of(b"\n")
    assert first[0] is second[0] is TruncatedStream


# -- terminal or not


MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"
PING = b"HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nLibpod-Api-Version: 5.4.2\r\nContent-Length: 0\r\n\r\n"
# Bytes that read well either way.
FRAME = b"\1\0\0\0\0\0\0\4out\n"


def labelled(reply: Reply, *, tty: bool | None = None) -> dict[str, Reply]:
    """Without ``tty``, an inspect would be an error."""
    routes = {"GET /containers/c1/logs": reply, "POST /containers/c1/attach": reply}
    if tty is not None:
        routes["GET /containers/c1/json"] = json_reply({"Config": {"Tty": tty}})
    return routes


async def frames(d: Docker, verb: str) -> list[Frame]:
    container = d.containers.container("c1")
    opened = container.open_logs() if verb == "logs" else container.open_attach()
    async with opened as stream:
        output: Stream[Frame] = stream
        return [frame async for frame in output]


def replies(verb: str, content_type: str) -> Reply:
    if verb == "attach":
        return upgraded_reply(FRAME, content_type=content_type)
    return chunked_reply([FRAME], content_type=content_type)


@pytest.mark.parametrize("verb", ["logs", "attach"])
@pytest.mark.parametrize("api_version", ["1.42", "1.45"])
@pytest.mark.parametrize(("label", "tty"), [(MULTIPLEXED, False), (RAW, True)])
async def test_from_142_on_the_label_decides(verb: str, api_version: str, label: str, tty: bool) -> None:
    """The bytes could be either; and nobody is asked."""
    async with client(labelled(replies(verb, label)), api_version=api_version) as d:
        assert await frames(d, verb) == [Frame("stdout", FRAME if tty else b"out\n")]


@pytest.mark.parametrize("verb", ["logs", "attach"])
@pytest.mark.parametrize("label", [RAW, "text/plain"])
@pytest.mark.parametrize("tty", [False, True])
async def test_of_an_older_engine_the_container_is_asked(verb: str, label: str, tty: bool) -> None:
    async with client(labelled(replies(verb, label), tty=tty), api_version="1.41") as d:
        assert await frames(d, verb) == [Frame("stdout", FRAME if tty else b"out\n")]


@pytest.mark.parametrize("verb", ["logs", "attach"])
@pytest.mark.parametrize("tty", [False, True])
async def test_of_podman_the_container_is_asked(verb: str, tty: bool) -> None:
    routes = {"HEAD /_ping": Reply(PING, keep_alive=True), **labelled(replies(verb, RAW), tty=tty)}
    async with client(routes) as d:
        assert d.is_podman
        assert await frames(d, verb) == [Frame("stdout", FRAME if tty else b"out\n")]


@pytest.mark.parametrize("tty", [False, True])
async def test_an_answer_without_a_label(tty: bool) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + FRAME
    async with client(labelled(Reply(data, keep_alive=True), tty=tty)) as d:
        assert await frames(d, "logs") == [Frame("stdout", FRAME if tty else b"out\n")]


async def test_it_is_never_guessed_from_the_bytes() -> None:
    """A terminal may say what looks like a frame, and pipes may carry what does not."""
    async with client(labelled(chunked_reply([b"no frame at all\n"], content_type=MULTIPLEXED))) as d:
        with pytest.raises(ProtocolError, match="not the header of a frame"):
            await frames(d, "logs")


async def test_an_exec_is_what_it_was_made() -> None:
    """Its connection is always labelled raw."""
    routes = {"POST /containers/c1/exec": json_reply({"Id": "e1"}, 201), "POST /exec/e1/start": upgraded_reply(FRAME)}
    async with client(routes) as d:
        for tty in (False, True):
            async with d.containers.container("c1").open_exec(["sh"], tty=tty) as process:
                assert [frame async for frame in process] == [Frame("stdout", FRAME if tty else b"out\n")]


async def test_the_streams_stay_apart_and_in_order() -> None:
    data = b"".join(bytes([kind, 0, 0, 0, 0, 0, 0, 1, 48 + number]) for number, kind in enumerate([1, 2, 2, 1, 0, 2]))
    async with client(labelled(chunked_reply([data[i : i + 5] for i in range(0, len(data), 5)]), tty=False)) as d:
        output = await d.containers.container("c1").logs()
    assert [frame.stream for frame in output.frames] == ["stdout", "stderr", "stderr", "stdout", "stdout", "stderr"]
    assert (output.stdout, output.stderr) == (b"034", b"125")


async def test_nothing_at_all_is_no_output() -> None:
    for label in (MULTIPLEXED, RAW):
        reply = Reply(f"HTTP/1.1 200 OK\r\nContent-Type: {label}\r\nContent-Length: 0\r\n\r\n".encode())
        async with client(labelled(reply)) as d:
            assert await frames(d, "logs") == []
            async with d.containers.container("c1").open_logs() as logs:
                assert [line async for line in logs.lines()] == []


async def test_a_process_that_says_nothing_keeps_its_reader_waiting() -> None:
    reply = upgraded_reply(b"")
    async with client(labelled(attrs.evolve(reply, stall_at=reply.end, keep_alive=True), tty=False)) as d:
        async with d.containers.container("c1").open_attach() as stream:
            with anyio.move_on_after(0.01) as scope:
                await stream.receive()
            assert scope.cancelled_caught
