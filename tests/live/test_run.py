from __future__ import annotations

import hashlib
from typing import Any

import pytest
from anyio import create_task_group

from anydocker import (
    BadRequest,
    Completed,
    Conflict,
    ContainerFailed,
    Docker,
    EngineFault,
    InvalidReference,
    Mount,
    NotFound,
    Unauthorized,
)
from anydocker.testing import Registry
from tests.helpers import Pieces, cut, varied
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]


MIB = 1024 * 1024
LARGE = varied(4 * MIB)


# Arguments that are fine, for one that is not.
GOOD: dict[str, Any] = {"image": "busybox", "command": ["true"]}


async def test_run(docker: Docker, label: str, cli: CLI) -> None:
    done = await docker.containers.run(
        "busybox", ["sh", "-c", "echo out; echo err >&2"], labels={label: ""}, network="none"
    )
    assert done == Completed(0, b"out\n", b"err\n")
    assert not await cli("ps", "--all", "--quiet", "--filter", f"label={label}")


async def test_run_of_nothing_to_say(docker: Docker) -> None:
    assert await docker.containers.run("busybox", ["true"], network="none") == Completed(0)


async def test_run_on_the_default_network(docker: Docker) -> None:
    done = await docker.containers.run("busybox", ["ls", "/sys/class/net"])
    assert {b"eth0", b"lo"} <= {*done.stdout.split()}


async def test_run_with_options(docker: Docker, label: str) -> None:
    script = "id -u; id -g; pwd; hostname; echo $A; ls -d /m; cat /proc/self/mountinfo | grep -c ' /m '"
    done = await docker.containers.run(
        "busybox",
        ["-c", script],
        name=label,
        entrypoint=["sh"],
        env={"A": "ä b"},
        user="1:2",
        workdir="/etc",
        mounts=[Mount("/m")],
        network="none",
        platform="linux/amd64",
        config={"Hostname": "box"},
    )
    assert done.stdout.decode().split("\n") == ["1", "2", "/etc", "box", "ä b", "/m", "1", ""]


async def test_run_takes_its_unnamed_volumes_away(docker: Docker, cli: CLI) -> None:
    before = await cli("volume", "ls", "--quiet")
    await docker.containers.run("busybox", ["true"], mounts=[Mount("/m")], network="none")
    assert await cli("volume", "ls", "--quiet") == before


# -- exit codes


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 1", 1), ("exit 42", 42), ("exit 255", 255), ("kill -9 $$; sleep 9", 137), ("kill -TERM 0; exit 3", 3)],
)
async def test_a_failure_is_an_error(docker: Docker, script: str, code: int) -> None:
    config = {"HostConfig": {"Init": True}} if "-9" in script else {}
    command = ["sh", "-c", f"echo out; echo err >&2; {script}"]
    with pytest.raises(ContainerFailed, match=f"exit code {code}; stderr: err") as caught:
        await docker.containers.run("busybox", command, network="none", config=config)
    error = caught.value
    assert (error.exit_code, error.stdout, error.stderr) == (code, b"out\n", b"err\n")
    assert "busybox sh -c" in str(error)


async def test_a_failure_is_a_value_if_asked(docker: Docker) -> None:
    done = await docker.containers.run("busybox", ["sh", "-c", "echo out; exit 5"], check=False, network="none")
    assert done == Completed(5, b"out\n", b"")


async def test_out_of_memory(docker: Docker) -> None:
    limits = {"HostConfig": {"Memory": 16 * MIB, "MemorySwap": 16 * MIB}}
    with pytest.raises(ContainerFailed) as caught:
        await docker.containers.run("busybox", ["tail", "/dev/zero"], config=limits, network="none")
    assert caught.value.exit_code == 137


# -- input and output


async def test_input(docker: Docker) -> None:
    done = await docker.containers.run("busybox", ["sh", "-c", "cat; echo end"], input=b"a\nb\n", network="none")
    assert done.stdout == b"a\nb\nend\n"


async def test_empty_input_is_the_end_of_input(docker: Docker) -> None:
    done = await docker.containers.run("busybox", ["wc", "-c"], input=b"", network="none")
    assert done.stdout == b"0\n"


async def test_without_input_there_is_none(docker: Docker) -> None:
    assert (await docker.containers.run("busybox", ["wc", "-c"], network="none")).stdout == b"0\n"


async def test_large_input_through_the_process_and_back(docker: Docker) -> None:
    done = await docker.containers.run("busybox", ["cat"], input=LARGE, network="none")
    assert done.stdout == LARGE
    assert done.stderr == b""


async def test_a_stream_as_input(docker: Docker) -> None:
    data = LARGE[:MIB]
    uneven = Pieces(b"", data[:1], data[1:65_538], *cut(data[65_538:], 100_003))
    done = await docker.containers.run("busybox", ["sha256sum"], input=uneven, network="none")
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


async def test_a_process_need_not_read_its_input(docker: Docker) -> None:
    done = await docker.containers.run("busybox", ["echo", "done"], input=LARGE, network="none")
    assert done.stdout == b"done\n"


async def test_an_error_of_the_input_comes_out_unchanged(docker: Docker, label: str) -> None:
    error = ZeroDivisionError("mine")

    class Broken(Pieces):
        async def __anext__(self) -> bytes:
            raise error

    with pytest.raises(ZeroDivisionError) as caught:
        await docker.containers.run("busybox", ["cat"], input=Broken(), labels={label: ""}, network="none")
    assert caught.value is error
    assert not await docker.containers.list(all=True, filters={"label": label})


