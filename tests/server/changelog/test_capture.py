"""No write bypasses the log (I-3): whoever writes, on both engines, and nothing that is not a change is one."""

import asyncio
import sqlite3
import time
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DBAPIError

from server.catalog.models import CategoryModel
from server.changelog.log import age_out, read_head, seal, seal_foreign_writes
from server.changelog.models import ChangeCommitModel, ChangeHeadModel
from server.customers.models import AddressModel, CustomerModel
from server.identity.models import AttemptModel
from server.runtime.database import Database, WriteSession
from tests.support.change_log import (
    IDS,
    Entry,
    connect_foreign,
    entries,
    entry,
    leaves,
    literal,
    positions,
    write_past_the_server,
)

DAY_MS = 86_400_000


def category(code: str, row_id: UUID | None = None) -> CategoryModel:
    return CategoryModel(id=row_id or IDS.new(), code=code, name=f"Category {code}")


def customer(code: str) -> CustomerModel:
    return CustomerModel(id=IDS.new(), code=code, name=f"Customer {code}", status="active", note="")


def address(customer_id: UUID) -> AddressModel:
    texts = dict.fromkeys(("label", "street", "postal_code", "city", "region"), "x")
    return AddressModel(id=IDS.new(), customer_id=customer_id, country="DE", **texts)


async def add(database: Database, *models: object) -> None:
    """Each in a transaction of its own, so that each has a place of its own."""
    for model in models:
        async with database.write() as session:
            session.add(model)


async def run(database: Database, *statements: sa.Executable) -> None:
    async with database.write() as session:
        for statement in statements:
            await session.execute(statement)


async def head_of(database: Database) -> int:
    async with database.read() as session:
        return (await read_head(session)).head


async def date_commits(database: Database, up_to: int, committed_at_ms: int) -> None:
    await run(
        database, sa.update(ChangeCommitModel).where(ChangeCommitModel.commit_seq <= up_to).values(committed_at_ms=committed_at_ms)
    )


async def age(database: Database, *, now_ms: int) -> int:
    async with database.write() as session:
        return await age_out(session, now_ms=now_ms, retention_days=90)


# Who writes


async def test_a_row_of_the_orm_is_in_the_log(database: Database) -> None:
    row_id = IDS.new()
    await add(database, category("A", row_id))
    assert await entries(database) == [Entry("category", row_id, "catalog", 1, deleted=False)]


async def test_a_keyed_bucket_is_named_by_the_hex_of_its_key(database: Database) -> None:
    owner = customer("C1")
    await add(database, owner, address(owner.id))
    assert {each.bucket for each in await entries(database)} == {f"account:{owner.id.hex}"}


async def test_a_bulk_insert_is_one_commit_of_many_rows(database: Database) -> None:
    rows = [{"id": IDS.new(), "code": f"B{number}", "name": "bulk"} for number in range(1200)]
    await run(database, sa.insert(CategoryModel).values(rows[:100]))
    async with database.write() as session:
        await session.execute(sa.insert(CategoryModel), rows[100:])
    logged = await entries(database)
    assert {each.row_id for each in logged} == {row["id"] for row in rows}
    assert [each.commit_seq for each in logged].count(2) == 1100


async def test_a_bulk_update_logs_the_rows_it_touches_and_no_others(database: Database) -> None:
    models = [category(f"B{number}") for number in range(10)]
    await add(database, *models)
    await run(database, sa.update(CategoryModel).where(CategoryModel.code < "B4").values(name="new"))
    assert {each.row_id for each in await entries(database) if each.commit_seq == 11} == {model.id for model in models[:4]}


async def test_a_bulk_delete_leaves_tombstones(database: Database) -> None:
    await add(database, *(category(f"B{number}") for number in range(3)))
    await run(database, sa.delete(CategoryModel).where(CategoryModel.code != "B0"))
    assert [(each.commit_seq, each.deleted) for each in await entries(database)] == [(1, False), (4, True), (4, True)]


async def test_an_upsert_is_in_the_log_whichever_way_it_goes(database: Database) -> None:
    kept, fresh = category("KEPT"), IDS.new()
    await add(database, kept)
    insert = sqlite_insert if database.is_sqlite else postgres_insert
    rows = [{"id": IDS.new(), "code": "KEPT", "name": "updated"}, {"id": fresh, "code": "FRESH", "name": "inserted"}]
    statement = insert(CategoryModel).values(rows)
    await run(database, statement.on_conflict_do_update(index_elements=["code"], set_={"name": statement.excluded.name}))
    assert {(each.row_id, each.commit_seq) for each in await entries(database)} == {(kept.id, 2), (fresh, 2)}


