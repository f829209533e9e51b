"""Floors are computed of costs and margins, where nobody wrote one by hand for the product and the currency."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.pricing.computed_models import MarginRuleModel
from server.pricing.computed_prices import RuleBook, floor_id, floors_of, is_computed
from server.pricing.computed_rows import MarginRule
from server.pricing.computing import Counts, Sold, costs_of, portions
from server.runtime.database import Database, ReadSession
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.pricing import PriceFloor
from sync_protocol.rules.pricing.facts import categories_above


class Margins:
    """The margins that products must keep."""

    def __init__(self, rules: Sequence[MarginRule], parents: Mapping[UUID, UUID | None]) -> None:
        self._rules = RuleBook(rules)
        self._parents = parents

    def of(self, product: Sold) -> MarginRule | None:
        """The nearest margin of a product; of several as near the largest."""
        product_id, category_id = product
        rules = self._rules.nearest(product_id, categories_above(category_id, self._parents))
        return max(rules, key=lambda each: (each.minimum_margin_basis_points, each.id), default=None)


class _Change(msgspec.Struct, frozen=True):
    """What is to be written of some products."""

    made: list[PriceFloor]
    changed: list[PriceFloor]
    removed: list[PriceFloor]
    unchanged: int

    @property
    def counts(self) -> Counts:
        return Counts(made=len(self.made), changed=len(self.changed), removed=len(self.removed), unchanged=self.unchanged)


async def margins_of(session: ReadSession, parents: Mapping[UUID, UUID | None]) -> Margins:
    """All margins there are."""
    columns = [getattr(MarginRuleModel, name) for name in MarginRule.__struct_fields__]
    rows = await session.execute(sa.select(*columns))
    rules = [MarginRule(**row._mapping) for row in rows]  # noqa: SLF001  # SQLAlchemy's documented name for it
    return Margins(rules, parents)


async def compute_floors(database: Database, margins: Margins, at_ms: int, only: Sequence[UUID] | None) -> Counts:
    """Write what differs from the floors that costs ask for at an instant, in portions like those of entries."""
    counts, last = Counts(), None
    while True:
        async with database.read() as session:
            products = await portions(session, last, only)
            change = await _change(await UnitOfWork.of(session), margins, products, at_ms, lock=False)
        if not products:
            return counts
        if change.made or change.changed or change.removed:
            change = await _write(database, margins, products, at_ms)
        counts += change.counts
        last = products[-1][0]


async def _change(unit: UnitOfWork, margins: Margins, products: Sequence[Sold], at_ms: int, *, lock: bool) -> _Change:
    keys = [(product_id,) for product_id, _ in products]
    floors: dict[UUID, list[PriceFloor]] = {}
    for floor in await unit.find_all(PriceFloor, ("product_id",), keys, lock=lock):
        floors.setdefault(floor.product_id, []).append(floor)
    costs = await costs_of(unit.session, products)
    ids = {floor_id(product_id, each.currency) for product_id, theirs in costs.items() for each in theirs}
    await unit.load(PriceFloor, ids, lock=lock)
    change = _Change([], [], [], 0)
    unchanged = 0
    for product in products:
        theirs = floors.get(product[0], ())
        by_hand = {each.currency for each in theirs if not is_computed(each)}
        held = {each.currency: each for each in theirs if is_computed(each)}
        wanted = floors_of(product[0], margins.of(product), costs.get(product[0], ()), at_ms)
        for currency, floor in wanted.items():
            if currency in by_hand:
                continue
            held.pop(currency, None)
            # By its id: where another program moved it to another product or currency it comes back.
            former = await unit.get(PriceFloor, floor.id, lock=lock)
            if former is None:
                change.made.append(floor)
            elif former == floor:
                unchanged += 1
            else:
                change.changed.append(floor)
        change.removed.extend(held.values())
    return msgspec.structs.replace(change, unchanged=unchanged)


async def _write(database: Database, margins: Margins, products: Sequence[Sold], at_ms: int) -> _Change:
    async with database.write() as session:
        unit = await UnitOfWork.of(session)
        change = await _change(unit, margins, products, at_ms, lock=True)
        for floor in change.removed:
            unit.remove(floor)
        unit.insert(*change.made)
        for floor in change.changed:
            unit.replace(floor)
        await unit.flush()
    return change
