"""
Record what a real engine sends, byte for byte, for the tests that cut, split and stall it.

::

    python tools/record.py [NAME ...]

A private engine and a registry are started (as root; nothing that runs already is touched), and for every
recording a request is sent on a raw socket. What comes back, head included, is written to
``tests/recordings/NAME.http``. Without names, everything is recorded anew.

Each function marked with ``@recording`` makes the recording of its name. Keep the answers short: tests read each
of them once for every byte it has.
"""

from __future__ import annotations

import functools
import io
import sys
import tarfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlencode

import anyio
import attrs
import h11

import anydocker
from anydocker._wire.websocket import WebSocketDecoder
from anydocker.testing import BUSYBOX, busybox_rootfs, local_registry, private_engine

TARGET: Final = Path(__file__).parent.parent / "tests" / "recordings"
NO_NETWORK: Final = {"HostConfig": {"NetworkMode": "none"}}
# The pauses make frames of what is written, and the last line has no end.
TALKS: Final = ["sh", "-c", "echo out; sleep 0.1; echo err >&2; sleep 0.1; printf 'gr\\303\\274\\303\\237e'"]
UPGRADE: Final = {"Connection": "Upgrade", "Upgrade": "tcp"}
# What a client would make up for every WebSocket: the answer depends on it.
NONCE: Final = bytes(range(16))
TAR: Final = {"Content-Type": "application/x-tar"}

Meanwhile: TypeAlias = Callable[[], Awaitable[object]]


@attrs.frozen
class Studio:
    """
    What a recording is made with.

    Attributes:
        host: The address of the engine.
        docker: A client, for what has to be done before.
        image: An image that the registry has, and the engine does not.
    """

    host: str
    docker: anydocker.Docker
    image: str

    async def record(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        meanwhile: Meanwhile | None = None,
    ) -> bytes:
        """Send a request, do something ``meanwhile`` once the answer has begun, and return the whole answer."""
        target = f"/v{self.docker.api_version}{path}" + (f"?{urlencode(query)}" if query else "")
        fields = {"Host": "docker", "Content-Length": str(len(body)), **(headers or {})}
        events = (h11.Request(method=method, target=target, headers=list(fields.items())), h11.Data(data=body))
        judge = h11.Connection(h11.CLIENT)
        async with await anyio.connect_unix(self.host.removeprefix("unix://")) as stream:
            await stream.send(b"".join(judge.send(event) or b"" for event in (*events, h11.EndOfMessage())))
            received = [await stream.receive()]
            if meanwhile is not None:
                await meanwhile()
            while not is_complete(judge, received[-1]):
                try:
                    received.append(await stream.receive())
                except anyio.EndOfStream:
                    break
        return b"".join(received)

    @asynccontextmanager
    async def container(self, command: Sequence[str], *, tty: bool = False) -> AsyncGenerator[anydocker.Container]:
        """A container that has not been started."""
        container = await self.docker.containers.create(BUSYBOX, command, tty=tty, config=NO_NETWORK)
        try:
            yield container
        finally:
            await container.remove(force=True)


def is_complete(judge: h11.Connection, data: bytes) -> bool:
    """Whether an answer is complete with ``data``; an upgraded connection never says so."""
    judge.receive_data(data)
    while judge.their_state is not h11.SWITCHED_PROTOCOL:
        match judge.next_event():
            case h11.EndOfMessage():
                return True
            case h11.NEED_DATA | h11.PAUSED:
                return False
            case _:
                continue
    return False


def tar(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode("ascii")))
    return buffer.getvalue()


# -- the recordings

RECORDINGS: Final[dict[str, Callable[[Studio], Awaitable[bytes]]]] = {}


def recording(function: Callable[[Studio], Awaitable[bytes]]) -> Callable[[Studio], Awaitable[bytes]]:
    RECORDINGS[function.__name__] = function
    return function


@recording
async def pull(studio: Studio) -> bytes:
    repository, _, tag = studio.image.rpartition(":")
    return await studio.record("POST", "/images/create", {"fromImage": repository, "tag": tag})


@recording
async def push(studio: Studio) -> bytes:
    repository, _, tag = studio.image.rpartition(":")
    image = await studio.docker.images.pull(studio.image)
    try:
        headers = {"X-Registry-Auth": "e30="}
        return await studio.record("POST", f"/images/{repository}/push", {"tag": tag}, headers=headers)
    finally:
        await image.remove()


@recording
async def build(studio: Studio) -> bytes:
    context = tar(Dockerfile=f"FROM {BUSYBOX}\nRUN echo built\n")
    return await studio.record("POST", "/build", {"networkmode": "none", "rm": "1"}, body=context, headers=TAR)


@recording
async def buildkit_failed(studio: Studio) -> bytes:
    context = tar(Dockerfile=f"FROM {BUSYBOX}\nRUN echo so far; sleep 0.2; echo bad >&2; exit 3\n")
    query = {"networkmode": "none", "version": "2"}
    return await studio.record("POST", "/build", query, body=context, headers=TAR)


@recording
async def build_failed(studio: Studio) -> bytes:
    context = tar(Dockerfile=f"FROM {BUSYBOX}\nRUN echo so far; exit 3\n")
    query = {"networkmode": "none", "rm": "1", "forcerm": "1"}
    return await studio.record("POST", "/build", query, body=context, headers=TAR)


