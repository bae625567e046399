"""
Every public error of anydocker.

::

    DockerError
    ├─ ConnectError             no engine reached
    ├─ ProtocolError            the engine broke the protocol
    │  └─ TruncatedStream       the connection ended before the message did
    ├─ UnsupportedByEngine      needs API x, the engine speaks y; raised before sending
    ├─ APIError                 the engine refused: message, status, method, path
    │  ├─ BadRequest            400
    │  ├─ Unauthorized          401
    │  ├─ Forbidden             403
    │  ├─ NotFound              404
    │  ├─ Conflict              409
    │  └─ EngineFault           5xx
    │     └─ Unavailable        503
    ├─ StreamError              an error inside a 200 stream: message, code, log
    │  ├─ PullFailed
    │  ├─ PushFailed
    │  ├─ BuildFailed
    │  └─ LoadFailed
    ├─ ExitError                a process ended with a code that is not 0: exit_code, stdout, stderr
    │  ├─ ContainerFailed
    │  └─ ExecFailed
    ├─ Unhealthy                a container did not become healthy: message, output
    ├─ ArchiveError             a copy that cannot be made, or an archive that would leave its target
    ├─ ContextError             a build context or a .dockerignore that cannot be used
    ├─ ConfigError              the command line's config.json cannot be used
    ├─ AuthError                credentials that cannot be read or were not found
    ├─ MissingExtra             a call needs an optional dependency that is not installed (also an ImportError)
    └─ InvalidReference         an image reference the grammar does not know (also a ValueError)

Bad arguments are :class:`ValueError` or :class:`TypeError`, raised before anything is sent. Beside these, only
:class:`anyio.ClosedResourceError` and :class:`anyio.BusyResourceError` come out of anydocker. Every error
keeps all its arguments in ``args``, so it survives :mod:`pickle` and :mod:`copy`.
"""

from __future__ import annotations

from typing import Final

__all__ = (
    "APIError",
    "ArchiveError",
    "AuthError",
    "BadRequest",
    "BuildFailed",
    "ConfigError",
    "Conflict",
    "ConnectError",
    "ContainerFailed",
    "ContextError",
    "DockerError",
    "EngineFault",
    "ExecFailed",
    "ExitError",
    "Forbidden",
    "InvalidReference",
    "LoadFailed",
    "MissingExtra",
    "NotFound",
    "ProtocolError",
    "PullFailed",
    "PushFailed",
    "StreamError",
    "TruncatedStream",
    "Unauthorized",
    "Unavailable",
    "Unhealthy",
    "UnsupportedByEngine",
)

# How much of a process's stderr an ExitError shows, in bytes: enough for a traceback, short enough for a log.
_SHOWN_STDERR: Final = 2000


class DockerError(Exception):
    """The root of every error anydocker raises."""


class ConnectError(DockerError):
    """
    No engine was reached.

    The message names the endpoint tried, where that choice came from, and why it failed.
    """


class ProtocolError(DockerError):
    """The engine, or whatever answered in its place, broke the protocol."""


class TruncatedStream(ProtocolError):
    """The connection ended before the message did: what came so far is not all there was."""


class UnsupportedByEngine(DockerError):
    """The call needs an API version that the engine does not speak, or is not one of Podman's. Nothing was sent."""


class APIError(DockerError):
    """
    The engine refused a call.

    Attributes:
        message: The engine's own message.
        status: The HTTP status.
        method: The HTTP method of the call.
        path: The path of the call, without its query.
    """

    def __init__(self, message: str, status: int, method: str, path: str) -> None:
        super().__init__(message, status, method, path)
        self.message = message
        self.status = status
        self.method = method
        self.path = path

    def __str__(self) -> str:
        return f"{self.message} ({self.method} {self.path} answered {self.status})"


class BadRequest(APIError):
    """The engine did not accept an argument (status 400)."""


class Unauthorized(APIError):
    """Credentials are missing or wrong (status 401)."""


class Forbidden(APIError):
    """The engine does not allow the operation (status 403)."""


class NotFound(APIError):
    """There is no such object (status 404)."""


class Conflict(APIError):
    """The object is in a state that does not permit the operation, or its name is taken (status 409)."""


class EngineFault(APIError):
    """The engine failed (status 5xx)."""


class Unavailable(EngineFault):
    """The engine cannot do this now, such as a swarm call outside a swarm (status 503)."""


class StreamError(DockerError):
    """
    The engine reported an error inside a stream whose status was 200.

    Attributes:
        message: The engine's own message.
        code: The code the engine gave with it, or None.
        log: What the stream had said before, as text; about the last 256 KiB of it.
    """

    def __init__(self, message: str, code: int | None = None, log: str = "") -> None:
        super().__init__(message, code, log)
        self.message = message
        self.code = code
        self.log = log

    def __str__(self) -> str:
        return self.message


class PullFailed(StreamError):
    """An image could not be pulled."""


class PushFailed(StreamError):
    """An image could not be pushed."""


class BuildFailed(StreamError):
    """An image could not be built. ``log`` holds the output of the build up to the failure."""


class LoadFailed(StreamError):
    """An archive of images could not be loaded, or a root filesystem not imported."""


class ExitError(DockerError):
    """
    A process ended with an exit code other than 0.

    Attributes:
        exit_code: The exit code; 128 + n for a process that signal n ended.
        stdout: What it wrote to its standard output.
        stderr: What it wrote to its standard error.
    """

    def __init__(self, message: str, exit_code: int, stdout: bytes = b"", stderr: bytes = b"") -> None:
        super().__init__(message, exit_code, stdout, stderr)
        self.message = message
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr

    def __str__(self) -> str:
        tail = self.stderr[-_SHOWN_STDERR:].decode(errors="replace").strip()
        return f"{self.message}: exit code {self.exit_code}" + (f"; stderr: {tail}" if tail else "")


class ContainerFailed(ExitError):
    """The main process of a container failed."""


class ExecFailed(ExitError):
    """A command executed in a container failed."""


class Unhealthy(DockerError):
    """
    A container did not become healthy.

    Attributes:
        message: What became of it.
        output: What its last probe said.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message, output)
        self.message = message
        self.output = output

    def __str__(self) -> str:
        return self.message + (f"; its last probe said: {self.output.strip()}" if self.output.strip() else "")


class ArchiveError(DockerError):
    """
    Files cannot be copied.

    The source or the target is missing or of the wrong kind, a local file cannot be read or written, or the archive
    has something that would leave its target.
    """


class ContextError(DockerError):
    """A build context, its Dockerfile or its ``.dockerignore`` cannot be used."""


class ConfigError(DockerError):
    """The ``config.json`` of the ``docker`` command line cannot be read, or is malformed."""


class AuthError(DockerError):
    """Registry credentials cannot be read, or a credential helper failed."""


class MissingExtra(DockerError, ImportError):
    """A call needs an optional dependency that is not installed; the message says which. Nothing was sent."""


class InvalidReference(DockerError, ValueError):
    """A string is not an image reference."""
