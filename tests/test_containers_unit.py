"""What every call about containers sends, to the byte, and what it refuses to send."""

from __future__ import annotations

import datetime as dt
import io
import json
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

import anydocker
from anydocker import (
    Completed,
    Conflict,
    Container,
    ContainerOptions,
    Docker,
    HealthCheck,
    InvalidReference,
    Mount,
    NotFound,
    ProtocolError,
    TruncatedStream,
    UnsupportedByEngine,
)
from anydocker.testing import Reply, Route, chunked_reply, json_reply, upgraded_reply
from tests.answered import NEWEST, Call, Query, answered, entered, needs, query_of, refuses, sends

pytestmark = pytest.mark.anyio

EMPTY: Final = Reply(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True)
STATED: Final = Reply(
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Docker-Container-Path-Stat: "
    b"eyJuYW1lIjoiYSIsInNpemUiOjEsIm1vZGUiOjQyMCwibXRpbWUiOiIyMDI0LTAxLTAxVDAwOjAwOjAwWiJ9\r\n\r\n",
    keep_alive=True,
)
ROUTES: Final[dict[str, Route]] = {
    "GET /containers/json": json_reply([]),
    "GET /containers/*/json": json_reply(
        {
            "Id": "1234",
            "Name": "/c",
            "Config": {"Tty": False, "Labels": None},
            "State": {"Status": "running"},
            "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": None}},
        }
    ),
    "POST /containers/create": json_reply({"Id": "1234", "Warnings": []}, 201),
    "POST /containers/prune": json_reply({"ContainersDeleted": None, "SpaceReclaimed": 0}),
    "POST /containers/*/wait": chunked_reply([b'{"StatusCode":7}']),
    "POST /containers/*/update": json_reply({"Warnings": ["careful"]}),
    "POST /containers/*/attach": upgraded_reply(b"", content_type="application/vnd.docker.multiplexed-stream"),
    "POST /containers/*/exec": json_reply({"Id": "e1"}, 201),
    "POST /exec/e1/start": upgraded_reply(b"\1\0\0\0\0\0\0\3out"),
    "POST /exec/e1/resize": EMPTY,
    "GET /exec/e1/json": json_reply({"Running": False, "ExitCode": 0}),
    "GET /containers/*/logs": chunked_reply(
        [b"\1\0\0\0\0\0\0\3out"], content_type="application/vnd.docker.multiplexed-stream"
    ),
    "GET /containers/*/stats": json_reply({}),
    "GET /containers/*/top": json_reply({"Titles": [], "Processes": []}),
    "GET /containers/*/changes": json_reply(None),
    "GET /containers/*/export": chunked_reply([b"tar"]),
    "HEAD /containers/*/archive": STATED,
    "GET /containers/*/archive": STATED,
    "PUT /containers/*/archive": json_reply(None),
    "POST /commit": json_reply({"Id": "sha256:1"}, 201),
    "GET /images/*/json": json_reply({"Id": "sha256:1"}),
    "POST /containers/*": EMPTY,
    "DELETE /containers/*": EMPTY,
}

connected = partial(answered, ROUTES)


@pytest.fixture(autouse=True)
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def the(docker: Docker) -> Container:
    return docker.containers.container("c")


# -- what is sent

NOON: Final = dt.datetime(2024, 1, 1, 12, 0, 0, 250_000, tzinfo=dt.UTC)

