"""Whether what is computed is as its sources are by now: counted for rules and costs, seen in the log for all that travels."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.catalog.models import ProductModel
from server.changelog.log import Head
from server.changelog.models import ChangeCommitModel, ChangeHeadModel, ChangeLeaveModel, ChangeLogModel, RowHistoryModel
from server.pricing.computed_models import FLOORS, ComputedListModel, FloorComputationModel, ProductCostModel
from server.pricing.computed_rows import MarginRule, ProductCost
from server.runtime.database import ReadSession, WriteSession
from server.runtime.rows import table_of
from sync_protocol.entities import BY_ROW
from sync_protocol.entities.catalog import Category, Product
from sync_protocol.entities.pricing import PriceEntry, PriceFloor, PriceList
from sync_protocol.values import Row

SEEN_BEHIND_MAX: Final = 1_000
"""How far behind the log a computation may be before it notes that nothing of that concerned it: each look reads as much."""

CHANGED_MAX: Final = 10_000
"""Above so many products that changed all are computed: that many are not kept in memory."""

Products = Sequence[UUID] | None
EVERYTHING: Final = None
NOTHING: Final[Sequence[UUID]] = ()

_ASKING: Final = (ProductCost, MarginRule)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How far a computation is: see `computed_models`."""

    asked: int
    done: int
    seen_seq: int
    computed_at_ms: int | None = None


async def hold_costs(session: WriteSession) -> None:
    """Let nobody else change costs or margins until this transaction ends.

    Whoever changes them holds this before any of their rows: a file and a single cost would else wait for each other.
    """
    held = sa.select(FloorComputationModel.id).where(FloorComputationModel.id == FLOORS)
    await session.execute(held.with_for_update())


async def hold_costs_if_asked_by(session: WriteSession, row: type[Row]) -> None:
    """Hold them where a row of this kind is one."""
    if row in _ASKING:
        await hold_costs(session)


async def ask_if_asked_by(session: WriteSession, row: type[Row]) -> None:
    """Have everything computed anew where a row of this kind is a source that the log does not know."""
    if row in _ASKING:
        await ask_anew(session)


async def ask_anew(session: WriteSession) -> None:
    """Have floors and lists computed anew, for the costs are others."""
    for model in (FloorComputationModel, ComputedListModel):
        await session.execute(sa.update(model).values(asked=model.asked + 1))


async def list_is_due_for(session: ReadSession, standing: Standing, lists: Sequence[UUID], head: Head) -> Products:
    """Of which products the prices of these lists, or the places in categories, changed since."""
    if _is_to_be_done_anew(standing, head):
        return EVERYTHING
    buckets = [f"{BY_ROW[PriceList].bucket.kind}:{each.hex}" for each in lists]
    of_lists = sa.and_(_of_kinds(PriceEntry, PriceList), ChangeLogModel.bucket.in_(buckets))
    left = sa.exists().where(ChangeLeaveModel.bucket.in_(buckets), ChangeLeaveModel.change.in_(_changes_since(standing)))
    has_left = bool((await session.execute(sa.select(left))).scalar_one())
    if not has_left and not await _has_changed(session, standing, sa.or_(of_lists, _of_kinds(Product, Category))):
        return NOTHING
    of_the_list = sa.and_(_of_kinds(PriceList), ChangeLogModel.bucket.in_(buckets))
    if await _has_changed(session, standing, sa.or_(of_the_list, _of_kinds(Category))):
        return EVERYTHING
    return await _changed_products(session, standing, PriceEntry)


async def floors_are_due_for(session: ReadSession, standing: Standing, head: Head, now_ms: int) -> Products:
    """Of which products the floors, or the places in categories, changed since; of all where a cost has begun."""
    cost = ProductCostModel
    begun = sa.exists().where(cost.valid_from_ms > (standing.computed_at_ms or 0), cost.valid_from_ms <= now_ms)
    if _is_to_be_done_anew(standing, head) or (await session.execute(sa.select(begun))).scalar_one():
        return EVERYTHING
    if await _has_changed(session, standing, _of_kinds(Category)):
        return EVERYTHING
    if not await _has_changed(session, standing, _of_kinds(Product, PriceFloor)):
        return NOTHING
    return await _changed_products(session, standing, PriceFloor)


def _is_to_be_done_anew(standing: Standing, head: Head) -> bool:
    return standing.asked != standing.done or standing.computed_at_ms is None or standing.seen_seq < head.floor


def _of_kinds(*rows: type[Row]) -> sa.ColumnElement[bool]:
    return ChangeLogModel.entity.in_([BY_ROW[row].number for row in rows])


def _changes_since(standing: Standing) -> sa.Select[Any]:
    return sa.select(ChangeCommitModel.change).where(ChangeCommitModel.commit_seq > standing.seen_seq)


async def _has_changed(session: ReadSession, standing: Standing, concerns: sa.ColumnElement[bool]) -> bool:
    changed = sa.exists().where(ChangeLogModel.change.in_(_changes_since(standing)), concerns)
    return bool((await session.execute(sa.select(changed))).scalar_one())


async def _changed_products(session: ReadSession, standing: Standing, row: type[PriceEntry] | type[PriceFloor]) -> Products:
    """The products that rows of a kind are of by now or were of before a change, and those that were changed themselves."""
    history_floor = (await session.execute(sa.select(ChangeHeadModel.history_floor))).scalar_one()
    if standing.seen_seq < history_floor:
        return EVERYTHING
    since, table = _changes_since(standing), table_of(row)
    logged = sa.select(ChangeLogModel.row_id).where(ChangeLogModel.change.in_(since))
    are = sa.select(table.c.product_id).where(table.c.id.in_(logged.where(_of_kinds(row))))
    were = sa.select(RowHistoryModel.key_id).where(
        RowHistoryModel.entity == BY_ROW[row].number, RowHistoryModel.until_change.in_(since)
    )
    found = [ProductModel.id.in_(each) for each in (are, were, logged.where(_of_kinds(Product)))]
    query = sa.select(ProductModel.id).where(sa.or_(*found)).order_by(ProductModel.id).limit(CHANGED_MAX + 1)
    products = (await session.execute(query)).scalars().all()
    return products if len(products) <= CHANGED_MAX else EVERYTHING


async def note_done(session: WriteSession, row: Any, *, asked: int, seen_seq: int, now_ms: int) -> None:
    """Say that a computation is done. `asked` is the count that it found: what was asked meanwhile is still to be done."""
    row.done, row.seen_seq, row.computed_at_ms = asked, seen_seq, now_ms
    await session.flush()
