"""What a revision sets and ends: entered one by one, or filled from a sheet, of which each refused line is named."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from server.catalog.models import ProductModel
from server.pricing.computed_lists import refuse_computed
from server.pricing.errors import UnfitPriceSheetError, UnfitRevisionError
from server.pricing.revision_models import PriceRevisionEntryModel
from server.pricing.revisions import Actor, RevisionAct, hold_draft, record
from server.pricing.sheets import Refusal, Sheet, SheetLine
from server.runtime.bulk_statements import BulkStatements
from server.runtime.database import ReadSession, WriteSession
from sync_protocol.values import Quantity, UnitPrice

CHANGES_MAX: Final = 5_000
REFUSALS_SHOWN_MAX: Final = 10_000
_KEY: Final = ("revision_id", "product_id", "min_quantity", "per_quantity")
_COLUMNS: Final = ("unit_price", "entry_id")

Break = tuple[UUID, int, int]


class OnRefusal(StrEnum):
    """What becomes of a file of which some lines are refused."""

    TAKE_NOTHING = "take_nothing"
    TAKE_REST = "take_rest"


class PriceBreak(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A break of a product: from so many base units on, for lines in packs of so many."""

    product_id: UUID
    min_quantity: Quantity = 1
    per_quantity: Quantity = 1

    @property
    def key(self) -> Break:
        return self.product_id, self.min_quantity, self.per_quantity


