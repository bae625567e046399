from __future__ import annotations

import pytest
from anyio import BusyResourceError, ClosedResourceError, create_task_group, fail_after

from anydocker import (
    Completed,
    Conflict,
    Container,
    ContainerFailed,
    Docker,
    EngineFault,
    Frame,
    TruncatedStream,
)
from tests.helpers import Pieces, varied
from tests.live.helpers import created, until

pytestmark = [pytest.mark.anyio, pytest.mark.live]

MIB = 1024 * 1024
LARGE = varied(4 * MIB)


# -- the live stream


async def test_attached_before_the_start_it_loses_no_byte(docker: Docker) -> None:
    async with created(docker, "printf", "%0102400d", "7") as container:
        for _ in range(6):
            async with container.open_attach() as stream:
                await container.start()
                assert (await stream.read()).stdout == b"7".zfill(102_400)
            await container.wait()


async def test_streams_apart_and_in_order(docker: Docker) -> None:
    script = "while read x; do echo $x; read x; echo $x >&2; done"
    async with (
        created(docker, "sh", "-c", script, stdin=True) as container,
        container.open_attach(stdin=True) as stream,
    ):
        await container.start()
        for n in range(0, 10, 2):
            await stream.send(b"%d\n" % n)
            assert await stream.receive() == Frame("stdout", b"%d\n" % n)
            await stream.send(b"%d\n" % (n + 1))
            assert await stream.receive() == Frame("stderr", b"%d\n" % (n + 1))


async def test_one_stream_only(docker: Docker) -> None:
    async with (
        created(docker, "sh", "-c", "echo out; echo err >&2") as container,
        container.open_attach(stderr=False) as out,
        container.open_attach(stdout=False) as err,
    ):
        await container.start()
        assert (await out.read()).frames == (Frame("stdout", b"out\n"),)
        assert (await err.read()).frames == (Frame("stderr", b"err\n"),)


async def test_characters_over_frames(docker: Docker) -> None:
    script = "printf '\\342'; usleep 50000; printf '\\303' >&2; printf '\\202\\254 a'; usleep 50000; printf '\\244' >&2"
    async with created(docker, "sh", "-c", script) as container, container.open_attach() as stream:
        await container.start()
        assert sorted([(line.stream, line.text) async for line in stream.lines()]) == [
            ("stderr", "ä"),
            ("stdout", "€ a"),
        ]


async def test_output_flows_after_the_end_of_input(docker: Docker) -> None:
    script = "cat; head -c 300000 /dev/zero | tr '\\0' o; echo err >&2"
    async with (
        created(docker, "sh", "-c", script, stdin=True) as container,
        container.open_attach(stdin=True) as stream,
    ):
        await container.start()
        await stream.send(b"a")
        assert await stream.receive() == Frame("stdout", b"a")
        await stream.send(b"bc")
        await stream.send_eof()
        output = await stream.read()
    assert (output.stdout, output.stderr) == (b"bc" + b"o" * 300_000, b"err\n")


async def test_both_directions_at_once(docker: Docker) -> None:
    async with (
        created(docker, "cat", stdin=True) as container,
        container.open_attach(stdin=True) as stream,
        create_task_group() as group,
    ):

        async def feed() -> None:
            for at in range(0, len(LARGE), 50_000):
                await stream.send(LARGE[at : at + 50_000])
            await stream.send_eof()

        await container.start()
        group.start_soon(feed)
        assert (await stream.read()).stdout == LARGE


async def test_input_may_be_sent_before_the_start(docker: Docker) -> None:
    async with created(docker, "cat", stdin=True) as container, container.open_attach(stdin=True) as stream:
        await stream.send(b"early\n")
        await stream.send_eof()
        await container.start()
        assert (await stream.read()).stdout == b"early\n"


async def test_what_was_written_before(docker: Docker) -> None:
    async with docker.containers.open_run(
        "busybox", ["sh", "-c", "echo old; read x; echo new"], stdin=True, network="none"
    ) as container:
        while not (await container.logs()).frames:
            continue
        async with container.open_attach(logs=True, stdin=True) as stream:
            assert await stream.receive() == Frame("stdout", b"old\n")
            await stream.send(b"\n")
            assert (await stream.read()).stdout == b"new\n"


async def test_a_terminal(docker: Docker) -> None:
    async with created(docker, "sh", stdin=True, tty=True) as container:
        async with container.open_attach(stdin=True) as stream:
            await container.start()
            assert stream.tty
            await until(stream, b"# ")
            await container.resize(rows=22, columns=99)
            await stream.send(b"stty size; echo err >&2; exit 6\n")
            rest = (await stream.read()).frames
        assert {frame.stream for frame in rest} == {"stdout"}
        assert b"\r\n22 99\r\nerr\r\n" in b"".join(frame.data for frame in rest)
        assert await container.wait() == 6


