"""Files as bodies: what is read, what is written, and that nothing stays open or half done."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from anyio import ClosedResourceError, create_task_group, sleep
from anyio.to_thread import run_sync

import anydocker
from anydocker import BodyStream, Docker, TruncatedStream
from anydocker import _files as files
from anydocker._files import FileBody, upload_body, write_file
from anydocker.testing import Reply, ScriptedEngine, chunked_reply, scripted_engine

pytestmark = pytest.mark.anyio

MIB: Final = 1024 * 1024
DATA: Final = bytes(range(256)) * 10_000  # 2.5 MB

on_asyncio = pytest.mark.parametrize("anyio_backend", [("asyncio", {}), ("asyncio", {"use_uvloop": True})])


class Pieces:
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


async def collected(body: FileBody) -> list[bytes]:
    return [block async for block in body]


# -- what can be sent


async def test_what_can_be_sent(tmp_path: Path) -> None:
    pieces = Pieces()
    assert upload_body(b"data", "source") == b"data"
    assert upload_body(pieces, "source") is pieces
    assert isinstance(upload_body(tmp_path, "source"), FileBody)
    assert isinstance(upload_body(io.BytesIO(), "source"), FileBody)


@pytest.mark.parametrize("source", ["a.tar", None, 3, bytearray(b"x"), ["a"], io.StringIO("text")])
async def test_what_cannot(source: Any) -> None:
    with pytest.raises(TypeError, match="^source: "):
        upload_body(source, "source")


async def test_a_file_in_text_mode_cannot(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    with (tmp_path / "a").open() as file, pytest.raises(TypeError, match="binary mode"):
        upload_body(file, "source")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_an_object_that_gives_text_is_found_out() -> None:
    class Text:
        def read(self, size: int) -> str:
            return "text"

    body = upload_body(Text(), "source")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert isinstance(body, FileBody)
    with pytest.raises(TypeError, match="gives str: open it in binary mode"):
        await collected(body)


# -- reading


async def test_blocks_of_a_mebibyte(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    blocks = await collected(FileBody(tmp_path / "a"))
    assert b"".join(blocks) == DATA
    assert [len(block) for block in blocks] == [MIB, MIB, len(DATA) - 2 * MIB]


async def test_a_file_begins_where_it_stands_and_stays_open() -> None:
    file = io.BytesIO(DATA)
    file.seek(5)
    body = FileBody(file)
    assert b"".join(await collected(body)) == DATA[5:]
    await body.aclose()
    assert not file.closed


async def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert await collected(FileBody(tmp_path / "a")) == []


async def test_it_can_be_iterated_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"data")
    body = FileBody(tmp_path / "a")
    assert await collected(body) == [b"data"]
    assert await collected(body) == []


async def test_a_path_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        await collected(FileBody(tmp_path / "none"))
    with pytest.raises(IsADirectoryError):
        await collected(FileBody(tmp_path))


async def test_reading_is_done_elsewhere() -> None:
    threads: set[int] = set()

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            threads.add(threading.get_ident())
            return super().read(size)

    await collected(FileBody(Watched(DATA)))
    assert threads
    assert threading.get_ident() not in threads


async def test_closed_half_way(tmp_path: Path, opened: list[Any]) -> None:
    (tmp_path / "a").write_bytes(DATA)
    body = FileBody(tmp_path / "a")
    assert await anext(body)
    assert not opened[0].closed
    await body.aclose()
    assert opened[0].closed
    assert await collected(body) == []
    await body.aclose()


async def test_closed_before_it_was_read(tmp_path: Path, opened: list[Any]) -> None:
    body = FileBody(tmp_path / "none")
    await body.aclose()
    assert await collected(body) == []
    assert not opened


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The files that are opened, for reading and for writing."""
    found: list[Any] = []

    def watched(name: str) -> None:
        original = getattr(files, name)

        def watch(path: Any) -> Any:
            found.append(original(path))
            return found[-1]

        monkeypatch.setattr(files, name, watch)

    watched("_open_to_read")
    watched("_open_to_write")
    return found


class Gate:
    """Makes the opening of a file wait, in its worker thread, until it is told to go on."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()

    def before(self, monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
        """Stand before a function; returns the files that it opens."""
        original = getattr(files, name)
        found: list[Any] = []

        def slow(path: Any) -> Any:
            self._reached.set()
            assert self._open.wait(30)
            found.append(original(path))
            return found[0]

        monkeypatch.setattr(files, name, slow)
        return found

    async def reached(self) -> None:
        assert await run_sync(self._reached.wait, 30)

    def open(self) -> None:
        self._open.set()


async def until(condition: Any) -> None:
    while not condition():
        await sleep(0.001)


@on_asyncio
async def test_a_read_left_in_its_thread_closes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio's own cancellation does not wait for a worker thread."""
    (tmp_path / "a").write_bytes(DATA)
    gate = Gate()
    found = gate.before(monkeypatch, "_open_to_read")
    body = FileBody(tmp_path / "a")
    task = asyncio.ensure_future(anext(body))
    await gate.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await body.aclose()
    gate.open()
    await until(lambda: found and found[0].closed)


