"""What the local paths of a copy name. These functions block, and run in worker threads."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager

from anydocker._wire.copy_paths import Source, Target, ending
from anydocker.errors import ArchiveError

__all__ = ("look_at_source", "look_at_target")


def look_at_source(path: str, *, follow_link: bool) -> tuple[str, Source]:
    """
    Find what is to be copied.

    Args:
        path: Where it is, as the caller wrote it.
        follow_link: Take what a symbolic link leads to. A path that ends in a slash does so, too.

    Returns:
        Where it is in fact, and what it is.

    Raises:
        ArchiveError: There is nothing, or it is not what the end of the path says, or it is a socket.
    """
    written = ending(path)
    clean = os.path.abspath(path)
    with _failures_named(f"cannot copy {path!r}"):
        real = os.path.realpath(clean, strict=True) if follow_link or written else clean
        mode = os.lstat(real).st_mode
    if written and not stat.S_ISDIR(mode):
        raise ArchiveError(f"{path!r} is not a directory, as the end of its name says")
    if stat.S_ISSOCK(mode):
        raise ArchiveError(f"{path!r} is a socket: it cannot be copied")
    return real, Source(os.path.basename(clean), stat.S_ISDIR(mode), written)


def look_at_target(path: str) -> Target:
    """
    Find what is to become the copy.

    Raises:
        ArchiveError: The directory it would be in does not exist; or what is there is a device, or not what the end
            of the path says.
    """
    written = ending(path)
    clean = os.path.abspath(path)
    with _failures_named(f"cannot copy to {path!r}"):
        real = os.path.realpath(clean)
        try:
            mode = os.stat(clean).st_mode
        except FileNotFoundError:
            return _missing(path, Target(real, "missing", written), is_link=os.path.islink(clean))
    if written and not stat.S_ISDIR(mode):
        raise ArchiveError(f"{path!r} is not a directory, as the end of its name says")
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise ArchiveError(f"{path!r} is a device: a copy would replace it")
    return Target(real, "directory" if stat.S_ISDIR(mode) else "file", written)


def _missing(path: str, target: Target, *, is_link: bool) -> Target:
    parent = os.path.dirname(target.path)
    if not os.path.isdir(parent):
        raise ArchiveError(f"there is no directory {parent!r} to copy to")
    if is_link and target.ending:
        raise ArchiveError(f"{path!r} is a link that leads nowhere, and not a directory")
    return target


@contextmanager
def _failures_named(what: str) -> Generator[None, None, None]:
    try:
        yield
    except OSError as exc:
        raise ArchiveError(f"{what}: {exc.strerror}") from exc
