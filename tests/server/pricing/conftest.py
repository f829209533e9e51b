from collections.abc import AsyncIterator

import pytest

from tests.support.pricing import PriceOffice, pricing
from tests.support.world import World


@pytest.fixture
async def office(world: World) -> AsyncIterator[PriceOffice]:
    """The routes of prices, as the world's manager speaks to them."""
    async with pricing(world) as opened:
        yield opened
