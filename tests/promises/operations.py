"""
Every public operation, as a user makes it, and an engine that answers all of them.

``OPERATIONS`` has an entry for each async method of the client, its namespaces, its handles and its streams: a test
compares it with what there is, so a new method without an entry fails.
"""

from __future__ import annotations

import inspect
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

import anydocker
from anydocker import Container, Docker, DockerError, Image, Network, Response, Stream, Volume
from anydocker.testing import Reply, Request, Route, chunked_reply, json_reply, upgraded_reply
from tests.recorded import recorded

__all__ = ("MADE", "MAKING", "OPERATIONS", "ROUTES", "Made", "Operation", "async_methods")

Operation: TypeAlias = Callable[[Docker, Path], Awaitable[object]]


def async_methods() -> set[str]:
    """The public methods that wait, of everything public that a client leads to, by the classes that define them."""
    found: set[str] = set()
    for name in anydocker.__all__:
        kind = getattr(anydocker, name)
        if inspect.isclass(kind) and not issubclass(kind, BaseException):
            found |= {f"{owner.__name__}.{method}" for owner, method in _methods(kind)}
    return found


def _methods(kind: type) -> list[tuple[type, str]]:
    """Methods that wait, with the public class that has them first: the bases of a handle are not public."""
    out: list[tuple[type, str]] = []
    for name in dir(kind):
        function = inspect.unwrap(getattr(kind, name)) if not name.startswith("_") else None
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            bases = [base for base in kind.__mro__ if base.__name__ in anydocker.__all__ and hasattr(base, name)]
            same = [base for base in bases if getattr(base, name) is getattr(kind, name)]
            out.append((same[-1], name))
    return out


# -- the engine


FRAMES: Final = b"\1\0\0\0\0\0\0\4out\n\2\0\0\0\0\0\0\4err\n"
DONE: Final = Reply(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True)
EMPTY: Final = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", keep_alive=True)
EXITED: Final = chunked_reply([b'{"StatusCode":0}\n'])
FRAMED: Final = chunked_reply([FRAMES[:12], FRAMES[12:]], content_type="application/vnd.docker.multiplexed-stream")
ATTACHED: Final = upgraded_reply(FRAMES, content_type="application/vnd.docker.multiplexed-stream")
MISSING: Final = json_reply({"message": "no such container"}, 404)
HEALTHY: Final[dict[str, Any]] = {
    "Id": "c1",
    "Name": "/c1",
    "Config": {"Tty": False, "Labels": None},
    "State": {"Status": "running", "Health": {"Status": "healthy"}},
    "NetworkSettings": {"Ports": {}},
}
IMAGE: Final = {"Id": "sha256:1", "RepoTags": ["small:1"]}
ARCHIVE: Final = recorded("archive")
STATS: Final = recorded("stats")
VOLUME: Final = {"Name": "v1", "Driver": "local", "Mountpoint": "/v1", "CreatedAt": "2000-01-01T00:00:00Z"}
ABOUT_PATH: Final = b64encode(
    json.dumps({"name": "passwd", "size": 1, "mode": 0o644, "mtime": "2020-09-13T12:26:40Z", "linkTarget": ""}).encode()
).decode()
ABOUT_DIRECTORY: Final = b64encode(
    json.dumps(
        {"name": "tmp", "size": 1, "mode": 1 << 31 | 0o755, "mtime": "2020-09-13T12:26:40Z", "linkTarget": ""}
    ).encode()
).decode()


def _with_field(reply: Reply, name: str, value: str) -> Reply:
    return attrs.evolve(reply, data=reply.data.replace(b"\r\n", f"\r\n{name}: {value}\r\n".encode(), 1))


def _archive(request: Request, _: ByteStream) -> Reply:
    if request.method == "PUT":
        return EMPTY
    about = ABOUT_DIRECTORY if request.query["path"].startswith("/tmp") else ABOUT_PATH
    if request.method == "HEAD":
        return _with_field(attrs.evolve(EMPTY, data=b"HTTP/1.1 200 OK\r\n\r\n"), "X-Docker-Container-Path-Stat", about)
    return ARCHIVE


