from collections.abc import AsyncIterator

import httpx2
import pytest

from server.app import create_app
from server.identity import service
from server.runtime.database import Database
from server.settings import Settings
from tests.support.office import bearer
from tests.support.world import World


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
async def manager(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    """The API of the world's server, as its manager speaks to it."""
    async with world.database.write() as session:
        user = await service.user_of_login(session, "manager")
        signed_in = await service.open_session(session, user, ids=world.ids, now_ms=world.clock.now_ms(), session_hours=8_000)
    app = create_app(Settings(jobs=False), clock=world.clock, database=world.database)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://office", headers=bearer(signed_in.token)) as client:
        yield client
