"""2: every public operation, cancelled at every step, leaves nothing behind, and the client works on."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

import attrs
import pytest
from anyio import create_task_group, fail_after, get_running_tasks

import anydocker
from anydocker import Docker
from anydocker.testing import ScriptedEngine, scripted_engine, sweep_cancellations
from anydocker.testing._sweep import Stepped
from tests.promises.operations import MADE, MAKING, OPERATIONS, ROUTES, async_methods
from tests.promises.points import Points
from tests.recorded import sweep

pytestmark = pytest.mark.anyio

API_VERSION = "1.55"


def test_every_operation_has_an_entry() -> None:
    assert async_methods() == OPERATIONS.keys()


@attrs.frozen
class Inspector:
    """Looks for what a run of an operation has left."""

    name: str
    engine: ScriptedEngine
    docker: Docker
    tasks: set[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "tasks", own_tasks())

    async def check(self, result: object) -> None:
        with fail_after(20):
            await self.engine.wait_connections(self.docker.statistics().idle_connections)
            assert self.docker.statistics().open_streams == 0
            assert own_tasks() == self.tasks
            self.check_made(returned=result is not None)
            await self.check_connections()
        self.engine.requests.clear()

    def check_made(self, *, returned: bool) -> None:
        """What the engine made is with the caller, or gone."""
        asked = [f"{request.method} {request.path}" for request in self.engine.requests]
        for made in MADE:
            if made.create in asked:
                kept = returned and self.name in made.returned_by
                # asyncio's own cancellation reaches through a shield, and a removal that it stops is asked for again.
                assert (asked.count(made.remove) > 0) != kept, asked

    async def check_connections(self) -> None:
        """A call on each idle connection gets its own answer, not what is left of an earlier one."""
        async with create_task_group() as group:
            for number in range(max(1, self.docker.statistics().idle_connections)):
                group.start_soon(self.echo, f"/echo/{number}")

    async def echo(self, path: str) -> None:
        assert (await self.docker.request("GET", path)).json() == path


def own_tasks() -> set[int]:
    """The tasks there are, but for those that the engine serves its connections in."""
    return {task.id for task in get_running_tasks() if "ScriptedEngine.serve" not in (task.name or "")}


def stride(name: str, points: Points) -> int:
    return 1 if name in MAKING else points.stride(5)


@sweep
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.promise(2, "an operation cancelled at any step leaves nothing")
async def test_an_operation_cancelled_at_any_step_leaves_nothing(name: str, tmp_path: Path, points: Points) -> None:
    async with scripted_engine(ROUTES, api_version=API_VERSION) as engine, anydocker.connect(engine.host) as d:
        inspector = Inspector(name, engine, d)

        async def operation() -> object:
            with fail_after(20):
                return await OPERATIONS[name](d, tmp_path) or name

        points.add(await sweep_cancellations(operation, check=inspector.check, every=stride(name, points)))
    assert points.count != [0]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.promise(2, "an operation cancelled at any step by asyncio itself leaves nothing")
async def test_an_operation_cancelled_by_asyncio_itself_leaves_nothing(
    name: str, tmp_path: Path, points: Points
) -> None:
    async with scripted_engine(ROUTES, api_version=API_VERSION) as engine, anydocker.connect(engine.host) as d:
        inspector = Inspector(name, engine, d)

        async def run(step: int) -> tuple[object, bool]:
            task = asyncio.current_task()
            assert task is not None
            steps = Stepped(OPERATIONS[name](d, tmp_path), task.cancel, step)
            try:
                return await steps or name, steps.acted
            except asyncio.CancelledError:
                return None, steps.acted

        for step in count(1, stride(name, points)):
            with fail_after(20):
                result, cancelled = await asyncio.create_task(run(step))
            await inspector.check(result)
            if not cancelled:
                break
            points.add()
    assert points.count != [0]


@sweep
@pytest.mark.promise(2, "an operation cancelled at any step leaves nothing")
async def test_entering_and_leaving_a_client_cancelled_at_any_step_leaves_nothing(points: Points) -> None:
    async with scripted_engine(ROUTES) as engine:

        async def operation() -> None:
            async with anydocker.connect(engine.host) as d:
                await d.ping()

        async def check(_: object) -> None:
            with fail_after(20):
                await engine.wait_connections(0)
            assert own_tasks() == before

        before = own_tasks()
        points.add(await sweep_cancellations(operation, check=check))
    assert points.count != [0]
