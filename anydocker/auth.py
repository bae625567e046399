"""
Registry credentials: given, or found where the ``docker`` command line keeps them.

``config.json`` (under ``DOCKER_CONFIG``, or in ``.docker`` in the home directory) says where they are: in a helper
program for one registry (``credHelpers``), in one for all (``credsStore``), or in the file itself (``auths``). Only the
helper that is responsible is run, and only when a call needs it.
"""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import anyio
import attrs
from anyio.to_thread import run_sync

from anydocker._config import read_config
from anydocker._endpoint import parse_object
from anydocker._wire.auth import auth_header, registry_host
from anydocker.errors import AuthError, ConfigError

__all__ = ("Credentials", "find_all_credentials", "find_credentials")

# What helpers say, with status 1, of a registry they do not know.
_NOT_FOUND: Final = "credentials not found"
# In place of a user name it says that the secret is an identity token.
_TOKEN_USER: Final = "<token>"  # noqa: S105
# The name Docker Hub's credentials are kept under.
_HUB: Final = "https://index.docker.io/v1/"


@attrs.frozen(kw_only=True)
class Credentials:
    """
    What proves to a registry who is asking: a user name with its password, or an identity token.

    Its ``repr`` shows no secret.

    Attributes:
        username: The user name.
        password: The password, or an access token that stands in for one.
        identity_token: A token from an earlier login, instead of user name and password.
        server: The registry, such as ``registry.example:5000``. Only needed where it differs from the image's.
    """

    username: str = ""
    password: str = attrs.field(default="", repr=False)
    identity_token: str = attrs.field(default="", repr=False)
    server: str = ""

    def __attrs_post_init__(self) -> None:
        if not self.identity_token and not self.username:
            raise ValueError("credentials are a username with its password, or an identity_token")

    def document(self) -> dict[str, str]:
        """The engine's ``AuthConfig`` document, secrets and all."""
        document = {
            "username": self.username,
            "password": self.password,
            "identitytoken": self.identity_token,
            "serveraddress": self.server,
        }
        return {key: value for key, value in document.items() if value}

    def header(self) -> str:
        """The value of the ``X-Registry-Auth`` field."""
        return auth_header(self.document())


async def find_credentials(
    registry: str, *, environ: Mapping[str, str] | None = None, home: Path | None = None
) -> Credentials | None:
    """
    Find the credentials for a registry.

    Args:
        registry: Its host, such as ``registry.example:5000``; ``docker.io`` for Docker Hub.
        environ: The environment, for ``DOCKER_CONFIG``. Default: this process's.
        home: The home directory. Default: the user's.

    Returns:
        The credentials; None if there are none.

    Raises:
        AuthError: ``config.json`` cannot be read, or the helper it names is missing or fails.
    """
    config = await _read_config(environ, home)
    return await _find(config, registry_host(registry))


async def find_all_credentials(
    *, environ: Mapping[str, str] | None = None, home: Path | None = None
) -> dict[str, Credentials]:
    """
    Find all credentials there are, as a build takes them: nobody knows which registries it will ask.

    Args:
        environ: The environment, for ``DOCKER_CONFIG``. Default: this process's.
        home: The home directory. Default: the user's.

    Returns:
        Credentials by the host of the registry; ``https://index.docker.io/v1/`` for Docker Hub.

    Raises:
        AuthError: ``config.json`` cannot be read, or a helper it names is missing or fails.
    """
    config = await _read_config(environ, home)
    hosts = {registry_host(key) for section in ("auths", "credHelpers") for key in _mapping(config, section)}
    found = {host: await _find(config, host) for host in sorted(hosts)}
    return {_key(host): credentials for host, credentials in found.items() if credentials is not None}


async def _find(config: dict[str, Any], host: str) -> Credentials | None:
    helpers = {registry_host(key): name for key, name in _mapping(config, "credHelpers").items()}
    helper = helpers.get(host) or config.get("credsStore")
    if helper:
        return await _ask_helper(str(helper), host)
    entries = _mapping(config, "auths")
    for key in entries:
        if registry_host(key) == host and entries[key]:
            return _from_entry(_mapping(entries, key), host)
    return None


async def _read_config(environ: Mapping[str, str] | None, home: Path | None) -> dict[str, Any]:
    try:
        return await read_config(environ, home)
    except ConfigError as exc:
        raise AuthError(str(exc)) from exc.__cause__


def _mapping(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _key(host: str) -> str:
    return _HUB if host == "docker.io" else host


def _from_entry(entry: dict[str, Any], host: str) -> Credentials | None:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            username, separator, password = b64decode(entry["auth"]).decode().partition(":")
        except (ValueError, TypeError):
            separator = ""
        if not separator:
            raise AuthError(f"the entry for {host} in config.json is not user:password in base64")
    token = str(entry.get("identitytoken") or "")
    if not token and not username:
        return None
    return Credentials(username=username, password=password.rstrip("\0"), identity_token=token, server=_key(host))


async def _ask_helper(name: str, host: str) -> Credentials | None:
    program = f"docker-credential-{name}"
    # Not input=: a helper that does not read it is no error.
    question = await run_sync(_pipe_with, _key(host).encode())
    try:
        done = await anyio.run_process([program, "get"], stdin=question, check=False)
    except OSError as exc:
        message = f"{program}, the credential helper for {host} in config.json, cannot be run: {exc.strerror}"
        raise AuthError(message) from exc
    finally:
        os.close(question)
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode != 0:
        if _NOT_FOUND in said:
            return None
        if "{" in said:  # an answer after all, with a secret in it
            said = ""
        complaint = said or done.stderr.decode(errors="replace").strip()
        raise AuthError(f"{program} failed for {host}: {complaint or f'status {done.returncode}'}")
    return _from_helper(done.stdout, program, host)


def _pipe_with(data: bytes) -> int:
    """The reading end of a pipe with ``data`` in it: a few bytes, which a pipe holds."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


def _from_helper(answer: bytes, program: str, host: str) -> Credentials | None:
    document = parse_object(answer) or {}
    match document.get("Username"), document.get("Secret"):
        case ("", ""):
            return None
        case (str(username), str(secret)) if username != "" and (username, secret) != (_TOKEN_USER, ""):
            token = username == _TOKEN_USER
            given = {"identity_token": secret} if token else {"username": username, "password": secret}
            return Credentials(**given, server=_key(host))
        case _:
            raise AuthError(f"{program} gave no credentials for {host}: its answer is not what a helper says")
