"""What rules would make of a list, before they are written."""

import heapq
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.catalog.models import ProductModel
from server.pricing.computed_lists import Definition, require_fit
from server.pricing.computing import Counts, Recipe, all_portions, parents_of
from server.pricing.revision_preview import change_of
from server.runtime.database import ReadSession
from server.runtime.rows import fetch_row
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.values import BASIS_POINTS

SHOWN_MAX: Final = 20


class ChangedPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A price that would be another. Without `change_basis_points` it was 0."""

    product_id: UUID
    sku: str
    name: str
    min_quantity: int
    per_quantity: int
    valid_from_ms: int
    unit_price: int
    new_unit_price: int
    change_basis_points: int | None


class ComputedPreview(msgspec.Struct, frozen=True, kw_only=True):
    """How many entries would be made, changed, removed and left; and those that change most, by their share of the price."""

    counts: Counts
    largest: Sequence[ChangedPrice]


async def preview_computed(session: ReadSession, price_list_id: UUID, definition: Definition) -> ComputedPreview:
    """Raises UnfitComputedListError."""
    await require_fit(session, price_list_id, definition)
    price_list = await fetch_row(session, PriceList, price_list_id)
    assert price_list is not None
    recipe = Recipe(price_list, definition, await parents_of(session))
    counts, largest = Counts(), _Largest()
    async for products in all_portions(session):
        found, beyond = await recipe.difference(await UnitOfWork.of(session), products, lock=False)
        counts += Counts.of(found, beyond)
        largest.add(found.changed)
    return ComputedPreview(counts=counts, largest=await _named(session, largest.all()))


class _Largest:
    """The changes that are the largest parts of their price; of equal ones those of the smallest ids."""

    def __init__(self) -> None:
        self._found: list[tuple[int, int, PriceEntry, PriceEntry]] = []

    def add(self, changed: Iterable[tuple[PriceEntry, PriceEntry]]) -> None:
        ranked = (
            (_size(before, after), -before.id.int, before, after)
            for before, after in changed
            if before.unit_price != after.unit_price
        )
        self._found = heapq.nlargest(SHOWN_MAX, (*self._found, *ranked), key=lambda each: each[:2])

    def all(self) -> Sequence[tuple[PriceEntry, PriceEntry]]:
        return [(before, after) for _, _, before, after in self._found]


def _size(before: PriceEntry, after: PriceEntry) -> int:
    """A change as a part of the price; what was 0 changes most of all."""
    change = abs(after.unit_price - before.unit_price)
    return change * BASIS_POINTS * BASIS_POINTS // before.unit_price if before.unit_price else change * 10**30


async def _named(session: ReadSession, changed: Sequence[tuple[PriceEntry, PriceEntry]]) -> Sequence[ChangedPrice]:
    wanted = {before.product_id for before, _ in changed}
    query = sa.select(ProductModel.id, ProductModel.sku, ProductModel.name).where(ProductModel.id.in_(wanted))
    products = {row.id: row for row in await session.execute(query)}
    return [
        ChangedPrice(
            product_id=before.product_id,
            sku=products[before.product_id].sku,
            name=products[before.product_id].name,
            min_quantity=before.min_quantity,
            per_quantity=before.per_quantity,
            valid_from_ms=before.valid_from_ms,
            unit_price=before.unit_price,
            new_unit_price=after.unit_price,
            change_basis_points=change_of(before.unit_price, after.unit_price),
        )
        for before, after in changed
    ]