class PriceOfBreak(PriceBreak, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a break costs, in ten-thousandths of the major unit for `per_quantity` base units."""

    unit_price: UnitPrice


class Changes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a draft is to set, to end, or to leave alone again."""

    set: Annotated[tuple[PriceOfBreak, ...], Meta(max_length=CHANGES_MAX)] = ()
    end: Annotated[tuple[PriceBreak, ...], Meta(max_length=CHANGES_MAX)] = ()
    leave: Annotated[tuple[PriceBreak, ...], Meta(max_length=CHANGES_MAX)] = ()

    def all(self) -> Iterable[tuple[str, PriceBreak]]:
        """Each break with its place."""
        for name in ("set", "end", "leave"):
            yield from ((f"{name}[{place}]", each) for place, each in enumerate(getattr(self, name)))


class Filling(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file: how many lines set and end a price, and each line that was refused, up to 10,000."""

    sets: int
    ends: int
    refused: int
    refusals: Sequence[Refusal]


async def change_entries(session: WriteSession, revision_id: UUID, changes: Changes, actor: Actor) -> None:
    """Raises RevisionNotFoundError, RevisionNotDraftError, ListIsComputedError, UnfitRevisionError."""
    await refuse_computed(session, (await hold_draft(session, revision_id)).price_list_id)
    faults = await _unknown_products(session, changes) | _repeated(changes)
    if faults:
        raise UnfitRevisionError(faults)
    prices: dict[Break, int | None] = {each.key: each.unit_price for each in changes.set}
    prices |= dict.fromkeys(each.key for each in changes.end)
    await _put(session, revision_id, prices, actor)
    table = PriceRevisionEntryModel
    for key in (each.key for each in changes.leave):
        same = sa.tuple_(table.product_id, table.min_quantity, table.per_quantity) == key
        await session.execute(sa.delete(table).where(table.revision_id == revision_id, same))
    await record(session, revision_id, RevisionAct.FILLED, actor, note="entered", entries=sum(1 for _ in changes.all()))


async def fill_from_sheet(
    session: WriteSession, revision_id: UUID, sheet: Sheet, *, on_refusal: OnRefusal, note: str, actor: Actor
) -> Filling:
    """Take the lines of a sheet.

    Raises RevisionNotFoundError, RevisionNotDraftError, ListIsComputedError, UnfitPriceSheetError.
    """
    await refuse_computed(session, (await hold_draft(session, revision_id)).price_list_id)
    products = await products_of_lines(session, sheet.lines.values())
    refusals = sorted((*sheet.refusals, *unknown_skus(sheet.lines, products)), key=lambda each: each.line)
    if refusals and on_refusal is OnRefusal.TAKE_NOTHING:
        shown = refusals[:REFUSALS_SHOWN_MAX]
        raise UnfitPriceSheetError({f"lines[{each.line}].{each.field}": said_of(each) for each in shown}, len(refusals))
    taken = [line for line in sheet.lines.values() if line.sku in products]
    prices = {(products[line.sku], line.min_quantity, line.per_quantity): line.unit_price for line in taken}
    await _put(session, revision_id, prices, actor)
    ends = sum(line.unit_price is None for line in taken)
    await record(session, revision_id, RevisionAct.FILLED, actor, note=note, entries=len(taken))
    return Filling(sets=len(taken) - ends, ends=ends, refused=len(refusals), refusals=refusals[:REFUSALS_SHOWN_MAX])


def said_of(refusal: Refusal) -> str:
    """What is wrong with a line, for people."""
    return f"{refusal.value!r} {refusal.remedy}" if refusal.value else refusal.remedy


def unknown_skus(lines: Mapping[int, SheetLine], products: Mapping[str, UUID]) -> Iterable[Refusal]:
    """The lines whose SKU is that of no product."""
    remedy = "is the SKU of no product; correct it, or make the product first"
    return (
        Refusal(line=number, field="sku", value=line.sku, remedy=remedy)
        for number, line in lines.items()
        if line.sku not in products
    )


async def products_of_lines(session: ReadSession, lines: Iterable[SheetLine]) -> dict[str, UUID]:
    """The products of lines by their SKU."""
    statements = await BulkStatements.of(session)
    keys = [(sku,) for sku in dict.fromkeys(line.sku for line in lines)]
    found = await statements.select(_table(ProductModel), ("id", "sku"), ("sku",), keys)
    return {sku: identifier if isinstance(identifier, UUID) else UUID(bytes=identifier) for identifier, sku in found}


async def _put(session: WriteSession, revision_id: UUID, prices: Mapping[Break, int | None], actor: Actor) -> None:
    await session.flush()
    statements = await BulkStatements.of(session)
    records = [(revision_id, *key, unit_price, actor.ids.new()) for key, unit_price in prices.items()]
    await statements.upsert(_table(PriceRevisionEntryModel), _KEY, _COLUMNS, records)


async def _unknown_products(session: ReadSession, changes: Changes) -> dict[str, str]:
    wanted = {each.product_id for _, each in changes.all()}
    found = set((await session.execute(sa.select(ProductModel.id).where(ProductModel.id.in_(wanted)))).scalars())
    remedy = "names no product; check the id"
    return {f"{place}.product_id": remedy for place, each in changes.all() if each.product_id not in found}


def _repeated(changes: Changes) -> dict[str, str]:
    first: dict[Break, str] = {}
    for place, each in changes.all():
        first.setdefault(each.key, place)
    return {
        place: f"is the same break as {first[each.key]}; leave one of them out"
        for place, each in changes.all()
        if first[each.key] != place
    }


def _table(model: Any) -> sa.Table:
    table = model.__table__
    assert isinstance(table, sa.Table)
    return table


async def page_of_entries(
    session: ReadSession, revision_id: UUID, *, after_id: UUID | None, limit: int
) -> Sequence[sa.Row[PriceRevisionEntryModel, str, str]]:
    """Entries with the SKU and the name of their product, in the order of their ids."""
    entry = PriceRevisionEntryModel
    query = sa.select(entry, ProductModel.sku, ProductModel.name).join(ProductModel, ProductModel.id == entry.product_id)
    query = query.where(entry.revision_id == revision_id)
    if after_id is not None:
        query = query.where(entry.entry_id > after_id)
    return (await session.execute(query.order_by(entry.entry_id).limit(limit))).all()
