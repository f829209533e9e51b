"""Which territories a rep works."""

from uuid import UUID

import sqlalchemy as sa

from server.customers.models import RepTerritoryModel
from server.runtime.database import ReadSession


async def territories_of(session: ReadSession, rep_id: UUID | None) -> frozenset[UUID]:
    """The territories that a rep works now."""
    query = sa.select(RepTerritoryModel.territory_id).where(RepTerritoryModel.rep_id == rep_id)
    return frozenset((await session.execute(query)).scalars())
