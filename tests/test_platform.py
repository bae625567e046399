from __future__ import annotations

import json
from typing import Any

import pytest

from anydocker._wire.platform import platform_document, platform_documents


@pytest.mark.parametrize(
    ("platform", "document"),
    [
        ("linux/amd64", {"os": "linux", "architecture": "amd64"}),
        ("linux/arm64/v8", {"os": "linux", "architecture": "arm64", "variant": "v8"}),
        ("windows/amd64/10.0.1", {"os": "windows", "architecture": "amd64", "variant": "10.0.1"}),
        ("Linux/AMD64", {"os": "Linux", "architecture": "AMD64"}),
        ("linux/ppc64le", {"os": "linux", "architecture": "ppc64le"}),
    ],
)
def test_platform(platform: str, document: dict[str, str]) -> None:
    found = platform_document(platform)
    assert found is not None
    assert json.loads(found) == document
    assert " " not in found


def test_none() -> None:
    assert platform_document(None) is None
    assert platform_documents([]) == []


def test_several() -> None:
    documents = platform_documents(("linux/amd64", "linux/arm64"))
    assert [json.loads(document)["architecture"] for document in documents] == ["amd64", "arm64"]


@pytest.mark.parametrize(
    "platform",
    [
        "",
        "linux",
        "amd64",
        "linux/",
        "/amd64",
        "linux/amd64/",
        "a/b/c/d",
        "linux amd64",
        "linux/amd 64",
        "linux/amd64\n",
    ],
)
def test_what_is_none(platform: str) -> None:
    with pytest.raises(ValueError, match="platform="):
        platform_document(platform)
    with pytest.raises(ValueError, match="platform="):
        platform_documents(["linux/amd64", platform])


def test_wrong_types() -> None:
    wrong: list[Any] = [1, b"linux/amd64", ["linux/amd64"]]
    for platform in wrong:
        with pytest.raises(TypeError, match="^platform: expected a str"):
            platform_document(platform)
    several: list[Any] = ["linux/amd64", b"linux/amd64", None, [None]]
    for platforms in several:
        with pytest.raises(TypeError, match="^platforms"):
            platform_documents(platforms)
