"""The sums that replicas are compared by equal what the tables hold, whoever writes and however (I-3)."""

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from sqlalchemy.dialects import postgresql

from server.catalog.models import CategoryModel
from server.changelog.log import age_out, compact_sums, seal, seal_foreign_writes
from server.changelog.models import BucketSumModel, ChangeCommitModel, ChangeLogModel
from server.changelog.sums import bucket_sql, checksum_sql, range_sql
from server.customers.models import AddressModel, CustomerModel
from server.migrations import migrate
from server.runtime.database import Base, Database, WriteSession
from sync_protocol.checksums import row_checksum
from sync_protocol.entities import SYNCED, Synced
from sync_protocol.values import Row
from sync_protocol.wire.codec import stored_values
from tests.support.change_log import IDS, connect_foreign, literal, write_past_the_server
from tests.support.strategies import instances


def category(code: str, row_id: UUID | None = None) -> CategoryModel:
    return CategoryModel(id=row_id or IDS.new(), code=code, name=f"Category {code}")


def customer(code: str) -> CustomerModel:
    return CustomerModel(id=IDS.new(), code=code, name=f"Customer {code}", status="active", note="")


def address(customer_id: UUID) -> AddressModel:
    texts = dict.fromkeys(("label", "street", "postal_code", "city", "region"), "x")
    return AddressModel(id=IDS.new(), customer_id=customer_id, country="DE", **texts)


async def add(database: Database, *models: object) -> None:
    for model in models:
        async with database.write() as session:
            session.add(model)


async def run(database: Database, *statements: sa.Executable) -> None:
    async with database.write() as session:
        for statement in statements:
            await session.execute(statement)


Sums = dict[tuple[str, int], tuple[int, int]]


async def kept(database: Database) -> Sums:
    """What the kept sums say that each range of each bucket holds."""
    summed = BucketSumModel
    query = sa.select(summed.bucket, summed.range, sa.func.sum(summed.rows), sa.func.sum(summed.checksum)).group_by(
        summed.bucket, summed.range
    )
    async with database.read() as session:
        found = (await session.execute(query)).all()
    return {(bucket, number): (int(rows), int(checksum)) for bucket, number, rows, checksum in found if rows or checksum}


async def recounted(database: Database) -> Sums:
    """What the tables hold, counted here in Python with nothing but the rows' values."""
    counted: Sums = {}
    async with database.read() as session:
        for synced in SYNCED:
            columns = ", ".join(synced.row.__struct_fields__)
            for row in (await session.execute(sa.text(f"SELECT {columns} FROM {synced.name}"))).all():
                values = tuple(value.bytes if hasattr(value, "bytes") else value for value in row)
                named = dict(zip(synced.row.__struct_fields__, values, strict=True))
                key = synced.bucket.key
                bucket = synced.bucket.kind if key is None else f"{synced.bucket.kind}:{named[key].hex()}"
                place = (bucket, named["id"][15] if synced.bucket.is_shared else 0)
                rows, checksum = counted.get(place, (0, 0))
                counted[place] = (rows + 1, checksum + row_checksum(synced, values))
    return counted


async def assert_true(database: Database) -> None:
    await seal_foreign_writes(database)
    assert await kept(database) == await recounted(database)


# Each way to write


async def test_rows_that_come_change_and_go_are_counted(database: Database) -> None:
    models = [category(f"C{number}") for number in range(20)]
    await add(database, *models)
    await assert_true(database)
    await run(database, sa.update(CategoryModel).where(CategoryModel.code < "C15").values(name="Größe 🚚"))
    await assert_true(database)
    await run(database, sa.delete(CategoryModel).where(CategoryModel.code > "C15"))
    await assert_true(database)
    await run(database, sa.delete(CategoryModel))
    assert await kept(database) == {}


