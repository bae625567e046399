"""What ``d.networks`` sends, and what it makes of the answers. A real engine's answers are in tests/live."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import pytest
from anyio import create_task_group, fail_after

import anydocker
from anydocker import (
    BadRequest,
    Conflict,
    Docker,
    DockerError,
    EngineFault,
    Forbidden,
    Ipam,
    IpamPool,
    Network,
    NotFound,
    UnsupportedByEngine,
)
from anydocker.testing import Reply, Request, Route, ScriptedEngine, json_reply, scripted_engine

pytestmark = pytest.mark.anyio

OK = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", keep_alive=True)
NO_CONTENT = Reply(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True)
MADE = json_reply({"Id": "abc", "Warning": ""}, 201)

# What is sent for each argument that is left out.
PLAIN = {"Internal": False, "Attachable": False, "Ingress": False, "ConfigOnly": False}


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


# -- create


async def test_create_sends_the_name_and_what_is_off() -> None:
    async with script({"POST /networks/create": MADE}) as (engine, d):
        network = await d.networks.create("backend")
        assert [sent(request) for request in engine.requests] == [
            ("POST", "/networks/create", {"Name": "backend", **PLAIN})
        ]
    assert (network.id, network.name, network.summary, network.warning) == ("abc", "backend", None, None)


async def test_create_sends_every_argument() -> None:
    ipam = Ipam(
        [
            IpamPool("10.1.0.0/16", ip_range="10.1.5.0/24", gateway="10.1.0.1", aux_addresses={"printer": "10.1.0.9"}),
            IpamPool("fd00:1::/64"),
        ],
        driver="default",
        options={"c": "3"},
    )
    async with script({"POST /networks/create": MADE}, api_version="1.48") as (engine, d):
        await d.networks.create(
            "backend",
            driver="bridge",
            internal=True,
            attachable=True,
            ingress=True,
            enable_ipv4=False,
            enable_ipv6=True,
            labels={"a": "1"},
            options={"b": ""},
            ipam=ipam,
            scope="local",
            config_only=True,
            config_from="other",
        )
        assert sent(engine.requests[0])[2] == {
            "Name": "backend",
            "Driver": "bridge",
            "Internal": True,
            "Attachable": True,
            "Ingress": True,
            "EnableIPv4": False,
            "EnableIPv6": True,
            "Labels": {"a": "1"},
            "Options": {"b": ""},
            "IPAM": {
                "Driver": "default",
                "Config": [
                    {
                        "Subnet": "10.1.0.0/16",
                        "IPRange": "10.1.5.0/24",
                        "Gateway": "10.1.0.1",
                        "AuxiliaryAddresses": {"printer": "10.1.0.9"},
                    },
                    {"Subnet": "fd00:1::/64"},
                ],
                "Options": {"c": "3"},
            },
            "Scope": "local",
            "ConfigOnly": True,
            "ConfigFrom": {"Network": "other"},
        }


async def test_config_is_merged_and_wins() -> None:
    async with script({"POST /networks/create": MADE}) as (engine, d):
        config = {"Labels": {"b": "2"}, "Driver": "macvlan", "New": [1], "Name": "other"}
        network = await d.networks.create("backend", driver="bridge", labels={"a": "1"}, config=config)
        document = sent(engine.requests[0])[2]
    assert document == PLAIN | {"Name": "other", "Driver": "macvlan", "Labels": {"a": "1", "b": "2"}, "New": [1]}
    assert network.name == "other"


async def test_ipam_may_be_the_engines_own_document() -> None:
    document = {"Config": [{"Subnet": "10.1.0.0/16"}], "Driver": "x"}
    async with script({"POST /networks/create": MADE}) as (engine, d):
        await d.networks.create("backend", ipam=document)
        assert sent(engine.requests[0])[2]["IPAM"] == document


async def test_an_ipam_without_pools_leaves_the_addresses_to_the_engine() -> None:
    assert Ipam().document() == {}
    assert Ipam(driver="x").document() == {"Driver": "x"}


@pytest.mark.parametrize(("api_version", "expected"), [("1.43", True), ("1.44", None)])
async def test_an_engine_that_allows_it_is_told_not_to_make_a_second_one(
    api_version: str, expected: bool | None
) -> None:
    async with script({"POST /networks/create": MADE}, api_version=api_version) as (engine, d):
        await d.networks.create("backend")
        assert sent(engine.requests[0])[2].get("CheckDuplicate") is expected


async def test_a_warning_is_kept_on_the_handle() -> None:
    reply = json_reply({"Id": "abc", "Warning": "Network with name x exists on a node"}, 201)
    async with script({"POST /networks/create": reply}) as (_, d):
        assert (await d.networks.create("x")).warning == "Network with name x exists on a node"


async def test_enable_ipv4_needs_a_version() -> None:
    async with script(api_version="1.47") as (engine, d):
        with pytest.raises(UnsupportedByEngine, match=r"enable_ipv4.* needs API 1\.48"):
            await d.networks.create("x", enable_ipv4=True)
        assert not engine.requests


BAD_CREATE = [
    ({"name": ""}, ValueError),
    ({"name": " "}, ValueError),
    ({"name": ".."}, ValueError),
    ({"name": "a\nb"}, ValueError),
    ({"name": 1}, TypeError),
    ({"name": None}, TypeError),
    ({"driver": ""}, ValueError),
    ({"driver": 1}, TypeError),
    ({"scope": " "}, ValueError),
    ({"config_from": ""}, ValueError),
    ({"internal": 1}, TypeError),
    ({"attachable": "yes"}, TypeError),
    ({"ingress": None}, TypeError),
    ({"config_only": 0}, TypeError),
    ({"enable_ipv4": "no"}, TypeError),
    ({"enable_ipv6": "no"}, TypeError),
    ({"labels": {"a": 1}}, TypeError),
    ({"labels": {1: "a"}}, TypeError),
    ({"labels": ["a"]}, TypeError),
    ({"labels": {"": "a"}}, ValueError),
    ({"options": {"a": None}}, TypeError),
    ({"options": "a=b"}, TypeError),
    ({"ipam": "10.1.0.0/16"}, TypeError),
    ({"ipam": [IpamPool("10.1.0.0/16")]}, TypeError),
    ({"config": [("a", 1)]}, TypeError),
    ({"config": {1: 2}}, TypeError),
]


@pytest.mark.parametrize(("argument", "error"), BAD_CREATE)
async def test_a_bad_argument_is_named_and_nothing_is_sent(argument: dict[str, Any], error: type[Exception]) -> None:
    arguments: dict[str, Any] = {"name": "x"} | argument
    async with script() as (engine, d):
        with pytest.raises(error, match=next(iter(argument))):
            await d.networks.create(**arguments)
        with pytest.raises(error, match=next(iter(argument))):
            async with d.networks.open_create(**arguments):
                raise AssertionError("the block began")
        assert not engine.requests


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"subnet": ""}, ValueError),
        ({"subnet": "10.1.0.0"}, ValueError),
        ({"subnet": "10.1.0.1/16"}, ValueError),
        ({"subnet": "10.1.0.0/33"}, ValueError),
        ({"subnet": "10.1.0.0/255.255.0.0"}, ValueError),
        ({"subnet": "300.1.0.0/16"}, ValueError),
        ({"subnet": "fd00::1/64"}, ValueError),
        ({"subnet": 10}, TypeError),
        ({"subnet": None}, TypeError),
        ({"ip_range": "10.1.5.0"}, ValueError),
        ({"ip_range": "10.2.5.0/24"}, ValueError),
        ({"ip_range": "10.0.0.0/8"}, ValueError),
        ({"ip_range": "10.0.0.0/8", "subnet": "10.0.0.0/16"}, ValueError),
        ({"ip_range": "fd00::/64"}, ValueError),
        ({"ip_range": 10}, TypeError),
        ({"gateway": "10.1.0.1/16"}, ValueError),
        ({"gateway": "10.2.0.1"}, ValueError),
        ({"gateway": "fd00::1"}, ValueError),
        ({"gateway": ""}, ValueError),
        ({"gateway": 1}, TypeError),
        ({"aux_addresses": {"a": "10.2.0.1"}}, ValueError),
        ({"aux_addresses": {"a": "printer"}}, ValueError),
        ({"aux_addresses": {"": "10.1.0.1"}}, ValueError),
        ({"aux_addresses": {"a": 1}}, TypeError),
        ({"aux_addresses": ["10.1.0.1"]}, TypeError),
    ],
)
def test_a_pool_that_is_none(arguments: dict[str, Any], error: type[Exception]) -> None:
    all_arguments: dict[str, Any] = {"subnet": "10.1.0.0/16"} | arguments
    with pytest.raises(error, match=next(iter(arguments))):
        IpamPool(**all_arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"pools": IpamPool("10.1.0.0/16")}, TypeError),
        ({"pools": ["10.1.0.0/16"]}, TypeError),
        ({"pools": "10.1.0.0/16"}, TypeError),
        ({"driver": ""}, ValueError),
        ({"driver": 1}, TypeError),
        ({"options": {"a": 1}}, TypeError),
    ],
)
def test_an_ipam_that_is_none(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(arguments))):
        Ipam(**arguments)


def test_a_range_may_be_the_whole_subnet() -> None:
    assert IpamPool("10.1.0.0/16", ip_range="10.1.0.0/16").document() == {
        "Subnet": "10.1.0.0/16",
        "IPRange": "10.1.0.0/16",
    }


@pytest.mark.parametrize(
    ("status", "error"), [(400, BadRequest), (403, Forbidden), (404, NotFound), (409, Conflict), (500, EngineFault)]
)
async def test_create_is_refused(status: int, error: type[DockerError]) -> None:
    async with script({"POST /networks/create": refusal(status)}) as (_, d):
        with pytest.raises(error, match="no such luck"):
            await d.networks.create("x")


# -- create, cancelled


async def test_a_cancelled_create_leaves_nothing() -> None:
    routes: dict[str, Route] = {
        "POST /networks/create": attrs.evolve(MADE, stall_at=0),
        "DELETE /networks/abc": NO_CONTENT,
    }
    async with script(routes) as (engine, d):
        async with create_task_group() as tasks:
            tasks.start_soon(d.networks.create, "x")
            await engine.wait_stalled()
            tasks.cancel_scope.cancel()
            engine.resume()
        assert [sent(request)[:2] for request in engine.requests] == [
            ("POST", "/networks/create"),
            ("DELETE", "/networks/abc"),
        ]
        await engine.wait_connections(d.statistics().idle_connections)


async def test_a_cancelled_create_that_is_refused_removes_nothing() -> None:
    async with script({"POST /networks/create": attrs.evolve(refusal(409), stall_at=0)}) as (engine, d):
        async with create_task_group() as tasks:
            tasks.start_soon(d.networks.create, "x")
            await engine.wait_stalled()
            tasks.cancel_scope.cancel()
            engine.resume()
        assert [request.method for request in engine.requests] == ["POST"]


# -- for as long as a block lasts


async def test_the_end_of_the_block_removes_the_network() -> None:
    async with script({"POST /networks/create": MADE, "DELETE /networks/abc": NO_CONTENT}) as (engine, d):
        async with d.networks.open_create("x", internal=True) as network:
            assert network == d.networks.network("abc")
            assert [sent(request) for request in engine.requests] == [
                ("POST", "/networks/create", PLAIN | {"Name": "x", "Internal": True})
            ]
        assert sent(engine.requests[-1]) == ("DELETE", "/networks/abc", None)


async def test_an_error_in_the_block_comes_out_and_the_network_is_removed() -> None:
    async with script({"POST /networks/create": MADE, "DELETE /networks/abc": NO_CONTENT}) as (engine, d):
        with pytest.raises(ZeroDivisionError, match="mine"):
            async with d.networks.open_create("x"):
                raise ZeroDivisionError("mine")
        assert engine.requests[-1].method == "DELETE"


async def test_a_network_that_is_gone_at_the_end_of_the_block_is_no_error() -> None:
    async with script({"POST /networks/create": MADE, "DELETE /networks/abc": refusal(404)}) as (engine, d):
        async with d.networks.open_create("x") as network:
            assert network.name == "x"
        assert [request.method for request in engine.requests] == ["POST", "DELETE"]


@pytest.mark.parametrize("status", [403, 409])
async def test_what_is_still_attached_is_detached_first(status: int) -> None:
    attached = {"c1": {"Name": "web"}, "ep-2": {"Name": "left-behind"}}
    routes: dict[str, Route] = {
        "POST /networks/create": MADE,
        "DELETE /networks/abc": [refusal(status), NO_CONTENT],
        "GET /networks/abc": json_reply({"Id": "abc", "Containers": attached}),
        # The first one has been detached by somebody else meanwhile.
        "POST /networks/abc/disconnect": [refusal(403), OK],
    }
    async with script(routes) as (engine, d):
        async with d.networks.open_create("x"):
            engine.requests.clear()
        assert [sent(request) for request in engine.requests] == [
            ("DELETE", "/networks/abc", None),
            ("GET", "/networks/abc", None),
            ("POST", "/networks/abc/disconnect", {"Container": "web", "Force": True}),
            ("POST", "/networks/abc/disconnect", {"Container": "left-behind", "Force": True}),
            ("DELETE", "/networks/abc", None),
        ]


@pytest.mark.parametrize("containers", [None, {}])
async def test_a_refusal_without_a_reason_is_tried_again(containers: object) -> None:
    routes: dict[str, Route] = {
        "POST /networks/create": MADE,
        "DELETE /networks/abc": [refusal(403), refusal(403), refusal(403), refusal(404)],
        "GET /networks/abc": [json_reply({"Containers": containers}), json_reply({}), refusal(404)],
    }
    async with script(routes) as (engine, d):
        async with d.networks.open_create("x"):
            engine.requests.clear()
        assert [request.method for request in engine.requests] == ["DELETE", "GET"] * 3 + ["DELETE"]


async def test_a_cancelled_block_removes_the_network() -> None:
    routes: dict[str, Route] = {"POST /networks/create": MADE, "DELETE /networks/abc": NO_CONTENT}
    async with script(routes) as (engine, d):
        async with create_task_group() as tasks, d.networks.open_create("x"):
            tasks.cancel_scope.cancel()
        assert [request.method for request in engine.requests] == ["POST", "DELETE"]


# -- look up


async def test_list() -> None:
    documents: list[Any] = [{"Id": "a1", "Name": "bridge", "Driver": "bridge"}, {"Id": "b2", "Name": "own"}]
    async with script({"GET /networks": json_reply(documents)}) as (engine, d):
        networks = await d.networks.list()
        assert sent(engine.requests[0]) == ("GET", "/networks", None)
        await d.networks.list(filters={"label": {"a": "1"}, "dangling": True})
        assert engine.requests[1].query == {"filters": '{"label":["a=1"],"dangling":["true"]}'}
    assert [(one.id, one.name, one.summary) for one in networks] == [
        ("a1", "bridge", documents[0]),
        ("b2", "own", documents[1]),
    ]


async def test_get() -> None:
    async with script({"GET /networks/own": json_reply({"Id": "a1", "Name": "own"})}) as (engine, d):
        network = await d.networks.get("own")
        await d.networks.get("own", scope="swarm")
        assert [sent(request)[1] for request in engine.requests] == ["/networks/own", "/networks/own?scope=swarm"]
    assert (network.id, network.name, network.summary) == ("a1", "own", None)


async def test_inspect() -> None:
    document: Any = {"Id": "a1", "Name": "own", "Containers": None, "Unheard": [1]}
    async with script({"GET /networks/a1": json_reply(document)}) as (engine, d):
        assert await d.networks.network("a1").inspect() == document
        await d.networks.network("a1").inspect(verbose=True, scope="swarm")
        assert [sent(request)[1] for request in engine.requests] == [
            "/networks/a1",
            "/networks/a1?verbose=1&scope=swarm",
        ]
        with pytest.raises(NotFound):
            await d.networks.network("b2").inspect()


async def test_a_blank_scope_is_refused() -> None:
    async with script() as (engine, d):
        with pytest.raises(ValueError, match="scope"):
            await d.networks.get("own", scope="")
        with pytest.raises(ValueError, match="scope"):
            await d.networks.network("own").inspect(scope=" ")
        assert not engine.requests


@pytest.mark.parametrize("key", ["", " ", ".", "..", "../images", "a/../b", "a//b", "a/", "a\0b", "a\nb", "\x7f"])
async def test_an_id_that_would_change_the_path_is_refused(key: str) -> None:
    async with script() as (engine, d):
        with pytest.raises(ValueError, match="network"):
            d.networks.network(key)
        with pytest.raises(ValueError, match="network"):
            await d.networks.get(key)
        assert not engine.requests


@pytest.mark.parametrize("key", ["a b", "a?all=1", "a#b", "%2e%2e", "ä", "a/b"])
async def test_an_odd_name_reaches_the_engine_as_it_is(key: str) -> None:
    async with script() as (engine, d):
        with pytest.raises(NotFound):
            await d.networks.get(key)
        assert engine.requests[0].path == f"/networks/{key}"


async def test_handles_are_values() -> None:
    async with script() as (_, d):
        network = d.networks.network("abc")
        assert network == d.networks.network("abc") != d.networks.network("abd")
        assert hash(network) == hash(d.networks.network("abc"))
        assert repr(network) == "Network(id='abc', name=None)"
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(network, "id", "abd")  # noqa: B010 - a type checker would object to the assignment


# -- connect


async def test_connect_with_nothing_but_the_container() -> None:
    async with script({"POST /networks/abc/connect": OK}) as (engine, d):
        network = d.networks.network("abc")
        await network.connect("web")
        await network.connect(d.containers.container("c1"))
        assert [sent(request) for request in engine.requests] == [
            ("POST", "/networks/abc/connect", {"Container": "web", "EndpointConfig": {}}),
            ("POST", "/networks/abc/connect", {"Container": "c1", "EndpointConfig": {}}),
        ]


async def test_connect_sends_every_argument() -> None:
    async with script({"POST /networks/abc/connect": OK}, api_version="1.54") as (engine, d):
        await d.networks.network("abc").connect(
            "web",
            ipv4="10.1.0.5",
            ipv6="fd00::5",
            aliases=["www", "site"],
            links={"db": "database"},
            mac_address="02:42:0a:01:00:05",
            driver_opts={"a": "1"},
            config={"EndpointConfig": {"GwPriority": 1, "DriverOpts": {"b": "2"}}},
        )
        assert sent(engine.requests[0])[2] == {
            "Container": "web",
            "EndpointConfig": {
                "IPAMConfig": {"IPv4Address": "10.1.0.5", "IPv6Address": "fd00::5"},
                "Aliases": ["www", "site"],
                "Links": ["db:database"],
                "MacAddress": "02:42:0a:01:00:05",
                "DriverOpts": {"a": "1", "b": "2"},
                "GwPriority": 1,
            },
        }


async def test_an_engine_that_would_ignore_a_hardware_address_is_not_asked() -> None:
    async with script(api_version="1.53") as (engine, d):
        with pytest.raises(UnsupportedByEngine, match=r"mac_address.* needs API 1\.54"):
            await d.networks.network("abc").connect("web", mac_address="02-42-0A-01-00-05")
        assert not engine.requests


async def test_podman_takes_a_hardware_address_whatever_version_it_speaks() -> None:
    ping = Reply(
        b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 5.4.0\r\nContent-Length: 2\r\n\r\n",
        keep_alive=True,
    )
    async with script({"HEAD /_ping": ping, "POST /networks/abc/connect": OK}, api_version="1.41") as (engine, d):
        await d.networks.network("abc").connect("web", mac_address="02-42-0A-01-00-05")
        assert sent(engine.requests[0])[2]["EndpointConfig"] == {"MacAddress": "02-42-0A-01-00-05"}


BAD_CONNECT = [
    ({"container": ""}, ValueError),
    ({"container": ".."}, ValueError),
    ({"container": None}, TypeError),
    ({"ipv4": "10.1.0"}, ValueError),
    ({"ipv4": "10.1.0.5/24"}, ValueError),
    ({"ipv4": "fd00::5"}, ValueError),
    ({"ipv4": 5}, TypeError),
    ({"ipv6": "10.1.0.5"}, ValueError),
    ({"ipv6": ""}, ValueError),
    ({"aliases": "www"}, TypeError),
    ({"aliases": [1]}, TypeError),
    ({"aliases": [""]}, ValueError),
    ({"links": {"db": 1}}, TypeError),
    ({"links": ["db:database"]}, TypeError),
    ({"mac_address": ""}, ValueError),
    ({"mac_address": "02:42"}, ValueError),
    ({"mac_address": "02:42:0a:01:00:05:06:07"}, ValueError),
    ({"mac_address": "02:42:0a:01:00:0g"}, ValueError),
    ({"mac_address": "02:42:0a:01:00:05\n"}, ValueError),
    ({"mac_address": 2}, TypeError),
    ({"driver_opts": {"a": 1}}, TypeError),
    ({"config": "x"}, TypeError),
]


@pytest.mark.parametrize(("argument", "error"), BAD_CONNECT)
async def test_connect_refuses(argument: dict[str, Any], error: type[Exception]) -> None:
    arguments: dict[str, Any] = {"container": "web"} | argument
    async with script() as (engine, d):
        with pytest.raises(error, match=next(iter(argument))):
            await d.networks.network("abc").connect(**arguments)
        assert not engine.requests


async def test_disconnect() -> None:
    async with script({"POST /networks/abc/disconnect": OK}) as (engine, d):
        network = d.networks.network("abc")
        await network.disconnect("web")
        await network.disconnect(d.containers.container("c1"), force=True)
        assert [sent(request) for request in engine.requests] == [
            ("POST", "/networks/abc/disconnect", {"Container": "web", "Force": False}),
            ("POST", "/networks/abc/disconnect", {"Container": "c1", "Force": True}),
        ]


@pytest.mark.parametrize(
    ("argument", "error"), [({"container": " "}, ValueError), ({"container": 1}, TypeError), ({"force": 1}, TypeError)]
)
async def test_disconnect_refuses(argument: dict[str, Any], error: type[Exception]) -> None:
    arguments: dict[str, Any] = {"container": "web"} | argument
    async with script() as (engine, d):
        with pytest.raises(error, match=next(iter(argument))):
            await d.networks.network("abc").disconnect(**arguments)
        assert not engine.requests


# -- remove


async def test_remove() -> None:
    async with script({"DELETE /networks/abc": [NO_CONTENT, refusal(403), refusal(404)]}) as (engine, d):
        network: Network = d.networks.network("abc")
        await network.remove()
        assert sent(engine.requests[0]) == ("DELETE", "/networks/abc", None)
        with pytest.raises(Forbidden):
            await network.remove()
        with pytest.raises(NotFound):
            await network.remove()


async def test_prune() -> None:
    async with script({"POST /networks/prune": json_reply({"NetworksDeleted": ["x"]})}) as (engine, d):
        assert await d.networks.prune() == {"NetworksDeleted": ["x"]}
        await d.networks.prune(filters={"until": "24h"})
        assert sent(engine.requests[0]) == ("POST", "/networks/prune", None)
        assert engine.requests[1].query == {"filters": '{"until":["24h"]}'}


async def test_every_call_gives_its_connection_back() -> None:
    routes: dict[str, Route] = {
        "GET /networks": json_reply([]),
        "POST /networks/create": MADE,
        "DELETE /networks/abc": NO_CONTENT,
        "POST /networks/abc/*": OK,
    }
    async with script(routes) as (engine, d):
        network = d.networks.network("abc")
        calls: list[Callable[[], Awaitable[object]]] = [
            d.networks.list,
            partial(d.networks.create, "x"),
            partial(network.connect, "web"),
            partial(network.disconnect, "web"),
            network.remove,
        ]
        for call in calls:
            await call()
            assert d.statistics().open_streams == 0
        await engine.wait_connections(d.statistics().idle_connections)
