"""Rows in memory while something is decided, on both engines."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from server.runtime.database import Database
from server.runtime.outages import is_clash
from server.runtime.rows import fetch_row, fetch_rows, table_of
from server.runtime.unit_of_work import IdInUseError, UnitOfWork
from sync_protocol.entities.catalog import Product, Unit
from sync_protocol.entities.inventory import StockLevel
from tests.support.world import World


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


def unit(number: int, **changed: Any) -> Unit:
    return msgspec.structs.replace(Unit(id=UUID(int=number), code=f"U{number}", name="A unit"), **changed)


async def test_what_is_made_changed_and_deleted_is_seen_at_once_and_written_at_the_end(world: World) -> None:
    levels = world.company.levels
    async with world.database.write() as session:
        work = await UnitOfWork.of(session)
        work.insert(unit(1), unit(2))
        work.replace(unit(2, name="Another"))
        work.remove(unit(1))
        level = await work.get(StockLevel, levels[0].id, lock=True)
        assert level is not None
        work.replace(msgspec.structs.replace(level, allocated=4))
        assert (await work.get(StockLevel, levels[0].id)) == msgspec.structs.replace(level, allocated=4)
        assert await work.get(Unit, UUID(int=1)) is None
        assert [found.name for found in await work.find(Unit, code="U2")] == ["Another"]
        assert await fetch_row(session, Unit, UUID(int=2)) is None, "nothing is written before the end"
        await work.flush()
    async with world.database.read() as session:
        assert await fetch_row(session, Unit, UUID(int=1)) is None
        assert await fetch_row(session, Unit, UUID(int=2)) == unit(2, name="Another")
        stored = await fetch_rows(session, StockLevel)
    assert {level.id: level.allocated for level in stored} == {level.id: 4 * (level.id == levels[0].id) for level in levels}


async def test_a_row_that_is_deleted_and_made_again_is_changed(world: World) -> None:
    await write(world, unit(1), unit(2))
    async with world.database.write() as session:
        work = await UnitOfWork.of(session)
        old = await work.get(Unit, UUID(int=1), lock=True)
        assert old is not None
        work.remove(old)
        assert await work.find(Unit, code="U1") == []
        work.insert(unit(1, name="Anew"))
        gone = await work.get(Unit, UUID(int=2), lock=True)
        assert gone is not None
        work.remove(gone)
        await work.flush()
    async with world.database.read() as session:
        found = await fetch_rows(session, Unit, table_of(Unit).c.code.like("U%"))
    assert found == [unit(1, name="Anew")]


async def test_an_id_that_is_taken_is_refused_at_once_where_that_is_known_and_by_the_database_where_not(world: World) -> None:
    async with world.database.write() as session:
        work = await UnitOfWork.of(session)
        work.insert(unit(1))
        with pytest.raises(IdInUseError):
            work.insert(unit(1))
        await work.load(Unit, [world.company.unit.id])
        with pytest.raises(IdInUseError):
            work.insert(world.company.unit)
    with pytest.raises(DBAPIError) as refused:
        await write(world, unit(7), world.company.unit)
    assert is_clash(refused.value)
    async with world.database.read() as session:
        assert await fetch_row(session, Unit, UUID(int=7)) is None


async def write(world: World, *rows: Unit) -> None:
    async with world.database.write() as session:
        work = await UnitOfWork.of(session)
        work.insert(*rows)
        await work.flush()


async def test_a_row_that_is_not_locked_may_not_be_changed(world: World) -> None:
    async with world.database.write() as session:
        work = await UnitOfWork.of(session)
        product = await work.get(Product, world.company.products[0].id)
        assert product is not None
        with pytest.raises(AssertionError):
            work.replace(product)
        with pytest.raises(AssertionError):
            work.remove(product)


async def test_a_row_beyond_its_limits_is_refused(world: World) -> None:
    async with world.database.write() as session:
        work = await UnitOfWork.of(session)
        with pytest.raises(msgspec.ValidationError):
            work.insert(unit(1, code="x" * 65))


async def test_rows_are_found_by_several_columns_once_for_many_keys(world: World) -> None:
    location = world.company.locations[0].id
    async with world.database.write() as session:
        work = await UnitOfWork.of(session)
        keys = [(product.id, location) for product in world.company.products]
        await work.load_by(StockLevel, ("product_id", "stock_location_id"), keys, lock=True)
        await session.execute(sa.update(table_of(StockLevel)).values(on_hand=1))
        found = [
            level
            for product in world.company.products
            for level in await work.find(StockLevel, product_id=product.id, stock_location_id=location)
        ]
        assert [level.product_id for level in found] == [product.id for product in world.company.products]
        assert {level.on_hand for level in found} == {10}, "what is here is not read a second time"
        assert await work.find(StockLevel, product_id=location, stock_location_id=location) == []
