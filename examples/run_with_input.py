"""Run a command in a container, give it input, take its output: here on trio's own run()."""

from __future__ import annotations

import trio

import anydocker


async def main() -> None:
    async with anydocker.connect() as d:
        done = await d.containers.run("busybox", ["sort"], input=b"pear\napple\nfig\n")
        print(done.stdout.decode(), end="")

        # A command that fails is an error, unless check=False says that the exit code is looked at.
        try:
            await d.containers.run("busybox", ["sh", "-c", "echo no such luck >&2; exit 4"])
        except anydocker.ContainerFailed as exc:
            print(f"exit code {exc.exit_code}, stderr {exc.stderr!r}")
        done = await d.containers.run("busybox", ["false"], check=False)
        print(f"exit code {done.exit_code}")


if __name__ == "__main__":
    trio.run(main)