# A call, and the first request it makes.
SENT: Final[list[tuple[Call, str, Query]]] = [
    (lambda d: d.containers.list(), "GET /containers/json", [("all", "0")]),
    (
        lambda d: d.containers.list(all=True, limit=2, size=True, filters={"label": {"a": "1", "b": None}}),
        "GET /containers/json",
        [("all", "1"), ("filters", '{"label":["a=1","b"]}'), ("limit", "2"), ("size", "1")],
    ),
    (lambda d: d.containers.get("/c"), "GET /containers/c/json", []),
    (lambda d: d.containers.prune(), "POST /containers/prune", []),
    (
        lambda d: d.containers.prune(filters={"until": "1h"}),
        "POST /containers/prune",
        [("filters", '{"until":["1h"]}')],
    ),
    (lambda d: d.containers.create("a"), "POST /containers/create", []),
    (
        lambda d: d.containers.create("a", name="n", platform="linux/arm64"),
        "POST /containers/create",
        [("name", "n"), ("platform", "linux/arm64")],
    ),
    (lambda d: the(d).inspect(), "GET /containers/c/json", []),
    (lambda d: the(d).inspect(size=True), "GET /containers/c/json", [("size", "1")]),
    (lambda d: the(d).start(), "POST /containers/c/start", []),
    (lambda d: the(d).stop(), "POST /containers/c/stop", []),
    (
        lambda d: the(d).stop(signal="SIGINT", grace_seconds=-1),
        "POST /containers/c/stop",
        [("signal", "SIGINT"), ("t", "-1")],
    ),
    (lambda d: the(d).restart(), "POST /containers/c/restart", []),
    (
        lambda d: the(d).restart(signal="2", grace_seconds=0),
        "POST /containers/c/restart",
        [("signal", "2"), ("t", "0")],
    ),
    (lambda d: the(d).kill(), "POST /containers/c/kill", [("signal", "SIGKILL")]),
    (lambda d: the(d).kill("SIGHUP"), "POST /containers/c/kill", [("signal", "SIGHUP")]),
    (lambda d: the(d).pause(), "POST /containers/c/pause", []),
    (lambda d: the(d).unpause(), "POST /containers/c/unpause", []),
    (lambda d: the(d).rename("a b"), "POST /containers/c/rename", [("name", "a b")]),
    (lambda d: the(d).remove(), "DELETE /containers/c", [("force", "0"), ("v", "0")]),
    (lambda d: the(d).remove(force=True, volumes=True), "DELETE /containers/c", [("force", "1"), ("v", "1")]),
    (lambda d: the(d).wait(), "POST /containers/c/wait", [("condition", "not-running")]),
    (lambda d: the(d).wait("removed"), "POST /containers/c/wait", [("condition", "removed")]),
    (lambda d: entered(the(d).open_wait()), "POST /containers/c/wait", [("condition", "next-exit")]),
    (lambda d: the(d).resize(rows=3, columns=4), "POST /containers/c/resize", [("h", "3"), ("w", "4")]),
    (lambda d: the(d).top(), "GET /containers/c/top", []),
    (lambda d: the(d).top("-eo pid"), "GET /containers/c/top", [("ps_args", "-eo pid")]),
    (lambda d: the(d).changes(), "GET /containers/c/changes", []),
    (lambda d: the(d).update({"Memory": 1}), "POST /containers/c/update", []),
    (lambda d: the(d).stats(), "GET /containers/c/stats", [("stream", "0")]),
    (lambda d: entered(the(d).open_stats()), "GET /containers/c/stats", [("stream", "1")]),
    (
        lambda d: the(d).logs(),
        "GET /containers/c/logs",
        [("follow", "0"), ("stdout", "1"), ("stderr", "1"), ("timestamps", "0"), ("details", "0")],
    ),
    (
        lambda d: entered(
            the(d).open_logs(follow=True, stderr=False, since=NOON, until=1.5, tail=0, timestamps=True, details=True)
        ),
        "GET /containers/c/logs",
        [
            ("follow", "1"),
            ("stdout", "1"),
            ("stderr", "0"),
            ("since", "1704110400.25"),
            ("until", "1.5"),
            ("tail", "0"),
            ("timestamps", "1"),
            ("details", "1"),
        ],
    ),
    (
        lambda d: entered(the(d).open_attach()),
        "POST /containers/c/attach",
        [("stream", "1"), ("stdin", "0"), ("stdout", "1"), ("stderr", "1"), ("logs", "0")],
    ),
    (
        lambda d: entered(
            the(d).open_attach(stdin=True, stdout=False, stderr=False, logs=True, detach_keys="ctrl-x,d")
        ),
        "POST /containers/c/attach",
        [
            ("stream", "1"),
            ("stdin", "1"),
            ("stdout", "0"),
            ("stderr", "0"),
            ("logs", "1"),
            ("detachKeys", "ctrl-x,d"),
        ],
    ),
    (lambda d: the(d).exec(["true"]), "POST /containers/c/exec", []),
    (lambda d: the(d).archive_info("/a b"), "HEAD /containers/c/archive", [("path", "/a b")]),
    (lambda d: entered(the(d).open_archive("a/.")), "GET /containers/c/archive", [("path", "a/.")]),
    (lambda d: the(d).put_archive("/", b"tar"), "PUT /containers/c/archive", [("path", "/")]),
    (
        lambda d: the(d).put_archive("/", b"tar", keep_kind=True, copy_owner=True),
        "PUT /containers/c/archive",
        [("path", "/"), ("noOverwriteDirNonDir", "1"), ("copyUIDGID", "1")],
    ),
    (lambda d: entered(the(d).open_export()), "GET /containers/c/export", []),
    (lambda d: the(d).commit(), "POST /commit", [("container", "c"), ("pause", "1")]),
    (
        lambda d: the(d).commit("host:5000/a", message="m", author="A", pause=False, changes=["ENV A=1", "CMD x"]),
        "POST /commit",
        [
            ("container", "c"),
            ("repo", "host:5000/a"),
            ("tag", "latest"),
            ("comment", "m"),
            ("author", "A"),
            ("pause", "0"),
            ("changes", "ENV A=1"),
            ("changes", "CMD x"),
        ],
    ),
]


