"""
What an engine cannot do, or does in a way of its own, and which tests show it.

Each entry is a promise: on an engine of that name the test fails, for that reason. A test that passes although it is
listed fails the run, and so does one that fails and is not listed.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

import attrs

from anydocker import Docker

__all__ = ("DIFFERENCES", "Difference", "engine_name", "expected_difference")


@attrs.frozen
class Difference:
    """
    One reason, and what it explains.

    Attributes:
        engines: Patterns of names as :func:`engine_name` gives them.
        reason: Why the tests fail there, as a reader of docs/engines.md is told.
        tests: ``FILE`` for all its tests, ``FILE::TEST`` for all cases of one, ``FILE::TEST[CASE]`` for one case; the
            file without ``test_`` and ``.py``.
    """

    engines: tuple[str, ...]
    reason: str
    tests: tuple[str, ...]


async def engine_name(docker: Docker) -> str:
    """What an engine is: ``docker-28.5.2``, ``docker-28.5.2-containerd`` (its image store), ``podman-4.3.1``."""
    version = await docker.version()
    number = version["Version"].partition("+")[0]
    if any("podman" in component["Name"].lower() for component in version.get("Components") or ()):
        return f"podman-{number}"
    drivers = (await docker.info()).get("DriverStatus") or ()
    is_containerd = ["driver-type", "io.containerd.snapshotter.v1"] in drivers
    return f"docker-{number}{'-containerd' if is_containerd else ''}"


def expected_difference(engine: str, names: set[str]) -> str | None:
    """Why a test with one of these names fails on the engine, or None where it has to pass."""
    for difference in DIFFERENCES:
        if names.intersection(difference.tests) and any(fnmatchcase(engine, one) for one in difference.engines):
            return difference.reason
    return None


DIFFERENCES: Final[tuple[Difference, ...]] = (
    Difference(
        ("docker-*-containerd",),
        "Its pushes and pulls report other steps, and a pushed image keeps the digest of each of its names.",
        (
            "image_transfer::test_open_push_gives_the_steps",
            "image_transfer::test_push",
            "images::test_open_pull_gives_the_steps",
        ),
    ),
    Difference(
        ("docker-*-containerd",),
        "It imports whatever it gets, and finds out that it is no tar when the image is used.",
        ("images::test_import_of_what_is_no_tar",),
    ),
)
