"""
Which engine: from arguments and environment to an :class:`Endpoint`.

The order is that of the ``docker`` command line: an argument, ``DOCKER_HOST``, the default socket. Environment and
home come in as arguments, so that every case can be tested; nothing here opens a connection.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

import attrs

__all__ = ("Endpoint", "resolve")

_DEFAULT_SOCKET: Final = "/var/run/docker.sock"
_DEFAULT_PORT: Final = 2375  # IANA: docker, plain

_ADVICE: Final = {
    errno.ENOENT: "there is no such socket: is the engine running?",
    errno.EACCES: "permission denied: your user may not use this socket (is it in the socket's group?)",
    errno.EPERM: "permission denied: your user may not use this socket (is it in the socket's group?)",
    errno.ECONNREFUSED: "connection refused: nothing listens there",
    errno.ENOTSOCK: "this file is not a socket",
    errno.EPROTOTYPE: "this is a socket, but not of the stream kind",
    errno.ETIMEDOUT: "the host did not answer",
}


@attrs.frozen
class Endpoint:
    """
    Where an engine listens.

    Attributes:
        url: The address, such as ``unix:///var/run/docker.sock`` or ``tcp://127.0.0.1:2375``.
        source: Where the choice came from, such as ``DOCKER_HOST``.
        path: The file name of a Unix socket; None for TCP.
        host: The host name of a TCP endpoint; empty for a Unix socket.
        port: The port of a TCP endpoint; 0 for a Unix socket.
    """

    url: str
    source: str
    path: str | None = None
    host: str = ""
    port: int = 0

    @property
    def authority(self) -> str:
        """What the ``Host`` field of a request says."""
        if self.path is not None:
            return "docker"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def failure(self, reason: BaseException | str) -> str:
        """A message that names this endpoint, where it came from, and what went wrong there."""
        if isinstance(reason, OSError) and reason.errno in _ADVICE:
            reason = _ADVICE[reason.errno]
        return f"no engine at {self.url} (from {self.source}): {str(reason) or 'the connection failed'}"


def resolve(
    host: str | None,
    *,
    environ: Mapping[str, str],
    exists: Callable[[str], bool] = os.path.exists,
) -> Endpoint:
    """
    Find out which engine is meant.

    Args:
        host: An address; None to look at the environment.
        environ: The environment: ``DOCKER_HOST``, ``XDG_RUNTIME_DIR``.
        exists: Tells whether a file exists.

    Raises:
        ValueError: The address is malformed; the message says where it came from.
        TypeError: ``host`` is not a str.
    """
    match host:
        case None:
            pass
        case str():
            return _parse(host, "the argument host=")
        case _:
            raise TypeError(f"host={host!r}: an address is a str, such as 'unix:///var/run/docker.sock'")
    if environ.get("DOCKER_HOST"):
        return _parse(environ["DOCKER_HOST"], "DOCKER_HOST")
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime and not exists(_DEFAULT_SOCKET) and exists(f"{runtime}/docker.sock"):
        return _parse(f"unix://{runtime}/docker.sock", "the rootless default")
    return _parse(f"unix://{_DEFAULT_SOCKET}", "the default")


def _parse(url: str, source: str) -> Endpoint:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise _malformed(url, source, str(exc)) from exc
    if parts.scheme == "unix":
        return _parse_unix(url, source)
    if parts.scheme in {"tcp", "http"}:
        return _parse_tcp(url, parts, port, source)
    raise _malformed(url, source, "it has to begin with unix:// or tcp://")


def _parse_unix(url: str, source: str) -> Endpoint:
    path = url.removeprefix("unix://")
    if not path.startswith("/") or "\0" in path:
        raise _malformed(url, source, "a Unix socket is named by its absolute path: unix:///path/to/docker.sock")
    return Endpoint(url, source, path=path)


def _parse_tcp(url: str, parts: SplitResult, port: int | None, source: str) -> Endpoint:
    if not parts.hostname:
        raise _malformed(url, source, "the host is missing: tcp://HOST:PORT")
    if not parts.hostname.isascii() or not parts.hostname.isprintable() or " " in parts.hostname:
        raise _malformed(url, source, "the host is not an ASCII name or an address")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise _malformed(url, source, "only a host and a port can follow: tcp://HOST:PORT")
    return Endpoint(url, source, host=parts.hostname, port=_DEFAULT_PORT if port is None else port)


def _malformed(url: str, source: str, why: str) -> ValueError:
    return ValueError(f"{url!r} (from {source}) is not the address of an engine: {why}")