async def _converse(stream: ByteStream, said: bytes) -> None:
    """Say something, and listen until the client has left: input that nobody reads would reset the connection."""
    await stream.send(said)
    await stream.send_eof()
    async for _ in stream:
        continue


async def _process(_: Request, stream: ByteStream) -> None:
    await _converse(stream, ATTACHED.data)


async def _websocket(request: Request, stream: ByteStream) -> None:
    key = request.headers["sec-websocket-key"].encode()
    accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    await _converse(stream, head + accept + b"\r\n\r\n\x82\x04out\n\x88\x02\x03\xe8")


def _volume(request: Request, _: ByteStream) -> Reply:
    return json_reply({**VOLUME, "Labels": json.loads(request.body).get("Labels")}, 201)


def _stats(request: Request, _: ByteStream) -> Reply:
    return STATS if request.query["stream"] == "1" else json_reply({})


def _echo(request: Request, _: ByteStream) -> Reply:
    return json_reply(request.path)


ROUTES: Final[dict[str, Route]] = {
    "GET /echo/*": _echo,
    "GET /info": json_reply({"ID": "x"}),
    "GET /system/df": json_reply({"Images": []}),
    "POST /auth": json_reply({"Status": "Login Succeeded"}),
    "GET /events": recorded("events"),
    # containers
    "POST /containers/create": json_reply({"Id": "c1", "Warnings": []}, 201),
    "DELETE /containers/c1": DONE,
    "GET /containers/json": recorded("list"),
    "POST /containers/prune": json_reply({"ContainersDeleted": None, "SpaceReclaimed": 0}),
    "GET /containers/c1/json": json_reply(HEALTHY),
    "GET /containers/new/json": MISSING,
    "GET /containers/c1/logs": FRAMED,
    "GET /containers/c1/stats": _stats,
    "GET /containers/c1/top": json_reply({"Titles": ["PID"], "Processes": [["1"]]}),
    "GET /containers/c1/changes": json_reply([]),
    "POST /containers/c1/update": json_reply({"Warnings": None}),
    "GET /containers/c1/export": ARCHIVE,
    "* /containers/c1/archive": _archive,
    "POST /containers/c1/attach": _process,
    "GET /containers/c1/attach/ws": _websocket,
    "POST /containers/c1/wait": EXITED,
    "POST /containers/c1/exec": json_reply({"Id": "e1"}, 201),
    "POST /containers/c1/*": DONE,
    "POST /commit": json_reply({"Id": "sha256:1"}, 201),
    "POST /exec/e1/start": _process,
    "POST /exec/e1/resize": EMPTY,
    "GET /exec/e1/json": json_reply({"ID": "e1", "Running": False, "ExitCode": 0}),
    # images
    "GET /images/json": json_reply([IMAGE]),
    "GET /images/search": json_reply([]),
    "POST /images/prune": json_reply({"ImagesDeleted": None, "SpaceReclaimed": 0}),
    "GET /images/*/json": json_reply(IMAGE),
    "GET /images/*/history": json_reply([]),
    "GET /images/*/attestations": json_reply([]),
    "GET /images/get": ARCHIVE,
    "GET /images/*/get": ARCHIVE,
    "POST /images/create": recorded("pull"),
    "POST /images/load": recorded("load"),
    "POST /images/*/push": recorded("push"),
    "POST /images/*/tag": EMPTY,
    "DELETE /images/*": json_reply([]),
    "POST /build": recorded("build"),
    "POST /build/prune": json_reply({"CachesDeleted": None, "SpaceReclaimed": 0}),
    "GET /distribution/*": json_reply({"Descriptor": {}, "Platforms": []}),
    # networks and volumes
    "POST /networks/create": json_reply({"Id": "n1"}, 201),
    "DELETE /networks/n1": DONE,
    "GET /networks": json_reply([{"Id": "n1", "Name": "n"}]),
    "GET /networks/n1": json_reply({"Id": "n1", "Name": "n", "Containers": {}}),
    "POST /networks/prune": json_reply({"NetworksDeleted": None}),
    "POST /networks/n1/*": EMPTY,
    "POST /volumes/create": _volume,
    "DELETE /volumes/v1": DONE,
    "GET /volumes": json_reply({"Volumes": [VOLUME], "Warnings": None}),
    "GET /volumes/v1": json_reply(VOLUME),
    "PUT /volumes/v1": EMPTY,
    "POST /volumes/prune": json_reply({"VolumesDeleted": None, "SpaceReclaimed": 0}),
    "POST /raw": json_reply({"Id": "raw"}, 201),
    "DELETE /raw": DONE,
    "POST /raw/upgraded": _process,
}


