"""Build a directory, and run what came of it: python build_directory.py [DIRECTORY]"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

import anydocker

FILES = {
    "Dockerfile": 'FROM busybox\nCOPY . /srv\nCMD ["find", "/srv", "-type", "f"]\n',
    ".dockerignore": "Dockerfile\n.dockerignore\n*.log\n",
    "index.html": "<h1>It works</h1>\n",
    "debug.log": "this file stays here\n",
}


def show(event: anydocker.BuildEvent) -> None:
    if event.text.strip():
        print(event)


async def main(directory: str) -> None:
    async with anydocker.connect() as d:
        try:
            image = await d.images.build(directory, tags=["anydocker-example:built"], progress=show)
        except anydocker.BuildFailed as exc:
            sys.exit(f"the build failed: {exc}\n{exc.log}")
        done = await d.containers.run(image.id)
        print(done.stdout.decode(), end="")
        await image.remove(force=True)


if __name__ == "__main__":
    with TemporaryDirectory() as example:
        for name, text in FILES.items():
            Path(example, name).write_text(text)
        anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else example)
