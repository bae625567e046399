from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from anydocker import (
    APIError,
    BuildEvent,
    BuildFailed,
    ContextError,
    Credentials,
    Docker,
    InvalidReference,
    NotFound,
)
from tests.helpers import Pieces, cut, tar_of
from tests.live.helpers import CLI, shown

pytestmark = [pytest.mark.anyio, pytest.mark.live]

# -- from where


async def test_from_text(docker: Docker, tag: str, cli: CLI) -> None:
    image = await docker.images.build(dockerfile_text=f"FROM busybox\nRUN echo {tag} > /made", tags=[tag])
    assert (image.name, image.id) == (tag, await cli("image", "inspect", "--format", "{{.Id}}", tag))
    assert image.log is not None
    assert "Step 2/2 : RUN echo" in image.log
    assert "Successfully built" in image.log
    assert await shown(docker, tag, "cat", "/made") == f"{tag}\n"


async def test_from_a_directory(docker: Docker, tag: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "kept").write_text("kept")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "large").write_bytes(bytes(300_000))
    (tmp_path / ".dockerignore").write_text("# none of these\nsecret\n**/*.tmp\n")
    (tmp_path / "sub" / "x.tmp").write_text("x")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY . /context/\n")
    await docker.images.build(tmp_path, tags=[tag])
    found = await shown(docker, tag, "sh", "-c", "cd /context; find . -type f | sort; cat sub/kept; wc -c < large")
    assert found == "./.dockerignore\n./Dockerfile\n./large\n./sub/kept\nkept300000\n"


async def test_from_a_directory_named_by_a_str(docker: Docker, tag: str, tmp_path: Path) -> None:
    (tmp_path / "other.dockerfile").write_text("FROM busybox\nCOPY a /a\n")
    (tmp_path / "a").write_text("A")
    await docker.images.build(str(tmp_path), dockerfile="other.dockerfile", tags=[tag])
    assert await shown(docker, tag, "cat", "/a") == "A"