@pytest.mark.parametrize(("call", "target", "query"), SENT, ids=[f"{n}-{sent[1]}" for n, sent in enumerate(SENT)])
async def test_what_is_sent(call: Call, target: str, query: Query) -> None:
    await sends(ROUTES, call, target, query)


CREATED: Final[dict[str, Any]] = {
    "command": ["a", "b"],
    "entrypoint": [],
    "env": {"A": "1", "B": None},
    "labels": {"role": "db"},
    "user": "1:2",
    "workdir": "/w",
    "tty": True,
    "stdin": True,
    "ports": {80: 8080},
    "mounts": [Mount("/m", "v")],
    "network": "n",
    "options": ContainerOptions(memory=1, hostname="h", aliases=["web"]),
    "config": {"HostConfig": {"Memory": 2}, "Domainname": "d"},
}
DOCUMENT: Final[dict[str, Any]] = {
    "Image": "a:1",
    "Cmd": ["a", "b"],
    "Entrypoint": [],
    "Env": ["A=1", "B"],
    "Labels": {"role": "db"},
    "User": "1:2",
    "WorkingDir": "/w",
    "Tty": True,
    "OpenStdin": True,
    "StdinOnce": True,
    "AttachStdin": True,
    "ExposedPorts": {"80/tcp": {}},
    "Hostname": "h",
    "Domainname": "d",
    "HostConfig": {
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
        "Mounts": [{"Type": "volume", "Target": "/m", "ReadOnly": False, "Source": "v"}],
        "NetworkMode": "n",
        "Memory": 2,
    },
    "NetworkingConfig": {"EndpointsConfig": {"n": {"Aliases": ["web"]}}},
}


async def test_create_sends_all_of_it() -> None:
    async with connected() as (docker, engine):
        container = await docker.containers.create("a:1", name="c", **CREATED)
        assert json.loads(engine.requests[0].body) == DOCUMENT
    assert (container.id, container.name) == ("1234", "c")


async def test_open_run_sends_the_same() -> None:
    async with connected() as (docker, engine):
        async with docker.containers.open_run("a:1", name="c", **CREATED) as container:
            assert (container.id, container.name) == ("1234", "c")
        created, started, removed = engine.requests
    assert json.loads(created.body) == DOCUMENT
    assert started.path == "/containers/1234/start"
    assert (removed.method, query_of(removed)) == ("DELETE", [("force", "1"), ("v", "1")])


