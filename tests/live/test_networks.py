from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import CancelScope, create_task_group, sleep

from anydocker import (
    APIError,
    Conflict,
    Container,
    ContainerOptions,
    Docker,
    Forbidden,
    Ipam,
    IpamPool,
    Network,
    NotFound,
    UnsupportedByEngine,
)
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]


SLEEP = ["sleep", "86400"]
SERVE = ["sh", "-c", "echo $NAME > /name; exec httpd -f -p 80 -h /"]
# No name that the engine does not know is looked up anywhere else.
ALONE = ContainerOptions(dns=["127.0.0.1"])
POOL = IpamPool(
    "10.213.0.0/16", ip_range="10.213.5.0/24", gateway="10.213.0.9", aux_addresses={"printer": "10.213.5.1"}
)


@pytest.fixture
async def network(docker: Docker, label: str) -> AsyncGenerator[Network, None]:
    """A network of the test's own, with addresses that are known."""
    async with docker.networks.open_create(label, labels={label: "yes"}, ipam=Ipam([POOL])) as network:
        yield network


@asynccontextmanager
async def running(
    docker: Docker, *, name: str | None = None, network: str = "bridge"
) -> AsyncGenerator[Container, None]:
    async with docker.containers.open_run("busybox", SLEEP, name=name, network=network, options=ALONE) as container:
        yield container


async def truth(cli: CLI, network: Network) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(await cli("network", "inspect", network.id))[0]
    return document


async def left(docker: Docker, label: str) -> list[Network]:
    return await docker.networks.list(filters={"label": label})


async def fetch(docker: Docker, network: str, host: str) -> str:
    """What a server says that may just be starting, seen from a container in the network."""
    command = ["sh", "-c", f"until wget -q -O- http://{host}/name 2> /dev/null; do sleep 0.1; done"]
    done = await docker.containers.run("busybox", command, network=network, options=ALONE)
    return done.stdout.decode().strip()


# -- create


async def test_create(docker: Docker, label: str, cli: CLI) -> None:
    network = await docker.networks.create(
        label,
        driver="bridge",
        internal=True,
        attachable=True,
        labels={"a": "1", "b": ""},
        options={"com.docker.network.bridge.enable_icc": "true"},
        ipam=Ipam([POOL], driver="default"),
        config={"Labels": {"c": "3"}},
    )
    found = await truth(cli, network)
    assert (network.id, network.name, network.summary, network.warning) == (found["Id"], label, None, None)
    assert (found["Name"], found["Driver"], found["Scope"]) == (label, "bridge", "local")
    assert (found["Internal"], found["Attachable"], found["Ingress"], found["EnableIPv6"]) == (True, True, False, False)
    assert found["Labels"] == {"a": "1", "b": "", "c": "3"}
    assert found["Options"] == {"com.docker.network.bridge.enable_icc": "true"}
    assert found["IPAM"]["Config"] == [
        {
            "Subnet": "10.213.0.0/16",
            "IPRange": "10.213.5.0/24",
            "Gateway": "10.213.0.9",
            "AuxiliaryAddresses": {"printer": "10.213.5.1"},
        }
    ]
    assert await network.inspect() == found
    await network.remove()
    with pytest.raises(NotFound):
        await network.inspect()


async def test_create_with_nothing_but_a_name(docker: Docker, label: str) -> None:
    network = await docker.networks.create(label)
    document = await network.inspect()
    assert (document["Driver"], document["Internal"]) == ("bridge", False)
    assert document["IPAM"]["Config"]
    await network.remove()


async def test_a_name_that_is_taken(docker: Docker, network: Network) -> None:
    assert network.name is not None
    with pytest.raises(Conflict, match="already exists"):
        await docker.networks.create(network.name)
    assert len(await docker.networks.list(filters={"name": network.name})) == 1


async def test_create_is_refused(docker: Docker, network: Network, label: str) -> None:
    with pytest.raises(APIError, match=r"(?i)overlaps|already used"):
        await docker.networks.create(f"{label}-2", ipam=Ipam([IpamPool("10.213.5.0/24")]))
    with pytest.raises(NotFound, match=f"{label}-none"):
        await docker.networks.create(f"{label}-2", config_from=f"{label}-none")
    with pytest.raises(Forbidden):
        await docker.networks.create("bridge")


async def test_a_configuration_for_others(docker: Docker, label: str) -> None:
    async with (
        docker.networks.open_create(f"{label}-config", config_only=True, ipam=Ipam([POOL])) as kept,
        docker.networks.open_create(label, config_from=f"{label}-config") as network,
    ):
        assert (await kept.inspect())["ConfigOnly"] is True
        document = await network.inspect()
    assert document["ConfigFrom"]["Network"] == f"{label}-config"
    assert [pool["Subnet"] for pool in document["IPAM"]["Config"] or ()] == ["10.213.0.0/16"]


