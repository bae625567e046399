"""Programs that do nothing but start: they print the seconds from their first line to their last."""

from __future__ import annotations

from typing import Final

__all__ = ("startup_code",)

_FRAME: Final = """\
import os, sys, time
sys.modules["msgspec"] = None
start = time.perf_counter()
{body}
print(time.perf_counter() - start)
"""

_IMPORTS: Final = {
    "asyncio": "import anydocker",
    "aiodocker": "import aiodocker",
    "docker-py": "import docker",
}

_ANYDOCKER: Final = """\
import anydocker, anyio
async def main():
    async with anydocker.connect(os.environ["BENCH_HOST"]) as d:
        await d.version()
anyio.run(main, backend="{backend}")
"""
_FIRST_CALLS: Final = {
    "asyncio": _ANYDOCKER.format(backend="asyncio"),
    "trio": _ANYDOCKER.format(backend="trio"),
    "aiodocker": """\
import aiodocker, asyncio
async def main():
    async with aiodocker.Docker(os.environ["BENCH_HOST"]) as d:
        await d.version()
asyncio.run(main())
""",
    "docker-py": """\
import docker
client = docker.APIClient(os.environ["BENCH_HOST"].replace("unix://", "http+unix://"))
client.version()
client.close()
""",
}


def startup_code(action: str, client: str) -> str:
    """The program for an action and a client; empty if there is none."""
    programs = _IMPORTS if action == "import" else _FIRST_CALLS
    # An import is the same on every event loop.
    client = "asyncio" if action == "import" and client == "trio" else client
    return _FRAME.format(body=programs[client]) if client in programs else ""
