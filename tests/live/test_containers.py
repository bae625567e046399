from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from anyio import create_task_group, fail_after, sleep

from anydocker import (
    APIError,
    BadRequest,
    Conflict,
    Container,
    Docker,
    EngineFault,
    Mount,
    NotFound,
    UnsupportedByEngine,
)
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]


# Ends at once when it is told to, which the first process of a namespace does only for signals it asks for.
WAITS = ["sh", "-c", "trap 'exit 3' TERM; trap 'exit 4' INT; while :; do sleep 1000 & wait $!; done"]
# Arguments that are fine, for one that is not.
GOOD: dict[str, Any] = {"image": "busybox", "command": ["true"]}
BAD_IDS = ["", " ", ".", "..", "../images", "a/../b", "a//b", "a/", "a\0b", "a\nb", "\x7f"]


@pytest.fixture
async def container(docker: Docker, label: str) -> AsyncGenerator[Container, None]:
    """A container that has not been started."""
    container = await docker.containers.create("busybox", WAITS, labels={label: "yes"}, network="none")
    yield container
    for left in await docker.containers.list(all=True, filters={"label": label}):
        await left.remove(force=True)


@pytest.fixture
async def running(container: Container) -> Container:
    await container.start()
    # It sleeps as soon as it has set its traps.
    while len((await container.top())["Processes"] or ()) < 2:
        await sleep(0.01)
    return container


async def truth(cli: CLI, container: Container) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(await cli("container", "inspect", container.id))[0]
    return document


# -- create


async def test_create(docker: Docker, label: str, cli: CLI) -> None:
    container = await docker.containers.create(
        "busybox",
        ["echo", "a b", "ä"],
        name=label,
        entrypoint=["/bin/busybox"],
        env={"A": "1", "B": "x=y", "EMPTY": ""},
        labels={"one": "1", "two": ""},
        user="1:1",
        workdir="/tmp",
        tty=True,
        stdin=True,
        ports={80: None, "53/udp": 5353, 443: ("127.0.0.1", 8443), 90: [9090, ("127.0.0.1", None)]},
        mounts=[Mount("/volume"), Mount("/tmpfs", type="tmpfs"), Mount("/host", "/etc", type="bind", read_only=True)],
        network="bridge",
        config={"Hostname": "box", "HostConfig": {"Memory": 64 << 20}},
    )
    found = await truth(cli, container)
    assert (container.id, container.name, container.summary) == (found["Id"], label, None)
    assert found["Name"] == f"/{label}"
    config, host = found["Config"], found["HostConfig"]
    assert config["Image"] == "busybox"
    assert (config["Entrypoint"], config["Cmd"]) == (["/bin/busybox"], ["echo", "a b", "ä"])
    assert {"A=1", "B=x=y", "EMPTY="} <= {*config["Env"]}
    assert config["Labels"] == {"one": "1", "two": ""}
    assert (config["User"], config["WorkingDir"], config["Hostname"]) == ("1:1", "/tmp", "box")
    assert (config["Tty"], config["OpenStdin"], config["StdinOnce"]) == (True, True, True)
    assert host["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": ""}],
        "53/udp": [{"HostIp": "", "HostPort": "5353"}],
        "443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8443"}],
        "90/tcp": [{"HostIp": "", "HostPort": "9090"}, {"HostIp": "127.0.0.1", "HostPort": ""}],
    }
    assert {(mount["Type"], mount["Target"]) for mount in host["Mounts"]} == {
        ("volume", "/volume"),
        ("tmpfs", "/tmpfs"),
        ("bind", "/host"),
    }
    assert (host["NetworkMode"], host["Memory"]) == ("bridge", 64 << 20)
    await container.remove(volumes=True)


async def test_create_with_what_the_image_has(docker: Docker, label: str) -> None:
    text = "FROM busybox\nENV GONE=1 KEPT=1\nCMD env\n"
    image = await docker.images.build(dockerfile_text=text, tags=[label])
    done = await docker.containers.run(label, env={"GONE": None}, network="none")
    assert b"KEPT=1\n" in done.stdout
    assert b"GONE" not in done.stdout
    await image.remove()