async def test_a_row_that_moves_is_counted_where_it_is(database: Database) -> None:
    old, new = customer("OLD"), customer("NEW")
    await add(database, old, new, address(old.id))
    await run(database, sa.update(AddressModel).values(customer_id=new.id, city="elsewhere"))
    await assert_true(database)
    await run(database, sa.update(AddressModel).values(customer_id=old.id))
    await assert_true(database)
    assert {rows for (bucket, _), (rows, _) in (await kept(database)).items() if bucket == f"account:{old.id.hex}"} == {2}


async def test_several_changes_of_a_row_in_one_transaction_count_once(database: Database) -> None:
    row_id = IDS.new()
    async with database.write() as session:
        session.add(category("A", row_id))
        await session.flush()
        for name in ("second", "third"):
            await session.execute(sa.update(CategoryModel).values(name=name))
        await session.execute(sa.delete(CategoryModel))
        session.add(CategoryModel(id=row_id, code="B", name="back"))
    await assert_true(database)


async def test_what_is_rolled_back_does_not_count(database: Database) -> None:
    await add(database, category("KEPT"))
    async with database.write() as session:
        session.add(category("BEFORE"))
        await session.flush()
        nested = await session.begin_nested()
        await session.execute(sa.update(CategoryModel).values(name="undone"))
        await session.execute(sa.delete(CategoryModel).where(CategoryModel.code == "KEPT"))
        await nested.rollback()
        session.add(category("AFTER"))
    await assert_true(database)


async def test_what_another_program_writes_counts(database: Database) -> None:
    await add(database, category("DOOMED"), category("CHANGED"))
    await write_past_the_server(
        database,
        f"INSERT INTO category (id, code, name) VALUES ({literal(database, IDS.new())}, 'FRESH', 'raw')",
        "UPDATE category SET name = 'raw ü' WHERE code = 'CHANGED'",
        "UPDATE category SET name = 'again' WHERE code = 'CHANGED'",
        "DELETE FROM category WHERE code = 'DOOMED'",
    )
    await write_past_the_server(database, "UPDATE category SET name = 'twice' WHERE code = 'FRESH'")
    await assert_true(database)
    await write_past_the_server(database, "UPDATE category SET name = 'and'", "DELETE FROM category WHERE code = 'FRESH'")
    await add(database, category("SEALS"))
    await assert_true(database)


async def test_a_transaction_that_seals_and_goes_on_counts_both_parts(database: Database) -> None:
    async with database.write() as session:
        session.add(category("A"))
        await session.flush()
        await seal(session)
        await session.execute(sa.update(CategoryModel).values(name="on"))
        session.add(category("B"))
    await assert_true(database)


async def test_a_row_deleted_and_inserted_again_counts(database: Database) -> None:
    row_id = IDS.new()
    await add(database, category("A", row_id))
    await run(database, sa.delete(CategoryModel))
    await add(database, category("A", row_id))
    await assert_true(database)


async def test_a_column_that_never_travels_changes_no_sum(database: Database) -> None:
    """Whatever such columns there are now or later: an update that leaves what travels as it is."""
    await add(database, category("A"))
    before = await kept(database)
    await run(database, sa.update(CategoryModel).values(name=CategoryModel.name))
    assert await kept(database) == before


async def test_a_replaced_row_counts_no_more(sqlite_database: Database) -> None:
    await add(sqlite_database, category("A"))
    insert = sa.insert(CategoryModel).prefix_with("OR REPLACE")
    await run(sqlite_database, insert.values(id=IDS.new(), code="A", name="other"))
    await assert_true(sqlite_database)


async def test_copy_counts(postgres: Database) -> None:
    connection = await connect_foreign(postgres)
    records = [(IDS.new(), f"{number}", "copied") for number in range(500)]
    await connection.copy_records_to_table("category", records=records, columns=["id", "code", "name"])
    await connection.close()
    await assert_true(postgres)


