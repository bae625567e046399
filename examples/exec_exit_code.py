"""Execute commands in a running container, and look at how they end: here on asyncio's own run()."""

from __future__ import annotations

import asyncio

import anydocker


async def main() -> None:
    async with anydocker.connect() as d, d.containers.open_run("busybox", ["sleep", "600"]) as container:
        done = await container.exec(["cat"], input=b"hello\n", user="nobody")
        print(f"stdout {done.stdout!r}, exit code {done.exit_code}")

        try:
            await container.exec(["ls", "/nowhere"])
        except anydocker.ExecFailed as exc:
            print(f"ExecFailed: {exc}")

        # The scope form: the command as a live stream. A command without a terminal has both streams apart.
        async with container.open_exec(["sh", "-c", "echo out; echo err >&2; exit 7"]) as command:
            async for line in command.lines():
                print(f"{line.stream}: {line.text}")
            print(f"exit code {await command.wait()}")


if __name__ == "__main__":
    asyncio.run(main())
