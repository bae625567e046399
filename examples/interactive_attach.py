"""Talk to a container: input and output at once, and output that goes on after the input has ended."""

from __future__ import annotations

import anyio

import anydocker

# bc answers each line; the rest is only said once there is no more input.
SCRIPT = "bc; echo input has ended; sleep 0.2; echo goodbye"


async def main() -> None:
    async with (
        anydocker.connect() as d,
        d.containers.open_run("busybox", ["sh", "-c", SCRIPT], stdin=True) as container,
        container.open_attach(stdin=True) as io,
    ):
        answers = io.lines()
        for question in ["6 * 7", "2 ^ 64"]:
            await io.send(f"{question}\n".encode())
            print(f"{question} = {(await answers.receive()).text}")
        await io.send_eof()
        async for line in answers:
            print(line.text)
        print(f"exit code {await container.wait()}")


if __name__ == "__main__":
    anyio.run(main)
