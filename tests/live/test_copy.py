"""``copy_to`` and ``copy_from`` beside ``docker cp``: the same tree, or an error from both."""

from __future__ import annotations

import io
import os
import resource
import secrets
import subprocess
import tarfile
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import asynccontextmanager
from filecmp import cmp
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import pytest
from anyio import to_thread
from anyio.from_thread import BlockingPortal

import anydocker
from anydocker import ArchiveError, Container, Docker, DockerError, NotFound

pytestmark = [pytest.mark.anyio, pytest.mark.live]

# Ends with a slash: a directory. "a -> b": a symbolic link. "a = b": a hard link. "a |": a pipe.
# Otherwise a file that holds its own path.
TREE: Final = (
    "src/file",
    "src/dir/",
    "src/dir/f",
    "src/dir/hard = src/dir/f",
    "src/dir/rel -> f",
    "src/dir/abs -> /etc/passwd",
    "src/dir/empty/",
    "src/dir/sub/deep/er",
    "src/dir/pipe |",
    "src/dir/with space \u00e9",
    f"src/dir/{'long' * 40}/{'name' * 40}",
    "src/link_f -> file",
    "src/link_d -> dir",
    "src/dangling -> nowhere",
    "src/up/x -> ../file",
    "src/out/x -> ../../../../../../../../out",
    "src/pipe |",
    "dst/dir/",
    "dst/file",
    "dst/pipe |",
    "dst/link_f -> file",
    "dst/link_d -> dir",
    "dst/dangling -> missing",
    "dst/full/file",
    "dst/full/dir/f",
    "dst/full/dir/old",
    "dst/links/file -> ../file",
    "dst/links/dir -> ../dir",
    "dst/clash/dir",
    "dst/clash/file/inside",
)
MODES: Final = {"src/file": 0o4751, "src/dir": 0o2750, "src/dir/f": 0o600, "src/dir/empty": 0o1711, "dst/dir": 0o711}
OWNED: Final = ("src/file", "src/dir", "src/dir/f")
OWNER: Final = 1234
PLANTED: Final = 1_600_000_000
MIB: Final = 1024 * 1024

Tree: TypeAlias = dict[str, tuple[object, ...]]
"""What there is: of a path all that a copy decides. None of it if the copy failed."""


def plant(root: Path) -> Path:
    for line in TREE:
        name, _, target = line.partition(" -> ")
        path = root / name.partition(" = ")[0].removesuffix(" |")
        path.parent.mkdir(parents=True, exist_ok=True)
        if target:
            path.symlink_to(target)
        elif " = " in line:
            path.hardlink_to(root / line.partition(" = ")[2])
        elif line.endswith(" |"):
            os.mkfifo(path)
        elif line.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(line)
    for name in OWNED if os.geteuid() == 0 else ():
        os.chown(root / name, OWNER, OWNER)
    for name, mode in MODES.items():
        (root / name).chmod(mode)
    for path in (root, *root.rglob("*")):
        os.utime(path, ns=(0, PLANTED * 10**9 + 123_456_789), follow_symlinks=False)
    return root