async def test_what_another_program_writes_is_in_the_log(database: Database) -> None:
    doomed, changed, fresh = category("DOOMED"), category("CHANGED"), IDS.new()
    await add(database, doomed, changed)
    await write_past_the_server(
        database,
        f"INSERT INTO category (id, code, name) VALUES ({literal(database, fresh)}, 'FRESH', 'raw')",
        "UPDATE category SET name = 'raw' WHERE code = 'CHANGED'",
        "DELETE FROM category WHERE code = 'DOOMED'",
    )
    await seal_foreign_writes(database)
    logged = {(each.row_id, each.commit_seq, each.deleted) for each in await entries(database)}
    assert logged == {(doomed.id, 3, True), (changed.id, 3, False), (fresh, 3, False)}
    assert await head_of(database) == 3


async def test_executemany_past_the_orm_is_in_the_log(database: Database) -> None:
    ids = [IDS.new() for _ in range(50)]
    async with database.write() as session:
        connection = await session.connection()
        rows = [{"id": literal_value(database, each), "code": each.hex} for each in ids]
        await connection.execute(sa.text("INSERT INTO category (id, code, name) VALUES (:id, :code, 'many')"), rows)
    assert {(each.row_id, each.commit_seq) for each in await entries(database)} == {(each, 1) for each in ids}


def literal_value(database: Database, identifier: UUID) -> UUID | bytes:
    return identifier.bytes if database.is_sqlite else identifier


async def test_a_row_replaced_by_another_leaves_a_tombstone(sqlite_database: Database) -> None:
    replaced, fresh = category("A"), IDS.new()
    await add(sqlite_database, replaced)
    await run(sqlite_database, sa.insert(CategoryModel).prefix_with("OR REPLACE").values(id=fresh, code="A", name="other"))
    assert {(each.row_id, each.commit_seq, each.deleted) for each in await entries(sqlite_database)} == {
        (replaced.id, 2, True),
        (fresh, 2, False),
    }


@pytest.mark.parametrize(
    "act",
    ["INSERT OR REPLACE INTO category (id, code, name) VALUES (x'00', 'A', 'b')", "UPDATE OR REPLACE category SET code = 'A'"],
)
async def test_another_program_cannot_replace_a_row_unseen(sqlite_database: Database, act: str) -> None:
    models = [category("A"), category("B")]
    await add(sqlite_database, *models)
    with pytest.raises(sqlite3.IntegrityError, match="recursive_triggers"):
        await write_past_the_server(sqlite_database, act)
    await write_past_the_server(sqlite_database, "UPDATE category SET code = 'C' WHERE code = 'B'")
    await seal_foreign_writes(sqlite_database)
    assert [(each.row_id, each.deleted) for each in await entries(sqlite_database)] == [
        (models[0].id, False),
        (models[1].id, False),
    ]


async def test_copy_is_in_the_log(postgres: Database) -> None:
    ids = [IDS.new() for _ in range(500)]
    connection = await connect_foreign(postgres)
    records = [(each, each.hex, "copied") for each in ids]
    await connection.copy_records_to_table("category", records=records, columns=["id", "code", "name"])
    await connection.close()
    assert {(each.row_id, each.commit_seq) for each in await entries(postgres)} == {(each, 1) for each in ids}


async def test_merge_is_in_the_log(postgres: Database) -> None:
    model = category("A")
    await add(postgres, model)
    await write_past_the_server(
        postgres,
        "MERGE INTO category USING (VALUES ('A')) AS given (code) ON category.code = given.code WHEN MATCHED THEN DELETE",
    )
    assert await entry(postgres, model.id) == Entry("category", model.id, "catalog", 2, deleted=True)


# What is a change, and what is not


async def test_an_update_that_changes_nothing_is_no_change(database: Database) -> None:
    await add(database, category("A"))
    await run(database, sa.update(CategoryModel).values(name=CategoryModel.name, code="A"))
    await run(database, sa.update(CategoryModel).where(CategoryModel.code == "absent").values(name="x"))
    assert (await positions(database), await head_of(database)) == ([1], 1)


async def test_setting_a_column_to_null_is_a_change(database: Database) -> None:
    parent = category("P")
    child = CategoryModel(id=IDS.new(), code="C", name="child", parent_id=parent.id)
    await add(database, parent, child)
    await run(database, sa.update(CategoryModel).where(CategoryModel.id == child.id).values(parent_id=None))
    assert (await entry(database, child.id)).commit_seq == 3