async def test_create_on_a_platform(docker: Docker, label: str) -> None:
    container = await docker.containers.create("busybox", ["true"], name=label, platform="linux/amd64")
    assert (await container.inspect())["Name"] == f"/{label}"
    await container.remove()


async def test_create_from_an_unknown_image(docker: Docker) -> None:
    with pytest.raises(NotFound, match="no-such-image"):
        await docker.containers.create("no-such-image:1", ["true"])


async def test_create_with_a_name_that_is_taken(docker: Docker, label: str) -> None:
    first = await docker.containers.create("busybox", ["true"], name=label)
    with pytest.raises(Conflict, match="already in use") as caught:
        await docker.containers.create("busybox", ["true"], name=label)
    assert caught.value.status == 409
    await first.remove()


async def test_create_refused_by_the_engine(docker: Docker) -> None:
    with pytest.raises(BadRequest):
        await docker.containers.create("busybox", ["true"], config={"HostConfig": {"Memory": 1}})
    with pytest.raises((BadRequest, EngineFault), match="(?i)invalid reference format"):
        await docker.containers.create("../no", ["true"])
    with pytest.raises(BadRequest, match="name"):
        await docker.containers.create("busybox", ["true"], name="a b?c")


async def test_create_refuses_a_name_that_is_none(docker: Docker) -> None:
    for name in BAD_IDS:
        with pytest.raises(ValueError, match="name"):
            await docker.containers.create("busybox", ["true"], name=name)


async def test_create_refuses_a_value_out_of_range(docker: Docker) -> None:
    wrong: list[dict[str, Any]] = [
        {"image": ""},
        {"command": []},
        {"env": {"A=B": "1"}},
        {"env": {"": "1"}},
        {"ports": {0: None}},
        {"ports": {80: 65536}},
        {"ports": {"80/none": None}},
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match=next(iter(arguments))):
            await docker.containers.create(**GOOD | arguments)


async def test_create_refuses_a_wrong_type(docker: Docker) -> None:
    wrong: list[dict[str, Any]] = [
        {"command": "echo hi"},
        {"command": [1]},
        {"entrypoint": "sh"},
        {"ports": {80: "8080"}},
        {"ports": {80: True}},
    ]
    for arguments in wrong:
        with pytest.raises(TypeError, match=next(iter(arguments))):
            await docker.containers.create(**GOOD | arguments)


# -- handles


async def test_get(docker: Docker, container: Container) -> None:
    name = (await container.inspect())["Name"]
    for key in (container.id, container.id[:12], name, name.removeprefix("/")):
        found = await docker.containers.get(key)
        assert found == container
        assert found.name == name.removeprefix("/")


async def test_a_handle_is_made_without_asking(docker: Docker, container: Container) -> None:
    handle = docker.containers.container(container.id)
    assert handle == container
    assert (await handle.inspect())["Id"] == container.id
    with pytest.raises(NotFound):
        await docker.containers.container("none").inspect()


async def test_an_id_that_would_change_the_path_is_refused(docker: Docker) -> None:
    for key in BAD_IDS:
        with pytest.raises(ValueError, match="container"):
            await docker.containers.get(key)
        with pytest.raises(ValueError, match="container"):
            docker.containers.container(key)


async def test_an_odd_id_reaches_the_engine_as_it_is(docker: Docker) -> None:
    for key in ("a b", "a?all=1", "a#b", "%2e%2e", "ä", "a/b", "a&b"):
        with pytest.raises(APIError) as caught:
            await docker.containers.get(key)
        assert caught.value.status in {400, 404}
        assert key in caught.value.message


