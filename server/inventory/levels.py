"""What may be promised from a location, and the promising of it (I-7)."""

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

import msgspec

from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.inventory import StockLevel

# Rows are locked in the order of products, so that two orders for the same products cannot wait for each other.
BY_PRODUCT: Final = ("product_id", "stock_location_id")


async def lock_levels(work: UnitOfWork, places: Iterable[tuple[UUID, UUID]]) -> None:
    """Read the levels of (product, location) and lock them until the transaction ends."""
    await work.load_by(StockLevel, BY_PRODUCT, places, lock=True)


async def lock_available(work: UnitOfWork, location_id: UUID | None, product_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Base units that may be promised, by product, locked until the transaction ends; what has no level is absent.

    Negative where a count found less than was promised before.
    """
    levels = await _levels(work, location_id, product_ids)
    return {level.product_id: level.on_hand - level.allocated for level in levels}


async def change_allocated(work: UnitOfWork, location_id: UUID | None, changes: Mapping[UUID, int], now_ms: int) -> None:
    """Promise more (positive) or fewer (negative) base units of products at a location."""
    for level in await _levels(work, location_id, [product_id for product_id, more in changes.items() if more]):
        promised = level.allocated + changes[level.product_id]
        work.replace(msgspec.structs.replace(level, allocated=promised, as_of_ms=now_ms))


async def _levels(work: UnitOfWork, location_id: UUID | None, product_ids: Iterable[UUID]) -> list[StockLevel]:
    if location_id is None:
        return []
    places = [(product_id, location_id) for product_id in product_ids]
    return await work.find_all(StockLevel, BY_PRODUCT, places, lock=True)
