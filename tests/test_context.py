from __future__ import annotations

import asyncio
import gc
import io
import os
import socket
import stat
import tarfile
import tempfile
import threading
import tracemalloc
from collections.abc import AsyncIterable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from anyio import BusyResourceError, CancelScope, ClosedResourceError, create_task_group, wait_all_tasks_blocked

from anydocker import _tar as module
from anydocker.context import BuildContext, DirectoryTar, prepare
from anydocker.errors import ContextError
from tests.helpers import Pieces

pytestmark = pytest.mark.anyio

Source = str | os.PathLike[str] | bytes | AsyncIterable[bytes]
Open = Callable[[str, int], int]

MIB = 1024 * 1024
BLOCK = 512


def fill(root: Path, *paths: str) -> Path:
    """Make files that hold their own path, and directories where a path ends with a slash."""
    for path in paths:
        target = root / path
        if path.endswith("/"):
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(os.fsencode(path))
    return root


async def collect(context: BuildContext) -> bytes:
    if isinstance(context.body, bytes):
        return context.body
    return b"".join([piece async for piece in context.body])


def stream_of(context: BuildContext) -> DirectoryTar:
    assert isinstance(context.body, DirectoryTar)
    return context.body


def members(tar: bytes) -> list[tarfile.TarInfo]:
    assert len(tar) % BLOCK == 0
    assert tar.endswith(bytes(2 * BLOCK))
    with tarfile.open(fileobj=io.BytesIO(tar), errors="surrogateescape") as archive:
        return archive.getmembers()


def files(tar: bytes) -> dict[str, bytes]:
    """The regular files of a tar with what they hold."""
    with tarfile.open(fileobj=io.BytesIO(tar), errors="surrogateescape") as archive:
        found: dict[str, bytes] = {}
        for member in archive:
            if member.isreg():
                file = archive.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
        return found


def names(tar: bytes) -> list[str]:
    return [member.name for member in members(tar)]


async def names_of(root: Path, dockerfile: str | os.PathLike[str] | None = None) -> list[str]:
    return names(await collect(await prepare(root, dockerfile=dockerfile)))


def open_below(root: Path) -> list[str]:
    """The files and directories below a directory that this process has open."""
    found: list[str] = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.startswith(f"{root}/"):
            found.append(target)
    return found


# -- what is in the tar


async def test_a_directory_comes_whole_and_sorted_by_path(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile", "b/c/d", "b/a", "b-a", "b.a", "a", "empty/", ".hidden", "b/c-d")
    tar = await collect(await prepare(tmp_path))
    assert names(tar) == sorted(
        ["Dockerfile", "b", "b/c", "b/c/d", "b/a", "b-a", "b.a", "a", "empty", ".hidden", "b/c-d"]
    )
    assert files(tar) == {
        path: path.encode() for path in ["Dockerfile", "b/c/d", "b/a", "b-a", "b.a", "a", ".hidden", "b/c-d"]
    }
    assert [member.name for member in members(tar) if member.isdir()] == ["b", "b/c", "empty"]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, MIB - 1, MIB, MIB + 1, 3 * MIB + 7])
async def test_files_of_any_size(tmp_path: Path, size: int) -> None:
    fill(tmp_path, "Dockerfile", "z")
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert files(await collect(await prepare(tmp_path))) == {"Dockerfile": b"Dockerfile", "file": content, "z": b"z"}


