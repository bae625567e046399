"""
Record what a real engine answers: ``python -m benchmarks.record``, as root, with dockerd and docker-registry.

The engine and the registry are private ones that end with the recording. What is recorded is small; the replay
server repeats it up to the length a workload needs.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import tarfile
from collections.abc import Iterator
from typing import Any, Final

import anyio
from anyio.to_thread import run_sync

import anydocker
from anydocker.testing import BUSYBOX, PrivateEngine, busybox_rootfs, local_registry, private_engine
from benchmarks.recordings import Recording

LOG_SIZES: Final = {20: 64, 200: 16, 4096: 4, 16384: 2}
"""Bytes of a frame's payload, and how many such frames are recorded."""

_STATS_DOCUMENTS: Final = 3
_KERNEL: Final = re.compile(rb'"KernelVersion":"[^"]*"')
_HIJACK: Final = {"Connection": "Upgrade", "Upgrade": "tcp"}


def main() -> None:
    """Record everything."""
    anyio.run(_record)


async def _record() -> None:
    async with private_engine() as engine, anydocker.connect(engine.host) as d:
        await d.images.import_(await run_sync(busybox_rootfs), repository=BUSYBOX)
        wire = Wire(engine, d.api_version)
        await run_sync(_record_calls, wire)
        await _record_output(d, wire)
        await _record_running(d, wire)
        await _record_images(d, wire, engine)


# -- the wire


