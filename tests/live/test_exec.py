from __future__ import annotations

import pytest
from anyio import ClosedResourceError, create_task_group

from anydocker import (
    Completed,
    Conflict,
    Container,
    Docker,
    ExecFailed,
    Frame,
)
from tests.helpers import Pieces, varied
from tests.live.helpers import until

pytestmark = [pytest.mark.anyio, pytest.mark.live]

MIB = 1024 * 1024
LARGE = varied(4 * MIB)


# -- to the end


async def test_exec(sleeper: Container) -> None:
    done = await sleeper.exec(["sh", "-c", "echo out; echo err >&2"])
    assert done == Completed(0, b"out\n", b"err\n")


async def test_exec_with_options(sleeper: Container) -> None:
    done = await sleeper.exec(
        ["sh", "-c", 'id -u; id -g; pwd; echo "$A|$EMPTY|"'], env={"A": "ä b", "EMPTY": ""}, user="1:2", workdir="/etc"
    )
    assert done.stdout.decode() == "1\n2\n/etc\nä b||\n"


@pytest.mark.parametrize("privileged", [True, False])
async def test_exec_privileged(sleeper: Container, privileged: bool) -> None:
    # Asked of the engine: where the engine itself lacks a capability, a privileged command cannot run.
    async with sleeper.open_exec(["true"], privileged=privileged) as process:
        config = (await process.inspect())["ProcessConfig"]
    assert config["privileged"] is privileged


@pytest.mark.parametrize(("script", "code"), [("exit 1", 1), ("exit 255", 255), ("kill -9 $$", 137)])
async def test_a_failure_is_an_error(sleeper: Container, script: str, code: int) -> None:
    with pytest.raises(ExecFailed, match=f"exit code {code}; stderr: err") as caught:
        await sleeper.exec(["sh", "-c", f"echo out; echo err >&2; {script}"])
    error = caught.value
    assert (error.exit_code, error.stdout, error.stderr) == (code, b"out\n", b"err\n")


async def test_a_failure_is_a_value_if_asked(sleeper: Container) -> None:
    assert await sleeper.exec(["sh", "-c", "exit 7"], check=False) == Completed(7)


async def test_input(sleeper: Container) -> None:
    assert (await sleeper.exec(["cat"], input=b"a\nb")).stdout == b"a\nb"
    assert (await sleeper.exec(["wc", "-c"], input=b"")).stdout == b"0\n"
    assert (await sleeper.exec(["cat"], input=Pieces(b"a", b"", b"bc"))).stdout == b"abc"


async def test_large_input_through_the_process_and_back(sleeper: Container) -> None:
    done = await sleeper.exec(["cat"], input=LARGE)
    assert done.stdout == LARGE


async def test_a_process_need_not_read_its_input(sleeper: Container) -> None:
    assert (await sleeper.exec(["echo", "done"], input=LARGE)).stdout == b"done\n"


async def test_an_error_of_the_input_comes_out_unchanged(sleeper: Container) -> None:
    error = ZeroDivisionError("mine")

    class Broken(Pieces):
        async def __anext__(self) -> bytes:
            raise error

    with pytest.raises(ZeroDivisionError) as caught:
        await sleeper.exec(["cat"], input=Broken())
    assert caught.value is error


async def test_a_terminal(sleeper: Container) -> None:
    done = await sleeper.exec(["sh", "-c", "tty; echo err >&2"], tty=True)
    first, second, end = done.stdout.split(b"\r\n")
    assert first.startswith(b"/dev/pts/")
    assert (second, end, done.stderr) == (b"err", b"", b"")


async def test_a_burst_at_the_very_end_is_never_lost(sleeper: Container) -> None:
    for _ in range(10):
        done = await sleeper.exec(["printf", "%0100000d", "7"])
        assert done.stdout == b"7".zfill(100_000)


async def test_many_at_once(sleeper: Container) -> None:
    found: set[bytes] = set()

    async def execute(number: int) -> None:
        found.add((await sleeper.exec(["echo", str(number)])).stdout)

    async with create_task_group() as group:
        for number in range(20):
            group.start_soon(execute, number)
    assert found == {f"{number}\n".encode() for number in range(20)}


# -- what cannot be executed


async def test_a_missing_command(sleeper: Container) -> None:
    with pytest.raises(ExecFailed, match="no-such-command") as caught:
        await sleeper.exec(["no-such-command"])
    assert caught.value.exit_code in {126, 127}
    done = await sleeper.exec(["no-such-command"], check=False)
    assert b"no-such-command" in done.stdout + done.stderr


async def test_a_stopped_container(docker: Docker) -> None:
    container = await docker.containers.create("busybox", ["true"], network="none")
    with pytest.raises(Conflict, match="(?i)not running|running containers"):
        await container.exec(["true"])
    with pytest.raises(Conflict, match="(?i)not running|running containers"):
        async with container.open_exec(["true"]):
            raise AssertionError
    await container.start()
    await container.wait()
    with pytest.raises(Conflict, match="(?i)not running|running containers"):
        await container.exec(["true"])
    await container.remove()


async def test_a_paused_container(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["sleep", "1000"], network="none") as container:
        await container.pause()
        with pytest.raises(Conflict, match="paused"):
            await container.exec(["true"])
        await container.unpause()
        assert (await container.exec(["echo", "hi"])).stdout == b"hi\n"