@attrs.frozen
class Made:
    """
    What an engine makes, and takes away again.

    Attributes:
        create: The request that makes it.
        remove: The request that removes it.
        returned_by: The operations that hand it to their caller, who has it to keep.
    """

    create: str
    remove: str
    returned_by: frozenset[str]


MADE: Final = (
    Made(
        "POST /containers/create",
        "DELETE /containers/c1",
        frozenset({"Containers.create", "Containers.replace"}),
    ),
    Made("POST /networks/create", "DELETE /networks/n1", frozenset({"Networks.create"})),
    Made("POST /volumes/create", "DELETE /volumes/v1", frozenset({"Volumes.create"})),
    Made("POST /raw", "DELETE /raw", frozenset({"Docker.request"})),
)


# Those that make something, and have it to take back: these are tried at every step at any time.
MAKING: Final = frozenset({"Containers.open_run", "Networks.open_create", "Volumes.open_create"}).union(
    *(made.returned_by for made in MADE)
)


# -- the operations


class Input:
    """Input for a process: two pieces, with a pause before each."""

    def __init__(self) -> None:
        self._pieces = iter((b"a", b"b"))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await checkpoint()
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


def container(docker: Docker) -> Container:
    return docker.containers.container("c1")


def image(docker: Docker) -> Image:
    return docker.images.image("small:1")


def network(docker: Docker) -> Network:
    return docker.networks.network("n1")


def volume(docker: Docker) -> Volume:
    return docker.volumes.volume("v1")


def call(make: Callable[[Docker], Awaitable[object]]) -> Operation:
    return lambda docker, _: make(docker)


def block(
    open: Callable[[Docker], AbstractAsyncContextManager[Any]], use: Callable[[Any], Any] | None = None
) -> Operation:
    """A block, entered and left; inside, a checkpoint or ``use``."""

    async def operation(docker: Docker, _: Path) -> object:
        async with open(docker) as opened:
            await (use(opened) if use is not None else checkpoint())
        return None

    return operation


async def drain(stream: Stream[Any]) -> None:
    async for _ in stream:
        continue


async def write_to(docker: Docker, directory: Path) -> None:
    async with container(docker).open_export() as stream:
        await stream.write_to(directory / "exported")


async def undoable(docker: Docker) -> Response:
    async def undo(response: Response) -> None:
        await docker.request("DELETE", "/raw")

    return await docker.request("POST", "/raw", json={}, undo=undo)


async def resized(docker: Docker) -> None:
    async with container(docker).open_exec(["sh"], tty=True) as process:
        await process.resize(rows=1, columns=1)


async def copy_to(docker: Docker, directory: Path) -> None:
    await container(docker).copy_to(directory, "/tmp")


async def copy_from(docker: Docker, directory: Path) -> None:
    await container(docker).copy_from("/etc/passwd", directory / "copied")


def open_exec(docker: Docker) -> AbstractAsyncContextManager[anydocker.ExecStream]:
    return container(docker).open_exec(["sh"])


def open_attach(docker: Docker) -> AbstractAsyncContextManager[anydocker.AttachStream]:
    return container(docker).open_attach(stdin=True)


def open_websocket(docker: Docker) -> AbstractAsyncContextManager[anydocker.WebSocketStream]:
    return container(docker).open_attach_websocket(stdin=True)


async def refused(stream: anydocker.WebSocketStream) -> None:
    with suppress(DockerError):
        await stream.send_eof()


