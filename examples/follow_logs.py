"""Follow the logs of two containers in one task group."""

from __future__ import annotations

import anyio

import anydocker

SCRIPT = "for n in 1 2 3; do echo $0 $n; sleep 0.1; done; echo $0 is done >&2"


async def follow(container: anydocker.Container, name: str) -> None:
    async with container.open_logs(follow=True) as log:
        async for line in log.lines():
            print(f"{name:6} {line.stream}: {line.text}")


async def main() -> None:
    async with (
        anydocker.connect() as d,
        d.containers.open_run("busybox", ["sh", "-c", SCRIPT, "first"]) as first,
        d.containers.open_run("busybox", ["sh", "-c", SCRIPT, "second"]) as second,
        anyio.create_task_group() as tg,
    ):
        # The group ends when both logs have: the log of a container ends with the container.
        tg.start_soon(follow, first, "first")
        tg.start_soon(follow, second, "second")


if __name__ == "__main__":
    anyio.run(main)
