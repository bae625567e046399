"""A configuration directory of the ``docker`` command line, with credential helpers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

import pytest

__all__ = ("DockerHome",)

HELPER: Final = """#!{python}
import json, sys
known = {known!r}
host = sys.stdin.read().strip()
with open({log!r}, "a") as log:
    print(sys.argv[1], host, file=log)
if host == "broken.example":
    sys.exit("the keychain is locked")
if host not in known:
    print("credentials not found in native keychain")
    sys.exit(1)
username, secret = known[host]
print(json.dumps({{"ServerURL": host, "Username": username, "Secret": secret}}))
"""


class DockerHome:
    """A configuration directory of the command line, and a helper program."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.log.touch()
        monkeypatch.setenv("DOCKER_CONFIG", str(directory))
        monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")

    def configure(self, **config: object) -> None:
        (self.directory / "config.json").write_text(json.dumps(config))

    def install_program(self, name: str, text: str) -> None:
        """A program on PATH; ``text`` is a shell script."""
        program = self.directory / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    def asked(self) -> list[str]:
        """What the helper was asked, in order."""
        return self.log.read_text().splitlines()

    def install_helper(self, known: dict[str, tuple[str, str]]) -> None:
        program = self.directory / "docker-credential-test"
        program.write_text(HELPER.format(python=sys.executable, known=known, log=str(self.log)))
        program.chmod(0o755)
