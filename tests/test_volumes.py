"""What ``d.volumes`` and ``d.df`` send, and what they make of the answers. A real engine's are in tests/live."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from anyio import create_task_group, fail_after
from anyio.abc import ByteStream

import anydocker
from anydocker import (
    BadRequest,
    Conflict,
    Docker,
    DockerError,
    EngineFault,
    NotFound,
    Unavailable,
    UnsupportedByEngine,
)
from anydocker.resources import volumes
from anydocker.testing import Reply, Request, Route, ScriptedEngine, json_reply, scripted_engine

pytestmark = pytest.mark.anyio

OK = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", keep_alive=True)
NO_CONTENT = Reply(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True)
MADE = json_reply({"Name": "data", "Driver": "local", "Labels": None}, 201)


@asynccontextmanager
async def script(
    routes: Mapping[str, Route] | None = None, *, api_version: str = "1.45"
) -> AsyncGenerator[tuple[ScriptedEngine, Docker], None]:
    with fail_after(10):
        async with (
            scripted_engine(routes, api_version=api_version) as engine,
            anydocker.connect(engine.host, api_version=api_version) as d,
        ):
            engine.requests.clear()
            yield engine, d


def sent(request: Request) -> tuple[str, str, Any]:
    """Method, target without the version, and document."""
    assert request.version is not None
    target = request.target.removeprefix(f"/v{request.version}")
    return request.method, target, json.loads(request.body) if request.body else None


def refusal(status: int) -> Reply:
    return json_reply({"message": "no such luck"}, status)


def make(request: Request, _: ByteStream) -> Reply:
    """Make the volume that is asked for, as an engine does that has none of this name."""
    return json_reply({"Name": "made-up", "Driver": "local", "Labels": None, **json.loads(request.body)}, 201)


# -- create


async def test_create_without_a_name() -> None:
    async with script({"POST /volumes/create": make}) as (engine, d):
        volume = await d.volumes.create()
        assert [sent(request) for request in engine.requests] == [("POST", "/volumes/create", {})]
    assert (volume.name, volume.summary) == ("made-up", None)


async def test_create_sends_every_argument() -> None:
    async with script({"POST /volumes/create": make}) as (engine, d):
        volume = await d.volumes.create(
            "data", driver="local", driver_opts={"type": "tmpfs", "o": ""}, labels={"a": "1"}
        )
        assert sent(engine.requests[-1]) == (
            "POST",
            "/volumes/create",
            {"Name": "data", "Driver": "local", "DriverOpts": {"type": "tmpfs", "o": ""}, "Labels": {"a": "1"}},
        )
    assert volume.name == "data"


async def test_config_is_merged_and_wins() -> None:
    async with script({"POST /volumes/create": make}) as (engine, d):
        config = {"Labels": {"b": "2"}, "Driver": "other", "ClusterVolumeSpec": {"Group": "g"}}
        await d.volumes.create("data", driver="local", labels={"a": "1"}, config=config)
        assert sent(engine.requests[-1])[2] == {
            "Name": "data",
            "Driver": "other",
            "Labels": {"a": "1", "b": "2"},
            "ClusterVolumeSpec": {"Group": "g"},
        }


async def test_a_volume_of_the_swarm_needs_a_version() -> None:
    async with script(api_version="1.41") as (engine, d):
        with pytest.raises(UnsupportedByEngine, match=r"ClusterVolumeSpec.* needs API 1\.42"):
            await d.volumes.create("data", config={"ClusterVolumeSpec": {}})
        assert not engine.requests


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ({"name": ""}, ValueError),
        ({"name": " "}, ValueError),
        ({"name": "../x"}, ValueError),
        ({"name": 1}, TypeError),
        ({"driver": ""}, ValueError),
        ({"driver": 1}, TypeError),
        ({"driver_opts": {"a": 1}}, TypeError),
        ({"driver_opts": "type=tmpfs"}, TypeError),
        ({"labels": ["a"]}, TypeError),
        ({"labels": {"a": None}}, TypeError),
        ({"labels": {"": "a"}}, ValueError),
        ({"config": "x"}, TypeError),
    ],
)
async def test_a_bad_argument_is_named_and_nothing_is_sent(argument: dict[str, Any], error: type[Exception]) -> None:
    async with script() as (engine, d):
        with pytest.raises(error, match=next(iter(argument))):
            await d.volumes.create(**argument)
        with pytest.raises(error, match=next(iter(argument))):
            async with d.volumes.open_create(**argument):
                raise AssertionError("the block began")
        assert not engine.requests


@pytest.mark.parametrize(("status", "error"), [(400, BadRequest), (404, NotFound), (409, Conflict), (500, EngineFault)])
async def test_create_is_refused(status: int, error: type[DockerError]) -> None:
    async with script({"POST /volumes/create": refusal(status)}) as (_, d):
        with pytest.raises(error, match="no such luck"):
            await d.volumes.create()


# -- create, cancelled


async def cancel_create(engine: ScriptedEngine, d: Docker, name: str | None) -> list[tuple[str, str]]:
    """What is sent when a create is cancelled that the engine has acted upon, but not answered."""
    async with create_task_group() as tasks:
        tasks.start_soon(d.volumes.create, name)
        await engine.wait_stalled()
        tasks.cancel_scope.cancel()
        engine.resume()
    await engine.wait_connections(d.statistics().idle_connections)
    return [sent(request)[:2] for request in engine.requests]


async def test_a_cancelled_create_leaves_no_volume_without_a_name() -> None:
    routes: dict[str, Route] = {
        "POST /volumes/create": attrs.evolve(MADE, stall_at=0),
        "DELETE /volumes/data": NO_CONTENT,
    }
    async with script(routes) as (engine, d):
        assert await cancel_create(engine, d, None) == [
            ("POST", "/volumes/create"),
            ("DELETE", "/volumes/data?force=1"),
        ]


async def test_a_cancelled_create_leaves_no_new_volume() -> None:
    routes: dict[str, Route] = {
        "POST /volumes/create": attrs.evolve(MADE, stall_at=0),
        "DELETE /volumes/data": NO_CONTENT,
    }
    async with script(routes) as (engine, d):
        assert await cancel_create(engine, d, "data") == [
            ("GET", "/volumes/data"),
            ("POST", "/volumes/create"),
            ("DELETE", "/volumes/data?force=1"),
        ]


async def test_a_cancelled_create_keeps_a_volume_that_was_there() -> None:
    routes: dict[str, Route] = {
        "GET /volumes/data": json_reply({"Name": "data"}),
        "POST /volumes/create": attrs.evolve(MADE, stall_at=0),
    }
    async with script(routes) as (engine, d):
        assert await cancel_create(engine, d, "data") == [("GET", "/volumes/data"), ("POST", "/volumes/create")]


async def test_a_cancelled_create_that_is_refused_removes_nothing() -> None:
    async with script({"POST /volumes/create": attrs.evolve(refusal(500), stall_at=0)}) as (engine, d):
        assert await cancel_create(engine, d, None) == [("POST", "/volumes/create")]


# -- for as long as a block lasts


async def test_the_end_of_the_block_removes_the_volume() -> None:
    async with script({"POST /volumes/create": make, "DELETE /volumes/data": NO_CONTENT}) as (engine, d):
        async with d.volumes.open_create("data", driver="local", labels={"a": "1"}) as volume:
            assert volume == d.volumes.volume("data")
            [request] = engine.requests
        method, target, document = sent(request)
        label = document["Labels"].pop("anydocker.block")
        assert (method, target) == ("POST", "/volumes/create")
        assert document == {"Name": "data", "Driver": "local", "Labels": {"a": "1"}}
        assert len(label) == 32
        assert sent(engine.requests[-1]) == ("DELETE", "/volumes/data?force=1", None)


async def test_an_error_in_the_block_comes_out_and_the_volume_is_removed() -> None:
    async with script({"POST /volumes/create": make, "DELETE /volumes/made-up": NO_CONTENT}) as (engine, d):
        with pytest.raises(ZeroDivisionError, match="mine"):
            async with d.volumes.open_create():
                raise ZeroDivisionError("mine")
        assert engine.requests[-1].method == "DELETE"


async def test_a_cancelled_block_removes_the_volume() -> None:
    async with script({"POST /volumes/create": make, "DELETE /volumes/made-up": NO_CONTENT}) as (engine, d):
        async with create_task_group() as tasks, d.volumes.open_create():
            tasks.cancel_scope.cancel()
        assert [request.method for request in engine.requests] == ["POST", "DELETE"]


@pytest.mark.parametrize("labels", [None, {}, {"anydocker.block": "another"}])
async def test_a_volume_that_was_there_is_no_volume_of_the_block(labels: object) -> None:
    reply = json_reply({"Name": "data", "Labels": labels}, 201)
    async with script({"POST /volumes/create": reply}) as (engine, d):
        with pytest.raises(Conflict, match="there is a volume data already"):
            async with d.volumes.open_create("data"):
                raise AssertionError("the block began")
        assert [request.method for request in engine.requests] == ["POST"]


@pytest.mark.parametrize(("mine", "methods"), [(True, ["POST", "DELETE"]), (False, ["POST"])])
async def test_a_cancelled_beginning_leaves_no_volume_of_its_own(mine: bool, methods: list[str]) -> None:
    def answer(request: Request, stream: ByteStream) -> Reply:
        return attrs.evolve(make(request, stream) if mine else MADE, stall_at=0)

    async def enter(d: Docker) -> None:
        async with d.volumes.open_create("data"):
            raise AssertionError("the block began")

    async with script({"POST /volumes/create": answer, "DELETE /volumes/data": NO_CONTENT}) as (engine, d):
        async with create_task_group() as tasks:
            tasks.start_soon(enter, d)
            await engine.wait_stalled()
            tasks.cancel_scope.cancel()
            engine.resume()
        assert [request.method for request in engine.requests] == methods


@pytest.mark.parametrize("status", [204, 404])
async def test_a_container_that_lets_go_late_is_waited_for(status: int) -> None:
    last = NO_CONTENT if status == 204 else refusal(status)
    routes: dict[str, Route] = {
        "POST /volumes/create": make,
        "DELETE /volumes/made-up": [refusal(409), refusal(409), last],
    }
    async with script(routes) as (engine, d):
        async with d.volumes.open_create() as volume:
            assert volume.name == "made-up"
        assert [request.method for request in engine.requests] == ["POST", "DELETE", "DELETE", "DELETE"]


async def test_a_volume_that_a_container_keeps_is_an_error_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volumes, "CLEANUP_SECONDS", 0.05)
    async with script({"POST /volumes/create": make, "DELETE /volumes/made-up": refusal(409)}) as (_, d):
        with pytest.raises(Conflict, match="no such luck"):
            async with d.volumes.open_create() as volume:
                assert volume.name == "made-up"


# -- look up


async def test_list() -> None:
    documents: list[Any] = [{"Name": "data", "Driver": "local"}, {"Name": "other"}]
    async with script({"GET /volumes": json_reply({"Volumes": documents, "Warnings": None})}) as (engine, d):
        found = await d.volumes.list()
        assert sent(engine.requests[0]) == ("GET", "/volumes", None)
        await d.volumes.list(filters={"dangling": False, "label": {"a": None}})
        assert engine.requests[1].query == {"filters": '{"dangling":["false"],"label":["a"]}'}
    assert [(one.name, one.summary) for one in found] == [("data", documents[0]), ("other", documents[1])]


@pytest.mark.parametrize("answer", [{"Volumes": None, "Warnings": []}, {"Volumes": []}])
async def test_a_list_of_nothing(answer: object) -> None:
    async with script({"GET /volumes": json_reply(answer)}) as (_, d):
        assert await d.volumes.list() == []


async def test_a_driver_that_is_not_reached_gives_a_warning_where_the_list_is_asked_for() -> None:
    answer = {"Volumes": [{"Name": "data"}], "Warnings": ["one is down", "two is down"]}
    async with script({"GET /volumes": json_reply(answer)}) as (_, d):
        with pytest.warns(RuntimeWarning) as caught:
            [volume] = await d.volumes.list()
    assert volume.name == "data"
    assert [str(warning.message) for warning in caught] == ["one is down", "two is down"]
    assert {warning.filename for warning in caught} == {__file__}


async def test_get_and_inspect() -> None:
    document: Any = {"Name": "data", "Mountpoint": "/data", "Unheard": [1]}
    async with script({"GET /volumes/data": json_reply(document)}) as (engine, d):
        volume = await d.volumes.get("data")
        assert await volume.inspect() == document
        assert [sent(request) for request in engine.requests] == [("GET", "/volumes/data", None)] * 2
        with pytest.raises(NotFound):
            await d.volumes.get("none")
    assert (volume.name, volume.summary) == ("data", None)


@pytest.mark.parametrize("name", ["", " ", ".", "..", "../images", "a/../b", "a//b", "a/", "a\0b", "a\nb", "\x7f"])
async def test_a_name_that_would_change_the_path_is_refused(name: str) -> None:
    async with script() as (engine, d):
        with pytest.raises(ValueError, match="volume"):
            d.volumes.volume(name)
        with pytest.raises(ValueError, match="volume"):
            await d.volumes.get(name)
        assert not engine.requests


@pytest.mark.parametrize("name", ["a b", "a?all=1", "a#b", "%2e%2e", "ä", "a/b"])
async def test_an_odd_name_reaches_the_engine_as_it_is(name: str) -> None:
    async with script() as (engine, d):
        with pytest.raises(NotFound):
            await d.volumes.volume(name).inspect()
        assert engine.requests[0].path == f"/volumes/{name}"


async def test_handles_are_values() -> None:
    async with script() as (_, d):
        volume = d.volumes.volume("data")
        assert volume == d.volumes.volume("data") != d.volumes.volume("other")
        assert hash(volume) == hash(d.volumes.volume("data"))
        assert repr(volume) == "Volume(name='data')"
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(volume, "name", "other")  # noqa: B010 - a type checker would object to the assignment


# -- change and remove


async def test_update() -> None:
    async with script({"PUT /volumes/data": [OK, refusal(503)]}, api_version="1.42") as (engine, d):
        await d.volumes.volume("data").update({"Availability": "drain"}, version=0)
        assert sent(engine.requests[0]) == ("PUT", "/volumes/data?version=0", {"Spec": {"Availability": "drain"}})
        with pytest.raises(Unavailable):
            await d.volumes.volume("data").update({}, version=19)


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ({"spec": None}, TypeError),
        ({"spec": "drain"}, TypeError),
        ({"version": -1}, ValueError),
        ({"version": True}, TypeError),
        ({"version": "1"}, TypeError),
    ],
)
async def test_update_refuses(argument: dict[str, Any], error: type[Exception]) -> None:
    arguments: dict[str, Any] = {"spec": {"Group": "g"}, "version": 1} | argument
    async with script() as (engine, d):
        with pytest.raises(error, match=next(iter(argument))):
            await d.volumes.volume("data").update(**arguments)
        assert not engine.requests


async def test_update_needs_a_version() -> None:
    async with script(api_version="1.41") as (engine, d):
        with pytest.raises(UnsupportedByEngine, match=r"needs API 1\.42"):
            await d.volumes.volume("data").update({}, version=1)
        assert not engine.requests


async def test_remove() -> None:
    async with script({"DELETE /volumes/data": [NO_CONTENT, NO_CONTENT, refusal(409), refusal(404)]}) as (engine, d):
        volume = d.volumes.volume("data")
        await volume.remove()
        await volume.remove(force=True)
        assert [sent(request)[:2] for request in engine.requests] == [
            ("DELETE", "/volumes/data?force=0"),
            ("DELETE", "/volumes/data?force=1"),
        ]
        with pytest.raises(Conflict):
            await volume.remove()
        with pytest.raises(NotFound):
            await volume.remove()


# -- prune

PRUNED: Any = {"VolumesDeleted": ["data"], "SpaceReclaimed": 5}


async def test_prune_says_which_volumes_it_means() -> None:
    async with script({"POST /volumes/prune": json_reply(PRUNED)}, api_version="1.42") as (engine, d):
        assert await d.volumes.prune() == PRUNED
        await d.volumes.prune(all=True, filters={"label": {"ci": None}})
        assert [request.query for request in engine.requests] == [
            {"filters": '{"all":["false"]}'},
            {"filters": '{"label":["ci"],"all":["true"]}'},
        ]


async def test_an_engine_that_knows_only_all_of_them_has_to_be_asked_for_all() -> None:
    async with script({"POST /volumes/prune": json_reply(PRUNED)}, api_version="1.41") as (engine, d):
        with pytest.raises(UnsupportedByEngine, match=r"all=True.* needs API 1\.42"):
            await d.volumes.prune(filters={"label": {"ci": None}})
        assert not engine.requests
        assert await d.volumes.prune(all=True) == PRUNED
        assert sent(engine.requests[0]) == ("POST", "/volumes/prune", None)


async def test_all_is_no_filter() -> None:
    async with script(api_version="1.41") as (engine, d):
        with pytest.raises(ValueError, match=r"filters.*prune\(all=True\)"):
            await d.volumes.prune(filters={"all": True})
        assert not engine.requests


# -- the disk


async def test_df() -> None:
    document: Any = {"LayersSize": 5, "Images": None}
    async with script({"GET /system/df": json_reply(document)}, api_version="1.52") as (engine, d):
        assert await d.df() == document
        await d.df(types=["volume", "build-cache"], verbose=True)
        assert [sent(request) for request in engine.requests] == [
            ("GET", "/system/df", None),
            ("GET", "/system/df?type=volume&type=build-cache&verbose=1", None),
        ]


@pytest.mark.parametrize(("api_version", "arguments"), [("1.41", {"types": ["volume"]}), ("1.51", {"verbose": True})])
async def test_df_needs_a_version(api_version: str, arguments: dict[str, Any]) -> None:
    async with script(api_version=api_version) as (engine, d):
        with pytest.raises(UnsupportedByEngine, match=next(iter(arguments))):
            await d.df(**arguments)
        assert not engine.requests


@pytest.mark.parametrize(("types", "error"), [("volume", TypeError), (["volumes"], ValueError), ([""], ValueError)])
async def test_df_refuses_a_type_that_is_none(types: Any, error: type[Exception]) -> None:
    async with script() as (engine, d):
        with pytest.raises(error, match="types"):
            await d.df(types=types)
        assert not engine.requests
