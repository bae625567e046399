"""
An id, a name or a path that a caller passes on cannot make a request go somewhere else.

Every public method is found by introspection and called twice over an engine in memory: with a word for each argument
that is a text, and with something hostile in its place. Either the call refuses it before anything is sent, or its
request line is the same but for what stands in that word's place, which stays within its segment.
"""

from __future__ import annotations

import inspect
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from posixpath import normpath
from tempfile import gettempdir
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio
import attrs
import httpcore
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

import anydocker
from anydocker import Docker, DockerError
from tests.recorded import sweep

WORD: Final = "w0rd"

# Where a name of several segments is the rule: those of images.
SLASHES_ALLOWED: Final = ("images", "distribution")
# RFC 3986: what stands for itself in a path.
SEGMENT: Final = re.compile(r"(?:[A-Za-z0-9._~:@/-]|%[0-9A-F]{2})+")

HOSTILE: Final = [
    "",
    " ",
    ".",
    "..",
    "/",
    "//",
    "../x",
    "../../images/x",
    "x/..",
    "x/../y",
    "a/../../b",
    "x/./y",
    "./x",
    "x/",
    "/x",
    "//x",
    "x//y",
    "/../x",
    "%2e%2e/x",
    "%2E%2E%2Fx",
    "..%2fx",
    "%2f",
    "x%00",
    "x%0d%0aX: y",
    "x?force=1",
    "x#y",
    "x&force=1",
    "x;y",
    "x=y",
    "x y",
    "x\ty",
    "x\r\nHost: evil",
    "x HTTP/1.1\r\n\r\nDELETE /images/y HTTP/1.1",
    "x\0",
    "x\x7f",
    "x\x85",
    "\\..\\x",
    "..\\x",
    "x\\y",
    "é",
    "汉",
    "\ud800",
    "\u2025/x",
    "\uff0e\uff0e/x",
    "\uff0fx",
    "http://evil/x",
    "@evil",
    "x:y@z",
    "~",
    "*",
    "json",
    "prune",
    "x" * 5000,
]


# -- an engine that notes what it is asked, and has nothing


@attrs.define(eq=False)
class Notes(httpcore.AsyncNetworkBackend):
    """Refuses everything with 404, but for the ping; ``lines`` has the request lines, as they came."""

    lines: list[str] = attrs.field(factory=list[str])

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        await checkpoint()
        return NotesStream(self.lines)


