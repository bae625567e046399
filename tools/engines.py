"""
Runs the live tests on several engines and prints what passed on which: ``python tools/engines.py [NAME ...]``.

``docker`` is the engine that is installed. The others come from Debian's packages, which are unpacked, not installed:
the private engine of the tests lays them over ``/usr`` in a mount namespace of its own. That takes root, apt-get, and
a few hundred megabytes in the directory given with ``--cache``, where they are kept for the next time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import anyio
import attrs

import anydocker
from anydocker.testing import EngineKind, private_engine

ROOT: Final = Path(__file__).parents[1]
LIVE: Final = ROOT / "tests" / "live"
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"

DOCKER: Final = ("docker.io", "containerd", "runc", "iptables")
PODMAN: Final = ("podman", "crun", "netavark", "aardvark-dns", "nftables", "iptables", "catatonit")

# How long the tests may take on one engine, should a hang escape the guards that each test has. Seconds.
PATIENCE: Final = 1800.0
# What a killed engine leaves may take a moment to be gone. Seconds.
LEAVING: Final = 10.0

Area = str


@attrs.frozen
class Engine:
    """
    An engine, and where it comes from.

    Attributes:
        name: What it is called here.
        packages: Debian's packages to unpack; none for what is installed.
        suite: The suite of Debian they are from, or None for the packages of this machine's own release.
        kind: What :func:`private_engine` starts.
        options: More flags for its program.
    """

    name: str
    packages: tuple[str, ...] = ()
    suite: str | None = None
    kind: EngineKind = "docker"
    options: tuple[str, ...] = ()


ENGINES: Final = {
    engine.name: engine
    for engine in (
        Engine("docker"),
        Engine("docker-trixie", DOCKER, "trixie"),
        Engine("docker-sid", DOCKER, "sid"),
        Engine("docker-sid-containerd", DOCKER, "sid", options=("--feature=containerd-snapshotter=true",)),
        Engine("podman", PODMAN, kind="podman"),
        Engine("podman-trixie", PODMAN, "trixie", kind="podman"),
    )
}


# -- its programs


def fetch(engine: Engine, cache: Path) -> Path | None:
    """The directory with the engine's programs, unpacked unless they are there; None for what is installed."""
    if not engine.packages:
        return None
    tree = cache / f"{engine.kind}-{engine.suite or 'own'}"
    if not (tree / "complete").exists():
        shutil.rmtree(tree, ignore_errors=True)
        say(f"unpacking {', '.join(engine.packages)} of {engine.suite or 'this release'}")
        unpack(download(engine, tree / "apt"), tree)
        shutil.rmtree(tree / "apt")
        (tree / "complete").touch()
    return tree


def download(engine: Engine, state: Path) -> list[Path]:
    """The packages and all they depend on, as if nothing were installed."""
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True)
    (state / "status").touch()
    options = {
        "Dir::State": state,
        "Dir::State::Status": state / "status",
        "Dir::Cache": state,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        # sid is published several times a day, and a mirror may be behind.
        "Acquire::Check-Valid-Until": "false",
    }
    if engine.suite:
        sources = state / "sources.list"
        sources.write_text(f"deb [signed-by={KEYRING}] {mirror()} {engine.suite} main\n")
        options |= {"Dir::Etc::SourceList": sources, "Dir::Etc::SourceParts": "/dev/null"}
    apt = ("apt-get", "-q", *(f"--option={name}={value}" for name, value in options.items()))
    run(*apt, "update")
    run(*apt, "install", "--yes", "--download-only", *engine.packages)
    return sorted((state / "archives").glob("*.deb"))


def mirror() -> str:
    """The mirror of Debian that this machine uses."""
    query = ("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Origin: Debian")
    sites = run(*query).splitlines()
    if not sites:
        raise SystemExit("apt-get knows no archive of Debian: add one to its sources, and run apt-get update")
    return sites[0]