async def test_large_output_on_both_streams(docker: Docker) -> None:
    script = "head -c 2000000 /dev/zero | tr '\\0' o & head -c 2000000 /dev/zero | tr '\\0' e >&2 & wait"
    done = await docker.containers.run("busybox", ["sh", "-c", script], network="none")
    assert (done.stdout, done.stderr) == (b"o" * 2_000_000, b"e" * 2_000_000)


async def test_a_burst_at_the_very_end_is_never_lost(docker: Docker) -> None:
    for _ in range(5):
        done = await docker.containers.run("busybox", ["sh", "-c", "printf %0100000d 7"], network="none")
        assert done.stdout == b"7".zfill(100_000)


async def test_a_terminal(docker: Docker) -> None:
    done = await docker.containers.run("busybox", ["sh", "-c", "tty; echo err >&2"], tty=True, network="none")
    assert done == Completed(0, b"/dev/pts/0\r\nerr\r\n", b"")


async def test_many_at_once(docker: Docker) -> None:
    found: dict[int, bytes] = {}

    async def run(number: int) -> None:
        done = await docker.containers.run("busybox", ["echo", str(number)], network="none")
        found[number] = done.stdout

    async with create_task_group() as group:
        for number in range(8):
            group.start_soon(run, number)
    assert found == {number: f"{number}\n".encode() for number in range(8)}


# -- what cannot be run


async def left(docker: Docker, label: str) -> list[object]:
    return [*await docker.containers.list(all=True, filters={"label": label})]


@pytest.mark.parametrize(
    ("command", "match"),
    [(["no-such-command"], "no-such-command"), (["/etc"], "(?i)permission denied|is a directory")],
)
async def test_a_command_that_cannot_be_started(docker: Docker, label: str, command: list[str], match: str) -> None:
    with pytest.raises(BadRequest, match=match):
        await docker.containers.run("busybox", command, labels={label: ""}, network="none")
    assert not await left(docker, label)


async def test_a_user_that_is_none(docker: Docker, label: str) -> None:
    with pytest.raises((BadRequest, EngineFault), match="(?i)nobody-here"):
        await docker.containers.run("busybox", ["true"], user="nobody-here", labels={label: ""}, network="none")
    assert not await left(docker, label)


async def test_a_name_that_is_taken(docker: Docker, sleeper_id: str, label: str) -> None:
    name = (await docker.containers.get(sleeper_id)).name
    with pytest.raises(Conflict, match="already in use"):
        await docker.containers.run("busybox", ["true"], name=name, labels={label: ""})
    assert not await left(docker, label)


async def test_bad_arguments(docker: Docker) -> None:
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"image": ""}, ValueError),
        ({"command": "true"}, TypeError),
        ({"name": "../x"}, ValueError),
        ({"name": ""}, ValueError),
        ({"pull": "sometimes"}, ValueError),
        ({"ports": {-1: None}}, ValueError),
        ({"env": {"A=B": ""}}, ValueError),
    ]
    for arguments, error in wrong:
        with pytest.raises(error, match=next(iter(arguments))):
            await docker.containers.run(**GOOD | arguments)


# -- pulling


async def test_a_missing_image_is_pulled_once(docker: Docker, pullable: str) -> None:
    async with docker.open_events(filters={"type": "image", "event": ["pull", "tag"]}) as events:
        for _ in range(2):
            done = await docker.containers.run(pullable, ["cat", "/app"], network="none")
            assert done.stdout == f"{pullable}\n".encode()
        await docker.images.image(pullable).tag(pullable)
        assert [(await events.receive()).action for _ in range(2)] == ["pull", "tag"]


async def test_the_policy_never(docker: Docker, pullable: str) -> None:
    with pytest.raises(NotFound, match="(?i)no such image"):
        await docker.containers.run(pullable, ["true"], pull="never", network="none")
    assert not await docker.images.list(filters={"reference": pullable})


async def test_the_policy_always(docker: Docker, pullable: str) -> None:
    await docker.images.image("busybox").tag(pullable)
    done = await docker.containers.run(pullable, ["cat", "/app"], pull="always", network="none")
    assert done.stdout == f"{pullable}\n".encode()


async def test_one_error_says_that_it_is_missing_and_cannot_be_pulled(docker: Docker, registry: Registry) -> None:
    name = f"{registry.address}/app:none"
    with pytest.raises(
        NotFound, match=f"(?i)no such image: {name}.*; and it could not be pulled: .*(unknown|not found)"
    ) as caught:
        await docker.containers.run(name, ["true"])
    assert caught.value.__cause__ is not None
    with pytest.raises(NotFound, match="(?i)no such image: .*; and it could not be pulled: .*refused"):
        await docker.containers.run("127.0.0.1:1/app", ["true"])


async def test_a_missing_image_behind_a_password(docker: Docker, closed_registry: Registry) -> None:
    with pytest.raises((NotFound, Unauthorized), match="(?i)no such image.*; and it could not be pulled"):
        await docker.containers.run(f"{closed_registry.address}/app", ["true"])


async def test_a_missing_image_whose_name_is_malformed(docker: Docker) -> None:
    for name in ("UPPER", "a b", "a:b:c"):
        with pytest.raises((BadRequest, NotFound, InvalidReference)):
            await docker.containers.run(name, ["true"])


async def test_a_missing_image_by_id(docker: Docker) -> None:
    with pytest.raises(NotFound, match="(?i)no such image"):
        await docker.containers.run("sha256:" + "0" * 64, ["true"])
