"""Watch what a container uses, for a while: the block ends the stream, the deadline ends the block."""

from __future__ import annotations

import anyio

import anydocker

BUSY = "while true; do head -c 10000000 /dev/zero | md5sum > /dev/null; sleep 0.1; done"


async def main() -> None:
    async with (
        anydocker.connect() as d,
        d.containers.open_run("busybox", ["sh", "-c", BUSY]) as container,
        container.open_stats() as samples,
    ):
        with anyio.move_on_after(4):
            async for sample in samples:
                memory = f"{sample.memory_used / 1024:.0f} KiB"
                print(f"cpu {sample.cpu_percent:5.1f} %, memory {memory}, {sample.pids} processes")


if __name__ == "__main__":
    anyio.run(main)
