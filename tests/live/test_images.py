from __future__ import annotations

import io
import json
import tarfile
from collections.abc import AsyncGenerator

import pytest

from anydocker import (
    APIError,
    Conflict,
    Credentials,
    Docker,
    DockerError,
    Image,
    InvalidReference,
    LoadFailed,
    NotFound,
    Progress,
    PullFailed,
)
from anydocker.testing import Registry
from tests.helpers import Pieces, cut, tar_of
from tests.live.helpers import CLI

pytestmark = [pytest.mark.anyio, pytest.mark.live]


MALFORMED = ["", " ", "UPPER", "a b", "a:b:c", "a@sha256:0", "../up", "a//b", "a?b", "-a", "a:" + "x" * 129, "a\n"]
BAD_NAMES = ["", " ", "..", "../up", "a/../b", "a//b", "/a", "a/", "a\0b", "a\nb"]


@pytest.fixture
async def image(docker: Docker, label: str) -> AsyncGenerator[Image, None]:
    """An image of the test's own."""
    image = await docker.images.import_(tar_of({"file": label}), repository=label)
    yield image
    for one in await docker.images.list(filters={"reference": [f"{label}*", f"{label}*/*"]}):
        await one.remove(force=True)


# -- pull


async def test_pull(docker: Docker, pullable: str, cli: CLI) -> None:
    image = await docker.images.pull(pullable)
    assert image.name == pullable
    assert image.id == await cli("image", "inspect", "--format", "{{.Id}}", pullable)
    done = await docker.containers.run(pullable, ["cat", "/app"], network="none")
    assert done.stdout == f"{pullable}\n".encode()


async def test_progress_of_a_pull_goes_to_a_function(docker: Docker, pullable: str) -> None:
    steps: list[Progress] = []
    await docker.images.pull(pullable, progress=steps.append)
    assert steps[0].status == "Pulling from app"
    assert any(step.status == "Pull complete" and step.id for step in steps)
    assert str(steps[-1]).startswith("Status: ")


async def test_progress_of_a_pull_goes_to_a_coroutine_function(docker: Docker, pullable: str) -> None:
    shown: list[str] = []

    async def show(step: Progress) -> None:
        await docker.ping()
        shown.append(str(step))

    await docker.images.pull(pullable, progress=show)
    assert shown[0] == "1: Pulling from app"
    assert shown[-1].startswith("Status: Downloaded newer image")


async def test_an_error_of_the_progress_callback_ends_the_pull(docker: Docker, pullable: str) -> None:
    error = ZeroDivisionError("mine")

    def fail(step: Progress) -> None:
        raise error

    with pytest.raises(ZeroDivisionError) as caught:
        await docker.images.pull(pullable, progress=fail)
    assert caught.value is error
    assert (await docker.ping()).os == "linux"


async def test_open_pull_gives_the_steps(docker: Docker, pullable: str) -> None:
    async with docker.images.open_pull(pullable) as steps:
        seen = [step async for step in steps]
    assert [step.status for step in seen if step.status and step.status.startswith("Digest: sha256:")]
    assert "Pull complete" in steps.log
    assert (await docker.images.get(pullable)).name == pullable


async def test_leaving_the_block_early_is_no_error(docker: Docker, pullable: str) -> None:
    async with docker.images.open_pull(pullable) as steps:
        assert (await steps.receive()).status == "Pulling from app"
    assert (await docker.images.pull(pullable)).name == pullable


async def test_pull_by_digest(docker: Docker, pullable: str) -> None:
    steps: list[Progress] = []
    first = await docker.images.pull(pullable, progress=steps.append)
    digest = next(step.status for step in steps if step.status and step.status.startswith("Digest: ")).split()[1]
    name = f"{pullable.rpartition(':')[0]}@{digest}"
    again = await docker.images.pull(name)
    assert again.id == first.id
    assert name in ((await again.inspect())["RepoDigests"] or ())
    await docker.images.image(name).remove()


async def test_pull_of_an_unknown_tag(docker: Docker, registry: Registry, published: str) -> None:
    with pytest.raises((NotFound, PullFailed), match="unknown|not found"):
        await docker.images.pull(f"{registry.address}/app:none")


async def test_pull_of_an_unknown_repository(docker: Docker, registry: Registry) -> None:
    with pytest.raises((NotFound, PullFailed), match="unknown|not found"):
        async with docker.images.open_pull(f"{registry.address}/none") as steps:
            await steps.receive_many()


async def test_pull_from_where_nothing_listens(docker: Docker) -> None:
    with pytest.raises((APIError, PullFailed), match="refused"):
        await docker.images.pull("127.0.0.1:1/app")


async def test_pull_without_credentials(docker: Docker, closed_registry: Registry) -> None:
    with pytest.raises((APIError, PullFailed), match="(?i)no basic auth|unauthorized"):
        await docker.images.pull(f"{closed_registry.address}/app")


