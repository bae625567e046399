"""A real image registry on a loopback port: open, with a password, or with tokens."""

from __future__ import annotations

import ctypes
import json
import os
import re
import secrets
import string
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec
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

# By this name the token server and the registry know each other.
_SERVICE: Final = "anydocker"

_PAUSE: Final = 0.02
_LOG_LINES: Final = 20
_LISTENING: Final = re.compile(r"listening on (127\.0\.0\.1:\d+)")
_NAMESPACES: Final = ("--pid", "--fork", "--kill-child", "--mount-proc")

_BCRYPT_ALPHABET: Final = "./" + string.ascii_letters + string.digits
# 2^5 rounds, the least that bcrypt allows: the password guards nothing.
_BCRYPT_SETTING: Final = "$2y$05$"
_TOKEN_SERVER: Final = Path(__file__).with_name("_token_server.py")
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
    engine: PrivateEngine | None = None, *, credentials: tuple[str, str] | None = None, tokens: bool = False
) -> AsyncGenerator[Registry, None]:
    """
    Run ``docker-registry`` on a free loopback port for the length of the block.

    Leaving the block by any road kills it and removes what it stored, as :func:`private_engine` does.

    Args:
        engine: The private engine that is to reach it: the registry then listens on that engine's loopback
            address. Without one it listens on this machine's.
        credentials: User name and password that it is to ask for. Without them it serves anybody.
        tokens: Have it ask for tokens instead, which a server beside it gives out for the credentials, as the large
            public registries do. A login then brings an identity token, and anybody may pull what is below
            ``public/``. Needs ``cryptography``.

    Yields:
        The registry, once it listens.

    Raises:
        EngineUnavailable: The process is not root, a program is missing, the registry ended or did not listen
            within 60 seconds, credentials were given and the system's libcrypt has no bcrypt, or tokens are wanted and
            ``cryptography`` is not installed.
        ValueError: The user name is empty or has a colon in it, or tokens are wanted without credentials.
    """
    if credentials is not None and (not credentials[0] or ":" in credentials[0]):
        raise ValueError(f"not a user name for basic authentication: {credentials[0]!r}")
    async with AsyncExitStack() as stack:
        auth: dict[str, object] | None = None
        if tokens:
            if credentials is None:
                raise ValueError("tokens=True needs the credentials= to give them out for")
            auth = await stack.enter_async_context(_token_server(engine, credentials))
        configure = partial(_configure, credentials=credentials, auth=auth)
        daemon, address = await stack.enter_async_context(_listening("docker-registry", configure, engine))
        yield Registry(
            address=address,
            credentials=credentials,
            pid=daemon.pid,
            directory=daemon.directory,
            _daemon=daemon,
        )


@asynccontextmanager
async def _token_server(
    engine: PrivateEngine | None, credentials: tuple[str, str]
) -> AsyncGenerator[dict[str, object], None]:
    """Yields what the registry has to know of it."""
    if find_spec("cryptography") is None:
        raise EngineUnavailable("a registry with tokens needs cryptography: pip install cryptography")
    configure = partial(_configure_token_server, credentials=credentials)
    async with _listening(sys.executable, configure, engine) as (daemon, address):
        yield {
            "token": {
                "realm": f"http://{address}/token",
                "service": _SERVICE,
                "issuer": _SERVICE,
                "rootcertbundle": str(daemon.directory / "root.pem"),
            }
        }


@asynccontextmanager
async def _listening(
    program: str, configure: Callable[[Path], Sequence[str]], engine: PrivateEngine | None
) -> AsyncGenerator[tuple[Daemon, str], None]:
    """Run a program until the end of the block; yields it with the address it says it listens on."""
    daemon = Daemon(Path(program).name)
    try:
        await run_sync(_start, daemon, program, configure, engine)
        yield daemon, await _wait_for_address(daemon)
    finally:
        # finish_within is the shield.
        await finish_within(STOP_SECONDS, partial(run_sync, daemon.stop))  # noqa: ASYNC102


def _start(
    daemon: Daemon, program: str, configure: Callable[[Path], Sequence[str]], engine: PrivateEngine | None
) -> None:
    require_root("a local registry")
    unshare, program = find_programs("unshare", program)
    command = (unshare, *_NAMESPACES)
    daemon.start(
        lambda directory: (program, *configure(directory)),
        engine.inside(command) if engine is not None else command,
    )


def _configure_token_server(directory: Path, credentials: tuple[str, str]) -> Sequence[str]:
    user, password = credentials
    known = {"user": user, "password": password, "service": _SERVICE}
    (directory / "token.json").write_text(json.dumps(known))
    # -P: the modules beside it are not to be taken for others of their names.
    return "-P", str(_TOKEN_SERVER), str(directory)


def _configure(directory: Path, credentials: tuple[str, str] | None, auth: dict[str, object] | None) -> Sequence[str]:
    # JSON is YAML, the registry's language. Port 0: the log tells which one it became.
    document: dict[str, object] = {
        "version": "0.1",
        "http": {"addr": "127.0.0.1:0", "secret": secrets.token_hex()},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
        },
    }
    if auth is not None:
        document["auth"] = auth
    elif credentials is not None:
        passwords = directory / "htpasswd"
        passwords.write_text(f"{credentials[0]}:{_bcrypt(credentials[1])}\n")
        document["auth"] = {"htpasswd": {"realm": "anydocker", "path": str(passwords)}}
    configuration = directory / "config.yml"
    configuration.write_text(json.dumps(document))
    return "serve", str(configuration)


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
