"""Rows that the office keeps: lists of them, one of them, written and deleted."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from server.pricing.administered import Kind
from server.pricing.computed_changes import ask_if_asked_by, hold_costs_if_asked_by
from server.pricing.consumption import counted_anew
from server.pricing.errors import (
    PriceRowExistsError,
    PriceRowNotFoundError,
    ReferredToError,
    RemainingOvertakenError,
    UnfitPriceRowError,
    ValueTakenError,
)
from server.pricing.fitness import faults_of
from server.pricing.referrals import missing_references, referrers_of
from server.pricing.surroundings import surroundings_of
from server.runtime.clock import IdSource
from server.runtime.database import ReadSession, WriteSession
from server.runtime.outages import is_clash
from server.runtime.rows import as_row, fetch_row, table_of
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.promotions import Promotion
from sync_protocol.values import Row, normal_text

Taxed = TypeVar("Taxed", Customer, Product)


async def page_of(session: ReadSession, kind: Kind, chosen: Mapping[str, Any], *, after: UUID | None, limit: int) -> list[Row]:
    """Rows in the order of their ids; what is chosen must hold together, and None does not restrict."""
    columns = kind.table.c
    spelt = {name: normal_text(value) if isinstance(value, str) else value for name, value in chosen.items()}
    conditions = [columns[name] == value for name, value in spelt.items() if value is not None]
    if after is not None:
        conditions.append(columns.id > after)
    query = _select(kind).where(*conditions).order_by(columns.id).limit(limit)
    return [as_row(kind.row, record) for record in await session.execute(query)]


async def open_row(session: ReadSession, kind: Kind, row_id: UUID) -> Row:
    """Raises PriceRowNotFoundError."""
    row = await _find(session, kind, row_id)
    if row is None:
        raise PriceRowNotFoundError(kind.name, row_id, kind.path)
    return row


async def create_row(session: WriteSession, kind: Kind, row_id: UUID, entered: msgspec.Struct, ids: IdSource) -> tuple[Row, bool]:
    """Make the row; whether it was made, and not there as it was sent: asked again it is only answered.

    Raises PriceRowExistsError, UnfitPriceRowError, ValueTakenError.
    """
    await hold_costs_if_asked_by(session, kind.row)
    former = await _find(session, kind, row_id)
    if former is None:
        return await _store(session, kind, kind.row_of(entered, row_id, None), None, ids), True
    if kind.row_of(entered, row_id, former) != former:
        raise PriceRowExistsError(kind.name, row_id, kind.path)
    return former, False


async def put_row(session: WriteSession, kind: Kind, row_id: UUID, entered: msgspec.Struct, ids: IdSource) -> tuple[Row, bool]:
    """Make the row, or replace it as a whole; whether it was made.

    Raises UnfitPriceRowError, RemainingOvertakenError, ValueTakenError.
    """
    await hold_costs_if_asked_by(session, kind.row)
    if getattr(entered, "id", None) not in {None, row_id}:
        raise UnfitPriceRowError({"id": "differs from that in the path; leave it out"})
    former = await _find(session, kind, row_id, lock=True)
    if former is not None:
        _refuse_overtaken(kind, entered, former)
    return await _store(session, kind, kind.row_of(entered, row_id, former), former, ids), former is None


def _refuse_overtaken(kind: Kind, entered: msgspec.Struct, former: Row) -> None:
    for name, seen_name in kind.taken_from.items():
        now = getattr(former, name)
        if now is not None and now not in {getattr(entered, name), getattr(entered, seen_name)}:
            raise RemainingOvertakenError(name, now, seen_name)


async def _store(session: WriteSession, kind: Kind, row: Row, former: Row | None, ids: IdSource) -> Row:
    """Insert the row, never over one that came meanwhile, or write it in the place of the former."""
    faults = await missing_references(session, kind, row)
    faults |= faults_of(row, await surroundings_of(session, row, former))
    if faults:
        raise UnfitPriceRowError(faults)
    await _refuse_taken(session, kind, row)
    if isinstance(row, Promotion):
        row = await counted_anew(session, row, former if isinstance(former, Promotion) else None, ids)
    write = sa.insert(kind.table) if former is None else sa.update(kind.table).where(kind.table.c.id == row.id)
    try:
        await session.execute(write.values(**msgspec.structs.asdict(row)))
    except IntegrityError as error:
        if not is_clash(error):
            raise
        raise ValueTakenError(kind.name, next(iter(kind.unique), ("id",))) from error
    await ask_if_asked_by(session, kind.row)
    return row


async def delete_row(session: WriteSession, kind: Kind, row_id: UUID) -> None:
    """Raises PriceRowNotFoundError, ReferredToError."""
    await hold_costs_if_asked_by(session, kind.row)
    if await _find(session, kind, row_id, lock=True) is None:
        raise PriceRowNotFoundError(kind.name, row_id, kind.path)
    referrers = await referrers_of(session, kind, row_id)
    if referrers:
        raise ReferredToError(kind.name, row_id, referrers)
    await session.execute(sa.delete(kind.table).where(kind.table.c.id == row_id))
    await ask_if_asked_by(session, kind.row)


async def set_tax_code(session: WriteSession, row: type[Taxed], row_id: UUID, tax_code: str) -> Taxed:
    """Say what kind of customer or product it is to the taxes. Raises PriceRowNotFoundError, UnfitPriceRowError."""
    table = table_of(row)
    found = await fetch_row(session, row, row_id, lock=True)
    if found is None:
        raise PriceRowNotFoundError(table.name, row_id, "")
    changed = msgspec.structs.replace(found, tax_code=normal_text(tax_code))
    if not changed.tax_code:
        raise UnfitPriceRowError({"tax_code": "is blank; give a text"})
    await session.execute(sa.update(table).where(table.c.id == row_id).values(tax_code=changed.tax_code))
    return changed


def _select(kind: Kind) -> sa.Select[Any]:
    return sa.select(*(kind.table.c[name] for name in kind.fields))


async def _find(session: ReadSession, kind: Kind, row_id: UUID, *, lock: bool = False) -> Row | None:
    query = _select(kind).where(kind.table.c.id == row_id)
    record = (await session.execute(query.with_for_update() if lock else query)).one_or_none()
    return as_row(kind.row, record) if record is not None else None


async def _refuse_taken(session: ReadSession, kind: Kind, row: Row) -> None:
    for columns in kind.unique:
        same = [kind.table.c[name] == getattr(row, name) for name in columns]
        query = sa.select(kind.table.c.id).where(*same, kind.table.c.id != row.id)
        other_id = (await session.execute(query.limit(1))).scalar_one_or_none()
        if other_id is not None:
            raise ValueTakenError(kind.name, columns, other_id)
