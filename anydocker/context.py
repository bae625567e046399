"""
Build contexts: what goes to the engine as the body of a build.

:func:`prepare` takes a directory, a ready-made tar, or no more than the text of a Dockerfile. It looks at the
arguments, the Dockerfile and the ``.dockerignore``, so that what is wrong there is said before anything is
sent.

A directory becomes a tar while it is sent, a piece at a time: no temporary file, never the whole of it in
memory, no file-system call in the event loop. The rules for what is left out are in
:mod:`anydocker._wire.ignore`. The Dockerfile and the ``.dockerignore`` are sent even where the rules leave
them out, because the engine needs them; the classic builder takes them out again before the first ``COPY``.

In the tar, paths are sorted and belong to user and group 0. Modes stay, times are whole seconds. A symbolic
link stays one and is never followed; a hard link is a file of its own. Sockets, pipes and devices are left
out, and so are extended attributes.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import AsyncIterable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from heapq import heapify, heappop, heappush
from pathlib import PurePath, PurePosixPath
from typing import Final, final

import attrs
from anyio import to_thread
from anyio.lowlevel import checkpoint

from anydocker._tar import END_OF_TAR, DirectoryTar, encode, file_parts, gather, header, padding
from anydocker._wire.ignore import IgnoreRules
from anydocker.errors import ContextError

__all__ = ("BuildContext", "DirectoryTar", "prepare")

_DOCKERFILES: Final = ("Dockerfile", "dockerfile")
_IGNORE_FILE: Final = ".dockerignore"


@final
@attrs.frozen
class BuildContext:
    """
    The body of a build, made by :func:`prepare`.

    Attributes:
        dockerfile: The name of the Dockerfile inside the tar, with forward slashes.
        body: The tar, compressed or not; a :class:`DirectoryTar` if it is made from a directory.
    """

    dockerfile: str
    body: bytes | AsyncIterable[bytes]


async def prepare(
    source: str | os.PathLike[str] | bytes | AsyncIterable[bytes] | None = None,
    *,
    dockerfile: str | os.PathLike[str] | None = None,
    dockerfile_text: str | None = None,
) -> BuildContext:
    """
    Prepare a build context.

    Args:
        source: A directory's path; or a tar, as bytes or as an asynchronous iterable of bytes, plain or
            compressed as the engine understands (gzip, bzip2, xz); or None for a context with nothing but
            ``dockerfile_text``.
        dockerfile: The Dockerfile. For a directory a path relative to it; one that lies outside (absolute, or
            by ``..`` or a link) is sent along under a random name. For a tar the name inside it. Default:
            ``Dockerfile``, and in a directory that has none ``dockerfile``. A ``<dockerfile>.dockerignore``
            beside it is used instead of the directory's ``.dockerignore``.
        dockerfile_text: The text of a Dockerfile, instead of ``dockerfile``. With a directory it is sent
            along under a random name.

    Returns:
        The context. Its ``body`` is ready to send and, made from a directory, can be read once.

    Raises:
        ContextError: The directory, its Dockerfile or its ``.dockerignore`` is missing, empty or not usable.
        TypeError: The arguments do not go together, or one is of the wrong type.

    If cancelled: nothing is left open.
    """
    _check_arguments(source, dockerfile, dockerfile_text)
    _check_not_empty(source, dockerfile, dockerfile_text)
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if dockerfile_text is not None:
            return await to_thread.run_sync(_from_directory_and_text, path, dockerfile_text)
        return await to_thread.run_sync(_from_directory, path, dockerfile)
    await checkpoint()
    if source is None:
        return _from_text(dockerfile_text or "")
    return BuildContext(_name_in_tar(dockerfile), source)


def _check_arguments(source: object, dockerfile: object, dockerfile_text: str | None) -> None:
    if not isinstance(source, str | os.PathLike | bytes | AsyncIterable | None):
        message = "source must be a path, bytes, an asynchronous iterable of bytes or None, not a "
        raise TypeError(message + type(source).__name__)
    if dockerfile is not None and dockerfile_text is not None:
        raise TypeError("dockerfile and dockerfile_text exclude each other: give one of them")
    if source is None and dockerfile_text is None:
        raise TypeError("nothing to build from: give a source, or dockerfile_text")
    if isinstance(source, bytes | AsyncIterable) and dockerfile_text is not None:
        raise TypeError("a tar brings its own Dockerfile: name it by dockerfile, instead of dockerfile_text")


def _check_not_empty(source: object, dockerfile: object, dockerfile_text: str | None) -> None:
    if isinstance(source, str) and not source:
        raise ContextError('the path of the build context is empty; the current directory is "."')
    if isinstance(source, bytes) and not source:
        raise ContextError("the tar of the build context is empty")
    if isinstance(dockerfile, str) and not dockerfile:
        raise ContextError('the name of the Dockerfile is empty; leave it out for "Dockerfile"')
    if dockerfile_text is not None and not dockerfile_text.strip():
        raise ContextError("dockerfile_text is empty; the shortest Dockerfile is a FROM line")


def _from_text(text: str) -> BuildContext:
    name = _DOCKERFILES[0]
    return BuildContext(name, b"".join([*_injected_file(name, text.encode()), END_OF_TAR]))


def _name_in_tar(dockerfile: str | os.PathLike[str] | None) -> str:
    if dockerfile is None:
        return _DOCKERFILES[0]
    name = PurePosixPath(PurePath(dockerfile).as_posix())
    if name.is_absolute() or ".." in name.parts:
        message = f"the Dockerfile of a tar must be inside it, {str(name)!r} is not: give its name in the tar"
        raise ContextError(message)
    return str(name)


def _from_directory(source: str, dockerfile: str | os.PathLike[str] | None) -> BuildContext:
    root = _directory(source)
    path = _dockerfile_path(root, dockerfile)
    rules_of_its_own = _read_rules(path + _IGNORE_FILE)
    rules = rules_of_its_own or _read_rules(os.path.join(root, _IGNORE_FILE))
    inside = PurePath(os.path.realpath(path))
    if not inside.is_relative_to(root):
        return _with_injected(root, rules, _read_file(path))
    name = inside.relative_to(root).as_posix()
    kept = {name} if rules_of_its_own else {name, _IGNORE_FILE}
    return _of_tree(name, _Tree(root, rules, frozenset(kept), {}))


def _from_directory_and_text(source: str, text: str) -> BuildContext:
    root = _directory(source)
    return _with_injected(root, _read_rules(os.path.join(root, _IGNORE_FILE)), text.encode())


def _with_injected(root: str, rules: IgnoreRules | None, dockerfile: bytes) -> BuildContext:
    """
    A context whose Dockerfile comes from elsewhere.

    The name is random so that it is nobody's. The ``.dockerignore`` sent with it lists it, so that the
    classic builder takes it out again before the first ``COPY``.
    """
    name = f".dockerfile.{os.urandom(10).hex()}"
    ignore_path = os.path.join(root, _IGNORE_FILE)
    ignored = _read_file(ignore_path) if os.path.isfile(ignore_path) else _IGNORE_FILE.encode()
    injected = {name: dockerfile, _IGNORE_FILE: ignored + f"\n{name}\n".encode()}
    return _of_tree(name, _Tree(root, rules, frozenset(), injected))


def _of_tree(dockerfile: str, tree: _Tree) -> BuildContext:
    return BuildContext(dockerfile, DirectoryTar(tree.root, gather(tree.tar())))


def _directory(source: str) -> str:
    try:
        root = os.path.realpath(source, strict=True)
    except OSError as exc:
        message = f"there is no build context at {source!r}: {exc.strerror}; give the path of a directory"
        raise ContextError(message) from exc
    if not os.path.isdir(root):
        message = f"the build context {source!r} is not a directory; give a directory, or the bytes of a tar"
        raise ContextError(message)
    return root


def _dockerfile_path(root: str, dockerfile: str | os.PathLike[str] | None) -> str:
    names = _DOCKERFILES if dockerfile is None else (os.fspath(dockerfile),)
    for name in names:
        path = os.path.join(root, name)
        if os.path.isfile(path):
            return path
    message = f"there is no file {names[0]!r} in the build context {root!r};"
    message += " name the Dockerfile by dockerfile, or give its text by dockerfile_text"
    raise ContextError(message)


def _read_rules(path: str) -> IgnoreRules | None:
    return IgnoreRules.parse(_read_file(path), path) if os.path.exists(path) else None


def _read_file(path: str) -> bytes:
    with _failures_named(path), open(path, "rb") as file:
        return file.read()


@contextmanager
def _failures_named(path: str) -> Generator[None, None, None]:
    try:
        yield
    except OSError as exc:
        message = f"cannot read {path!r} for the build context: {exc.strerror}"
        message += f"; make it readable, or leave it out by {_IGNORE_FILE}"
        raise ContextError(message) from exc


@attrs.frozen
class _Tree:
    """A directory to send. Its methods block, and run in worker threads."""

    root: str
    rules: IgnoreRules | None
    kept: frozenset[str]
    """Paths that are sent although the rules leave them out."""
    injected: Mapping[str, bytes]
    """Files that are sent from memory, in place of what the directory has under their paths."""

    def tar(self) -> Iterator[bytes]:
        """The tar, in parts of at most 1 MiB; an empty part for what is left out."""
        for path, entry in self._walk():
            if entry is None:
                yield from _injected_file(path, self.injected[path])
            elif self._is_left_out(path):
                yield b""
            else:
                yield from _entry(path, entry)
        yield END_OF_TAR

    def _walk(self) -> Iterator[tuple[str, os.DirEntry[str] | None]]:
        # A path sorts before everything below it, so the smallest one seen so far is the smallest one of all.
        seen: list[tuple[str, os.DirEntry[str] | None]] = [(path, None) for path in self.injected]
        seen += self._children("", self.root)
        heapify(seen)
        while seen:
            path, entry = heappop(seen)
            yield path, entry
            if entry is not None and entry.is_dir(follow_symlinks=False) and not self._is_closed_off(path):
                for child in self._children(path + "/", entry.path):
                    heappush(seen, child)

    def _children(self, prefix: str, directory: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        with _failures_named(directory), os.scandir(directory) as entries:
            for entry in entries:
                path = prefix + entry.name
                if path not in self.injected:
                    yield path, entry

    def _is_left_out(self, path: str) -> bool:
        return self.rules is not None and path not in self.kept and self.rules.matches(path)

    def _is_closed_off(self, directory: str) -> bool:
        """Whether nothing below a directory is sent."""
        if self.rules is None or not self.rules.covers(directory):
            return False
        return not any(path.startswith(directory + "/") for path in self.kept)


def _entry(path: str, entry: os.DirEntry[str]) -> Iterator[bytes]:
    with _failures_named(entry.path):
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            yield from file_parts(entry.path, partial(header, path, tarfile.REGTYPE), _changed)
        elif stat.S_ISDIR(status.st_mode):
            yield encode(header(path, tarfile.DIRTYPE, status))
        elif stat.S_ISLNK(status.st_mode):
            yield encode(header(path, tarfile.SYMTYPE, status, linkname=os.readlink(entry.path)))


def _changed(path: str, how: str) -> ContextError:
    message = f"{path!r} in the build context {how} while it was read; build again when it rests,"
    return ContextError(f"{message} or leave it out by {_IGNORE_FILE}")


def _injected_file(path: str, content: bytes) -> Iterator[bytes]:
    info = tarfile.TarInfo(path)
    info.size = len(content)
    yield encode(info)
    yield content
    yield padding(len(content))
