"""The processes of a run: the replay server, and one for each client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import Any, Final, Self, final

import attrs

from benchmarks.replay import Script

__all__ = ("Answer", "Processes")

_ROOT: Final = Path(__file__).parent.parent
# Seconds after which a process that does not answer is ended.
_PATIENCE: Final = 120.0


class NoAnswer(Exception):
    """A process has ended, or was ended because it did not answer."""


Answer = dict[str, Any]


class _Process:
    """A process that answers each line with a line."""

    def __init__(self, *arguments: str, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-m", *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env=environment,
        )

    def ask(self, document: object) -> str:
        """Send a document and receive a line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        impatience = Timer(_PATIENCE, self._process.kill)
        impatience.start()
        try:
            self._process.stdin.write(json.dumps(document) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            impatience.cancel()
        if not line:
            raise NoAnswer(f"no answer; exit code {self._process.wait()}")
        return line

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()
        self._process.wait()


@final
@attrs.define(eq=False)
class Processes:
    """
    All processes of a run, in a directory of its own.

    Attributes:
        directory: Where the socket and the file to upload are.
    """

    directory: Path
    _stack: ExitStack = attrs.field(alias="_stack")
    _environment: dict[str, str] = attrs.field(alias="_environment")
    _server: _Process = attrs.field(alias="_server")
    _workers: dict[str, _Process] = attrs.field(factory=dict[str, _Process], alias="_workers")

    @classmethod
    @contextmanager
    def running(cls) -> Generator[Self, None, None]:
        """Start the server; everything ends with the block."""
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anydocker-bench-")))
            environment = _environment(directory)
            server = _Process("benchmarks.replay", str(directory / "s"), environment=environment)
            stack.callback(server.close)
            processes = cls(directory, _stack=stack, _environment=environment, _server=server)
            yield processes

    @property
    def host(self) -> str:
        """The address of the replay server."""
        return f"unix://{self.directory / 's'}"

    def play(self, script: Script) -> None:
        """Have the server play something else from now on."""
        self._server.ask(attrs.asdict(script))

    def job(self, client: str, **fields: Any) -> Answer:
        """Have a client do a job."""
        if client not in self._workers:
            self._workers[client] = self._start(client)
        try:
            return self._ask(self._workers[client], fields)
        except NoAnswer as exc:
            del self._workers[client]
            return {"error": str(exc)}

    def fresh_job(self, client: str, **fields: Any) -> Answer:
        """Have a client do a job in a process that has done nothing else."""
        with ExitStack() as stack:
            worker = _Process("benchmarks.worker", client, environment=self._environment)
            stack.callback(worker.close)
            try:
                return self._ask(worker, fields)
            except NoAnswer as exc:
                return {"error": str(exc)}

    def _ask(self, worker: _Process, fields: dict[str, Any]) -> Answer:
        answer: Answer = json.loads(worker.ask({"host": self.host, **fields}))
        return answer

    def _start(self, client: str) -> _Process:
        worker = _Process("benchmarks.worker", client, environment=self._environment)
        self._stack.callback(worker.close)
        return worker

    def run_python(self, code: str) -> str:
        """Run a program in a new interpreter; return what it prints."""
        done = subprocess.run(
            (sys.executable, "-c", code),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            # Imports are measured as they are in a program that is run often: compiled.
            env={**self._environment, "BENCH_HOST": self.host, "PYTHONDONTWRITEBYTECODE": ""},
        )
        return done.stdout


def _environment(directory: Path) -> dict[str, str]:
    # No client is to find the user's own engine, or credentials.
    mine = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}
    return {**mine, "DOCKER_CONFIG": str(directory)}
