"""What every call about images sends, to the byte, and what it refuses to send."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

import anydocker
from anydocker import (
    AuthError,
    BuildLimits,
    BuildOutput,
    BuildTrace,
    ContextError,
    Credentials,
    EngineFault,
    Image,
    InvalidReference,
    LoadFailed,
    ProtocolError,
    PullFailed,
    PushFailed,
    Ulimit,
    UnsupportedByEngine,
)
from anydocker.testing import Reply, Route, chunked_reply, json_reply
from tests.answered import Call, Query, answered, entered, needs, query_of, refuses, sends
from tests.helpers import Pieces

pytestmark = pytest.mark.anyio

ARM: Final = '{"os":"linux","architecture":"arm64"}'
ALICE: Final = Credentials(username="alice", password="s3cret")
IMAGE: Final = json_reply({"Id": "sha256:1"})
DONE: Final = chunked_reply([b'{"status":"done"}\r\n'])
ROUTES: Final[dict[str, Route]] = {
    "GET /images/json": json_reply([]),
    "GET /images/*/json": IMAGE,
    "GET /images/search": json_reply([]),
    "GET /images/get": chunked_reply([b"tar"]),
    "GET /images/*/history": json_reply([]),
    "GET /images/*/attestations": json_reply([]),
    "POST /images/create": DONE,
    "POST /images/load": DONE,
    "POST /images/*/push": DONE,
    "POST /images/*/tag": Reply(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", keep_alive=True),
    "POST /images/prune": json_reply({"ImagesDeleted": None, "SpaceReclaimed": 0}),
    "POST /build": chunked_reply([b'{"aux":{"ID":"sha256:1"}}\r\n']),
    "POST /build/prune": json_reply({"SpaceReclaimed": 0}),
    "DELETE /images/*": json_reply([]),
}

connected = partial(answered, ROUTES)


@pytest.fixture(autouse=True)
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def decoded(header: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(header))


# -- what is sent

# A call, and the first request it makes.
SENT: Final[list[tuple[Call, str, Query]]] = [
    (lambda d: d.images.list(), "GET /images/json", [("all", "0"), ("digests", "0")]),
    (
        lambda d: d.images.list(all=True, digests=True, filters={"reference": ["a:*", "b"], "dangling": False}),
        "GET /images/json",
        [("all", "1"), ("filters", '{"reference":["a:*","b"],"dangling":["false"]}'), ("digests", "1")],
    ),
    (lambda d: d.images.get("a/b:1"), "GET /images/a/b:1/json", []),
    (lambda d: d.images.image("a").inspect(), "GET /images/a/json", []),
    (
        lambda d: d.images.image("a").inspect(manifests=True, platform="linux/arm64"),
        "GET /images/a/json",
        [("manifests", "1"), ("platform", ARM)],
    ),
    (lambda d: d.images.image("a").history(), "GET /images/a/history", []),
    (lambda d: d.images.image("a").history(platform="linux/arm64"), "GET /images/a/history", [("platform", ARM)]),
    (lambda d: d.images.image("a").attestations(), "GET /images/a/attestations", []),
    (
        lambda d: d.images.image("a").attestations(platform="linux/arm64", types=["x", "y"], statement=True),
        "GET /images/a/attestations",
        [("platform", ARM), ("type", "x"), ("type", "y"), ("statement", "1")],
    ),
    (lambda d: d.images.image("a").tag("b"), "POST /images/a/tag", [("repo", "b"), ("tag", "latest")]),
    (
        lambda d: d.images.image("a").tag("host:5000/b/c:1.2"),
        "POST /images/a/tag",
        [("repo", "host:5000/b/c"), ("tag", "1.2")],
    ),
    (lambda d: d.images.image("a").remove(), "DELETE /images/a", [("force", "0"), ("noprune", "0")]),
    (
        lambda d: d.images.image("a").remove(force=True, prune=False, platforms=["linux/arm64", "linux/arm/v7"]),
        "DELETE /images/a",
        [
            ("force", "1"),
            ("noprune", "1"),
            ("platforms", ARM),
            ("platforms", '{"os":"linux","architecture":"arm","variant":"v7"}'),
        ],
    ),
    (lambda d: d.images.pull("a"), "POST /images/create", [("fromImage", "a"), ("tag", "latest")]),
    (lambda d: d.images.pull("host:5000/a:1"), "POST /images/create", [("fromImage", "host:5000/a"), ("tag", "1")]),
    (
        lambda d: d.images.pull("a@sha256:" + "0" * 64, platform="linux/arm64"),
        "POST /images/create",
        [("fromImage", "a"), ("tag", "sha256:" + "0" * 64), ("platform", "linux/arm64")],
    ),
    (lambda d: entered(d.images.open_pull("a", all_tags=True)), "POST /images/create", [("fromImage", "a")]),
    (lambda d: d.images.push("a"), "POST /images/a/push", [("tag", "latest")]),
    (
        lambda d: d.images.push("host:5000/a:1", platform="linux/arm64"),
        "POST /images/host:5000/a/push",
        [("tag", "1"), ("platform", ARM)],
    ),
    (lambda d: d.images.push("a", all_tags=True), "POST /images/a/push", []),
    (lambda d: Image("sha256:1", "a:2", docker=d).push(), "POST /images/a/push", [("tag", "2")]),
    (lambda d: d.images.load(b"tar"), "POST /images/load", [("quiet", "0")]),
    (
        lambda d: d.images.load(b"tar", platforms=["linux/arm64"]),
        "POST /images/load",
        [("quiet", "0"), ("platform", ARM)],
    ),
    (lambda d: entered(d.images.open_save(["a", "b:1"])), "GET /images/get", [("names", "a"), ("names", "b:1")]),
    (
        lambda d: entered(d.images.open_save(["a"], platform="linux/arm64")),
        "GET /images/get",
        [("names", "a"), ("platform", ARM)],
    ),
    (lambda d: entered(d.images.image("a").open_save()), "GET /images/get", [("names", "a")]),
    (
        lambda d: d.images.import_(b"tar", repository="a"),
        "POST /images/create",
        [("fromSrc", "-"), ("repo", "a:latest")],
    ),
    (
        lambda d: d.images.import_(
            "http://host/a?b=c", repository="a:1", changes=["ENV A=1", "CMD x"], message="m", platform="linux/arm64"
        ),
        "POST /images/create",
        [
            ("fromSrc", "http://host/a?b=c"),
            ("repo", "a:1"),
            ("changes", "ENV A=1"),
            ("changes", "CMD x"),
            ("message", "m"),
            ("platform", "linux/arm64"),
        ],
    ),
    (lambda d: d.images.search("a b"), "GET /images/search", [("term", "a b")]),
    (
        lambda d: d.images.search("a", limit=5, filters={"is-official": True, "stars": 10}),
        "GET /images/search",
        [("term", "a"), ("limit", "5"), ("filters", '{"is-official":["true"],"stars":["10"]}')],
    ),
    (lambda d: d.images.prune(), "POST /images/prune", []),
    (
        lambda d: d.images.prune(filters={"dangling": False}),
        "POST /images/prune",
        [("filters", '{"dangling":["false"]}')],
    ),
    (
        lambda d: d.images.prune_builds(
            all=True, filters={"until": "1h"}, reserved_space=1, max_used_space=2, min_free_space=3
        ),
        "POST /build/prune",
        [
            ("all", "1"),
            ("filters", '{"until":["1h"]}'),
            ("reserved-space", "1"),
            ("max-used-space", "2"),
            ("min-free-space", "3"),
        ],
    ),
]


@pytest.mark.parametrize(("call", "target", "query"), SENT, ids=[f"{n}-{sent[1]}" for n, sent in enumerate(SENT)])
async def test_what_is_sent(call: Call, target: str, query: Query) -> None:
    await sends(ROUTES, call, target, query)


async def test_prune_builds_of_an_older_engine() -> None:
    async with connected(api_version="1.47") as (docker, engine):
        await docker.images.prune_builds(reserved_space=1)
        assert query_of(engine.requests[0]) == [("all", "0"), ("keep-storage", "1")]


Make = Callable[[], bytes | io.BytesIO | Pieces]


@pytest.mark.parametrize(
    ("make", "length"),
    [(lambda: b"tar", "3"), (lambda: io.BytesIO(b"tar"), None), (lambda: Pieces(b"t", b"", b"ar"), None)],
)
async def test_an_archive_is_the_body(make: Make, length: str | None) -> None:
    calls: list[Call] = [
        lambda d: d.images.load(make()),
        lambda d: d.images.import_(make(), repository="a"),
        lambda d: d.images.build(make()),
    ]
    async with connected() as (docker, engine):
        for call in calls:
            engine.requests.clear()
            await call(docker)
            request = engine.requests[0]
            assert request.body == b"tar"
            assert request.headers["content-type"] == "application/x-tar"
            assert request.headers.get("content-length") == length
            assert ("transfer-encoding" in request.headers) is (length is None)


async def test_a_file_is_the_body(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"x" * 2_500_000)
    async with connected() as (docker, engine):
        await docker.images.load(tmp_path / "a.tar")
        assert engine.requests[0].body == b"x" * 2_500_000


# -- credentials


@pytest.mark.parametrize("auth", [ALICE, Credentials(identity_token="token", server="host")])
async def test_credentials_that_are_given(auth: Credentials) -> None:
    calls: list[Call] = [
        lambda d: d.images.pull("host/a", auth=auth),
        lambda d: d.images.push("host/a", auth=auth),
        lambda d: Image("sha256:1", "host/a", docker=d).push(auth=auth),
    ]
    async with connected() as (docker, engine):
        for call in calls:
            engine.requests.clear()
            await call(docker)
            assert decoded(engine.requests[0].headers["x-registry-auth"]) == auth.document()


async def test_credentials_that_are_found(no_credentials: Path) -> None:
    auths = {"host:5000": {"auth": base64.b64encode(b"alice:s3cret").decode()}, "other": {}}
    (no_credentials / "config.json").write_text(json.dumps({"auths": auths}))
    found = {**ALICE.document(), "serveraddress": "host:5000"}
    async with connected() as (docker, engine):
        await docker.images.pull("host:5000/a")
        await docker.images.build(b"tar")
        pull, build = (request for request in engine.requests if request.method == "POST")
    assert decoded(pull.headers["x-registry-auth"]) == found
    assert decoded(build.headers["x-registry-config"]) == {"host:5000": found}


async def test_without_credentials_only_a_push_says_so() -> None:
    async with connected() as (docker, engine):
        await docker.images.pull("host/a")
        await docker.images.push("host/a")
        await docker.images.build(b"tar")
        pull, push, build = (request for request in engine.requests if request.method == "POST")
    assert "x-registry-auth" not in pull.headers
    assert decoded(push.headers["x-registry-auth"]) == {}
    assert "x-registry-config" not in build.headers


async def test_credentials_that_cannot_be_read(no_credentials: Path) -> None:
    (no_credentials / "config.json").write_text("{")
    async with connected() as (docker, engine):
        for call in (docker.images.pull("a"), docker.images.push("a"), docker.images.build(b"tar")):
            with pytest.raises(AuthError, match=r"config\.json"):
                await call
        assert not engine.requests


# -- build


async def test_build_sends_all_of_it() -> None:
    async with connected() as (docker, engine):
        image = await docker.images.build(
            b"tar",
            dockerfile="docker/file",
            tags=["a", "host:5000/b:1"],
            target="stage",
            buildargs={"A": "1", "B": None},
            labels={"x": "y"},
            platform="linux/arm64",
            network="none",
            extra_hosts={"db": "10.0.0.1", "six": "fd00::1"},
            cache_from=["c"],
            no_cache=True,
            pull=True,
            rm=False,
            force_rm=False,
            squash=True,
            limits=BuildLimits(memory=1, ulimits=[Ulimit("nofile", 1, 2)]),
            auth={"host:5000": ALICE},
        )
        request = engine.requests[0]
    assert (image.id, image.name, image.log) == ("sha256:1", "a", "")
    assert query_of(request) == [
        ("version", "1"),
        ("t", "a:latest"),
        ("t", "host:5000/b:1"),
        ("target", "stage"),
        ("buildargs", '{"A":"1","B":null}'),
        ("labels", '{"x":"y"}'),
        ("platform", "linux/arm64"),
        ("networkmode", "none"),
        ("extrahosts", "db:10.0.0.1"),
        ("extrahosts", "six:fd00::1"),
        ("cachefrom", '["c"]'),
        ("nocache", "1"),
        ("pull", "1"),
        ("rm", "0"),
        ("forcerm", "0"),
        ("squash", "1"),
        ("memory", "1"),
        ("ulimits", '[{"Name":"nofile","Soft":1,"Hard":2}]'),
        ("dockerfile", "docker/file"),
    ]
    assert decoded(request.headers["x-registry-config"]) == {"host:5000": ALICE.document()}


async def test_build_says_no_more_than_it_must() -> None:
    async with connected() as (docker, engine):
        await docker.images.build(b"tar")
        assert query_of(engine.requests[0]) == [
            ("version", "1"),
            ("rm", "1"),
            ("forcerm", "1"),
            ("dockerfile", "Dockerfile"),
        ]


async def test_build_of_a_remote_sends_no_body() -> None:
    remote = "https://git.example/a.git#main:sub"
    async with connected() as (docker, engine):
        await docker.images.build(remote=remote, dockerfile="other/file")
        await docker.images.build(remote=remote)
        first, second = engine.requests
    assert (first.body, first.headers["content-length"]) == (b"", "0")
    assert query_of(first)[3:] == [("dockerfile", "other/file"), ("remote", remote)]
    assert query_of(second)[3:] == [("remote", remote)]


async def test_a_build_without_an_image_is_an_error() -> None:
    async with connected({"POST /build": DONE}) as (docker, _):
        with pytest.raises(ProtocolError, match="without an image"):
            await docker.images.build(b"tar")


# -- what comes back


PUSHED: Final = [
    ([b'{"aux":{"Tag":"1","Digest":"sha256:ab","Size":528}}'], ("sha256:ab", 528)),
    ([b'{"status":"1: digest: sha256:ab size: 528"}'], ("sha256:ab", 528)),
    ([b'{"status":"1: digest: sha256:ab"}'], ("sha256:ab", None)),
    ([b'{"status":"done"}'], (None, None)),
]


@pytest.mark.parametrize(("documents", "expected"), PUSHED)
async def test_the_digest_of_what_was_pushed(documents: list[bytes], expected: tuple[str | None, int | None]) -> None:
    async with connected({"POST /images/*/push": chunked_reply(documents)}) as (docker, _):
        pushed = await docker.images.push("a:1")
    assert (pushed.reference, (pushed.digest, pushed.size)) == ("a:1", expected)


LOADED: Final[list[tuple[list[bytes], list[str]]]] = [
    ([b'{"stream":"Loaded image: a:1\\n"}', b'{"stream":"Loaded image: b/c:2\\n"}'], ["a:1", "b/c:2"]),
    ([b'{"stream":"Loaded image ID: sha256:ab\\n"}'], ["sha256:ab"]),
    ([b'{"stream":"Loaded image(s): a:1,b:2\\n"}'], ["a:1", "b:2"]),
    ([b'{"stream":"something else\\n"}'], []),
]


@pytest.mark.parametrize(("documents", "names"), LOADED)
async def test_the_images_that_were_loaded(documents: list[bytes], names: list[str]) -> None:
    async with connected({"POST /images/load": chunked_reply(documents)}) as (docker, _):
        assert [image.name for image in await docker.images.load(b"tar")] == names


async def test_an_error_among_the_steps() -> None:
    failed = chunked_reply([b'{"status":"so far"}', b'{"errorDetail":{"code":7,"message":"no space"},"error":"x"}'])
    routes: dict[str, Route] = {
        "POST /images/create": failed,
        "POST /images/load": failed,
        "POST /images/*/push": failed,
    }
    calls: list[tuple[Call, type[anydocker.StreamError]]] = [
        (lambda d: d.images.pull("a"), PullFailed),
        (lambda d: d.images.push("a"), PushFailed),
        (lambda d: d.images.load(b"tar"), LoadFailed),
        (lambda d: d.images.import_(b"tar", repository="a"), LoadFailed),
    ]
    async with connected(routes) as (docker, _):
        for call, error in calls:
            with pytest.raises(error, match="no space") as caught:
                await call(docker)
            assert (caught.value.code, caught.value.log) == (7, "so far\n")


async def test_search() -> None:
    found = [{"name": "busybox", "is_official": True, "star_count": 3, "description": "x"}]
    async with connected({"GET /images/search": json_reply(found)}) as (docker, _):
        assert await docker.images.search("busybox") == found
    refused = json_reply({"message": "Get https://index.docker.io: no route to host"}, 500)
    async with connected({"GET /images/search": refused}) as (docker, _):
        with pytest.raises(EngineFault, match="no route to host"):
            await docker.images.search("busybox")


async def test_names_and_summaries_of_a_listing() -> None:
    documents = [
        {"Id": "sha256:1", "RepoTags": ["a:1", "a:2"]},
        {"Id": "sha256:2", "RepoTags": ["<none>:<none>"]},
        {"Id": "sha256:3", "RepoTags": None},
    ]
    async with connected({"GET /images/json": json_reply(documents)}) as (docker, _):
        images = await docker.images.list()
    assert [(image.id, image.name) for image in images] == [("sha256:1", "a:1"), ("sha256:2", None), ("sha256:3", None)]
    assert [image.summary for image in images] == documents


# -- what is refused before anything is sent

SHA: Final = "a@sha256:" + "0" * 64


def wrong(value: object) -> Any:
    """A value of a type that type checkers would not let pass."""
    return value


REFUSED: Final[list[tuple[Call, type[Exception], str]]] = [
    (lambda d: d.images.get(""), ValueError, "image"),
    (lambda d: d.images.get(wrong(None)), TypeError, "image"),
    (lambda d: d.images.list(filters={"dangling": wrong(1.5)}), TypeError, "dangling"),
    (lambda d: d.images.pull(""), InvalidReference, "empty"),
    (lambda d: d.images.pull("UPPER"), InvalidReference, "UPPER"),
    (lambda d: d.images.pull("a:1", all_tags=True), ValueError, "all_tags"),
    (lambda d: d.images.pull(SHA, all_tags=True), ValueError, "all_tags"),
    (lambda d: d.images.pull("a", auth=wrong({"username": "alice"})), TypeError, "auth"),
    (lambda d: d.images.push("a:1", all_tags=True), ValueError, "all_tags"),
    (lambda d: d.images.push(SHA), ValueError, "pushed by its tag"),
    (lambda d: d.images.push("../a"), InvalidReference, r"\.\./a"),
    (lambda d: d.images.push("a", auth=wrong("token")), TypeError, "auth"),
    (lambda d: d.images.push("a", platform="arm64"), ValueError, "platform='arm64'"),
    (lambda d: Image("sha256:1", docker=d).push(), ValueError, "no name"),
    (lambda d: d.images.load(wrong("a.tar")), TypeError, "source"),
    (lambda d: d.images.load(wrong(None)), TypeError, "source"),
    (lambda d: d.images.load(wrong(io.StringIO("text"))), TypeError, "source.*binary"),
    (lambda d: d.images.load(b"", platforms=wrong("linux/arm64")), TypeError, "platforms"),
    (lambda d: d.images.load(b"", platforms=["arm64"]), ValueError, "platform='arm64'"),
    (lambda d: entered(d.images.open_save(wrong("a"))), TypeError, "references"),
    (lambda d: entered(d.images.open_save([])), ValueError, "references"),
    (lambda d: entered(d.images.open_save(["a", ""])), ValueError, "references"),
    (lambda d: entered(d.images.open_save(["a", "../b"])), ValueError, "references"),
    (lambda d: entered(d.images.open_save(["a"], platform="")), ValueError, "platform=''"),
    (lambda d: d.images.import_(b"", repository="UPPER"), InvalidReference, "UPPER"),
    (lambda d: d.images.import_(b"", repository=SHA), InvalidReference, "digest"),
    (lambda d: d.images.import_("a.tar", repository="a"), ValueError, "source='a.tar'"),
    (lambda d: d.images.import_(wrong(3), repository="a"), TypeError, "source"),
    (lambda d: d.images.search(" "), ValueError, "term"),
    (lambda d: d.images.prune(filters={"until": wrong(None)}), TypeError, "until"),
    (lambda d: d.images.image("a").tag("UPPER"), InvalidReference, "UPPER"),
    (lambda d: d.images.image("a").tag(SHA), InvalidReference, "digest"),
    (lambda d: d.images.image("a").remove(platforms=wrong("linux/arm64")), TypeError, "platforms"),
    (lambda d: d.images.image("a").inspect(platform="linux"), ValueError, "platform='linux'"),
    (lambda d: d.images.image("a").history(platform="linux"), ValueError, "platform='linux'"),
    (lambda d: d.images.image("a").attestations(platform="linux"), ValueError, "platform='linux'"),
    (lambda d: d.images.build(), TypeError, "nothing to build"),
    (lambda d: d.images.build(wrong(3)), TypeError, "source"),
    (lambda d: d.images.build(wrong(io.StringIO("text"))), TypeError, "source.*binary"),
    (lambda d: d.images.build("/no/such/directory"), ContextError, "/no/such/directory"),
    (lambda d: d.images.build(b""), ContextError, "empty"),
    (lambda d: d.images.build(b"tar", dockerfile="../file"), ContextError, r"\.\./file"),
    (lambda d: d.images.build(b"tar", dockerfile_text="FROM a"), TypeError, "dockerfile_text"),
    (lambda d: d.images.build(dockerfile="a", dockerfile_text="FROM a"), TypeError, "dockerfile_text"),
    (lambda d: d.images.build(dockerfile_text=" "), ContextError, "dockerfile_text"),
    (lambda d: d.images.build(b"tar", remote="http://host/a"), ValueError, "remote="),
    (lambda d: d.images.build(dockerfile_text="FROM a", remote="http://host/a"), ValueError, "remote="),
    (lambda d: d.images.build(remote="http://host/a", dockerfile="../a"), ValueError, "dockerfile="),
    (lambda d: d.images.build(remote="http://host/a", dockerfile="/a"), ValueError, "dockerfile="),
    (lambda d: d.images.build(b"tar", tags=["fine", "UPPER"]), InvalidReference, "UPPER"),
    (lambda d: d.images.build(b"tar", tags=[SHA]), InvalidReference, "digest"),
    (lambda d: d.images.build(b"tar", tags="a"), TypeError, "tags"),
    (lambda d: d.images.build(b"tar", cache_from="a"), TypeError, "cache_from"),
    (lambda d: d.images.build(b"tar", buildargs=wrong(["A=1"])), TypeError, "buildargs"),
    (lambda d: d.images.build(b"tar", labels=wrong(["a"])), TypeError, "labels"),
    (lambda d: d.images.build(b"tar", labels={"a": wrong(1)}), TypeError, "labels"),
    (lambda d: d.images.build(b"tar", extra_hosts=wrong(["a:1"])), TypeError, "extra_hosts"),
    (lambda d: d.images.build(b"tar", limits=wrong({"memory": 1})), TypeError, "limits"),
    (lambda d: d.images.build(b"tar", limits=BuildLimits(ulimits=wrong([("a", 1)]))), TypeError, "ulimits"),
    (lambda d: d.images.build(b"tar", auth=wrong(ALICE)), TypeError, "auth"),
    (lambda d: d.images.build(b"tar", auth={"host": wrong({"username": "alice"})}), TypeError, "auth"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[f"{n}-{r[2]}" for n, r in enumerate(REFUSED)])
async def test_what_is_refused(call: Call, error: type[Exception], message: str) -> None:
    await refuses(ROUTES, call, error, message)


BUILDKIT: Final[list[tuple[Call, str]]] = [
    (lambda d: d.images.build(b"tar", builder="buildkit", auth={}), "auth is for builder='classic'"),
    (lambda d: d.images.build(b"tar", builder="buildkit", outputs=[BuildOutput("cacheonly")]), "use open_build"),
    (lambda d: d.images.build(b"tar", builder="buildkit", squash=True), "squash"),
]


@pytest.mark.parametrize(("call", "message"), BUILDKIT, ids=[message for _, message in BUILDKIT])
async def test_what_buildkit_would_not_do_is_refused(call: Call, message: str) -> None:
    async with connected() as (docker, engine):
        with pytest.raises(ValueError, match=message):
            await call(docker)
        assert not engine.requests


async def test_podman_has_no_buildkit() -> None:
    ping = Reply(
        b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 5.4.2\r\nContent-Length: 0\r\n\r\n",
        keep_alive=True,
    )
    async with connected({"HEAD /_ping": ping}, api_version="1.41") as (docker, engine):
        assert docker.is_podman
        with pytest.raises(UnsupportedByEngine, match="Podman"):
            await docker.images.build(b"tar", builder="buildkit")
        assert not engine.requests
        assert (await docker.images.build(b"tar")).id == "sha256:1"


async def test_buildkit_gets_no_credentials(no_credentials: Path) -> None:
    auths = {"host:5000": {"auth": base64.b64encode(b"alice:s3cret").decode()}}
    (no_credentials / "config.json").write_text(json.dumps({"auths": auths}))
    async with connected() as (docker, engine):
        image = await docker.images.build(b"tar", builder="buildkit", tags=["a"], outputs=[BuildOutput("moby")])
        request = engine.requests[0]
    assert (image.id, image.name) == ("sha256:1", "a")
    assert "x-registry-config" not in request.headers
    assert query_of(request)[0] == ("version", "2")


async def test_an_output_without_an_image() -> None:
    routes: dict[str, Route] = {"POST /build": chunked_reply([b'{"id":"moby.buildkit.trace","aux":""}\r\n'])}
    async with connected(routes) as (docker, _):
        outputs = [BuildOutput("cacheonly")]
        async with docker.images.open_build(b"tar", builder="buildkit", outputs=outputs) as events:
            assert [event.trace async for event in events] == [BuildTrace()]
        assert events.image_id is None


TOO_NEW: Final[list[tuple[Call, str]]] = [
    (lambda d: d.images.build(b"tar", builder="buildkit", limits=BuildLimits(shm_size=1)), "1.45"),
    (lambda d: d.images.build(b"tar", builder="buildkit", limits=BuildLimits(ulimits=[Ulimit("core", 0)])), "1.45"),
    (lambda d: d.images.push("a", platform="linux/arm64"), "1.46"),
    (lambda d: d.images.image("a").inspect(manifests=True), "1.48"),
    (lambda d: d.images.image("a").history(platform="linux/arm64"), "1.48"),
    (lambda d: d.images.load(b"", platforms=["linux/arm64"]), "1.48"),
    (lambda d: entered(d.images.open_save(["a"], platform="linux/arm64")), "1.48"),
    (lambda d: d.images.prune_builds(max_used_space=1), "1.48"),
    (lambda d: d.images.prune_builds(min_free_space=1), "1.48"),
    (lambda d: d.images.image("a").inspect(platform="linux/arm64"), "1.49"),
    (lambda d: d.images.image("a").remove(platforms=["linux/arm64"]), "1.50"),
    (lambda d: d.images.image("a").attestations(), "1.55"),
]


@pytest.mark.parametrize(("call", "version"), TOO_NEW, ids=[f"{n}-{t[1]}" for n, t in enumerate(TOO_NEW)])
async def test_what_the_engine_is_too_old_for(call: Call, version: str) -> None:
    await needs(ROUTES, call, version)
