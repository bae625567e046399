"""Follow what happens in the engine while a container runs."""

from __future__ import annotations

import anyio

import anydocker

LABELS = {"example": "events"}


async def main() -> None:
    async with (
        anydocker.connect() as d,
        d.open_events(filters={"type": "container", "label": LABELS}) as events,
        anyio.create_task_group() as tg,
    ):
        tg.start_soon(run, d)
        async for event in events:
            print(f"{event.action:8} {event.attributes['name']} {event.attributes.get('exitCode', '')}".rstrip())
            if event.action == "destroy":
                break


async def run(d: anydocker.Docker) -> None:
    await d.containers.run("busybox", ["true"], name="anydocker-example-events", labels=LABELS)


if __name__ == "__main__":
    anyio.run(main)
