"""What an order has promised from stock, and its return."""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa

from server.inventory.levels import change_allocated, lock_available
from server.orders.models import OrderLineModel, OrderModel
from server.runtime.database import WriteSession
from sync_protocol.entities.orders import OrderLine


def allocated_by_product(lines: Iterable[OrderLine]) -> Counter[UUID]:
    """Base units that the lines have promised, by product."""
    promised: Counter[UUID] = Counter()
    for line in lines:
        promised[line.product_id] += line.allocated
    return promised


async def release(session: WriteSession, order_id: UUID, now_ms: int) -> None:
    """Give back all that an order has allocated, and wait for nothing more."""
    location = sa.select(OrderModel.stock_location_id).where(OrderModel.id == order_id)
    location_id = (await session.execute(location)).scalar_one()
    query = (
        sa.select(OrderLineModel.product_id, sa.func.sum(OrderLineModel.allocated))
        .where(OrderLineModel.order_id == order_id, OrderLineModel.allocated > 0)
        .group_by(OrderLineModel.product_id)
    )
    promised = {product_id: -int(quantity) for product_id, quantity in await session.execute(query)}
    await lock_available(session, location_id, promised)
    await change_allocated(session, location_id, promised, now_ms)
    await session.execute(sa.update(OrderLineModel).where(OrderLineModel.order_id == order_id).values(allocated=0, backordered=0))
