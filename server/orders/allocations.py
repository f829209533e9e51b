"""What an order has promised from stock and used up of agreements and offers, and its return."""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

import msgspec

from server.inventory.levels import change_allocated
from server.pricing.consumption import give_back
from server.quotes.ordering import note_given_up
from server.runtime.clock import IdSource
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.orders import Order, OrderLine


def allocated_by_product(lines: Iterable[OrderLine]) -> Counter[UUID]:
    """Base units that the lines have promised, by product."""
    promised: Counter[UUID] = Counter()
    for line in lines:
        promised[line.product_id] += line.allocated
    return promised


async def release(work: UnitOfWork, order: Order, *, ids: IdSource, now_ms: int) -> None:
    """Give back all that a locked order has allocated and used up, the quote that it was too, and wait for nothing more."""
    await note_given_up(work, order, ids=ids, now_ms=now_ms)
    await give_back(work, order.id, await work.find(OrderLine, lock=True, order_id=order.id))
    await release_stock(work, order, now_ms)


async def release_stock(work: UnitOfWork, order: Order, now_ms: int) -> None:
    """Give back the stock that a locked order has allocated, and wait for no more."""
    lines = await work.find(OrderLine, lock=True, order_id=order.id)
    promised = {product_id: -quantity for product_id, quantity in allocated_by_product(lines).items() if quantity > 0}
    await change_allocated(work, order.stock_location_id, promised, now_ms)
    for line in lines:
        if line.allocated or line.backordered:
            work.replace(msgspec.structs.replace(line, allocated=0, backordered=0))