async def test_owners_modes_and_times(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile", "set", "old", "dir/")
    (tmp_path / "set").chmod(0o6751)
    (tmp_path / "dir").chmod(0o1700)
    os.utime(tmp_path / "set", ns=(0, 1_234_567_890_999_999_999))
    os.utime(tmp_path / "old", ns=(0, -1_500_000_000))
    if os.geteuid() == 0:
        os.chown(tmp_path / "old", 1234, 1234)
    found = {member.name: member for member in members(await collect(await prepare(tmp_path)))}
    assert {(m.uid, m.gid, m.uname, m.gname) for m in found.values()} == {(0, 0, "", "")}
    assert (found["set"].mode, found["dir"].mode) == (0o6751, 0o1700)
    assert (found["set"].mtime, found["old"].mtime) == (1_234_567_890, -2)


async def test_links(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile", "dir/file", "a")
    (tmp_path / "to-dir").symlink_to("dir")
    (tmp_path / "dangling").symlink_to("/no/such/file")
    (tmp_path / "loop").symlink_to("loop")
    os.link(tmp_path / "a", tmp_path / "b")
    tar = await collect(await prepare(tmp_path))
    links = {member.name: member.linkname for member in members(tar) if member.issym()}
    assert links == {"to-dir": "dir", "dangling": "/no/such/file", "loop": "loop"}
    assert files(tar) == {"Dockerfile": b"Dockerfile", "dir/file": b"dir/file", "a": b"a", "b": b"a"}
    assert not [member for member in members(tar) if member.islnk()]


async def test_what_is_no_file_is_left_out() -> None:
    # The path of a socket is short.
    with tempfile.TemporaryDirectory() as root, socket.socket(socket.AF_UNIX) as listener:
        fill(Path(root), "Dockerfile")
        os.mkfifo(f"{root}/pipe")
        listener.bind(f"{root}/socket")
        if os.geteuid() == 0:
            os.mknod(f"{root}/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        assert await names_of(Path(root)) == ["Dockerfile"]


@pytest.mark.parametrize(
    "name",
    [
        "n" * 100,
        "n" * 101,
        "n" * 255,
        "/".join("d" * 50 for _ in range(8)),
        "/".join("\u00e4" * 100 for _ in range(12)),
        "\u65e5\u672c.txt",
        "line\nfeed",
        "back\\slash",
        b"latin-\xe4".decode(errors="surrogateescape"),
        b"\xff".decode(errors="surrogateescape") * 200,
        " ",
    ],
    ids=range(11),
)
async def test_names_of_any_length_and_bytes(tmp_path: Path, name: str) -> None:
    fill(tmp_path, "Dockerfile", name)
    (tmp_path / "link").symlink_to(name)
    tar = await collect(await prepare(tmp_path))
    assert files(tar)[name] == os.fsencode(name)
    assert {member.linkname for member in members(tar) if member.issym()} == {name}


async def test_a_size_beyond_octal_digits(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile")
    with (tmp_path / "A").open("wb") as file:
        file.truncate(9 * 1024**3)
    body = stream_of(await prepare(tmp_path))
    first = await anext(body)
    await body.aclose()
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        member = archive.next()
    assert member is not None
    assert (member.name, member.size) == ("A", 9 * 1024**3)


# -- how it flows


async def test_memory_stays_flat_on_a_large_file(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(200 * MIB)
    body = stream_of(await prepare(tmp_path))
    tracemalloc.start()
    try:
        total = 0
        async for piece in body:
            total += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 200 * MIB + 5 * BLOCK
    assert peak < 8 * MIB


async def test_pieces_are_neither_small_nor_big(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile", *(f"d{n % 7}/f{n}" for n in range(900)))
    (tmp_path / "big").write_bytes(bytes(5 * MIB + 1))
    sizes = [len(piece) async for piece in stream_of(await prepare(tmp_path))]
    assert len(sizes) > 5
    assert min(sizes[:-1]) >= 128 * 1024
    assert max(sizes) <= 5 * MIB // 4


async def test_a_long_search_has_rests_but_no_empty_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty piece would be the last chunk of an HTTP body."""
    monkeypatch.setattr(module, "_LOOKED_AT", 3)
    fill(tmp_path, "Dockerfile", *(f"x{n}" for n in range(50)), "z")
    (tmp_path / ".dockerignore").write_text("x*")
    body = stream_of(await prepare(tmp_path))
    hops: list[object] = []
    run_sync = anyio.to_thread.run_sync

    async def counting_run_sync(work: Callable[[], None]) -> None:
        hops.append(work)
        await run_sync(work)

    monkeypatch.setattr(anyio.to_thread, "run_sync", counting_run_sync)
    pieces = [piece async for piece in body]
    assert names(b"".join(pieces)) == [".dockerignore", "Dockerfile", "z"]
    assert all(pieces)
    assert len(hops) > 50 / 3


async def test_nothing_is_open_before_it_is_read_or_after(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile", "dir/file")
    context = await prepare(tmp_path)
    assert open_below(tmp_path) == []
    await collect(context)
    assert open_below(tmp_path) == []


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A context whose file A is open after the first piece."""
    fill(tmp_path, "Dockerfile", "B")
    (tmp_path / "A").write_bytes(os.urandom(4 * MIB))
    return tmp_path


async def half_read(root: Path) -> DirectoryTar:
    body = stream_of(await prepare(root))
    await anext(body)
    assert open_below(root) == [str(root / "A")]
    return body


async def test_aclose_closes_the_file(big: Path) -> None:
    body = await half_read(big)
    await body.aclose()
    assert open_below(big) == []
    await body.aclose()
    with pytest.raises(ClosedResourceError, match="prepare a new one"):
        await anext(body)


async def test_aclose_closes_the_file_even_when_cancelled(big: Path) -> None:
    body = await half_read(big)
    with CancelScope() as scope:
        scope.cancel()
        await body.aclose()
    assert scope.cancelled_caught
    assert open_below(big) == []


async def test_one_that_is_dropped_closes_the_file(big: Path) -> None:
    body = await half_read(big)
    del body
    gc.collect()
    assert open_below(big) == []


async def test_it_is_read_once(big: Path) -> None:
    context = await prepare(big)
    await collect(context)
    with pytest.raises(ClosedResourceError, match="read to its end, or closed"):
        await collect(context)


async def test_a_cancelled_read_loses_nothing(big: Path) -> None:
    whole = await collect(await prepare(big))
    body = stream_of(await prepare(big))
    got = b""
    while len(got) < len(whole):
        with CancelScope() as scope:
            scope.cancel()
            got += await anext(body)
        assert scope.cancelled_caught
        got += await anext(body)
    with pytest.raises(StopAsyncIteration):
        await anext(body)
    assert got == whole


class Gate:
    """Holds the worker thread that opens a file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.free = threading.Event()
        self._open: Open = os.open
        monkeypatch.setattr(os, "open", self)

    def __call__(self, path: str, flags: int) -> int:
        if path.endswith("/A"):
            self.reached.set()
            assert self.free.wait(30)
        return self._open(path, flags)

    async def until_reached(self) -> None:
        await anyio.to_thread.run_sync(self.reached.wait, 30)


async def test_two_readers_at_once(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    body = stream_of(await prepare(big))
    async with create_task_group() as group:
        group.start_soon(anext, body)
        await gate.until_reached()
        with pytest.raises(BusyResourceError):
            await anext(body)
        gate.free.set()
    await body.aclose()


async def test_closing_while_a_worker_reads_leaves_the_closing_to_it(
    big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    body = stream_of(await prepare(big))
    ended: list[str] = []

    async def read() -> None:
        with pytest.raises(ClosedResourceError):
            await anext(body)
        ended.append("closed")

    async with create_task_group() as group:
        group.start_soon(read)
        await gate.until_reached()
        await body.aclose()
        gate.free.set()
    assert ended == ["closed"]
    assert open_below(big) == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_cancelled_by_asyncio_itself_loses_nothing(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That cancellation does not wait for the worker thread."""
    whole = await collect(await prepare(big))
    gate = Gate(monkeypatch)
    body = stream_of(await prepare(big))
    task = asyncio.create_task(anext(body))
    await gate.until_reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    rest = asyncio.create_task(collect(BuildContext("Dockerfile", body)))
    await wait_all_tasks_blocked()
    gate.free.set()
    assert await rest == whole


# -- what changes or fails meanwhile


async def read_on(body: AsyncIterable[bytes]) -> int:
    return sum([len(piece) async for piece in body])


async def test_a_file_that_shrinks_is_an_error(big: Path) -> None:
    body = await half_read(big)
    os.truncate(big / "A", 2 * MIB)
    with pytest.raises(ContextError, match="/A' in the build context became shorter than its 4194304 bytes"):
        await read_on(body)
    assert open_below(big) == []
    with pytest.raises(ClosedResourceError):
        await anext(body)


async def test_a_file_that_grows_is_an_error(big: Path) -> None:
    body = await half_read(big)
    with (big / "A").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ContextError, match="/A' in the build context became longer than its 4194304 bytes"):
        await read_on(body)


async def test_a_file_that_vanishes_is_an_error(big: Path) -> None:
    body = await half_read(big)
    (big / "B").unlink()
    with pytest.raises(ContextError, match=r"cannot read '.*/B' for the build context: No such file"):
        await read_on(body)


@pytest.mark.parametrize("kind", ["pipe", "link"])
async def test_a_file_swapped_at_the_last_moment_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    fill(tmp_path, "Dockerfile", "target", "x")
    real_open: Open = os.open

    def swap_and_open(path: str, flags: int) -> int:
        if path.endswith("/x"):
            os.unlink(path)
            os.mkfifo(path) if kind == "pipe" else os.symlink("target", path)
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", swap_and_open)
    with pytest.raises(ContextError, match="/x' "):
        await names_of(tmp_path)


@contextmanager
def without_privileges() -> Generator[None, None, None]:
    """Root may read everything: be nobody for a while, in all threads."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may enter; pytest's own are for one user only."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.parametrize("mode", [0, 0o755])
async def test_an_unreadable_file_is_an_error(public: Path, mode: int) -> None:
    fill(public, "Dockerfile", "secret")
    (public / "secret").chmod(mode)
    with without_privileges():
        if mode:
            assert await names_of(public) == ["Dockerfile", "secret"]
        else:
            with pytest.raises(ContextError, match=r"cannot read '.*/secret' .*Permission denied.*dockerignore"):
                await names_of(public)


async def test_an_unreadable_directory_is_an_error_unless_it_is_left_out(public: Path) -> None:
    fill(public, "Dockerfile", "secret/file")
    (public / "secret").chmod(0)
    with without_privileges(), pytest.raises(ContextError, match=r"cannot read '.*/secret' .*Permission denied"):
        await names_of(public)
    (public / ".dockerignore").write_text("secret")
    with without_privileges():
        assert await names_of(public) == [".dockerignore", "Dockerfile"]
    (public / "secret").chmod(0o755)


# -- which Dockerfile, which rules


async def test_the_lower_case_name_is_taken_if_it_is_the_only_one(tmp_path: Path) -> None:
    fill(tmp_path, "dockerfile")
    assert (await prepare(tmp_path)).dockerfile == "dockerfile"
    fill(tmp_path, "Dockerfile")
    assert (await prepare(tmp_path)).dockerfile == "Dockerfile"


@pytest.mark.parametrize(
    ("given", "name"),
    [("sub/file", "sub/file"), ("./sub//file", "sub/file"), ("sub/../Dockerfile", "Dockerfile"), ("link", "sub/file")],
)
async def test_a_dockerfile_inside_the_directory(tmp_path: Path, given: str, name: str) -> None:
    fill(tmp_path, "Dockerfile", "sub/file")
    (tmp_path / "link").symlink_to("sub/file")
    dockerfiles: list[str | Path] = [given, Path(given), tmp_path / given]
    for dockerfile in dockerfiles:
        context = await prepare(tmp_path, dockerfile=dockerfile)
        assert context.dockerfile == name
        assert names(await collect(context)) == ["Dockerfile", "link", "sub", "sub/file"]


@pytest.mark.parametrize("how", ["absolute", "relative", "link"])
async def test_a_dockerfile_outside_the_directory(tmp_path: Path, how: str) -> None:
    fill(tmp_path, "other")
    root = fill(tmp_path / "root", "Dockerfile", "a")
    (root / "link").symlink_to("../other")
    dockerfile = {"absolute": str(tmp_path / "other"), "relative": "../other", "link": "link"}[how]
    context = await prepare(root, dockerfile=dockerfile)
    tar = await collect(context)
    assert context.dockerfile.startswith(".dockerfile.")
    assert files(tar) == {
        context.dockerfile: b"other",
        ".dockerignore": f".dockerignore\n{context.dockerfile}\n".encode(),
        "Dockerfile": b"Dockerfile",
        "a": b"a",
    }
    assert names(tar) == sorted([*files(tar), "link"])


async def test_text_beside_a_directory(tmp_path: Path) -> None:
    fill(tmp_path, "a", "Dockerfile")
    (tmp_path / ".dockerignore").write_bytes(b"*\n!a")
    context = await prepare(tmp_path, dockerfile_text="FROM scratch # \u00e4")
    tar = await collect(context)
    assert files(tar) == {
        context.dockerfile: "FROM scratch # \u00e4".encode(),
        ".dockerignore": f"*\n!a\n{context.dockerfile}\n".encode(),
        "a": b"a",
    }
    assert names(tar) == sorted(names(tar))
    assert (await prepare(tmp_path, dockerfile_text="FROM scratch")).dockerfile != context.dockerfile


async def test_text_alone() -> None:
    context = await prepare(dockerfile_text="FROM scratch\n")
    assert context.dockerfile == "Dockerfile"
    assert isinstance(context.body, bytes)
    assert files(context.body) == {"Dockerfile": b"FROM scratch\n"}
    assert len(members(context.body)) == 1


@pytest.mark.parametrize("body", [b"a tar", Pieces(b"a", b" tar")], ids=["bytes", "pieces"])
@pytest.mark.parametrize(
    ("dockerfile", "name"), [(None, "Dockerfile"), ("x", "x"), (Path("d/./x"), "d/x"), ("./d//x", "d/x")]
)
async def test_a_tar_is_passed_on(body: bytes | AsyncIterable[bytes], dockerfile: str | Path | None, name: str) -> None:
    context = await prepare(body, dockerfile=dockerfile)
    assert context.dockerfile == name
    assert context.body is body


async def test_the_engines_own_files_are_sent_although_excluded(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile", "build/Dockerfile", "build/x", "y")
    (tmp_path / ".dockerignore").write_text("**")
    assert await names_of(tmp_path) == [".dockerignore", "Dockerfile"]
    assert await names_of(tmp_path, "build/Dockerfile") == [".dockerignore", "build/Dockerfile"]


@pytest.mark.parametrize("dockerfile", [None, "sub/file", "../outside"])
async def test_rules_of_a_dockerfile_win(tmp_path: Path, dockerfile: str | None) -> None:
    root = fill(tmp_path / "root", "Dockerfile", "sub/file", "a", "b")
    fill(tmp_path, "outside")
    (root / ".dockerignore").write_text("a")
    (root / f"{dockerfile or 'Dockerfile'}.dockerignore").write_text("b\n")
    found = await names_of(root, dockerfile)
    assert "a" in found
    assert "b" not in found


async def test_empty_rules_win_too_but_missing_ones_do_not(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile", "a")
    (tmp_path / ".dockerignore").symlink_to("nowhere")
    assert await names_of(tmp_path) == [".dockerignore", "Dockerfile", "a"]
    (tmp_path / ".dockerignore").unlink()
    (tmp_path / ".dockerignore").write_text("a")
    (tmp_path / "Dockerfile.dockerignore").write_text("")
    assert await names_of(tmp_path) == [".dockerignore", "Dockerfile", "Dockerfile.dockerignore", "a"]


async def test_rules_of_a_dockerfile_may_leave_out_both_rules(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile", "a")
    (tmp_path / ".dockerignore").write_text("a")
    (tmp_path / "Dockerfile.dockerignore").write_text("*\n!a")
    assert await names_of(tmp_path) == ["Dockerfile", "a"]


async def test_a_left_out_directory_is_not_even_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "Dockerfile", "no/a/x", "yes/a/x", "mixed/a/x", "mixed/b/x")
    (tmp_path / ".dockerignore").write_text("no\nmixed\n!mixed/b")
    listed: list[str] = []
    scandir = os.scandir

    def recording_scandir(path: str) -> object:
        listed.append(os.path.relpath(path, tmp_path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", recording_scandir)
    found = await names_of(tmp_path)
    assert listed == [".", "mixed", "mixed/b", "yes", "yes/a"]
    assert found == [".dockerignore", "Dockerfile", "mixed/b", "mixed/b/x", "yes", "yes/a", "yes/a/x"]


async def test_a_linked_or_relative_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "root/Dockerfile")
    (tmp_path / "link").symlink_to("root")
    monkeypatch.chdir(tmp_path)
    sources: list[str | Path] = ["root", "./root/", "link", tmp_path / "link", Path("root")]
    for source in sources:
        context = await prepare(source)
        assert names(await collect(context)) == ["Dockerfile"]
        assert stream_of(context).root == str(tmp_path / "root")


# -- what is refused, before anything is read


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("", "path of the build context is empty"),
        ("missing", "no build context at '.*missing': No such file"),
        ("file", "'.*file' is not a directory"),
        ("file/below", "no build context at '.*file/below': Not a directory"),
        ("bare", "no file 'Dockerfile' in the build context '.*bare'; name the Dockerfile by dockerfile"),
        ("odd", "no file 'Dockerfile'"),
        ("broken", r"broken/\.dockerignore, line 2: malformed pattern"),
        ("folder", r"cannot read '.*folder/\.dockerignore'.*: Is a directory"),
    ],
)
async def test_directories_that_are_refused(tmp_path: Path, source: str, match: str) -> None:
    fill(tmp_path, "file", "bare/", "odd/Dockerfile/", "broken/Dockerfile", "folder/Dockerfile")
    fill(tmp_path, "folder/.dockerignore/")
    (tmp_path / "broken/.dockerignore").write_text("a\n[")
    with pytest.raises(ContextError, match=match):
        await prepare(str(tmp_path / source) if source else "")


@pytest.mark.parametrize("dockerfile", ["missing", "sub", "../missing", "/no/such/file", "dangling", Path()])
async def test_dockerfiles_that_are_refused(tmp_path: Path, dockerfile: str | Path) -> None:
    fill(tmp_path, "Dockerfile", "sub/x")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(ContextError, match="there is no file"):
        await prepare(tmp_path, dockerfile=dockerfile)


@pytest.mark.parametrize("dockerfile", ["/Dockerfile", "../Dockerfile", "a/../../b"])
async def test_names_in_a_tar_that_are_refused(dockerfile: str) -> None:
    with pytest.raises(ContextError, match="give its name in the tar"):
        await prepare(b"a tar", dockerfile=dockerfile)


async def test_empty_arguments_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile")
    with pytest.raises(ContextError, match="tar of the build context is empty"):
        await prepare(b"")
    sources: list[Source] = [b"tar", tmp_path]
    for source in sources:
        with pytest.raises(ContextError, match="name of the Dockerfile is empty"):
            await prepare(source, dockerfile="")
    for text in ["", " \n\t"]:
        with pytest.raises(ContextError, match="dockerfile_text is empty"):
            await prepare(dockerfile_text=text)


async def test_arguments_that_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="exclude each other"):
        await prepare(tmp_path, dockerfile="x", dockerfile_text="FROM x")
    with pytest.raises(TypeError, match="nothing to build from"):
        await prepare()
    with pytest.raises(TypeError, match="nothing to build from"):
        await prepare(dockerfile="x")
    tars: list[Source] = [b"tar", Pieces(b"tar")]
    for tar in tars:
        with pytest.raises(TypeError, match="a tar brings its own Dockerfile"):
            await prepare(tar, dockerfile_text="FROM x")
    with pytest.raises(TypeError, match=r"source must be .* not a int"):
        await prepare(1)  # type: ignore[arg-type]


async def test_prepare_is_a_checkpoint(tmp_path: Path) -> None:
    fill(tmp_path, "Dockerfile")
    sources: list[Source] = [tmp_path, b"tar"]
    for source in sources:
        with CancelScope() as scope:
            scope.cancel()
            await prepare(source)
        assert scope.cancelled_caught