async def test_an_id_is_a_str(docker: Docker) -> None:
    with pytest.raises((TypeError, AttributeError)):
        await docker.containers.get(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_an_unknown_container(docker: Docker) -> None:
    unknown = docker.containers.container("unknown")
    calls: list[Callable[[], Awaitable[object]]] = [
        unknown.inspect,
        unknown.start,
        lambda: unknown.stop(grace_seconds=0),
        lambda: unknown.restart(grace_seconds=0),
        unknown.kill,
        unknown.pause,
        unknown.unpause,
        unknown.wait,
        unknown.remove,
        lambda: unknown.rename("other"),
        lambda: unknown.update({"Memory": 64 << 20}),
        unknown.top,
        unknown.changes,
        unknown.logs,
        unknown.attach,
        unknown.stats,
        lambda: unknown.resize(rows=1, columns=1),
        lambda: unknown.exec(["true"]),
    ]
    for call in calls:
        with pytest.raises(NotFound, match="unknown"):
            await call()
    streams = [
        unknown.open_logs(),
        unknown.open_attach(),
        unknown.open_stats(),
        unknown.open_wait(),
        unknown.open_exec(["true"]),
    ]
    for stream in streams:
        with pytest.raises(NotFound, match="unknown"):
            async with stream:
                raise AssertionError


async def test_inspect(running: Container, cli: CLI) -> None:
    document = await running.inspect()
    assert document == await truth(cli, running)
    assert document["State"]["Status"] == "running"
    assert "SizeRw" not in {*document}
    assert (await running.inspect(size=True))["SizeRw"] is not None


# -- list and prune


async def test_list(docker: Docker, running: Container, label: str, cli: CLI) -> None:
    created = await docker.containers.create("busybox", ["true"], labels={label: "no"})
    assert await docker.containers.list(filters={"label": label}) == [running]
    assert await docker.containers.list(all=True, filters={"label": label}) == [created, running]
    everything = {one.id for one in await docker.containers.list(all=True)}
    assert everything == {*(await cli("ps", "--all", "--quiet", "--no-trunc")).split()}


async def test_list_by_filters(docker: Docker, running: Container, label: str) -> None:
    containers = docker.containers
    created = await containers.create("busybox", ["true"], labels={label: "no"})
    assert await containers.list(filters={"label": {label: "yes"}}) == [running]
    assert await containers.list(all=True, filters={"label": {label: None}, "status": "created"}) == [created]
    assert await containers.list(filters={"id": running.id, "status": ["paused", "running"]}) == [running]
    assert await containers.list(filters={"id": running.id, "status": ["paused"]}) == []


async def test_a_listed_container_has_its_document(docker: Docker, running: Container, label: str) -> None:
    listed = (await docker.containers.list(filters={"label": label}, size=True))[0]
    assert listed.summary is not None
    assert listed.summary["State"] == "running"
    assert listed.summary["Names"] == [f"/{listed.name}"]
    assert (listed.summary["SizeRootFs"] or 0) > 0
    without = (await docker.containers.list(filters={"label": label}))[0]
    assert without.summary is not None
    assert "SizeRootFs" not in without.summary


async def test_list_the_newest(docker: Docker, container: Container) -> None:
    assert await docker.containers.list(limit=1) == [container]


async def test_list_with_an_unknown_filter(docker: Docker) -> None:
    with pytest.raises((BadRequest, EngineFault), match="nonsense"):
        await docker.containers.list(filters={"nonsense": "x"})


async def test_prune(docker: Docker, running: Container, label: str) -> None:
    created = await docker.containers.create("busybox", ["true"], labels={label: "no"})
    report = await docker.containers.prune(filters={"label": label})
    assert report["ContainersDeleted"] == [created.id]
    assert await docker.containers.list(all=True, filters={"label": label}) == [running]
    assert not (await docker.containers.prune(filters={"label": label}))["ContainersDeleted"]


# -- state


async def test_start_says_whether_it_was_running(container: Container) -> None:
    assert await container.start() is True
    assert (await container.inspect())["State"]["Running"] is True
    assert await container.start() is False


async def test_stop_says_whether_it_was_running(running: Container) -> None:
    assert await running.stop() is True
    assert (await running.inspect())["State"]["ExitCode"] == 3
    assert await running.stop() is False


async def test_stop_without_grace_kills(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["sleep", "1000"], network="none") as container:
        assert await container.stop(grace_seconds=0) is True
        assert (await container.inspect())["State"]["ExitCode"] == 137


async def test_stop_by_another_signal(docker: Docker, running: Container) -> None:
    if docker.speaks("1.42"):
        assert await running.stop(signal="SIGINT") is True
        assert (await running.inspect())["State"]["ExitCode"] == 4
    else:
        with pytest.raises(UnsupportedByEngine, match=r"1\.42"):
            await running.stop(signal="SIGINT")
        with pytest.raises(UnsupportedByEngine, match=r"1\.42"):
            await running.restart(signal="SIGINT")
        assert (await running.inspect())["State"]["Running"] is True


async def test_restart(running: Container) -> None:
    before = await running.inspect()
    await running.restart(grace_seconds=0)
    after = await running.inspect()
    assert after["State"]["Running"] is True
    assert after["State"]["Pid"] != before["State"]["Pid"]


@pytest.mark.parametrize(("signal", "code"), [("SIGKILL", 137), ("KILL", 137), ("9", 137), ("SIGTERM", 3), ("2", 4)])
async def test_kill(running: Container, signal: str, code: int) -> None:
    async with running.open_wait() as pending:
        await _trapped(running)
        await running.kill(signal)
        assert await pending.exit_code() == code


async def _trapped(container: Container) -> None:
    """Wait until the shell has set its traps: then it has a child."""
    while len((await container.top())["Processes"] or ()) < 2:
        continue


async def test_kill_with_a_signal_that_is_none(running: Container) -> None:
    with pytest.raises((BadRequest, EngineFault), match="(?i)signal"):
        await running.kill("SIGNONE")


async def test_kill_what_does_not_run(container: Container) -> None:
    with pytest.raises(Conflict, match="(?i)not running|running containers"):
        await container.kill()


async def test_pause_and_unpause(running: Container) -> None:
    await running.pause()
    assert (await running.inspect())["State"]["Status"] == "paused"
    with pytest.raises((Conflict, EngineFault), match="(?i)paused"):
        await running.pause()
    await running.unpause()
    assert (await running.inspect())["State"]["Status"] == "running"
    with pytest.raises((Conflict, EngineFault), match="(?i)not paused"):
        await running.unpause()


async def test_pause_what_does_not_run(container: Container) -> None:
    with pytest.raises((Conflict, EngineFault), match="(?i)not running|running containers"):
        await container.pause()


async def test_rename(docker: Docker, container: Container, label: str) -> None:
    await container.rename(label)
    assert await docker.containers.get(label) == container


async def test_rename_to_a_name_that_is_taken(docker: Docker, container: Container, label: str) -> None:
    other = await docker.containers.create("busybox", ["true"], name=label)
    with pytest.raises(Conflict, match="already in use"):
        await container.rename(label)
    await other.remove()


async def test_rename_to_nothing(container: Container) -> None:
    with pytest.raises((ValueError, BadRequest, EngineFault)):
        await container.rename("")


async def test_update(running: Container, cli: CLI) -> None:
    warnings = await running.update({"Memory": 96 << 20, "MemorySwap": 192 << 20})
    assert all("swap" in warning.lower() for warning in warnings)
    assert (await truth(cli, running))["HostConfig"]["Memory"] == 96 << 20


async def test_update_with_a_value_out_of_range(running: Container) -> None:
    with pytest.raises((BadRequest, EngineFault), match="(?i)memory"):
        await running.update({"Memory": 1})


async def test_top(running: Container) -> None:
    await _trapped(running)
    processes = await running.top()
    assert "PID" in (processes["Titles"] or ())
    assert any("trap" in " ".join(process) for process in processes["Processes"] or ())
    columns = await running.top("-eo pid,comm")
    assert columns["Titles"] == ["PID", "COMMAND"]
    assert {process[1] for process in columns["Processes"] or ()} == {"sh", "sleep"}


async def test_top_of_what_does_not_run(container: Container) -> None:
    with pytest.raises((Conflict, EngineFault), match="(?i)not running|running containers"):
        await container.top()


async def test_changes(running: Container) -> None:
    assert await running.changes() == []
    await running.exec(["sh", "-c", "echo x > /tmp/new; rm /etc/group; echo y >> /etc/passwd"])
    changes = {change["Path"]: change["Kind"] for change in await running.changes()}
    assert changes == {"/tmp": 0, "/tmp/new": 1, "/etc": 0, "/etc/group": 2, "/etc/passwd": 0}


# -- remove


async def test_remove(docker: Docker, container: Container) -> None:
    await container.remove()
    with pytest.raises(NotFound):
        await container.inspect()
    with pytest.raises(NotFound):
        await container.remove()


async def test_remove_what_runs(running: Container) -> None:
    with pytest.raises(Conflict, match="(?i)running"):
        await running.remove()
    await running.remove(force=True)
    with pytest.raises(NotFound):
        await running.inspect()


async def test_remove_with_volumes(docker: Docker, cli: CLI) -> None:
    before = await cli("volume", "ls", "--quiet")
    container = await docker.containers.create("busybox", ["true"], mounts=[Mount("/data")])
    assert await cli("volume", "ls", "--quiet") != before
    await container.remove(volumes=True)
    assert await cli("volume", "ls", "--quiet") == before


# -- wait


async def test_wait_for_what_has_ended(running: Container) -> None:
    await running.kill()
    assert await running.wait() == 137
    assert await running.wait("not-running") == 137


async def test_wait_for_what_has_not_been_started(container: Container) -> None:
    assert await container.wait() == 0


async def test_wait_for_the_removal(docker: Docker) -> None:
    container = await docker.containers.create(
        "busybox", ["sh", "-c", "exit 5"], network="none", config={"HostConfig": {"AutoRemove": True}}
    )
    async with container.open_wait("removed") as pending:
        await container.start()
        assert await pending.exit_code() == 5
    with pytest.raises(NotFound):
        await container.inspect()


async def test_a_condition_that_is_none(container: Container) -> None:
    with pytest.raises(ValueError, match="condition='never'"):
        await container.wait("never")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_wait_can_be_cancelled_and_asked_again(running: Container) -> None:
    async with running.open_wait() as pending:
        for _ in range(3):
            with pytest.raises(TimeoutError), fail_after(0):
                await pending.exit_code()
        await running.kill()
        assert await pending.exit_code() == 137
        assert await pending.exit_code() == 137


async def test_the_end_of_a_short_life_is_never_missed(docker: Docker) -> None:
    async def live(code: int) -> None:
        container = await docker.containers.create("busybox", ["sh", "-c", f"exit {code}"], network="none")
        for _ in range(10):
            async with container.open_wait("next-exit") as pending:
                assert await container.start() is True
                assert await pending.exit_code() == code
        await container.remove()

    with fail_after(50):
        async with create_task_group() as group:
            for code in range(5):
                group.start_soon(live, code)


# -- open_run


async def test_open_run(docker: Docker, label: str) -> None:
    async with docker.containers.open_run("busybox", WAITS, name=label, network="none") as container:
        assert container.name == label
        assert (await container.inspect())["State"]["Running"] is True
    with pytest.raises(NotFound):
        await container.inspect()


async def test_open_run_removes_when_the_block_fails(docker: Docker, label: str) -> None:
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught:
        async with docker.containers.open_run("busybox", WAITS, labels={label: ""}, network="none"):
            assert await docker.containers.list(filters={"label": label})
            raise error
    assert caught.value is error
    assert not await docker.containers.list(all=True, filters={"label": label})


async def test_open_run_of_what_has_ended_or_is_gone(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["true"], network="none") as ended:
        assert await ended.wait() == 0
    async with docker.containers.open_run("busybox", WAITS, network="none") as gone:
        await gone.remove(force=True)
    for container in (ended, gone):
        with pytest.raises(NotFound):
            await container.inspect()


async def test_open_run_of_a_bad_command(docker: Docker, label: str) -> None:
    with pytest.raises(BadRequest, match="no-such-command"):
        async with docker.containers.open_run("busybox", ["no-such-command"], labels={label: ""}, network="none"):
            raise AssertionError
    assert not await docker.containers.list(all=True, filters={"label": label})


async def test_open_run_publishes_ports(docker: Docker, cli: CLI) -> None:
    async with docker.containers.open_run("busybox", WAITS, ports={80: None, "53/udp": 5353}) as container:
        published = (await cli("port", container.id)).splitlines()
    assert "53/udp -> 0.0.0.0:5353" in published
    assert any(line.startswith("80/tcp -> 0.0.0.0:") for line in published)


async def test_open_run_pulls_a_missing_image(docker: Docker, pullable: str) -> None:
    async with docker.containers.open_run(pullable, WAITS, network="none") as container:
        assert (await container.exec(["cat", "/app"])).stdout == f"{pullable}\n".encode()
