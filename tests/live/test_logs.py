from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from anyio import BusyResourceError, ClosedResourceError, EndOfStream, create_task_group, fail_after, sleep

from anydocker import Container, Docker, Frame, Line, Stats
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]


SCRIPT = "for n in 1 2 3; do echo out $n; read x; echo err $n >&2; read x; done"


async def ended(docker: Docker, script: str, *, tty: bool = False) -> Container:
    container = await docker.containers.create("busybox", ["sh", "-c", script], tty=tty, network="none")
    async with container.open_wait() as pending:
        await container.start()
        await pending.exit_code()
    return container


@pytest.fixture
async def writer(docker: Docker) -> AsyncGenerator[Container, None]:
    """A container that has written a few lines to both streams, each at a time of its own, and has ended."""
    async with docker.containers.open_run("busybox", ["sh", "-c", SCRIPT], stdin=True, network="none") as container:
        async with container.open_attach(stdin=True) as attached:
            for n in range(6):
                while len((await container.logs()).frames) <= n:
                    continue
                await sleep(0.02)
                await attached.send(b"\n")
        await container.wait()
        yield container


def stamp(text: str) -> datetime:
    """The time in front of a line. Python's clocks have no nanoseconds: they are cut off."""
    seconds, _, fraction = text.partition(" ")[0].removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{seconds}+00:00") + timedelta(microseconds=int(fraction[:6].ljust(6, "0")))


# -- what there is


async def test_logs(writer: Container, cli: CLI) -> None:
    output = await writer.logs()
    assert [(line.stream, line.text) for line in output.lines()] == [
        (f"std{name}", f"{name} {n}") for n in (1, 2, 3) for name in ("out", "err")
    ]
    assert output.stdout.decode().strip() == await cli("logs", writer.id)
    assert output.frames[:2] == (Frame("stdout", b"out 1\n"), Frame("stderr", b"err 1\n"))


async def test_one_stream_only(writer: Container) -> None:
    assert (await writer.logs(stderr=False)).lines() == [Line("stdout", f"out {n}") for n in (1, 2, 3)]
    assert (await writer.logs(stdout=False)).lines() == [Line("stderr", f"err {n}") for n in (1, 2, 3)]


async def test_tail(writer: Container) -> None:
    everything = (await writer.logs()).lines()
    for tail in (0, 1, 4, 100):
        assert (await writer.logs(tail=tail)).lines() == everything[max(0, 6 - tail) :]


async def test_timestamps(writer: Container, cli: CLI) -> None:
    lines = (await writer.logs(timestamps=True)).lines()
    assert [line.text.partition(" ")[2] for line in lines] == [line.text for line in (await writer.logs()).lines()]
    times = [stamp(line.text) for line in lines]
    assert times == sorted(times)
    assert len({*times}) == 6
    assert (await cli("logs", "--timestamps", writer.id)).splitlines() == [
        line.text for line in lines if line.stream == "stdout"
    ]


async def test_since_and_until(writer: Container) -> None:
    lines = (await writer.logs()).lines()
    times = [stamp(line.text) for line in (await writer.logs(timestamps=True)).lines()]
    third = times[2] - timedelta(milliseconds=5)
    fifth = times[4] - timedelta(milliseconds=5)
    assert (await writer.logs(since=third)).lines() == lines[2:]
    assert (await writer.logs(since=third.timestamp())).lines() == lines[2:]
    assert (await writer.logs(until=fifth)).lines() == lines[:4]
    assert (await writer.logs(since=third, until=fifth)).lines() == lines[2:4]
    assert (await writer.logs(since=datetime.now(UTC) + timedelta(days=1))).lines() == []
    assert (await writer.logs(since=0)).lines() == lines