async def test_run_attaches_and_waits_before_it_starts() -> None:
    arguments = {key: value for key, value in CREATED.items() if key != "stdin"}
    routes: dict[str, Route] = {"POST /containers/*/wait": chunked_reply([b'{"StatusCode":0}'])}
    async with connected(routes) as (docker, engine):
        done = await docker.containers.run("a:1", name="c", input=b"", **arguments)
        paths = [request.path.rpartition("/")[2] for request in engine.requests if request.method == "POST"]
    assert done == Completed(0)
    assert paths == ["create", "attach", "wait", "start"]
    assert json.loads(engine.requests[0].body) == DOCUMENT


async def test_run_without_input_has_no_stdin() -> None:
    routes: dict[str, Route] = {"POST /containers/*/wait": chunked_reply([b'{"StatusCode":0}'])}
    async with connected(routes) as (docker, engine):
        await docker.containers.run("a:1")
        assert json.loads(engine.requests[0].body) == {"Image": "a:1"}
        assert ("stdin", "0") in query_of(engine.requests[1])


async def test_replace_keeps_a_digest_of_its_arguments() -> None:
    routes: dict[str, Route] = {"GET /containers/c/json": json_reply({"message": "no such container"}, 404)}
    async with connected(routes) as (docker, engine):
        await docker.containers.replace("a:1", name="c", platform="linux/arm64", **CREATED)
        created = json.loads(engine.requests[-1].body)
    label = created["Labels"].pop("anydocker.config")
    assert created == DOCUMENT
    assert len(label) == len(sha256().hexdigest())


WARNED: Final = json_reply({"Id": "1234567890abcdef", "Warnings": ["no swap", "no memory"]}, 201)


async def test_warnings_are_on_the_handle_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    routes: dict[str, Route] = {
        "POST /containers/create": WARNED,
        "POST /containers/*/wait": chunked_reply([b'{"StatusCode":0}']),
    }
    async with connected(routes) as (docker, _):
        container = await docker.containers.create("a", name="c")
        async with docker.containers.open_run("a") as running:
            assert running.warnings == container.warnings == ("no swap", "no memory")
        caplog.clear()
        await docker.containers.run("a")
    said = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert [one for one in said if one[0] == "anydocker"] == [
        ("anydocker", "WARNING", "container 1234567890ab: no swap"),
        ("anydocker", "WARNING", "container 1234567890ab: no memory"),
    ]


@pytest.mark.parametrize("warnings", [[], None])
async def test_no_warnings(warnings: object, caplog: pytest.LogCaptureFixture) -> None:
    routes: dict[str, Route] = {"POST /containers/create": json_reply({"Id": "1", "Warnings": warnings}, 201)}
    async with connected(routes) as (docker, _):
        assert (await docker.containers.create("a")).warnings == ()
    assert "anydocker" not in {record.name for record in caplog.records}


HARDWARE: Final = ContainerOptions(mac_address="02:42:00:00:00:01", ipv4="10.0.0.2")


@pytest.mark.parametrize(("version", "address"), [("1.43", "02:42:00:00:00:01"), ("1.44", None)])
async def test_a_hardware_address_is_where_the_engine_looks_for_it(version: str, address: str | None) -> None:
    async with connected(api_version=version) as (docker, engine):
        await docker.containers.create("a", network="n", options=HARDWARE)
        document = json.loads(engine.requests[0].body)
    assert document.get("MacAddress") == address
    assert document["NetworkingConfig"]["EndpointsConfig"]["n"]["MacAddress"] == "02:42:00:00:00:01"


@pytest.mark.parametrize(
    "config",
    [{"NetworkingConfig": None}, {"NetworkingConfig": {"EndpointsConfig": {"n": None}}}, {"Healthcheck": None}],
)
async def test_a_raw_document_may_hold_nothing(config: dict[str, Any]) -> None:
    async with connected(api_version="1.40") as (docker, engine):
        await docker.containers.create("a", config=config)
        assert json.loads(engine.requests[0].body) == {"Image": "a", **config}


async def test_a_raw_hardware_address_wins() -> None:
    async with connected(api_version="1.40") as (docker, engine):
        await docker.containers.create("a", network="n", options=HARDWARE, config={"MacAddress": "other"})
        assert json.loads(engine.requests[0].body)["MacAddress"] == "other"