async def test_pull_with_wrong_credentials(docker: Docker, closed_registry: Registry) -> None:
    with pytest.raises((APIError, PullFailed), match="(?i)unauthorized"):
        await docker.images.pull(f"{closed_registry.address}/app", auth=Credentials(username="alice", password="wrong"))


async def test_credentials_let_a_pull_pass(docker: Docker, closed_registry: Registry, image: Image) -> None:
    assert closed_registry.credentials is not None
    username, password = closed_registry.credentials
    auth = Credentials(username=username, password=password)
    name = f"{closed_registry.address}/{image.name}"
    await image.tag(name)
    pushed = await docker.request(
        "POST",
        f"/images/{name.removesuffix(':latest')}/push",
        query={"tag": "latest"},
        headers={"X-Registry-Auth": auth.header()},
    )
    assert b"errorDetail" not in pushed.body
    await docker.images.image(name).remove()
    assert (await docker.images.pull(name, auth=auth)).id == image.id
    await docker.images.image(name).remove()


async def test_pull_for_a_platform(docker: Docker, pullable: str) -> None:
    image = await docker.images.pull(pullable, platform="linux/amd64")
    assert (await image.inspect())["Architecture"] == "amd64"


async def test_a_malformed_reference_is_refused(docker: Docker) -> None:
    for reference in MALFORMED:
        with pytest.raises(InvalidReference):
            await docker.images.pull(reference)
        with pytest.raises(InvalidReference):
            async with docker.images.open_pull(reference):
                raise AssertionError


# -- get, image, list, inspect


async def test_get(docker: Docker, image: Image, label: str) -> None:
    by_name = await docker.images.get(label)
    assert (by_name.id, by_name.name) == (image.id, label)
    assert (await docker.images.get(image.id)).id == image.id
    assert (await docker.images.get(image.id.removeprefix("sha256:")[:12])).id == image.id


async def test_get_of_an_unknown_image(docker: Docker) -> None:
    with pytest.raises(NotFound) as caught:
        await docker.images.get("no/such-image:1")
    assert caught.value.status == 404
    assert "no/such-image:1" in caught.value.message
    assert caught.value.path.endswith("/images/no/such-image:1/json")


async def test_a_name_that_would_change_the_path_is_refused(docker: Docker) -> None:
    for name in BAD_NAMES:
        with pytest.raises(ValueError, match="image"):
            await docker.images.get(name)
        with pytest.raises(ValueError, match="image"):
            docker.images.image(name)


async def test_an_odd_name_reaches_the_engine_as_it_is(docker: Docker) -> None:
    for name in ("a b", "a?all=1", "a#b", "%2e%2e", "ä", "a&b"):
        with pytest.raises(APIError) as caught:
            await docker.images.get(name)
        assert caught.value.status in {400, 404}
        assert name in caught.value.message or "invalid reference format" in caught.value.message