class Wire:
    """Speaks HTTP to an engine with nothing but a socket, so that nothing can be lost on the way."""

    def __init__(self, engine: PrivateEngine, version: str) -> None:
        self._engine = engine
        self._prefix = f"/v{version}"

    def record(
        self,
        name: str,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        at_most: int | None = None,
    ) -> Recording:
        """Make a call and keep the answer under that name: all of it, or ``at_most`` so many pieces."""
        recording = self.call(method, path, body=body, headers=headers, at_most=at_most)
        recording.save(name)
        return recording

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        at_most: int | None = None,
    ) -> Recording:
        """Make a call."""
        fields = {"Host": "docker", "Content-Length": str(len(body)), **(headers or {})}
        if body and "Content-Type" not in fields:
            fields["Content-Type"] = "application/json"
        lines = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self._engine.host.removeprefix("unix://"))
            sock.sendall(f"{method} {self._prefix}{path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            with sock.makefile("rb") as file:
                head = b"".join(iter(file.readline, b"\r\n")) + b"\r\n"
                pieces = [] if method == "HEAD" else list(_body(head, file, at_most))
        return Recording(self._scrub(head), tuple(map(self._scrub, pieces)))

    def _scrub(self, data: bytes) -> bytes:
        # Only documents name directories; a frame has a length in front that has to stay true.
        if data[:1] in b"\0\1\2":
            return data
        directory = str(self._engine.directory).encode()
        data = data.replace(directory + b"/data", b"/var/lib/docker").replace(directory, b"/var/run/docker")
        data = data.replace(self._engine.directory.name.encode(), b"docker")
        return _KERNEL.sub(b'"KernelVersion":"6.1.0"', data)


def _body(head: bytes, file: io.BufferedReader, at_most: int | None) -> Iterator[bytes]:
    if head.startswith(b"HTTP/1.1 101"):
        while header := file.read(8):
            yield header + file.read(int.from_bytes(header[4:], "big"))
    elif b"transfer-encoding: chunked" in head.lower():
        count = 0
        while (size := int(file.readline(), 16)) and count != at_most:
            yield file.read(size)
            file.readline()
            count += 1
    elif length := re.search(rb"(?i)content-length: (\d+)", head):
        yield file.read(int(length[1]))


# -- what is recorded


def _record_calls(wire: Wire) -> None:
    wire.record("ping-head", "HEAD", "/_ping")
    wire.record("ping", "GET", "/_ping")
    wire.record("version", "GET", "/version")


async def _record_output(d: anydocker.Docker, wire: Wire) -> None:
    for size, count in LOG_SIZES.items():
        c = await d.containers.create(BUSYBOX, ["sh", "-c", _writer(size, count)])
        await c.start()
        await c.wait()
        recording = await run_sync(wire.record, f"logs-{size}", "GET", f"/containers/{c.id}/logs?stdout=1")
        _check_frames(recording, size, count)
        await c.remove(force=True)


def _check_frames(recording: Recording, size: int, count: int) -> None:
    lengths = [len(piece) for piece in recording.pieces]
    assert lengths == [size + 8] * count, f"not {count} frames of {size} bytes, one in a chunk: {lengths}"


def _writer(size: int, count: int) -> str:
    """A shell command that writes ``count`` different lines of ``size`` bytes, each with its line feed."""
    return f"seq 1 {count} | while read n; do printf '%0{size - 1}d\\n' $n; done"


async def _record_running(d: anydocker.Docker, wire: Wire) -> None:
    async with d.containers.open_run(BUSYBOX, ["sleep", "600"], name="bench", labels={"role": "db"}) as c:
        await run_sync(lambda: wire.record("inspect", "GET", "/containers/bench/json"))
        await run_sync(lambda: wire.record("stats", "GET", "/containers/bench/stats", at_most=_STATS_DOCUMENTS))
        for size, count in LOG_SIZES.items():
            await run_sync(_record_exec, wire, size, count)
        archive = await run_sync(lambda: wire.call("GET", "/containers/bench/archive?path=/etc"))
        Recording(archive.head, ()).save("archive")
        export = await run_sync(lambda: wire.call("GET", "/containers/bench/export"))
        Recording(export.head, ()).save("export")
        for number in range(99):
            await d.containers.create(BUSYBOX, ["true"], labels={"number": str(number)})
        await c.exec(["true"])
    listing = await run_sync(lambda: wire.call("GET", "/containers/json?all=1"))
    first = json.loads(b"".join(listing.pieces))[0]
    Recording(listing.head, (_compact(first),)).save("list")
    events = await run_sync(lambda: wire.call("GET", "/events?since=0&until=1"))
    assert not events.pieces
    await run_sync(lambda: wire.record("events", "GET", "/events?since=1&until=99999999999", at_most=16))


def _record_exec(wire: Wire, size: int, count: int) -> None:
    command = {"Cmd": ["sh", "-c", _writer(size, count)], "AttachStdout": True, "AttachStderr": True}
    created = wire.record("exec-create", "POST", "/containers/bench/exec", body=_compact(command))
    exec_id = json.loads(created.pieces[0])["Id"]
    started = wire.call("POST", f"/exec/{exec_id}/start", body=b'{"Detach":false,"Tty":false}', headers=_HIJACK)
    # How the pipe cut the output is chance. The payload counts: frames of one size, as the logs have them.
    output = b"".join(piece[8:] for piece in started.pieces)
    payloads = [output[at : at + size] for at in range(0, len(output), size)]
    assert [len(payload) for payload in payloads] == [size] * count
    frames = [b"\1\0\0\0" + size.to_bytes(4, "big") + payload for payload in payloads]
    Recording(started.head, tuple(frames)).save(f"exec-{size}")


async def _record_images(d: anydocker.Docker, wire: Wire, engine: PrivateEngine) -> None:
    async with local_registry(engine) as registry:
        name = f"{registry.address}/bench/app"
        context = await run_sync(_context)
        await run_sync(
            lambda: wire.record(
                "build", "POST", f"/build?t={name}", body=context, headers={"Content-Type": "application/x-tar"}
            )
        )
        saved = await run_sync(lambda: wire.call("GET", f"/images/{name}/get"))
        Recording(saved.head, ()).save("save")
        tar = b"".join(saved.pieces)
        pushed = await run_sync(lambda: wire.call("POST", f"/images/{name}/push", headers={"X-Registry-Auth": "e30="}))
        assert b"errorDetail" not in b"".join(pushed.pieces)
        await d.request("DELETE", f"/images/{name}", query={"force": True})
        await run_sync(lambda: wire.record("pull", "POST", f"/images/create?fromImage={name}&tag=latest"))
        await run_sync(
            lambda: wire.record("load", "POST", "/images/load", body=tar, headers={"Content-Type": "application/x-tar"})
        )


def _context() -> bytes:
    """A build context whose image has layers that take a moment to pull."""
    dockerfile = f"FROM {BUSYBOX}\n" + "".join(f"COPY part{n} /part{n}\n" for n in range(3))
    files = {"Dockerfile": dockerfile.encode()} | {f"part{n}": os.urandom(24_000_000 + n) for n in range(3)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _compact(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


if __name__ == "__main__":
    main()
