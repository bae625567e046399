"""The examples and the code of the README, each as a program of its own against a real engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from anyio.from_thread import BlockingPortal

import anydocker
from anydocker import errors
from anydocker.testing import BUSYBOX, Registry

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
README: Final = (ROOT / "README.md").read_text()

# What each example shows; the order is the example's own, and other lines may lie between.
SHOWS: Final[dict[str, list[str]]] = {
    "build_directory.py": ["Step 1/3 : FROM busybox", "Successfully built", "/srv/index.html"],
    "events.py": ["create ", "start ", "die      anydocker-example-events 0", "destroy "],
    "exec_exit_code.py": [r"stdout b'hello\n', exit code 0", "ExecFailed: ", "exit code 7"],
    "follow_logs.py": ["stdout: ", "is done"],
    "interactive_attach.py": [
        "6 * 7 = 42",
        "2 ^ 64 = 18446744073709551616",
        "input has ended",
        "goodbye",
        "exit code 0",
    ],
    "pull_with_progress.py": ["Pulling from", "Digest: sha256:", " is sha256:"],
    "raw_request.py": ["images take", "a volume: local", "['passwd']", "NotFound: No such container: nobody"],
    "run_with_input.py": ["apple", "fig", "pear", "exit code 4, stderr b'no such luck\\n'", "exit code 1"],
    "watch_stats.py": ["cpu   0.0 %, memory ", "processes"],
}
TOUR: Final = ["tour.py", "tour_screen.py"]

# Runs the example as it stands, but on the backend that it does not name itself.
ON_OTHER_BACKEND: Final = """
import runpy, sys
import anyio
backend, path, *arguments = sys.argv[1:]
anyio.run(runpy.run_path(path)["main"], *arguments, backend=backend)
"""


def run(command: Sequence[str], host: str | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(Path(anydocker.__file__).parents[1]), "PYTHONWARNINGS": "error"}
    if host is not None:
        environment["DOCKER_HOST"] = host
    done = subprocess.run(
        [sys.executable, *command], env=environment, check=False, text=True, capture_output=True, cwd=EXAMPLES
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def assert_shows(output: str, parts: Sequence[str]) -> None:
    position = 0
    for part in parts:
        position = output.find(part, position)
        assert position >= 0, f"{part!r} is missing, or too early, in:\n{output}"
        position += len(part)


@pytest.fixture
def argument(request: pytest.FixtureRequest, example: str, tmp_path: Path) -> list[str]:
    """What an example is called with."""
    if example == "build_directory.py":
        (tmp_path / "index.html").write_text("hello")
        (tmp_path / "Dockerfile").write_text('FROM busybox\nCOPY . /srv\nCMD ["find", "/srv", "-name", "index.html"]\n')
        return [str(tmp_path)]
    if example == "pull_with_progress.py":
        return [request.getfixturevalue("image_in_registry")]
    return []


@pytest.fixture
def image_in_registry(engine_host: str, registry: Registry, anydocker_portal: BlockingPortal) -> str:
    """The name of an image that has to be pulled."""
    reference = f"{registry.address}/example:1"

    async def push() -> None:
        async with anydocker.connect(engine_host) as d:
            await d.images.image(BUSYBOX).tag(reference)
            await d.images.push(reference)
            await d.images.image(reference).remove()

    anydocker_portal.call(push)
    return reference


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*SHOWS, *TOUR}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("example", SHOWS)
def test_example(example: str, backend: str, argument: list[str], engine_host: str) -> None:
    path = EXAMPLES / example
    own_backend = "trio" if "trio.run(" in path.read_text() else "asyncio"
    command = [str(path)] if backend == own_backend else ["-c", ON_OTHER_BACKEND, backend, str(path)]
    assert_shows(run([*command, *argument], engine_host), SHOWS[example])


@pytest.mark.parametrize("example", SHOWS)
def test_an_example_is_short(example: str) -> None:
    assert len((EXAMPLES / example).read_text().splitlines()) < 60


def test_the_example_that_builds_brings_its_own_directory(engine_host: str) -> None:
    output = run([str(EXAMPLES / "build_directory.py")], engine_host)
    assert "/srv/index.html" in output
    assert "debug.log" not in output


def test_the_tour_leaves_nothing_on_either_backend() -> None:
    output = run([str(EXAMPLES / "tour.py")])
    assert "\x1b" not in output
    assert "✗" not in output
    assert_shows(
        output, ["on trio", "on asyncio", "trio: nothing is left ✓", "asyncio: nothing is left ✓", "found the same ✓"]
    )


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(python_blocks(README))))
def test_code_of_the_readme(number: int, engine_host: str) -> None:
    code = python_blocks(README)[number]
    said = re.findall(r"# -> (.*)$", code, re.MULTILINE)
    assert said
    assert_shows(run(["-c", code], engine_host), said)


def test_the_readme_has_code() -> None:
    assert len(python_blocks(README)) == README.count("```python") > 0


OWNERS: Final = {
    "d": anydocker.Docker,
    "d.containers": anydocker.Containers,
    "d.images": anydocker.Images,
    "c": anydocker.Container,
}


@pytest.mark.parametrize("name", sorted({*re.findall(r"`((?:d|c)\.[a-z_.]+)`", README)}))
def test_a_method_the_readme_names_is_there(name: str) -> None:
    owner, _, method = name.rpartition(".")
    assert callable(getattr(OWNERS[owner], method))


def test_the_readme_names_every_error() -> None:
    named = {*re.findall(r"`([A-Z]\w*[a-z]\w*)`", README)}
    assert {*errors.__all__} <= named
    assert {name for name in named if not hasattr(anydocker, name)} == {"TypeError", "ValueError", "ResourceWarning"}