async def test_from_a_directory_with_text(docker: Docker, tag: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("A")
    await docker.images.build(tmp_path, dockerfile_text="FROM busybox\nCOPY . /c/", tags=[tag])
    assert await shown(docker, tag, "find", "/c", "-type", "f") == "/c/a\n"


async def test_a_dockerfile_outside_of_the_directory(docker: Docker, tag: str, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "a").write_text("A")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY . /c/\n")
    await docker.images.build(context, dockerfile=tmp_path / "Dockerfile", tags=[tag])
    assert await shown(docker, tag, "find", "/c", "-type", "f") == "/c/a\n"


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
async def test_from_a_tar(docker: Docker, tag: str, compress: Callable[[bytes], bytes]) -> None:
    data = compress(tar_of({"Dockerfile": "FROM busybox\nCOPY a /a", "a": "A" * 5000}))
    await docker.images.build(data, tags=[tag])
    assert await shown(docker, tag, "cat", "/a") == "A" * 5000


async def test_from_a_stream(docker: Docker, tag: str) -> None:
    data = tar_of({"docker/file": "FROM busybox\nCOPY a /a", "a": "A" * 50_000})
    await docker.images.build(Pieces(*cut(data)), dockerfile="docker/file", tags=[tag])
    assert await shown(docker, tag, "cat", "/a") == "A" * 50_000


# -- options


async def test_target(docker: Docker, tag: str) -> None:
    text = "FROM busybox AS first\nRUN echo 1 > /n\nFROM busybox AS second\nRUN echo 2 > /n\n"
    await docker.images.build(dockerfile_text=text, target="first", tags=[tag])
    assert await shown(docker, tag, "cat", "/n") == "1\n"


async def test_buildargs_and_labels(docker: Docker, tag: str) -> None:
    text = 'FROM busybox\nARG WHO=nobody\nARG UNSET=default\nRUN echo "$WHO/$UNSET" > /who\n'
    image = await docker.images.build(
        dockerfile_text=text, buildargs={"WHO": "ä b"}, labels={"one": "1 é", "two": ""}, tags=[tag]
    )
    assert await shown(docker, tag, "cat", "/who") == "ä b/default\n"
    assert (await image.inspect())["Config"]["Labels"] == {"one": "1 é", "two": ""}


async def test_several_tags(docker: Docker, tag: str) -> None:
    image = await docker.images.build(dockerfile_text=f"FROM busybox\nLABEL a={tag}", tags=[tag, f"{tag}-b:1.0"])
    assert sorted((await image.inspect())["RepoTags"] or ()) == [f"{tag}-b:1.0", f"{tag}:latest"]


async def test_no_tag(docker: Docker, tag: str) -> None:
    image = await docker.images.build(dockerfile_text=f"FROM busybox\nLABEL a={tag}")
    assert image.name is None
    document = await image.inspect()
    assert document["RepoTags"] == []
    assert (document["Config"]["Labels"] or {})["a"] == tag
    await image.remove()


async def test_the_cache(docker: Docker, tag: str) -> None:
    text = f"FROM busybox\nRUN head -c 8 /dev/urandom | md5sum > /{tag}\n"
    first = await docker.images.build(dockerfile_text=text, tags=[tag])
    again = await docker.images.build(dockerfile_text=text)
    anew = await docker.images.build(dockerfile_text=text, no_cache=True)
    assert again.id == first.id
    assert anew.id != first.id
    assert "Using cache" in (again.log or "")
    await anew.remove()


async def test_the_network_of_a_step(docker: Docker, tag: str) -> None:
    text = f"FROM busybox\nRUN ls /sys/class/net > /{tag}\n"
    await docker.images.build(dockerfile_text=text, network="none", tags=[tag])
    assert "eth0" not in await shown(docker, tag, "cat", f"/{tag}")


async def test_a_base_image_is_pulled(docker: Docker, tag: str, pullable: str) -> None:
    image = await docker.images.build(dockerfile_text=f"FROM {pullable}\nLABEL a={tag}", tags=[tag])
    assert "Pulling from app" in (image.log or "")
    fresh = await docker.images.build(dockerfile_text=f"FROM {pullable}\nLABEL a={tag}", tags=[tag], pull=True)
    assert "Image is up to date" in (fresh.log or "")
    assert fresh.id == image.id


async def test_credentials_for_a_base_image(docker: Docker, tag: str, pullable: str) -> None:
    registry = pullable.partition("/")[0]
    auth = {registry: Credentials(username="alice", password="s3cret"), "other.example": Credentials(username="b")}
    await docker.images.build(dockerfile_text=f"FROM {pullable}", tags=[tag], auth=auth)
    assert await shown(docker, tag, "cat", "/app") == f"{pullable}\n"


async def test_platform(docker: Docker, tag: str) -> None:
    image = await docker.images.build(
        dockerfile_text=f"FROM busybox\nLABEL a={tag}", platform="linux/amd64", tags=[tag]
    )
    assert (await image.inspect())["Architecture"] == "amd64"


# -- progress


async def test_progress_goes_to_a_function(docker: Docker, tag: str) -> None:
    events: list[BuildEvent] = []
    image = await docker.images.build(
        dockerfile_text=f"FROM busybox\nRUN echo {tag}", tags=[tag], progress=events.append
    )
    assert "".join(event.text for event in events) == image.log
    assert [event.image_id for event in events if event.image_id] == [image.id]
    assert f"{tag}" in [str(event) for event in events]


async def test_progress_goes_to_a_coroutine_function(docker: Docker, tag: str) -> None:
    texts: list[str] = []

    async def show(event: BuildEvent) -> None:
        await docker.ping()
        texts.append(event.text)

    image = await docker.images.build(dockerfile_text=f"FROM busybox\nRUN echo {tag}", progress=show, tags=[tag])
    assert "".join(texts) == image.log


async def test_open_build_gives_the_events(docker: Docker, tag: str) -> None:
    async with docker.images.open_build(dockerfile_text=f"FROM busybox\nRUN echo {tag}", tags=[tag]) as events:
        first = await events.receive()
        assert first.text.startswith("Step 1/2")
        assert first.image_id is None
        rest = [event async for event in events]
    assert events.image_id == (await docker.images.get(tag)).id
    assert events.log == first.text + "".join(event.text for event in rest)


async def test_leaving_the_block_early_kills_the_step(docker: Docker, tag: str) -> None:
    text = f"FROM busybox\nLABEL a={tag}\nRUN sleep 1000"
    async with docker.images.open_build(dockerfile_text=text) as events:
        async for event in events:
            if event.text.startswith(" ---> Running in ") and "Step 3/3" in events.log:
                break
    # The fixture that looks for containers left behind sees that the engine ends the step.
    assert (await docker.ping()).os == "linux"


# -- failures


async def test_a_failing_step(docker: Docker, tag: str) -> None:
    text = f"FROM busybox\nRUN echo about to fail {tag}; echo bad >&2; exit 7\nRUN echo never"
    with pytest.raises(BuildFailed, match="non-zero code: 7") as caught:
        await docker.images.build(dockerfile_text=text, tags=[tag])
    assert caught.value.code == 7
    assert f"about to fail {tag}\n" in caught.value.log
    assert "bad\n" in caught.value.log
    assert "Step 3/3" not in caught.value.log
    assert not await docker.images.list(filters={"reference": tag})


async def test_a_failing_step_in_the_scope_form(docker: Docker, tag: str) -> None:
    texts: list[str] = []
    with pytest.raises(BuildFailed, match="non-zero code: 1") as caught:
        async with docker.images.open_build(dockerfile_text=f"FROM busybox\nRUN echo {tag}; false") as events:
            async for event in events:
                texts.append(event.text)  # noqa: PERF401 - what came before the error counts
    assert "".join(texts) == caught.value.log
    assert f"{tag}\n" in texts


async def test_a_command_that_is_none(docker: Docker) -> None:
    with pytest.raises((BuildFailed, APIError), match="(?i)unknown instruction"):
        await docker.images.build(dockerfile_text="FROM busybox\nBUY milk")


async def test_a_target_that_is_none(docker: Docker) -> None:
    with pytest.raises((BuildFailed, APIError), match="none"):
        await docker.images.build(dockerfile_text="FROM busybox", target="none")


async def test_a_file_that_is_not_in_the_context(docker: Docker) -> None:
    with pytest.raises(BuildFailed, match="nothing"):
        await docker.images.build(dockerfile_text="FROM busybox\nCOPY nothing /")


async def test_a_base_image_that_does_not_exist(docker: Docker, published: str) -> None:
    unknown = published.rpartition(":")[0] + ":none"
    with pytest.raises(BuildFailed, match="unknown|not found"):
        await docker.images.build(dockerfile_text=f"FROM {unknown}")


async def test_a_base_image_from_where_nothing_listens(docker: Docker) -> None:
    with pytest.raises(BuildFailed, match="refused"):
        await docker.images.build(dockerfile_text="FROM 127.0.0.1:1/app")


async def test_a_missing_context(docker: Docker, tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="no-such-directory"):
        await docker.images.build(tmp_path / "no-such-directory")


async def test_a_missing_dockerfile(docker: Docker, tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="Dockerfile"):
        await docker.images.build(tmp_path)
    with pytest.raises(ContextError, match="other"):
        await docker.images.build(tmp_path, dockerfile="other")


async def test_a_context_that_is_a_file(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ContextError, match="not a directory"):
        await docker.images.build(tmp_path / "file")


async def test_a_tar_without_a_dockerfile(docker: Docker) -> None:
    with pytest.raises((BuildFailed, APIError), match="(?i)dockerfile"):
        await docker.images.build(tar_of({"a": "A"}))


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/../../escaped"])
@pytest.mark.parametrize("builder", ["classic", "buildkit"])
async def test_a_member_that_would_escape_stays_in_the_context(
    docker: Docker, tag: str, name: str, builder: Literal["classic", "buildkit"]
) -> None:
    context = tar_of({"Dockerfile": "FROM busybox\nCOPY . /c/\n", name: "x"})
    await docker.images.build(context, tags=[tag], builder=builder)
    assert "/c/escaped\n" in await shown(docker, tag, "find", "/c")


async def test_what_is_no_tar(docker: Docker) -> None:
    with pytest.raises((BuildFailed, APIError)):
        await docker.images.build(b"this is no tar" * 100)


async def test_arguments_that_do_not_go_together(docker: Docker) -> None:
    with pytest.raises(TypeError, match="nothing to build"):
        await docker.images.build()
    with pytest.raises(TypeError, match="exclude each other"):
        await docker.images.build(".", dockerfile="a", dockerfile_text="FROM busybox")
    with pytest.raises(TypeError, match="tags"):
        await docker.images.build(dockerfile_text="FROM busybox", tags="a")
    with pytest.raises(TypeError, match="source"):
        await docker.images.build(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_malformed_tag(docker: Docker) -> None:
    for tag in ("", "UPPER", "a b", "../a", "a:b:c"):
        with pytest.raises(InvalidReference):
            await docker.images.build(dockerfile_text="FROM busybox", tags=["fine", tag])
    with pytest.raises(NotFound):
        await docker.images.get("fine")


async def test_an_error_of_the_progress_callback_ends_the_build(docker: Docker, tag: str) -> None:
    def fail(event: BuildEvent) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        await docker.images.build(
            dockerfile_text=f"FROM busybox\nRUN sleep 1000; echo {tag}", tags=[tag], progress=fail
        )
    assert not await docker.images.list(filters={"reference": tag})
