"""One call of every kind that the package makes, for answers that no engine gives."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import attrs

from anydocker import BuildEvent, Credentials, Docker, Event, OutputStream, Progress, Stats
from anydocker.testing import Reply, chunked_reply, json_reply, upgraded_reply

__all__ = ("OPERATIONS", "PRELIMINARIES", "Operation", "look_at")

NONE_AT_ALL = Reply(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True)
DIGEST = f"sha256:{'0' * 64}"
CONTAINER: dict[str, Any] = {
    "Id": "c1",
    "Name": "/c1",
    "Config": {"Tty": False, "Labels": {}},
    "State": {"Status": "running", "ExitCode": 0, "Health": {"Status": "healthy", "Log": [{"Output": ""}]}},
    "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}},
}
NETWORK: dict[str, Any] = {"Id": "n1", "Name": "n1", "Containers": {}}
VOLUME: dict[str, Any] = {"Name": "v1", "Labels": {}}
IMAGE: dict[str, Any] = {"Id": DIGEST, "RepoTags": ["small:1"]}


@attrs.frozen
class Operation:
    """
    Something that a user does.

    Attributes:
        route: The request whose answer is what matters; those before it are answered as an engine answers them.
        run: Does it, and looks at everything that comes of it.
        document: What an engine answers, where that is JSON.
    """

    route: str
    run: Callable[[Docker], Awaitable[object]]
    document: Any = None


# The answers to everything that is asked on the way.
PRELIMINARIES: Mapping[str, Reply] = {
    "GET /containers/c1/json": json_reply(CONTAINER),
    "POST /containers/c1/exec": json_reply({"Id": "e1"}, 201),
    "GET /exec/e1/json": json_reply({"ID": "e1", "Running": False, "ExitCode": 0}),
    "POST /exec/e1/start": upgraded_reply(b""),
    "POST /containers/create": json_reply({"Id": "c1"}, 201),
    "POST /containers/c1/attach": upgraded_reply(b""),
    "POST /containers/c1/wait": chunked_reply([b'{"StatusCode":0}']),
    "POST /containers/*": NONE_AT_ALL,
    "DELETE *": NONE_AT_ALL,
    "GET /events": chunked_reply([b'{"Type":"container","Action":"health_status: healthy"}\n']),
    "GET /images/*/json": json_reply(IMAGE),
    "GET /volumes/*": json_reply(VOLUME),
}


def look_at(value: object) -> None:
    """Ask a value for everything it has."""
    assert isinstance(f"{value!s} {value!r}", str)
    for name in dir(type(value)):
        if isinstance(getattr(type(value), name), property):
            getattr(value, name)


async def all_of(opened: AbstractAsyncContextManager[Any]) -> None:
    """Read a stream to its end."""
    async with opened as stream:
        async for value in stream.lines() if isinstance(stream, OutputStream) else stream:
            if isinstance(value, Progress | BuildEvent | Event | Stats):
                look_at(value)


async def talk(opened: AbstractAsyncContextManager[Any]) -> None:
    """Say something before the stream is read to its end."""
    async with opened as stream:
        await stream.send(b"hello")
        async for _ in stream:
            continue


async def copy_out(docker: Docker) -> None:
    with tempfile.TemporaryDirectory() as directory:
        await docker.containers.container("c1").copy_from("/f", directory)


async def save(docker: Docker) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with docker.images.open_save(["small:1"]) as body:
            await body.write_to(Path(directory, "small.tar"))


async def stats(docker: Docker) -> None:
    look_at(await docker.containers.container("c1").stats())


def _on_container(method: str, *arguments: Any, **options: Any) -> Callable[[Docker], Awaitable[object]]:
    return lambda docker: getattr(docker.containers.container("c1"), method)(*arguments, **options)


def _stream(method: str, *arguments: Any, **options: Any) -> Callable[[Docker], Awaitable[object]]:
    return lambda docker: all_of(getattr(docker.containers.container("c1"), method)(*arguments, **options))


def _talk(method: str, *arguments: Any, **options: Any) -> Callable[[Docker], Awaitable[object]]:
    return lambda docker: talk(getattr(docker.containers.container("c1"), method)(*arguments, **options))


OPERATIONS: Mapping[str, Operation] = {
    # calls
    "ping": Operation("HEAD /_ping", lambda d: d.ping()),
    "version": Operation("GET /version", lambda d: d.version(), {"Version": "28", "Components": [{"Name": "Engine"}]}),
    "info": Operation("GET /info", lambda d: d.info(), {"ID": "x", "Driver": "overlay2"}),
    "df": Operation("GET /system/df", lambda d: d.df(), {"LayersSize": 1, "Images": [IMAGE]}),
    "login": Operation(
        "POST /auth",
        lambda d: d.login("registry.example", username="u", password="p"),
        {"Status": "Login Succeeded", "IdentityToken": "t"},
    ),
    "request": Operation("GET /x", lambda d: d.request("GET", "/x")),
    "request on its own connection": Operation("GET /x", lambda d: d.request("GET", "/x", own_connection=True)),
    "containers": Operation(
        "GET /containers/json", lambda d: d.containers.list(), [{"Id": "c1", "Names": ["/c1", "/c2/c1"]}]
    ),
    "get": Operation("GET /containers/c1/json", lambda d: d.containers.get("c1"), CONTAINER),
    "create": Operation(
        "POST /containers/create", lambda d: d.containers.create("busybox"), {"Id": "c1", "Warnings": []}
    ),
    "replace": Operation("GET /containers/c1/json", lambda d: d.containers.replace("busybox", name="c1"), CONTAINER),
    "prune": Operation(
        "POST /containers/prune", lambda d: d.containers.prune(), {"ContainersDeleted": ["c1"], "SpaceReclaimed": 1}
    ),
    "start": Operation("POST /containers/c1/start", _on_container("start")),
    "stop": Operation("POST /containers/c1/stop", _on_container("stop")),
    "inspect": Operation("GET /containers/c1/json", _on_container("inspect"), CONTAINER),
    "port": Operation("GET /containers/c1/json", _on_container("port", 80), CONTAINER),
    "wait_healthy": Operation("GET /containers/c1/json", _on_container("wait_healthy"), CONTAINER),
    "top": Operation("GET /containers/c1/top", _on_container("top"), {"Titles": ["PID"], "Processes": [["1"]]}),
    "changes": Operation("GET /containers/c1/changes", _on_container("changes"), [{"Path": "/f", "Kind": 0}]),
    "update": Operation("POST /containers/c1/update", _on_container("update", {"Memory": 1}), {"Warnings": ["w"]}),
    "one sample": Operation("GET /containers/c1/stats", stats, {"id": "c1", "pids_stats": {"current": 1}}),
    "commit": Operation("POST /commit", _on_container("commit"), {"Id": DIGEST}),
    "archive_info": Operation("HEAD /containers/c1/archive", _on_container("archive_info", "/f")),
    "image": Operation("GET /images/small:1/json", lambda d: d.images.get("small:1"), IMAGE),
    "images": Operation("GET /images/json", lambda d: d.images.list(), [IMAGE]),
    "history": Operation(
        "GET /images/small:1/history", lambda d: d.images.image("small:1").history(), [{"Id": DIGEST, "Tags": None}]
    ),
    "remove image": Operation(
        "DELETE /images/small:1", lambda d: d.images.image("small:1").remove(), [{"Untagged": "small:1"}]
    ),
    "search": Operation("GET /images/search", lambda d: d.images.search("x"), [{"name": "x"}]),
    "prune images": Operation("POST /images/prune", lambda d: d.images.prune(), {"ImagesDeleted": [{"Deleted": "x"}]}),
    "prune builds": Operation("POST /build/prune", lambda d: d.images.prune_builds(), {"CachesDeleted": ["x"]}),
    "distribution": Operation(
        "GET /distribution/small:1/json",
        lambda d: d.distribution.inspect("small:1", auth=Credentials(username="u", password="p")),
        {"Descriptor": {"digest": DIGEST}, "Platforms": []},
    ),
    "networks": Operation("GET /networks", lambda d: d.networks.list(), [NETWORK]),
    "network": Operation("GET /networks/n1", lambda d: d.networks.get("n1"), NETWORK),
    "create network": Operation(
        "POST /networks/create", lambda d: d.networks.create("n1"), {"Id": "n1", "Warning": "w"}
    ),
    "volumes": Operation("GET /volumes", lambda d: d.volumes.list(), {"Volumes": [VOLUME], "Warnings": None}),
    "volume": Operation("GET /volumes/v1", lambda d: d.volumes.get("v1"), VOLUME),
    "create volume": Operation("POST /volumes/create", lambda d: d.volumes.create("v1"), VOLUME),
    # one document that comes late
    "wait": Operation(
        "POST /containers/c1/wait", _on_container("wait"), {"StatusCode": 1, "Error": {"Message": "what happened"}}
    ),
    # streams of documents
    "events": Operation(
        "GET /events",
        lambda d: all_of(d.open_events()),
        {
            "Type": "container",
            "Action": "die",
            "Actor": {"ID": "c1", "Attributes": {"a": "b"}},
            "time": 1,
            "timeNano": 2,
        },
    ),
    "stats": Operation(
        "GET /containers/c1/stats",
        _stream("open_stats"),
        {
            "id": "c1",
            "name": "/c1",
            "cpu_stats": {"cpu_usage": {"total_usage": 9, "percpu_usage": [1]}, "system_cpu_usage": 9},
            "precpu_stats": {"cpu_usage": {"total_usage": 1}, "system_cpu_usage": 1},
            "memory_stats": {"usage": 9, "limit": 99, "stats": {"inactive_file": 1}},
            "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 1}},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "read", "value": 1}]},
            "pids_stats": {"current": 1},
        },
    ),
    "pull": Operation(
        "POST /images/create",
        lambda d: d.images.pull("small:1", progress=look_at),
        {"id": "x", "status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "progress": "[=>]"},
    ),
    "push": Operation(
        "POST /images/small/push",
        lambda d: d.images.push("small:1", progress=look_at),
        {
            "aux": {"Tag": "1", "Digest": DIGEST, "Size": 3},
            "errorDetail": {"message": "denied", "code": 1},
            "error": "x",
        },
    ),
    "build": Operation(
        "POST /build",
        lambda d: d.images.build(dockerfile_text="FROM busybox", progress=look_at),
        {"stream": "Step 1", "aux": {"ID": DIGEST}},
    ),
    "load": Operation("POST /images/load", lambda d: d.images.load(b"tar"), {"stream": "Loaded image: small:1\n"}),
    "import": Operation(
        "POST /images/create", lambda d: d.images.import_(b"tar", repository="small:1"), {"status": DIGEST}
    ),
    # streams of frames, lines and bytes
    "logs": Operation("GET /containers/c1/logs", _on_container("logs")),
    "lines": Operation("GET /containers/c1/logs", _stream("open_logs", follow=True)),
    "export": Operation("GET /containers/c1/export", _stream("open_export")),
    "archive": Operation("GET /containers/c1/archive", _stream("open_archive", "/f")),
    "copy_from": Operation("GET /containers/c1/archive", copy_out),
    "save": Operation("GET /images/get", save),
    # both directions
    "upload": Operation("PUT /containers/c1/archive", _on_container("put_archive", "/", b"tar" * 100_000)),
    "attach": Operation("POST /containers/c1/attach", _on_container("attach", input=b"hello")),
    "open_attach": Operation("POST /containers/c1/attach", _talk("open_attach", stdin=True)),
    "websocket": Operation("GET /containers/c1/attach/ws", _talk("open_attach_websocket", stdin=True)),
    "exec": Operation("POST /exec/e1/start", _on_container("exec", ["cat"], input=b"hello")),
    "exit code of exec": Operation(
        "GET /exec/e1/json", _on_container("exec", ["cat"]), {"ID": "e1", "Running": False, "ExitCode": 0}
    ),
    "id of exec": Operation("POST /containers/c1/exec", _on_container("exec", ["cat"]), {"Id": "e1"}),
    "run": Operation("POST /containers/c1/attach", lambda d: d.containers.run("busybox", ["cat"], input=b"hello")),
    "end of run": Operation(
        "POST /containers/c1/wait", lambda d: d.containers.run("busybox", check=False), {"StatusCode": 0, "Error": None}
    ),
}
