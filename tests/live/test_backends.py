"""Programs of their own on every event loop, with every warning an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import anydocker

pytestmark = pytest.mark.live

RUNNERS: Final = {
    "trio.run": "import trio\ntrio.run(main)",
    "asyncio.run": "import asyncio\nasyncio.run(main())",
    "uvloop.run": "import uvloop\nuvloop.run(main())",
    "anyio.run": "import anyio\nanyio.run(main)",
    "anyio.run on trio": "import anyio\nanyio.run(main, backend='trio')",
}

CALLS: Final = """
import sys
import anydocker

async def main():
    async with anydocker.connect(sys.argv[1]) as d:
        done = await d.containers.run("busybox", ["cat"], input=b"hi", network="none", labels={sys.argv[2]: ""})
        assert done.stdout == b"hi", done
        async with d.containers.open_run(
            "busybox", ["sh", "-c", "echo started; cat"], stdin=True, network="none", labels={sys.argv[2]: ""}
        ) as c:
            async with c.open_logs(follow=True) as log:
                async for line in log.lines():
                    assert line.text == "started"
                    break
            async with c.open_attach(stdin=True) as io:
                await io.send(b"hello")
                await io.send_eof()
                assert [frame.data async for frame in io] == [b"hello"]
        try:
            await d.images.get("no-such-image")
        except anydocker.NotFound:
            print("done")
"""

# Python leaves an interrupt ignored where it was when it started, as it is for what a shell runs in the background.
INTERRUPTED: Final = """
import os, signal, sys
import anydocker

signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    async with anydocker.connect(sys.argv[1]) as d:
        async with d.containers.open_run("busybox", ["sleep", "1000"], network="none", labels={sys.argv[2]: ""}) as c:
            assert (await c.inspect())["State"]["Running"]
            os.kill(os.getpid(), signal.SIGINT)
            await c.wait()
"""


def run_program(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Where this very package is, as the program's own directory would come first without -P.
    environment = {**os.environ, "PYTHONPATH": str(Path(anydocker.__file__).parents[1])}
    return subprocess.run(
        (sys.executable, "-P", "-W", "error", "-c", program, *arguments),
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_program(runner: str, engine_host: str, label: str) -> None:
    program = run_program(f"{CALLS}\n{RUNNERS[runner]}\n", engine_host, label)
    assert (program.stderr, program.stdout, program.returncode) == ("", "done\n", 0)


@pytest.mark.parametrize("runner", RUNNERS)
def test_ctrl_c_leaves_no_container(runner: str, engine_host: str, label: str) -> None:
    program = run_program(f"{INTERRUPTED}\n{RUNNERS[runner]}\n", engine_host, label)
    assert program.stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert "Warning" not in program.stderr
    listing = ("docker", "--host", engine_host, "ps", "--all", "--quiet", "--filter", f"label={label}")
    assert not subprocess.run(listing, capture_output=True, check=True).stdout


def test_nothing_is_imported_before_it_is_needed() -> None:
    program = "import sys, anydocker\nprint({'httpcore', 'h11', 'trio', 'uvloop'} & {*sys.modules})"
    assert run_program(program).stdout == "set()\n"