async def test_merge_counts(postgres: Database) -> None:
    await add(postgres, category("A"), category("B"))
    await write_past_the_server(
        postgres,
        """
        MERGE INTO category USING (VALUES ('A', 'x'), ('B', 'y'), ('C', 'z')) AS given (code, name) ON category.code = given.code
         WHEN MATCHED AND given.code = 'A' THEN DELETE
         WHEN MATCHED THEN UPDATE SET name = given.name
         WHEN NOT MATCHED THEN INSERT (id, code, name) VALUES (gen_random_uuid(), given.code, given.name)
        """,
    )
    await assert_true(postgres)


# Writers, ageing, adding up, migrating


async def test_writers_of_one_bucket_do_not_wait_for_each_other(postgres: Database) -> None:
    async with asyncio.timeout(10), postgres.write() as session:
        session.add(category("SLOW"))
        await session.flush()
        await asyncio.gather(*(add(postgres, category(f"QUICK{number}")) for number in range(10)))
        async with postgres.write() as adding:
            await compact_sums(adding)
    await assert_true(postgres)


async def test_writers_of_the_same_rows_count_each_change_once(postgres: Database) -> None:
    models = [category(f"C{number}") for number in range(5)]
    await add(postgres, *models)

    async def write(number: int) -> None:
        async with postgres.write() as session:
            model = models[number % 5]
            await session.execute(sa.update(CategoryModel).where(CategoryModel.id == model.id).values(name=f"by {number}"))
            if number % 3 == 0:
                deleted = sa.delete(CategoryModel).where(CategoryModel.id == model.id).returning(CategoryModel.id)
                if (await session.execute(deleted)).all():
                    session.add(CategoryModel(id=model.id, code=model.code, name="again"))

    await asyncio.gather(*(write(number) for number in range(40)))
    await assert_true(postgres)


async def test_adding_up_keeps_the_sums_and_shortens_them(database: Database) -> None:
    await add(database, *(category(f"C{number}") for number in range(10)))
    await run(database, sa.update(CategoryModel).values(name="new"))
    await run(database, sa.delete(CategoryModel).where(CategoryModel.code < "C5"))
    before = await kept(database)
    for _ in range(2):
        async with database.write() as session:
            await compact_sums(session)
        assert await kept(database) == before == await recounted(database)
    async with database.read() as session:
        assert set((await session.execute(sa.select(BucketSumModel.change))).scalars()) == {0}
    await run(database, sa.update(CategoryModel).values(name="newer"))
    await assert_true(database)


async def test_ageing_out_changes_no_sum(database: Database) -> None:
    await add(database, category("A"), category("B"))
    await run(database, sa.delete(CategoryModel).where(CategoryModel.code == "A"))
    await run(database, sa.update(ChangeCommitModel).values(committed_at_ms=1))
    async with database.write() as session:
        assert await age_out(session, now_ms=92 * 86_400_000, retention_days=90) == 1
    await assert_true(database)


async def test_a_migration_counts_what_was_there_before_there_were_sums(database: Database) -> None:
    owner = customer("C1")
    await add(database, owner, address(owner.id), category("A"), category("DELETED"))
    await run(database, sa.delete(CategoryModel).where(CategoryModel.code == "DELETED"))
    await run(database, sa.update(ChangeLogModel).values(checksum=None), sa.delete(BucketSumModel))
    for _ in range(2):
        await migrate(database)
        await assert_true(database)


async def test_a_migration_leaves_what_is_not_sealed_to_sealing(sqlite_database: Database) -> None:
    await write_past_the_server(sqlite_database, "INSERT INTO category (id, code, name) VALUES (randomblob(16), 'A', 'raw')")
    await migrate(sqlite_database)
    await assert_true(sqlite_database)


# Random writes

ACTS = ("insert", "insert", "update", "move", "delete", "again", "savepoint", "rollback", "add up", "foreign")


