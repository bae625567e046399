from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
from anyio.from_thread import BlockingPortal
from blockbuster import blockbuster_ctx

import anydocker
from anydocker._wire import jsonstream
from tests.helpers import within
from tests.promises.points import EVERY_POINT, Points, print_table, record_points

pytest_plugins = ["anydocker.testing.fixtures", "pytester"]

# Set where everything has to have run: a skipped test, or no live one at all, then fails the run.
REQUIRE_LIVE: Final = "ANYDOCKER_REQUIRE_LIVE"

LIVE_FIXTURES: Final = {"docker", "engine_host", "registry", "anydocker_engine"}

# A run is as fast as the machine it is on: no example of hypothesis has a deadline.
hypothesis.settings.register_profile("anydocker", deadline=None)
hypothesis.settings.load_profile("anydocker")

BACKENDS: Final = [
    pytest.param(("asyncio", {"debug": True}), id="asyncio"),
    *(
        [pytest.param(("asyncio", {"debug": True, "use_uvloop": True}), id="asyncio+uvloop")]
        if find_spec("uvloop") is not None
        else []
    ),
    pytest.param("trio", id="trio"),
]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.fixture(scope="session", autouse=True)
def without_extras() -> Iterator[None]:
    """JSON is decoded as it is for most users, with the standard library. The tests of the decoder try both ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonstream, "fast_decoder", lambda: None)
        yield


@pytest.fixture(autouse=True)
def no_blocking() -> Iterator[None]:
    """A blocking call of ours in a running event loop is an error. (It sees asyncio's loops only.)"""
    with blockbuster_ctx("anydocker") as blockbuster:
        # anyio looks for a stale socket where it is about to listen: the scripted engine, never the client.
        blockbuster.functions["os.stat"].can_block_in("anyio/_core/_sockets.py", {"setup_unix_local_socket"})
        # connect() is not async: what it reads are the few small files that the docker command line reads as well.
        for name in ("os.stat", "io.BufferedReader.read"):
            blockbuster.functions[name].can_block_in("anydocker/_client.py", {"connect"})
        yield


# Seconds by which a test that waits for ever is cancelled before pytest-timeout would end it. That raises in whatever
# runs just then: the event loop of trio goes on, and pytest waits for it.
HEAD_START: Final = 10.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    if iscoroutinefunction(pyfuncitem.obj):
        marker = pyfuncitem.get_closest_marker("timeout")
        limit = pyfuncitem.config.getini("timeout") if marker is None else marker.args[0]
        if limit:
            pyfuncitem.obj = within(float(limit) - HEAD_START, pyfuncitem.obj)


def pytest_report_header() -> str:
    return f"anydocker: {Path(anydocker.__file__).parent}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if LIVE_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("live")


# -- what a live test leaves behind

LISTINGS: Final = {"container": "/containers/json", "network": "/networks", "volume": "/volumes"}
# An engine goes on for a moment with what a client that has left asked of it. Seconds.
PATIENCE: Final = 5.0

Left = dict[tuple[str, str], str]


async def _listing(host: str) -> Left:
    found: Left = {}
    async with anydocker.connect(host) as client:
        for kind, path in LISTINGS.items():
            answer = (await client.request("GET", path, query={"all": True})).json()
            documents: list[dict[str, Any]] = answer["Volumes"] or [] if kind == "volume" else answer
            for document in documents:
                found[kind, document.get("Id") or document["Name"]] = str(document.get("Names") or document.get("Name"))
    return found


async def _remove(host: str, left: Left) -> None:
    async with anydocker.connect(host) as client:
        for kind, name in sorted(left):
            query = {} if kind == "network" else {"force": True}
            await client.request("DELETE", f"/{kind}s/{name}", query=query)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A live test that leaves a container, a network or a volume behind fails."""
    if request.node.get_closest_marker("live") is None:
        yield
        return
    host: str = request.getfixturevalue("engine_host")
    portal: BlockingPortal = request.getfixturevalue("anydocker_portal")
    before = portal.call(_listing, host)
    yield
    left = _what_is_left(portal, host, before)
    portal.call(_remove, host, left)
    if left:
        names = ", ".join(f"{kind} {name}" for (kind, _), name in left.items())
        pytest.fail(f"left behind: {names}")


def _what_is_left(portal: BlockingPortal, host: str, before: Left) -> Left:
    give_up = time.monotonic() + PATIENCE
    while True:
        now = portal.call(_listing, host)
        left = {key: name for key, name in now.items() if key not in before}
        if not left or time.monotonic() > give_up:
            return left
        time.sleep(0.02)


# -- what is swept


@pytest.fixture
def points(request: pytest.FixtureRequest) -> Points:
    """The points of a sweep: all of them, or a sample."""
    return record_points(request.node)


# -- a run that did not test everything

SHORTCOMINGS: Final = pytest.StashKey[list[str]]()


def _shortcomings(config: pytest.Config) -> list[str]:
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    found = [f"skipped: {report.nodeid}" for report in reporter.stats.get("skipped", ())]
    selected = config.option.file_or_dir or config.option.keyword or config.option.markexpr
    live = ["live" in report.keywords for report in reporter.stats.get("passed", ())]
    return found if selected or any(live) else [*found, "no live test passed"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    is_worker = hasattr(session.config, "workerinput")  # of pytest-xdist: only its controller knows all reports
    required = os.environ.get(REQUIRE_LIVE) and not session.config.option.collectonly and not is_worker
    found = session.config.stash[SHORTCOMINGS] = _shortcomings(session.config) if required else []
    if found and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if EVERY_POINT:
        print_table(terminalreporter)
    for shortcoming in config.stash[SHORTCOMINGS]:
        terminalreporter.write_line(f"{REQUIRE_LIVE} is set, but {shortcoming}", red=True)
