"""Which customers have a claim to a list at an instant (P-10), as SQL. Who is shut out by a nearer list is among them."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from server.customers.models import CustomerModel, SegmentMemberModel, TerritoryModel
from server.pricing.models import CustomerPriceListModel, PriceListAssignmentModel, PriceListModel
from server.pricing.standings import in_force
from sync_protocol.entities.customers import CustomerStatus


def claimants(price_list_id: UUID, at_ms: int) -> sa.Select[UUID]:
    """The ids of customers that may order and have a valid claim to the list, while the list itself is valid."""
    claims = sa.or_(*(CustomerModel.id.in_(each) for each in _claims(price_list_id, at_ms)))
    is_valid = sa.exists().where(PriceListModel.id == price_list_id, in_force(PriceListModel, at_ms))
    return sa.select(CustomerModel.id).where(CustomerModel.status != CustomerStatus.CLOSED, is_valid, claims)


def _claims(price_list_id: UUID, at_ms: int) -> list[sa.Select[Any]]:
    own, assigned, member = CustomerPriceListModel, PriceListAssignmentModel, SegmentMemberModel
    given = sa.select(own.customer_id).where(own.price_list_id == price_list_id, in_force(own, at_ms))
    named = sa.select(CustomerModel.id).where(CustomerModel.price_list_id == price_list_id)
    of_territory = sa.select(CustomerModel.id).join(TerritoryModel, TerritoryModel.id == CustomerModel.territory_id)
    there = sa.or_(assigned.territory_id.is_(None), assigned.territory_id == CustomerModel.territory_id)
    valid = (assigned.price_list_id == price_list_id, in_force(assigned, at_ms))
    everyone = sa.select(CustomerModel.id).join(assigned, there).where(*valid, assigned.segment_id.is_(None))
    of_segment = (
        sa.select(CustomerModel.id)
        .join(member, member.customer_id == CustomerModel.id)
        .join(assigned, sa.and_(there, assigned.segment_id == member.segment_id))
        .where(*valid, in_force(member, at_ms))
    )
    return [given, named, of_territory.where(TerritoryModel.price_list_id == price_list_id), everyone, of_segment]
