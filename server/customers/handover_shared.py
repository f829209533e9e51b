"""What a handover takes from a rep besides accounts: price lists and stock that came with them, or with the territory."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

import sqlalchemy as sa

from server.customers.handover import HandoverKind
from server.customers.models import CustomerModel, HandoverLossModel, HandoverModel, RepTerritoryModel, TerritoryModel
from server.runtime.database import ReadSession


async def shared_losses(session: ReadSession, handover: HandoverModel) -> dict[UUID, list[str]]:
    """By rep, the buckets that the handover took and that nothing else has brought since, in their order.

    They follow from the accounts and territories as they are now; a list that a customer had before is not remembered.
    """
    taken = await _came_with_accounts(session, handover.id)
    if handover.kind == HandoverKind.REP and handover.from_rep_id is not None:
        came = _buckets(await session.execute(_of_territories().where(TerritoryModel.id == handover.territory_id)))
        taken[handover.from_rep_id] |= came
    held = await _held_now(session, taken)
    return {rep_id: sorted(buckets - held[rep_id]) for rep_id, buckets in taken.items()}


async def _came_with_accounts(session: ReadSession, handover_id: UUID) -> defaultdict[UUID, set[str]]:
    query = (
        sa.select(HandoverLossModel.rep_id, CustomerModel.price_list_id, sa.null())
        .join(CustomerModel, CustomerModel.id == HandoverLossModel.customer_id)
        .where(HandoverLossModel.handover_id == handover_id, CustomerModel.price_list_id.is_not(None))
    )
    came: defaultdict[UUID, set[str]] = defaultdict(set)
    for rep_id, *pair in await session.execute(query.distinct()):
        came[rep_id] |= _buckets([pair])
    return came


async def _held_now(session: ReadSession, rep_ids: Iterable[UUID]) -> defaultdict[UUID, set[str]]:
    """The lists and the stock that each rep's territories and their customers bring now."""
    held: defaultdict[UUID, set[str]] = defaultdict(set)
    for rep_id in rep_ids:
        works = sa.select(RepTerritoryModel.territory_id).where(RepTerritoryModel.rep_id == rep_id)
        held[rep_id] |= _buckets(await session.execute(_of_territories().where(TerritoryModel.id.in_(works))))
        theirs = sa.select(CustomerModel.price_list_id, sa.null()).where(CustomerModel.territory_id.in_(works))
        held[rep_id] |= _buckets(await session.execute(theirs.distinct()))
    return held


def _of_territories() -> sa.Select[UUID | None, UUID | None]:
    return sa.select(TerritoryModel.price_list_id, TerritoryModel.stock_location_id)


def _buckets(found: Iterable[Sequence[UUID | None]]) -> set[str]:
    """The buckets of pairs of a list and a location."""
    buckets = set()
    for price_list_id, location_id in found:
        buckets |= {f"pricelist:{price_list_id.hex}"} if price_list_id else set()
        buckets |= {f"stock:{location_id.hex}"} if location_id else set()
    return buckets
