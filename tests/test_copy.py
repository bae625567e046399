"""Copies when something goes wrong: cut, cancelled, refused. What they do when all is well, the live tests show."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import tarfile
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

import anyio
import attrs
import pytest
from anyio import CancelScope, create_task_group, fail_after
from anyio.abc import ByteStream

import anydocker
from anydocker import ArchiveError, Docker, EngineFault, NotFound, TruncatedStream
from anydocker._tar import DirectoryTar, pack
from anydocker.testing import ReplayBackend, Reply, Request, Route, chunked_reply, json_reply, scripted_engine
from tests.test_tar_reader import member, tar

pytestmark = pytest.mark.anyio

ARCHIVE: Final = "/containers/c1/archive"
DIRECTORY: Final = stat.S_IFDIR | 0o755
# Bits of the mode that engines send.
GO_DIRECTORY: Final = 1 << 31
GO_LINK: Final = 1 << 27

sweep = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


def described(name: str, mode: int = 0o644, link_target: str = "") -> str:
    document = {"name": name, "size": 1, "mode": mode, "mtime": "2020-09-13T12:26:40Z", "linkTarget": link_target}
    return b64encode(json.dumps(document).encode()).decode()


def head_reply(name: str, mode: int = 0o644, link_target: str = "") -> Reply:
    field = described(name, mode, link_target)
    return Reply(f"HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: {field}\r\n\r\n".encode(), keep_alive=True)


NOT_FOUND: Final = Reply(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", keep_alive=True)
FAULT: Final = Reply(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", keep_alive=True)
DONE: Final = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", keep_alive=True)
TAR: Final = tar(member("d", kind=tarfile.DIRTYPE, mode=0o755), member("d/f", b"1" * 700), member("d/g", b"2" * 100))[
    : 512 * 7
]


def archive_reply(data: bytes = TAR, name: str = "d", mode: int = GO_DIRECTORY | 0o755) -> Reply:
    reply = chunked_reply([data[at : at + 300] for at in range(0, len(data), 300)])
    field = f"\r\nX-Docker-Container-Path-Stat: {described(name, mode)}\r\n\r\n".encode()
    return attrs.evolve(reply, data=reply.data.replace(b"\r\n\r\n", field, 1))


def replay(**routes: Reply) -> tuple[ReplayBackend, Docker]:
    backend = ReplayBackend({f"{method} {ARCHIVE}": reply for method, reply in routes.items()})
    return backend, anydocker.connect("unix:///nowhere", network_backend=backend)


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob("*")}


# -- out of a container


async def test_copy_from(tmp_path: Path) -> None:
    _, client = replay(GET=archive_reply())
    async with client as d:
        await d.containers.container("c1").copy_from("d", tmp_path / "new")
    assert names(tmp_path) == {"new", "new/f", "new/g"}
    assert (tmp_path / "new" / "f").read_bytes() == b"1" * 700


@sweep
async def test_cut_anywhere_it_fails_and_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    backend, client = replay(GET=archive_reply())
    reply = archive_reply()
    whole = {"f": b"1" * 700, "g": b"2" * 100}
    async with client as d:
        for cut in range(reply.head_size, reply.end, 23):
            target = tmp_path / str(cut)
            backend.routes[f"GET {ARCHIVE}"] = attrs.evolve(reply, cut_at=cut)
            with pytest.raises(TruncatedStream):
                await d.containers.container("c1").copy_from("d", target)
            assert files(target).items() <= whole.items()
    assert backend.open_connections == 0


async def test_a_cut_says_which_file_is_incomplete(tmp_path: Path) -> None:
    _, client = replay(GET=attrs.evolve(archive_reply(), cut_at=archive_reply().head_size + 1300))
    async with client as d:
        with pytest.raises(TruncatedStream, match=r"ended .*'d/f' is incomplete"):
            await d.containers.container("c1").copy_from("d", tmp_path)
    assert names(tmp_path) == {"d"}


async def test_an_archive_without_its_end_is_cut_even_if_its_body_is_whole(tmp_path: Path) -> None:
    """What an engine sends that fails half-way: it ends the body as if all was well."""
    _, client = replay(GET=archive_reply(TAR[:1200]))
    async with client as d:
        with pytest.raises(TruncatedStream, match="'d/f' is incomplete"):
            await d.containers.container("c1").copy_from("d", tmp_path)
    assert names(tmp_path) == {"d"}


@sweep
async def test_cancelled_anywhere_it_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    reply = archive_reply()
    backend, client = replay(GET=reply)
    whole = {"f": b"1" * 700, "g": b"2" * 100}
    async with client as d:
        for offset in range(0, reply.end, 97):
            target = tmp_path / str(offset)
            backend.routes[f"GET {ARCHIVE}"] = attrs.evolve(reply, stall_at=offset)
            with CancelScope() as scope:
                backend.on_stall = scope.cancel
                await d.containers.container("c1").copy_from("d", target)
            assert scope.cancelled_caught
            assert files(target).items() <= whole.items()
            # A call that was cancelled is no obstacle to the next.
            backend.routes[f"GET {ARCHIVE}"] = reply
            await d.containers.container("c1").copy_from("d", tmp_path / f"{offset} again")
            assert files(tmp_path / f"{offset} again") == whole
    assert backend.open_connections == 0


async def test_what_leaves_the_target_is_refused(tmp_path: Path) -> None:
    evil = tar(member("d", kind=tarfile.DIRTYPE), member("d/../../x", b"x"))
    _, client = replay(GET=archive_reply(evil))
    async with client as d:
        with pytest.raises(ArchiveError, match="would leave its target"):
            await d.containers.container("c1").copy_from("d", tmp_path)
    assert names(tmp_path) == {"d"}


async def test_nothing_is_asked_for_if_there_is_no_place_for_it(tmp_path: Path) -> None:
    backend, client = replay(GET=archive_reply())
    (tmp_path / "file").touch()
    async with client as d:
        for target in ("no/where", "file/x", "file/"):
            with pytest.raises(ArchiveError):
                await d.containers.container("c1").copy_from("f", f"{tmp_path}/{target}")
    assert backend.requests == ["HEAD /_ping"]


# -- into a container


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"1" * 700)
    return tmp_path / "d"


def answers(**answers: Reply) -> Route:
    """HEAD, by the last part of the path."""

    def answer(request: Request, _: ByteStream) -> Reply:
        return answers.get(request.query["path"].rpartition("/")[2], NOT_FOUND)

    return answer


@attrs.define
class Sent:
    """What was uploaded."""

    path: str = ""
    query: dict[str, str] = attrs.field(factory=dict[str, str])
    names: list[str] = attrs.field(factory=list[str])

    def put(self, request: Request, _: ByteStream) -> Reply:
        self.path = request.query["path"]
        self.query = {key: value for key, value in request.query.items() if key != "path"}
        with tarfile.open(fileobj=io.BytesIO(request.body)) as archive:
            self.names = archive.getnames()
        return DONE


@pytest.mark.parametrize(
    ("target", "path", "expected"),
    [
        ("/t/dir", "/t/dir", ["d", "d/f"]),
        ("t/dir/", "/t/dir", ["d", "d/f"]),
        ("/t/new", "/t", ["new", "new/f"]),
        ("/new", "/", ["new", "new/f"]),
        ("/t/link", "/else/dir", ["d", "d/f"]),
        ("/t/relative", "/dir", ["d", "d/f"]),
        ("/t/chain", "/else/dir", ["d", "d/f"]),
        ("/t/dangling", "/t", ["new", "new/f"]),
    ],
)
async def test_copy_to(source: Path, target: str, path: str, expected: list[str]) -> None:
    sent = Sent()
    heads: dict[str, Reply] = {
        "dir": head_reply("dir", GO_DIRECTORY | 0o755),
        "link": head_reply("link", GO_LINK | 0o777, "/else/dir"),
        "relative": head_reply("relative", GO_LINK | 0o777, "../dir"),
        "chain": head_reply("chain", GO_LINK | 0o777, "link"),
        "dangling": head_reply("dangling", GO_LINK | 0o777, "new"),
        ".": head_reply(".", GO_DIRECTORY | 0o755),
    }
    routes: dict[str, Route] = {f"HEAD {ARCHIVE}": answers(**heads), f"PUT {ARCHIVE}": sent.put}
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        await d.containers.container("c1").copy_to(source, target)
        assert (sent.path, sent.names, sent.query) == (path, expected, {"noOverwriteDirNonDir": "1"})
        await d.containers.container("c1").copy_to(source, target, copy_owner=True)
        assert sent.query == {"noOverwriteDirNonDir": "1", "copyUIDGID": "1"}


@pytest.mark.parametrize(
    ("heads", "error", "why"),
    [
        ({}, NotFound, "no directory '/t' in the container"),
        ({".": FAULT}, ArchiveError, "'/t' is not a directory in the container"),
        ({"x": head_reply("x")}, ArchiveError, "a directory cannot be copied onto '/t/x'"),
        ({"x": head_reply("x", GO_LINK, "x")}, ArchiveError, "too many links in the container, up to '/t/x'"),
        ({"x": head_reply("x", 1 << 26)}, ArchiveError, "'/t/x' is a device"),
    ],
)
async def test_nothing_is_sent_if_there_is_no_place_for_it(
    source: Path, heads: dict[str, Reply], error: type[Exception], why: str
) -> None:
    routes: dict[str, Route] = {
        f"HEAD {ARCHIVE}": answers(**heads),
        "GET /containers/c1/json": json_reply({"Id": "c1"}),
    }
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        with pytest.raises(error, match=why):
            await d.containers.container("c1").copy_to(source, "/t/x")
        assert {request.method for request in engine.requests} <= {"HEAD", "GET"}


async def test_it_is_the_container_that_is_missing(source: Path) -> None:
    _, client = replay(HEAD=NOT_FOUND)
    async with client as d:
        with pytest.raises(NotFound, match="page not found"):
            await d.containers.container("c1").copy_to(source, "/t/x")


async def test_a_link_that_leads_nowhere_is_no_directory(source: Path) -> None:
    heads = {"x": head_reply("x", GO_LINK, "/none"), ".": head_reply(".", GO_DIRECTORY)}
    (source / "link").symlink_to("none")
    async with scripted_engine({f"HEAD {ARCHIVE}": answers(**heads)}) as engine, anydocker.connect(engine.host) as d:
        for end in ("/", "/."):
            with pytest.raises(ArchiveError, match="leads nowhere in the container, and not a directory"):
                await d.containers.container("c1").copy_to(source, f"/t/x{end}")
            with pytest.raises(ArchiveError, match="leads nowhere, and not a directory"):
                await d.containers.container("c1").copy_from("/t", f"{source}/link{end}")


async def test_nothing_is_sent_if_there_is_nothing_to_send(tmp_path: Path) -> None:
    backend, client = replay()
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        async with client as d:
            for name, why in {
                "none": "cannot copy '.*/none': No such file or directory",
                "none/x": "cannot copy '.*/none/x': No such file or directory",
                "file/": "'.*/file/' is not a directory",
                "socket": "'.*/socket' is a socket: it cannot be copied",
            }.items():
                with pytest.raises(ArchiveError, match=why):
                    await d.containers.container("c1").copy_to(f"{tmp_path}/{name}", "/")
    assert backend.requests == ["HEAD /_ping"]


@pytest.mark.parametrize("bad", ["", "a\0b"])
async def test_paths_that_are_none(bad: str) -> None:
    backend, client = replay()
    async with client as d:
        container = d.containers.container("c1")
        with pytest.raises(ValueError, match="source="):
            await container.copy_to(bad, "/")
        with pytest.raises(ValueError, match="target="):
            await container.copy_to("/", bad)
        with pytest.raises(ValueError, match="source="):
            await container.copy_from(bad, "/")
        with pytest.raises(ValueError, match="target="):
            await container.copy_from("/", bad)
    assert backend.requests == ["HEAD /_ping"]


async def test_paths_of_another_type() -> None:
    wrong: Any = 5
    _, client = replay()
    async with client as d:
        with pytest.raises(TypeError):
            await d.containers.container("c1").copy_to(wrong, "/")
        with pytest.raises(TypeError):
            await d.containers.container("c1").copy_from("/", wrong)


async def test_a_refused_upload_has_the_words_of_the_engine(source: Path) -> None:
    (source / "large").write_bytes(bytes(4 * 1024 * 1024))
    refusal = attrs.evolve(json_reply({"message": "cannot overwrite directory"}, 500), before_body=True)
    routes: dict[str, Route] = {
        f"HEAD {ARCHIVE}": head_reply("t", GO_DIRECTORY | 0o755),
        f"PUT {ARCHIVE}": refusal,
    }
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        with pytest.raises(EngineFault, match="cannot overwrite directory"):
            await d.containers.container("c1").copy_to(source, "/t")


def open_below(root: Path) -> list[str]:
    links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    targets = [os.readlink(link) for link in links if os.path.islink(link)]
    return [target for target in targets if target.startswith(str(root))]


async def test_cancelled_it_closes_what_it_reads(source: Path) -> None:
    (source / "large").write_bytes(bytes(16 * 1024 * 1024))
    routes: dict[str, Route] = {
        f"HEAD {ARCHIVE}": head_reply("t", GO_DIRECTORY | 0o755),
        f"PUT {ARCHIVE}": attrs.evolve(DONE, before_body=True, stall_at=0),
    }
    async with scripted_engine(routes) as engine, anydocker.connect(engine.host) as d:
        with fail_after(30):
            async with create_task_group() as group:
                group.start_soon(d.containers.container("c1").copy_to, source, "/t")
                # There is no event for what a worker thread has opened.
                while not open_below(source):
                    await anyio.sleep(0.001)
                group.cancel_scope.cancel()
        assert open_below(source) == []
        assert d.statistics().open_streams == 0


# -- what is packed


def packed(tar: DirectoryTar) -> list[tarfile.TarInfo]:
    data = b"".join(tar._pieces)  # pyright: ignore[reportPrivateUsage]  # without an event loop
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


def test_what_is_packed(source: Path) -> None:
    (source / "hard").hardlink_to(source / "f")
    (source / "link").symlink_to("f")
    os.mkfifo(source / "pipe")
    (source / "sub").mkdir()
    (source / "sub" / "g").touch()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(source / "sub" / "s"))
        members = packed(pack(str(source), "new"))
    assert [(info.name, info.type, info.linkname) for info in members] == [
        ("new", tarfile.DIRTYPE, ""),
        ("new/f", tarfile.REGTYPE, ""),
        ("new/hard", tarfile.LNKTYPE, "new/f"),
        ("new/link", tarfile.SYMTYPE, "f"),
        ("new/pipe", tarfile.FIFOTYPE, ""),
        ("new/sub", tarfile.DIRTYPE, ""),
        ("new/sub/g", tarfile.REGTYPE, ""),
    ]
    status = (source / "f").stat()
    assert {(info.uid, info.gid) for info in members} == {(status.st_uid, status.st_gid)}
    assert (members[1].mode, members[1].mtime, members[1].size) == (
        stat.S_IMODE(status.st_mode),
        int(status.st_mtime),
        700,
    )


def test_content_is_packed_without_its_directory(source: Path) -> None:
    assert [info.name for info in packed(pack(str(source), ""))] == ["f"]


async def test_what_goes_away_meanwhile(source: Path) -> None:
    gone = source / "gone"
    with pytest.raises(ArchiveError, match=f"cannot read '{gone}' to copy it: No such file or directory"):
        await anext(pack(str(gone), "d"))


@pytest.mark.parametrize(("change", "how"), [(-1, "became shorter than its 700"), (1, "became longer than its 700")])
async def test_what_changes_meanwhile(source: Path, change: int, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fstat = os.fstat

    def changing_fstat(fd: int) -> os.stat_result:
        status = fstat(fd)
        os.truncate(source / "f", 700 + change)
        return status

    monkeypatch.setattr(os, "fstat", changing_fstat)
    with pytest.raises(ArchiveError, match=f"'{source}/f' {how} bytes while it was copied"):
        await anext(pack(str(source), "d"))
    assert open_below(source) == []
