from __future__ import annotations

import json
from typing import Any, Final

import attrs
import pytest

from anydocker import BuildLimits, BuildOutput, InvalidReference, Ulimit
from anydocker._wire.build import build_query
from anydocker._wire.query import encode_query

NOTHING: Final[dict[str, Any]] = {
    "builder": "classic",
    "tags": (),
    "target": None,
    "buildargs": None,
    "labels": None,
    "platform": None,
    "network": None,
    "extra_hosts": None,
    "cache_from": (),
    "no_cache": False,
    "pull": False,
    "rm": True,
    "force_rm": True,
    "squash": False,
    "limits": None,
    "outputs": (),
    "podman": False,
}


def said(**arguments: Any) -> dict[str, Any]:
    """The parameters that are sent, but for those that always are."""
    query = build_query(**{**NOTHING, **arguments})
    assert encode_query(query)
    return {key: value for key, value in query.items() if value not in (None, [], ()) and ALWAYS.get(key) != value}


ALWAYS: Final = {"rm": True, "forcerm": True, "version": "1"}


def test_nothing_is_said_that_was_not_asked_for() -> None:
    assert said() == {}
    assert encode_query(build_query(**NOTHING)) == "version=1&rm=1&forcerm=1"


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({"tags": ["a", "b:1"]}, {"t": ["a:latest", "b:1"]}),
        ({"target": "stage"}, {"target": "stage"}),
        ({"buildargs": {"A": "1", "B": None, "C": ""}}, {"buildargs": '{"A":"1","B":null,"C":""}'}),
        ({"labels": {"a": "b c"}}, {"labels": '{"a":"b c"}'}),
        ({"platform": "linux/arm64"}, {"platform": "linux/arm64"}),
        ({"network": "none"}, {"networkmode": "none"}),
        ({"extra_hosts": {"a": "10.0.0.1", "b": "::1"}}, {"extrahosts": ["a:10.0.0.1", "b:::1"]}),
        ({"cache_from": ("a", "b")}, {"cachefrom": '["a","b"]'}),
        ({"no_cache": True}, {"nocache": True}),
        ({"pull": True}, {"pull": True}),
        ({"rm": False}, {"rm": False}),
        ({"force_rm": False}, {"forcerm": False}),
        ({"squash": True}, {"squash": True}),
        ({"builder": "buildkit"}, {"version": "2"}),
        ({"builder": "buildkit", "network": "none"}, {"version": "2", "networkmode": "none"}),
        (
            {"builder": "buildkit", "outputs": [BuildOutput("cacheonly")]},
            {"version": "2", "outputs": '[{"Type":"cacheonly","Attrs":{}}]'},
        ),
        (
            {"builder": "buildkit", "outputs": (BuildOutput("image", {"push": "true"}),)},
            {"version": "2", "outputs": '[{"Type":"image","Attrs":{"push":"true"}}]'},
        ),
        (
            {"builder": "buildkit", "limits": BuildLimits(shm_size=1, ulimits=[Ulimit("core", 0)])},
            {"version": "2", "shmsize": 1, "ulimits": '[{"Name":"core","Soft":0,"Hard":0}]'},
        ),
        ({"buildargs": {}, "labels": {}, "extra_hosts": {}, "limits": BuildLimits()}, {}),
    ],
)
def test_argument(arguments: dict[str, Any], query: dict[str, Any]) -> None:
    assert said(**arguments) == query


# A value for each limit, and its parameter.
LIMITS: Final[dict[str, tuple[Any, dict[str, Any]]]] = {
    "memory": (1, {"memory": 1}),
    "memory_swap": (-1, {"memswap": -1}),
    "shm_size": (2, {"shmsize": 2}),
    "cpu_shares": (3, {"cpushares": 3}),
    "cpu_period": (4, {"cpuperiod": 4}),
    "cpu_quota": (5, {"cpuquota": 5}),
    "cpuset_cpus": ("0-2", {"cpusetcpus": "0-2"}),
    "cpuset_mems": ("0", {"cpusetmems": "0"}),
    "cgroup_parent": ("/x", {"cgroupparent": "/x"}),
    "ulimits": (
        [Ulimit("nofile", 1, 2), Ulimit("core", 0)],
        {"ulimits": '[{"Name":"nofile","Soft":1,"Hard":2},{"Name":"core","Soft":0,"Hard":0}]'},
    ),
    "security_opt": (["a", "b"], {"securityopt": ["a", "b"]}),
    "isolation": ("process", {"isolation": "process"}),
}


