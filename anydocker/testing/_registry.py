"""A real image registry on a loopback port, with or without a password."""

from __future__ import annotations

import ctypes
import json
import os
import re
import secrets
import string
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, final

import attrs
from anyio import move_on_after, sleep
from anyio.to_thread import run_sync

from anydocker._concurrency import finish_within
from anydocker.testing._daemon import Daemon
from anydocker.testing._engine import START_SECONDS, STOP_SECONDS, PrivateEngine
from anydocker.testing._unavailable import EngineUnavailable, find_programs, require_root

__all__ = ("Registry", "local_registry")

_PAUSE: Final = 0.02
_LOG_LINES: Final = 20
_LISTENING: Final = re.compile(r"listening on (127\.0\.0\.1:\d+)")
_NAMESPACES: Final = ("--pid", "--fork", "--kill-child", "--mount-proc")

_BCRYPT_ALPHABET: Final = "./" + string.ascii_letters + string.digits
# 2^5 rounds, the least that bcrypt allows: the password guards nothing.
_BCRYPT_SETTING: Final = "$2y$05$"
_LIBRARIES: Final = ("libcrypt.so.1", "libcrypt.so.2")


@final
@attrs.frozen(kw_only=True)
class Registry:
    """
    A running registry. It speaks plain HTTP, which engines accept from a loopback address.

    Attributes:
        address: ``127.0.0.1:PORT``: what an image's name has to begin with, as in ``127.0.0.1:PORT/busybox``.
        credentials: User name and password, or None where it asks for none.
        pid: The process that holds its namespaces. Killing it ends the registry.
        directory: Where everything it writes is.
    """

    address: str
    credentials: tuple[str, str] | None
    pid: int
    directory: Path
    _daemon: Daemon = attrs.field(repr=False, eq=False, alias="_daemon")

    async def log(self) -> str:
        """What the registry has logged so far."""
        return await run_sync(self._daemon.log)


@asynccontextmanager
async def local_registry(
    engine: PrivateEngine | None = None, *, credentials: tuple[str, str] | None = None
) -> AsyncGenerator[Registry, None]:
    """
    Run ``docker-registry`` on a free loopback port for the length of the block.

    Leaving the block by any road kills it and removes what it stored, as :func:`private_engine` does.

    Args:
        engine: The private engine that is to reach it: the registry then listens on that engine's loopback
            address. Without one it listens on this machine's.
        credentials: User name and password that it is to ask for. Without them it serves anybody.

    Yields:
        The registry, once it listens.

    Raises:
        EngineUnavailable: The process is not root, a program is missing, the registry ended or did not listen
            within 60 seconds, or credentials were given and the system's libcrypt has no bcrypt.
        ValueError: The user name is empty or has a colon in it.
    """
    if credentials is not None and (not credentials[0] or ":" in credentials[0]):
        raise ValueError(f"not a user name for basic authentication: {credentials[0]!r}")
    daemon = Daemon("docker-registry")
    try:
        await run_sync(_start, daemon, engine, credentials)
        address = await _wait_for_address(daemon)
        yield Registry(
            address=address,
            credentials=credentials,
            pid=daemon.pid,
            directory=daemon.directory,
            _daemon=daemon,
        )
    finally:
        # finish_within is the shield.
        await finish_within(STOP_SECONDS, partial(run_sync, daemon.stop))  # noqa: ASYNC102


def _start(daemon: Daemon, engine: PrivateEngine | None, credentials: tuple[str, str] | None) -> None:
    require_root("a local registry")
    unshare, program = find_programs("unshare", "docker-registry")
    command = (unshare, *_NAMESPACES)
    daemon.start(
        lambda directory: (program, "serve", str(_configure(directory, credentials))),
        engine.inside(command) if engine is not None else command,
    )


def _configure(directory: Path, credentials: tuple[str, str] | None) -> Path:
    # JSON is YAML, the registry's language. Port 0: the log tells which one it became.
    document: dict[str, object] = {
        "version": "0.1",
        "http": {"addr": "127.0.0.1:0", "secret": secrets.token_hex()},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
        },
    }
    if credentials is not None:
        passwords = directory / "htpasswd"
        passwords.write_text(f"{credentials[0]}:{_bcrypt(credentials[1])}\n")
        document["auth"] = {"htpasswd": {"realm": "anydocker", "path": str(passwords)}}
    configuration = directory / "config.yml"
    configuration.write_text(json.dumps(document))
    return configuration


def _bcrypt(password: str) -> str:
    salt = "".join(secrets.choice(_BCRYPT_ALPHABET) for _ in range(22))
    for name in _LIBRARIES:
        try:
            # PyDLL keeps the interpreter's lock for the call: crypt() answers in a buffer it has only once.
            crypt = ctypes.PyDLL(name).crypt
        except (OSError, AttributeError):
            continue
        crypt.argtypes, crypt.restype = (ctypes.c_char_p, ctypes.c_char_p), ctypes.c_char_p
        hashed = crypt(os.fsencode(password), (_BCRYPT_SETTING + salt).encode())
        if isinstance(hashed, bytes) and hashed.startswith(_BCRYPT_SETTING.encode()):
            return hashed.decode()
    raise EngineUnavailable(
        "a registry with a password needs bcrypt from the system's libcrypt (on Debian or Ubuntu: libcrypt1)"
    )


async def _wait_for_address(daemon: Daemon) -> str:
    with move_on_after(START_SECONDS):
        while (listening := _LISTENING.search(await run_sync(daemon.log))) is None:
            if not daemon.running():
                raise await run_sync(partial(daemon.failure, "ended while it started", log_lines=_LOG_LINES))
            await sleep(_PAUSE)
        return listening[1]
    failure = partial(daemon.failure, f"did not listen within {START_SECONDS:g} s", log_lines=_LOG_LINES)
    raise await run_sync(failure)