def open_logs(docker: Docker) -> AbstractAsyncContextManager[anydocker.OutputStream]:
    return container(docker).open_logs(follow=True)


def open_upgraded(docker: Docker) -> AbstractAsyncContextManager[anydocker.BodyStream]:
    return docker.open_request("POST", "/raw/upgraded", upgrade="tcp")


def open_export(docker: Docker) -> AbstractAsyncContextManager[anydocker.BodyStream]:
    return container(docker).open_export()


OPERATIONS: Final[dict[str, Operation]] = {
    # the client
    "Docker.ping": call(lambda d: d.ping()),
    "Docker.version": call(lambda d: d.version()),
    "Docker.info": call(lambda d: d.info()),
    "Docker.df": call(lambda d: d.df()),
    "Docker.config_proxies": call(lambda d: d.config_proxies()),
    "Docker.login": call(lambda d: d.login("127.0.0.1:5000", username="alice", password="secret")),
    "Docker.open_events": block(lambda d: d.open_events(), drain),
    "Docker.request": call(undoable),
    "Docker.open_request": block(open_upgraded),
    # containers
    "Containers.get": call(lambda d: d.containers.get("c1")),
    "Containers.list": call(lambda d: d.containers.list()),
    "Containers.prune": call(lambda d: d.containers.prune()),
    "Containers.create": call(lambda d: d.containers.create("busybox")),
    "Containers.replace": call(lambda d: d.containers.replace("busybox", name="new")),
    "Containers.run": call(lambda d: d.containers.run("busybox", input=Input(), pull="always")),
    "Containers.open_run": block(lambda d: d.containers.open_run("busybox")),
    "Container.inspect": call(lambda d: container(d).inspect()),
    "Container.logs": call(lambda d: container(d).logs()),
    "Container.open_logs": block(open_logs, drain),
    "Container.attach": call(lambda d: container(d).attach(input=Input())),
    "Container.open_attach": block(open_attach, drain),
    "Container.open_attach_websocket": block(open_websocket, drain),
    "Container.resize": call(lambda d: container(d).resize(rows=1, columns=1)),
    "Container.stats": call(lambda d: container(d).stats()),
    "Container.open_stats": block(lambda d: container(d).open_stats(), drain),
    "Container.start": call(lambda d: container(d).start()),
    "Container.stop": call(lambda d: container(d).stop()),
    "Container.restart": call(lambda d: container(d).restart()),
    "Container.kill": call(lambda d: container(d).kill()),
    "Container.pause": call(lambda d: container(d).pause()),
    "Container.unpause": call(lambda d: container(d).unpause()),
    "Container.rename": call(lambda d: container(d).rename("other")),
    "Container.remove": call(lambda d: container(d).remove()),
    "Container.wait": call(lambda d: container(d).wait()),
    "Container.open_wait": block(lambda d: container(d).open_wait()),
    "Container.wait_healthy": call(lambda d: container(d).wait_healthy()),
    "Container.port": call(lambda d: container(d).port(80)),
    "Container.top": call(lambda d: container(d).top()),
    "Container.changes": call(lambda d: container(d).changes()),
    "Container.update": call(lambda d: container(d).update({})),
    "Container.exec": call(lambda d: container(d).exec(["cat"], input=Input())),
    "Container.open_exec": block(open_exec, drain),
    "Container.copy_to": copy_to,
    "Container.copy_from": copy_from,
    "Container.archive_info": call(lambda d: container(d).archive_info("/etc/passwd")),
    "Container.open_archive": block(lambda d: container(d).open_archive("/etc/passwd"), drain),
    "Container.put_archive": call(lambda d: container(d).put_archive("/tmp", Input())),
    "Container.open_export": block(open_export, drain),
    "Container.commit": call(lambda d: container(d).commit("small:1")),
    "PendingExit.exit_code": block(lambda d: container(d).open_wait(), lambda pending: pending.exit_code()),
    # images
    "Images.get": call(lambda d: d.images.get("small:1")),
    "Images.list": call(lambda d: d.images.list()),
    "Images.search": call(lambda d: d.images.search("small")),
    "Images.prune": call(lambda d: d.images.prune()),
    "Images.pull": call(lambda d: d.images.pull("127.0.0.1:5000/small:1")),
    "Images.open_pull": block(lambda d: d.images.open_pull("127.0.0.1:5000/small:1"), drain),
    "Images.push": call(lambda d: d.images.push("127.0.0.1:5000/small:1")),
    "Images.open_push": block(lambda d: d.images.open_push("127.0.0.1:5000/small:1"), drain),
    "Images.load": call(lambda d: d.images.load(Input())),
    "Images.open_load": block(lambda d: d.images.open_load(Input()), drain),
    "Images.open_save": block(lambda d: d.images.open_save(["small:1"]), drain),
    "Images.import_": call(lambda d: d.images.import_(Input(), repository="small:1")),
    "Images.build": call(lambda d: d.images.build(dockerfile_text="FROM busybox")),
    "Images.open_build": block(lambda d: d.images.open_build(dockerfile_text="FROM busybox"), drain),
    "Images.prune_builds": call(lambda d: d.images.prune_builds()),
    "Image.inspect": call(lambda d: image(d).inspect()),
    "Image.history": call(lambda d: image(d).history()),
    "Image.attestations": call(lambda d: image(d).attestations()),
    "Image.tag": call(lambda d: image(d).tag("other:1")),
    "Image.push": call(lambda d: image(d).push()),
    "Image.open_save": block(lambda d: image(d).open_save(), drain),
    "Image.remove": call(lambda d: image(d).remove()),
    "Distribution.inspect": call(lambda d: d.distribution.inspect("127.0.0.1:5000/small:1")),
    # networks and volumes
    "Networks.get": call(lambda d: d.networks.get("n1")),
    "Networks.list": call(lambda d: d.networks.list()),
    "Networks.create": call(lambda d: d.networks.create("n")),
    "Networks.open_create": block(lambda d: d.networks.open_create("n")),
    "Networks.prune": call(lambda d: d.networks.prune()),
    "Network.inspect": call(lambda d: network(d).inspect()),
    "Network.connect": call(lambda d: network(d).connect("c1")),
    "Network.disconnect": call(lambda d: network(d).disconnect("c1")),
    "Network.remove": call(lambda d: network(d).remove()),
    "Volumes.get": call(lambda d: d.volumes.get("v1")),
    "Volumes.list": call(lambda d: d.volumes.list()),
    "Volumes.create": call(lambda d: d.volumes.create()),
    "Volumes.open_create": block(lambda d: d.volumes.open_create()),
    "Volumes.prune": call(lambda d: d.volumes.prune()),
    "Volume.inspect": call(lambda d: volume(d).inspect()),
    "Volume.update": call(lambda d: volume(d).update({}, version=1)),
    "Volume.remove": call(lambda d: volume(d).remove()),
    # streams
    "Stream.receive": block(open_logs, lambda stream: stream.receive()),
    "Stream.receive_many": block(open_logs, lambda stream: stream.receive_many()),
    "Stream.aclose": block(open_logs, lambda stream: stream.aclose()),
    "OutputStream.read": block(open_logs, lambda stream: stream.read()),
    "BodyStream.read": block(open_export, lambda stream: stream.read()),
    "BodyStream.write_to": write_to,
    "BodyStream.send": block(open_upgraded, lambda stream: stream.send(b"in")),
    "BodyStream.send_eof": block(open_upgraded, lambda stream: stream.send_eof()),
    "AttachStream.send": block(open_attach, lambda stream: stream.send(b"in")),
    "AttachStream.send_eof": block(open_attach, lambda stream: stream.send_eof()),
    "ExecStream.inspect": block(open_exec, lambda process: process.inspect()),
    "ExecStream.resize": call(resized),
    "ExecStream.wait": block(open_exec, lambda process: process.wait()),
    "WebSocketStream.read": block(open_websocket, lambda stream: stream.read()),
    "WebSocketStream.send": block(open_websocket, lambda stream: stream.send(b"in")),
    "WebSocketStream.send_eof": block(open_websocket, refused),
}
