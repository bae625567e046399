"""Engines behind ssh: a real sshd on a loopback port, with keys of its own."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync

import anydocker
from anydocker import ConnectError, TruncatedStream

pytestmark = [pytest.mark.anyio, pytest.mark.live]


@pytest.fixture
def host(ssh_directory: Path, engine_host: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATH", f"{ssh_directory}{os.pathsep}{os.environ['PATH']}")
    return f"ssh://root@box{engine_host.removeprefix('unix://')}"


async def processes(directory: Path) -> list[str]:
    """The ssh processes that are there because of us."""
    done = await anyio.run_process(["pgrep", "-f", f"^[^ ]*ssh -F {directory}"], check=False)
    return done.stdout.decode().split()


async def test_calls_and_streams(host: str, ssh_directory: Path) -> None:
    async with anydocker.connect(host) as d:
        done = await d.containers.run("busybox", ["sh", "-c", "cat; echo err >&2"], input=b"x" * 300_000)
        assert (len(done.stdout), done.stderr) == (300_000, b"err\n")
        async with d.containers.open_run("busybox", ["sh", "-c", "echo one; sleep 100"]) as c:
            async with c.open_logs(follow=True) as log:
                assert (await log.lines().receive()).text == "one"
            assert (await c.exec(["sh", "-c", "exit 3"], check=False)).exit_code == 3
    assert await processes(ssh_directory) == []


async def test_half_close(host: str) -> None:
    async with anydocker.connect(host) as d:
        async with d.containers.open_run("busybox", ["sort"], stdin=True) as c, c.open_attach(stdin=True) as io:
            await io.send(b"b\na\n")
            await io.send_eof()
            assert (await io.read()).stdout == b"a\nb\n"


async def test_cancelled(host: str, ssh_directory: Path) -> None:
    async with anydocker.connect(host) as d:
        with anyio.move_on_after(0.5) as scope:
            async with d.open_events() as events:
                await events.receive()
        assert scope.cancelled_caught
        assert d.statistics().open_streams == 0
        assert (await d.ping()).os == "linux"
    assert await processes(ssh_directory) == []


async def test_a_killed_ssh_is_no_end(host: str, ssh_directory: Path) -> None:
    async with anydocker.connect(host) as d, d.open_events() as events:
        for pid in await processes(ssh_directory):
            await run_sync(os.kill, int(pid), 9)
        with pytest.raises(TruncatedStream):
            await events.receive()


async def failure(host: str) -> str:
    with pytest.raises(ConnectError) as caught:
        async with anydocker.connect(host):
            pytest.fail("reached an engine")
    return str(caught.value)


async def test_what_went_wrong(host: str, ssh_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such file or directory" in await failure("ssh://root@box/nonexistent.sock")
    assert "Permission denied" in await failure("ssh://nobody@box")
    assert "Connection refused" in await failure("ssh://root@box:1")
    known = ssh_directory / "known_hosts"
    content = known.read_text()
    try:
        known.write_text("")
        assert "Host key verification failed" in await failure(host)
    finally:
        known.write_text(content)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "no ssh on PATH" in await failure(host)