def test_what_podman_wants_otherwise() -> None:
    limits = BuildLimits(ulimits=[Ulimit("nofile", 1, 2), Ulimit("core", 0)], security_opt=["a", "b"])
    assert said(podman=True, extra_hosts={"a": "10.0.0.1", "b": "::1"}, limits=limits) == {
        "extrahosts": '["a:10.0.0.1","b:::1"]',
        "ulimits": '["nofile=1:2","core=0:0"]',
        "securityopt": '["a","b"]',
    }
    assert said(podman=True) == {}


@pytest.mark.parametrize("name", LIMITS)
def test_limit(name: str) -> None:
    value, query = LIMITS[name]
    assert said(limits=BuildLimits(**{name: value})) == query


def test_no_limit_is_left_out() -> None:
    assert LIMITS.keys() == {field.name for field in attrs.fields(BuildLimits)}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tags": "a"}, TypeError, "tags is a sequence"),
        ({"tags": [1]}, TypeError, "tags: expected a str"),
        ({"tags": ["UPPER"]}, InvalidReference, "UPPER"),
        ({"tags": [""]}, InvalidReference, "empty"),
        ({"tags": ["a@sha256:" + "0" * 64]}, InvalidReference, "digest"),
        ({"cache_from": "a"}, TypeError, "cache_from is a sequence"),
        ({"cache_from": [None]}, TypeError, "cache_from: expected a str"),
        ({"buildargs": ["A=1"]}, TypeError, "buildargs: expected a mapping"),
        ({"buildargs": {"A": 1}}, TypeError, "buildargs: expected a mapping"),
        ({"labels": {"A": None}}, TypeError, "labels: expected a mapping"),
        ({"extra_hosts": ["a:1"]}, TypeError, "extra_hosts: expected a mapping"),
        ({"limits": {"memory": 1}}, TypeError, "limits: expected BuildLimits"),
        ({"builder": "podman"}, ValueError, "builder='podman': expected one of 'classic', 'buildkit'"),
        ({"builder": 2}, ValueError, "builder=2"),
        ({"outputs": [BuildOutput("moby")]}, ValueError, "outputs is for builder='buildkit'"),
        ({"outputs": BuildOutput("moby")}, TypeError, "outputs"),
        ({"outputs": [{"Type": "moby"}]}, TypeError, "outputs: expected a BuildOutput"),
        ({"limits": BuildLimits(ulimits=Ulimit("a", 1))}, TypeError, "ulimits"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
)
def test_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        said(**arguments)


# What BuildKit does not do, by a value that asks for it.
NOT_BUILDKIT: Final[dict[str, Any]] = {
    "network": "container:c",
    "rm": False,
    "force_rm": False,
    "squash": True,
    **{f"limits.{name}": BuildLimits(**{name: value}) for name, (value, _) in LIMITS.items()},
}
del NOT_BUILDKIT["limits.shm_size"], NOT_BUILDKIT["limits.ulimits"]


@pytest.mark.parametrize("what", NOT_BUILDKIT)
def test_what_buildkit_would_pass_over_is_refused(what: str) -> None:
    argument, _, limit = what.partition(".")
    assert said(**{argument: NOT_BUILDKIT[what]})
    with pytest.raises(ValueError, match=f"{argument}.*{limit}.*classic"):
        said(builder="buildkit", **{argument: NOT_BUILDKIT[what]})


def test_buildkit_takes_one_output() -> None:
    with pytest.raises(ValueError, match="outputs: an engine takes one"):
        said(builder="buildkit", outputs=[BuildOutput("moby"), BuildOutput("cacheonly")])


@pytest.mark.parametrize("kind", ["docker", "local", "oci", "tar"])
def test_an_output_that_would_come_back_over_a_session(kind: str) -> None:
    with pytest.raises(ValueError, match=f"type='{kind}'.*session.*open_save"):
        BuildOutput(kind)


@pytest.mark.parametrize(("kind", "attributes"), [(None, {}), ("image", {"push": True}), ("image", ["push=true"])])
def test_a_malformed_output(kind: Any, attributes: Any) -> None:
    with pytest.raises(TypeError, match="BuildOutput (type|attributes): expected"):
        BuildOutput(kind, attributes)


def test_text_in_documents_stays_as_it_is() -> None:
    (document,) = said(buildargs={"A": 'ä "quoted" \\ \n'}).values()
    assert json.loads(document) == {"A": 'ä "quoted" \\ \n'}
