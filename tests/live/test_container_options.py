from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import attrs
import pytest
from anyio.to_thread import run_sync

from anydocker import (
    APIError,
    Conflict,
    Container,
    ContainerOptions,
    Device,
    Docker,
    HealthCheck,
    Mount,
    NotFound,
    Ulimit,
    UnsupportedByEngine,
)

pytestmark = [pytest.mark.anyio, pytest.mark.live]

MIB = 1024 * 1024
WAITS = ["sleep", "86400"]
# Ends at once when it is told to.
OBEYS = ["sh", "-c", "trap 'exit 3' TERM; trap 'exit 4' INT; while :; do sleep 1000 & wait $!; done"]


async def shown(docker: Docker, *command: str, network: str = "none", **options: Any) -> str:
    """What a command says in a container with these options."""
    done = await docker.containers.run("busybox", command, network=network, options=ContainerOptions(**options))
    return done.stdout.decode().strip()


# -- what the engine understands


# Options that go together, and what the engine has made of them.
CONFIG: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"hostname": "box", "domainname": "example"}, {"Hostname": "box", "Domainname": "example"}),
    ({"stop_signal": "SIGINT", "stop_grace_seconds": 3}, {"StopSignal": "SIGINT", "StopTimeout": 3}),
    (
        {
            "healthcheck": HealthCheck(
                command=["test", "-f", "/ok"], interval_seconds=1.5, probe_seconds=2, start_seconds=3, retries=4
            )
        },
        {
            "Healthcheck": {
                "Test": ["CMD", "test", "-f", "/ok"],
                "Interval": 1_500_000_000,
                "Timeout": 2_000_000_000,
                "StartPeriod": 3_000_000_000,
                "Retries": 4,
            }
        },
    ),
]
HOST: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {
            "memory": 64 * MIB,
            "memory_swap": 128 * MIB,
            "memory_reservation": 32 * MIB,
            "oom_kill_disable": False,
            "oom_score_adj": 500,
            "shm_size": 3 * MIB,
            "pids_limit": 50,
        },
        {
            "Memory": 64 * MIB,
            "MemorySwap": 128 * MIB,
            "MemoryReservation": 32 * MIB,
            "OomKillDisable": False,
            "OomScoreAdj": 500,
            "ShmSize": 3 * MIB,
            "PidsLimit": 50,
        },
    ),
    (
        {"cpu_shares": 512, "cpu_period": 50_000, "cpu_quota": 25_000, "cpuset_cpus": "0", "cpuset_mems": "0"},
        {"CpuShares": 512, "CpuPeriod": 50_000, "CpuQuota": 25_000, "CpusetCpus": "0", "CpusetMems": "0"},
    ),
    ({"cpus": 1.5, "init": True, "auto_remove": True}, {"NanoCpus": 1_500_000_000, "Init": True, "AutoRemove": True}),
    ({"restart": "unless-stopped"}, {"RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0}}),
    ({"restart": "on-failure:3"}, {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}),
    (
        {"ulimits": [Ulimit("nofile", 100, 200), Ulimit("core", 0)], "sysctls": {"net.core.somaxconn": "77"}},
        {
            "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}, {"Name": "core", "Soft": 0, "Hard": 0}],
            "Sysctls": {"net.core.somaxconn": "77"},
        },
    ),
    (
        {"devices": [Device("/dev/null", "/dev/nil", permissions="r")], "device_cgroup_rules": ["c 42:* rmw"]},
        {
            "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nil", "CgroupPermissions": "r"}],
            "DeviceCgroupRules": ["c 42:* rmw"],
        },
    ),
    (
        {
            "privileged": True,
            "cap_add": ["NET_ADMIN"],
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "group_add": ["12"],
            "read_only": True,
        },
        {
            "Privileged": True,
            "CapAdd": ["NET_ADMIN"],
            "CapDrop": ["ALL"],
            "GroupAdd": ["12"],
            "ReadonlyRootfs": True,
        },
    ),
    (
        {"userns": "host", "ipc": "shareable", "pid": "host", "uts": "host", "cgroupns": "private"},
        {"UsernsMode": "host", "IpcMode": "shareable", "PidMode": "host", "UTSMode": "host", "CgroupnsMode": "private"},
    ),
    (
        {"cgroup_parent": "/anydocker-test", "runtime": "runc", "isolation": "default", "volume_driver": "local"},
        {"CgroupParent": "/anydocker-test", "Runtime": "runc", "Isolation": "default", "VolumeDriver": "local"},
    ),
    (
        {"log_driver": "json-file", "log_options": {"max-size": "1m"}},
        {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}},
    ),
    (
        {"tmpfs": {"/t": "size=1m"}, "volumes": ["/etc:/e:ro", "/anonymous"]},
        {"Tmpfs": {"/t": "size=1m"}, "Binds": ["/etc:/e:ro", "/anonymous"]},
    ),
    (
        {
            "extra_hosts": {"db": "10.0.0.1", "six": "fd00::1"},
            "dns": ["127.0.0.9"],
            "dns_search": ["example"],
            "dns_options": ["ndots:2"],
        },
        {
            "ExtraHosts": ["db:10.0.0.1", "six:fd00::1"],
            "Dns": ["127.0.0.9"],
            "DnsSearch": ["example"],
            "DnsOptions": ["ndots:2"],
        },
    ),
]

