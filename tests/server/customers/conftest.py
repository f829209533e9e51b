from collections.abc import AsyncIterator

import httpx2
import pytest

from server.runtime.database import Database
from tests.support.management import managing
from tests.support.world import World


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
async def manager(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    """The API of the world's server, as its manager speaks to it."""
    async with managing(world) as office:
        yield office.client
