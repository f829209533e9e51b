"""The schema's history, on both engines."""

import asyncio
import warnings
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SAWarning

import server.app  # noqa: F401  # every slice's tables
from server.changelog.log import read_head
from server.customers.models import RepModel
from server.migrations import alembic_config, migrate
from server.pricing.models import HonourPolicyModel
from server.runtime.database import Base, Database
from server.runtime.rows import insert_rows
from sync_protocol.entities.catalog import Product, ProductStatus, Unit
from sync_protocol.entities.customers import Segment
from sync_protocol.entities.pricing import PriceEntry, PriceList
from tests.support.change_log import IDS, entries, positions
from tests.support.databases import open_database

REVISIONS = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]


def differences(connection: sa.Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    with warnings.catch_warnings():
        # An index of an expression cannot be read back from SQLite; PostgreSQL's is compared.
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index", SAWarning)
        warnings.filterwarnings("ignore", "autogenerate skipping metadata-specified expression-based index", UserWarning)
        return list(compare_metadata(context, Base.metadata))


async def add_rep(database: Database, code: str) -> None:
    async with database.write() as session:
        session.add(RepModel(id=IDS.new(), code=code, name="A rep"))


async def downgrade_to_base(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "base"))


async def test_the_newest_schema_equals_the_models(database: Database) -> None:
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


def test_history_has_one_end() -> None:
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1


@pytest.mark.parametrize("revision", REVISIONS)
async def test_every_earlier_schema_comes_up_to_the_newest(empty_database_url: str, revision: str) -> None:
    database = open_database(empty_database_url)
    try:
        await migrate(database, revision)
        await migrate(database)
        async with database.engine.connect() as connection:
            assert await connection.run_sync(differences) == []
        await add_rep(database, "R1")
        assert await positions(database) == [1]
    finally:
        await database.close()


async def test_migrating_again_changes_nothing(database: Database) -> None:
    await add_rep(database, "R1")
    async with database.read() as session:
        before = await read_head(session)
    logged = await entries(database)
    await migrate(database)
    async with database.read() as session:
        assert await read_head(session) == before
    assert await entries(database) == logged


async def test_capture_goes_on_after_migrating_again(database: Database) -> None:
    await add_rep(database, "R1")
    await migrate(database)
    await add_rep(database, "R2")
    assert await positions(database) == [1, 2]


async def test_processes_that_start_together_migrate_one_after_the_other(empty_database_url: str) -> None:
    databases = [open_database(empty_database_url) for _ in range(4)]
    try:
        await asyncio.gather(*(migrate(database) for database in databases))
        await asyncio.gather(*(add_rep(database, f"R{number}") for number, database in enumerate(databases)))
        assert await positions(databases[0]) == [1, 2, 3, 4]
    finally:
        await asyncio.gather(*(database.close() for database in databases))


async def test_every_log_has_an_identity_of_its_own(empty_database_url: str, database: Database) -> None:
    other = open_database(empty_database_url)
    try:
        await migrate(other)
        async with database.read() as one, other.read() as another:
            assert (await read_head(one)).epoch != (await read_head(another)).epoch
    finally:
        await other.close()


async def test_the_schema_goes_down_to_nothing_and_up_again(database: Database) -> None:
    await add_rep(database, "R1")
    await downgrade_to_base(database)
    async with database.engine.connect() as connection:
        assert await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()) == ["alembic_version"]
    await migrate(database)
    await add_rep(database, "R1")
    assert await positions(database) == [1]


async def test_prices_with_windows_and_packs_go_down_to_those_of_now(database: Database) -> None:
    """The older schema has one price for a break."""
    unit = Unit(id=IDS.new(), code="PCE", name="Piece")
    product = Product(id=IDS.new(), sku="A", name="A", description="", unit_id=unit.id, status=ProductStatus.ACTIVE)
    prices = PriceList(id=IDS.new(), code="STD", name="Standard", currency="EUR")
    common: dict[str, Any] = {"price_list_id": prices.id, "product_id": product.id, "min_quantity": 1}
    rows = [
        PriceEntry(id=IDS.new(), unit_price=1, valid_until_ms=1_000, **common),
        PriceEntry(id=IDS.new(), unit_price=2, valid_from_ms=1_000, valid_until_ms=200_000_000_000_000, **common),
        PriceEntry(id=IDS.new(), unit_price=3, valid_from_ms=200_000_000_000_000, **common),
        PriceEntry(id=IDS.new(), unit_price=4, per_quantity=6, **common),
    ]
    async with database.write() as session:
        for row in (unit, product, prices, *rows):
            await insert_rows(session, [row])
    async with database.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "0010"))
        kept = (await connection.execute(sa.text("SELECT unit_price FROM price_entry"))).scalars().all()
    assert kept == [2]


async def test_of_policies_for_the_same_the_one_that_counted_stays(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    try:
        await migrate(database, "0016")
        prices = PriceList(id=IDS.new(), code="STD", name="Standard", currency="EUR")
        segment = Segment(id=IDS.new(), code="GOLD", name="Gold")
        ids = sorted(IDS.new() for _ in range(7))
        common = {"mode": "honour", "otherwise": "hold", "hours": 1}
        async with database.write() as session:
            for row in (prices, segment):
                await insert_rows(session, [row])
            targets: list[dict[str, Any]] = [{"price_list_id": prices.id}, {"segment_id": segment.id}, {}]
            values = [{"id": each, **common, **targets[place % 3]} for place, each in enumerate(ids[:6])]
            for value in reversed(values):
                await session.execute(sa.insert(HonourPolicyModel).values(value))
            await session.execute(sa.update(HonourPolicyModel).where(HonourPolicyModel.id == ids[0]).values(hours=0))
        await migrate(database)
        async with database.read() as session:
            kept = (await session.execute(sa.select(HonourPolicyModel).order_by(HonourPolicyModel.id))).scalars().all()
        assert [(each.id, each.mode, each.hours) for each in kept] == [
            (ids[0], "hold", None),
            (ids[1], "honour", 1),
            (ids[2], "honour", 1),
        ]
        for target in targets:
            with pytest.raises(sa.exc.IntegrityError):
                async with database.write() as session:
                    await session.execute(sa.insert(HonourPolicyModel).values({"id": ids[6], **common, **target}))
    finally:
        await database.close()
