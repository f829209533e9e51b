"""What may be promised from a location, and the promising of it (I-7)."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import sqlalchemy as sa

from server.inventory.models import StockLevelModel
from server.runtime.database import WriteSession


async def lock_available(session: WriteSession, location_id: UUID | None, product_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Base units that may be promised, by product, locked until the transaction ends; what has no level is absent.

    Negative where a count found less than was promised before.

    Rows are locked in the order of products, so that two orders for the same products cannot wait for each other.
    """
    query = (
        sa.select(StockLevelModel.product_id, (StockLevelModel.on_hand - StockLevelModel.allocated).label("free"))
        .where(StockLevelModel.stock_location_id == location_id, StockLevelModel.product_id.in_(list(product_ids)))
        .order_by(StockLevelModel.product_id)
        .with_for_update()
    )
    return {record.product_id: int(record.free) for record in await session.execute(query)}


async def change_allocated(session: WriteSession, location_id: UUID | None, changes: Mapping[UUID, int], now_ms: int) -> None:
    """Promise more (positive) or fewer (negative) base units of products at a location."""
    values = [
        {"at_product": product_id, "more": more}
        for product_id, more in sorted(changes.items(), key=lambda item: item[0].bytes)
        if more
    ]
    if not values:
        return
    statement = (
        sa.update(StockLevelModel.__table__)  # type: ignore[arg-type]  # a declarative class's table is a Table
        .where(
            StockLevelModel.__table__.c.stock_location_id == location_id,
            StockLevelModel.__table__.c.product_id == sa.bindparam("at_product", type_=StockLevelModel.__table__.c.product_id.type),
        )
        .values(allocated=StockLevelModel.__table__.c.allocated + sa.bindparam("more", type_=sa.BigInteger()), as_of_ms=now_ms)
    )
    connection = await session.connection()
    await connection.execute(statement, values)
