from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest
from anyio import CancelScope, create_task_group, sleep
from anyio.to_thread import run_sync

from anydocker import Container, Docker
from anydocker.testing import busybox_rootfs

pytestmark = [pytest.mark.anyio, pytest.mark.live]

# A shell, a child of it, a grandchild that has a session of its own, and one whose parent has ended.
FAMILY = "sleep 1001 & setsid sh -c 'sleep 1002 & wait' & (sleep 1003 &); sleep 1004"
MEMBERS = {"1001", "1002", "1003", "1004"}

on_asyncio = pytest.mark.parametrize("anyio_backend", [("asyncio", {}), ("asyncio", {"use_uvloop": True})])


@pytest.fixture
async def container(docker: Docker) -> AsyncGenerator[Container, None]:
    async with docker.containers.open_run("busybox", ["sleep", "86400"], network="none") as container:
        yield container


async def running(container: Container) -> set[str]:
    """The members of the family that run, by the number they sleep for."""
    processes = (await container.top("-eo pid,args"))["Processes"] or []
    return {words for process in processes for words in process[1].split()} & MEMBERS


async def until_running(container: Container, members: set[str] = MEMBERS) -> None:
    while await running(container) != members:
        await sleep(0.01)


async def run_family(container: Container) -> None:
    await container.exec(["sh", "-c", FAMILY])


async def open_family(container: Container) -> None:
    async with container.open_exec(["sh", "-c", FAMILY]) as process:
        await process.receive()


async def open_family_on_a_terminal(container: Container) -> None:
    async with container.open_exec(["sh", "-c", FAMILY], tty=True) as process:
        await process.receive()


every_form = pytest.mark.parametrize("form", [run_family, open_family, open_family_on_a_terminal])
Form = Callable[[Container], Coroutine[Any, Any, None]]


@every_form
async def test_a_cancelled_exec_is_killed_with_its_children(container: Container, form: Form) -> None:
    async with create_task_group() as group:
        group.start_soon(form, container)
        await until_running(container)
        group.cancel_scope.cancel()
    assert await running(container) == set()
    assert (await container.inspect())["State"]["Running"] is True


@on_asyncio
@every_form
async def test_by_a_cancellation_of_asyncios_own(container: Container, form: Form) -> None:
    task = asyncio.ensure_future(form(container))
    await until_running(container)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await running(container) == set()


@on_asyncio
async def test_by_asyncios_timeout(container: Container) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            async with create_task_group() as group:

                async def expire() -> None:
                    await until_running(container)
                    limit.reschedule(0)

                group.start_soon(expire)
                await run_family(container)
    assert await running(container) == set()


async def test_an_error_in_the_block_kills_it_too(container: Container) -> None:
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught:
        async with container.open_exec(["sh", "-c", FAMILY]):
            await until_running(container)
            raise error
    assert caught.value is error
    assert await running(container) == set()


async def test_the_end_of_the_block_does_not(container: Container) -> None:
    async with container.open_exec(["sh", "-c", FAMILY]):
        await until_running(container)
    assert await running(container) == MEMBERS


async def test_it_is_left_alone_if_asked(container: Container) -> None:
    async with create_task_group() as group:

        async def execute() -> None:
            await container.exec(["sh", "-c", FAMILY], on_cancel="leave")

        group.start_soon(execute)
        await until_running(container)
        group.cancel_scope.cancel()
    assert await running(container) == MEMBERS


async def test_nobody_elses_command_is_killed(container: Container) -> None:
    async with container.open_exec(["sleep", "1001"]), container.open_exec(["sleep", "1002"], user="1"):
        async with create_task_group() as group:

            async def execute() -> None:
                await container.exec(["sleep", "1003"], user="2")

            group.start_soon(execute)
            await until_running(container, {"1001", "1002", "1003"})
            group.cancel_scope.cancel()
        assert await running(container) == {"1001", "1002"}


async def test_in_a_container_of_another_user(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["sleep", "86400"], user="3", network="none") as container:
        async with create_task_group() as group:
            group.start_soon(run_family, container)
            await until_running(container)
            group.cancel_scope.cancel()
        assert await running(container) == set()


async def test_cancelled_at_once(container: Container) -> None:
    for delay in (0, 0.001, 0.005, 0.02):
        with CancelScope() as scope:
            async with create_task_group() as group:
                group.start_soon(run_family, container)
                await sleep(delay)
                scope.cancel()
        assert await running(container) == set()


async def test_in_a_container_that_is_removed_meanwhile(docker: Docker) -> None:
    async with docker.containers.open_run("busybox", ["sleep", "86400"], network="none") as container:
        async with container.open_wait() as pending, create_task_group() as group:

            async def execute() -> None:
                await container.exec(["sh", "-c", FAMILY], check=False)

            group.start_soon(execute)
            await until_running(container)
            await container.kill()
            group.cancel_scope.cancel()
            with CancelScope(shield=True):
                assert await pending.exit_code() == 137
        assert (await container.inspect())["State"]["Running"] is False


# -- an image without a shell


def _program_alone() -> bytes:
    """The root filesystem of an image with nothing but one program in it."""
    with tarfile.open(fileobj=io.BytesIO(busybox_rootfs())) as rootfs:
        program = rootfs.extractfile("bin/busybox")
        assert program is not None
        data = program.read()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("busybox-alone")
        member.size, member.mode = len(data), 0o755
        tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


async def test_where_there_is_no_shell_the_command_goes_on(docker: Docker, label: str) -> None:
    image = await docker.images.import_(await run_sync(_program_alone), repository=label)
    command = ["/busybox-alone", "sleep"]
    async with docker.containers.open_run(label, [*command, "86400"], network="none") as container:
        async with create_task_group() as group:
            group.start_soon(container.exec, [*command, "1001"])
            await until_running(container, {"1001"})
            group.cancel_scope.cancel()
        # As the docstring of exec says.
        assert await running(container) == {"1001"}
        assert (await container.exec(["/busybox-alone", "echo", "hi"])).stdout == b"hi\n"
    await image.remove(force=True)
