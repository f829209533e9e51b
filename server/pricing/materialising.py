"""A run computes what is due: each list after the one that it is made of, then floors. One at a time in an installation."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import msgspec

from server.changelog.log import read_head, seal_foreign_writes
from server.pricing.computed_changes import (
    EVERYTHING,
    NOTHING,
    SEEN_BEHIND_MAX,
    Products,
    Standing,
    floors_are_due_for,
    list_is_due_for,
    note_done,
)
from server.pricing.computed_errors import ComputingBusyError
from server.pricing.computed_floors import compute_floors, margins_of
from server.pricing.computed_lists import ComputedList, computed_lists, open_computed_list, problem_of_currency
from server.pricing.computed_models import FLOORS, ComputedListModel, FloorComputationModel
from server.pricing.computing import Counts, Recipe, compute_entries, parents_of
from server.runtime.clock import Clock
from server.runtime.database import Database, ReadSession
from server.runtime.jobs import election_of
from server.runtime.rows import fetch_row
from server.runtime.slices import Job, JobContext
from sync_protocol.entities.pricing import PriceList

LOCK_NAME: Final = "price-computing"
_log = logging.getLogger(__name__)


class ListRun(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a list that was due. With a `problem` its prices stay as they were; `is_complete` is false where its rules
    were changed meanwhile: the next run goes on.
    """

    price_list_id: UUID
    counts: Counts = Counts()
    is_complete: bool = True
    problem: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a run wrote: of each list that was due, and of floors, where these were."""

    lists: tuple[ListRun, ...]
    floors: Counts | None


class _Due(msgspec.Struct, frozen=True, kw_only=True):
    """A list as it is begun, for which products, and how far it is behind the log."""

    products: Products
    behind: int

    computed: ComputedList
    price_list: PriceList
    base: PriceList | None
    parents: dict[UUID, UUID | None]
    asked: int
    seen_seq: int


async def materialise(database: Database, clock: Clock, *, price_list_id: UUID | None = None, every: bool = False) -> Run:
    """Compute what is due, or everything; or one list and those that it is made of. Raises ComputingBusyError."""
    async with _alone(database):
        await seal_foreign_writes(database)
        async with database.read() as session:
            found = await computed_lists(session)
        chosen = found if price_list_id is None else _with_bases(found, price_list_id)
        lists = []
        for each in chosen:
            run = await _compute_list(database, clock, each.price_list_id, every=every or each.price_list_id == price_list_id)
            lists += [run] if run is not None else []
        floors = await _compute_floors(database, clock, every=every) if price_list_id is None else None
        return Run(lists=tuple(lists), floors=floors)


@asynccontextmanager
async def _alone(database: Database) -> AsyncIterator[None]:
    """Raises ComputingBusyError where another computes."""
    lock = election_of(database, LOCK_NAME)
    try:
        if not await lock.hold():
            raise ComputingBusyError
        yield
    finally:
        await lock.resign()


def _with_bases(found: Any, price_list_id: UUID) -> list[ComputedList]:
    """The list and those that it is made of, in their order."""
    bases = {each.price_list_id: each.definition.base_list_id for each in found}
    wanted: set[UUID] = set()
    each: UUID | None = price_list_id
    while each in bases and each not in wanted:
        assert each is not None
        wanted.add(each)
        each = bases[each]
    return [each for each in found if each.price_list_id in wanted]


async def _compute_list(database: Database, clock: Clock, price_list_id: UUID, *, every: bool) -> ListRun | None:
    """Compute a list where it is due; None where it is not, or is computed no more."""
    async with database.read() as session:
        due = await _due_list(session, price_list_id, every=every)
    if due is None:
        return None
    if due.products == NOTHING:
        if due.behind > SEEN_BEHIND_MAX:
            await _note_list(database, due, clock.now_ms(), due.computed.problem)
        return None
    if due.base is not None and due.base.currency != due.price_list.currency:
        problem = f"base_list_id {problem_of_currency(due.price_list, due.base)}"
        await _note_list(database, due, clock.now_ms(), problem)
        return ListRun(price_list_id=price_list_id, problem=problem)
    counts = await compute_entries(database, Recipe(due.price_list, due.computed.definition, due.parents), due.products)
    if counts is None:
        return ListRun(price_list_id=price_list_id, is_complete=False)
    await _note_list(database, due, clock.now_ms(), None)
    if counts.made or counts.changed or counts.removed:
        _log.info("price list %s: %s made, %s changed, %s removed", price_list_id, counts.made, counts.changed, counts.removed)
    return ListRun(price_list_id=price_list_id, counts=counts)


async def _due_list(session: ReadSession, price_list_id: UUID, *, every: bool) -> _Due | None:
    """How a list stands; None where it is computed no more."""
    row = await session.get(ComputedListModel, price_list_id)
    if row is None:
        return None
    head = await read_head(session)
    lists = [each for each in (price_list_id, row.base_list_id) if each is not None]
    price_list = await fetch_row(session, PriceList, price_list_id)
    assert price_list is not None
    return _Due(
        products=EVERYTHING if every else await list_is_due_for(session, _standing(row), lists, head),
        behind=head.head - row.seen_seq,
        computed=await open_computed_list(session, price_list_id),
        price_list=price_list,
        base=await fetch_row(session, PriceList, row.base_list_id) if row.base_list_id is not None else None,
        parents=await parents_of(session),
        asked=row.asked,
        seen_seq=head.head,
    )


def _standing(row: ComputedListModel | FloorComputationModel) -> Standing:
    return Standing(asked=row.asked, done=row.done, seen_seq=row.seen_seq, computed_at_ms=row.computed_at_ms)


async def _note_list(database: Database, due: _Due, now_ms: int, problem: str | None) -> None:
    """Note what is done; a list that is computed no more has no place for it."""
    async with database.write() as session:
        row = await session.get(ComputedListModel, due.price_list.id, with_for_update=True)
        if row is not None:
            row.problem = problem
            await note_done(session, row, asked=due.asked, seen_seq=due.seen_seq, now_ms=now_ms)


async def _compute_floors(database: Database, clock: Clock, *, every: bool) -> Counts | None:
    """Compute the floors where they are due."""
    now_ms = clock.now_ms()
    async with database.read() as session:
        row = await session.get_one(FloorComputationModel, FLOORS)
        head, standing = await read_head(session), _standing(row)
        products = EVERYTHING if every else await floors_are_due_for(session, standing, head, now_ms)
        margins = await margins_of(session, await parents_of(session))
    if products == NOTHING and head.head - standing.seen_seq <= SEEN_BEHIND_MAX:
        return None
    counts = await compute_floors(database, margins, now_ms, products) if products != NOTHING else None
    async with database.write() as session:
        row = await session.get_one(FloorComputationModel, FLOORS, with_for_update=True)
        await note_done(session, row, asked=standing.asked, seen_seq=head.head, now_ms=now_ms)
    if counts is not None and (counts.made or counts.changed or counts.removed):
        _log.info("floors: %s made, %s changed, %s removed", counts.made, counts.changed, counts.removed)
    return counts


async def materialise_what_is_due(context: JobContext) -> None:
    """The job."""
    try:
        await materialise(context.database, context.clock)
    except ComputingBusyError:
        _log.info("prices are being computed by another; this process waits for its next turn")


JOBS: Final = (Job(name="materialise_prices", interval_seconds=60, run=materialise_what_is_due),)
