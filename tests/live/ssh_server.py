"""A real sshd on a loopback port, with keys of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

__all__ = ("ssh_server",)

SSHD: Final = shutil.which("sshd", path=os.defpath + ":/usr/sbin:/usr/local/sbin") or "sshd"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def keys(directory: Path) -> None:
    for name in ("host", "id", "bare"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
        subprocess.run(command, check=True)
    # Whoever comes with the last one finds no programs.
    forced = 'command="exec env -i PATH=/nonexistent /bin/sh -c \\"$SSH_ORIGINAL_COMMAND\\""'
    allowed = (directory / "id.pub").read_text() + f"{forced} {(directory / 'bare.pub').read_text()}"
    (directory / "authorized_keys").write_text(allowed)


def configure(directory: Path, port: int) -> None:
    server = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": directory / "host",
        "PidFile": "none",
        "AuthorizedKeysFile": directory / "authorized_keys",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "yes",
        "SetEnv": f"PATH={os.environ['PATH']}",
        "MaxStartups": "100",
    }
    (directory / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in server.items()))
    client = {
        "HostName": "127.0.0.1",
        "Port": port,
        "IdentityFile": directory / "id",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": directory / "known_hosts",
    }
    (directory / "ssh_config").write_text("Host *\n" + "".join(f" {key} {value}\n" for key, value in client.items()))
    key = " ".join((directory / "host.pub").read_text().split()[:2])
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")


def wait_for(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("sshd does not listen")


@contextmanager
def ssh_server(directory: Path) -> Generator[None, None, None]:
    """
    Run an sshd for the length of the block, and put an ``ssh`` that knows it into the directory.

    Beside it is the key ``bare``, for which there is no program on the other side.
    """
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    keys(directory)
    configure(directory, port)
    program = directory / "ssh"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {directory}/ssh_config "$@"\n')
    program.chmod(0o755)
    with subprocess.Popen([SSHD, "-D", "-f", str(directory / "sshd_config"), "-E", str(directory / "log")]) as server:
        wait_for(port)
        yield
        server.terminate()
