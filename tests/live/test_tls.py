"""TLS, with certificates of the test's own, against a real engine that demands one of its clients."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import anyio
import attrs
import pytest
import trustme
from anyio.from_thread import BlockingPortal
from anyio.streams.text import TextReceiveStream

import anydocker
from anydocker import ConnectError, TLSConfig, TruncatedStream
from anydocker.testing import BUSYBOX, busybox_rootfs
from anydocker.testing.fixtures import StartEngine
from tests.helpers import with_interruptions

pytestmark = [pytest.mark.anyio, pytest.mark.live]

RELAY: Final = Path(__file__).with_name("relay.py")
PORT: Final = 2376


@attrs.frozen
class TLSEngine:
    """A port that speaks TLS, one of the same engine that does not, and a directory for ``DOCKER_CERT_PATH``."""

    port: int
    plain_port: int
    certificates: Path

    @property
    def host(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def tls(self) -> TLSConfig:
        directory = self.certificates
        return TLSConfig(ca=directory / "ca.pem", cert=directory / "cert.pem", key=directory / "key.pem")


def write_certificates(directory: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(directory / "other-ca.pem"))
    for prefix, name in (("server-", "127.0.0.1"), ("", "client@example.org")):
        issued = authority.issue_cert(name)
        issued.private_key_pem.write_to_path(str(directory / f"{prefix}key.pem"))
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        (directory / f"{prefix}cert.pem").write_bytes(chain)


@asynccontextmanager
async def relay(command: Sequence[str]) -> AsyncGenerator[int, None]:
    async with await anyio.open_process(command) as process:
        assert process.stdout is not None
        yield int(await TextReceiveStream(process.stdout).receive())
        process.kill()


@asynccontextmanager
async def running(start_engine: StartEngine, directory: Path) -> AsyncGenerator[TLSEngine, None]:
    write_certificates(directory)
    options = (
        f"--host=tcp://127.0.0.1:{PORT}",
        "--tlsverify",
        f"--tlscacert={directory}/ca.pem",
        f"--tlscert={directory}/server-cert.pem",
        f"--tlskey={directory}/server-key.pem",
    )
    script = (sys.executable, str(RELAY))
    between = str(directory / "relay.sock")
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(start_engine(options=options))
        await stack.enter_async_context(relay(engine.inside((*script, between, f"127.0.0.1:{PORT}"))))
        port = await stack.enter_async_context(relay((*script, "127.0.0.1:0", between)))
        plain = (*script, "127.0.0.1:0", engine.host.removeprefix("unix://"))
        plain_port = await stack.enter_async_context(relay(plain))
        async with anydocker.connect(engine.host) as client:
            await client.images.import_(busybox_rootfs(), repository=BUSYBOX)
        yield TLSEngine(port, plain_port, directory)


@pytest.fixture(scope="session")
def tls_engine(
    start_engine: StartEngine, anydocker_portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TLSEngine]:
    directory = tmp_path_factory.mktemp("tls")
    with anydocker_portal.wrap_async_context_manager(running(start_engine, directory)) as engine:
        yield engine


async def test_calls_and_streams(tls_engine: TLSEngine) -> None:
    async with anydocker.connect(tls_engine.host, tls=tls_engine.tls) as d:
        done = await d.containers.run("busybox", ["sh", "-c", "cat; echo err >&2"], input=b"x" * 1_000_000)
        assert (len(done.stdout), done.stderr) == (1_000_000, b"err\n")
        async with d.containers.open_run("busybox", ["sh", "-c", "echo one; echo two; sleep 100"]) as c:
            async with c.open_logs(follow=True) as log:
                lines = log.lines()
                assert [(await lines.receive()).text for _ in range(2)] == ["one", "two"]
            assert (await c.exec(["id", "-u"])).stdout == b"0\n"
        assert d.statistics().open_streams == 0


async def test_half_close(tls_engine: TLSEngine) -> None:
    async with anydocker.connect(tls_engine.host, tls=tls_engine.tls) as d:
        # sort says nothing before its input has ended.
        async with d.containers.open_run("busybox", ["sort"], stdin=True) as c, c.open_attach(stdin=True) as io:
            await io.send(b"b\na\n")
            await io.send_eof()
            assert (await io.read()).stdout == b"a\nb\n"


async def test_cancelled_receive_loses_nothing(tls_engine: TLSEngine) -> None:
    script = "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); usleep 500; done"
    async with anydocker.connect(tls_engine.host, tls=tls_engine.tls) as d:
        async with d.containers.open_run("busybox", ["sh", "-c", script]) as c, c.open_logs(follow=True) as log:
            lines = log.lines()
            seen: list[str] = []
            with suppress(anyio.EndOfStream):
                while True:
                    seen.append((await with_interruptions(lines.receive)).text)
            assert seen == [f"line {number}" for number in range(200)]


async def test_environment(tls_engine: TLSEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", tls_engine.host)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tls_engine.certificates))
    client = anydocker.connect()
    async with client as d:
        assert (await d.ping()).os == "linux"


async def failure(host: str, tls: TLSConfig | None) -> str:
    with pytest.raises(ConnectError) as caught:
        async with anydocker.connect(host, tls=tls):
            pytest.fail("reached an engine")
    return str(caught.value)


async def test_what_went_wrong(tls_engine: TLSEngine) -> None:
    directory, host = tls_engine.certificates, tls_engine.host
    trusted = TLSConfig(ca=directory / "ca.pem")
    other = TLSConfig(ca=directory / "other-ca.pem")
    assert "certificate is not to be trusted" in await failure(host, other)
    by_name = host.replace("127.0.0.1", "localhost")
    assert "certificate is not to be trusted: Hostname mismatch" in await failure(by_name, tls_engine.tls)
    assert "client certificate" in await failure(host, trusted)
    assert "HTTP request to an HTTPS server" in await failure(host, None)
    plain = f"tcp://127.0.0.1:{tls_engine.plain_port}"
    assert "does not speak TLS" in await failure(plain, tls_engine.tls)
    assert "No such file" in await failure(host, TLSConfig(ca=directory / "absent.pem"))
    assert "files for TLS" in await failure(host, TLSConfig(cert=directory / "cert.pem", key=directory / "ca.pem"))


async def test_a_cut_connection_is_no_end(tls_engine: TLSEngine) -> None:
    """The relay dies in the middle: no close_notify has come, so the output has not ended."""
    async with AsyncExitStack() as stack:
        script = (sys.executable, str(RELAY), "127.0.0.1:0", f"127.0.0.1:{tls_engine.port}")
        process = await stack.enter_async_context(await anyio.open_process(script))
        assert process.stdout is not None
        port = int(await TextReceiveStream(process.stdout).receive())
        async with anydocker.connect(f"tcp://127.0.0.1:{port}", tls=tls_engine.tls) as d:
            container = await d.containers.create("busybox", ["sh", "-c", "echo one; sleep 100"])
            try:
                async with container.open_attach() as io:
                    await container.start()
                    assert (await io.receive()).data == b"one\n"
                    process.kill()
                    with pytest.raises(TruncatedStream):
                        await io.receive()
            finally:
                async with anydocker.connect(tls_engine.host, tls=tls_engine.tls) as other:
                    await other.containers.container(container.id).remove(force=True)