# -- writing


@asynccontextmanager
async def body_of(reply: Reply) -> AsyncGenerator[tuple[BodyStream, ScriptedEngine], None]:
    docker: Docker
    async with (
        scripted_engine({"GET /x": reply}) as engine,
        anydocker.connect(engine.host) as docker,
        docker.open_request("GET", "/x") as body,
    ):
        yield body, engine


WHOLE: Final = chunked_reply([DATA[at : at + 30_000] for at in range(0, len(DATA), 30_000)])
STALLED: Final = attrs.evolve(WHOLE, stall_at=1_500_000)
CUT: Final = attrs.evolve(WHOLE, cut_at=1_500_000)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("kind", [str, Path])
async def test_write_to_a_path(tmp_path: Path, kind: type[str | Path], opened: list[Any]) -> None:
    async with body_of(WHOLE) as (body, _):
        assert await body.write_to(kind(tmp_path / "a")) == len(DATA)
    assert (tmp_path / "a").read_bytes() == DATA
    assert names_in(tmp_path) == ["a"]
    assert opened[0].closed


async def test_write_to_a_file(tmp_path: Path) -> None:
    file = io.BytesIO(b"before")
    file.seek(6)
    async with body_of(WHOLE) as (body, _):
        assert await write_file(body, file) == len(DATA)
    assert file.getvalue() == b"before" + DATA


async def test_write_of_nothing(tmp_path: Path) -> None:
    async with body_of(chunked_reply([])) as (body, _):
        assert await body.write_to(tmp_path / "a") == 0
    assert (tmp_path / "a").read_bytes() == b""


async def test_writing_is_done_elsewhere_and_in_large_blocks() -> None:
    writes: list[tuple[int, int]] = []

    class Watched(io.BytesIO):
        def write(self, data: Any, /) -> int:
            writes.append((threading.get_ident(), len(data)))
            return super().write(data)

    async with body_of(WHOLE) as (body, _):
        await body.write_to(Watched())
    assert threading.get_ident() not in {thread for thread, _ in writes}
    assert all(size >= MIB for _, size in writes[:-1])


@pytest.mark.parametrize("there", [True, False])
async def test_a_cut_stream_leaves_what_was_there(tmp_path: Path, *, there: bool, opened: list[Any]) -> None:
    if there:
        (tmp_path / "a").write_text("before")
    async with body_of(CUT) as (body, _):
        with pytest.raises(TruncatedStream):
            await body.write_to(tmp_path / "a")
    assert names_in(tmp_path) == ["a"] * there
    assert not there or (tmp_path / "a").read_text() == "before"
    assert opened[0].closed


@pytest.mark.parametrize("there", [True, False])
async def test_a_cancelled_write_leaves_what_was_there(tmp_path: Path, *, there: bool, opened: list[Any]) -> None:
    if there:
        (tmp_path / "a").write_text("before")
    async with body_of(STALLED) as (body, engine), create_task_group() as group:
        group.start_soon(body.write_to, tmp_path / "a")
        await engine.wait_stalled()
        await until(lambda: "a.part" in names_in(tmp_path))
        group.cancel_scope.cancel()
    assert names_in(tmp_path) == ["a"] * there
    assert not there or (tmp_path / "a").read_text() == "before"
    assert opened[0].closed


@on_asyncio
async def test_cancelled_by_asyncio_while_it_opens_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    found = gate.before(monkeypatch, "_open_to_write")
    async with body_of(WHOLE) as (body, _):
        task = asyncio.ensure_future(body.write_to(tmp_path / "a"))
        await gate.reached()
        task.cancel()
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert names_in(tmp_path) == []
    assert found[0].closed


async def test_a_file_is_not_opened_when_its_write_was_given_up(tmp_path: Path) -> None:
    """The worker thread may have begun only after asyncio's cancellation."""
    part: Any = vars(files)["_Part"](str(tmp_path / "a"))
    part.discard()
    with pytest.raises(ClosedResourceError):
        part.open()
    part.complete()
    assert names_in(tmp_path) == []


async def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    async with body_of(WHOLE) as (body, _):
        with pytest.raises(FileNotFoundError):
            await body.write_to(tmp_path / "none" / "a")
        # Nothing of the stream was taken.
        assert await body.read() == DATA


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str) -> Any:
        class Full(io.FileIO):
            def write(self, data: Any, /) -> int:
                raise OSError(28, "No space left on device")

        return Full(path, "wb")

    monkeypatch.setattr(files, "_open_to_write", full)
    async with body_of(WHOLE) as (body, _):
        with pytest.raises(OSError, match="No space left"):
            await body.write_to(tmp_path / "a")
    assert names_in(tmp_path) == []


async def test_the_target_that_cannot_be_replaced(tmp_path: Path, opened: list[Any]) -> None:
    (tmp_path / "a").mkdir()
    async with body_of(WHOLE) as (body, _):
        with pytest.raises(OSError, match="a"):
            await body.write_to(tmp_path / "a")
    assert names_in(tmp_path) == ["a"]
    assert opened[0].closed
