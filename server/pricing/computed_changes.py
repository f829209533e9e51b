"""Whether what is computed is as its sources are by now: counted for rules and costs, seen in the log for all that travels."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.changelog.log import Head
from server.changelog.models import ChangeCommitModel, ChangeLogModel
from server.pricing.computed_models import FLOORS, ComputedListModel, FloorComputationModel, ProductCostModel
from server.pricing.computed_rows import MarginRule, ProductCost
from server.runtime.database import ReadSession, WriteSession
from sync_protocol.entities import BY_ROW
from sync_protocol.entities.catalog import Category, Product
from sync_protocol.entities.pricing import PriceEntry, PriceFloor, PriceList
from sync_protocol.values import Row

SEEN_BEHIND_MAX: Final = 1_000
"""How far behind the log a computation may be before it notes that nothing of that concerned it: each look reads as much."""

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


async def is_list_due(session: ReadSession, standing: Standing, lists: Iterable[UUID], head: Head) -> bool:
    """Whether the prices of one of these lists, or where products belong, changed since."""
    of_lists = sa.and_(
        ChangeLogModel.entity.in_([BY_ROW[PriceEntry].number, BY_ROW[PriceList].number]),
        ChangeLogModel.bucket.in_([f"{BY_ROW[PriceList].bucket.kind}:{each.hex}" for each in lists]),
    )
    return await _is_due(session, standing, sa.or_(of_lists, _of_kinds(Product, Category)), head)


async def are_floors_due(session: ReadSession, standing: Standing, head: Head, now_ms: int) -> bool:
    """Whether floors, or where products belong, changed since, or a cost is in force that was not yet."""
    cost = ProductCostModel
    begun = sa.exists().where(cost.valid_from_ms > (standing.computed_at_ms or 0), cost.valid_from_ms <= now_ms)
    if (await session.execute(sa.select(begun))).scalar_one():
        return True
    return await _is_due(session, standing, _of_kinds(Product, Category, PriceFloor), head)


def _of_kinds(*rows: type[Row]) -> sa.ColumnElement[bool]:
    return ChangeLogModel.entity.in_([BY_ROW[row].number for row in rows])


async def _is_due(session: ReadSession, standing: Standing, concerns: sa.ColumnElement[bool], head: Head) -> bool:
    if standing.asked != standing.done or standing.computed_at_ms is None or standing.seen_seq < head.floor:
        return True
    changed = sa.exists().where(
        ChangeLogModel.change == ChangeCommitModel.change, ChangeCommitModel.commit_seq > standing.seen_seq, concerns
    )
    return bool((await session.execute(sa.select(changed))).scalar_one())


async def note_done(session: WriteSession, row: Any, *, asked: int, seen_seq: int, now_ms: int) -> None:
    """Say that a computation is done. `asked` is the count that it found: what was asked meanwhile is still to be done."""
    row.done, row.seen_seq, row.computed_at_ms = asked, seen_seq, now_ms
    await session.flush()
