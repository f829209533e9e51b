"""A price list over time as a child would keep it: for each product and break, spans with a price. And a revision in one call."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from server.pricing.publication import publish
from server.pricing.revision_entries import Changes, PriceBreak, PriceOfBreak, change_entries
from server.pricing.revisions import Actor, create_revision
from sync_protocol.entities.pricing import PriceEntry
from tests.support.world import World

FOREVER = 2**62
Break = tuple[UUID, int, int]
Prices = Mapping[Break, int | None]


class Span(NamedTuple):
    """A price from an instant on, until just before another."""

    start: int
    end: int
    price: int


class Timeline:
    """The spans of each break of one list."""

    def __init__(self) -> None:
        self.spans: dict[Break, list[Span]] = {}

    def publish(self, at_ms: int, prices: Prices) -> dict[Break, list[Span]]:
        """What was there of each break that is another from then on."""
        before = {}
        for key, price in prices.items():
            old = self.spans.get(key, [])
            new = self._published(old, at_ms, price)
            if new != old:
                before[key] = old
                self.spans[key] = new
        return before

    @staticmethod
    def _published(spans: list[Span], at_ms: int, price: int | None) -> list[Span]:
        within = next((span for span in spans if span.start <= at_ms < span.end), None)
        if within is not None and within.price == price:
            return spans
        end = within.end if within is not None else min((span.start for span in spans if span.start > at_ms), default=FOREVER)
        kept = [span for span in spans if span is not within]
        if within is not None and within.start < at_ms:
            kept.append(Span(within.start, at_ms, within.price))
        if price is not None:
            kept.append(Span(at_ms, end, price))
        return sorted(kept)


def spans_of(rows: list[PriceEntry]) -> dict[Break, list[Span]]:
    """What a list's rows say."""
    found: dict[Break, list[Span]] = {}
    for row in rows:
        key = (row.product_id, row.min_quantity, row.per_quantity)
        end = FOREVER if row.valid_until_ms is None else row.valid_until_ms
        found.setdefault(key, []).append(Span(row.valid_from_ms, end, row.unit_price))
    return {key: sorted(spans) for key, spans in found.items()}


async def actor_of(world: World) -> Actor:
    return Actor(user_id=await world.user_id("manager"), now_ms=world.clock.now_ms(), ids=world.ids)


async def draft(world: World, price_list_id: UUID, prices: Prices) -> UUID:
    """A draft with these prices; None ends one."""
    actor = await actor_of(world)
    breaks = {key: dict(zip(("product_id", "min_quantity", "per_quantity"), key, strict=True)) for key in prices}
    changes = Changes(
        set=tuple(PriceOfBreak(**breaks[key], unit_price=price) for key, price in prices.items() if price is not None),
        end=tuple(PriceBreak(**breaks[key]) for key, price in prices.items() if price is None),
    )
    async with world.database.write() as session:
        revision = await create_revision(session, price_list_id, "a change", actor)
        await change_entries(session, revision.id, changes, actor)
        return revision.id


async def publish_at(world: World, revision_id: UUID, at_ms: int | None) -> None:
    actor = await actor_of(world)
    async with world.database.write() as session:
        await publish(session, revision_id, effective_at_ms=at_ms, note="", actor=actor)


async def scalar(world: World, sql: str, **values: Any) -> Any:
    async with world.database.read() as session:
        return (await session.execute(sa.text(sql), values)).scalar()
