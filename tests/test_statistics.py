"""The connections a client says it holds."""

from __future__ import annotations

import pytest

import anydocker
from anydocker import Statistics
from anydocker.testing import scripted_engine

pytestmark = pytest.mark.anyio


async def test_calls_keep_a_connection_and_a_stream_holds_one_while_it_is_open() -> None:
    async with scripted_engine() as engine:
        async with anydocker.connect(engine.host) as d:
            assert d.statistics() == Statistics(idle_connections=1, open_streams=0)
            async with d.open_request("GET", "/_ping"):
                assert d.statistics() == Statistics(idle_connections=1, open_streams=1)
            assert d.statistics() == Statistics(idle_connections=1, open_streams=0)
        assert d.statistics() == Statistics(idle_connections=0, open_streams=0)


def test_a_client_holds_nothing_before_its_block() -> None:
    assert anydocker.connect("unix:///nowhere").statistics() == Statistics(idle_connections=0, open_streams=0)