async def test_enable_ipv4(docker: Docker, label: str) -> None:
    if docker.speaks("1.48"):
        async with docker.networks.open_create(label, enable_ipv4=True) as network:
            assert (await network.inspect())["EnableIPv4"] is True
    else:
        with pytest.raises(UnsupportedByEngine):
            await docker.networks.create(label, enable_ipv4=True)


async def test_enable_ipv6(docker: Docker, label: str) -> None:
    pools = [POOL, IpamPool("fd00:213::/64", gateway="fd00:213::9")]
    async with (
        docker.networks.open_create(label, enable_ipv6=True, ipam=Ipam(pools)) as network,
        running(docker) as container,
    ):
        await network.connect(container, ipv6="fd00:213::77")
        done = await docker.containers.run("busybox", ["ping6", "-c", "1", "fd00:213::77"], network=label)
    assert b"1 packets received" in done.stdout


# -- look up


async def test_list(docker: Docker, network: Network, label: str) -> None:
    [found] = await docker.networks.list(filters={"label": {label: "yes"}})
    assert found == network
    assert found.name == label
    assert found.summary is not None
    assert found.summary["Labels"] == {label: "yes"}
    assert network in await docker.networks.list()
    assert {"bridge", "host", "none"} <= {one.name for one in await docker.networks.list()}
    assert await docker.networks.list(filters={"name": f"{label}-none"}) == []


async def test_get(docker: Docker, network: Network, label: str) -> None:
    for key in (label, network.id, network.id[:12]):
        found = await docker.networks.get(key)
        assert (found, found.name) == (network, label)
    assert await docker.networks.get(label, scope="local") == network
    with pytest.raises(NotFound):
        await docker.networks.get(label, scope="swarm")
    with pytest.raises(NotFound, match=f"{label}-none"):
        await docker.networks.get(f"{label}-none")


async def test_inspect_with_services(network: Network) -> None:
    assert (await network.inspect(verbose=True))["Id"] == network.id


# -- containers in a network


async def test_containers_reach_each_other_by_name_and_alias(docker: Docker, network: Network, label: str) -> None:
    server = docker.containers.open_run(
        "busybox",
        SERVE,
        name=f"{label}-server",
        env={"NAME": label},
        network=label,
        options=ContainerOptions(aliases=["www"]),
    )
    async with server:
        assert await fetch(docker, label, f"{label}-server") == label
        assert await fetch(docker, label, "www") == label


async def test_connect_gives_a_running_container_an_alias(docker: Docker, network: Network, label: str) -> None:
    async with docker.containers.open_run("busybox", SERVE, env={"NAME": label}, network="bridge") as server:
        await network.connect(server, aliases=["www", "site"])
        assert await fetch(docker, label, "site") == label


async def test_connect_with_a_link(docker: Docker, network: Network, label: str) -> None:
    async with (
        docker.containers.open_run("busybox", SERVE, name=f"{label}-db", env={"NAME": label}, network=label),
        running(docker) as client,
    ):
        await network.connect(client, links={f"{label}-db": "database"})
        command = "until wget -q -O- http://database/name 2> /dev/null; do sleep 0.1; done"
        done = await client.exec(["sh", "-c", command])
    assert done.stdout.decode().strip() == label


async def test_connect_with_an_address(docker: Docker, network: Network, label: str) -> None:
    async with running(docker) as container:
        await network.connect(container, ipv4="10.213.7.7")
        attached = (await network.inspect())["Containers"] or {}
        assert attached[container.id]["IPv4Address"] == "10.213.7.7/16"
        assert b"inet 10.213.7.7/16" in (await container.exec(["ip", "address"])).stdout
        async with running(docker) as other:
            with pytest.raises(Forbidden, match=r"(?i)already in use"):
                await network.connect(other, ipv4="10.213.7.7")
            with pytest.raises(APIError, match=r"10\.214\.0\.1"):
                await network.connect(other, ipv4="10.214.0.1")


async def test_addresses_come_from_the_range(docker: Docker, network: Network, label: str) -> None:
    done = await docker.containers.run("busybox", ["ip", "route"], network=label)
    assert b"default via 10.213.0.9 " in done.stdout
    assert b" src 10.213.5." in done.stdout
    # The first one of the range is the printer's.
    assert b" src 10.213.5.1 " not in done.stdout


async def test_a_container_connects_before_it_starts(docker: Docker, network: Network, label: str) -> None:
    container = await docker.containers.create("busybox", ["ip", "address"], name=label)
    await network.connect(label, ipv4="10.213.7.8")
    await container.start()
    await container.wait()
    async with container.open_logs() as log:
        assert b"inet 10.213.7.8/16" in (await log.read()).stdout
    await container.remove()


