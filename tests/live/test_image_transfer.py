from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest
from anyio import CancelScope
from anyio.to_thread import run_sync

from anydocker import (
    APIError,
    Credentials,
    Docker,
    EngineFault,
    Image,
    LoadFailed,
    NotFound,
    Progress,
    PushFailed,
    UnsupportedByEngine,
)
from anydocker.testing import PrivateEngine, Registry
from tests.helpers import Pieces, cut, tar_of
from tests.live.file_server import file_server
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]

Source = bytes | Path | io.BufferedReader | Pieces
Make = Callable[[bytes, Path], Source]


def _file(data: bytes, path: Path) -> io.BufferedReader:
    path.write_bytes(data)
    return path.open("rb")


def _path(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    return path


def _bytes(data: bytes, path: Path) -> bytes:
    return data


def _stream(data: bytes, path: Path) -> Pieces:
    return Pieces(*cut(data))


every_source = pytest.mark.parametrize("make", [_bytes, _path, _file, _stream])


@pytest.fixture
async def image(docker: Docker, label: str, registry: Registry) -> AsyncGenerator[Image, None]:
    """An image of the test's own, with names of the test's own."""
    image = await docker.images.import_(tar_of({"file": label}), repository=label)
    yield image
    names = [label, f"{label}/*", f"*/{label}", f"{registry.address}/{label}"]
    for one in await docker.images.list(filters={"reference": names}):
        await one.remove(force=True)


async def files_of(docker: Docker, image: Image) -> dict[str, bytes]:
    """The files of an image, by way of a container that is never started."""
    container = await docker.containers.create(image.id, ["-"], network="none")
    try:
        async with container.open_export() as body:
            data = await body.read()
    finally:
        await container.remove()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
        return {name: file.read() for name, file in files.items() if file is not None}


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def saved(image: Image) -> bytes:
    async with image.open_save() as body:
        return await body.read()


# -- push


@pytest.fixture
def name(image: Image, label: str, registry: Registry) -> str:
    """A name for the image in the registry, which it does not have yet."""
    return f"{registry.address}/{label}"


async def test_push(docker: Docker, image: Image, name: str) -> None:
    await image.tag(f"{name}:1")
    pushed = await docker.images.push(f"{name}:1")
    assert pushed.reference == f"{name}:1"
    assert pushed.digest is not None
    assert pushed.size is not None
    assert pushed.size > 0
    assert (await image.inspect())["RepoDigests"] == [f"{name}@{pushed.digest}"]
    await docker.images.image(f"{name}:1").remove()
    assert (await docker.images.pull(f"{name}@{pushed.digest}")).id == image.id
    await docker.images.image(f"{name}@{pushed.digest}").remove()


async def test_push_takes_the_tag_latest_unless_there_is_one(docker: Docker, image: Image, name: str) -> None:
    await image.tag(name)
    await image.tag(f"{name}:2")
    pushed = await docker.images.push(name)
    assert pushed.reference == f"{name}:latest"
    await docker.images.image(f"{name}:2").remove()
    with pytest.raises((NotFound, APIError), match="unknown|not found"):
        await docker.images.pull(f"{name}:2")


async def test_progress_of_a_push_goes_to_a_coroutine_function(docker: Docker, image: Image, name: str) -> None:
    shown: list[str] = []

    async def show(step: Progress) -> None:
        await docker.ping()
        shown.append(str(step))

    await image.tag(name)
    pushed = await docker.images.push(name, progress=show)
    assert shown[0] == f"The push refers to repository [{name}]"
    assert any(f"latest: digest: {pushed.digest} size: {pushed.size}" in line for line in shown)


async def test_open_push_gives_the_steps(docker: Docker, image: Image, name: str) -> None:
    await image.tag(name)
    async with docker.images.open_push(name) as steps:
        seen = [step async for step in steps]
    assert any(step.status == "Pushed" and step.id for step in seen)
    assert seen[-1].aux["Digest"].startswith("sha256:")
    assert "Pushed" in steps.log


async def test_leaving_the_block_early_is_no_error(docker: Docker, image: Image, name: str) -> None:
    await image.tag(name)
    async with docker.images.open_push(name) as steps:
        assert (await steps.receive()).status == f"The push refers to repository [{name}]"
    assert (await docker.images.push(name)).digest is not None


async def test_push_of_all_tags(docker: Docker, image: Image, name: str) -> None:
    for tag in ("a", "b"):
        await image.tag(f"{name}:{tag}")
    steps: list[str] = []
    pushed = await docker.images.push(name, all_tags=True, progress=lambda step: steps.append(str(step)))
    assert (pushed.reference, pushed.digest, pushed.size) == (name, None, None)
    assert {line.partition(":")[0] for line in steps if ": digest: " in line} == {"a", "b"}
    for tag in ("a", "b"):
        await docker.images.image(f"{name}:{tag}").remove()
    assert (await docker.images.pull(name, all_tags=True)).id == image.id
    assert set((await image.inspect())["RepoTags"] or ()) >= {f"{name}:a", f"{name}:b"}


async def test_push_by_the_handle(docker: Docker, image: Image, name: str) -> None:
    await image.tag(name)
    by_name = await docker.images.get(name)
    assert (await by_name.push()).reference == f"{name}:latest"
    untagged = next(one for one in await docker.images.list(filters={"reference": name}))
    assert (await untagged.push()).digest is not None
    without_name = Image(image.id, docker=docker)
    with pytest.raises(ValueError, match="has no name"):
        await without_name.push()


async def test_push_with_credentials(docker: Docker, image: Image, closed_registry: Registry) -> None:
    assert closed_registry.credentials is not None
    username, password = closed_registry.credentials
    auth = Credentials(username=username, password=password)
    name = f"{closed_registry.address}/{image.name}"
    await image.tag(name)
    pushed = await docker.images.push(name, auth=auth)
    await docker.images.image(name).remove()
    assert (await docker.images.pull(f"{name}@{pushed.digest}", auth=auth)).id == image.id
    await docker.images.image(f"{name}@{pushed.digest}").remove()


@pytest.mark.parametrize("auth", [None, Credentials(username="alice", password="wrong")])
async def test_push_without_the_right_credentials(
    docker: Docker, image: Image, closed_registry: Registry, auth: Credentials | None
) -> None:
    name = f"{closed_registry.address}/{image.name}"
    await image.tag(name)
    with pytest.raises(PushFailed, match="(?i)no basic auth credentials|unauthorized|authentication required"):
        await docker.images.push(name, auth=auth)
    await docker.images.image(name).remove()


async def test_push_to_where_nothing_listens(docker: Docker, image: Image, label: str) -> None:
    name = f"127.0.0.1:1/{label}"
    await image.tag(name)
    with pytest.raises((PushFailed, APIError), match="refused"):
        await docker.images.push(name)
    await docker.images.image(name).remove()


async def test_push_of_an_unknown_image(docker: Docker, name: str) -> None:
    with pytest.raises((NotFound, PushFailed), match="(?i)does not exist|no such|not known"):
        await docker.images.push(f"{name}:none")


# -- load and save


@every_source
async def test_save_and_load(docker: Docker, image: Image, label: str, tmp_path: Path, make: Make) -> None:
    data = await saved(image)
    await image.remove(force=True)
    steps: list[str] = []
    source = make(data, tmp_path / "image.tar")
    loaded = await docker.images.load(source, progress=lambda step: steps.append(step.text))
    assert [(one.id, one.name) for one in loaded] == [(image.id, f"{label}:latest")]
    assert f"Loaded image: {label}:latest\n" in steps
    assert (await files_of(docker, loaded[0]))["file"] == label.encode()
    if isinstance(source, io.BufferedReader):
        assert not source.closed
        source.close()


async def test_load_of_a_compressed_archive(docker: Docker, image: Image) -> None:
    data = gzip.compress(await saved(image))
    await image.remove(force=True)
    assert [one.id for one in await docker.images.load(data)] == [image.id]


async def test_save_and_load_of_several(docker: Docker, image: Image, label: str, tmp_path: Path) -> None:
    other = await docker.images.import_(tar_of({"other": "x"}), repository=f"{label}/other:1")
    await image.tag(f"{label}/two")
    async with docker.images.open_save([f"{label}:latest", f"{label}/two", f"{label}/other:1"]) as body:
        assert await body.write_to(tmp_path / "both.tar") == (tmp_path / "both.tar").stat().st_size
    for one in (image, other):
        await one.remove(force=True)
    loaded = await docker.images.load(tmp_path / "both.tar")
    assert {(one.name, one.id) for one in loaded} == {
        (f"{label}:latest", image.id),
        (f"{label}/two:latest", image.id),
        (f"{label}/other:1", other.id),
    }


async def test_an_image_without_a_name_is_loaded_by_its_id(docker: Docker, image: Image) -> None:
    async with docker.images.open_save([image.id]) as body:
        data = await body.read()
    await image.remove(force=True)
    loaded = await docker.images.load(data)
    assert [one.id for one in loaded] == [image.id]
    assert not (await loaded[0].inspect())["RepoTags"]
    await loaded[0].remove()


async def test_open_load_gives_the_steps(docker: Docker, image: Image, label: str) -> None:
    data = await saved(image)
    async with docker.images.open_load(data) as steps:
        seen = [step async for step in steps]
    assert seen[-1].text == f"Loaded image: {label}:latest\n"
    assert steps.log.endswith(f"Loaded image: {label}:latest\n")


@pytest.mark.parametrize("data", [b"", b"this is no tar" * 1000, tar_of({"a": "A"})])
async def test_load_of_what_is_no_image(docker: Docker, data: bytes) -> None:
    with pytest.raises((LoadFailed, APIError)):
        await docker.images.load(data)


async def test_load_of_a_file_that_does_not_exist(docker: Docker, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        await docker.images.load(tmp_path / "none.tar")
    assert docker.statistics().open_streams == 0


async def test_an_archive_is_what_the_command_line_makes_of_it(
    docker: Docker, image: Image, cli: CLI, label: str, tmp_path: Path
) -> None:
    await cli("save", "--output", str(tmp_path / "cli.tar"), label)
    ours, theirs = await saved(Image(label, label, docker=docker)), (tmp_path / "cli.tar").read_bytes()
    assert _members(ours) == _members(theirs)


def _members(data: bytes) -> list[tuple[str, int]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return sorted((member.name, member.size) for member in tar)


async def test_write_to_a_file_object(image: Image, tmp_path: Path) -> None:
    with (tmp_path / "image.tar").open("wb") as file:
        async with image.open_save() as body:
            size = await body.write_to(file)
        assert not file.closed
        assert file.tell() == size
    assert _members((tmp_path / "image.tar").read_bytes())


async def test_write_to_the_path_as_a_str(image: Image, tmp_path: Path) -> None:
    async with image.open_save() as body:
        await body.write_to(str(tmp_path / "image.tar"))
    assert names_in(tmp_path) == ["image.tar"]
    assert _members((tmp_path / "image.tar").read_bytes())


async def test_a_cancelled_write_leaves_no_file_and_can_be_made_again(image: Image, tmp_path: Path) -> None:
    async with image.open_save() as body:
        with CancelScope() as scope:
            scope.cancel()
            await body.write_to(tmp_path / "image.tar")
        assert scope.cancelled_caught
        assert not names_in(tmp_path)
        await body.write_to(tmp_path / "image.tar")
    assert _members((tmp_path / "image.tar").read_bytes())


async def test_write_to_where_there_is_no_directory(image: Image, tmp_path: Path) -> None:
    async with image.open_save() as body:
        with pytest.raises(FileNotFoundError):
            await body.write_to(tmp_path / "none" / "image.tar")


async def test_save_of_an_unknown_image(docker: Docker, label: str) -> None:
    with pytest.raises((NotFound, EngineFault), match=label):
        async with docker.images.open_save([label]):
            raise AssertionError


# -- making an image of a filesystem


@every_source
async def test_import(docker: Docker, label: str, tmp_path: Path, make: Make) -> None:
    source = make(tar_of({"file": label}), tmp_path / "root.tar")
    image = await docker.images.import_(
        source, repository=f"{label}:1", changes=['CMD ["a", "b"]', "ENV A=1", "LABEL x=y"], message="made by a test"
    )
    assert image.name == f"{label}:1"
    document = await image.inspect()
    assert document["Config"]["Cmd"] == ["a", "b"]
    assert document["Config"]["Env"] == ["A=1"]
    assert document["Config"]["Labels"] == {"x": "y"}
    assert (await image.history())[0]["Comment"] == "made by a test"
    assert (await files_of(docker, image))["file"] == label.encode()
    await image.remove()
    if isinstance(source, io.BufferedReader):
        source.close()


@pytest.mark.parametrize("ending", ["", ".gz"])
async def test_import_from_a_url(
    docker: Docker, anydocker_engine: PrivateEngine | None, label: str, tmp_path: Path, ending: str
) -> None:
    data = tar_of({"file": label})
    await run_sync((tmp_path / f"root.tar{ending}").write_bytes, gzip.compress(data) if ending else data)
    steps: list[str] = []
    async with file_server(anydocker_engine, tmp_path) as url:
        image = await docker.images.import_(
            f"{url}/root.tar{ending}", repository=label, progress=lambda step: steps.append(str(step))
        )
    assert steps[0] == f"Downloading from {url}/root.tar{ending}"
    assert (await files_of(docker, image))["file"] == label.encode()
    await image.remove()


async def test_import_from_a_url_of_nothing(
    docker: Docker, anydocker_engine: PrivateEngine | None, label: str, tmp_path: Path
) -> None:
    async with file_server(anydocker_engine, tmp_path) as url:
        with pytest.raises((NotFound, LoadFailed), match="404"):
            await docker.images.import_(f"{url}/none.tar", repository=label)


async def test_import_of_another_image_flattens_it(docker: Docker, label: str) -> None:
    text = f"FROM busybox\nRUN echo {label} > /one\nRUN echo 2 > /two && rm /one\nENV GONE=1\n"
    built = await docker.images.build(dockerfile_text=text, tags=[f"{label}/layers"], network="none")
    flat = await docker.images.import_(built, repository=label, changes=['CMD ["cat", "/two"]'])
    document = await flat.inspect()
    assert len(document["RootFS"]["Layers"] or ()) == 1
    assert len((await built.inspect())["RootFS"]["Layers"] or ()) > 1
    assert not document["Config"]["Env"]
    assert (await docker.containers.run(label, network="none")).stdout == b"2\n"
    assert "one" not in await files_of(docker, flat)
    for image in (flat, built):
        await image.remove(force=True)


@pytest.mark.parametrize("change", ["BUY milk", "RUN true"])
async def test_import_with_a_change_that_is_none(docker: Docker, label: str, change: str) -> None:
    with pytest.raises(APIError):
        await docker.images.import_(tar_of({"a": "A"}), repository=label, changes=[change])
    assert not await docker.images.list(filters={"reference": label})


# -- inspect, history, prune


async def test_history(docker: Docker, label: str, cli: CLI) -> None:
    text = f"FROM busybox\nLABEL a={label}\nRUN echo {label} > /made"
    image = await docker.images.build(dockerfile_text=text, tags=[label], network="none")
    history = await image.history()
    assert [step["Id"] for step in history[:1]] == [image.id]
    assert history[0]["Tags"] == [f"{label}:latest"]
    assert f"echo {label} > /made" in history[0]["CreatedBy"]
    assert len(history) == len((await cli("history", "--quiet", "--no-trunc", label)).splitlines())
    await image.remove()


async def test_history_of_an_unknown_image(docker: Docker, label: str) -> None:
    with pytest.raises(NotFound, match=label):
        await docker.images.image(label).history()


async def test_what_the_engine_is_too_old_for_is_not_sent(docker: Docker, image: Image) -> None:
    needs: dict[str, list[Callable[[], Awaitable[object]]]] = {
        "1.46": [lambda: docker.images.push(image.name or "", platform="linux/amd64")],
        "1.48": [
            lambda: image.inspect(manifests=True),
            lambda: image.history(platform="linux/amd64"),
            lambda: docker.images.load(b"", platforms=["linux/amd64"]),
            lambda: docker.images.prune_builds(max_used_space=1),
            lambda: docker.images.prune_builds(min_free_space=1),
        ],
        "1.49": [lambda: image.inspect(platform="linux/amd64")],
        "1.50": [lambda: image.remove(platforms=["linux/amd64"])],
        "1.55": [image.attestations],
    }
    for version, calls in needs.items():
        for call in calls:
            if not docker.speaks(version):
                with pytest.raises(UnsupportedByEngine, match=version):
                    await call()
    assert (await image.inspect())["Id"] == image.id


async def test_prune_takes_what_has_no_name(docker: Docker, image: Image, label: str) -> None:
    text = f"FROM {label}\nLABEL {label}=1"
    nameless = await docker.images.build(dockerfile_text=text)
    named = await docker.images.build(dockerfile_text=f"{text} other=2", tags=[f"{label}/named"])
    report = await docker.images.prune(filters={"label": label})
    assert {"Deleted": nameless.id} in (report["ImagesDeleted"] or [])
    assert (await named.inspect())["Id"] == named.id
    with pytest.raises(NotFound):
        await nameless.inspect()
    everything = await docker.images.prune(filters={"dangling": False, "label": label})
    assert {"Deleted": named.id} in (everything["ImagesDeleted"] or [])
    assert not (await docker.images.prune(filters={"label": label}))["ImagesDeleted"]


async def test_prune_builds(docker: Docker) -> None:
    report = await docker.images.prune_builds(all=True, filters={"until": "24h"}, reserved_space=1 << 30)
    assert report["SpaceReclaimed"] == 0
    assert not report.get("CachesDeleted")