async def test_a_table_that_never_travels_takes_no_place_in_the_log(database: Database) -> None:
    await add(database, category("A"), AttemptModel(key="login|femke", failures=1, since_ms=0), category("B"))
    assert await positions(database) == [1, 2]


async def test_tables_changed_together_share_a_place(database: Database) -> None:
    owner = customer("C1")
    async with database.write() as session:
        session.add(owner)
        await session.flush()
        session.add_all([address(owner.id), category("A")])
    assert [each.commit_seq for each in await entries(database)] == [1, 1, 1]


async def test_several_changes_of_a_row_in_one_transaction_are_one_entry(database: Database) -> None:
    row_id = IDS.new()
    async with database.write() as session:
        session.add(category("A", row_id))
        await session.flush()
        await session.execute(sa.update(CategoryModel).values(name="second"))
        await session.execute(sa.delete(CategoryModel))
    assert await entries(database) == [Entry("category", row_id, "catalog", 1, deleted=True)]


# Moving between buckets, going and coming back


async def test_a_moved_row_leaves_and_enters_in_one_commit(database: Database) -> None:
    old, new = customer("OLD"), customer("NEW")
    moved = address(old.id)
    await add(database, old, new, moved)
    await run(database, sa.update(AddressModel).values(customer_id=new.id))
    assert await leaves(database) == [(moved.id, f"account:{old.id.hex}", 4)]
    assert await entry(database, moved.id) == Entry("address", moved.id, f"account:{new.id.hex}", 4, deleted=False)


async def test_a_row_that_moves_back_has_left_both(database: Database) -> None:
    old, new = customer("OLD"), customer("NEW")
    moved = address(old.id)
    await add(database, old, new, moved)
    await run(database, sa.update(AddressModel).values(customer_id=new.id))
    await run(database, sa.update(AddressModel).values(customer_id=old.id))
    assert await leaves(database) == [(moved.id, f"account:{old.id.hex}", 4), (moved.id, f"account:{new.id.hex}", 5)]
    assert (await entry(database, moved.id)).bucket == f"account:{old.id.hex}"


async def test_a_row_that_changes_without_moving_leaves_nothing(database: Database) -> None:
    owner = customer("C1")
    await add(database, owner, address(owner.id))
    await run(database, sa.update(AddressModel).values(city="elsewhere"))
    assert await leaves(database) == []


async def test_a_row_deleted_and_inserted_again_lives(database: Database) -> None:
    row_id = IDS.new()
    await add(database, category("A", row_id))
    await run(database, sa.delete(CategoryModel))
    assert (await entry(database, row_id)).deleted
    await add(database, category("A", row_id))
    assert await entries(database) == [Entry("category", row_id, "catalog", 3, deleted=False)]


async def test_a_row_inserted_again_elsewhere_leaves_its_old_bucket(database: Database) -> None:
    old, new = customer("OLD"), customer("NEW")
    first = address(old.id)
    await add(database, old, new, first)
    await run(database, sa.delete(AddressModel))
    second = address(new.id)
    second.id = first.id
    await add(database, second)
    assert await leaves(database) == [(first.id, f"account:{old.id.hex}", 5)]
    assert await entry(database, first.id) == Entry("address", first.id, f"account:{new.id.hex}", 5, deleted=False)


async def test_an_id_never_changes(database: Database) -> None:
    model = category("A")
    await add(database, model)
    with pytest.raises(DBAPIError, match="an id never changes"):
        await run(database, sa.update(CategoryModel).values(id=IDS.new()))
    assert await entry(database, model.id) == Entry("category", model.id, "catalog", 1, deleted=False)


@pytest.mark.parametrize("statement", ["TRUNCATE category CASCADE", "TRUNCATE customer CASCADE", "TRUNCATE sales_order_line"])
async def test_a_synced_table_is_never_truncated(postgres: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match="use DELETE"):
        await run(postgres, sa.text(statement))


# Places: dense, and taken by commits alone


async def test_a_rolled_back_transaction_leaves_no_gap(database: Database) -> None:
    await add(database, category("A"))
    with pytest.raises(ZeroDivisionError):
        await fail_after_writing(database)
    await add(database, category("C"))
    assert (await positions(database), await head_of(database)) == ([1, 2], 2)


async def fail_after_writing(database: Database) -> None:
    async with database.write() as session:
        session.add(category("B"))
        await session.flush()
        raise ZeroDivisionError


