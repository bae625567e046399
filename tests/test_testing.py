from __future__ import annotations

import base64
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
from anyio import (
    EndOfStream,
    connect_tcp,
    fail_after,
    move_on_after,
    sleep,
    sleep_forever,
)
from anyio.abc import ByteReceiveStream
from anyio.to_thread import run_sync
from blockbuster import BlockingError

import anydocker
from anydocker.testing import (
    BUSYBOX,
    EngineUnavailable,
    PrivateEngine,
    Registry,
    busybox_rootfs,
    local_registry,
    private_engine,
    scripted_engine,
)

pytestmark = pytest.mark.anyio

# -- the root filesystem


def test_the_root_filesystem_is_deterministic_and_complete() -> None:
    rootfs = busybox_rootfs()
    assert rootfs == busybox_rootfs()
    with tarfile.open(fileobj=io.BytesIO(rootfs)) as tar:
        members = {member.name: member for member in tar}
    assert {"bin", "dev", "etc", "proc", "root", "sys", "tmp"} <= {n for n, m in members.items() if m.isdir()}
    assert members["bin/busybox"].mode == 0o755
    assert members["tmp"].mode == 0o1777
    assert members["bin/sh"].linkname == "/bin/busybox"
    assert {"etc/passwd", "etc/group", "bin/cat", "bin/sleep", "usr/bin/env"} <= members.keys()
    applets = [name for name, member in members.items() if member.issym() and name.startswith("bin/")]
    assert applets == sorted(applets)
    assert {(m.uid, m.gid, m.mtime, m.uname) for m in members.values()} == {(0, 0, 0, "")}


@pytest.mark.parametrize("program", [None, "/bin/ls", __file__])
def test_without_a_static_busybox_it_says_what_to_install(
    program: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("anydocker.testing._rootfs.SEARCH_PATH", str(tmp_path))
    if program is not None:
        shutil.copy(program, tmp_path / "busybox")
        (tmp_path / "busybox").chmod(0o755)
    with pytest.raises(EngineUnavailable, match="apt-get install busybox-static"):
        busybox_rootfs()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_blocking_call_in_the_event_loop_is_an_error() -> None:
    with pytest.raises(BlockingError):
        busybox_rootfs()


# -- real engines


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The temporary directories the test has made; each has to be gone at its end, with all that has its name."""
    directories: list[Path] = []
    mkdtemp = tempfile.mkdtemp

    def record(prefix: str, dir: Path) -> str:
        directories.append(Path(mkdtemp(prefix=prefix, dir=dir)))
        return str(directories[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", record)
    before = machine()
    yield directories
    assert directories
    assert machine() == before
    for directory in directories:
        assert traces(directory) == []


def machine() -> dict[str, object]:
    places = ("/sys/class/net", "/run", "/run/docker", "/run/containerd", "/etc/docker", "/var/lib/docker")
    listings = {place: sorted(os.listdir(place)) for place in places if Path(place).exists()}
    return {"mounts": Path("/proc/self/mountinfo").read_text(), **listings}


def traces(directory: Path) -> list[str]:
    return [
        *(str(path) for path in (directory, *cgroups_named(directory.name)) if path.exists()),
        *(f"process {pid}" for pid, command in command_lines() if str(directory) in command),
    ]


def device(path: str) -> int:
    return os.stat(path).st_dev


def cgroups_named(name: str) -> list[Path]:
    return [Path(path) for path, _, _ in os.walk("/sys/fs/cgroup") if path.endswith(f"/{name}")]


def command_lines() -> Iterator[tuple[str, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.parent.name, path.read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue


def members(namespace: str) -> list[str]:
    """The processes of a PID namespace."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            if os.readlink(path) == namespace:
                found.append(path.parts[2])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


async def docker_cli(host: str, *arguments: str, stdin: bytes | None = None) -> str:
    return await output_of(("docker", "-H", host, *arguments), stdin)


async def output_of(command: Sequence[str], stdin: bytes | None = None) -> str:
    def run() -> str:
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    return await run_sync(run)


@pytest.mark.live
async def test_private_engines_run_side_by_side_and_leave_nothing(made: list[Path]) -> None:
    rootfs = await run_sync(busybox_rootfs)
    async with private_engine() as one, private_engine(options=["--label=of=mine"]) as two:
        await docker_cli(one.host, "import", "-", BUSYBOX, stdin=rootfs)
        await docker_cli(one.host, "run", "-d", "-p", "80:80", BUSYBOX, "sleep", "1000")
        assert await docker_cli(one.host, "ps", "-q")
        assert await docker_cli(two.host, "ps", "-q") == ""
        assert await docker_cli(two.host, "info", "-f", "{{.Labels}}") == "[of=mine]"
        assert "API listen on" in await one.log()
        # What it writes there is its own, and vanishes with it.
        for place in ("/run", "/etc/docker"):
            assert await run_sync(device, f"/proc/{one.pid}/root{place}") != await run_sync(device, place)
        assert [one.directory, two.directory] == made
        namespaces = [os.readlink(f"/proc/{e.pid}/ns/pid_for_children") for e in (one, two)]
        running = [set(members(namespace)) for namespace in namespaces]
        assert all(running)
    # The number of a namespace that is gone is soon another's, so it is the processes that count.
    assert [running[n] & set(members(namespace)) for n, namespace in enumerate(namespaces)] == [set(), set()]


@pytest.mark.live
async def test_an_engine_that_is_started_again_has_its_address_and_its_data(made: list[Path]) -> None:
    async with private_engine() as engine:
        await docker_cli(engine.host, "import", "-", BUSYBOX, stdin=await run_sync(busybox_rootfs))
        await docker_cli(engine.host, "run", "-d", "--name=asleep", BUSYBOX, "sleep", "1000")
        pids = [engine.pid]
        for end in (engine.kill, engine.terminate):
            namespace = os.readlink(f"/proc/{engine.pid}/ns/pid_for_children")
            await end()
            await end()
            assert members(namespace) == []
            await engine.start()
            assert await docker_cli(engine.host, "ps", "-a", "--format={{.Names}} {{.State}}") == "asleep exited"
            pids.append(engine.pid)
        assert len(set(pids)) == 3
        assert (await engine.log()).count("API listen on") == 3
        assert len(made) == 1


@pytest.mark.live
async def test_an_engine_with_a_small_disk(made: list[Path]) -> None:
    async with private_engine(disk_bytes=20 << 20) as engine:
        shown = await output_of(("nsenter", f"--mount=/proc/{engine.pid}/ns/mnt", "df", str(engine.directory / "data")))
        assert shown.splitlines()[-1].split()[1] == str(20 << 10)
        assert len(made) == 1


@pytest.mark.live
async def test_a_command_runs_inside_of_the_engines_network(made: list[Path]) -> None:
    async with private_engine() as engine:
        assert "docker0" in await output_of(engine.inside(["ip", "-br", "link"]))
    assert traces(made[0]) == []


@pytest.mark.live
async def test_a_long_path_of_the_temporary_directory_does_no_harm(
    made: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 100)))
    async with private_engine() as engine, scripted_engine():
        assert [path.parent for path in made] == [Path("/tmp")] * 2
        assert await docker_cli(engine.host, "ps", "-q") == ""