async def test_exec_sends_all_of_it() -> None:
    async with connected() as (docker, engine):
        async with the(docker).open_exec(
            ["a", "b"],
            env={"A": "1"},
            user="1",
            workdir="/w",
            tty=True,
            stdin=False,
            privileged=True,
            detach_keys="ctrl-x,d",
            on_cancel="leave",
        ) as process:
            await process.resize(rows=3, columns=4)
        created, started, resized = engine.requests
    assert json.loads(created.body) == {
        "Cmd": ["a", "b"],
        "Env": ["A=1"],
        "User": "1",
        "WorkingDir": "/w",
        "Tty": True,
        "Privileged": True,
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "DetachKeys": "ctrl-x,d",
    }
    assert json.loads(started.body) == {"Detach": False, "Tty": True}
    assert (started.headers["connection"], started.headers["upgrade"]) == ("Upgrade", "tcp")
    assert (resized.path, query_of(resized)) == ("/exec/e1/resize", [("h", "3"), ("w", "4")])


async def test_exec_is_marked_to_be_found_again() -> None:
    async with connected() as (docker, engine):
        for _ in range(2):
            assert (await the(docker).exec(["true"], env={"A": "1"})).stdout == b"out"
        first, second = (json.loads(one.body)["Env"] for one in engine.requests if one.path.endswith("/exec"))
    assert (first[0], second[0]) == ("A=1", "A=1")
    assert first[1].startswith("ANYDOCKER_EXEC=")
    assert first[1] != second[1]


async def test_an_attach_asks_for_an_upgrade() -> None:
    async with connected() as (docker, engine):
        await entered(the(docker).open_attach())
        assert (engine.requests[0].headers["upgrade"], engine.requests[0].body) == ("tcp", b"")


async def test_bodies() -> None:
    async with connected() as (docker, engine):
        await the(docker).update({"Memory": 1})
        await the(docker).commit(config={"Cmd": ["x"]})
        await the(docker).put_archive("/", io.BytesIO(b"tar"))
        update, commit, _, put = engine.requests
    assert json.loads(update.body) == {"Memory": 1}
    assert json.loads(commit.body) == {"Cmd": ["x"]}
    assert (put.body, put.headers["content-type"]) == (b"tar", "application/x-tar")


@pytest.mark.parametrize(
    ("name", "segment"), [("a b", "a%20b"), ("a?b", "a%3Fb"), ("a#b", "a%23b"), ("a/b", "a%2Fb"), ("ä", "%C3%A4")]
)
async def test_an_odd_name_stays_inside_its_segment(name: str, segment: str) -> None:
    async with connected() as (docker, engine):
        await docker.containers.container(name).start()
        assert engine.requests[0].target == f"/v{NEWEST}/containers/{segment}/start"


# -- what comes back


async def test_what_a_304_means() -> None:
    unchanged = Reply(b"HTTP/1.1 304 Not Modified\r\n\r\n", keep_alive=True)
    async with connected({"POST /containers/c/start": unchanged, "POST /containers/c/stop": unchanged}) as (docker, _):
        assert (await the(docker).start(), await the(docker).stop()) == (False, False)
    async with connected() as (docker, _):
        assert (await the(docker).start(), await the(docker).stop()) == (True, True)


async def test_values() -> None:
    async with connected() as (docker, _):
        container = the(docker)
        assert await container.wait() == 7
        assert await container.update({}) == ["careful"]
        assert await container.changes() == []
        assert await container.port(80) == [("0.0.0.0", 8080)]
        assert await container.port("81/tcp") == []
        assert await container.port(82) == []
        assert (await container.archive_info("/a")).size == 1
        assert (await container.commit("a:1")).name == "a:1"
        assert (await docker.containers.get("c")).name == "c"


async def test_names_and_summaries_of_a_listing() -> None:
    documents: list[dict[str, Any]] = [{"Id": "1", "Names": ["/a/link", "/b"]}, {"Id": "2", "Names": []}, {"Id": "3"}]
    async with connected({"GET /containers/json": json_reply(documents)}) as (docker, engine):
        containers = await docker.containers.list()
        assert len(engine.requests) == 1
    assert [(one.id, one.name) for one in containers] == [("1", "b"), ("2", None), ("3", None)]
    assert [one.summary for one in containers] == documents


