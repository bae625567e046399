"""The file that the ``docker`` command line keeps its settings in, read off the event loop."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync

from anydocker._endpoint import config_directory, read_object
from anydocker.errors import ConfigError

__all__ = ("read_config",)


async def read_config(environ: Mapping[str, str] | None, home: Path | None) -> dict[str, Any]:
    """
    Read ``config.json``; it is empty where there is no file.

    Args:
        environ: The environment, for ``DOCKER_CONFIG``; None for this process's.
        home: The home directory; None for the user's.

    Raises:
        ConfigError: It cannot be read, or holds no JSON object.
    """
    directory = config_directory(os.environ if environ is None else environ, Path.home() if home is None else home)
    return await run_sync(read_object, directory / "config.json", ConfigError)
