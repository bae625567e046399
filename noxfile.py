"""The project's chores. ``nox`` alone runs the tour; ``nox --list`` shows the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tour"]

PROJECT = nox.project.load_toml("pyproject.toml")

FLAKE8_ASYNC = (
    "--anyio",
    # ASYNC910 and ASYNC913 want a checkpoint of every private helper; the rule here is one for each read.
    "--enable=ASYNC1,ASYNC2,ASYNC4,ASYNC900,ASYNC911,ASYNC912",
    # `from anyio import ...` is how names are imported here; ASYNC109 is off as in ruff's configuration; ASYNC102 and
    # ASYNC120 do not know that close_now() and finish_within() are what they ask for.
    "--disable=ASYNC102,ASYNC106,ASYNC109,ASYNC120",
)

# Where the tests of the promises are: collecting all the others takes longer than running these.
PROMISES = ("tests/promises", "tests/live/test_cancellation.py")

IN_SITE_PACKAGES = """
import pathlib, sysconfig, anydocker
where = pathlib.Path(anydocker.__file__)
assert where.is_relative_to(sysconfig.get_path("purelib")), f"not the installed package: {where}"
print("testing", where.parent)
"""


def install_groups(session: nox.Session, *groups: str) -> None:
    session.install(*nox.project.dependency_groups(PROJECT, *groups))


def install_wheel(session: nox.Session, extras: str = "") -> None:
    """Build the package and install it, as a user would get it."""
    directory = Path(session.create_tmp()) / "wheel"
    shutil.rmtree(directory, ignore_errors=True)
    session.run("python", "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={directory}", ".")
    (wheel,) = directory.glob("*.whl")
    session.install(f"{wheel}{extras}")
    # Its version is the same as yesterday's.
    session.install("--no-deps", "--force-reinstall", str(wheel))


def install_engine(session: nox.Session) -> None:
    session.run("sh", "tools/install_engine.sh", external=True)


@nox.session
def tour(session: nox.Session) -> None:
    """Show what the package does, on a private engine."""
    install_engine(session)
    install_wheel(session, "[progress]")
    session.install("trio")
    session.run("python", "examples/tour.py", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests against the built package and a real engine; arguments go to pytest."""
    install_engine(session)
    install_groups(session, "test")
    install_wheel(session, "[progress]")
    session.run("python", "-I", "-c", IN_SITE_PACKAGES)
    # Four processes, each with an engine of its own: the live tests wait more than they compute.
    parallel = ("--numprocesses=4", "--dist=worksteal")
    session.run("pytest", *parallel, *session.posargs, env={"ANYDOCKER_REQUIRE_LIVE": "1"})


@nox.session
def hostile(session: nox.Session) -> None:
    """Give every call every answer that no engine gives, on each event loop; the default tests give it a part."""
    install_groups(session, "test")
    install_wheel(session)
    session.run("pytest", "tests/test_hostile.py", "--timeout=600", *session.posargs, env={"ANYDOCKER_EVERYTHING": "1"})


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz the decoders, guided by coverage, 20 seconds each; arguments as for ``python -m tests.fuzz``."""
    install_groups(session, "fuzz")
    session.install(".")
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def promises(session: nox.Session) -> None:
    """Try every promise at every point, of which the tests try a sample, and print how many points there were."""
    install_engine(session)
    install_groups(session, "test")
    install_wheel(session)
    parallel = ("--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal")
    env = {"ANYDOCKER_EVERY_POINT": "1", "ANYDOCKER_REQUIRE_LIVE": "1"}
    session.run("pytest", *parallel, "-m", "promise", "-o", "timeout=600", *(session.posargs or PROMISES), env=env)


@nox.session
def engines(session: nox.Session) -> None:
    """Run the live tests on several releases of Docker and Podman; ``-- podman`` for one engine, ``-- --help``."""
    install_engine(session)
    install_groups(session, "test")
    install_wheel(session, "[progress]")
    session.run("python", "tools/engines.py", f"--cache={session.cache_dir / 'engines'}", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, the rules of async code, and the shell scripts' syntax."""
    install_groups(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("flake8-async", *FLAKE8_ASYNC, *(str(path) for path in sorted(Path("anydocker").rglob("*.py"))))
    session.run("sh", "-n", "activate.sh", external=True)
    session.run("sh", "-n", "tools/install_engine.sh", external=True)
    session.run("bash", "-n", ".ci/run", external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of everything, by two checkers."""
    install_groups(session, "types")
    session.install(".[progress]")
    session.run("mypy")
    session.run("pyright", f"--pythonpath={session.bin}/python")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure beside other clients and draw the result; ``-- quick`` takes two minutes and draws nothing."""
    install_groups(session, "bench")
    session.install(".")
    session.run("python", "-m", "benchmarks", *(session.posargs or ("--svg", "docs/benchmarks.svg")))
    if session.posargs in ([], ["quick"]):
        session.run("python", "-m", "benchmarks.micro", *session.posargs)
