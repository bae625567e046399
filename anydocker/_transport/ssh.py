"""
Engines behind ssh: the user's own ``ssh``, running ``docker system dial-stdio`` on the other side.

Each connection is a process. Its standard input and output are one end of a socket pair and ours is the other, so that
it is read, written, half-closed and cancelled as any socket is. The process is killed when its connection is closed.
ssh never asks for anything (``BatchMode``), checks the host's key as the user has it configured, and what it says on
standard error goes into the message when the connection fails.
"""

from __future__ import annotations

import shlex
import socket
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final

import anyio
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import Process
from anyio.to_thread import run_sync

from anydocker._concurrency import finish_within
from anydocker._transport.sockets import SocketStream

if TYPE_CHECKING:
    from anydocker._endpoint import Endpoint

__all__ = ("SSHStream", "connect_ssh")

# Seconds a killed process has to go away. Nothing but the kernel is in its way.
_REAP_SECONDS: Final = 2.0
# Bytes of what ssh says that are shown.
_SHOWN: Final = 2000
# What ssh ends with if the shell of the other side finds no program, and if it fails itself.
_NOT_FOUND: Final = 127
_SSH_FAILED: Final = 255


class SSHStream(SocketStream):
    """A connection through an ssh process."""

    def __init__(self, sock: socket.socket, process: Process, complaints: IO[bytes]) -> None:
        super().__init__(sock)
        self._process = process
        self._complaints = complaints
        self._silent = True

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Receive what there is; if ssh ends before anything came, raise what it says."""
        try:
            data = await super().receive(max_bytes)
        except (EndOfStream, BrokenResourceError) as exc:
            if not self._silent:
                raise
            code = await self._process.wait()
            raise BrokenResourceError(f"ssh ended with {code}: {await run_sync(self._complaint)}{_hint(code)}") from exc
        self._silent = False
        return data

    def _complaint(self) -> str:
        self._complaints.seek(0)
        lines = self._complaints.read(_SHOWN).decode(errors="replace").splitlines()
        return "; ".join(line.strip() for line in lines if line.strip()) or "it gave no reason"

    async def aclose(self) -> None:
        """Close the connection and kill the process."""
        try:
            await super().aclose()
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await finish_within(_REAP_SECONDS, self._process.wait)
            self._complaints.close()


def _hint(code: int) -> str:
    if code == _NOT_FOUND:
        return " (docker has to be on the PATH of the other side)"
    return " (ssh cannot ask anything here: try it by hand first)" if code == _SSH_FAILED else ""


async def connect_ssh(endpoint: Endpoint) -> SSHStream:
    """Start ssh; raises OSError if there is none. Whether it gets there shows when the connection is used."""
    complaints = await run_sync(TemporaryFile)
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            fd = theirs.fileno()
            process = await anyio.open_process(_command(endpoint), stdin=fd, stdout=fd, stderr=complaints)
    except FileNotFoundError as exc:
        ours.close()
        complaints.close()
        raise OSError("there is no ssh on PATH: install the OpenSSH client") from exc
    except BaseException:
        ours.close()
        complaints.close()
        raise
    ours.setblocking(False)
    return SSHStream(ours, process, complaints)


def _command(endpoint: Endpoint) -> list[str]:
    command = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-T"]
    if endpoint.user is not None:
        command += ["-l", endpoint.user]
    if endpoint.port:
        command += ["-p", str(endpoint.port)]
    command += ["--", endpoint.host, "docker"]
    if endpoint.path is not None:
        # The shell of the other side reads this.
        command += ["--host", shlex.quote(f"unix://{endpoint.path}")]
    return [*command, "system", "dial-stdio"]
