from __future__ import annotations

import base64
import datetime as dt
import json
import stat
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anydocker import ArchiveInfo, ProtocolError
from anydocker._wire.archive import parse_archive_info

DOCUMENT: Final[dict[str, Any]] = {
    "name": "a",
    "size": 3,
    "mode": 0o644,
    "mtime": "2024-01-02T03:04:05.123456789Z",
    "linkTarget": "",
}


def header(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode("ascii")


def info(**changes: Any) -> ArchiveInfo:
    return parse_archive_info(header(DOCUMENT | changes))


def test_what_the_engine_says() -> None:
    assert info() == ArchiveInfo("a", 3, stat.S_IFREG | 0o644, "2024-01-02T03:04:05.123456789Z", "")
    assert info(name="ä b", size=1 << 40, linkTarget="/c").name == "ä b"
    assert info(size=1 << 40).size == 1 << 40
    assert info(linkTarget="/c").link_target == "/c"


def test_the_alphabet_for_urls() -> None:
    document = DOCUMENT | {"name": "\u00e4\u00bf\u00ff", "linkTarget": "/\U000fffff"}
    encoded = base64.urlsafe_b64encode(json.dumps(document, ensure_ascii=False).encode()).decode("ascii")
    assert not {"-", "_"}.isdisjoint(encoded)
    described = parse_archive_info(encoded)
    assert (described.name, described.link_target) == (document["name"], document["linkTarget"])


def test_a_link_target_may_be_left_out() -> None:
    without = {key: value for key, value in DOCUMENT.items() if key != "linkTarget"}
    assert parse_archive_info(header(without)).link_target == ""
    assert info(linkTarget=None).link_target == ""


# What Go has in its os.FileMode, and what os.stat has.
MODES: Final = [
    (0o644, "-rw-r--r--"),
    (1 << 31 | 0o755, "drwxr-xr-x"),
    (1 << 31 | 1 << 20 | 0o777, "drwxrwxrwt"),
    (1 << 27 | 0o777, "lrwxrwxrwx"),
    (1 << 26 | 0o660, "brw-rw----"),
    (1 << 26 | 1 << 21 | 0o666, "crw-rw-rw-"),
    (1 << 25 | 0o600, "prw-------"),
    (1 << 24 | 0o600, "srw-------"),
    (1 << 23 | 0o755, "-rwsr-xr-x"),
    (1 << 22 | 0o755, "-rwxr-sr-x"),
]


@pytest.mark.parametrize(("mode", "text"), MODES, ids=[text for _, text in MODES])
def test_modes(mode: int, text: str) -> None:
    found = info(mode=mode)
    assert stat.filemode(found.mode) == text
    assert (found.is_directory, found.is_link) == (text.startswith("d"), text.startswith("l"))


def test_when_it_was_modified() -> None:
    assert info().modified_at == dt.datetime(2024, 1, 2, 3, 4, 5, 123456, tzinfo=dt.UTC)
    assert info(mtime="2024-01-02T03:04:05+01:00").modified_at == dt.datetime(2024, 1, 2, 2, 4, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "none",
        "ä",
        "a",
        header([]),
        header("text"),
        header(None),
        header({}),
        header({key: value for key, value in DOCUMENT.items() if key != "mode"}),
        header(DOCUMENT | {"mode": "0644"}),
        base64.b64encode(b"\xff").decode("ascii"),
        base64.b64encode(b'{"name":').decode("ascii"),
    ],
)
def test_what_is_no_description(text: str | None) -> None:
    with pytest.raises(ProtocolError, match="not the description of a path"):
        parse_archive_info(text)


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode("ascii")))
def test_anything_is_a_description_or_an_error(text: str) -> None:
    try:
        parse_archive_info(text)
    except ProtocolError as exc:
        assert repr(text) in str(exc)  # noqa: PT017 - either may happen
