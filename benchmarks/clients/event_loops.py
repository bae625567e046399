"""
An event loop with sockets in it and nothing else: what no client on that loop can beat.

A call is a ``send``, a wait and a ``recv``, and for a document the standard library's JSON; of a stream, what comes is
counted in bytes. Nothing is checked, nothing is handed on, nothing can be cancelled.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeAlias

import anyio
import trio

from benchmarks.clients.limits import connect, document_of, end_of, request_of
from benchmarks.job import Job, Unsupported
from benchmarks.recordings import LAST_CHUNK

__all__ = ("BareLoop",)

Receive: TypeAlias = Callable[[], Awaitable[bytes]]

_READ: Final = 64 * 1024


class BareLoop:
    """The adapter."""

    def __init__(self, loop: Literal["asyncio", "trio"]) -> None:
        self._loop = loop

    def perform(self, job: Job) -> None:
        """Do the job; what it reads are no items."""
        match job.action:
            case "ping" | "inspect" | "list":
                anyio.run(self._call, job, backend=self._loop)
            case "fan":
                anyio.run(self._follow, job, backend=self._loop)
            case _:
                raise Unsupported(job.action)

    def canonical(self, action: str, item: Any) -> bytes:
        """There are no items."""
        raise Unsupported(action)

    async def _call(self, job: Job) -> None:
        request = request_of(job.action)
        end = end_of(job.action)
        with connect(job) as sock:
            receive = self._receiver(sock)
            with job.clock:
                for _ in range(job.items):
                    sock.send(request)
                    answer = await receive()
                    while not answer.endswith(end):
                        answer += await receive()
                    if job.action != "ping":
                        document_of(answer)

    async def _follow(self, job: Job) -> None:
        async def follow() -> None:
            with connect(job) as sock:
                receive = self._receiver(sock)
                sock.send(request_of("logs"))
                head = await receive()
                while b"\r\n\r\n" not in head:
                    head += await receive()
                data = head.partition(b"\r\n\r\n")[2] or await receive()
                job.clock.start()
                while not data.endswith(LAST_CHUNK):
                    data = await receive()
                job.clock.stop()

        async with anyio.create_task_group() as tg:
            for _ in range(job.streams):
                tg.start_soon(follow)

    def _receiver(self, sock: socket.socket) -> Receive:
        sock.setblocking(False)
        return _on_trio(sock) if self._loop == "trio" else _on_asyncio(sock)


def _on_trio(sock: socket.socket) -> Receive:
    async def receive() -> bytes:
        await trio.lowlevel.wait_readable(sock)
        return sock.recv(_READ)

    return receive


def _on_asyncio(sock: socket.socket) -> Receive:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[bytes] = loop.create_future()

    def read() -> None:
        if not waiter.done():
            waiter.set_result(sock.recv(_READ))

    async def receive() -> bytes:
        nonlocal waiter
        waiter = loop.create_future()
        return await waiter

    loop.add_reader(sock, read)
    return receive