@pytest.mark.live
@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1, 1.0])
async def test_a_cancelled_engine_leaves_nothing(seconds: float, made: list[Path]) -> None:
    with move_on_after(seconds) as scope:
        async with private_engine():
            await sleep_forever()
    assert scope.cancelled_caught
    made.append(Path("/nonexistent"))


@pytest.mark.live
async def test_an_error_in_the_block_passes_unchanged(made: list[Path]) -> None:
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught:
        async with private_engine():
            raise error
    assert caught.value is error
    assert len(made) == 1


@pytest.mark.live
async def test_an_engine_that_does_not_start_shows_its_log(made: list[Path]) -> None:
    with pytest.raises(EngineUnavailable, match=r"(?s)dockerd ended while it started.*no-such-flag") as caught:
        async with private_engine(options=["--no-such-flag"], log_lines=2):
            raise AssertionError("it started")
    assert len(str(caught.value).splitlines()) <= 3
    assert len(made) == 1


@pytest.mark.parametrize("start", [private_engine, local_registry])
async def test_without_root_it_says_so(
    start: type[AbstractAsyncContextManager[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EngineUnavailable, match=r"needs root.*user 1000.*sudo"):
        async with start():
            raise AssertionError("it started")


@pytest.mark.parametrize(("start", "package"), [(private_engine, "docker.io"), (local_registry, "docker-registry")])
async def test_a_missing_program_is_named_with_its_package(
    start: type[AbstractAsyncContextManager[object]], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anydocker.testing._unavailable.SEARCH_PATH", "/nonexistent")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(EngineUnavailable, match=rf"not found on PATH: .*unshare.*apt-get install .*{package}"):
        async with start():
            raise AssertionError("it started")


@pytest.mark.live
async def test_the_engine_ends_with_the_process_that_started_it() -> None:
    code = (
        "import anyio; from anydocker.testing import private_engine\n"
        "async def main():\n"
        "    async with private_engine() as engine:\n"
        "        print(engine.pid, engine.directory, flush=True); await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    process = await run_sync(partial(start_python, code))
    try:
        assert process.stdout is not None
        pid, directory = (await run_sync(process.stdout.readline)).decode().split()
        namespace = os.readlink(f"/proc/{pid}/ns/pid_for_children")
        assert members(namespace)
        process.send_signal(signal.SIGKILL)
        with fail_after(20):
            while members(namespace):
                await sleep(0.02)
    finally:
        await run_sync(partial(end, process))
    await run_sync(remove_by_hand, Path(directory))


def start_python(code: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(Path(anydocker.__file__).parents[1])}
    return subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE, env=env)


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def remove_by_hand(directory: Path) -> None:
    for cgroup in cgroups_named(directory.name):
        for path, _, _ in os.walk(cgroup, topdown=False):
            os.rmdir(path)
    shutil.rmtree(directory)


# -- registries


async def read_all(stream: ByteReceiveStream) -> bytes:
    data = b""
    while True:
        try:
            data += await stream.receive()
        except EndOfStream:
            return data


async def get_v2(address: str, credentials: tuple[str, str] | None = None) -> bytes:
    host, port = address.split(":")
    head = b"GET /v2/ HTTP/1.0\r\nHost: r\r\n"
    if credentials is not None:
        head += b"Authorization: Basic " + base64.b64encode(":".join(credentials).encode()) + b"\r\n"
    async with await connect_tcp(host, int(port)) as stream:
        await stream.send(head + b"\r\n")
        return (await read_all(stream)).partition(b"\r\n")[0]


@pytest.mark.live
async def test_a_registry_on_this_machine(made: list[Path]) -> None:
    async with local_registry() as registry:
        assert await get_v2(registry.address) == b"HTTP/1.0 200 OK"
        assert "listening on" in await registry.log()
        assert registry.directory == made[0]


@pytest.mark.live
async def test_a_registry_asks_for_its_credentials(made: list[Path]) -> None:
    async with local_registry(credentials=("alice", "s3crét")) as registry:
        assert registry.credentials == ("alice", "s3crét")
        assert await get_v2(registry.address) == b"HTTP/1.0 401 Unauthorized"
        assert await get_v2(registry.address, ("alice", "wrong")) == b"HTTP/1.0 401 Unauthorized"
        assert await get_v2(registry.address, ("alice", "s3crét")) == b"HTTP/1.0 200 OK"
    assert len(made) == 1


@pytest.mark.live
async def test_a_registry_asks_for_tokens(made: list[Path]) -> None:
    async with local_registry(credentials=("alice", "s3crét"), tokens=True) as registry:
        assert await get_v2(registry.address) == b"HTTP/1.0 401 Unauthorized"
        assert await get_v2(registry.address, ("alice", "s3crét")) == b"HTTP/1.0 401 Unauthorized"
    assert len(made) == 2


async def test_tokens_are_for_somebody() -> None:
    with pytest.raises(ValueError, match="credentials="):
        async with local_registry(tokens=True):
            raise AssertionError("it started")


async def test_without_cryptography_there_are_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anydocker.testing._registry.find_spec", dict[str, object]().get)
    with pytest.raises(EngineUnavailable, match="pip install cryptography"):
        async with local_registry(credentials=("alice", "x"), tokens=True):
            raise AssertionError("it started")


@pytest.mark.parametrize("user", ["", "a:b"])
async def test_a_registry_refuses_a_user_name_that_cannot_be_sent(user: str) -> None:
    with pytest.raises(ValueError, match="user name"):
        async with local_registry(credentials=(user, "x")):
            raise AssertionError("it started")


async def test_without_bcrypt_a_password_is_refused(monkeypatch: pytest.MonkeyPatch, made: list[Path]) -> None:
    monkeypatch.setattr("anydocker.testing._registry._LIBRARIES", ("libnothing.so.1", "libc.so.6"))
    with pytest.raises(EngineUnavailable, match="bcrypt"):
        async with local_registry(credentials=("alice", "x")):
            raise AssertionError("it started")
    assert len(made) == 1


@pytest.mark.live
async def test_a_registry_is_reached_from_its_engine_only(made: list[Path], tmp_path: Path) -> None:
    rootfs = await run_sync(busybox_rootfs)
    async with private_engine() as engine, local_registry(engine, credentials=("alice", "x")) as registry:
        name = f"{registry.address}/busybox"
        await docker_cli(engine.host, "import", "-", name, stdin=rootfs)
        cli = partial(docker_cli, engine.host, "--config", str(tmp_path))
        await cli("login", "--username", "alice", "--password-stdin", registry.address, stdin=b"x")
        assert "digest: sha256:" in await cli("push", name)
        with pytest.raises(OSError, match=r"connection|connect"):
            await get_v2(registry.address)
    assert len(made) == 2


# -- the fixtures


async def test_the_docker_fixture_is_a_client(docker: anydocker.Docker) -> None:
    answer = await docker.request("GET", f"/images/{BUSYBOX}/json")
    assert answer.status == 200


async def test_the_registry_fixture_is_reached_by_the_engine(
    docker: anydocker.Docker, registry: Registry, anydocker_engine: PrivateEngine | None
) -> None:
    name = f"{registry.address}/busybox"
    await docker.request("POST", f"/images/{BUSYBOX}/tag", query={"repo": name})
    await docker_cli(docker.endpoint.url, "push", name)
    await docker.request("DELETE", f"/images/{name}")
    assert anydocker_engine is None or docker.endpoint.url == anydocker_engine.host


# -- the rules of this test suite

CONFTEST = Path(__file__).with_name("conftest.py").read_text()

INNER_INI = """
[pytest]
markers = live: x
filterwarnings = error
"""


@pytest.fixture
def inner(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> pytest.Pytester:
    """A test suite with the conftest of this one, and what that imports."""
    library = tmp_path_factory.mktemp("library")
    (library / "tests").symlink_to(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", f"{Path(anydocker.__file__).parents[1]}:{library}")
    monkeypatch.delenv("ANYDOCKER_REQUIRE_LIVE", raising=False)
    pytester.makeini(INNER_INI)
    pytester.makeconftest(CONFTEST)
    return pytester


def test_without_an_engine_tests_fail(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYDOCKER_TEST_HOST", "unix:///nonexistent.sock")
    inner.makepyfile("def test_it(engine_host): pass")
    result = inner.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*ConnectError*nonexistent.sock*")


def test_what_a_live_test_leaves_is_named_and_removed(
    inner: pytest.Pytester, engine_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYDOCKER_TEST_HOST", engine_host)
    inner.makepyfile(
        """
        import pytest
        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["trio"])
        async def test_it(docker):
            await docker.request("POST", "/networks/create", json={"Name": "left-net"})
            await docker.request("POST", "/volumes/create", json={"Name": "left-volume"})
            config = {"Image": "busybox:latest", "Cmd": ["true"]}
            await docker.request("POST", "/containers/create", query={"name": "left-one"}, json=config)
        """
    )
    impatient = CONFTEST.replace("PATIENCE: Final = 5.0", "PATIENCE: Final = 0.1")
    assert impatient != CONFTEST
    inner.makeconftest(impatient)
    for _ in range(2):
        result = inner.runpytest_subprocess()
        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines("*left behind: container ?'/left-one'?, network left-net, volume left-volume*")


def test_what_the_engine_removes_a_moment_later_is_not_left(
    inner: pytest.Pytester, engine_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYDOCKER_TEST_HOST", engine_host)
    inner.makepyfile(
        """
        import subprocess
        def test_it(engine_host):
            docker = f"docker -H {engine_host} network"
            subprocess.check_call(f"{docker} create late; (sleep 0.3; {docker} rm late) &", shell=True)
        """
    )
    inner.runpytest_subprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("import pytest\ndef test_it(): pytest.skip('no')", "*but skipped: *test_it*"),
        ("def test_it(): pass", "*but no live test passed*"),
    ],
)
def test_a_run_that_has_to_be_complete_fails_otherwise(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, test: str, told: str
) -> None:
    inner.makepyfile(test)
    assert inner.runpytest_subprocess().ret == 0
    monkeypatch.setenv("ANYDOCKER_REQUIRE_LIVE", "1")
    result = inner.runpytest_subprocess()
    assert result.ret == 1
    result.stdout.fnmatch_lines(told)


def test_a_complete_run_passes(inner: pytest.Pytester, engine_host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYDOCKER_TEST_HOST", engine_host)
    monkeypatch.setenv("ANYDOCKER_REQUIRE_LIVE", "1")
    inner.makepyfile("def test_it(engine_host): pass")
    result = inner.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert result.ret == 0
