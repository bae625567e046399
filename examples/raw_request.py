"""Reach any endpoint by its path, with the same errors and the same guarantees as the methods."""

from __future__ import annotations

import tarfile
from io import BytesIO

import anyio

import anydocker


async def main() -> None:
    async with anydocker.connect() as d:
        usage = (await d.request("GET", "/system/df")).json()
        print(f"{len(usage['Images'])} images take {usage['LayersSize']} bytes")

        volume = (await d.request("POST", "/volumes/create", json={"Labels": {"example": "raw"}})).json()
        print(f"a volume: {volume['Driver']}")
        await d.request("DELETE", f"/volumes/{volume['Name']}")

        async with d.containers.open_run("busybox", ["sleep", "600"]) as container:
            archive = BytesIO()
            path = f"/containers/{container.id}/archive"
            async with d.open_request("GET", path, query={"path": "/etc/passwd"}) as body:
                async for piece in body:
                    archive.write(piece)
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                print(f"copied out of the container: {tar.getnames()}")

        try:
            await d.request("GET", "/containers/nobody/json")
        except anydocker.NotFound as exc:
            print(f"NotFound: {exc}")


if __name__ == "__main__":
    anyio.run(main)
