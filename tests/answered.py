"""What the tests of what calls send share: a client whose engine answers every call, and what that was asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import pytest

import anydocker
from anydocker import Docker, UnsupportedByEngine
from anydocker.testing import Request, Route, ScriptedEngine, scripted_engine

__all__ = ("NEWEST", "Call", "Query", "answered", "entered", "needs", "query_of", "refuses", "sends")

Call: TypeAlias = Callable[[Docker], Awaitable[Any]]
Query: TypeAlias = list[tuple[str, str]]

NEWEST: Final = "1.55"


@asynccontextmanager
async def answered(
    usual: Mapping[str, Route], routes: Mapping[str, Route] | None = None, *, api_version: str = NEWEST
) -> AsyncGenerator[tuple[Docker, ScriptedEngine], None]:
    """A client, and its engine, which has not been asked anything yet; ``routes`` come before the usual ones."""
    first = dict(routes or {})
    async with (
        scripted_engine({**first, **usual, **first}, api_version=api_version) as engine,
        anydocker.connect(engine.host) as docker,
    ):
        engine.requests.clear()
        yield docker, engine


def query_of(request: Request) -> Query:
    return parse_qsl(urlsplit(request.target).query, keep_blank_values=True)


async def entered(opened: AbstractAsyncContextManager[Any]) -> None:
    async with opened:
        return


async def sends(usual: Mapping[str, Route], call: Call, target: str, query: Query) -> None:
    """Assert what the first request of a call is: its method and path, its query, the version it is made with."""
    async with answered(usual) as (docker, engine):
        await call(docker)
        request = engine.requests[0]
        assert f"{request.method} {request.path}" == target
        assert query_of(request) == query
        assert request.version == NEWEST


async def refuses(usual: Mapping[str, Route], call: Call, error: type[Exception], message: str) -> None:
    """Assert that a call is an error, and nothing is sent."""
    async with answered(usual) as (docker, engine):
        with pytest.raises(error, match=message):
            await call(docker)
        assert not engine.requests


async def needs(usual: Mapping[str, Route], call: Call, version: str) -> None:
    """Assert that an engine of this version is asked, and one of the version before is not."""
    older = f"1.{int(version.removeprefix('1.')) - 1}"
    async with answered(usual, api_version=older) as (docker, engine):
        with pytest.raises(UnsupportedByEngine, match=version):
            await call(docker)
        assert not engine.requests
    async with answered(usual, api_version=version) as (docker, engine):
        await call(docker)
        assert engine.requests
