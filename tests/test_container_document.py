from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker import _generated_types as types
from anydocker._wire.build import Ulimit
from anydocker._wire.container import (
    HostPort,
    PortKey,
    container_document,
    environment,
    exec_command,
    merge,
    port_key,
    with_address_of_its_own,
)
from anydocker._wire.mount import Mount
from anydocker._wire.options import ContainerOptions, Device, HealthCheck

FREE = {"HostIp": "", "HostPort": ""}


def test_nothing_is_said_that_was_not_asked_for() -> None:
    assert container_document("busybox") == {"Image": "busybox"}


@pytest.mark.parametrize(
    ("arguments", "document"),
    [
        ({"command": ["echo", "hi"]}, {"Cmd": ["echo", "hi"]}),
        ({"command": ("echo",)}, {"Cmd": ["echo"]}),
        ({"entrypoint": ["sh", "-c"]}, {"Entrypoint": ["sh", "-c"]}),
        ({"entrypoint": []}, {"Entrypoint": []}),
        ({"env": {"A": "1", "B": "", "C": None, "D": "x=y"}}, {"Env": ["A=1", "B=", "C", "D=x=y"]}),
        ({"env": {}}, {}),
        ({"labels": {"role": "db"}}, {"Labels": {"role": "db"}}),
        ({"user": "1000:1000"}, {"User": "1000:1000"}),
        ({"user": ""}, {"User": ""}),
        ({"workdir": "/tmp"}, {"WorkingDir": "/tmp"}),
        ({"tty": True}, {"Tty": True}),
        ({"stdin": True}, {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True}),
        ({"ports": {80: None}}, {"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": {"80/tcp": [FREE]}}}),
        ({"ports": {}}, {}),
        ({"mounts": [Mount("/m")]}, {"HostConfig": {"Mounts": [Mount("/m").document()]}}),
        ({"network": "none"}, {"HostConfig": {"NetworkMode": "none"}}),
        ({"config": {"Tty": True, "Hostname": "h"}}, {"Tty": True, "Hostname": "h"}),
        ({"config": {}}, {}),
        ({"config": {"Image": "other"}}, {"Image": "other"}),
        ({"user": "a", "config": {"User": "b"}}, {"User": "b"}),
        ({"network": "n", "config": {"HostConfig": {"Memory": 1}}}, {"HostConfig": {"NetworkMode": "n", "Memory": 1}}),
        ({"options": ContainerOptions()}, {}),
        ({"network": "n", "options": ContainerOptions(memory=1)}, {"HostConfig": {"NetworkMode": "n", "Memory": 1}}),
        (
            {"options": ContainerOptions(memory=1), "config": {"HostConfig": {"Memory": 2}}},
            {"HostConfig": {"Memory": 2}},
        ),
    ],
)
def test_arguments(arguments: dict[str, Any], document: dict[str, Any]) -> None:
    assert container_document("busybox", **arguments) == {"Image": "busybox"} | document
    json.dumps(document)


def test_arguments_are_left_as_they_were() -> None:
    labels, config = {"a": "b"}, {"Labels": {"c": "d"}, "HostConfig": {"Memory": 1}}
    document = container_document("busybox", labels=labels, network="n", config=config)
    assert document["Labels"] == {"a": "b", "c": "d"}
    assert (labels, config) == ({"a": "b"}, {"Labels": {"c": "d"}, "HostConfig": {"Memory": 1}})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": ""}, ValueError, "image is empty"),
        ({"command": []}, ValueError, "command is empty"),
        ({"command": "echo hi"}, TypeError, r"command='echo hi'.*shlex.split"),
        ({"command": ["echo", 1]}, TypeError, "command: expected words of type str, not 1"),
        ({"command": [b"echo"]}, TypeError, "command: expected words"),
        ({"command": b"echo"}, TypeError, "command: expected words"),
        ({"entrypoint": "sh -c"}, TypeError, "entrypoint='sh -c'"),
        ({"env": {"": "x"}}, ValueError, "env: ''"),
        ({"env": {"A=B": "x"}}, ValueError, "env: 'A=B'"),
        ({"env": {"A\0": "x"}}, ValueError, r"env: 'A\\x00'"),
    ],
)
def test_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        container_document(**cast("dict[str, Any]", {"image": "busybox"} | arguments))


