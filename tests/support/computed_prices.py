"""Lists that are computed, as the office of a test writes and runs them."""

from typing import Any
from uuid import UUID

from server.changelog.log import read_head
from server.pricing.materialising import Run, materialise
from server.runtime.rows import fetch_rows, table_of
from sync_protocol.entities.pricing import PriceEntry, PriceFloor, PriceList
from tests.support.pricing import PriceOffice
from tests.support.world import World

Body = dict[str, Any]


async def new_list(office: PriceOffice, code: str, currency: str = "EUR") -> str:
    return str((await office.post("price-lists", code=code, name=code, currency=currency))["id"])


def of_list(base: Any, *rules: Body) -> Body:
    """Rules on another list; without any, the prices of that list."""
    return {"source": "list", "base_list_id": str(base), "rules": list(rules) or [{}]}


def of_cost(*rules: Body) -> Body:
    return {"source": "cost", "rules": list(rules) or [{}]}


async def compute(world: World, price_list_id: str | None = None, *, every: bool = False) -> Run:
    one = UUID(price_list_id) if price_list_id is not None else None
    return await materialise(world.database, world.clock, price_list_id=one, every=every)


async def entries(world: World, price_list_id: Any) -> list[PriceEntry]:
    """What a list has, by product, break and begin."""
    async with world.database.read() as session:
        found = await fetch_rows(session, PriceEntry, table_of(PriceEntry).c.price_list_id == UUID(str(price_list_id)))
    return sorted(found, key=lambda each: (each.product_id, each.min_quantity, each.per_quantity, each.valid_from_ms))


async def prices(world: World, price_list_id: Any) -> list[tuple[int, int]]:
    return [(each.min_quantity, each.unit_price) for each in await entries(world, price_list_id)]


async def floors(world: World) -> list[PriceFloor]:
    async with world.database.read() as session:
        return sorted(await fetch_rows(session, PriceFloor), key=lambda each: (each.product_id, each.currency, each.id))


async def lists(world: World) -> list[PriceList]:
    async with world.database.read() as session:
        return await fetch_rows(session, PriceList)


async def head(world: World) -> int:
    async with world.database.read() as session:
        return (await read_head(session)).head
