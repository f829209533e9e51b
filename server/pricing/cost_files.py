"""What products cost, taken from a sheet like those of prices: `price` is the cost of `per_quantity` base units."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec

from server.pricing.computed_changes import ask_anew, hold_costs
from server.pricing.computed_errors import UnfitCostSheetError
from server.pricing.computed_models import ProductCostModel
from server.pricing.revision_entries import REFUSALS_SHOWN_MAX, products_of_lines, said_of, unknown_skus
from server.pricing.sheets import Refusal, Sheet, SheetLine
from server.runtime.bulk_statements import BulkStatements
from server.runtime.clock import IdSource
from server.runtime.database import Base, WriteSession

_KEY = ("product_id", "currency", "valid_from_ms")
_COST = ("unit_cost", "per_quantity")


class CostFilling(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file of costs."""

    made: int
    changed: int
    unchanged: int


async def fill_costs(session: WriteSession, sheet: Sheet, *, currency: str, valid_from_ms: int, ids: IdSource) -> CostFilling:
    """Let products cost what a sheet says, from an instant on. All lines are taken or none. Raises UnfitCostSheetError."""
    products = await products_of_lines(session, sheet.lines.values())
    refusals = (*sheet.refusals, *unknown_skus(sheet.lines, products), *_no_costs(sheet.lines))
    if refusals:
        shown = sorted(refusals, key=lambda each: each.line)[:REFUSALS_SHOWN_MAX]
        raise UnfitCostSheetError({f"lines[{each.line}].{each.field}": said_of(each) for each in shown}, len(refusals))
    await hold_costs(session)
    table, statements = Base.metadata.tables[ProductCostModel.__tablename__], await BulkStatements.of(session)
    wanted = {products[line.sku]: (line.unit_price, line.per_quantity) for line in sheet.lines.values()}
    keys = [(product_id, currency, valid_from_ms) for product_id in wanted]
    records = await statements.select(table, ("product_id", *_COST), _KEY, keys)
    held = {_uuid(product_id): tuple(cost) for product_id, *cost in records}
    made = [(ids.new(), each, currency, valid_from_ms, *cost) for each, cost in wanted.items() if each not in held]
    changed = [(each, currency, valid_from_ms, *cost) for each, cost in wanted.items() if held.get(each, cost) != cost]
    await statements.insert(table, ("id", *_KEY, *_COST), made)
    await statements.update(table, _KEY, _COST, changed)
    if made or changed:
        await ask_anew(session)
    return CostFilling(made=len(made), changed=len(changed), unchanged=len(wanted) - len(made) - len(changed))


def _uuid(value: UUID | bytes) -> UUID:
    return value if isinstance(value, UUID) else UUID(bytes=value)


def _no_costs(lines: Mapping[int, SheetLine]) -> Iterable[Refusal]:
    """Lines that say something of a price which a cost does not have."""
    seen: dict[str, int] = {}
    for number, line in lines.items():
        first = seen.setdefault(line.sku, number)
        if line.unit_price is None:
            yield Refusal(line=number, field="action", value="end", remedy="is not for costs; a cost ends with the next one")
        elif line.min_quantity != 1:
            remedy = "is not for costs, which have no breaks; leave it out, or give 1"
            yield Refusal(line=number, field="min_quantity", value=str(line.min_quantity), remedy=remedy)
        elif first != number:
            yield Refusal(line=number, field="sku", value=line.sku, remedy=f"is on line {first} already; leave one of them out")
