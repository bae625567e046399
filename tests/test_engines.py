"""The list of what is different on some engines, and the table of what passes on which."""

from __future__ import annotations

import ast
import runpy
from collections import Counter
from pathlib import Path

import pytest

from tests.live import differences
from tests.live.differences import DIFFERENCES, Difference, expected_difference

LIVE = Path(differences.__file__).parent
# tools is no package, and its directory not on the path: the package under test is the one that is installed.
TOOL = runpy.run_path(str(LIVE.parents[1] / "tools" / "engines.py"))
Result, read, table = TOOL["Result"], TOOL["read"], TOOL["table"]


def existing() -> set[str]:
    """The names of all live tests, as the list has them."""
    found: set[str] = set()
    for path in LIVE.glob("test_*.py"):
        area = path.stem.removeprefix("test_")
        nodes = ast.parse(path.read_text()).body
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        found |= {area, *(f"{area}::{node.name}" for node in functions if node.name.startswith("test_"))}
    return found


def test_the_list_names_tests_that_exist() -> None:
    listed = {name.partition("[")[0] for difference in DIFFERENCES for name in difference.tests}
    assert listed <= existing(), listed - existing()


def test_a_difference_is_found_by_engine_and_test(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = (
        Difference(("podman-4.*",), "of old", ("exec::test_b",)),
        Difference(("podman-*", "docker-28.*-containerd"), "everywhere", ("run", "exec::test_a[x-1]")),
    )
    monkeypatch.setattr(differences, "DIFFERENCES", entries)
    assert expected_difference("podman-4.3.1", {"exec", "exec::test_b", "exec::test_b[1]"}) is entries[0]
    assert expected_difference("podman-5.4.2", {"exec", "exec::test_b", "exec::test_b[1]"}) is None
    assert expected_difference("podman-5.4.2", {"run", "run::test_b"}) is entries[1]
    assert expected_difference("docker-28.5.2-containerd", {"exec::test_a", "exec::test_a[x-1]"}) is entries[1]
    assert expected_difference("docker-28.5.2", {"exec::test_a", "exec::test_a[x-1]"}) is None
    assert expected_difference("podman-5.4.2", {"exec::test_a", "exec::test_a[x-2]"}) is None


CONFTEST = """
import pytest
import tests.live.conftest
from tests.live.conftest import pytest_runtest_makereport
from tests.live.differences import Difference

pytestmark = pytest.mark.live
def expected_difference(engine, names):
    if not {"module::test_listed", "module::test_at_times", "module::test_cases[b]"} & names:
        return None
    return Difference((engine,), "it differs", (), sometimes="module::test_at_times" in names)

tests.live.conftest.expected_difference = expected_difference

def pytest_configure(config):
    config.stash[tests.live.conftest.ENGINE] = "podman-4.3.1"

@pytest.fixture
def broken():
    raise OSError("in the fixture")

@pytest.fixture(scope="session")
def broken_for_all():
    raise OSError("in the fixture")

@pytest.fixture
def untidy():
    yield
    raise OSError("left behind")
"""


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ("def test_listed(): assert False", {"xfailed": 1}),
        ("def test_listed(broken): pass", {"xfailed": 1}),
        ("def test_listed(broken_for_all): pass", {"xfailed": 1}),
        ("def test_listed(untidy): assert False", {"xfailed": 1}),
        ("def test_listed(): pass", {"failed": 1}),
        ("def test_at_times(): assert False", {"xfailed": 1}),
        ("def test_at_times(): pass", {"passed": 1}),
        ("def test_other(): assert False", {"failed": 1}),
        ("def test_other(untidy): pass", {"passed": 1, "errors": 1}),
        ("def test_other(): pass", {"passed": 1}),
        (
            "@pytest.mark.parametrize('case', ['a', 'b', 'c'])\ndef test_cases(case): assert case != 'b'",
            {"passed": 2, "xfailed": 1},
        ),
    ],
)
def test_what_is_listed_has_to_fail(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, test: str, outcome: dict[str, int]
) -> None:
    monkeypatch.setattr("tests.live.conftest.expected_difference", expected_difference)
    pytester.makeini("[pytest]\nmarkers = live: needs an engine\n")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_module=f"import pytest\npytestmark = pytest.mark.live\n{test}\n")
    # The plugin would start an event loop, and the test is in one.
    result = pytester.runpytest_inprocess("-p", "no:anyio", "-p", "no:xdist", "-p", "no:cacheprovider")
    result.assert_outcomes(**outcome)


REPORT = """<testsuites><testsuite>
<testcase classname="tests.live.test_exec" name="test_a[trio]"/>
<testcase classname="tests.live.test_exec" name="test_b[trio]"><skipped type="pytest.xfail" message="no"/></testcase>
<testcase classname="tests.live.test_run" name="test_c"><failure message="x"/></testcase>
<testcase classname="tests.live.test_run" name="test_d"><error message="x"/></testcase>
</testsuite></testsuites>"""


def test_a_report_is_read(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    result = read(report, "1.2", 3.0)
    assert (result.version, result.seconds) == ("1.2", 3.0)
    assert (result.passed, result.expected) == (Counter(exec=1), Counter(exec=1))
    assert result.failed == ["run::test_c", "run::test_d"]
    assert read(tmp_path / "none.xml", "1.2", 3.0) == Result("1.2", 3.0, Counter(), Counter(), [])


def test_the_table() -> None:
    results = {
        "docker": Result("28", 1, Counter(exec=3, run=2), Counter(), []),
        "podman": Result("4", 1, Counter(exec=2), Counter(exec=1), ["run::test_c", "run::test_d"]),
    }
    assert table(results).splitlines() == [
        "| area | docker<br>28 | podman<br>4 |",
        "|---|---|---|",
        "| exec | 3 | 2 + 1 |",
        "| run | 2 | 0 **2 failed** |",
        "| all | 5 | 2 + 1 **2 failed** |",
    ]
