"""Files behind a URL that the engine under test reaches."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL
from typing import Final

from anyio import open_process
from anyio.streams.text import TextReceiveStream

from anydocker.testing import PrivateEngine

__all__ = ("file_server",)

_LISTENING: Final = re.compile(r"port (\d+)")


@asynccontextmanager
async def file_server(engine: PrivateEngine | None, directory: Path) -> AsyncGenerator[str, None]:
    """Serve a directory on a loopback port of the engine's network; yields the URL, without a slash at its end."""
    program = (sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(directory))
    command = program if engine is None else engine.inside(program)
    async with await open_process(command, stderr=DEVNULL) as process:
        assert process.stdout is not None
        said = ""
        async for text in TextReceiveStream(process.stdout):
            said += text
            if found := _LISTENING.search(said):
                break
        else:
            raise AssertionError(f"the file server did not start: {said}")
        try:
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.kill()