async def test_detach_keys_leave_the_container_running(docker: Docker) -> None:
    async with created(docker, "sh", "-c", "stty -echo; echo ready; sleep 1000", stdin=True, tty=True) as container:
        async with container.open_attach(stdin=True, detach_keys="ctrl-x,d") as stream:
            await container.start()
            await until(stream, b"ready\r\n")
            await stream.send(b"\x18d")
            assert (await stream.read()).stdout in {b"", b"read escape sequence\r\n"}
        assert (await container.inspect())["State"]["Running"] is True


async def test_resize_of_what_does_not_run(docker: Docker) -> None:
    async with created(docker, "true", tty=True) as container:
        with pytest.raises((Conflict, EngineFault), match="(?i)not running|running containers"):
            await container.resize(rows=1, columns=1)


async def test_attach_to_a_paused_container(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["sleep", "1000"], network="none") as container:
        await container.pause()
        with pytest.raises(Conflict, match="paused"):
            async with container.open_attach():
                raise AssertionError
        await container.unpause()


async def test_a_cancelled_receive_loses_nothing(docker: Docker) -> None:
    async with (
        docker.containers.open_run("busybox", ["cat"], stdin=True, network="none") as container,
        container.open_attach(stdin=True) as stream,
    ):
        for n in range(5):
            with pytest.raises(TimeoutError), fail_after(0.001 * n):
                await stream.receive()
            await stream.send(b"%d\n" % n)
            assert await stream.receive() == Frame("stdout", b"%d\n" % n)


async def test_one_sender_at_a_time(docker: Docker) -> None:
    errors: list[Exception] = []
    async with (
        docker.containers.open_run("busybox", ["sleep", "1000"], stdin=True, network="none") as container,
        container.open_attach(stdin=True) as stream,
        create_task_group() as group,
    ):

        async def send() -> None:
            try:
                await stream.send(LARGE)
            except BusyResourceError as exc:
                errors.append(exc)
                group.cancel_scope.cancel()

        group.start_soon(send)
        group.start_soon(send)
    assert len(errors) == 1


async def test_leaving_the_block_closes_the_connection(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["cat"], stdin=True, network="none") as container:
        async with container.open_attach(stdin=True) as stream:
            assert docker.statistics().open_streams == 1
        assert docker.statistics().open_streams == 0
        with pytest.raises(ClosedResourceError):
            await stream.receive()
        with pytest.raises(ClosedResourceError):
            await stream.send(b"x")


# -- to the end


async def test_attach(docker: Docker) -> None:
    script = "read x; echo out $x; echo err >&2; exit 3"
    async with docker.containers.open_run("busybox", ["sh", "-c", script], stdin=True, network="none") as container:
        assert await container.attach(input=b"in\n") == Completed(3, b"out in\n", b"err\n")


async def test_attach_with_large_input(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["cat"], stdin=True, network="none") as container:
        assert await container.attach(input=LARGE) == Completed(0, LARGE)


async def test_attach_with_a_stream_as_input(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["cat"], stdin=True, network="none") as container:
        assert (await container.attach(input=Pieces(b"a", b"", b"bc"))).stdout == b"abc"


async def test_attach_before_the_start(docker: Docker) -> None:
    found: list[Completed] = []
    async with created(docker, "sh", "-c", "cat; exit 5", stdin=True) as container, create_task_group() as group:

        async def attach() -> None:
            found.append(await container.attach(input=b"x"))

        async with docker.open_events(filters={"container": container.id, "event": "attach"}) as events:
            group.start_soon(attach)
            await events.receive()
        await container.start()
    assert found == [Completed(5, b"x")]


async def test_attach_to_what_has_ended(docker: Docker) -> None:
    async with created(docker, "sh", "-c", "echo out; exit 4") as container:
        await container.start()
        await container.wait()
        assert await container.attach(logs=True) == Completed(4, b"out\n")
        with pytest.raises(ContainerFailed, match="exit code 4") as caught:
            await container.attach(logs=True, check=True)
        assert caught.value.stdout == b"out\n"


async def test_attach_to_what_is_killed(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["sleep", "1000"], network="none") as container:
        found: list[Completed] = []
        async with create_task_group() as group:

            async def attach() -> None:
                found.append(await container.attach())

            async with docker.open_events(filters={"container": container.id, "event": "attach"}) as events:
                group.start_soon(attach)
                await events.receive()
            await container.kill()
        assert found == [Completed(137)]


async def test_attach_to_what_ends_meanwhile(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    async with created(docker, "sh", "-c", "echo out") as container:
        await container.start()
        running = await container.inspect()
        running["State"]["Status"] = "running"
        await container.wait()

        async def outdated(self: Container, *, size: bool = False) -> object:
            return running

        monkeypatch.setattr(Container, "inspect", outdated)
        monkeypatch.setattr("anydocker.resources.container._output.SETTLE_SECONDS", 0.1)
        with pytest.raises(TruncatedStream, match="see its logs"):
            await container.attach()
