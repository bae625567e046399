"""Pull an image and show each step: python pull_with_progress.py [IMAGE]"""

from __future__ import annotations

import sys

import anyio

import anydocker


async def main(reference: str) -> None:
    async with anydocker.connect() as d:
        try:
            image = await d.images.pull(reference, progress=print)
        except (anydocker.NotFound, anydocker.PullFailed) as exc:
            sys.exit(f"{reference} could not be pulled: {exc}")
        print(f"{image.name} is {image.id}")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else "busybox")