@pytest.mark.parametrize("seed", range(12))
async def test_after_random_writes_the_sums_are_what_the_tables_hold(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(5):
        await write_at_random(database, [(chance.choice(ACTS), chance.randrange(1000)) for _ in range(12)])
        await assert_true(database)


async def write_at_random(database: Database, acts: list[tuple[str, int]]) -> None:
    owners = [customer(f"O{number}{IDS.new().hex}") for number in range(3)]
    await add(database, *owners)
    gone: list[Any] = []
    for act, number in acts:
        if act == "add up":
            async with database.write() as session:
                await compact_sums(session)
        elif act == "foreign":
            await write_past_the_server(database, f"UPDATE address SET city = 'city {number} ß' WHERE region < '{number % 10}'")
        else:
            async with database.write() as session:
                await _act(session, act, number, owners, gone)


async def _act(session: WriteSession, act: str, number: int, owners: list[CustomerModel], gone: list[Any]) -> None:
    owner = owners[number % 3]
    some = sa.func.substr(AddressModel.label, 1, 1) == str(number % 10)
    if act == "insert":
        session.add_all(_address(IDS.new(), owner, number + each) for each in range(number % 7))
    elif act == "again" and gone:
        session.add(_address(gone.pop(), owner, number))
    elif act == "update":
        await session.execute(sa.update(AddressModel).where(some).values(street=f"Straße {number}"))
    elif act == "move":
        await session.execute(sa.update(AddressModel).where(some).values(customer_id=owner.id))
    elif act == "delete":
        found = (await session.execute(sa.select(AddressModel.id).where(some))).scalars().all()
        gone.extend(found)
        await session.execute(sa.delete(AddressModel).where(some))
    elif act in {"savepoint", "rollback"}:
        session.add(_address(IDS.new(), owner, number))
        await session.flush()
        nested = await session.begin_nested()
        await session.execute(sa.update(AddressModel).values(city=f"{act} {number}", customer_id=owner.id))
        await (nested.commit() if act == "savepoint" else nested.rollback())


def _address(row_id: Any, owner: CustomerModel, number: int) -> AddressModel:
    made = address(owner.id)
    made.id, made.label, made.region = row_id, f"{number % 10} 🏠", str(number % 10)
    return made


# The checksum itself


async def test_postgresql_and_sqlite_find_the_checksum_that_python_finds(database: Database) -> None:
    """Rows of every entity within the limits of its fields, text of any kind, nulls and extremes."""
    drawn = {synced: _drawn(synced) for synced in SYNCED}
    async with database.read() as session:
        for synced, rows in drawn.items():
            expression = checksum_sql(synced, "t", is_sqlite=database.is_sqlite)
            number = range_sql(synced, "t.id", is_sqlite=database.is_sqlite)
            bucket = bucket_sql(synced, "t", is_sqlite=database.is_sqlite)
            table = Base.metadata.tables[synced.name]
            names = synced.row.__struct_fields__
            source = ", ".join(f"{_typed(table.c[name], database)} AS {name}" for name in names)
            statement = sa.text(f"SELECT {expression}, {number}, {bucket} FROM (SELECT {source}) AS t")
            typed = statement.bindparams(*(sa.bindparam(name, type_=table.c[name].type) for name in names))
            for row in rows:
                values = stored_values(row)
                found = (await session.execute(typed, {name: getattr(row, name) for name in names})).one()
                key = synced.bucket.key
                suffix = f":{getattr(row, key).hex}" if key else ""
                expected = (row_checksum(synced, values), synced.bucket.range_of(row.id), synced.bucket.kind + suffix)
                assert tuple(found) == expected, row


def _typed(column: sa.Column[Any], database: Database) -> str:
    kind = column.type.compile(postgresql.dialect())
    return f":{column.name}" if database.is_sqlite else f"CAST(:{column.name} AS {kind})"


def _drawn(synced: Synced) -> list[Row]:
    rows: list[Row] = []

    @settings(max_examples=60, database=None)
    @given(instances(synced.row))
    def draw(row: Row) -> None:
        if not any(isinstance(value, str) and "\0" in value for value in stored_values(row)):
            rows.append(row)  # PostgreSQL stores no NUL

    draw()
    return rows