class NotesStream(httpcore.AsyncNetworkStream):
    """One request, one answer."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._asked = False
        self._answer: deque[bytes] = deque()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await checkpoint()
        if self._asked:
            return
        self._asked = True
        line, *fields = bytes(buffer).partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        assert [field for field in fields if field.lower().startswith("host")] == ["Host: docker"]
        self._lines.append(line)
        if line.startswith("HEAD /_ping "):
            self._answer.append(b"HTTP/1.1 200 OK\r\nApi-Version: 1.55\r\nContent-Length: 0\r\n\r\n")
        else:
            body = b"" if line.startswith("HEAD") else b'{"message": "no such thing"}'
            self._answer.append(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await checkpoint()
        return self._answer.popleft() if self._answer else b""

    async def aclose(self) -> None:
        await checkpoint()

    def get_extra_info(self, info: str) -> Any:
        # There is one answer: whoever looks whether the connection is alive finds its end.
        return info == "is_readable"


# -- every method, found by introspection


@attrs.frozen
class Target:
    """A method and the argument of it that is tried; ``handle`` is for the id of the handle it is a method of."""

    owner: str
    method: str
    argument: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.method}({self.argument})"


def handles(d: Docker, word: str) -> dict[str, Any]:
    """The objects whose methods are tried. Those that are made of an id are made past the checks of their makers."""
    return {
        "Docker": d,
        "Containers": d.containers,
        "Images": d.images,
        "Networks": d.networks,
        "Volumes": d.volumes,
        "Distribution": d.distribution,
        "Container": anydocker.Container(word, docker=d),
        "Image": anydocker.Image(word, word, docker=d),
        "Network": anydocker.Network(word, docker=d),
        "Volume": anydocker.Volume(word, docker=d),
    }


HANDLES: Final = ("Container", "Image", "Network", "Volume")
# Raw access takes a path and sends it; the others send nothing.
RAW: Final = {"request", "open_request", "require", "speaks", "statistics"}
# What is passed for arguments without a default that are no texts, or no text that could be any.
FILLED: Final[Mapping[str, Any]] = {
    "command": ["true"],
    "config": {"Memory": 1},
    "spec": {"Availability": "drain"},
    "version": 1,
    "rows": 1,
    "columns": 1,
    "port": 80,
    "source": b"tar",
    "username": "me",
    "password": "secret",
    "references": [WORD],
    "image": WORD,
}


# What particular methods need beside.
BESIDE: Final[Mapping[str, Mapping[str, Any]]] = {
    "build": {"dockerfile_text": "FROM busybox"},
    "open_build": {"dockerfile_text": "FROM busybox"},
    "copy_to": {"source": __file__},
    "copy_from": {"source": "/etc", "target": gettempdir()},
}
# Texts of a form of their own, which a word has not.
FORMED: Final = {"ipv4", "ipv6", "mac_address", "platform", "signal"}


def functions(owner: type[Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, function in inspect.getmembers(owner, inspect.isfunction):
        if not name.startswith("_") and name not in RAW:
            yield name, function


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return [*inspect.signature(function).parameters.values()][1:]


def is_text_parameter(parameter: inspect.Parameter) -> bool:
    parts = {part.strip() for part in str(parameter.annotation).split("|")}
    return "str" in parts and not any("Path" in part or "Upload" in part for part in parts)


def targets() -> Iterator[Target]:
    for owner, value in handles(anydocker.connect("unix:///nowhere"), WORD).items():
        for name, function in functions(value.__class__):
            if owner in HANDLES:
                yield Target(owner, name, "handle")
            for parameter in parameters(function):
                if is_text_parameter(parameter):
                    yield Target(owner, name, parameter.name)


TARGETS: Final = list(targets())


def arguments(target: Target, function: Callable[..., Any], value: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for parameter in parameters(function):
        if parameter.default is parameter.empty:
            given[parameter.name] = FILLED.get(parameter.name, WORD)
    if target.argument != "remote":
        given |= BESIDE.get(target.method, {})
    return given if target.argument == "handle" else given | {target.argument: value}


async def call(target: Target, d: Docker, value: str) -> None:
    owner: object = handles(d, value if target.argument == "handle" else WORD)[target.owner]
    method = getattr(owner, target.method)
    given = arguments(target, getattr(type(owner), target.method), value)
    made = method(**given)
    if inspect.isawaitable(made):
        await made
    elif hasattr(made, "__aenter__"):
        async with made:
            pytest.fail(f"{target}: there is nothing to open")


async def lines_of(target: Target, d: Docker, notes: Notes, value: str) -> tuple[list[str], Exception | None]:
    """The request lines of a call, and what became of it."""
    notes.lines.clear()
    try:
        await call(target, d, value)
    except (DockerError, ValueError, TypeError) as exc:
        return notes.lines.copy(), exc
    return notes.lines.copy(), None


def check(target: Target, plain: list[str], hostile: list[str]) -> None:
    """Assert that a hostile value has changed nothing but what stands in its place."""
    assert len(hostile) <= len(plain), (target, hostile)
    for expected, line in zip(plain, hostile, strict=False):
        method, address, protocol = line.split(" ")
        wanted_method, wanted, _ = expected.split(" ")
        assert (method, protocol) == (wanted_method, "HTTP/1.1")
        path, wanted_path = urlsplit(address).path, urlsplit(wanted).path
        check_path(target, wanted_path, path)
        keys, wanted_keys = ({key for key, _ in parse_qsl(urlsplit(text).query)} for text in (address, wanted))
        assert keys <= wanted_keys | {"tag"}, (target, line)
        assert "#" not in address


def check_path(target: Target, wanted: str, path: str) -> None:
    before, word, behind = wanted.partition(WORD)
    if not word:
        assert path == wanted, target
        return
    assert path.startswith(before), (target, path)
    assert path.endswith(behind), (target, path)
    middle = path[len(before) : len(path) - len(behind)]
    assert SEGMENT.fullmatch(middle), (target, path)
    # The engine decodes a path and then cleans it: it has to be clean.
    assert normpath(unquote(path)) == unquote(path), (target, path)
    if before.split("/")[2] not in SLASHES_ALLOWED:
        assert "/" not in middle, (target, path)


@pytest.fixture(autouse=True)
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_API_VERSION", raising=False)


async def try_all(values: Iterable[str]) -> dict[Target, int]:
    """Try the values with every method; count how often something was sent."""
    sent: dict[Target, int] = {}
    notes = Notes()
    async with anydocker.connect("unix:///nowhere", network_backend=notes) as d:
        for target in TARGETS:
            plain, _ = await lines_of(target, d, notes, WORD)
            for value in values:
                lines, error = await lines_of(target, d, notes, value)
                assert lines or error is not None or target.method in MAKERS, target
                check(target, plain, lines)
            sent[target] = len(plain)
    return sent


# These make a handle, and send nothing.
MAKERS: Final = {"container", "image", "network", "volume"}


def test_the_walk_finds_what_there_is() -> None:
    found = {f"{target.owner}.{target.method}" for target in TARGETS}
    assert {"Container.stop", "Container.open_logs", "Container.exec", "Image.push", "Images.open_pull"} <= found
    assert {"Networks.get", "Network.connect", "Volume.remove", "Distribution.inspect", "Docker.login"} <= found
    assert {"Containers.container", "Containers.replace", "Container.rename"} <= found
    assert len(TARGETS) > 100


@sweep
@pytest.mark.anyio
async def test_hostile_names_stay_in_their_place() -> None:
    sent = await try_all(HOSTILE)
    silent = {target for target, count in sent.items() if not count and target.method not in MAKERS}
    assert sorted(str(target) for target in silent if target.argument not in FORMED) == []


NASTY: Final = st.text(st.sampled_from("ab2eEfF./\\%?#&=;:@+*~ \t\r\n\0\x7f\u0085é汉\uff0e\ud800"), max_size=12)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=5)  # each tries some 150 arguments
@given(values=st.lists(NASTY | st.text(max_size=8), min_size=1, max_size=2))
def test_no_text_leaves_its_place(backend: str, values: list[str]) -> None:
    anyio.run(try_all, values, backend=backend)