def tar_of(root: Path, name: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(root, name)
    return data.getvalue()


def described(tar: bytes) -> Tree:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {member.name.partition("/")[2]: facts(archive, member) for member in archive}


def facts(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    file = archive.extractfile(member) if member.isreg() else None
    content = sha256(file.read()).hexdigest() if file else member.linkname
    if member.islnk():
        content = member.linkname.partition("/")[2]
    # What a copy touched without being told a time has the time of the test.
    seconds = "planted" if int(member.mtime) == PLANTED else "now"
    return (member.type, oct(member.mode), member.uid, member.gid, seconds, content)


@attrs.frozen
class Case:
    source: str
    target: str
    follow_link: bool = False
    copy_owner: bool = False

    def __str__(self) -> str:
        flags = ("-L " if self.follow_link else "") + ("-a " if self.copy_owner else "")
        return f"{flags}{self.source} {self.target}"

    @property
    def flags(self) -> list[str]:
        return ["--follow-link"] * self.follow_link + ["--archive"] * self.copy_owner


CASES: Final = (
    # a file
    *(Case("src/file", f"dst/{target}") for target in ("dir", "dir/", "dir/.", "dir//", "./dir/../dir", "new", "full")),
    *(
        Case("src/file", f"dst/{target}")
        for target in ("new/", "new/.", "no/where", "file", "file/", "file/.", "file/x")
    ),
    *(
        Case("src/file", f"dst/{target}")
        for target in ("link_f", "link_f/", "link_f/x", "link_d", "link_d/", "link_d/.")
    ),
    *(
        Case("src/file", f"dst/{target}")
        for target in ("dangling", "dangling/", "dangling/x", "pipe", "links", "clash")
    ),
    Case("src/file", "dst/dir", copy_owner=True),
    Case("src/file", "dst/dir", follow_link=True),
    Case("src/dir/../file", "dst/dir"),
    Case("src/./file", "dst/dir"),
    # what is said to be a directory, and is none
    *(Case(f"src/{source}", "dst/new") for source in ("file/", "file/.", "link_f/", "link_f/.", "file/x", "dangling/")),
    # nothing
    *(Case(f"src/{source}", "dst/dir") for source in ("nothing", "nothing/", "nothing/.", "no/thing")),
    # a directory
    *(Case("src/dir", f"dst/{target}") for target in ("dir", "dir/", "dir/.", "new", "new/", "new/.", "no/where")),
    *(
        Case("src/dir", f"dst/{target}")
        for target in ("file", "file/", "file/x", "link_f", "link_d", "link_d/", "full")
    ),
    *(Case("src/dir", f"dst/{target}") for target in ("dangling", "dangling/", "pipe", "links", "clash", "full/dir")),
    Case("src/dir", "dst/dir", copy_owner=True),
    Case("src/dir/", "dst/dir"),
    Case("src/dir/", "dst/new"),
    # what is in a directory
    *(Case("src/dir/.", f"dst/{target}") for target in ("dir", "dir/", "dir/.", "new", "new/", "new/.", "no/where")),
    *(Case("src/dir/.", f"dst/{target}") for target in ("file", "link_d", "link_f", "dangling", "full", "full/dir")),
    Case("src/dir/./", "dst/dir"),
    Case("src/dir/..", "dst/dir/new"),
    Case("src/dir/empty/.", "dst/dir"),
    # links
    *(Case("src/link_f", f"dst/{target}") for target in ("dir", "new", "new/", "file", "link_f", "full", "dangling")),
    *(Case("src/link_f", f"dst/{target}", follow_link=True) for target in ("dir", "new", "file", "dangling")),
    *(Case("src/link_d", f"dst/{target}") for target in ("dir", "new", "new/", "file", "link_d")),
    *(Case("src/link_d", f"dst/{target}", follow_link=True) for target in ("dir", "new", "new/", "file", "link_d")),
    *(Case(f"src/link_d{end}", f"dst/{target}") for end in ("/", "/.") for target in ("dir", "new", "file")),
    *(Case(f"src/link_d{end}", "dst/new", follow_link=True) for end in ("/", "/.")),
    Case("src/link_d/f", "dst/dir"),
    Case("src/link_d/rel", "dst/new", follow_link=True),
    Case("src/dangling", "dst/dir"),
    Case("src/dangling", "dst/new"),
    Case("src/dangling", "dst/dir", follow_link=True),
    # links that lead to what is beside them
    Case("src/up", "dst/dir"),
    Case("src/up", "dst/new"),
    Case("src/up/.", "dst/dir"),
    Case("src/up/x", "dst/dir"),
    Case("src/out", "dst/dir"),
    Case("src/out/x", "dst/new"),
    Case("src/dir/abs", "dst/dir"),
    Case("src/dir/hard", "dst/dir"),
    Case("src/pipe", "dst/dir"),
    Case("src/pipe", "dst/file"),
)
# The command line runs once for a case, whatever the number of event loops.
every_case = pytest.mark.parametrize("case", CASES, ids=str)


on_both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@attrs.frozen
class CommandLine:
    host: str
    config: str
    seen: dict[tuple[str, Case], Tree | None]

    def copy(self, flags: list[str], source: str, target: str, directory: Path) -> str | None:
        """Run ``docker cp``; return what went wrong."""
        words = ["docker", "--config", self.config, "--host", self.host, "cp", "--quiet", *flags, source, target]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=directory)
        return done.stderr if done.returncode else None


@pytest.fixture(scope="session")
def command_line(engine_host: str, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(engine_host, str(tmp_path_factory.mktemp("config")), {})


@asynccontextmanager
async def _created(host: str) -> AsyncGenerator[str, None]:
    async with anydocker.connect(host) as client:
        container = await client.containers.create("busybox", ["sleep", "86400"], network="none")
        try:
            yield container.id
        finally:
            await container.remove(force=True)


@pytest.fixture(scope="session")
def shelf_id(engine_host: str, anydocker_portal: BlockingPortal) -> Iterator[str]:
    with anydocker_portal.wrap_async_context_manager(_created(engine_host)) as container_id:
        yield container_id


@pytest.fixture
def shelf(docker: Docker, shelf_id: str) -> Container:
    """A container that is never started. Every test has a directory of its own in it."""
    return docker.containers.container(shelf_id)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tree, on this machine. Local paths are relative to it."""
    monkeypatch.chdir(plant(tmp_path))
    return tmp_path


async def planted(container: Container, root: Path) -> str:
    """The tree, in a directory of the container that nobody else has."""
    name = f"w{secrets.token_hex(8)}"
    await container.put_archive("/", await to_thread.run_sync(tar_of, root, name))
    return name


async def found(container: Container, path: str) -> Tree:
    async with container.open_archive(path) as archive:
        return described(await archive.read())


def unfinished(root: Path) -> list[Path]:
    return list(root.rglob("*.part"))


async def failure_of(copy: Awaitable[None]) -> str | None:
    try:
        await copy
    except DockerError as exc:
        return str(exc)
    return None


# -- beside the command line: once on each event loop


@on_both
@every_case
async def test_copy_to(case: Case, shelf: Container, here: Path, command_line: CommandLine) -> None:
    if ("to", case) not in command_line.seen:
        root = await planted(shelf, here)
        target = f"{shelf.id}:/{root}/{case.target}"
        theirs = await to_thread.run_sync(command_line.copy, case.flags, case.source, target, here)
        command_line.seen["to", case] = None if theirs else await found(shelf, root)
    expected = command_line.seen["to", case]
    root = await planted(shelf, here)
    ours = await failure_of(
        shelf.copy_to(case.source, f"{root}/{case.target}", follow_link=case.follow_link, copy_owner=case.copy_owner)
    )
    if expected is None:
        assert ours
    else:
        assert ours is None
        assert await found(shelf, root) == expected


@pytest.fixture(scope="session")
def shelf_root(
    shelf_id: str, engine_host: str, anydocker_portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The tree in the container that is never started, for tests that only read it."""

    async def put() -> str:
        async with anydocker.connect(engine_host) as client:
            return await planted(client.containers.container(shelf_id), plant(tmp_path_factory.mktemp("tree")))

    return anydocker_portal.call(put)


# On the way out, the command line's --archive changes nothing.
@on_both
@every_case
async def test_copy_from(
    case: Case,
    shelf: Container,
    shelf_root: str,
    here: Path,
    command_line: CommandLine,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if ("from", case) not in command_line.seen:
        there = plant(tmp_path_factory.mktemp("theirs"))
        source = f"{shelf.id}:/{shelf_root}/{case.source}"
        theirs = await to_thread.run_sync(command_line.copy, case.flags, source, case.target, there)
        command_line.seen["from", case] = None if theirs else described(tar_of(there, "x"))
    expected = command_line.seen["from", case]
    ours = await failure_of(shelf.copy_from(f"{shelf_root}/{case.source}", case.target, follow_link=case.follow_link))
    assert unfinished(here) == []
    if expected is None:
        assert ours
    else:
        assert ours is None
        assert described(tar_of(here, "x")) == expected


def test_the_table_has_both_kinds_of_cases(command_line: CommandLine) -> None:
    """Of what the tests above have seen: a table of failures would prove nothing."""
    outcomes = list(command_line.seen.values())
    assert not outcomes or {tree is None for tree in outcomes} == {True, False}


# -- what the command line does not show


@pytest.fixture
async def fresh(docker: Docker) -> AsyncGenerator[Container, None]:
    """A container that nobody has copied to."""
    container = await docker.containers.create("busybox", ["true"], network="none")
    yield container
    await container.remove(force=True)


async def test_a_running_container(docker: Docker, here: Path) -> None:
    async with docker.containers.open_run("busybox", ["sleep", "86400"], network="none") as container:
        await container.copy_to(here / "src" / "dir", "/copy")
        done = await container.exec(["sh", "-c", "cat /copy/f && rm /copy/f && stat -c %a /copy"])
        assert done.stdout == b"src/dir/f2750\n"
        await container.copy_from("copy", here / "back")
    assert not (here / "back" / "f").exists()
    assert (here / "back" / "hard").read_text() == "src/dir/f"


async def test_the_owner_is_the_user_of_the_container(docker: Docker, here: Path) -> None:
    container = await docker.containers.create("busybox", ["true"], user="daemon", network="none")
    try:
        await container.copy_to(here / "src" / "file", "/tmp/theirs", copy_owner=True)
        await container.copy_to(here / "src" / "file", "/tmp/ours")
        tree = await found(container, "/tmp")
    finally:
        await container.remove(force=True)
    assert tree["theirs"][2:4] == (1, 1)
    assert tree["ours"][2:4] == (os.stat(here / "src" / "file").st_uid, os.stat(here / "src" / "file").st_gid)


async def test_a_link_in_the_container_to_an_absolute_path(shelf: Container, here: Path) -> None:
    root = await planted(shelf, here)
    (here / "away").symlink_to(f"/{root}/dst/dir")
    await shelf.copy_to("away", root)
    await shelf.copy_to("src/file", f"{root}/away/")
    assert "dst/dir/file" in await found(shelf, root)


async def test_the_root_is_copied_as_its_content(fresh: Container, tmp_path: Path) -> None:
    """It has no name to copy it under."""
    await fresh.copy_from("/", tmp_path)
    assert (tmp_path / "bin" / "busybox").stat().st_mode & 0o111
    await fresh.copy_from("/", tmp_path / "new")
    assert (tmp_path / "new" / "bin" / "busybox").stat().st_mode & 0o111


async def test_no_such_container(docker: Docker, here: Path) -> None:
    container = docker.containers.container("nothing-of-that-name")
    with pytest.raises(NotFound, match="(?i)no such container"):
        await container.copy_to("src/file", "/tmp")
    with pytest.raises(NotFound, match="(?i)no such container"):
        await container.copy_from("/tmp", "dst")


async def test_devices(docker: Docker, here: Path) -> None:
    """The command line copies them if it may, and puts no copy in the place of one. Here they are not copied either."""
    container = await docker.containers.create("busybox", ["mknod", "/tmp/null", "c", "1", "3"], network="none")
    try:
        async with container.open_wait() as pending:
            await container.start()
            assert await pending.exit_code() == 0
        with pytest.raises(ArchiveError, match="'/tmp/null' is a device in the container: a copy would replace it"):
            await container.copy_to("src/file", "/tmp/null")
        with pytest.raises(ArchiveError, match="the archive has 'null', a device: it is not copied"):
            await container.copy_from("/tmp/null", "dst/dir")
        assert list((here / "dst" / "dir").iterdir()) == []
        with pytest.raises(ArchiveError, match="'/dev/null' is a device: a copy would replace it"):
            await container.copy_from("/bin/sh", "/dev/null")
    finally:
        await container.remove(force=True)


def make_sparse(path: Path, size: int) -> None:
    """As many bytes on the wire, and few on the disk."""
    with path.open("wb") as file:
        file.seek(size - 7)
        file.write(b"the end")


async def test_a_large_file_both_ways(shelf: Container, tmp_path: Path) -> None:
    await to_thread.run_sync(make_sparse, tmp_path / "large", 256 * MIB)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await shelf.copy_to(tmp_path / "large", "/tmp/large")
    await shelf.copy_from("/tmp/large", tmp_path / "back")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert await to_thread.run_sync(cmp, tmp_path / "large", tmp_path / "back", False)
    assert grown < 32 * MIB