@recording
async def import_(studio: Studio) -> bytes:
    return await studio.record(
        "POST", "/images/create", {"fromSrc": "-", "repo": "small:1"}, body=tar(file="text"), headers=TAR
    )


@recording
async def load(studio: Studio) -> bytes:
    image = await studio.docker.images.import_(tar(file="loaded"), repository="small:2")
    saved = await studio.docker.request("GET", "/images/small:2/get")
    await image.remove()
    return await studio.record("POST", "/images/load", {"quiet": "0"}, body=saved.body, headers=TAR)


@recording
async def load_failed(studio: Studio) -> bytes:
    return await studio.record("POST", "/images/load", {"quiet": "0"}, body=tar(**{"manifest.json": "[{"}), headers=TAR)


@recording
async def logs(studio: Studio) -> bytes:
    return await record_logs(studio, tty=False)


@recording
async def logs_tty(studio: Studio) -> bytes:
    return await record_logs(studio, tty=True)


async def record_logs(studio: Studio, *, tty: bool) -> bytes:
    async with studio.container(TALKS, tty=tty) as container:
        query = {"stdout": "1", "stderr": "1"}
        await container.start()
        await container.wait()
        return await studio.record("GET", f"/containers/{container.id}/logs", query)


@recording
async def attach(studio: Studio) -> bytes:
    return await record_attach(studio, tty=False)


@recording
async def attach_tty(studio: Studio) -> bytes:
    return await record_attach(studio, tty=True)


async def record_attach(studio: Studio, *, tty: bool) -> bytes:
    async with studio.container(TALKS, tty=tty) as container:
        path = f"/containers/{container.id}/attach"
        query = {"stream": "1", "stdout": "1", "stderr": "1"}
        return await studio.record("POST", path, query, headers=UPGRADE, meanwhile=container.start)


@recording
async def attach_websocket(studio: Studio) -> bytes:
    async with studio.container(TALKS) as container:
        path = f"/containers/{container.id}/attach/ws"
        query = {"stream": "1", "stdout": "1", "stderr": "1"}
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", **WebSocketDecoder(NONCE).fields}
        return await studio.record("GET", path, query, headers=headers, meanwhile=container.start)


@recording
async def exec_(studio: Studio) -> bytes:
    return await record_exec(studio, tty=False)


@recording
async def exec_tty(studio: Studio) -> bytes:
    return await record_exec(studio, tty=True)


async def record_exec(studio: Studio, *, tty: bool) -> bytes:
    async with studio.docker.containers.open_run(BUSYBOX, ["sleep", "100"], config=NO_NETWORK) as container:
        document = {"Cmd": TALKS, "AttachStdout": True, "AttachStderr": True, "Tty": tty}
        created = await studio.docker.request("POST", f"/containers/{container.id}/exec", json=document)
        path = f"/exec/{created.json()['Id']}/start"
        headers = {**UPGRADE, "Content-Type": "application/json"}
        return await studio.record("POST", path, body=b'{"Tty": true}' if tty else b"{}", headers=headers)


@recording
async def stats(studio: Studio) -> bytes:
    async with studio.docker.containers.open_run(BUSYBOX, ["sleep", "100"], config=NO_NETWORK) as container:

        async def one_more_sample() -> None:
            await anyio.sleep(1.5)
            await container.remove(force=True)

        path = f"/containers/{container.id}/stats"
        return await studio.record("GET", path, {"stream": "1"}, meanwhile=one_more_sample)


@recording
async def wait(studio: Studio) -> bytes:
    async with studio.container(["sh", "-c", "exit 3"]) as container:
        path = f"/containers/{container.id}/wait"
        return await studio.record("POST", path, {"condition": "next-exit"}, meanwhile=container.start)


@recording
async def events(studio: Studio) -> bytes:
    async with studio.container(["true"]) as container:
        await container.start()
        await container.wait()
        query = {"since": "0", "until": str(int(time.time()) + 1), "filters": f'{{"container":["{container.id}"]}}'}
        return await studio.record("GET", "/events", query)


@recording
async def list_(studio: Studio) -> bytes:
    async with studio.container(["true"]) as container:
        return await studio.record("GET", "/containers/json", {"all": "1", "filters": f'{{"id":["{container.id}"]}}'})


@recording
async def archive(studio: Studio) -> bytes:
    async with studio.container(["true"]) as container:
        return await studio.record("GET", f"/containers/{container.id}/archive", {"path": "/etc/passwd"})


# -- all of them


@asynccontextmanager
async def open_studio() -> AsyncGenerator[Studio]:
    async with private_engine() as engine, local_registry(engine) as registry, anydocker.connect(engine.host) as docker:
        await docker.images.import_(busybox_rootfs(), repository=BUSYBOX)
        image = await docker.images.import_(tar(file="text"), repository=f"{registry.address}/small:1")
        await docker.images.push(f"{registry.address}/small:1")
        await image.remove()
        yield Studio(engine.host, docker, f"{registry.address}/small:1")


async def main(names: Sequence[str]) -> None:
    async with open_studio() as studio:
        for name in names or RECORDINGS:
            answer = await RECORDINGS[name](studio)
            print(f"{name.strip('_')}: {len(answer)} bytes")
            await anyio.Path(TARGET, f"{name.strip('_')}.http").write_bytes(answer)


if __name__ == "__main__":
    anyio.run(functools.partial(main, sys.argv[1:]))