def test_commands_and_environments() -> None:
    assert exec_command(("ls", "-l"), "command") == ["ls", "-l"]
    assert exec_command([], "entrypoint", empty=True) == []
    assert environment({"PATH": "/bin", "HOME": None}) == ["PATH=/bin", "HOME"]


# -- ports


@pytest.mark.parametrize(
    ("port", "key"),
    [
        (80, "80/tcp"),
        ("80/", "80/tcp"),
        ("80", "80/tcp"),
        ("80/tcp", "80/tcp"),
        ("53/udp", "53/udp"),
        ("9/sctp", "9/sctp"),
        (1, "1/tcp"),
        (65535, "65535/tcp"),
    ],
)
def test_port_of_the_container(port: PortKey, key: str) -> None:
    assert port_key(port) == key


@pytest.mark.parametrize(
    "port", [0, -1, 65536, "", "/tcp", "http", "80/http", "80-90", " 80", "\u0661", "80/TCP", True, 80.0]
)
def test_port_that_is_none(port: Any) -> None:
    with pytest.raises(ValueError, match="ports"):
        port_key(port)


@pytest.mark.parametrize(
    ("host", "bindings"),
    [
        (None, [FREE]),
        (8080, [{"HostIp": "", "HostPort": "8080"}]),
        (("127.0.0.1", 8080), [{"HostIp": "127.0.0.1", "HostPort": "8080"}]),
        (("::1", None), [{"HostIp": "::1", "HostPort": ""}]),
        ([], []),
        (
            [8080, ("127.0.0.1", None), None],
            [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": ""}, FREE],
        ),
    ],
)
def test_port_of_the_host(host: HostPort | list[HostPort], bindings: list[dict[str, str]]) -> None:
    document = container_document("busybox", ports={"53/udp": host})
    assert document["ExposedPorts"] == {"53/udp": {}}
    assert document["HostConfig"]["PortBindings"] == {"53/udp": bindings}


def test_two_ways_to_write_one_port_are_one_port() -> None:
    document = container_document("busybox", ports={80: 8080, "80/tcp": 8081, "80/udp": None})
    assert document["ExposedPorts"] == {"80/tcp": {}, "80/udp": {}}
    bindings = document["HostConfig"]["PortBindings"]
    assert [binding["HostPort"] for binding in bindings["80/tcp"]] == ["8080", "8081"]
    assert bindings["80/udp"] == [FREE]


@pytest.mark.parametrize("host", [0, 65536, -1, ("127.0.0.1", 0), ("127.0.0.1", True)])
def test_port_of_the_host_out_of_range(host: Any) -> None:
    with pytest.raises(ValueError, match=r"ports\[80\]: a port is a number from 1 to 65535"):
        container_document("busybox", ports={80: host})


@pytest.mark.parametrize(
    "host", ["8080", True, 80.5, (8080, "127.0.0.1"), ("127.0.0.1",), (None, 80), {"HostPort": "1"}]
)
def test_port_of_the_host_of_another_type(host: Any) -> None:
    with pytest.raises(TypeError, match=r"ports\[80\]: expected a port"):
        container_document("busybox", ports={80: host})


# -- mounts


@pytest.mark.parametrize(
    ("mount", "document"),
    [
        (Mount("/data"), {"Type": "volume", "Target": "/data", "ReadOnly": False}),
        (Mount("/data", "db"), {"Type": "volume", "Target": "/data", "ReadOnly": False, "Source": "db"}),
        (
            Mount("/b", "/srv", type="bind", read_only=True),
            {"Type": "bind", "Target": "/b", "ReadOnly": True, "Source": "/srv"},
        ),
        (Mount("/t", type="tmpfs"), {"Type": "tmpfs", "Target": "/t", "ReadOnly": False}),
        (
            Mount("/b", "/srv", type="bind", consistency="cached", propagation="rslave"),
            {
                "Type": "bind",
                "Target": "/b",
                "ReadOnly": False,
                "Source": "/srv",
                "Consistency": "cached",
                "BindOptions": {"Propagation": "rslave"},
            },
        ),
        (
            Mount("/b", "/srv", type="bind", non_recursive=True, create_mountpoint=True),
            {
                "Type": "bind",
                "Target": "/b",
                "ReadOnly": False,
                "Source": "/srv",
                "BindOptions": {"NonRecursive": True, "CreateMountpoint": True},
            },
        ),
        (
            Mount("/v", "db", no_copy=True, labels={"a": "1"}, driver="nfs", driver_options={"o": "ro"}, subpath="x/y"),
            {
                "Type": "volume",
                "Target": "/v",
                "ReadOnly": False,
                "Source": "db",
                "VolumeOptions": {
                    "NoCopy": True,
                    "Labels": {"a": "1"},
                    "DriverConfig": {"Name": "nfs", "Options": {"o": "ro"}},
                    "Subpath": "x/y",
                },
            },
        ),
        (
            Mount("/v", labels={}, driver_options={"type": "tmpfs"}),
            {
                "Type": "volume",
                "Target": "/v",
                "ReadOnly": False,
                "VolumeOptions": {"Labels": {}, "DriverConfig": {"Name": "", "Options": {"type": "tmpfs"}}},
            },
        ),
        (
            Mount("/t", type="tmpfs", size=1 << 20, mode=0),
            {
                "Type": "tmpfs",
                "Target": "/t",
                "ReadOnly": False,
                "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0},
            },
        ),
    ],
)
def test_mount(mount: Mount, document: dict[str, Any]) -> None:
    assert mount.document() == document


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "data"}, "target='data'"),
        ({"target": ""}, "target=''"),
        ({"target": "/b", "type": "bind"}, "needs a source"),
        ({"target": "/b", "type": "bind", "source": ""}, "needs a source"),
        ({"target": "/t", "type": "tmpfs", "source": "/srv"}, "has no source"),
        ({"target": "/t", "type": "npipe"}, "type='npipe': expected one of 'bind', 'volume', 'tmpfs'"),
        ({"target": "/t", "type": None}, "type=None"),
        ({"target": "/t", "propagation": "rslave"}, "type='volume': propagation is for type='bind'"),
        ({"target": "/t", "non_recursive": True}, "non_recursive is for type='bind'"),
        ({"target": "/t", "type": "tmpfs", "create_mountpoint": True}, "create_mountpoint is for type='bind'"),
        ({"target": "/t", "type": "tmpfs", "no_copy": True}, "no_copy is for type='volume'"),
        ({"target": "/t", "type": "tmpfs", "labels": {}}, "labels is for type='volume'"),
        ({"target": "/t", "type": "bind", "source": "/s", "driver": "nfs"}, "driver is for type='volume'"),
        ({"target": "/t", "type": "tmpfs", "driver_options": {}}, "driver_options is for type='volume'"),
        ({"target": "/t", "type": "bind", "source": "/s", "subpath": "a"}, "subpath is for type='volume'"),
        ({"target": "/t", "size": 0}, "size is for type='tmpfs'"),
        ({"target": "/t", "mode": 0}, "mode is for type='tmpfs'"),
        ({"target": "/t", "type": "tmpfs", "size": -1}, "size=-1"),
        ({"target": "/t", "type": "tmpfs", "mode": -1}, "mode=-1"),
        ({"target": "/t", "type": "tmpfs", "mode": 0o10000}, "mode=4096"),
        ({"target": "/t", "subpath": "a"}, "subpath='a': a new volume"),
        ({"target": "/t", "source": "v", "subpath": ""}, "subpath=''"),
        ({"target": "/t", "source": "v", "subpath": "/a"}, "subpath='/a'"),
        ({"target": "/t", "source": "v", "subpath": "a/../../b"}, "subpath='a/../../b'"),
        ({"target": "/t", "consistency": "eventual"}, "consistency='eventual'"),
        ({"target": "/t", "type": "bind", "source": "/s", "propagation": "public"}, "propagation='public'"),
    ],
)
def test_mount_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^Mount .*{message}"):
        Mount(**arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", None),
        ("source", 3),
        ("read_only", 1),
        ("non_recursive", "yes"),
        ("no_copy", 0),
        ("labels", ["a"]),
        ("driver", 3),
        ("driver_options", {"a": 1}),
        ("subpath", b"a"),
        ("size", "1m"),
        ("mode", True),
    ],
)
def test_mount_of_a_wrong_type(name: str, value: object) -> None:
    arguments: dict[str, Any] = {"target": "/t", name: value}
    with pytest.raises(TypeError, match=f"Mount {name}: expected"):
        Mount(**arguments)