async def test_details(docker: Docker) -> None:
    options = {"HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"labels": "role"}}}}
    container = await docker.containers.create(
        "busybox", ["echo", "hi"], labels={"role": "a"}, config=options, network="none"
    )
    async with container.open_wait() as pending:
        await container.start()
        await pending.exit_code()
    assert (await container.logs(details=True)).stdout == b"role=a hi\n"
    await container.remove()


async def test_logs_of_nothing(docker: Docker) -> None:
    container = await docker.containers.create("busybox", ["true"], network="none")
    assert (await container.logs()).frames == ()
    await container.remove()


async def test_a_terminal(docker: Docker) -> None:
    container = await ended(docker, "echo out; echo err >&2; printf ü", tty=True)
    output = await container.logs()
    assert (output.stdout, output.stderr) == ("out\r\nerr\r\nü".encode(), b"")
    async with container.open_logs() as log:
        assert log.tty
        assert b"".join([frame.data async for frame in log]) == output.stdout
    await container.remove()


async def test_lines_are_never_split_inside_a_character(docker: Docker) -> None:
    script = "printf 'a\\342'; printf '\\303' >&2; usleep 50000; printf '\\202'; usleep 50000; printf '\\254\\n'"
    container = await ended(docker, f"{script}; printf '\\251' >&2; usleep 50000; printf 'bad \\377 end'")
    async with container.open_logs() as log:
        lines = sorted([(line.stream, line.text) async for line in log.lines()])
    assert lines == [("stderr", "é"), ("stdout", "a€"), ("stdout", "bad � end")]
    await container.remove()


async def test_a_long_line_and_many_short_ones(docker: Docker) -> None:
    container = await ended(docker, "head -c 500000 /dev/zero | tr '\\0' x; echo; seq 1 20000")
    async with container.open_logs() as log:
        lines = [line.text async for line in log.lines()]
    assert lines == ["x" * 500_000, *(str(n) for n in range(1, 20_001))]
    await container.remove()


async def test_bad_arguments(writer: Container) -> None:
    with pytest.raises(ValueError, match="neither"):
        await writer.logs(stdout=False, stderr=False)
    with pytest.raises(ValueError, match="tail"):
        await writer.logs(tail=-1)
    with pytest.raises(ValueError, match="since"):
        await writer.logs(since=-1)
    with pytest.raises(ValueError, match="until"):
        await writer.logs(until=datetime(2030, 1, 1))
    with pytest.raises(ValueError, match="since"):
        await writer.logs(since=float("nan"))
    with pytest.raises(TypeError, match="since"):
        await writer.logs(since="now")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# -- what goes on


async def test_follow_until_the_container_stops(docker: Docker) -> None:
    script = "for n in 1 2 3; do echo out $n; echo err $n >&2; usleep 20000; done"
    container = await docker.containers.create("busybox", ["sh", "-c", script], network="none")
    await container.start()
    async with container.open_logs(follow=True) as log:
        frames = [frame async for frame in log]
        with pytest.raises(EndOfStream):
            await log.receive()
        assert await log.receive_many() == []
    assert frames == list((await container.logs()).frames)
    assert sorted((frame.stream, frame.data.decode()) for frame in frames) == [
        (f"std{name}", f"{name} {n}\n") for name in ("err", "out") for n in (1, 2, 3)
    ]
    await container.remove()


async def test_follow_from_the_last_line(docker: Docker) -> None:
    script = "echo old; echo last; read x; echo new"
    async with docker.containers.open_run("busybox", ["sh", "-c", script], stdin=True, network="none") as container:
        while len((await container.logs()).lines()) < 2:
            continue
        async with container.open_logs(follow=True, tail=1) as log, container.open_attach(stdin=True) as attached:
            assert (await log.receive()).data == b"last\n"
            await attached.send(b"\n")
            assert (await log.receive()).data == b"new\n"


async def test_a_cancelled_receive_loses_nothing(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["cat"], stdin=True, network="none") as container:
        async with container.open_logs(follow=True) as log, container.open_attach(stdin=True) as attached:
            for n in range(5):
                with pytest.raises(TimeoutError), fail_after(0.001 * n):
                    await log.receive()
                await attached.send(b"%d\n" % n)
                assert await log.receive() == Frame("stdout", b"%d\n" % n)


async def test_one_reader_at_a_time(docker: Docker, sleeper: Container) -> None:
    errors: list[Exception] = []
    async with sleeper.open_logs(follow=True) as log, create_task_group() as group:

        async def read() -> None:
            try:
                await log.receive()
            except BusyResourceError as exc:
                errors.append(exc)
                group.cancel_scope.cancel()

        group.start_soon(read)
        group.start_soon(read)
    assert len(errors) == 1


async def test_leaving_the_block_closes_the_connection(docker: Docker, sleeper: Container) -> None:
    async with sleeper.open_logs(follow=True) as log:
        assert docker.statistics().open_streams == 1
    assert docker.statistics().open_streams == 0
    with pytest.raises(ClosedResourceError):
        await log.receive()


async def test_two_followed_logs_and_stats_at_once(docker: Docker) -> None:
    script = "while read x; do echo $x; done"
    seen: dict[str, list[str]] = {"a": [], "b": []}
    samples: list[Stats] = []

    async def follow(name: str, container: Container) -> None:
        async with container.open_logs(follow=True) as log:
            async for line in log.lines():
                seen[name].append(line.text)

    async def watch(container: Container) -> None:
        async with container.open_stats() as stream:
            async for sample in stream:
                samples.append(sample)
                if len(samples) == 2:
                    break

    async def write(container: Container, name: str) -> None:
        async with container.open_attach(stdin=True) as attached:
            for n in range(50):
                await attached.send(f"{name}{n}\n".encode())
            await attached.send_eof()
            await attached.read()

    run = docker.containers.open_run
    async with (
        run("busybox", ["sh", "-c", script], stdin=True, network="none") as a,
        run("busybox", ["sh", "-c", script], stdin=True, network="none") as b,
        create_task_group() as group,
    ):
        group.start_soon(follow, "a", a)
        group.start_soon(follow, "b", b)
        await watch(a)
        group.start_soon(write, a, "a")
        group.start_soon(write, b, "b")
    assert seen == {name: [f"{name}{n}" for n in range(50)] for name in ("a", "b")}
    assert {sample.id for sample in samples} == {a.id}


async def test_a_hundred_followed_logs_and_ping_still_answers(docker: Docker, sleeper: Container) -> None:
    async with AsyncExitStack() as stack, create_task_group() as group:
        for _ in range(100):
            log = await stack.enter_async_context(sleeper.open_logs(follow=True))
            group.start_soon(log.receive_many)
        assert docker.statistics().open_streams == 100
        for _ in range(5):
            assert (await docker.ping()).os == "linux"
            assert (await sleeper.inspect())["State"]["Running"] is True
        group.cancel_scope.cancel()
    assert docker.statistics().open_streams == 0
