"""TLS over a socket, with anyio's TLS at the other end."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from anyio import CancelScope, create_task_group, fail_after, move_on_after, wait_all_tasks_blocked
from anyio.abc import SocketStream
from anyio.streams.tls import TLSStream as Peer

from anydocker._transport.sockets import connect_tcp
from anydocker._transport.tls import TLSStream

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def connected(directory: Path) -> AsyncGenerator[tuple[TLSStream, Peer], None]:
    """Both ends of a connection, after the handshake."""
    authority = trustme.CA()
    certificate = directory / "server.pem"
    certificate.write_bytes(authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    ours = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(certificate)
    with fail_after(20), socket.create_server(("127.0.0.1", 0)) as listener:
        async with await connect_tcp(*listener.getsockname()) as stream:
            client = TLSStream(stream, ours, "127.0.0.1")
            async with await SocketStream.from_socket(listener.accept()[0]) as accepted, create_task_group() as tg:
                tg.start_soon(client.handshake)
                yield client, await Peer.wrap(accepted, server_side=True, ssl_context=theirs, standard_compatible=False)


async def test_what_a_cancelled_send_leaves_goes_first(tmp_path: Path) -> None:
    # More than both sockets hold.
    data = os.urandom(20_000_000)
    async with connected(tmp_path) as (client, peer):
        with move_on_after(0.05) as scope:
            await client.send(data)
        assert scope.cancelled_caught
        received = bytearray()
        async with create_task_group() as tg:
            tg.start_soon(client.send, b"more")
            while len(received) < len(data) + 4:
                received += await peer.receive()
        assert received == data + b"more"


async def test_who_reads_does_not_wait_for_who_sends(tmp_path: Path) -> None:
    data = os.urandom(20_000_000)
    async with connected(tmp_path) as (client, peer), create_task_group() as tg:
        tg.start_soon(client.send, data)
        await wait_all_tasks_blocked()
        await peer.send(b"output")
        assert await client.receive() == b"output"
        tg.cancel_scope.cancel()


async def test_who_reads_does_not_send_what_was_cancelled(tmp_path: Path) -> None:
    async with connected(tmp_path) as (client, peer):
        with move_on_after(0.05) as scope:
            await client.send(os.urandom(20_000_000))
        assert scope.cancelled_caught
        await peer.send(b"output")
        assert await client.receive() == b"output"


async def test_nothing_is_sent_in_a_cancelled_task(tmp_path: Path) -> None:
    async with connected(tmp_path) as (client, peer):
        with CancelScope() as scope:
            scope.cancel()
            await client.send(b"never")
        assert scope.cancelled_caught
        await client.send(b"on")
        assert await peer.receive() == b"on"
