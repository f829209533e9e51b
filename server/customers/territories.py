"""Which territories a rep works, and whose business a customer is."""

from uuid import UUID

import sqlalchemy as sa

from server.customers.models import RepTerritoryModel
from server.identity.principals import OFFICE, Principal, Role
from server.runtime.database import ReadSession
from sync_protocol.entities.customers import Customer


async def territories_of(session: ReadSession, rep_id: UUID | None) -> frozenset[UUID]:
    """The territories that a rep works now."""
    query = sa.select(RepTerritoryModel.territory_id).where(RepTerritoryModel.rep_id == rep_id)
    return frozenset((await session.execute(query)).scalars())


async def is_in_scope(session: ReadSession, principal: Principal, customer: Customer) -> bool:
    """Whether a customer is the caller's: the office's all are, a buyer's their company, a rep's those of its territories."""
    if principal.role in OFFICE:
        return True
    if principal.role is Role.BUYER:
        return customer.id == principal.customer_id
    return customer.territory_id in await territories_of(session, principal.rep_id)
