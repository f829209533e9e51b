from collections.abc import AsyncIterator

import pytest

from server.runtime.database import Database
from tests.support.office import Office, open_office


@pytest.fixture
async def office(database: Database) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        yield opened
