"""Each argument of each call about images and containers, of a type that nothing takes: refused by its name."""

from __future__ import annotations

import inspect
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import pytest

import anydocker
from anydocker import Containers, Images
from anydocker.testing import scripted_engine

pytestmark = pytest.mark.anyio

# What a call cannot do without.
NEEDED: Final[dict[str, dict[str, Any]]] = {
    "images.build": {"source": b"tar"},
    "images.open_build": {"source": b"tar"},
    "images.pull": {"reference": "a"},
    "images.open_pull": {"reference": "a"},
    "images.push": {"reference": "a"},
    "images.open_push": {"reference": "a"},
    "images.load": {"source": b"tar"},
    "images.open_load": {"source": b"tar"},
    "images.open_save": {"references": ["a"]},
    "images.import_": {"source": b"tar", "repository": "a"},
    "images.search": {"term": "a"},
    "images.list": {},
    "images.get": {},
    "images.image": {},
    "images.prune": {},
    "images.prune_builds": {},
    "containers.create": {"image": "a"},
    "containers.replace": {"image": "a", "name": "c"},
    "containers.run": {"image": "a"},
    "containers.open_run": {"image": "a"},
    "containers.list": {},
    "containers.get": {},
    "containers.container": {},
    "containers.prune": {},
}
# One of a few values each; and names that a message has for all of them.
CHOICES: Final = {"images.builder", "containers.pull"}
CALLED: Final = {
    "images.get": "image",
    "images.image": "image",
    "containers.get": "container",
    "containers.container": "container",
}


class Odd:
    """A value of a type that nothing takes."""

    def __repr__(self) -> str:
        return "Odd()"


def arguments(call: str) -> list[str]:
    namespace, _, verb = call.partition(".")
    function = getattr({"images": Images, "containers": Containers}[namespace], verb)
    return [name for name in inspect.signature(function).parameters if name != "self"]


ARGUMENTS: Final = [(call, name) for call in NEEDED for name in arguments(call)]


def test_every_call_is_there() -> None:
    for namespace, kind in (("images", Images), ("containers", Containers)):
        public = {name for name in dir(kind) if not name.startswith("_")}
        assert {f"{namespace}.{name}" for name in public} == {call for call in NEEDED if call.startswith(namespace)}


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_value_that_nothing_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    async with scripted_engine({}, api_version="1.55") as engine, anydocker.connect(engine.host) as docker:
        engine.requests.clear()
        for call, name in ARGUMENTS:
            namespace, _, verb = call.partition(".")
            error = ValueError if f"{namespace}.{name}" in CHOICES else TypeError
            with pytest.raises(error, match=rf"{CALLED.get(call, name)}\b.*Odd"):
                await made(getattr(getattr(docker, namespace), verb)(**{**NEEDED[call], name: Odd()}))
        assert not engine.requests


async def made(call: Any) -> None:
    """Make a call of either form; a handle is there at once."""
    if isinstance(call, AbstractAsyncContextManager):
        async with call:
            return
    elif inspect.isawaitable(call):
        await call
