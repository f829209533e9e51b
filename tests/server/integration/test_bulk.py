"""Bulk writes: what they count, what they log, what they leave alone."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from server.catalog.models import UnitModel
from server.changelog.log import read_head
from server.integration.bulk import Counts, RefusedRowsError, Table, upsert_records, upsert_rows
from server.runtime.database import Database
from sync_protocol.entities import BY_NAME, Unit
from sync_protocol.entities.customers import Customer, CustomerStatus, Rep, Territory
from sync_protocol.values import uuid7

UNIT, CUSTOMER = BY_NAME["unit"], BY_NAME["customer"]


def units(count: int, *, name: str = "unit") -> list[Unit]:
    return [Unit(id=uuid7(1, place), code=f"U{place}", name=name) for place in range(count)]


async def head(database: Database) -> int:
    async with database.read() as session:
        return (await read_head(session)).head


async def test_an_upsert_counts_what_is_new_what_changed_and_what_is_as_before(database: Database) -> None:
    async with database.write() as session:
        assert await upsert_rows(session, UNIT, units(30)) == Counts(30, 0, 0)
    changed = units(10, name="other") + units(40)[20:]
    async with database.write() as session:
        assert await upsert_rows(session, UNIT, changed) == Counts(10, 10, 10)
    async with database.read() as session:
        names = (await session.execute(sa.select(UnitModel.name, sa.func.count()).group_by(UnitModel.name))).all()
    assert {row.name: row[1] for row in names} == {"other": 10, "unit": 30}


async def test_rows_that_are_there_already_are_no_change(database: Database) -> None:
    async with database.write() as session:
        await upsert_rows(session, UNIT, units(5))
    before = await head(database)
    async with database.write() as session:
        assert await upsert_rows(session, UNIT, units(5)) == Counts(0, 0, 5)
    assert await head(database) == before == 1


async def test_chunks_of_a_stream_are_one_transaction(database: Database) -> None:
    async def stream() -> AsyncIterator[Unit]:
        for unit in units(25_000):
            yield unit

    async with database.write() as session:
        assert await upsert_rows(session, UNIT, stream()) == Counts(25_000, 0, 0)
    assert await head(database) == 1


async def test_what_a_transaction_that_fails_wrote_is_not_there(database: Database) -> None:
    async def write_and_fail() -> None:
        async with database.write() as session:
            await upsert_rows(session, UNIT, units(5))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write_and_fail()
    assert await head(database) == 0
    async with database.write() as session:
        assert await upsert_rows(session, UNIT, units(5)) == Counts(5, 0, 0)


async def test_none_and_enumerations_are_stored_and_compared(database: Database) -> None:
    row = Customer(id=uuid7(1, 1), code="C1", name="Café", status=CustomerStatus.ACTIVE)
    limited = Customer(id=uuid7(1, 1), code="C1", name="Café", status=CustomerStatus.ACTIVE, review_above_minor=100)
    for given, expected in ((row, Counts(1, 0, 0)), (row, Counts(0, 0, 1)), (limited, Counts(0, 1, 0)), (row, Counts(0, 1, 0))):
        async with database.write() as session:
            assert await upsert_rows(session, CUSTOMER, [given]) == expected


async def test_a_unique_value_that_is_taken_is_refused_with_a_sentence(database: Database) -> None:
    with pytest.raises(RefusedRowsError, match=r"unit: the database refused .*\bcode\b.* run again"):
        async with database.write() as session:
            await upsert_rows(session, UNIT, [*units(1), Unit(id=uuid7(2, 2), code="U0", name="twin")])


async def test_a_table_of_nothing_but_keys_is_upserted(database: Database) -> None:
    table = Table("rep_territory", ("rep_id", "territory_id"), key=("rep_id", "territory_id"))
    rep = Rep(id=uuid7(1, 1), code="R", name="Rep")
    territory = Territory(id=uuid7(1, 2), code="T", name="Territory", time_zone="UTC")
    async with database.write() as session:
        await upsert_rows(session, BY_NAME["rep"], [rep])
        await upsert_rows(session, BY_NAME["territory"], [territory])
        assert await upsert_records(session, table, [(rep.id, territory.id)]) == Counts(1, 0, 0)
        assert await upsert_records(session, table, [(rep.id, territory.id)]) == Counts(0, 0, 1)
