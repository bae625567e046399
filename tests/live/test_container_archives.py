from __future__ import annotations

import gzip
import io
import stat
import tarfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from anyio.to_thread import run_sync

from anydocker import APIError, BadRequest, Container, ContainerOptions, Docker, EngineFault, Forbidden, NotFound
from tests.helpers import Pieces, cut, tar_of
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]


SET_UP = """
mkdir -p /d/sub /d/empty; printf A > /d/a; printf B > /d/sub/b; ln -s sub/b /d/link; ln -s /d /to-d
printf x > /ro; chmod 4755 /ro; chmod 1777 /d/empty; chown 1:2 /d/a; printf 'odd' > '/d/ä b'
"""


@pytest.fixture
async def container(docker: Docker) -> AsyncGenerator[Container, None]:
    """A container with some files, which has ended."""
    container = await docker.containers.create("busybox", ["sh", "-c", SET_UP], network="none")
    await container.start()
    assert await container.wait() == 0
    yield container
    await container.remove(force=True)


def contents(data: bytes) -> dict[str, bytes | str]:
    """What is in a tar: the data of files, where links lead to, nothing for directories."""
    found: dict[str, bytes | str] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            found[member.name] = file.read() if file is not None else member.linkname
    return found


async def archived(container: Container, path: str) -> bytes:
    async with container.open_archive(path) as archive:
        return await archive.read()


# -- what there is


async def test_info_of_a_file(container: Container) -> None:
    info = await container.archive_info("/d/a")
    assert (info.name, info.size, info.link_target) == ("a", 1, "")
    assert stat.S_ISREG(info.mode)
    assert stat.S_IMODE(info.mode) == 0o644
    assert not info.is_directory
    assert not info.is_link
    assert info.modified_at.tzinfo is not None


async def test_info_of_a_directory(container: Container) -> None:
    info = await container.archive_info("d/empty")
    assert (info.name, info.is_directory, info.is_link) == ("empty", True, False)
    assert stat.S_IMODE(info.mode) == 0o1777


async def test_info_of_a_link(container: Container) -> None:
    info = await container.archive_info("/d/link")
    assert (info.name, info.is_link, info.is_directory) == ("link", True, False)
    assert info.link_target.endswith("sub/b")


async def test_info_of_odd_files(container: Container) -> None:
    assert stat.S_IMODE((await container.archive_info("/ro")).mode) == 0o4755
    assert (await container.archive_info("/d/ä b")).name == "ä b"
    assert (await container.archive_info("/")).is_directory


async def test_info_agrees_with_the_archive(container: Container) -> None:
    for path in ("/d/a", "/d", "/d/link"):
        async with container.open_archive(path) as archive:
            assert archive.info == await container.archive_info(path)
            await archive.read()


# -- out of the container


async def test_a_file(container: Container) -> None:
    assert contents(await archived(container, "/d/a")) == {"a": b"A"}


async def test_a_directory(container: Container) -> None:
    assert contents(await archived(container, "/d")) == {
        "d": "",
        "d/a": b"A",
        "d/empty": "",
        "d/link": "sub/b",
        "d/sub": "",
        "d/sub/b": b"B",
        "d/ä b": b"odd",
    }


async def test_the_content_of_a_directory(container: Container) -> None:
    assert contents(await archived(container, "/d/sub/.")) == {".": "", "./b": b"B"}


async def test_a_link(container: Container) -> None:
    assert contents(await archived(container, "/d/link")) == {"link": "sub/b"}
    assert contents(await archived(container, "/to-d")) == {"to-d": "/d"}


async def test_owners_and_modes_are_in_it(container: Container) -> None:
    with tarfile.open(fileobj=io.BytesIO(await archived(container, "/d/a"))) as tar:
        member = tar.getmember("a")
    assert (member.uid, member.gid, stat.S_IMODE(member.mode)) == (1, 2, 0o644)


async def test_an_archive_into_a_file(container: Container, tmp_path: Path) -> None:
    async with container.open_archive("/d") as archive:
        size = await archive.write_to(tmp_path / "d.tar")
    data = await run_sync((tmp_path / "d.tar").read_bytes)
    assert len(data) == size
    assert contents(data)["d/a"] == b"A"


async def test_leaving_the_block_early(docker: Docker, container: Container) -> None:
    async with container.open_archive("/") as archive:
        assert await archive.receive()
    assert docker.statistics().open_streams == 0


async def test_what_is_not_there(container: Container) -> None:
    with pytest.raises(NotFound, match="'/none'"):
        await container.archive_info("/none")
    with pytest.raises(NotFound, match="/none"):
        await archived(container, "/none")


async def test_what_is_below_a_file(container: Container) -> None:
    with pytest.raises(APIError):
        await container.archive_info("/d/a/none")
    with pytest.raises(APIError, match="(?i)not a directory|could not find"):
        await archived(container, "/d/a/none")


async def test_an_unknown_container(docker: Docker) -> None:
    unknown = docker.containers.container("unknown")
    for call in (unknown.archive_info("/"), archived(unknown, "/"), unknown.put_archive("/", tar_of({}))):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(NotFound):
        async with unknown.open_export():
            raise AssertionError
    with pytest.raises(NotFound):
        await unknown.commit()


# -- into the container


def _bytes(data: bytes, path: Path) -> bytes:
    return data


