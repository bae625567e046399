"""What an archive may do in the directory it is unpacked in, and what it may not."""

from __future__ import annotations

import asyncio
import errno
import os
import tarfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from anyio import CancelScope, to_thread
from anyio.lowlevel import checkpoint

from anydocker import _untar
from anydocker._untar import Unpacker, unpack
from anydocker._wire.copy_paths import Landing
from anydocker.errors import ArchiveError, ProtocolError, TruncatedStream
from anydocker.streams import Stream
from tests.test_tar_reader import Member, member, tar

pytestmark = pytest.mark.anyio

MIB: Final = 1024 * 1024


class Pieces(Stream[bytes]):
    """A body: what it gives, and how it ends."""

    def __init__(self, *pieces: bytes, error: TruncatedStream | None = None) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._error = error

    async def _receive_batch(self) -> list[bytes]:
        await checkpoint()
        for piece in self._pieces:
            return [piece]
        if self._error is not None:
            raise self._error
        self._ended = True
        return []

    async def _close(self) -> None:
        await checkpoint()


def directory(name: str) -> Member:
    return member(name, kind=tarfile.DIRTYPE, mode=0o750)


def link(name: str, target: str) -> Member:
    return member(name, kind=tarfile.SYMTYPE, linkname=target)


def hard(name: str, target: str) -> Member:
    return member(name, kind=tarfile.LNKTYPE, linkname=target)


def file(name: str, content: bytes = b"new") -> Member:
    return member(name, content)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory to unpack in, with one beside it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("old")
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def run(unpacker: Unpacker, *members: Member) -> None:
    try:
        unpacker.feed(tar(*members))
        unpacker.finish()
    finally:
        unpacker.discard()


def into(here: Path, name: str = "d") -> Unpacker:
    return Unpacker(Landing(str(here), name))


def content_of(here: Path) -> Unpacker:
    return Unpacker(Landing(str(here), ""), is_content=True)


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def unfinished(root: Path) -> list[Path]:
    return list(root.rglob("*.part"))


# -- what it may


def test_a_tree(here: Path) -> None:
    run(
        into(here, "copy"),
        directory("d"),
        directory("d/closed"),
        file("d/closed/f", b"x" * 1000),
        link("d/rel", "closed/f"),
        link("d/up", "../else"),
        link("d/abs", "/etc/passwd"),
        hard("d/hard", "d/closed/f"),
        member("d/pipe", kind=tarfile.FIFOTYPE, mode=0o622),
    )
    root = here / "copy"
    assert names(here) == {
        "copy",
        *(f"copy/{name}" for name in ("closed", "closed/f", "rel", "up", "abs", "hard", "pipe")),
    }
    assert (root / "closed" / "f").read_bytes() == b"x" * 1000
    assert (root / "closed" / "f").samefile(root / "hard")
    assert [os.readlink(root / name) for name in ("rel", "up", "abs")] == ["closed/f", "../else", "/etc/passwd"]
    modes = {name: oct(os.lstat(root / name).st_mode) for name in (".", "closed", "closed/f", "pipe")}
    assert modes == {".": "0o40750", "closed": "0o40750", "closed/f": "0o100640", "pipe": "0o10622"}
    assert {os.lstat(path).st_mtime for path in (root, *root.rglob("*"))} == {1_600_000_000}


def test_a_file(here: Path) -> None:
    run(into(here, "copy"), file("f"))
    assert (here / "copy").read_text() == "new"
    assert names(here) == {"copy"}


def test_content_joins_what_is_there(here: Path) -> None:
    here.chmod(0o711)
    (here / "old").touch()
    run(content_of(here), directory("./"), file("./f"), directory("./d"), file("./d/f"))
    assert names(here) == {"old", "f", "d", "d/f"}
    assert oct(here.stat().st_mode) == "0o40711"
    assert here.stat().st_mtime != 1_600_000_000


def test_content_becomes_a_directory(here: Path) -> None:
    run(Unpacker(Landing(str(here), "copy"), is_content=True), directory("./"), file("./f"))
    assert names(here) == {"copy", "copy/f"}
    assert oct((here / "copy").stat().st_mode) == "0o40750"


