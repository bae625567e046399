"""Where copies land. That ``docker cp`` puts them there too, ``live/test_copy.py`` shows."""

from __future__ import annotations

import pytest

from anydocker._wire.copy_paths import (
    Ending,
    Kind,
    Landing,
    Source,
    Target,
    absolute,
    ending,
    landing,
    leads_out,
    path_inside,
)
from anydocker.errors import ArchiveError


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", ""),
        ("/a/b", ""),
        ("a/..", ""),
        ("..", ""),
        ("a.", ""),
        ("/a.", ""),
        ("a/", "/"),
        ("a//", "/"),
        ("/", "/"),
        ("../", "/"),
        (".", "/."),
        ("./", "/."),
        ("a/.", "/."),
        ("a/./", "/."),
        ("a/.//", "/."),
        ("/.", "/."),
    ],
)
def test_ending(path: str, expected: Ending) -> None:
    assert ending(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", "/a"),
        ("/a/", "/a"),
        ("//a", "/a"),
        ("///a//b", "/a/b"),
        ("a/./b/.", "/a/b"),
        ("a/../b", "/b"),
        ("../../a", "/a"),
        ("/", "/"),
        (".", "/"),
        ("..", "/"),
    ],
)
def test_absolute(path: str, expected: str) -> None:
    assert absolute(path) == expected


def test_absolute_from_a_directory() -> None:
    assert absolute("../x", "/a/b") == "/a/x"
    assert absolute("/x", "/a/b") == "/x"
    assert absolute("../../../../x", "/a/b") == "/x"


FILE = Source("f", is_directory=False)
DIRECTORY = Source("d", is_directory=True)
CONTENT = Source("d", is_directory=True, ending="/.")
ROOT = Source("", is_directory=True, ending="/")


@pytest.mark.parametrize(
    ("source", "kind", "end", "expected"),
    [
        (FILE, "directory", "", Landing("/t/x", "f")),
        (FILE, "directory", "/.", Landing("/t/x", "f")),
        (FILE, "file", "", Landing("/t", "x")),
        (FILE, "missing", "", Landing("/t", "x")),
        (DIRECTORY, "directory", "/", Landing("/t/x", "d")),
        (DIRECTORY, "missing", "", Landing("/t", "x")),
        (DIRECTORY, "missing", "/", Landing("/t", "x")),
        (CONTENT, "directory", "", Landing("/t/x", "")),
        (CONTENT, "missing", "/", Landing("/t", "x")),
        (ROOT, "directory", "", Landing("/t/x", "")),
        (ROOT, "missing", "", Landing("/t", "x")),
    ],
)
def test_landing(source: Source, kind: Kind, end: Ending, expected: Landing) -> None:
    assert landing(source, Target("/t/x", kind, end)) == expected


@pytest.mark.parametrize(
    ("source", "kind", "end", "why"),
    [
        (FILE, "file", "/", "there is no directory '/t/x'"),
        (FILE, "missing", "/", "there is no directory '/t/x'"),
        (FILE, "missing", "/.", "there is no directory '/t/x'"),
        (DIRECTORY, "file", "", "a directory cannot be copied onto '/t/x'"),
        (DIRECTORY, "file", "/", "a directory cannot be copied onto '/t/x'"),
        (CONTENT, "file", "", "a directory cannot be copied onto '/t/x'"),
        (DIRECTORY, "missing", "/.", "there is no directory '/t/x'"),
    ],
)
def test_no_landing(source: Source, kind: Kind, end: Ending, why: str) -> None:
    with pytest.raises(ArchiveError, match=why):
        landing(source, Target("/t/x", kind, end))


def test_landing_below_the_root() -> None:
    assert landing(FILE, Target("/x", "missing")) == Landing("/", "x")
    assert landing(FILE, Target("/", "directory", "/")) == Landing("/", "f")


@pytest.mark.parametrize(
    ("name", "parts"),
    [("a/b", ("a", "b")), ("./a//b/", ("a", "b")), ("./", ()), (".", ()), ("", ()), ("a..b/...", ("a..b", "..."))],
)
def test_path_inside(name: str, parts: tuple[str, ...]) -> None:
    assert path_inside(name) == parts


@pytest.mark.parametrize("name", ["/", "/a", "//a", "..", "../a", "a/..", "a/../../b", "./../a", "a\0b"])
def test_path_outside(name: str) -> None:
    with pytest.raises(ArchiveError, match="would leave its target"):
        path_inside(name)


@pytest.mark.parametrize(
    ("link", "target", "expected"),
    [
        ("/t/a", "b", False),
        ("/t/a", ".", False),
        ("/t/d/a", "..", False),
        ("/t/d/a", "../b", False),
        ("/t/d/a", "../../t/b", False),
        ("/t/a", "..", True),
        ("/t/a", "../b", True),
        ("/t/a", "../tt/b", True),
        ("/t/d/a", "x/../../../b", True),
        ("/t/a", "/etc", True),
    ],
)
def test_leads_out(link: str, target: str, *, expected: bool) -> None:
    assert leads_out(link, target, "/t") == expected


def test_nothing_leads_out_of_the_root() -> None:
    assert not leads_out("/a", "../../b", "/")
