"""
Where a copy lands: the rules of ``docker cp``, for both directions.

They take what the caller wrote and what is there, and say what the copy is called and in which directory. How a path
ends matters: ``x/`` insists that it is a directory, ``x/.`` means what is in it.
"""

from __future__ import annotations

from posixpath import basename, dirname, join, normpath
from typing import Final, Literal, TypeAlias

import attrs

from anydocker.errors import ArchiveError

__all__ = ("Ending", "Kind", "Landing", "Source", "Target", "absolute", "ending", "landing", "leads_out", "path_inside")

Ending: TypeAlias = Literal["", "/", "/."]
Kind: TypeAlias = Literal["directory", "file", "missing"]


def ending(path: str) -> Ending:
    """How a path ends: ``"/."`` for ``x/.`` and ``.``, ``"/"`` for ``x/``, else ``""``."""
    if basename(path.rstrip("/")) == ".":
        return "/."
    return "/" if path.endswith("/") else ""


def absolute(path: str, directory: str = "/") -> str:
    """A path without ``.`` and ``..``; a relative one begins at ``directory``."""
    clean = normpath(join(directory, path))
    # POSIX lets two slashes in front mean something else; here they mean the root.
    return "/" + clean.lstrip("/")


@attrs.frozen
class Source:
    """
    What is copied.

    Attributes:
        name: The last part of its path, as the caller wrote it.
        is_directory: Whether it is a directory.
        ending: How the path ends.
    """

    name: str
    is_directory: bool
    ending: Ending = ""

    @property
    def is_content(self) -> bool:
        """Whether what is in it is copied, and not the directory itself. The root has no name to copy it under."""
        return self.ending == "/." or not self.name


@attrs.frozen
class Target:
    """
    What is to become the copy.

    Attributes:
        path: Where it is, with symbolic links at its end followed.
        kind: What is there; everything but a directory counts as a file. If nothing is, its parent is a directory.
        ending: How the path ends, as the caller wrote it.
    """

    path: str
    kind: Kind
    ending: Ending = ""


@attrs.frozen
class Landing:
    """
    Where a copy lands.

    Attributes:
        directory: A directory that exists, and that nothing may leave.
        name: What the copy is called in it; empty if the content of a directory joins what is there.
    """

    directory: str
    name: str


def landing(source: Source, target: Target) -> Landing:
    """
    Where a source lands that is copied to a target.

    Raises:
        ArchiveError: A directory would become a file, or the target has to be a directory and is none.
    """
    if target.kind == "directory":
        return Landing(target.path, "" if source.is_content else source.name)
    if source.is_directory and target.kind == "file":
        raise ArchiveError(f"a directory cannot be copied onto {target.path!r}, which is a file")
    if target.ending and not (source.is_directory and target.ending == "/"):
        raise ArchiveError(f"there is no directory {target.path!r} to copy to")
    return Landing(dirname(target.path), basename(target.path))


# Names of members that say nothing.
_EMPTY: Final = frozenset({"", "."})


def path_inside(name: str) -> tuple[str, ...]:
    """
    The parts of the name of an archive's member.

    Raises:
        ArchiveError: The name leads out of the archive.
    """
    parts = tuple(part for part in name.split("/") if part not in _EMPTY)
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise ArchiveError(f"the archive has {name!r}, which would leave its target: nothing of it is written")
    return parts


def leads_out(link: str, target: str, directory: str) -> bool:
    """
    Whether a relative symbolic link leads out of a directory.

    Args:
        link: The absolute path of the link.
        target: What it says.
        directory: The absolute path of the directory.
    """
    reached = normpath(join(dirname(link), target))
    return not f"{reached}/".startswith(directory.rstrip("/") + "/")
