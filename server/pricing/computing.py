"""Prices are computed: product by product in portions, and only what differs is written, each portion in a short commit.

Whoever is killed in between leaves whole portions behind and the rest to be done, by the next run. Nobody else waits for more
than a portion.
"""

from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.catalog.models import CategoryModel, ProductModel
from server.pricing.computed_lists import Definition, Source, hold_list, open_computed_list
from server.pricing.computed_models import ComputedListModel, ProductCostModel
from server.pricing.computed_prices import (
    Difference,
    PriceRule,
    RuleBook,
    difference_of,
    entries_of_base,
    entries_of_costs,
    following_id,
)
from server.pricing.computed_rows import ProductCost
from server.runtime.database import Database, ReadSession
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.rules.pricing.facts import categories_above

PORTION: Final = 500
"""How many products are computed at once."""

Sold = tuple[UUID, UUID | None]
"""A product and its category."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What was written, or would be. `beyond` are prices that are larger than a price can be, and are left out."""

    made: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    beyond: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    @classmethod
    def of(cls, difference: Difference, beyond: int = 0) -> "Counts":
        """What this difference comes to."""
        return cls(
            made=len(difference.made),
            changed=len(difference.changed),
            removed=len(difference.removed),
            unchanged=difference.unchanged,
            beyond=beyond,
        )


class Recipe:
    """A computed list with all that its entries are made of but its source's rows."""

    def __init__(self, price_list: PriceList, definition: Definition, parents: dict[UUID, UUID | None]) -> None:
        self.price_list = price_list
        self.definition = definition
        self._rules: RuleBook[PriceRule] = RuleBook(definition.rules)
        self._parents = parents

    async def difference(self, unit: UnitOfWork, products: Sequence[Sold], *, lock: bool) -> tuple[Difference, int]:
        """What is to be written of these products, and how many of their prices are beyond."""
        held = await self._entries(unit, self.price_list.id, products, lock=lock)
        source = await self._source(unit, products)
        made: list[PriceEntry] = []
        changed: list[tuple[PriceEntry, PriceEntry]] = []
        removed: list[PriceEntry] = []
        unchanged = beyond = 0
        for product_id, category_id in products:
            rule = next(iter(self._rules.nearest(product_id, categories_above(category_id, self._parents))), None)
            make: Callable[..., Any] = entries_of_base if self.definition.source is Source.LIST else entries_of_costs
            wanted = make(self.price_list, rule, source.get(product_id, ()))
            found = difference_of(held.get(product_id, ()), wanted.entries)
            made += found.made
            changed += found.changed
            removed += found.removed
            unchanged += found.unchanged
            beyond += wanted.beyond
        return Difference(made=made, changed=changed, removed=removed, unchanged=unchanged), beyond

    async def _source(self, unit: UnitOfWork, products: Sequence[Sold]) -> dict[UUID, list[Any]]:
        if self.definition.base_list_id is not None:
            return await self._entries(unit, self.definition.base_list_id, products, lock=False)
        return await costs_of(unit.session, products)

    @staticmethod
    async def _entries(
        unit: UnitOfWork, price_list_id: UUID, products: Sequence[Sold], *, lock: bool
    ) -> dict[UUID, list[PriceEntry]]:
        keys = [(product_id, price_list_id) for product_id, _ in products]
        found: dict[UUID, list[PriceEntry]] = {}
        for entry in await unit.find_all(PriceEntry, ("product_id", "price_list_id"), keys, lock=lock):
            found.setdefault(entry.product_id, []).append(entry)
        return found


async def costs_of(session: ReadSession, products: Sequence[Sold]) -> dict[UUID, list[ProductCost]]:
    """What these products cost, at all times and in all currencies."""
    columns = [getattr(ProductCostModel, name) for name in ProductCost.__struct_fields__]
    query = sa.select(*columns).where(ProductCostModel.product_id.in_([product_id for product_id, _ in products]))
    found: dict[UUID, list[ProductCost]] = {}
    for row in await session.execute(query):
        cost = ProductCost(**row._mapping)  # noqa: SLF001  # SQLAlchemy's documented name for it
        found.setdefault(cost.product_id, []).append(cost)
    return found


async def parents_of(session: ReadSession) -> dict[UUID, UUID | None]:
    """The category above each category."""
    return {row.id: row.parent_id for row in await session.execute(sa.select(CategoryModel.id, CategoryModel.parent_id))}


async def portions(session: ReadSession, after: UUID | None = None, only: Sequence[UUID] | None = None) -> Sequence[Sold]:
    """The next products in the order of their ids; or of those that are named alone, in this order too."""
    query = sa.select(ProductModel.id, ProductModel.category_id).order_by(ProductModel.id).limit(PORTION)
    if after is not None:
        query = query.where(ProductModel.id > after)
    if only is not None:
        query = query.where(ProductModel.id.in_(only[(bisect_right(only, after) if after is not None else 0) :][:PORTION]))
    return [(row.id, row.category_id) for row in await session.execute(query)]


async def all_portions(session: ReadSession) -> AsyncIterator[Sequence[Sold]]:
    """All products, in portions."""
    last: UUID | None = None
    while products := await portions(session, last):
        yield products
        last = products[-1][0]


async def compute_entries(database: Database, recipe: Recipe, only: Sequence[UUID] | None) -> Counts | None:
    """Write what differs, of all products or of some. None where the rules were changed meanwhile: it is to be done again."""
    counts, last = Counts(), None
    while True:
        async with database.read() as session:
            products = await portions(session, last, only)
            found, beyond = await recipe.difference(await UnitOfWork.of(session), products, lock=False)
        if not products:
            return counts
        if found:
            written = await _write(database, recipe, products)
            if written is None:
                return None
            counts += written
        else:
            counts += Counts.of(found, beyond)
        last = products[-1][0]


async def _write(database: Database, recipe: Recipe, products: Sequence[Sold]) -> Counts | None:
    """Compute a portion once more where nobody else writes the list, and write it."""
    async with database.write() as session:
        await hold_list(session, recipe.price_list.id)
        if await session.get(ComputedListModel, recipe.price_list.id) is None:
            return None
        if (await open_computed_list(session, recipe.price_list.id)).definition != recipe.definition:
            return None
        unit = await UnitOfWork.of(session)
        found, beyond = await recipe.difference(unit, products, lock=True)
        for row in found.removed:
            unit.remove(row)
        unit.insert(*await _with_free_ids(unit, found.made))
        for _, row in found.changed:
            unit.replace(row)
        await unit.flush()
        return Counts.of(found, beyond)


async def _with_free_ids(unit: UnitOfWork, made: Sequence[PriceEntry]) -> Sequence[PriceEntry]:
    """The entries with ids that no row has: another program may have moved a computed one to another product or list."""
    await unit.load(PriceEntry, [each.id for each in made])
    found = []
    for each in made:
        identifier = each.id
        while await unit.get(PriceEntry, identifier) is not None:
            identifier = following_id(identifier)
        found.append(msgspec.structs.replace(each, id=identifier))
    return found