def _path(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    return path


def _memory(data: bytes, path: Path) -> io.BytesIO:
    return io.BytesIO(data)


def _stream(data: bytes, path: Path) -> Pieces:
    return Pieces(*cut(data))


Make = Callable[[bytes, Path], bytes | Path | io.BytesIO | Pieces]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("make", [_bytes, _path, _memory, _stream])
async def test_put(container: Container, tmp_path: Path, make: Make, compress: Callable[[bytes], bytes]) -> None:
    data = compress(tar_of({"new/c": b"C" * 10_000, "a": b"other"}))
    await container.put_archive("/d", make(data, tmp_path / "d.tar"))
    found = contents(await archived(container, "/d"))
    assert (found["d/new/c"], found["d/a"], found["d/sub/b"]) == (b"C" * 10_000, b"other", b"B")


async def test_put_into_a_running_container(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["sleep", "1000"], network="none") as container:
        await container.put_archive("/tmp", tar_of({"a": b"A"}))
        assert (await container.exec(["cat", "/tmp/a"])).stdout == b"A"


async def test_owners_are_kept_if_asked(container: Container) -> None:
    async def owner() -> int:
        with tarfile.open(fileobj=io.BytesIO(await archived(container, "/d/new"))) as tar:
            return tar.getmember("new").uid

    # Without it, engines differ: some keep the owners, some give all to root.
    await container.put_archive("/d", tar_of({"new": b"x"}, owner=7), copy_owner=True)
    assert await owner() == 7


async def test_a_kind_is_kept_if_asked(container: Container) -> None:
    with pytest.raises((BadRequest, APIError), match="(?i)cannot overwrite"):
        await container.put_archive("/d", tar_of({"sub": b"now a file"}), keep_kind=True)
    assert (await container.archive_info("/d/sub")).is_directory


async def test_put_where_it_cannot_be(container: Container) -> None:
    with pytest.raises((BadRequest, EngineFault), match="(?i)not a directory"):
        await container.put_archive("/d/a", tar_of({"a": b"A"}))
    with pytest.raises(NotFound):
        await container.put_archive("/none", tar_of({"a": b"A"}))


async def test_put_where_all_is_read_only(docker: Docker) -> None:
    options = ContainerOptions(read_only=True)
    container = await docker.containers.create("busybox", ["true"], network="none", options=options)
    with pytest.raises((Forbidden, APIError), match="(?i)read-only"):
        await container.put_archive("/tmp", tar_of({"a": b"A"}))
    await container.remove()


@pytest.mark.parametrize("data", [b"this is no tar" * 1000, gzip.compress(b"no tar" * 1000)], ids=["text", "gzip"])
async def test_put_of_what_is_no_tar(container: Container, data: bytes) -> None:
    with pytest.raises(APIError):
        await container.put_archive("/d", data)


async def test_a_member_that_would_leave_stays_inside(container: Container) -> None:
    with pytest.raises(APIError):
        await container.put_archive("/d/sub", tar_of({"../../escaped": b"x"}))
    with pytest.raises(NotFound):
        await container.archive_info("/escaped")


# -- the whole of it


async def test_export(container: Container, tmp_path: Path) -> None:
    async with container.open_export() as body:
        size = await body.write_to(tmp_path / "root.tar")
    data = await run_sync((tmp_path / "root.tar").read_bytes)
    found = contents(data)
    assert len(data) == size
    assert (found["d/a"], found["d/link"], found["etc/group"]) == (b"A", "sub/b", found["etc/group"])


async def test_export_is_what_the_command_line_makes_of_it(container: Container, cli: CLI, tmp_path: Path) -> None:
    await cli("export", "--output", str(tmp_path / "cli.tar"), container.id)
    async with container.open_export() as body:
        assert contents(await body.read()) == contents(await run_sync((tmp_path / "cli.tar").read_bytes))


async def test_commit(docker: Docker, container: Container, label: str) -> None:
    image = await container.commit(
        f"{label}:1",
        message="made by a test",
        author="A <a@example>",
        changes=['CMD ["cat", "/d/a"]', "ENV B=2"],
    )
    assert image.name == f"{label}:1"
    document = await image.inspect()
    assert (document["Author"], document["Comment"]) == ("A <a@example>", "made by a test")
    assert "B=2" in (document["Config"]["Env"] or ())
    assert (await docker.containers.run(f"{label}:1", network="none")).stdout == b"A"
    await image.remove()


async def test_commit_without_a_name(container: Container) -> None:
    image = await container.commit()
    assert image.id.startswith("sha256:")
    assert not (await image.inspect())["RepoTags"]
    await image.remove()


async def test_commit_with_a_config(docker: Docker, container: Container, label: str) -> None:
    image = await container.commit(label, config={"Cmd": ["echo", "other"], "Labels": {"x": "y"}})
    assert image.name == f"{label}:latest"
    assert (await image.inspect())["Config"]["Labels"] == {"x": "y"}
    assert (await docker.containers.run(label, network="none")).stdout == b"other\n"
    await image.remove()


@pytest.mark.parametrize("pause", [True, False])
async def test_commit_of_a_running_container(docker: Docker, label: str, *, pause: bool) -> None:
    async with docker.containers.open_run("busybox", ["sleep", "1000"], network="none") as container:
        async with docker.open_events(filters={"container": container.id, "event": ["pause", "commit"]}) as events:
            image = await container.commit(label, pause=pause)
            assert (await events.receive()).action == ("pause" if pause else "commit")
        assert (await container.inspect())["State"]["Status"] == "running"
    await image.remove()


async def test_commit_with_a_change_that_is_none(container: Container, label: str) -> None:
    with pytest.raises(APIError, match="(?i)buy"):
        await container.commit(label, changes=["BUY milk"])