async def test_bad_arguments(sleeper: Container) -> None:
    with pytest.raises(TypeError, match="command"):
        await sleeper.exec("true")
    with pytest.raises(ValueError, match="command"):
        await sleeper.exec([])
    with pytest.raises(TypeError, match="command"):
        await sleeper.exec([b"true"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="env"):
        await sleeper.exec(["true"], env={"A=B": "1"})


# -- the live stream


async def test_open_exec_gives_frames_in_order(sleeper: Container) -> None:
    script = "while read x; do echo $x; read x; echo $x >&2; done; exit 3"
    async with sleeper.open_exec(["sh", "-c", script]) as process:
        for n in range(0, 10, 2):
            await process.send(b"%d\n" % n)
            assert await anext(process) == Frame("stdout", b"%d\n" % n)
            await process.send(b"%d\n" % (n + 1))
            assert await anext(process) == Frame("stderr", b"%d\n" % (n + 1))
        await process.send_eof()
        assert [frame async for frame in process] == []
        assert await process.wait() == 3


async def test_lines(sleeper: Container) -> None:
    script = "printf '\\342'; usleep 50000; printf '\\202\\254 a\\nb'; printf 'x\\303' >&2; printf '\\244\\n' >&2"
    async with sleeper.open_exec(["sh", "-c", script]) as process:
        lines = sorted([(line.stream, line.text) async for line in process.lines()])
    assert lines == [("stderr", "xä"), ("stdout", "b"), ("stdout", "€ a")]


async def test_a_conversation(sleeper: Container) -> None:
    async with sleeper.open_exec(["sh"]) as process:
        await process.send(b"echo $((6 * 7))\n")
        assert await process.receive() == Frame("stdout", b"42\n")
        await process.send(b"echo sorry >&2\n")
        assert await process.receive() == Frame("stderr", b"sorry\n")
        await process.send(b"exit 3\n")
        assert await process.wait() == 3


async def test_output_flows_after_the_end_of_input(sleeper: Container) -> None:
    script = "cat > /dev/null; head -c 300000 /dev/zero | tr '\\0' o; echo err >&2; exit 4"
    async with sleeper.open_exec(["sh", "-c", script]) as process:
        await process.send(b"x" * 1000)
        await process.send_eof()
        await process.send_eof()
        output = await process.read()
        assert await process.wait() == 4
    assert (output.stdout, output.stderr) == (b"o" * 300_000, b"err\n")


async def test_both_directions_at_once(sleeper: Container) -> None:
    async with sleeper.open_exec(["cat"]) as process, create_task_group() as group:

        async def feed() -> None:
            for at in range(0, len(LARGE), 50_000):
                await process.send(LARGE[at : at + 50_000])
            await process.send_eof()

        group.start_soon(feed)
        assert (await process.read()).stdout == LARGE
        assert await process.wait() == 0


async def test_without_stdin_the_process_reads_the_end(sleeper: Container) -> None:
    async with sleeper.open_exec(["wc", "-c"], stdin=False) as process:
        assert (await process.read()).stdout == b"0\n"


async def test_a_terminal_can_be_resized(sleeper: Container) -> None:
    async with sleeper.open_exec(["sh"], tty=True) as process:
        assert process.tty
        await until(process, b"# ")
        await process.resize(rows=33, columns=111)
        await process.send(b"stty size\n")
        assert b"\r\n33 111\r\n" in await until(process, b"111\r\n")
        await process.send(b"exit 9\n")
        assert await process.wait() == 9


async def test_a_terminal_has_one_stream(sleeper: Container) -> None:
    async with sleeper.open_exec(["sh", "-c", "echo o; echo e >&2"], tty=True) as process:
        output = await process.read()
    assert (output.stdout, output.stderr) == (b"o\r\ne\r\n", b"")


async def test_detach_keys_end_the_connection(sleeper: Container) -> None:
    async with sleeper.open_exec(["cat"], tty=True, detach_keys="ctrl-x,d") as process:
        await process.send(b"hello\n")
        # The terminal's echo, and cat's.
        await until(process, b"hello\r\nhello\r\n")
        await process.send(b"\x18d")
        assert b"hello" not in (await process.read()).stdout


async def test_inspect(sleeper: Container) -> None:
    async with sleeper.open_exec(["sh", "-c", "read x; exit 5"]) as process:
        running = await process.inspect()
        assert (running["ID"], running["ContainerID"], running["Running"]) == (process.id, sleeper.id, True)
        await process.send(b"\n")
        assert await process.wait() == 5
        assert ((await process.inspect())["Running"], (await process.inspect())["ExitCode"]) == (False, 5)


async def test_wait_drops_what_has_not_been_received(sleeper: Container) -> None:
    async with sleeper.open_exec(["head", "-c", "3000000", "/dev/zero"]) as process:
        assert await process.wait() == 0
        assert await process.wait() == 0


async def test_leaving_the_block_closes_the_connection(docker: Docker, sleeper: Container) -> None:
    async with sleeper.open_exec(["cat"]) as process:
        assert docker.statistics().open_streams == 1
    assert docker.statistics().open_streams == 0
    with pytest.raises(ClosedResourceError):
        await process.receive()
    with pytest.raises(ClosedResourceError):
        await process.send(b"x")
    with pytest.raises(ClosedResourceError):
        await process.send_eof()


async def test_options_of_the_scope_form(sleeper: Container) -> None:
    script = ["sh", "-c", "echo $A; pwd; id -u"]
    async with sleeper.open_exec(script, env={"A": "1"}, workdir="/tmp", user="1") as process:
        assert b"".join([frame.data async for frame in process]) == b"1\n/tmp\n1\n"
        assert await process.wait() == 0
