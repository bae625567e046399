"""A container that lasts as long as a block is removed at its end, however long the engine takes to."""

from __future__ import annotations

import attrs
import pytest
from anyio import CancelScope, create_task_group, fail_after, sleep

import anydocker
from anydocker import Docker
from anydocker.testing import Reply, Route, ScriptedEngine, chunked_reply, json_reply, scripted_engine, upgraded_reply

pytestmark = pytest.mark.anyio

PATIENCE = 20.0
LIMIT = 0.2  # seconds that a cancelled call has for its clean-up, here

NO_CONTENT = Reply(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True)
ROUTES: dict[str, Route] = {
    "GET /containers/c1/json": json_reply({"Config": {"Tty": False}, "State": {"Status": "exited"}}),
    "POST /containers/create": json_reply({"Id": "c1"}, 201),
    "POST /containers/c1/attach": upgraded_reply(b"\1\0\0\0\0\0\0\3out"),
    "POST /containers/c1/start": NO_CONTENT,
    "POST /containers/c1/wait": chunked_reply([b'{"StatusCode":0}']),
    "DELETE /containers/c1": attrs.evolve(NO_CONTENT, stall_at=0),
}


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anydocker.resources._created.CLEANUP_SECONDS", LIMIT)


async def run(docker: Docker, failure: Exception | None) -> None:
    async with docker.containers.open_run("busybox"):
        if failure is not None:
            raise failure


async def run_and_note(docker: Docker, failure: Exception | None, ended: list[Exception | None]) -> None:
    try:
        await run(docker, failure)
    except LookupError as exc:
        ended.append(exc)
    else:
        ended.append(None)


def removals(engine: ScriptedEngine) -> int:
    return sum(request.method == "DELETE" for request in engine.requests)


@pytest.mark.parametrize("failure", [None, LookupError("mine")])
async def test_a_busy_engine_has_all_the_time_it_takes(failure: Exception | None) -> None:
    ended: list[Exception | None] = []
    async with scripted_engine(ROUTES) as engine, anydocker.connect(engine.host) as d:
        with fail_after(PATIENCE):
            async with create_task_group() as group:
                group.start_soon(run_and_note, d, failure, ended)
                await engine.wait_stalled()
                await sleep(2 * LIMIT)
                assert ended == []
                engine.resume()
        assert ended == [failure]
        assert removals(engine) == 1


async def test_a_removal_that_is_cancelled_is_begun_again_and_has_a_limit() -> None:
    async with scripted_engine(ROUTES) as engine, anydocker.connect(engine.host) as d:
        scope = CancelScope()

        async def cancel() -> None:
            await engine.wait_stalled()
            scope.cancel()

        with fail_after(PATIENCE):
            async with create_task_group() as group:
                group.start_soon(cancel)
                with scope:
                    await run(d, None)
            assert scope.cancelled_caught
            while removals(engine) < 2:
                await sleep(0.001)
        assert d.statistics().open_streams == 0