# Options with a test of their own, further down: they need another container, a network, or hardware.
ELSEWHERE = {
    "aliases",
    "blkio_weight",
    "gpus",
    "ipv4",
    "ipv6",
    "links",
    "mac_address",
    "storage_options",
    "volumes_from",
}


@pytest.mark.parametrize(("options", "expected"), CONFIG, ids="-".join)
async def test_the_engine_has_it_in_the_config(
    docker: Docker, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = {**(await inspected(docker, options))["Config"]}
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(("options", "expected"), HOST, ids="-".join)
async def test_the_engine_has_it_in_the_host_config(
    docker: Docker, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = {**(await inspected(docker, options))["HostConfig"]}
    assert {key: found[key] for key in expected} == expected


async def inspected(docker: Docker, options: dict[str, Any]) -> dict[str, Any]:
    container = await docker.containers.create("busybox", WAITS, network="none", options=ContainerOptions(**options))
    try:
        return {**(await container.inspect())}
    finally:
        await container.remove(volumes=True)


def test_no_option_is_left_out() -> None:
    tried = {name for options, _ in (*CONFIG, *HOST) for name in options}
    assert tried | ELSEWHERE == {field.name for field in attrs.fields(ContainerOptions)}


async def test_what_depends_on_the_machine(docker: Docker) -> None:
    weight = (await inspected(docker, {"blkio_weight": 500}))["HostConfig"]["BlkioWeight"]
    assert weight in {500, 0}  # A kernel without it: the engine says so in a warning, and drops it.
    request = (await inspected(docker, {"gpus": "all"}))["HostConfig"]["DeviceRequests"][0]
    assert (request["Count"], request["Capabilities"]) == (-1, [["gpu"]])
    request = (await inspected(docker, {"gpus": ["id-1", "id-2"]}))["HostConfig"]["DeviceRequests"][0]
    assert request["DeviceIDs"] == ["id-1", "id-2"]


async def test_storage_options(docker: Docker) -> None:
    try:
        host = (await inspected(docker, {"storage_options": {"size": "1G"}}))["HostConfig"]
    except APIError as exc:
        assert "storage-opt" in exc.message  # noqa: PT017 - whether it is refused depends on the filesystem
    else:
        assert host["StorageOpt"] == {"size": "1G"}


async def test_what_the_engine_is_too_old_for_is_not_sent(docker: Docker) -> None:
    options = {"healthcheck": HealthCheck(command="true", start_interval_seconds=1)}
    if docker.speaks("1.44"):
        document = await inspected(docker, options)
        assert document["Config"]["Healthcheck"]["StartInterval"] == 1_000_000_000
    else:
        with pytest.raises(UnsupportedByEngine, match=r"start_interval_seconds.*1\.44"):
            await inspected(docker, options)


# -- in effect: names and addresses


async def test_names(docker: Docker) -> None:
    files = ["/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname"]
    assert await shown(docker, "cat", *files, hostname="box", domainname="example") == "box\nexample"


async def test_hosts_and_resolver(docker: Docker) -> None:
    said = await shown(
        docker,
        "cat",
        "/etc/hosts",
        "/etc/resolv.conf",
        network="bridge",
        extra_hosts={"db": "10.0.0.1"},
        dns=["127.0.0.9"],
        dns_search=["example"],
        dns_options=["ndots:2"],
    )
    assert {"10.0.0.1\tdb", "nameserver 127.0.0.9", "search example", "options ndots:2"} <= {*said.splitlines()}


@pytest.fixture
async def network(docker: Docker, label: str) -> AsyncGenerator[str, None]:
    pools = [{"Subnet": "172.31.77.0/24"}, {"Subnet": "fd00:77::/64"}]
    document = {"Name": label, "EnableIPv6": True, "IPAM": {"Config": pools}}
    await docker.request("POST", "/networks/create", json=document)
    yield label
    await docker.request("DELETE", f"/networks/{label}")


async def test_addresses_and_aliases(docker: Docker, network: str) -> None:
    options = ContainerOptions(
        mac_address="02:42:00:00:00:09", ipv4="172.31.77.9", ipv6="fd00:77::9", aliases=["web", "www"]
    )
    async with docker.containers.open_run("busybox", WAITS, network=network, options=options) as container:
        document = await container.inspect()
        endpoint = (document["NetworkSettings"]["Networks"] or {})[network]
        assert (endpoint["IPAddress"], endpoint["MacAddress"]) == ("172.31.77.9", "02:42:00:00:00:09")
        assert endpoint["GlobalIPv6Address"] == "fd00:77::9"
        assert {"web", "www"} <= {*(endpoint["Aliases"] or ())}
        assert (await container.exec(["cat", "/sys/class/net/eth0/address"])).stdout == b"02:42:00:00:00:09\n"
        said = await shown(docker, "nslookup", "www", network=network)
        assert "172.31.77.9" in said


async def test_links(docker: Docker, label: str) -> None:
    async with docker.containers.open_run("busybox", WAITS, name=label) as container:
        address = (await container.inspect())["NetworkSettings"]["IPAddress"]
        said = await shown(docker, "cat", "/etc/hosts", network="bridge", links={label: "db"})
        assert re.search(rf"^{address}\tdb ", said, re.MULTILINE)
        listed = await docker.containers.list(filters={"id": container.id})
        assert [one.name for one in listed] == [label]


# -- in effect: limits


async def test_limits(docker: Docker) -> None:
    files = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    script = f"cat {files} 2> /dev/null; nproc; ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj"
    said = await shown(
        docker,
        "sh",
        "-c",
        script,
        memory=64 * MIB,
        cpuset_cpus="0",
        ulimits=[Ulimit("nofile", 100, 200)],
        oom_score_adj=500,
    )
    assert said.split() == [str(64 * MIB), "1", "100", "200", "500"]


async def test_sizes_of_memory_filesystems(docker: Docker) -> None:
    said = await shown(docker, "df", "-k", "/dev/shm", "/t", shm_size=3 * MIB, tmpfs={"/t": "size=2m"})
    assert [line.split()[1] for line in said.splitlines()[1:]] == ["3072", "2048"]


async def test_sysctls(docker: Docker) -> None:
    assert await shown(docker, "cat", "/proc/sys/net/core/somaxconn", sysctls={"net.core.somaxconn": "77"}) == "77"


async def test_the_number_of_processes(docker: Docker) -> None:
    script = "for n in 1 2 3 4 5 6 7 8 9; do sleep 1 & done"
    done = await docker.containers.run(
        "busybox", ["sh", "-c", script], network="none", check=False, options=ContainerOptions(pids_limit=5)
    )
    assert done.exit_code != 0
    assert b"can't fork" in done.stderr


# -- in effect: rights


async def test_capabilities(docker: Docker) -> None:
    show = ("grep", "CapEff", "/proc/self/status")
    none, one = (
        await shown(docker, *show, cap_drop=["ALL"]),
        await shown(docker, *show, cap_drop=["ALL"], cap_add=["CHOWN"]),
    )
    assert (int(none.split()[1], 16), int(one.split()[1], 16)) == (0, 1)


async def test_security_options_and_groups(docker: Docker) -> None:
    script = "grep NoNewPrivs /proc/self/status; id -G"
    said = await shown(docker, "sh", "-c", script, security_opt=["no-new-privileges"], group_add=["12", "daemon"])
    assert said.split() == ["NoNewPrivs:", "1", "0", "1", "12"]


async def test_read_only(docker: Docker) -> None:
    said = await shown(docker, "sh", "-c", "touch /x 2>&1; touch /t/x && echo fine", read_only=True, tmpfs={"/t": ""})
    assert "Read-only file system" in said
    assert said.endswith("fine")


async def test_devices(docker: Docker) -> None:
    devices = [Device("/dev/zero", "/dev/nothing", permissions="r"), Device("/dev/kmsg")]
    script = "head -c 3 /dev/nothing | wc -c; ls /dev/kmsg"
    assert await shown(docker, "sh", "-c", script, devices=devices) == "3\n/dev/kmsg"
    assert await shown(docker, "sh", "-c", "ls /dev/kmsg 2> /dev/null || echo none") == "none"


# -- in effect: namespaces


async def test_namespaces_of_another_container(docker: Docker) -> None:
    options = ContainerOptions(ipc="shareable")
    async with docker.containers.open_run("busybox", WAITS, network="none", options=options) as container:
        command = ["sh", "-c", "readlink /proc/self/ns/ipc; readlink /proc/self/ns/pid"]
        theirs = (await container.exec(command)).stdout.decode().strip()
        other = f"container:{container.id}"
        assert await shown(docker, *command, ipc=other, pid=other) == theirs
        assert await shown(docker, *command) != theirs


async def test_namespaces_of_the_host(docker: Docker) -> None:
    command = ["readlink", "/proc/self/ns/uts"]
    assert await shown(docker, *command, uts="host") == await shown(docker, *command, uts="host")
    assert await shown(docker, *command, uts="host") != await shown(docker, *command)


async def test_init(docker: Docker) -> None:
    assert "init" in await shown(docker, "cat", "/proc/1/comm", init=True)
    assert await shown(docker, "cat", "/proc/1/comm", init=False) == "cat"


# -- in effect: a life


async def test_auto_remove(docker: Docker) -> None:
    options = ContainerOptions(auto_remove=True)
    container = await docker.containers.create("busybox", ["true"], network="none", options=options)
    async with container.open_wait("removed") as pending:
        await container.start()
        assert await pending.exit_code() == 0
    with pytest.raises(NotFound):
        await container.inspect()


async def test_restart(docker: Docker) -> None:
    options = ContainerOptions(restart="on-failure:2")
    container = await docker.containers.create("busybox", ["false"], network="none", options=options)
    async with docker.open_events(filters={"container": container.id, "event": "die"}) as events:
        await container.start()
        for _ in range(3):
            await events.receive()
    assert await container.wait() == 1
    assert (await container.inspect())["RestartCount"] == 2
    await container.remove(force=True)


@pytest.mark.parametrize(("options", "code"), [({}, 3), ({"stop_signal": "SIGINT"}, 4)])
async def test_how_it_stops(docker: Docker, options: dict[str, Any], code: int) -> None:
    async with docker.containers.open_run(
        "busybox", OBEYS, network="none", options=ContainerOptions(**options)
    ) as container:
        # The traps are set when there is a child.
        while len((await container.top())["Processes"] or ()) < 2:
            continue
        await container.stop()
        assert (await container.inspect())["State"]["ExitCode"] == code


async def test_how_long_it_has_to_stop(docker: Docker) -> None:
    options = ContainerOptions(stop_grace_seconds=1)
    # Nothing in it minds the signal.
    async with docker.containers.open_run("busybox", WAITS, network="none", options=options) as container:
        await container.stop()
        assert (await container.inspect())["State"]["ExitCode"] == 137


async def test_log_driver(docker: Docker) -> None:
    options = ContainerOptions(log_driver="none")
    container = await docker.containers.create("busybox", ["echo", "hi"], network="none", options=options)
    await container.start()
    await container.wait()
    with pytest.raises(APIError, match="(?i)does not support reading"):
        await container.logs()
    await container.remove()


async def test_log_options(docker: Docker) -> None:
    options = ContainerOptions(log_driver="json-file", log_options={"labels": "role"})
    container = await docker.containers.create(
        "busybox", ["echo", "hi"], labels={"role": "db"}, network="none", options=options
    )
    await container.start()
    await container.wait()
    assert (await container.logs(details=True)).stdout == b"role=db hi\n"
    await container.remove()


# -- mounts and volumes


@pytest.fixture
async def volume(docker: Docker, label: str) -> AsyncGenerator[str, None]:
    await docker.request("POST", "/volumes/create", json={"Name": label})
    yield label
    await docker.request("DELETE", f"/volumes/{label}")


async def test_mounts(docker: Docker, volume: str) -> None:
    script = "echo kept > /v/f; touch /ro/f 2>&1; grep -E ' /(v|ro|t|new|host) ' /proc/mounts | cut -d' ' -f2-4"
    mounts = [
        Mount("/v", volume),
        Mount("/ro", volume, read_only=True),
        Mount("/t", type="tmpfs"),
        Mount("/new"),
        Mount("/host", "/etc", type="bind", read_only=True),
    ]
    done = await docker.containers.run("busybox", ["sh", "-c", script], network="none", mounts=mounts)
    refused, *lines = done.stdout.decode().splitlines()
    assert "Read-only file system" in refused
    found = {line.split()[0]: (line.split()[1], line.split()[2].split(",")[0]) for line in lines}
    assert {path: flags for path, (_, flags) in found.items()} == {
        "/v": "rw",
        "/ro": "ro",
        "/t": "rw",
        "/new": "rw",
        "/host": "ro",
    }
    assert found["/t"][0] == "tmpfs"
    again = await docker.containers.run("busybox", ["cat", "/v/f"], network="none", mounts=[Mount("/v", volume)])
    assert again.stdout == b"kept\n"


async def test_mount_options(docker: Docker, label: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("shared\n")
    mounts = [
        Mount("/b", str(tmp_path), type="bind", propagation="private", consistency="cached"),
        Mount("/t", type="tmpfs", size=MIB, mode=0o1750),
        Mount("/v", label, labels={label: "1"}, driver="local", driver_options={"type": "tmpfs", "device": "tmpfs"}),
    ]
    script = "cat /b/f; df -k /t | awk 'END { print $2 }'; stat -c %a /t; grep -c '^tmpfs /v ' /proc/mounts"
    async with docker.containers.open_run("busybox", WAITS, network="none", mounts=mounts) as container:
        said = (await container.exec(["sh", "-c", script])).stdout.decode()
        found = {mount["Destination"]: mount for mount in (await container.inspect())["Mounts"] or ()}
        volume = (await docker.request("GET", f"/volumes/{label}")).json()
    assert said == "shared\n1024\n1750\n1\n"
    assert found["/b"]["Propagation"] == "private"
    assert volume["Labels"] == {label: "1"}
    assert volume["Options"] == {"type": "tmpfs", "device": "tmpfs"}
    await docker.request("DELETE", f"/volumes/{label}")


async def test_a_volume_is_not_filled_with_what_the_image_has(docker: Docker) -> None:
    for no_copy, count in ((False, "0"), (True, "1")):
        mounts = [Mount("/etc", no_copy=no_copy)]
        script = ["sh", "-c", "test -e /etc/passwd; echo $?"]
        done = await docker.containers.run("busybox", script, network="none", mounts=mounts)
        assert done.stdout.decode() == f"{count}\n"


async def test_what_is_mounted_below_the_source(docker: Docker) -> None:
    for non_recursive, below in ((False, True), (True, False)):
        mounts = [Mount("/host", "/", type="bind", read_only=True, non_recursive=non_recursive)]
        script = ["sh", "-c", "grep -c ' /host/' /proc/mounts || true"]
        done = await docker.containers.run("busybox", script, network="none", mounts=mounts)
        assert (int(done.stdout) > 0) is below


async def test_a_directory_of_the_host_that_is_made(docker: Docker, tmp_path: Path) -> None:
    mounts = [Mount("/m", str(tmp_path / "made"), type="bind", create_mountpoint=True)]
    run = docker.containers.run("busybox", ["touch", "/m/f"], network="none", mounts=mounts)
    if docker.speaks("1.42"):
        await run
        assert await run_sync((tmp_path / "made" / "f").exists)
    else:
        with pytest.raises(UnsupportedByEngine, match="create_mountpoint"):
            await run


async def test_a_directory_of_a_volume(docker: Docker, volume: str) -> None:
    await docker.containers.run("busybox", ["mkdir", "-p", "/v/a/b"], network="none", mounts=[Mount("/v", volume)])
    mounts = [Mount("/m", volume, subpath="a")]
    run = docker.containers.run("busybox", ["ls", "/m"], network="none", mounts=mounts)
    if docker.speaks("1.45"):
        assert (await run).stdout == b"b\n"
    else:
        with pytest.raises(UnsupportedByEngine, match=r"subpath.*1\.45"):
            await run


async def test_what_the_engine_warns_of(docker: Docker) -> None:
    container = await docker.containers.create("busybox", WAITS, network="host", ports={80: 8080})
    await container.remove()
    assert any("ports are discarded" in warning for warning in container.warnings)
    plain = await docker.containers.create("busybox", WAITS)
    await plain.remove()
    assert plain.warnings == ()


async def test_volumes_in_the_short_form(docker: Docker, volume: str) -> None:
    await shown(docker, "sh", "-c", "echo kept > /v/f", volumes=[f"{volume}:/v"])
    said = await shown(docker, "sh", "-c", "cat /v/f; touch /v/f 2>&1 || true", volumes=[f"{volume}:/v:ro"])
    assert said.startswith("kept\n")
    assert "Read-only" in said


async def test_volumes_from_another_container(docker: Docker, label: str, volume: str) -> None:
    other = await docker.containers.create("busybox", WAITS, name=label, mounts=[Mount("/v", volume)])
    await shown(docker, "sh", "-c", "echo kept > /v/f", volumes_from=[label])
    assert await shown(docker, "cat", "/v/f", volumes_from=[f"{label}:ro"]) == "kept"
    await other.remove()


async def test_a_bind_of_what_does_not_exist(docker: Docker, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(APIError, match=missing):
        async with docker.containers.open_run("busybox", WAITS, mounts=[Mount("/m", missing, type="bind")]):
            raise AssertionError


# -- ports


async def test_ports(docker: Docker) -> None:
    async with docker.containers.open_run(
        "busybox",
        ["nc", "-ll", "-p", "80", "-e", "echo", "hello"],
        ports={80: None, "53/udp": [("127.0.0.1", 5353), ("127.0.0.1", 5354)], "443": ("127.0.0.1", None)},
    ) as container:
        (first, *_) = await container.port(80)
        assert first.port > 0
        assert await container.port("80/tcp") == await container.port("80")
        assert sorted(await container.port("53/udp")) == [("127.0.0.1", 5353), ("127.0.0.1", 5354)]
        assert [one.host for one in await container.port(443)] == ["127.0.0.1"]
        assert await container.port(53) == []
        assert await container.port(8080) == []
        said = await docker.containers.run("busybox", ["nc", "127.0.0.1", str(first.port)], network="host")
        assert said.stdout == b"hello\n"


async def test_a_port_that_is_taken(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", WAITS, ports={80: 18080}):
        with pytest.raises(APIError, match="18080"):
            async with docker.containers.open_run("busybox", WAITS, ports={80: 18080}):
                raise AssertionError


async def test_ports_of_what_does_not_run(docker: Docker) -> None:
    container = await docker.containers.create("busybox", WAITS, ports={80: 8080})
    assert await container.port(80) == []
    with pytest.raises(ValueError, match="nonsense"):
        await container.port("nonsense")
    await container.remove()
    with pytest.raises(NotFound):
        await container.port(80)


# -- commands that go with none


async def test_a_name_with_a_slash_is_the_engines_to_refuse(docker: Docker) -> None:
    with pytest.raises((APIError, Conflict)):
        await docker.containers.create("busybox", WAITS, name="a/b")


async def test_a_handle_by_the_name_the_engine_shows(docker: Docker, label: str) -> None:
    container = await docker.containers.create("busybox", WAITS, name=label)
    shown_as = (await container.inspect())["Name"]
    assert shown_as == f"/{label}"
    by_name: Container = docker.containers.container(shown_as)
    assert (await by_name.inspect())["Id"] == container.id
    await by_name.remove()
