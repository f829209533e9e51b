"""What a handover takes from a rep besides accounts: price lists and stock that came with them, or with the territory."""

from uuid import UUID

import sqlalchemy as sa

from server.customers.handover import HandoverKind
from server.customers.models import HandoverLossModel, HandoverModel
from server.customers.price_lists import CHANNELS_OF_REPS, lists_sql
from server.runtime.database import Identifier, ReadSession

_LOST = "c.id IN (SELECT customer_id FROM handover_loss WHERE handover_id = :handover AND rep_id = :rep)"
_WENT = "t.id = :territory"
_WORKED = "IN (SELECT territory_id FROM rep_territory WHERE rep_id = :rep)"


async def shared_losses(session: ReadSession, handover: HandoverModel) -> dict[UUID, list[str]]:
    """By rep, the buckets that the handover took and that nothing else has brought since, in their order.

    They follow from the accounts and territories as they are now; a list that a customer had before is not remembered.
    """
    of_losers = sa.select(HandoverLossModel.rep_id).where(HandoverLossModel.handover_id == handover.id)
    losers = set((await session.execute(of_losers)).scalars())
    went = {handover.from_rep_id: handover.territory_id} if handover.kind == HandoverKind.REP and handover.from_rep_id else {}
    found = {}
    for rep_id in losers | went.keys():
        ids = {"rep": rep_id, "handover": handover.id, "territory": went.get(rep_id)}
        taken = await _buckets(session, _LOST, _WENT, ids)
        held = await _buckets(session, f"c.territory_id {_WORKED}", f"t.id {_WORKED}", ids)
        found[rep_id] = sorted(taken - held)
    return found


async def _buckets(session: ReadSession, customers: str, territories: str, ids: dict[str, UUID | None]) -> set[str]:
    """The lists and the stock that these customers and territories bring now."""
    lists = lists_sql(customers, territories, CHANNELS_OF_REPS)
    places = f"SELECT t.stock_location_id FROM territory t WHERE t.stock_location_id IS NOT NULL AND {territories}"  # noqa: S608  # conditions of ours
    found = set()
    for kind, sql, column in (("pricelist", lists, "price_list_id"), ("stock", places, "stock_location_id")):
        bound = [sa.bindparam(name, value, type_=Identifier()) for name, value in ids.items() if f":{name}" in sql]
        query = sa.text(sql).bindparams(*bound).columns(sa.column(column, Identifier()))
        found |= {f"{kind}:{each.hex}" for each in (await session.execute(query)).scalars()}
    return found