def test_directories_that_are_not_mentioned(here: Path) -> None:
    run(into(here), file("d/a/b/f"))
    assert names(here) == {"d", "d/a", "d/a/b", "d/a/b/f"}
    assert oct((here / "d" / "a").stat().st_mode) == "0o40755"


def test_a_directory_nobody_may_write_in(here: Path) -> None:
    """Its mode applies once everything is there."""
    unpacker = into(here)
    unpacker.feed(tar(member("d", kind=tarfile.DIRTYPE, mode=0o555), file("d/f"))[:2048])
    assert oct((here / "d").stat().st_mode) == "0o40700"
    unpacker.feed(bytes(1024))
    unpacker.finish()
    assert oct((here / "d").stat().st_mode) == "0o40555"
    assert (here / "d").stat().st_mtime == 1_600_000_000


@pytest.mark.parametrize("new", [file("d/x"), link("d/x", "new"), hard("d/x", "d/f"), member("d/x", kind=b"6")])
@pytest.mark.parametrize("old", ["file", "link", "dangling", "link to a directory"])
def test_what_is_there_is_replaced_and_not_written_to(here: Path, old: str, new: Member) -> None:
    outside = here.parent / "outside"
    (here / "d").mkdir()
    targets = {"link": outside / "file", "dangling": outside / "none", "link to a directory": outside}
    if old == "file":
        (here / "d" / "x").hardlink_to(outside / "file")
    else:
        (here / "d" / "x").symlink_to(targets[old])
    run(into(here), directory("d"), file("d/f"), new)
    assert names(outside) == {"file"}
    assert (outside / "file").read_text() == "old"
    assert not (here / "d" / "x").exists() or not (here / "d" / "x").samefile(outside / "file")
    assert names(here) == {"d", "d/f", "d/x"}


@pytest.mark.parametrize("mtime", [-5, 2**60, float("nan"), float("inf")])
def test_times_that_are_none(here: Path, mtime: float) -> None:
    info, content = file("f")
    info.pax_headers = {"mtime": str(mtime)}
    run(into(here), (info, content))
    assert (here / "d").stat().st_mtime == 0


