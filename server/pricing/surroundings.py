"""What a row is judged by beside itself, read inside the transaction that writes it."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.customers.models import AddressModel
from server.pricing.models import PriceEntryModel
from server.runtime.database import ReadSession
from server.runtime.rows import fetch_row, fetch_rows, table_of
from sync_protocol.entities.pricing import PriceList
from sync_protocol.entities.promotions import Promotion, PromotionTarget, PromotionTier
from sync_protocol.values import Row


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """The row as it was, whose address it names, the promotion that it is a part of, or the parts that a promotion has."""

    former: Row | None = None
    address_owner_id: UUID | None = None
    promotion: Promotion | None = None
    targets: Sequence[PromotionTarget] = ()
    tiers: Sequence[PromotionTier] = ()
    has_entries: bool = False


async def surroundings_of(session: ReadSession, row: Row, former: Row | None) -> Surroundings:
    """Read what this row is judged by; most rows stand for themselves."""
    found = Surroundings(former=former)
    address_id = getattr(row, "address_id", None)
    if address_id is not None:
        owner = sa.select(AddressModel.customer_id).where(AddressModel.id == address_id)
        found = msgspec.structs.replace(found, address_owner_id=(await session.execute(owner)).scalar_one_or_none())
    if isinstance(row, PromotionTarget | PromotionTier):
        return msgspec.structs.replace(found, promotion=await fetch_row(session, Promotion, row.promotion_id))
    if isinstance(row, Promotion):
        targets = await fetch_rows(session, PromotionTarget, table_of(PromotionTarget).c.promotion_id == row.id)
        tiers = await fetch_rows(session, PromotionTier, table_of(PromotionTier).c.promotion_id == row.id)
        return msgspec.structs.replace(found, targets=targets, tiers=tiers)
    if isinstance(row, PriceList) and former is not None:
        some = sa.select(sa.exists().where(PriceEntryModel.price_list_id == row.id))
        return msgspec.structs.replace(found, has_entries=(await session.execute(some)).scalar_one())
    return found
