"""What a session of the store may do."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from server.identity.models import NumberPrefixModel
from server.runtime.database import Database

RAISE = sa.update(NumberPrefixModel).values(last=NumberPrefixModel.last + 1)


async def test_a_read_session_cannot_write_and_its_connection_can_again_afterwards(database: Database) -> None:
    for _ in range(2):
        async with database.read() as session:
            with pytest.raises(DBAPIError, match=r"read-?only"):
                await session.execute(RAISE)
        async with database.write() as session:
            await session.execute(RAISE)
    async with database.read() as session:
        assert (await session.execute(sa.select(NumberPrefixModel.last))).scalar_one() == 2