async def test_a_name_is_a_str(docker: Docker) -> None:
    wrong: list[object] = [None, 1, b"busybox", ["busybox"]]
    for name in wrong:
        with pytest.raises(TypeError):
            await docker.images.get(name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_list(docker: Docker, image: Image, label: str, cli: CLI) -> None:
    found = await docker.images.list()
    assert sorted({one.id for one in found}) == sorted({*(await cli("images", "-q", "--no-trunc")).split()})
    mine = next(one for one in found if one == image)
    assert mine.name == f"{label}:latest"
    assert mine.summary is not None
    assert mine.summary["RepoTags"] == [f"{label}:latest"]


async def test_list_by_filters(docker: Docker, image: Image, label: str) -> None:
    assert await docker.images.list(filters={"reference": label}) == [image]
    assert await docker.images.list(filters={"reference": [label, "none"], "dangling": False}) == [image]
    assert await docker.images.list(filters={"reference": f"{label}-none"}) == []


async def test_list_refuses_a_filter_of_the_wrong_type(docker: Docker) -> None:
    with pytest.raises(TypeError, match="dangling"):
        await docker.images.list(filters={"dangling": 1.5})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


async def test_list_with_intermediate_images(docker: Docker, label: str) -> None:
    built = await docker.images.build(dockerfile_text=f"FROM busybox\nLABEL a={label}\nLABEL b=c", tags=[label])
    some, all_of_them = await docker.images.list(), await docker.images.list(all=True)
    assert {one.id for one in some} < {one.id for one in all_of_them}
    await built.remove(force=True)


async def test_inspect(docker: Docker, image: Image, cli: CLI) -> None:
    document = await image.inspect()
    assert document == json.loads(await cli("image", "inspect", image.id))[0]


# -- tag, remove


@pytest.mark.parametrize(("suffix", "full"), [("-b", "-b:latest"), ("-b:1.2", "-b:1.2"), ("/c/d:e", "/c/d:e")])
async def test_tag(docker: Docker, image: Image, label: str, suffix: str, full: str) -> None:
    await image.tag(label + suffix)
    assert sorted((await image.inspect())["RepoTags"] or ()) == sorted([f"{label}:latest", label + full])
    await docker.images.image(label + full).remove()


async def test_tag_with_a_registry(docker: Docker, image: Image, label: str) -> None:
    await docker.images.image(f"{label}:latest").tag(f"registry.example:5000/{label}:1")
    assert f"registry.example:5000/{label}:1" in ((await image.inspect())["RepoTags"] or ())
    await docker.images.image(f"registry.example:5000/{label}:1").remove()


async def test_tag_refuses_a_malformed_reference(docker: Docker) -> None:
    for reference in MALFORMED:
        with pytest.raises(InvalidReference):
            await docker.images.image("busybox").tag(reference)


async def test_tag_refuses_a_digest(image: Image) -> None:
    with pytest.raises(ValueError, match="digest"):
        await image.tag("app@sha256:" + "0" * 64)


async def test_tag_of_an_unknown_image(docker: Docker, label: str) -> None:
    with pytest.raises(NotFound):
        await docker.images.image(label).tag(f"{label}-b")


async def test_remove_a_name_then_the_image(docker: Docker, image: Image, label: str) -> None:
    await image.tag(f"{label}-b")
    untagged = await docker.images.image(f"{label}-b").remove()
    assert untagged == [{"Untagged": f"{label}-b:latest"}]
    gone = await docker.images.image(label).remove()
    assert gone[0] == {"Untagged": f"{label}:latest"}
    assert {"Deleted": image.id} in gone
    with pytest.raises(NotFound):
        await image.inspect()


async def test_remove_by_id_takes_force_if_there_are_several_names(image: Image, label: str) -> None:
    await image.tag(f"{label}/b")
    with pytest.raises(Conflict):
        await image.remove()
    assert {"Deleted": image.id} in await image.remove(force=True)


async def test_remove_of_an_image_in_use(docker: Docker, label: str) -> None:
    await docker.images.image("busybox").tag(label)
    container = await docker.containers.create("busybox", ["true"])
    with pytest.raises(Conflict):
        await (await docker.images.get("busybox")).remove()
    await docker.images.image(label).remove()
    await container.remove()


async def test_remove_of_an_unknown_image(docker: Docker, label: str) -> None:
    with pytest.raises(NotFound):
        await docker.images.image(label).remove()


async def test_remove_leaves_the_parents_if_asked(docker: Docker, label: str) -> None:
    text = f"FROM busybox\nLABEL a={label}\nLABEL b={label}"
    built = await docker.images.build(dockerfile_text=text, tags=[label])
    parent = (await built.inspect())["Parent"]
    assert parent
    await built.remove(prune=False)
    assert (await docker.images.get(parent)).id == parent
    await docker.images.image(parent).remove(force=True)


# -- root filesystems


async def test_import_bytes(docker: Docker, label: str) -> None:
    steps: list[Progress] = []
    image = await docker.images.import_(tar_of({"a": "A"}), repository=f"{label}:1", progress=steps.append)
    assert image.name == f"{label}:1"
    assert steps[-1].status == image.id
    assert (await image.inspect())["RepoTags"] == [f"{label}:1"]
    await image.remove()


async def test_import_a_stream(docker: Docker, label: str) -> None:
    data = tar_of({"large": bytes(range(256)) * 4096, "small": "x"})
    image = await docker.images.import_(Pieces(*cut(data)), repository=label)
    container = await docker.containers.create(label, ["x"])
    archive = await docker.request("GET", f"/containers/{container.id}/export")
    with tarfile.open(fileobj=io.BytesIO(archive.body)) as tar:
        member = tar.extractfile("large")
        assert member is not None
        assert member.read() == bytes(range(256)) * 4096
    await container.remove()
    await image.remove()


async def test_import_of_what_is_no_tar(docker: Docker, label: str) -> None:
    with pytest.raises((LoadFailed, APIError)):
        await docker.images.import_(b"this is no tar" * 100, repository=label)
    assert not await docker.images.list(filters={"reference": label})


async def test_import_refuses_a_malformed_name(docker: Docker) -> None:
    for name in MALFORMED:
        with pytest.raises(InvalidReference):
            await docker.images.import_(tar_of({}), repository=name)


async def test_an_error_of_the_stream_that_is_imported_comes_out_unchanged(docker: Docker, label: str) -> None:
    class Broken(Pieces):
        async def __anext__(self) -> bytes:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        await docker.images.import_(Broken(), repository=label)
    assert not await docker.images.list(filters={"reference": label})


async def test_every_refusal_is_a_docker_error(docker: Docker) -> None:
    with pytest.raises(DockerError):
        await docker.images.get("no-such-image")
