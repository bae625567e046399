"""
Proxies for what runs in containers, from where the ``docker`` command line keeps them.

``config.json`` has them under ``proxies``: those of one engine under its address, those of all others under
``default``. They are no proxies for this client; they are handed to containers and builds as variables, in upper and
in lower case, because programs look for the one or the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from anydocker._config import read_config
from anydocker.errors import ConfigError

__all__ = ("find_proxies",)

_VARIABLES: Final = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}


async def find_proxies(
    url: str, *, environ: Mapping[str, str] | None = None, home: Path | None = None
) -> dict[str, str]:
    """
    Find the proxies for the containers of an engine.

    Args:
        url: The address of the engine.
        environ: The environment, for ``DOCKER_CONFIG``. Default: this process's.
        home: The home directory. Default: the user's.

    Returns:
        Variables by name, such as ``HTTP_PROXY`` and ``http_proxy``; empty if there is no proxy.

    Raises:
        ConfigError: ``config.json`` cannot be read, or what it says of proxies is malformed.
    """
    config = await read_config(environ, home)
    engines = _mapping(config.get("proxies"), "proxies")
    key = url if url in engines else "default"
    entry = _mapping(engines.get(key), f"proxies.{key}")
    found: dict[str, str] = {}
    for name, variable in _VARIABLES.items():
        value: object = entry.get(name)
        if not isinstance(value, str | None):
            raise ConfigError(f"config.json: proxies.{key}.{name} is not a string")
        if value:
            found |= {variable: value, variable.lower(): value}
    return found


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict | None):
        raise ConfigError(f"config.json: {what} is not an object")
    return cast("dict[str, Any]", value or {})