async def test_a_transaction_that_fails_after_sealing_leaves_no_gap(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await fail_after_sealing(database)
    await add(database, category("C"))
    assert (await positions(database), await head_of(database)) == ([1], 1)


async def fail_after_sealing(database: Database) -> None:
    async with database.write() as session:
        session.add(category("B"))
        await session.flush()
        assert (await seal(session)).head == 1
        raise ZeroDivisionError


async def savepoint(session: WriteSession, code: str, *, keep: bool) -> None:
    nested = await session.begin_nested()
    session.add(category(code))
    await session.flush()
    await (nested.commit() if keep else nested.rollback())


async def test_a_rolled_back_savepoint_is_not_in_the_log(database: Database) -> None:
    async with database.write() as session:
        await savepoint(session, "A", keep=False)
    assert (await entries(database), await head_of(database)) == ([], 0)


@pytest.mark.parametrize("kept", ["first", "second", "both"])
async def test_a_savepoint_that_is_kept_is_in_the_log_once(database: Database, kept: str) -> None:
    async with database.write() as session:
        await savepoint(session, "A", keep=kept != "second")
        await savepoint(session, "B", keep=kept != "first")
    await add(database, category("C"))
    assert [each.commit_seq for each in await entries(database)] == ([1, 1, 2] if kept == "both" else [1, 2])
    assert await positions(database) == [1, 2]


async def test_a_transaction_learns_its_place_before_it_commits(database: Database) -> None:
    await add(database, category("A"))
    async with database.write() as session:
        session.add(category("B"))
        await session.flush()
        place = (await seal(session)).head
    assert place == await head_of(database) == 2


async def test_a_transaction_that_changes_nothing_learns_the_head(database: Database) -> None:
    await add(database, category("A"))
    async with database.write() as session:
        assert (await seal(session)).head == 1
    assert await positions(database) == [1]


async def test_one_connection_takes_a_new_place_for_each_transaction(postgres: Database) -> None:
    connection = await connect_foreign(postgres)
    for code in ("A", "B", "C"):
        await connection.execute("INSERT INTO category (id, code, name) VALUES ($1, $2, 'raw')", IDS.new(), code)
    await connection.close()
    assert await positions(postgres) == [1, 2, 3]


async def test_writers_at_once_take_dense_places(database: Database) -> None:
    await asyncio.gather(*(add(database, category(f"{writer}")) for writer in range(20)))
    assert await positions(database) == list(range(1, 21))


async def test_a_long_transaction_stalls_no_other(postgres: Database) -> None:
    async with asyncio.timeout(5), postgres.write() as session:
        session.add(category("SLOW"))
        await session.flush()
        await add(postgres, category("QUICK"))
    assert [(each.commit_seq) for each in await entries(postgres)] == [1, 2]
    assert await head_of(postgres) == 2


# What a session learned from its first write, on PostgreSQL

ROWS = 6_000
_ALL_ROWS = "UPDATE category SET name = name || '.'"
_MORE_ROWS = """
    INSERT INTO category (id, code, name)
    SELECT id, id::text, '' FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 900)) AS fresh
"""


async def connect_after(database: Database, *written: str) -> asyncpg.Connection:
    """A session that has written this, more often than PostgreSQL makes a plan for each time."""
    connection = await connect_foreign(database)
    for statement in written * 7:
        await connection.execute(statement)
    return connection


async def seconds_of(connection: asyncpg.Connection, statement: str) -> float:
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        await connection.execute(statement)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


async def test_a_session_that_changed_one_row_changes_many_as_soon_as_another(postgres: Database) -> None:
    async with postgres.write() as session:
        session.add_all([category(f"{number}") for number in range(ROWS)])
    used = await connect_after(postgres, "UPDATE category SET name = name || '.' WHERE code = '7'")
    fresh = await connect_foreign(postgres)
    assert await seconds_of(used, _ALL_ROWS) < 4 * await seconds_of(fresh, _ALL_ROWS)
    await used.close()
    await fresh.close()


async def test_a_session_that_wrote_many_rows_does_not_read_the_log_for_one(postgres: Database) -> None:
    some = "DELETE FROM category WHERE id IN (SELECT id FROM category LIMIT 300)"
    connection = await connect_after(postgres, _MORE_ROWS, _ALL_ROWS, some)
    read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'change_log'"
    async with connection.transaction():
        before = await connection.fetchval(read)
        await connection.execute("INSERT INTO category (id, code, name) VALUES (gen_random_uuid(), 'ONE', '')")
        await connection.execute("UPDATE category SET name = 'one' WHERE code = 'ONE'")
        await connection.execute("DELETE FROM category WHERE code = 'ONE'")
        assert await connection.fetchval(read) - before < 10
    await connection.close()


async def test_a_session_that_began_with_an_empty_log_does_not_read_through_it_later(postgres: Database) -> None:
    connection = await connect_after(postgres, "VACUUM ANALYZE change_log, category")
    for statement in (_MORE_ROWS.replace("900", "1"), _ALL_ROWS) * 7:
        await connection.execute(statement)
    read = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'change_log'"
    async with connection.transaction():
        before = await connection.fetchval(read)
        for statement in (_MORE_ROWS, _ALL_ROWS):
            await connection.execute(statement)
        assert await connection.fetchval(read) - before == 0
    await connection.close()


# What a foreign program wrote, on SQLite


async def write_foreign_category(database: Database, code: str) -> UUID:
    row_id = IDS.new()
    await write_past_the_server(
        database, f"INSERT INTO category (id, code, name) VALUES ({literal(database, row_id)}, '{code}', 'raw')"
    )
    return row_id


async def test_foreign_writes_are_sealed_once(database: Database) -> None:
    await write_foreign_category(database, "A")
    await seal_foreign_writes(database)
    await seal_foreign_writes(database)
    assert (await positions(database), await head_of(database)) == ([1], 1)


async def test_a_write_seals_what_was_written_before_it(database: Database) -> None:
    foreign = await write_foreign_category(database, "A")
    await add(database, category("B"))
    await seal_foreign_writes(database)
    assert (await entry(database, foreign)).commit_seq == 1
    assert await positions(database) == list(range(1, await head_of(database) + 1))


async def test_sealing_where_nothing_was_written_takes_no_place(database: Database) -> None:
    await seal_foreign_writes(database)
    assert (await positions(database), await head_of(database)) == ([], 0)


# Ageing


async def test_only_old_tombstones_are_forgotten(database: Database) -> None:
    models = [category(code) for code in "ABC"]
    await add(database, *models)
    await run(database, sa.delete(CategoryModel).where(CategoryModel.code == "A"))
    await date_commits(database, 4, DAY_MS)
    await run(database, sa.delete(CategoryModel).where(CategoryModel.code == "B"))
    assert await age(database, now_ms=92 * DAY_MS) == 1
    assert {(each.row_id, each.deleted) for each in await entries(database)} == {(models[1].id, True), (models[2].id, False)}


async def test_old_leaves_are_forgotten(database: Database) -> None:
    old, new = customer("OLD"), customer("NEW")
    await add(database, old, new, address(old.id))
    await run(database, sa.update(AddressModel).values(customer_id=new.id))
    await date_commits(database, 4, DAY_MS)
    assert await age(database, now_ms=92 * DAY_MS) == 1
    assert await leaves(database) == []


async def test_ageing_raises_the_floor_and_not_the_head(database: Database) -> None:
    await add(database, *(category(code) for code in "ABC"))
    await date_commits(database, 2, DAY_MS)
    await age(database, now_ms=92 * DAY_MS)
    async with database.read() as session:
        stands = await read_head(session)
    assert (stands.floor, stands.head) == (2, 3)


async def test_ageing_twice_never_lowers_the_floor(database: Database) -> None:
    await add(database, *(category(code) for code in "ABC"))
    await date_commits(database, 2, 5 * DAY_MS)
    await date_commits(database, 1, DAY_MS)
    await age(database, now_ms=96 * DAY_MS)
    await age(database, now_ms=92 * DAY_MS)
    async with database.read() as session:
        assert (await read_head(session)).floor == 2


async def test_nothing_young_is_forgotten(database: Database) -> None:
    await add(database, category("A"))
    await run(database, sa.delete(CategoryModel))
    async with database.read() as session:
        now_ms = (await session.execute(sa.select(sa.func.max(ChangeCommitModel.committed_at_ms)))).scalar_one()
    assert await age(database, now_ms=now_ms + 89 * DAY_MS) == 0
    assert len(await entries(database)) == 1


async def test_the_log_goes_on_after_ageing(database: Database) -> None:
    await add(database, category("A"))
    await run(database, sa.delete(CategoryModel))
    await date_commits(database, 2, DAY_MS)
    await age(database, now_ms=92 * DAY_MS)
    await add(database, category("B"))
    assert await head_of(database) == 3
    assert [each.commit_seq for each in await entries(database)] == [3]


async def test_the_head_is_one_row(database: Database) -> None:
    async with database.read() as session:
        assert (await session.execute(sa.select(sa.func.count()).select_from(ChangeHeadModel))).scalar_one() == 1
