"""The same directory, sent by us and by the docker command line, becomes the same image."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Final

import attrs
import pytest
from anyio import to_thread

from anydocker.context import prepare

pytestmark = [pytest.mark.anyio, pytest.mark.live]

DOCKERFILE: Final = "FROM scratch\nCOPY . /\n"

# Ends with a slash: a directory. "a -> b": a link. Otherwise a file that holds its own path.
TREE: Final = (
    "Dockerfile",
    "Makefile",
    "README.md",
    "README-secret.md",
    "app.py",
    "app.pyc",
    "a*b",
    "axb",
    "[x]",
    "empty/",
    "docs/index.md",
    "docs/deep/er/index.md",
    "docs/deep/er/page.html",
    "docs-old/index.md",
    "src/main.c",
    "src/main.o",
    "src/lib/util.c",
    "src/lib/util.o",
    "src/node_modules/x/index.js",
    "src/node_modules/keep",
    ".git/HEAD",
    ".env",
    "caf\u00e9/\u65e5\u672c.txt",
    f"{'long' * 40}/{'name' * 40}/file",
    "link -> src/main.c",
    "link-to-dir -> docs",
    "dangling -> /nowhere/at/all",
    "!bang",
    "#hash",
    "with space",
    "docker/Dockerfile.prod",
)
SMALL: Final = ("Dockerfile", "a", "a-b", "a.b", "d/a", "d/b/a", "d/b/c/a", "d/bb", "e/a")


@attrs.frozen
class Case:
    ignore: str | None
    tree: tuple[str, ...] = TREE
    dockerfile: str | None = None


CASES: Final = [
    Case(None),
    Case(None, SMALL),
    Case(""),
    Case("# nothing\n\n   \n"),
    Case("MAKE*\n*.pyc"),
    Case("Make*\n.*"),
    Case("*.md\n!README*.md\nREADME-secret.md"),
    Case("**/*.md\n**/*.o"),
    Case("**/node_modules\n!src/node_modules/keep"),
    Case("docs\n!docs/deep/er/index.md"),
    Case("docs/\n/src/lib"),
    Case("docs/*"),
    Case("docs/**\nsrc/**/util.?"),
    Case("*\n!src\nsrc/*.o"),
    Case("**\n!docs/index.md\n!link"),
    Case("a\\*b\n\\[x]\n\\#hash"),
    Case("a[^x]b\n[a-b]pp.[^m-o]y"),
    Case("link\nlink-to-dir\n  dangling  \nwith space"),
    Case("link-to-dir/index.md"),
    Case("caf?\nlong*"),
    Case("caf\u00e9/\u65e5*"),
    Case("Dockerfile\n.dockerignore"),
    Case("Dockerfile"),
    Case("**/Dockerfile*\n.dockerignore", dockerfile="docker/Dockerfile.prod"),
    Case("docker", dockerfile="docker/Dockerfile.prod"),
    Case("\ufeff.env\r\n.git\r\n"),
    Case("./docs//deep/../deep/er/page.html\n../outside\n."),
    Case("\\!bang\n!!bang"),
    Case("*\n!d\n*/b", SMALL),
    Case("d\n!d/b\nd/b/c", SMALL),
    Case("**/a\n!a", SMALL),
    Case("a*\n!a.b", SMALL),
    Case("**/b", SMALL),
    Case("d/**/a", SMALL),
]


def plant(root: Path, case: Case) -> Path:
    for path in case.tree:
        name, _, target = path.partition(" -> ")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if target:
            (root / name).symlink_to(target)
        elif path.endswith("/"):
            (root / name).mkdir()
        else:
            (root / name).write_text(DOCKERFILE if "Dockerfile" in name else name)
    if case.ignore is not None:
        (root / ".dockerignore").write_text(case.ignore)
    for name, mode in {"app.py": 0o4755, "README.md": 0o600, "empty": 0o1711}.items():
        if (root / name).exists():
            (root / name).chmod(mode)
    for planted in root.rglob("*"):
        os.utime(planted, ns=(0, 1_600_000_000_123_456_789), follow_symlinks=False)
    return root


Image = dict[str, tuple[object, ...]]


@attrs.frozen
class CommandLine:
    host: str
    config: str
    seen: dict[object, Image]

    def build(self, *arguments: str, stdin: bytes = b"") -> Image:
        built = self.run("build", "--quiet", "--no-cache", *arguments, stdin=stdin).decode().strip()
        try:
            return image_files(self.run("save", built))
        finally:
            self.run("rmi", built)

    def build_once(self, key: object, *arguments: str, stdin: bytes = b"") -> Image:
        if key not in self.seen:
            self.seen[key] = self.build(*arguments, stdin=stdin)
        return self.seen[key]

    def build_tar(self, dockerfile: str, tar: bytes) -> Image:
        return self.build_once((dockerfile, tar), "--file", dockerfile, "-", stdin=tar)

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        environment = {**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": self.config, "DOCKER_HOST": self.host}
        environment.pop("DOCKER_CONTEXT", None)
        done = subprocess.run(["docker", *arguments], input=stdin, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


def image_files(saved: bytes) -> Image:
    """What the one layer of an image holds: of a path all that a client decides."""
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        manifest = json.loads(read(archive, "manifest.json"))
        (layer,) = manifest[0]["Layers"]
        content = read(archive, layer)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name.strip("/"): facts(archive, member) for member in archive}


def read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def facts(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    common = (member.type, oct(member.mode), member.uid, member.gid)
    if member.isdir():
        return common
    content = sha256(read(archive, member.name)).hexdigest() if member.isreg() else member.linkname
    return (*common, member.mtime, content)


@pytest.fixture(scope="session")
def command_line(engine_host: str, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    # The user's own configuration may name credential helpers and contexts.
    return CommandLine(engine_host, str(tmp_path_factory.mktemp("config")), {})


async def tar_of(root: Path, **arguments: str | None) -> tuple[str, bytes]:
    context = await prepare(root, **arguments)
    assert not isinstance(context.body, bytes)
    return context.dockerfile, b"".join([piece async for piece in context.body])


def tar_names(tar: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return set(archive.getnames())


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case.ignore))
async def test_the_image_is_the_same(case: Case, tmp_path: Path, command_line: CommandLine) -> None:
    root = plant(tmp_path, case)
    named = ["--file", str(root / case.dockerfile)] if case.dockerfile else []
    expected = await to_thread.run_sync(lambda: command_line.build_once(case, *named, str(root)))
    dockerfile, tar = await tar_of(root, dockerfile=case.dockerfile)
    actual = await to_thread.run_sync(command_line.build_tar, dockerfile, tar)
    assert actual == expected
    # The engine takes its own two files out, and makes the parents of what was excepted; all else is in the tar.
    assert tar_names(tar) - set(expected) <= {dockerfile, ".dockerignore"}
    assert {expected[name][0] for name in set(expected) - tar_names(tar)} <= {tarfile.DIRTYPE}


@pytest.mark.parametrize("ignore", [None, "*.md", "*\n!src"])
@pytest.mark.parametrize("how", ["text", "outside"])
async def test_the_image_is_the_same_with_a_dockerfile_from_elsewhere(
    ignore: str | None, how: str, tmp_path: Path, command_line: CommandLine
) -> None:
    case = Case(ignore)
    root = plant(tmp_path / "root", case)
    outside = tmp_path / "elsewhere"
    outside.write_text(DOCKERFILE)
    theirs = "-" if how == "text" else str(outside)
    expected = await to_thread.run_sync(
        lambda: command_line.build("--file", theirs, str(root), stdin=DOCKERFILE.encode())
    )
    ours = {"dockerfile_text": DOCKERFILE} if how == "text" else {"dockerfile": str(outside)}
    dockerfile, tar = await tar_of(root, **ours)
    actual = await to_thread.run_sync(command_line.build_tar, dockerfile, tar)
    # Where the .dockerignore does not list itself it stays in the image, with a random name at its end.
    ignore_files = [image.pop(".dockerignore", None) for image in (actual, expected)]
    assert actual == expected
    assert (ignore_files[0] is None) == (ignore_files[1] is None) == (ignore != "*.md")


async def test_an_exception_holds_where_the_command_line_forgets_it(tmp_path: Path, command_line: CommandLine) -> None:
    """A known difference: it enters an ignored directory only where an exception spells it out."""
    case = Case("d\n!**/a", SMALL)
    root = plant(tmp_path, case)
    theirs = await to_thread.run_sync(command_line.build_once, case, str(root))
    dockerfile, tar = await tar_of(root)
    ours = await to_thread.run_sync(command_line.build_tar, dockerfile, tar)
    assert {name for name in set(ours) - set(theirs) if ours[name][0] == tarfile.REGTYPE} == {"d/a", "d/b/a", "d/b/c/a"}
    assert theirs.items() <= ours.items()