def unpack(packages: list[Path], tree: Path) -> None:
    """Unpack packages as they would be on a system whose /bin and /lib are links into /usr."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    for package in packages:
        with subprocess.Popen(("dpkg-deb", "--fsys-tarfile", package), stdout=subprocess.PIPE) as data:
            extract = ("tar", f"--directory={tree}", "--extract", "--keep-directory-symlink")
            subprocess.run(extract, stdin=data.stdout, check=True)
    for name in ("doc", "man", "locale"):
        shutil.rmtree(tree / "usr" / "share" / name, ignore_errors=True)


def run(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def say(text: str) -> None:
    print(f"engines: {text}", flush=True)


# -- its tests


@attrs.define
class Result:
    """What the tests said on one engine."""

    version: str
    seconds: float
    passed: Counter[Area]
    expected: Counter[Area]
    failed: list[str]


async def version_of(engine: Engine, overlay: Path | None) -> str:
    start = private_engine(kind=engine.kind, overlay=overlay, options=engine.options)
    async with start as running, anydocker.connect(running.host) as client:
        return (await client.version())["Version"].partition("+")[0]


def test(engine: Engine, overlay: Path | None, areas: list[Area], arguments: list[str], scratch: Path) -> Result:
    version = anyio.run(version_of, engine, overlay)
    say(f"{engine.name}: {engine.kind} {version}")
    report = scratch / f"{engine.name}.xml"
    environment = {
        **os.environ,
        "TMPDIR": str(scratch),
        "ANYDOCKER_REQUIRE_LIVE": "1",
        "ANYDOCKER_TEST_KIND": engine.kind,
        "ANYDOCKER_TEST_OVERLAY": str(overlay or ""),
        "ANYDOCKER_TEST_OPTIONS": " ".join(engine.options),
    }
    environment.pop("ANYDOCKER_TEST_HOST", None)
    command = (
        str(Path(sys.executable).with_name("pytest")),
        *(str(LIVE / f"test_{area}.py") for area in areas),
        # What differs between the backends is not the engine.
        *("-k", "not asyncio"),
        *("--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal"),
        f"--junitxml={report}",
        # The tests have a shorter guard of their own; a report of a hundred errors takes a while to write.
        "--timeout=180",
        *arguments,
    )
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL) as pytest:
        try:
            status = pytest.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.terminate()
            status = pytest.wait()
    result = read(report, version, time.monotonic() - began)
    if status and not result.failed:
        result.failed.append(f"pytest ended with status {status}")
    return result


def read(report: Path, version: str, seconds: float) -> Result:
    """Take what passed, and what did not, from a report in JUnit's format."""
    result = Result(version, seconds, Counter(), Counter(), [])
    if not report.exists():
        return result
    for case in ET.parse(report).iter("testcase"):
        area = case.get("classname", "").rpartition(".test_")[2]
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed.append(f"{area}::{case.get('name')}")
        elif case.find("skipped") is not None:
            result.expected[area] += 1
        else:
            result.passed[area] += 1
    return result


# -- what it leaves


def left_behind(scratch: Path, links: set[str]) -> list[str]:
    """What still tells of engines that had their directories in ``scratch``."""
    give_up = time.monotonic() + LEAVING
    while True:
        found = [
            *(f"directory {path}" for path in scratch.glob("anydocker-*")),
            *(f"process {pid}" for pid in processes(scratch)),
            *(f"mount {line}" for line in Path("/proc/self/mounts").read_text().splitlines() if str(scratch) in line),
            *(f"network link {name}" for name in network_links() - links),
        ]
        if not found or time.monotonic() > give_up:
            return found
        time.sleep(0.1)


def processes(scratch: Path) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(scratch).encode() in command:
            found.append(int(entry.name))
    return found


def network_links() -> set[str]:
    return set(os.listdir("/sys/class/net"))


# -- the table


def table(results: dict[str, Result]) -> str:
    """A table in Markdown: what passed, with what failed as expected behind a plus, and what failed in bold."""
    failed = {name: Counter(one.partition("::")[0] for one in result.failed) for name, result in results.items()}
    areas = sorted(
        {area for name, result in results.items() for area in {*result.passed, *result.expected, *failed[name]}}
    )
    lines = [
        "| area | " + " | ".join(f"{name}<br>{result.version}" for name, result in results.items()) + " |",
        "|---" * (len(results) + 1) + "|",
    ]
    for area in areas:
        cells = (
            cell(result.passed[area], result.expected[area], failed[name][area]) for name, result in results.items()
        )
        lines.append(f"| {area} | " + " | ".join(cells) + " |")
    totals = (cell(result.passed.total(), result.expected.total(), len(result.failed)) for result in results.values())
    lines.append("| all | " + " | ".join(totals) + " |")
    return "\n".join(lines)


def cell(passed: int, expected: int, failed: int) -> str:
    return f"{passed}{f' + {expected}' if expected else ''}{f' **{failed} failed**' if failed else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the live tests on several engines.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ENGINES)}; all of them without one")
    parser.add_argument("--areas", default="", help="files of tests/live, without test_ and .py, with commas between")
    parser.add_argument("--cache", type=Path, default=ROOT / ".nox" / "engines-cache", help="where programs are kept")
    parser.add_argument("--fetch-only", action="store_true", help="unpack the programs and test nothing")
    parser.add_argument("--pytest", default="", help="more arguments for pytest, with spaces between")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(ENGINES):
        parser.error(f"no such engine: {', '.join(sorted(unknown))}")
    chosen = [ENGINES[name] for name in arguments.names or ENGINES]
    overlays = {engine.name: fetch(engine, arguments.cache.resolve()) for engine in chosen}
    if arguments.fetch_only:
        return
    areas = [area for area in arguments.areas.split(",") if area] or sorted(
        path.stem.removeprefix("test_") for path in LIVE.glob("test_*.py")
    )
    results: dict[str, Result] = {}
    for engine in chosen:
        links = network_links()
        with tempfile.TemporaryDirectory(prefix="engines-", dir="/tmp", ignore_cleanup_errors=True) as scratch:
            result = test(engine, overlays[engine.name], areas, arguments.pytest.split(), Path(scratch))
            result.failed += [f"left behind: {what}" for what in left_behind(Path(scratch), links)]
            results[engine.name] = result
    print(f"\n{table(results)}\n")
    for name, result in results.items():
        say(f"{name}: {result.seconds:.0f} s")
        for failure in result.failed:
            say(f"{name}: FAILED {failure}")
    sys.exit(any(result.failed for result in results.values()))


if __name__ == "__main__":
    main()
