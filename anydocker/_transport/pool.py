"""
Connections to one engine: a bounded pool for calls, one connection of its own for every stream.

A call takes the connection used last, so that few stay warm and the others show their age. It comes back only
after a complete exchange. There is no reaper: an idle connection that has become readable has ended, or carries
something nobody asked for, and is dropped when its turn comes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import httpcore
from anyio import ClosedResourceError
from anyio.lowlevel import checkpoint

from anydocker._endpoint import Endpoint
from anydocker._transport.exchange import Exchange
from anydocker._transport.messages import Request, Response
from anydocker._transport.network import Backend, close_now, dial
from anydocker.errors import TruncatedStream

__all__ = ("MAX_ANSWER", "Transport")

# Calls at a time, and so connections kept. An engine serves a call in a millisecond or so.
_MAX_CALLS: Final = 32
# Bytes of an answer that is taken whole: a listing of 100,000 containers.
MAX_ANSWER: Final = 128 * 1024 * 1024
# Calls that are sent again when a kept connection turns out to have ended: those that change nothing (Go's rule).
_REPEATABLE: Final = frozenset({"GET", "HEAD"})


class Transport:
    """All connections of a client."""

    def __init__(self, endpoint: Endpoint, backend: httpcore.AsyncNetworkBackend | None = None) -> None:
        self.endpoint = endpoint
        self._backend = Backend() if backend is None else backend
        self._idle: list[httpcore.AsyncNetworkStream] = []
        self._open: set[Exchange] = set()
        self._calls = anyio.Semaphore(_MAX_CALLS, fast_acquire=True)
        self._closed = False

    @property
    def idle_connections(self) -> int:
        """Connections kept for the next calls."""
        return len(self._idle)

    @property
    def open_streams(self) -> int:
        """Connections that streams hold."""
        return len(self._open)

    async def call(self, request: Request) -> Response:
        """
        Exchange a request for its whole answer, on a pooled connection.

        A cancelled call gives its connection up. What is sent again, on a connection of its own, is a call that
        changes nothing and whose kept connection ended before a byte of the answer came.
        """
        async with self._calls:
            kept = await self._take_idle()
            exchange = Exchange(kept or await self._dial(), request, self.endpoint.authority)
            try:
                return await self._complete(exchange)
            except TruncatedStream:
                if kept is None or exchange.answered or request.method not in _REPEATABLE:
                    raise
            return await self._complete(Exchange(await self._dial(), request, self.endpoint.authority))

    async def _complete(self, exchange: Exchange) -> Response:
        try:
            await exchange.send()
            await exchange.receive_head()
            answer = Response(exchange.status, exchange.headers, await exchange.read(MAX_ANSWER))
        except BaseException:
            await exchange.close()
            raise
        if exchange.reusable and not self._closed:
            self._idle.append(exchange.stream)
        else:
            await exchange.close()
        return answer

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Exchange, None]:
        """Send a request on a connection of its own, which the end of the block closes at once."""
        exchange = Exchange(await self._dial(), request, self.endpoint.authority)
        self._open.add(exchange)
        try:
            await exchange.send()
            yield exchange
        finally:
            self._open.discard(exchange)
            await exchange.close()

    async def aclose(self) -> None:
        """Close every connection at once. What uses one meanwhile gets ClosedResourceError."""
        self._closed = True
        for exchange in tuple(self._open):
            await exchange.close()
        while self._idle:
            await close_now(self._idle.pop())
        await checkpoint()

    async def _take_idle(self) -> httpcore.AsyncNetworkStream | None:
        while self._idle:
            stream = self._idle.pop()
            if not stream.get_extra_info("is_readable"):
                return stream
            await close_now(stream)
        return None

    async def _dial(self) -> httpcore.AsyncNetworkStream:
        if self._closed:
            raise ClosedResourceError
        return await dial(self.endpoint, self._backend)