def test_owners(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owned: dict[str, tuple[int, int]] = {}

    def chown(path: str, uid: int, gid: int, *, follow_symlinks: bool) -> None:
        assert not follow_symlinks
        owned[os.path.relpath(path, here).rpartition(".")[2]] = (uid, gid)

    monkeypatch.setattr(os, "chown", chown)
    members = [member("d", kind=tarfile.DIRTYPE, uid=1, gid=2), member("d/f", b"x", uid=3, gid=4)]
    run(into(here), *members)
    assert owned == {}
    run(Unpacker(Landing(str(here), "d"), copy_owner=True), *members)
    assert owned == {"d": (1, 2), "part": (3, 4)}


# -- what it may not

HOSTILE: Final[dict[str, tuple[Member, ...]]] = {
    "absolute": (file("/outside/file"),),
    "up": (file("../outside/file"),),
    "up behind a directory": (directory("d"), file("d/../../outside/file")),
    "up at the end": (directory("d"), directory("d/..")),
    "absolute hard link": (directory("d"), hard("d/f", "/etc/passwd")),
    "hard link up": (directory("d"), hard("d/f", "../outside/file")),
    "hard link out of the copy": (directory("d"), hard("d/f", "outside/file")),
    "hard link to nothing": (directory("d"), hard("d/f", "d/none")),
    "hard link to itself": (directory("d"), file("d/f"), hard("d/f", "d/f")),
    "hard link to a directory": (directory("d"), hard("d/f", "d")),
    "hard link behind nothing": (directory("d"), hard("d/f", "d/none/f")),
    "link up": (directory("d"), link("d/f", "../../outside/file")),
    "link to a sibling of the target": (directory("d"), link("d/f", "../../here2")),
    "link up by a detour": (directory("d"), link("d/f", "a/b/../../../../outside")),
    "through a relative link": (directory("d"), link("d/l", "../.."), file("d/l/outside/file")),
    "through an absolute link": (directory("d"), link("d/l", "/{outside}"), file("d/l/file")),
    "through a link to itself": (directory("d"), link("d/l", "."), file("d/l/file")),
    "through two links": (directory("d"), link("d/a", "/{outside}"), link("d/b", "a"), file("d/b/file")),
    "through a chain of links": (
        directory("d"),
        link("d/a", "b"),
        link("d/b", "c"),
        link("d/c", "/{outside}"),
        file("d/a/file"),
    ),
    "through a link that replaced a file": (directory("d"), file("d/l"), link("d/l", "/{outside}"), file("d/l/file")),
    "a directory onto a link": (directory("d"), link("d/l", "/{outside}"), directory("d/l"), file("d/l/file")),
    "a hard link through a link": (directory("d"), link("d/l", "/{outside}"), hard("d/f", "d/l/file")),
    "a directory in a file": (directory("d"), file("d/f"), directory("d/f/g")),
    "a file in a file": (file("d"), file("d/f")),
    "a file onto a directory": (directory("d"), directory("d/f"), file("d/f")),
    "a link onto a directory": (directory("d"), directory("d/f"), link("d/f", "x")),
    "a directory onto a file": (directory("d"), file("d/f"), directory("d/f")),
    "a character device": (directory("d"), member("d/x", kind=tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "a block device": (directory("d"), member("d/x", kind=tarfile.BLKTYPE, devmajor=8, devminor=0)),
    "a sparse file": (directory("d"), member("d/x", kind=tarfile.GNUTYPE_SPARSE)),
    "an unknown kind": (directory("d"), member("d/x", b"content", kind=b"Z")),
}


def aimed(members: tuple[Member, ...], outside: Path) -> Iterator[Member]:
    for info, content in members:
        again = tarfile.TarInfo.frombuf(info.tobuf(tarfile.GNU_FORMAT), "utf-8", "strict")
        again.linkname = info.linkname.replace("/{outside}", str(outside))
        yield again, content


@pytest.mark.parametrize("make", [into, content_of])
@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_hostile(here: Path, members: tuple[Member, ...], make: Callable[[Path], Unpacker]) -> None:
    outside = here.parent / "outside"
    with pytest.raises(ArchiveError):
        run(make(here), *aimed(members, outside))
    assert names(here.parent) - {f"here/{name}" for name in names(here)} == {"here", "outside", "outside/file"}
    assert (outside / "file").read_text() == "old"
    assert (outside / "file").stat().st_nlink == 1
    assert unfinished(here) == []


HARMLESS: Final[dict[str, tuple[Member, ...]]] = {
    "a file onto a link": (directory("d"), link("d/x", "/{outside}/file"), file("d/x")),
    "a file, a link, a file": (directory("d"), file("d/x"), link("d/x", "/{outside}/file"), file("d/x")),
    "a file onto a hard link to a link": (
        directory("d"),
        link("d/l", "/{outside}/file"),
        hard("d/x", "d/l"),
        file("d/x"),
    ),
    "a hard link onto a link": (directory("d"), file("d/f"), link("d/x", "/{outside}/file"), hard("d/x", "d/f")),
    "names that differ in their letters only": (directory("d"), link("d/X", "/{outside}/file"), file("d/x")),
}


@pytest.mark.parametrize("make", [into, content_of])
@pytest.mark.parametrize("members", HARMLESS.values(), ids=HARMLESS)
def test_a_link_is_replaced_and_not_written_through(
    here: Path, members: tuple[Member, ...], make: Callable[[Path], Unpacker]
) -> None:
    outside = here.parent / "outside"
    run(make(here), *aimed(members, outside))
    assert (here / "d" / "x").read_text() == "new"
    assert not (here / "d" / "x").is_symlink()
    assert (outside / "file").read_text() == "old"
    assert (outside / "file").stat().st_nlink == 1


# What only the extended headers of pax can say.
PAX: Final = {
    "a path up": {"path": "../outside/file"},
    "an absolute path": {"path": "/outside/file"},
    "a path with a NUL": {"path": "d/f\0"},
    "a path with a NUL behind a way up": {"path": "d/../\0../outside/file"},
    "a link with a NUL": {"linkpath": "f\0/../../outside"},
    "a link up": {"linkpath": "../../outside"},
    "a name that is too long": {"path": "d/" + "x" * 256},
    "a path that is too long": {"path": "d/" + ("x" * 200 + "/") * 25 + "x"},
    "a link that is too long": {"linkpath": "x" * 5000},
}


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("headers", PAX.values(), ids=PAX)
def test_hostile_extended_headers(here: Path, headers: dict[str, str], kind: bytes) -> None:
    if "linkpath" in headers and kind not in {tarfile.SYMTYPE, tarfile.LNKTYPE}:
        kind = tarfile.SYMTYPE
    with pytest.raises(ArchiveError):
        run(into(here), directory("d"), file("d/f"), member("d/x", kind=kind, linkname="d/f", pax_headers=headers))
    assert names(here.parent / "outside") == {"file"}
    assert (here.parent / "outside" / "file").read_text() == "old"
    assert unfinished(here) == []


@pytest.mark.parametrize("new", [file("d/x"), link("d/x", "f"), hard("d/x", "d/f"), member("d/x", kind=b"6")])
def test_a_directory_is_not_replaced(here: Path, new: Member) -> None:
    (here / "d" / "x").mkdir(parents=True)
    with pytest.raises(ArchiveError, match="is a directory, and cannot be replaced by something else"):
        run(into(here), directory("d"), file("d/f"), new)
    assert names(here) == {"d", "d/x", "d/f"}


@pytest.mark.parametrize("target", ["d/none", "d/x", "d", "d/sub"])
def test_a_hard_link_to_no_file_replaces_nothing(here: Path, target: str) -> None:
    (here / "d").mkdir()
    (here / "d" / "x").write_text("old")
    with pytest.raises(ArchiveError, match=f"a hard link to '{target}', which is no file in the archive"):
        run(into(here), directory("d"), directory("d/sub"), hard("d/x", target))
    assert (here / "d" / "x").read_text() == "old"


def test_a_name_that_is_not_in_the_directory_to_copy(here: Path) -> None:
    with pytest.raises(ArchiveError, match="'e/f', which is not in 'd'"):
        run(into(here), directory("d"), file("e/f"))
    assert names(here) == {"d"}


@pytest.mark.parametrize("way", ["d/l/file", "d/l/new", "d/l/sub/new", "d/l"])
def test_a_link_that_was_there_before_is_no_way_out(here: Path, way: str) -> None:
    (here / "d").mkdir()
    outside = here.parent / "outside"
    (here / "d" / "l").symlink_to(outside)
    with pytest.raises(ArchiveError, match="is not a directory, but has to become one"):
        run(into(here), directory("d"), directory(way) if way == "d/l" else file(way))
    assert names(outside) == {"file"}
    assert (outside / "file").read_text() == "old"


def test_the_target_itself_is_no_way_out(here: Path) -> None:
    (here / "d").symlink_to(here.parent / "outside")
    with pytest.raises(ArchiveError):
        run(into(here), directory("d"), file("d/file"))
    assert (here.parent / "outside" / "file").read_text() == "old"


def test_no_tar(here: Path) -> None:
    with pytest.raises(ProtocolError, match="not a tar"):
        into(here).feed(b"<html>" * 100)
    assert names(here) == set()


# -- as it comes


def big(size: int = 3 * MIB) -> bytes:
    return tar(directory("d"), file("d/first"), member("d/big", os.urandom(size)), file("d/last"))


async def test_unpack(here: Path) -> None:
    data = big()
    await unpack(Pieces(*(data[at : at + 50_000] for at in range(0, len(data), 50_000))), into(here))
    assert names(here) == {"d", "d/first", "d/big", "d/last"}
    assert (here / "d" / "big").read_bytes() in data


@pytest.mark.parametrize(
    ("cut", "where", "left"),
    [
        (0, "before the first file", set[str]()),
        (512, "behind 'd'", {"d"}),
        (1540, "behind 'd/first'", {"d", "d/first"}),
        (2048, "'d/big' is incomplete", {"d", "d/first"}),
        (2 * MIB, "'d/big' is incomplete", {"d", "d/first"}),
        (2048 + 3 * MIB, "behind 'd/big'", {"d", "d/first", "d/big"}),
    ],
)
@pytest.mark.parametrize("broken", [TruncatedStream("the connection ended"), None])
async def test_a_cut_names_the_file_and_removes_it(
    here: Path, cut: int, where: str, left: set[str], broken: TruncatedStream | None
) -> None:
    data = big()[:cut]
    with pytest.raises(TruncatedStream, match=where) as caught:
        await unpack(Pieces(*filter(None, [data[:1000], data[1000:]]), error=broken), into(here))
    assert broken is None or "the connection ended" in str(caught.value)
    assert names(here) == left


async def test_a_cut_behind_the_end_is_none_of_an_archive_but_of_its_body(here: Path) -> None:
    with pytest.raises(TruncatedStream, match="the connection ended"):
        await unpack(Pieces(big(), error=TruncatedStream("the connection ended")), into(here))


async def test_a_file_that_was_there_outlives_a_cut(here: Path) -> None:
    (here / "d").write_text("old")
    with pytest.raises(TruncatedStream):
        await unpack(Pieces(tar(member("f", bytes(5000)))[:4000]), into(here))
    assert (here / "d").read_text() == "old"
    assert names(here) == {"d"}


@pytest.mark.parametrize("call", ["open", "utime", "replace", "mkdir", "symlink", "unlink"])
async def test_a_failure_of_the_file_system_is_named(here: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (here / "l").touch()
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ArchiveError, match=f"cannot write '{here}.*: No space left on device"):
        await unpack(Pieces(tar(link("./l", "f"), directory("./d"), file("./d/f"))), content_of(here))
    assert unfinished(here) == []


async def test_a_full_disk(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part: list[str] = []

    def on_full_disk(path: str, flags: int) -> int:
        part.append(path)
        Path(path).touch()
        return os.open("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(_untar, "_private", on_full_disk)
    with pytest.raises(ArchiveError, match=f"cannot write '{here}/d/first': No space left on device"):
        await unpack(Pieces(big()), into(here))
    assert len(part) == 1
    assert names(here) == {"d"}


async def test_cancelled_while_it_waits(here: Path) -> None:
    class Stalled(Pieces):
        async def _receive_batch(self) -> list[bytes]:
            batch = await super()._receive_batch()
            if not batch:
                scope.cancel()
                await checkpoint()
            return batch

    with CancelScope() as scope:
        await unpack(Stalled(big()[: 2 * MIB]), into(here))
    assert scope.cancelled_caught
    assert names(here) == {"d", "d/first"}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_by_asyncio_itself_while_a_thread_writes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio does not wait for the thread: the clean-up has to."""
    feed = Unpacker.feed
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    cleaning = threading.Event()
    discard = Unpacker.discard

    def cancelling_feed(self: Unpacker, data: bytes) -> None:
        loop.call_soon_threadsafe(task.cancel)
        assert cleaning.wait(10)
        feed(self, data)

    def noting_discard(self: Unpacker) -> None:
        cleaning.set()
        discard(self)

    monkeypatch.setattr(Unpacker, "feed", cancelling_feed)
    monkeypatch.setattr(Unpacker, "discard", noting_discard)
    with pytest.raises(asyncio.CancelledError):
        await unpack(Pieces(big()[: 2 * MIB], big()), into(here))
    task.uncancel()
    await to_thread.run_sync(cleaning.wait)
    assert unfinished(here) == []


async def test_memory_stays_flat(here: Path) -> None:
    size = 64 * MIB
    info, _ = member("d/big", size=size)

    pieces = [info.tobuf(), *[bytes(64 * 1024)] * (size // 65536), bytes(1024)]
    tracemalloc.start()
    try:
        await unpack(Pieces(*pieces), into(here))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (here / "d" / "big").stat().st_size == size
    assert peak < 8 * MIB