async def test_disconnect(docker: Docker, network: Network, label: str) -> None:
    async with running(docker, network=label) as container:
        assert container.id in ((await network.inspect())["Containers"] or {})
        await network.disconnect(container)
        assert (await network.inspect())["Containers"] == {}
        with pytest.raises(APIError, match="not connected"):
            await network.disconnect(container)
        await network.connect(container.id)
        await network.disconnect(container.id[:12], force=True)
        assert (await network.inspect())["Containers"] == {}


async def test_connect_is_refused(docker: Docker, network: Network, label: str) -> None:
    with pytest.raises(NotFound, match=f"{label}-none"):
        await network.connect(f"{label}-none")
    with pytest.raises(NotFound, match=f"{label}-none"):
        await network.disconnect(f"{label}-none")
    async with running(docker, network=label) as container:
        with pytest.raises(Forbidden, match="already exists"):
            await network.connect(container)
        with pytest.raises(NotFound):
            await docker.networks.network(f"{label}-none").connect(container)


async def test_a_hardware_address(docker: Docker, network: Network) -> None:
    async with running(docker) as container:
        if docker.speaks("1.54") or docker.is_podman:
            await network.connect(container, mac_address="02:42:0a:d5:07:07")
            assert b"02:42:0a:d5:07:07" in (await container.exec(["ip", "link"])).stdout
        else:
            with pytest.raises(UnsupportedByEngine):
                await network.connect(container, mac_address="02:42:0a:d5:07:07")
            assert (await network.inspect())["Containers"] == {}


async def test_containers_of_two_networks_do_not_meet(docker: Docker, network: Network, label: str) -> None:
    async with docker.networks.open_create(f"{label}-2", internal=True) as other, running(docker) as server:
        await network.connect(server, ipv4="10.213.7.9")
        apart = await docker.containers.run(
            "busybox", ["ping", "-c", "1", "-W", "1", "10.213.7.9"], network=f"{label}-2", check=False
        )
        assert apart.exit_code == 1
        await other.connect(server, aliases=["server"])
        together = await docker.containers.run("busybox", ["ping", "-c", "1", "server"], network=f"{label}-2")
        assert b"1 packets received" in together.stdout


# -- remove


async def test_a_network_in_use_stays(docker: Docker, network: Network, label: str) -> None:
    async with running(docker, network=label):
        with pytest.raises((Forbidden, Conflict), match=r"active endpoints|in use"):
            await network.remove()
    assert (await network.inspect())["Containers"] == {}


async def test_remove_is_refused(docker: Docker, label: str) -> None:
    with pytest.raises(Forbidden, match="pre-defined"):
        await docker.networks.network("bridge").remove()
    with pytest.raises(NotFound):
        await docker.networks.network(f"{label}-none").remove()


async def test_prune(docker: Docker, network: Network, label: str) -> None:
    unused = f"{label}-unused"
    await docker.networks.create(unused, labels={label: "yes"})
    async with running(docker, network=label):
        report = await docker.networks.prune(filters={"label": {label: "yes"}})
    assert report["NetworksDeleted"] == [unused]
    assert await left(docker, label) == [network]


# -- for as long as a block lasts


async def test_the_end_of_the_block_detaches_what_is_left(docker: Docker, label: str) -> None:
    async with running(docker) as container:
        async with docker.networks.open_create(label, labels={label: ""}) as network:
            await network.connect(container)
            assert await left(docker, label) == [network]
        assert not await left(docker, label)
        assert set((await container.inspect())["NetworkSettings"]["Networks"] or {}) == {"bridge"}


async def test_a_network_removed_in_the_block_is_no_error(docker: Docker, label: str) -> None:
    async with docker.networks.open_create(label, labels={label: ""}) as network:
        await network.remove()
    assert not await left(docker, label)


async def test_a_cancelled_block_leaves_nothing(docker: Docker, label: str) -> None:
    async with running(docker) as container:
        with CancelScope() as scope:
            async with docker.networks.open_create(label, labels={label: ""}) as network:
                await network.connect(container)
                scope.cancel()
                await docker.ping()
        assert scope.cancelled_caught
        assert not await left(docker, label)


async def test_an_error_comes_out_of_the_block_as_it_is(docker: Docker, label: str) -> None:
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught:
        async with docker.networks.open_create(label, labels={label: ""}):
            raise error
    assert caught.value is error
    assert not await left(docker, label)


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 4, 8, 16, 32, 64])
async def test_a_create_cancelled_at_any_time_leaves_nothing(docker: Docker, label: str, milliseconds: int) -> None:
    made: list[Network] = []

    async def create() -> None:
        made.append(await docker.networks.create(label, labels={label: ""}))

    async with create_task_group() as tasks:
        tasks.start_soon(create)
        await sleep(milliseconds / 1000)
        tasks.cancel_scope.cancel()
    assert await left(docker, label) == made
    for network in made:
        await network.remove()