async def test_handles_are_equal_by_their_ids() -> None:
    async with connected() as (docker, _):
        first, second = docker.containers.container("c"), Container("c", "name", docker=docker)
        assert first == second
        assert hash(first) == hash(second)
        assert first != docker.containers.container("d")
        assert "docker" not in repr(second)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            second.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def test_an_archive_that_is_not_described() -> None:
    nothing = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", keep_alive=True)
    async with connected({"HEAD /containers/*/archive": nothing}) as (docker, _):
        with pytest.raises(ProtocolError, match="not the description of a path"):
            await the(docker).archive_info("/a")


async def test_a_path_that_is_not_there_is_named() -> None:
    missing = Reply(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", keep_alive=True)
    async with connected({"HEAD /containers/*/archive": missing}) as (docker, _):
        with pytest.raises(NotFound, match="'/a'") as caught:
            await the(docker).archive_info("/a")
    assert (caught.value.status, caught.value.method) == (404, "HEAD")


async def test_the_end_of_the_events_is_not_health() -> None:
    routes: dict[str, Route] = {
        "GET /containers/c/json": json_reply(
            {"Id": "1", "State": {"Status": "running", "ExitCode": 0, "Health": {"Status": "starting"}}}
        ),
        "GET /containers/1/json": json_reply({}),
        "GET /events": chunked_reply([b'{"Type":"container","Action":"exec_die","Actor":{"ID":"1"}}']),
    }
    async with connected(routes) as (docker, _):
        with pytest.raises(TruncatedStream, match="has ended its events"):
            await the(docker).wait_healthy()


async def test_a_container_that_somebody_else_is_removing() -> None:
    removals = [json_reply({"message": "removal is already in progress"}, 409), json_reply({"message": "gone"}, 404)]
    async with connected({"DELETE /containers/*": removals}) as (docker, engine):
        async with docker.containers.open_run("a"):
            engine.requests.clear()
        assert [request.method for request in engine.requests] == ["DELETE", "DELETE"]


async def test_a_container_that_cannot_be_removed() -> None:
    refusal = json_reply({"message": "device busy"}, 500)
    async with connected({"DELETE /containers/*": refusal}) as (docker, _):
        with pytest.raises(anydocker.EngineFault, match="device busy"):
            async with docker.containers.open_run("a"):
                assert docker.statistics().open_streams == 0


async def test_a_missing_image_that_cannot_be_pulled_either() -> None:
    missing = json_reply({"message": "No such image: a:latest"}, 404)
    refused = json_reply({"message": "pull access denied"}, 404)
    routes: dict[str, Route] = {
        "POST /containers/create": missing,
        "GET /images/*/json": missing,
        "POST /images/create": refused,
    }
    async with connected(routes) as (docker, _):
        with pytest.raises(NotFound, match="No such image: a:latest; and it could not be pulled: pull access denied"):
            await docker.containers.run("a")
        with pytest.raises(NotFound, match="No such image") as caught:
            await docker.containers.run("a", pull="never")
        assert "pulled" not in str(caught.value)


async def test_a_name_that_is_taken_is_not_taken_for_a_missing_image() -> None:
    routes: dict[str, Route] = {"POST /containers/create": json_reply({"message": "in use"}, 409)}
    async with connected(routes) as (docker, engine):
        with pytest.raises(Conflict, match="in use"):
            await docker.containers.run("a", name="c")
        assert len(engine.requests) == 1


# -- what is refused before anything is sent


def wrong(value: object) -> Any:
    """A value of a type that type checkers would not let pass."""
    return value


def create(**arguments: Any) -> Call:
    return lambda d: d.containers.create("a", **arguments)


def run(**arguments: Any) -> Call:
    return lambda d: d.containers.run("a", **arguments)


def execute(**arguments: Any) -> Call:
    return lambda d: the(d).exec(**wrong({"command": ["true"]} | arguments))


REFUSED: Final[list[tuple[Call, type[Exception], str]]] = [
    (lambda d: d.containers.get(""), ValueError, "container"),
    (lambda d: d.containers.get("a/../b"), ValueError, "container"),
    (lambda d: d.containers.get(wrong(1)), TypeError, "container"),
    (lambda d: d.containers.get(wrong(None)), TypeError, "container"),
    (lambda d: d.containers.list(filters={"a": wrong(None)}), TypeError, "filter 'a'"),
    (lambda d: d.containers.list(limit=wrong({})), TypeError, "limit"),
    (lambda d: d.containers.prune(filters={"a": wrong(1.5)}), TypeError, "filter 'a'"),
    (lambda d: d.containers.create(""), ValueError, "image"),
    (lambda d: d.containers.create(wrong(1)), TypeError, "image"),
    (create(command="echo hi"), TypeError, "command"),
    (create(command=[]), ValueError, "command"),
    (create(command=[1]), TypeError, "command"),
    (create(entrypoint="sh"), TypeError, "entrypoint"),
    (create(name=""), ValueError, "name"),
    (create(name="../c"), ValueError, "name"),
    (create(name=1), TypeError, "name"),
    (create(env={"A=": "1"}), ValueError, "env"),
    (create(env=["A=1"]), TypeError, "env"),
    (create(labels=["a"]), TypeError, "labels"),
    (create(labels={"a": 1}), TypeError, "labels"),
    (create(user=1000), TypeError, "user"),
    (create(workdir=b"/"), TypeError, "workdir"),
    (create(ports={0: None}), ValueError, "ports"),
    (create(ports={80: "8080"}), TypeError, "ports"),
    (create(ports=[80]), TypeError, "ports"),
    (create(mounts=["/a:/b"]), TypeError, "mounts"),
    (create(mounts="/a:/b"), TypeError, "mounts"),
    (create(network=1), TypeError, "network"),
    (create(options={"memory": 1}), TypeError, "options"),
    (create(config=["a"]), TypeError, "config"),
    (create(options=ContainerOptions(ipv4="10.0.0.2")), ValueError, "ipv4"),
    (create(options=ContainerOptions(log_options={"a": "b"})), ValueError, "log_options"),
    (create(options=ContainerOptions(gpus=wrong("some"))), ValueError, "gpus"),
    (lambda d: d.containers.replace("a", name="", command=["x"]), ValueError, "name"),
    (lambda d: d.containers.replace("", name="c"), ValueError, "image"),
    (run(input="text"), TypeError, "input"),
    (run(input=[b"x"]), TypeError, "input"),
    (run(pull="sometimes"), ValueError, "pull='sometimes'"),
    (run(auth={"username": "alice"}), TypeError, "auth"),
    (run(command="echo hi"), TypeError, "command"),
    (run(name="a//b"), ValueError, "name"),
    (lambda d: entered(d.containers.open_run("a", pull=wrong("no"))), ValueError, "pull='no'"),
    (lambda d: entered(d.containers.open_run("a", command="x")), TypeError, "command"),
    (execute(command="true"), TypeError, "command"),
    (execute(command=[]), ValueError, "command"),
    (execute(input="text"), TypeError, "input"),
    (execute(env={"": "x"}), ValueError, "env"),
    (execute(env=["A=1"]), TypeError, "env"),
    (execute(user=1000), TypeError, "user"),
    (execute(workdir=b"/"), TypeError, "workdir"),
    (execute(on_cancel="stop"), ValueError, "on_cancel='stop'"),
    (lambda d: entered(the(d).open_exec(["a"], detach_keys=wrong(1))), TypeError, "detach_keys"),
    (lambda d: the(d).attach(input=wrong("text")), TypeError, "input"),
    (lambda d: the(d).logs(stdout=False, stderr=False), ValueError, "stdout"),
    (lambda d: the(d).logs(tail=-1), ValueError, "tail=-1"),
    (lambda d: the(d).logs(tail=wrong("all")), TypeError, "tail"),
    (lambda d: the(d).logs(since=dt.datetime(2024, 1, 1)), ValueError, "since"),
    (lambda d: the(d).logs(until=-1), ValueError, "until"),
    (lambda d: the(d).logs(until=wrong("now")), TypeError, "until"),
    (lambda d: the(d).wait(wrong("never")), ValueError, "condition='never'"),
    (lambda d: the(d).kill(""), ValueError, "signal"),
    (lambda d: the(d).port("nonsense"), ValueError, "nonsense"),
    (lambda d: the(d).port(0), ValueError, "0"),
    (lambda d: the(d).archive_info(""), ValueError, "path"),
    (lambda d: entered(the(d).open_archive("a\0b")), ValueError, "path"),
    (lambda d: the(d).put_archive("", b""), ValueError, "path"),
    (lambda d: the(d).put_archive("/", wrong("a.tar")), TypeError, "source"),
    (lambda d: the(d).put_archive("/", wrong(io.StringIO("text"))), TypeError, "source.*binary"),
    (lambda d: the(d).commit("UPPER"), InvalidReference, "UPPER"),
    (lambda d: the(d).commit("a@sha256:" + "0" * 64), InvalidReference, "digest"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[f"{n}-{r[2]}" for n, r in enumerate(REFUSED)])
async def test_what_is_refused(call: Call, error: type[Exception], message: str) -> None:
    await refuses(ROUTES, call, error, message)


HEALTH: Final = ContainerOptions(healthcheck=HealthCheck(command="true", start_interval_seconds=1))
TOO_NEW: Final[list[tuple[Call, str]]] = [
    (create(platform="linux/arm64"), "1.41"),
    (lambda d: the(d).stop(signal="SIGINT"), "1.42"),
    (lambda d: the(d).restart(signal="SIGINT"), "1.42"),
    (create(mounts=[Mount("/m", "/s", type="bind", create_mountpoint=True)]), "1.42"),
    (create(options=HEALTH), "1.44"),
    (create(mounts=[Mount("/m"), Mount("/n", "v", subpath="a")]), "1.45"),
    (create(config={"HostConfig": {"Mounts": [{"VolumeOptions": {"Subpath": "a"}}]}}), "1.45"),
    (create(config={"Healthcheck": {"StartInterval": 1}}), "1.44"),
]


@pytest.mark.parametrize(("call", "version"), TOO_NEW, ids=[f"{n}-{t[1]}" for n, t in enumerate(TOO_NEW)])
async def test_what_the_engine_is_too_old_for(call: Call, version: str) -> None:
    await needs(ROUTES, call, version)


# -- Podman

PODMAN: Final = Reply(
    b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 5.4.2\r\nContent-Length: 0\r\n\r\n", keep_alive=True
)


@pytest.mark.parametrize("stopped", [EMPTY, json_reply({"message": "not running"}, 409), json_reply({}, 500)])
async def test_what_podman_would_stop_slowly_is_stopped_at_once(stopped: Reply) -> None:
    async with connected({"HEAD /_ping": PODMAN, "POST /containers/*/stop": stopped}) as (docker, engine):
        await the(docker).remove(force=True)
        assert [f"{request.method} {request.target}" for request in engine.requests] == [
            "POST /v1.41/containers/c/stop?t=0",
            "DELETE /v1.41/containers/c?force=1&v=0",
        ]
        engine.requests.clear()
        await the(docker).remove()
        assert [request.method for request in engine.requests] == ["DELETE"]


async def test_podman_is_not_asked_for_a_websocket() -> None:
    async with connected({"HEAD /_ping": PODMAN}) as (docker, engine):
        with pytest.raises(UnsupportedByEngine, match="Podman"):
            await entered(the(docker).open_attach_websocket())
        assert not engine.requests


async def test_what_podman_is_still_tidying_up_is_removed_again() -> None:
    removals = [json_reply({"message": "device busy"}, 500), json_reply({"message": "gone"}, 404)]
    async with connected({"HEAD /_ping": PODMAN, "DELETE /containers/*": removals}) as (docker, engine):
        async with docker.containers.open_run("a"):
            engine.requests.clear()
        assert [request.method for request in engine.requests] == ["POST", "DELETE"] * 2