def test_the_engine_knows_every_part_of_a_mount() -> None:
    assert {"BindOptions", "VolumeOptions", "TmpfsOptions", "Consistency"} <= _keys(types.Mount)
    known = _keys(types.MountBindOptions) | _keys(types.MountVolumeOptions) | _keys(types.MountTmpfsOptions)
    assert {"Propagation", "NonRecursive", "CreateMountpoint", "NoCopy", "Labels", "DriverConfig"} <= known
    assert {"Subpath", "SizeBytes", "Mode"} <= known
    assert {"Name", "Options"} == _keys(types.MountVolumeOptionsDriverConfig)


# -- merging

trees: st.SearchStrategy[Any] = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda parts: st.dictionaries(st.sampled_from("abc"), parts, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


@given(documents, documents)
def test_merged_documents_hold_both_and_the_second_wins(first: dict[str, Any], second: dict[str, Any]) -> None:
    before = json.dumps([first, second])
    merged = merge(first, second)
    assert merged.keys() == first.keys() | second.keys()
    for key, value in merged.items():
        if isinstance(first.get(key), dict) and isinstance(second.get(key), dict):
            assert value == merge(first[key], second[key])
        else:
            assert value == second.get(key, first.get(key))
    assert json.dumps([first, second]) == before


# -- the less common options

# A value for each option, and where it goes.
OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"hostname": "h"}, {"Hostname": "h"}),
    ({"domainname": "d"}, {"Domainname": "d"}),
    ({"stop_signal": "SIGINT"}, {"StopSignal": "SIGINT"}),
    ({"stop_grace_seconds": 0}, {"StopTimeout": 0}),
    ({"healthcheck": HealthCheck(command=None)}, {"Healthcheck": {"Test": ["NONE"]}}),
    ({"init": False}, {"HostConfig": {"Init": False}}),
    ({"auto_remove": True}, {"HostConfig": {"AutoRemove": True}}),
    ({"restart": "always"}, {"HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}}),
    ({"restart": "on-failure:3"}, {"HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}}),
    ({"memory": 64 << 20}, {"HostConfig": {"Memory": 67108864}}),
    ({"memory_swap": -1}, {"HostConfig": {"MemorySwap": -1}}),
    ({"memory_reservation": 1}, {"HostConfig": {"MemoryReservation": 1}}),
    ({"cpus": 1.5}, {"HostConfig": {"NanoCpus": 1_500_000_000}}),
    ({"cpu_shares": 2}, {"HostConfig": {"CpuShares": 2}}),
    ({"cpu_period": 3}, {"HostConfig": {"CpuPeriod": 3}}),
    ({"cpu_quota": 4}, {"HostConfig": {"CpuQuota": 4}}),
    ({"cpuset_cpus": "0-2"}, {"HostConfig": {"CpusetCpus": "0-2"}}),
    ({"cpuset_mems": "0"}, {"HostConfig": {"CpusetMems": "0"}}),
    ({"blkio_weight": 10}, {"HostConfig": {"BlkioWeight": 10}}),
    ({"pids_limit": -1}, {"HostConfig": {"PidsLimit": -1}}),
    ({"shm_size": 1}, {"HostConfig": {"ShmSize": 1}}),
    ({"oom_kill_disable": True}, {"HostConfig": {"OomKillDisable": True}}),
    ({"oom_score_adj": -5}, {"HostConfig": {"OomScoreAdj": -5}}),
    ({"ulimits": [Ulimit("nofile", 1, 2)]}, {"HostConfig": {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}]}}),
    ({"sysctls": {"net.core.somaxconn": "1"}}, {"HostConfig": {"Sysctls": {"net.core.somaxconn": "1"}}}),
    (
        {"devices": [Device("/dev/a"), Device("/dev/a", "/dev/b", permissions="r")]},
        {
            "HostConfig": {
                "Devices": [
                    {"PathOnHost": "/dev/a", "PathInContainer": "/dev/a", "CgroupPermissions": "rwm"},
                    {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"},
                ]
            }
        },
    ),
    ({"device_cgroup_rules": ("c 42:* rmw",)}, {"HostConfig": {"DeviceCgroupRules": ["c 42:* rmw"]}}),
    ({"gpus": "all"}, {"HostConfig": {"DeviceRequests": [{"Capabilities": [["gpu"]], "Count": -1}]}}),
    ({"gpus": 2}, {"HostConfig": {"DeviceRequests": [{"Capabilities": [["gpu"]], "Count": 2}]}}),
    ({"gpus": ["a"]}, {"HostConfig": {"DeviceRequests": [{"Capabilities": [["gpu"]], "DeviceIDs": ["a"]}]}}),
    ({"privileged": True}, {"HostConfig": {"Privileged": True}}),
    ({"cap_add": ["NET_ADMIN"]}, {"HostConfig": {"CapAdd": ["NET_ADMIN"]}}),
    ({"cap_drop": ["ALL"]}, {"HostConfig": {"CapDrop": ["ALL"]}}),
    ({"security_opt": ["no-new-privileges"]}, {"HostConfig": {"SecurityOpt": ["no-new-privileges"]}}),
    ({"group_add": ["wheel"]}, {"HostConfig": {"GroupAdd": ["wheel"]}}),
    ({"read_only": True}, {"HostConfig": {"ReadonlyRootfs": True}}),
    ({"userns": "host"}, {"HostConfig": {"UsernsMode": "host"}}),
    ({"ipc": "host"}, {"HostConfig": {"IpcMode": "host"}}),
    ({"pid": "host"}, {"HostConfig": {"PidMode": "host"}}),
    ({"uts": "host"}, {"HostConfig": {"UTSMode": "host"}}),
    ({"cgroup_parent": "/x"}, {"HostConfig": {"CgroupParent": "/x"}}),
    ({"cgroupns": "private"}, {"HostConfig": {"CgroupnsMode": "private"}}),
    ({"runtime": "runc"}, {"HostConfig": {"Runtime": "runc"}}),
    ({"isolation": "process"}, {"HostConfig": {"Isolation": "process"}}),
    ({"log_driver": "none"}, {"HostConfig": {"LogConfig": {"Type": "none", "Config": {}}}}),
    (
        {"log_driver": "json-file", "log_options": {"max-size": "1m"}},
        {"HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}}},
    ),
    ({"tmpfs": {"/t": "size=64m"}}, {"HostConfig": {"Tmpfs": {"/t": "size=64m"}}}),
    ({"volumes": ["a:/b:ro"]}, {"HostConfig": {"Binds": ["a:/b:ro"]}}),
    ({"volumes_from": ["c"]}, {"HostConfig": {"VolumesFrom": ["c"]}}),
    ({"volume_driver": "local"}, {"HostConfig": {"VolumeDriver": "local"}}),
    ({"storage_options": {"size": "10G"}}, {"HostConfig": {"StorageOpt": {"size": "10G"}}}),
    ({"extra_hosts": {"h": "::1"}}, {"HostConfig": {"ExtraHosts": ["h:::1"]}}),
    ({"dns": ["127.0.0.1"]}, {"HostConfig": {"Dns": ["127.0.0.1"]}}),
    ({"dns_search": ["example"]}, {"HostConfig": {"DnsSearch": ["example"]}}),
    ({"dns_options": ["ndots:1"]}, {"HostConfig": {"DnsOptions": ["ndots:1"]}}),
    ({"links": {"db": "alias"}}, {"HostConfig": {"Links": ["db:alias"]}}),
    ({"mac_address": "02:42:00:00:00:01"}, {"NetworkingConfig": {"MacAddress": "02:42:00:00:00:01"}}),
    ({"ipv4": "10.0.0.2"}, {"NetworkingConfig": {"IPAMConfig": {"IPv4Address": "10.0.0.2"}}}),
    ({"ipv6": "fd00::2"}, {"NetworkingConfig": {"IPAMConfig": {"IPv6Address": "fd00::2"}}}),
    ({"aliases": ["web"]}, {"NetworkingConfig": {"Aliases": ["web"]}}),
]


@pytest.mark.parametrize(("options", "document"), OPTIONS, ids="-".join)
def test_option(options: dict[str, Any], document: dict[str, Any]) -> None:
    expected = dict(document)
    if endpoint := expected.pop("NetworkingConfig", None):
        expected["NetworkingConfig"] = {"EndpointsConfig": {"net": endpoint}}
    result = ContainerOptions(**options).documents("net")
    assert result == expected
    json.dumps(result)


def test_every_option_goes_somewhere() -> None:
    covered = {name for options, _ in OPTIONS for name in options}
    assert covered == {field.name for field in attrs.fields(ContainerOptions)}


def _keys(document: object) -> set[str]:
    return set(cast("Any", document).__annotations__)


def test_the_engine_knows_every_key() -> None:
    documents = [document for _, document in OPTIONS]
    host = {key for document in documents for key in document.get("HostConfig", ())}
    endpoint = {key for document in documents for key in document.get("NetworkingConfig", ())}
    own = {key for document in documents for key in document}
    assert host <= _keys(types.HostConfig)
    assert endpoint <= _keys(types.EndpointSettings)
    assert own <= _keys(types.ContainerConfig) | {"HostConfig", "NetworkingConfig"}


@pytest.mark.parametrize(
    "networking", [None, {}, {"EndpointsConfig": None}, {"EndpointsConfig": {"net": None, "other": {}}}]
)
def test_older_engines_get_no_address_that_was_not_asked_for(networking: object) -> None:
    document = {"Image": "busybox", "NetworkingConfig": networking}
    assert with_address_of_its_own(document) == document
    assert with_address_of_its_own({"Image": "busybox"}) == {"Image": "busybox"}


def test_older_engines_get_the_address_as_the_container_s() -> None:
    options = ContainerOptions(mac_address="02:42:00:00:00:01")
    document = container_document("busybox", network="net", options=options)
    assert with_address_of_its_own(document) == document | {"MacAddress": "02:42:00:00:00:01"}
    assert with_address_of_its_own(document | {"MacAddress": "mine"}) == document | {"MacAddress": "mine"}


@pytest.mark.parametrize(
    ("check", "document"),
    [
        (HealthCheck(command="curl localhost"), {"Test": ["CMD-SHELL", "curl localhost"]}),
        (HealthCheck(command=["test", "-f", "/x"], retries=0), {"Test": ["CMD", "test", "-f", "/x"], "Retries": 0}),
        (
            HealthCheck(command="x", interval_seconds=0.5, probe_seconds=1, start_seconds=0, start_interval_seconds=2),
            {
                "Test": ["CMD-SHELL", "x"],
                "Interval": 500_000_000,
                "Timeout": 1_000_000_000,
                "StartPeriod": 0,
                "StartInterval": 2_000_000_000,
            },
        ),
    ],
)
def test_healthcheck(check: HealthCheck, document: dict[str, Any]) -> None:
    assert check.document() == document
    assert document.keys() <= _keys(types.HealthConfig)


SEQUENCES = [
    name
    for options, _ in OPTIONS
    for name, value in options.items()
    if isinstance(value, Sequence) and not isinstance(value, str) and name != "gpus"
]


@pytest.mark.parametrize("name", SEQUENCES)
def test_one_text_is_no_sequence(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} is a sequence"):
        ContainerOptions(**cast("dict[str, Any]", {name: "text"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"restart": "sometimes"}, "restart='sometimes'"),
        ({"restart": "on-failure:x"}, "restart="),
        ({"memory": -1}, "memory=-1"),
        ({"shm_size": -1}, "shm_size=-1"),
        ({"cpus": -0.5}, "cpus=-0.5"),
        ({"cpu_quota": -1}, "cpu_quota=-1"),
        ({"cpu_period": -1}, "cpu_period=-1"),
        ({"gpus": "some"}, "gpus='some'"),
        ({"log_options": {"a": "b"}}, "log_options without log_driver"),
        ({"aliases": ["a"]}, "network="),
        ({"ipv4": "10.0.0.2"}, "network="),
    ],
)
def test_option_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        container_document("busybox", options=ContainerOptions(**options))
