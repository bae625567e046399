"""
Forwards connections, byte for byte and each direction on its own: ``python relay.py LISTEN CONNECT``.

An address is the path of a Unix socket, or ``HOST:PORT``. Two of these join a port inside a private engine's network
namespace with one outside, since a Unix socket is seen from both. Prints the port it listens on, 0 for a Unix socket.
"""

from __future__ import annotations

import asyncio
import sys


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("/"):
        return await asyncio.open_unix_connection(address)
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def main(listen: str, target: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await connect(target)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        far_writer.close()
        writer.close()

    if listen.startswith("/"):
        server = await asyncio.start_unix_server(serve, listen)
        print(0, flush=True)
    else:
        host, _, port = listen.rpartition(":")
        server = await asyncio.start_server(serve, host, int(port))
        print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
