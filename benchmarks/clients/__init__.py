"""
An adapter for each client: its public API, used as its documentation says, and nothing more.

Each has a method for every action of a workload; what a client cannot do, it has no method for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from benchmarks.job import Client

__all__ = ("BASELINE", "CLIENTS", "OURS", "make_client")

BASELINE: Final = "aiodocker"
"""The client that everything is compared with."""
OURS: Final = ("asyncio", "uvloop", "trio")
"""anydocker on each of the event loops."""

_MAKERS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "asyncio": ("anydocker_client", "AnydockerClient", ("asyncio",)),
    "uvloop": ("anydocker_client", "AnydockerClient", ("uvloop",)),
    "trio": ("anydocker_client", "AnydockerClient", ("trio",)),
    "aiodocker": ("aiodocker_client", "AiodockerClient", ("asyncio",)),
    "aiodocker-uvloop": ("aiodocker_client", "AiodockerClient", ("uvloop",)),
    "docker-py": ("docker_client", "DockerClient", ()),
    "bare-asyncio": ("event_loops", "BareLoop", ("asyncio",)),
    "bare-trio": ("event_loops", "BareLoop", ("trio",)),
    "recv": ("limits", "Receiver", ()),
    "loop": ("limits", "TightLoop", ()),
}
CLIENTS: Final = tuple(_MAKERS)


def make_client(name: str) -> Client:
    """Import the adapter of that name, and nothing of the others."""
    module, maker, arguments = _MAKERS[name]
    make: Callable[..., Client] = getattr(import_module(f"benchmarks.clients.{module}"), maker)
    return make(*arguments)
