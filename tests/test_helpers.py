from __future__ import annotations

import anyio
import pytest

from tests.helpers import within

pytestmark = pytest.mark.anyio


async def test_a_test_that_waits_for_ever_fails() -> None:
    with pytest.raises(TimeoutError):
        await within(0.01, anyio.sleep_forever)()


async def test_every_test_has_a_limit(request: pytest.FixtureRequest) -> None:
    limit = float(request.config.getini("timeout"))
    assert 0 < anyio.current_effective_deadline() - anyio.current_time() < limit
