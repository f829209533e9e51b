"""The device's file: what is promised of it, read back from the file itself."""

import asyncio
import random
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import UUID

import apsw
import pytest

from client_sdk import OrderClient
from client_sdk.errors import (
    RoadbookError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreTooNewError,
    UnknownRowError,
)
from client_sdk.replica_file import shown_path
from client_sdk.schema import MIGRATIONS
from client_sdk.store import Store
from server.runtime.database import Database
from sync_protocol.entities.customers import Customer
from tests.support.device_files import copy_device, files_of
from tests.support.world import World, small_company

CANARY = "Kanariefazant"


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    return await World.found(sqlite_database)


async def draft_for(device: OrderClient, world: World) -> UUID:
    draft = await device.draft_order(world.company.customers[0].id)
    await draft.add_line(world.company.products[0].id, 2)
    return draft.order_id


async def test_what_is_saved_is_on_the_disk_and_what_is_deleted_is_overwritten(tmp_path: Path) -> None:
    async with await OrderClient.open(tmp_path / "device.db") as device:
        for connection in (device._store.writer, device._store.reader):
            assert connection.pragma("journal_mode") == "wal"
            assert connection.pragma("synchronous") == 2, "FULL"
            assert connection.pragma("secure_delete") == 1
        assert device._store.reader.pragma("query_only") == 1


async def test_the_reading_connection_cannot_write(tmp_path: Path) -> None:
    async with await OrderClient.open(tmp_path / "device.db") as device:
        with pytest.raises(StoreError):
            await device._store.read(lambda connection: connection.execute("DELETE FROM outbox"))


async def test_the_bytes_of_customers_that_left_are_gone_from_the_file(sqlite_database: Database, tmp_path: Path) -> None:
    world = await World.found(sqlite_database, small_company(customers_each=120))
    path = tmp_path / "device.db"
    chance = random.Random(1)
    customers = world.company.customers[:120]
    named = {
        customer.id: {"name": f"{CANARY} {place:03} {chance.randbytes(place % 40).hex()}", "note": CANARY * 20}
        for place, customer in enumerate(customers)
    }
    await world.change_all(Customer, named)
    elsewhere = {"territory_id": world.company.territories[1].id}
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        device._store.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert bytes_of(path).count(CANARY.encode()) > 120, "the canary can be found at all"
        leaving = chance.sample(customers, 110)
        for batch in (leaving[:3], leaving[3:60], leaving[60:]):
            await world.change_all(Customer, {customer.id: elsewhere | {"name": f"{CANARY} moved"} for customer in batch})
            await device.sync()
        assert len(await device.customers(limit=500)) == 10
        await world.change_all(Customer, {customer.id: elsewhere for customer in customers})
        await device.sync()
        device._store.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert await device.customers() == []
        assert bytes_of(path).count(CANARY.encode()) == 0


def bytes_of(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in files_of(path))


async def test_a_full_disk_keeps_nothing_of_a_batch_and_says_so(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        writer = device._store.writer
        waiting, drafts = await device.outbox(), await device.drafts()

        def save_many(connection: apsw.Connection) -> None:
            for number in range(2_000):
                values = (number + 1_000, number.to_bytes(16, "big"), b"s" * 16, b"e" * 400)
                connection.execute(
                    "INSERT INTO outbox (sequence, intent_id, kind, subject_id, envelope) VALUES (?, ?, 'K', ?, ?)", values
                )

        for spare in (0, 1, 3, 20):
            writer.pragma("max_page_count", writer.pragma("page_count") + spare)
            with pytest.raises(StoreFullError):
                await device._store.write(save_many)
            assert not writer.in_transaction
            assert (await device.outbox(), await device.drafts()) == (waiting, drafts)
        writer.pragma("max_page_count", 1_000_000)
        await draft_for(device, world)
        assert len(await device.drafts()) == 1


def fill(connection: apsw.Connection, file: str, spare: int) -> None:
    """Let a file grow by no more than `spare` pages."""
    connection.pragma("max_page_count", connection.pragma("page_count", schema=file) + spare, schema=file)


@pytest.mark.parametrize(("file", "spare"), [("main", 0), ("main", 1), *(("replica", spare) for spare in range(5))])
async def test_a_full_disk_during_an_order_leaves_the_draft_as_it_was(world: World, tmp_path: Path, file: str, spare: int) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        draft = await device.draft(await draft_for(device, world))
        await device._store.write(add_lines, draft.order_id, world.company.products[1].id, 200)
        before = await draft.view()
        device._store.writer.execute("VACUUM")
        fill(device._store.writer, file, spare)
        with pytest.raises(StoreFullError):
            await draft.submit()
        assert await draft.view() == before
    async with await world.open_device(path) as device:
        assert await device.outbox() == []
        assert await device.orders() == []
        assert await device.drafts() == [before]
        submitted = await (await device.draft(before.order_id)).submit()
        assert submitted.order.number.endswith("-000001"), "no number was spent"


def add_lines(connection: apsw.Connection, order_id: UUID, product_id: UUID, count: int) -> None:
    connection.executemany(
        "INSERT INTO draft_line (line_id, order_id, position, product_id, quantity) VALUES (?, ?, ?, ?, 1)",
        ((number.to_bytes(16, "big"), order_id.bytes, number, product_id.bytes) for number in range(10, 10 + count)),
    )


async def test_a_first_sync_onto_a_full_disk_leaves_an_empty_replica_and_succeeds_later(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        for pages in (0, 1, 20, 60, 90, 112):
            device._store.trace(limit(pages))
            with pytest.raises(StoreFullError):
                await device.sync()
            assert await device.customers() == []
            assert (await device.status()).cursor == 0
        device._store.trace(None)
        assert device._store._builder is not None
        device._store._builder.pragma("max_page_count", 1_000_000)
        await device.sync()
        assert len(await device.customers()) == 2


def limit(pages: int) -> Callable[[apsw.Cursor, str, object], bool]:
    """A tracer that lets a replica in the making have so many pages at most."""
    is_limiting = False

    def trace(cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
        nonlocal is_limiting
        if not is_limiting and not cursor.connection.filename.endswith("device.db"):
            is_limiting = True
            cursor.connection.pragma("max_page_count", max(1, pages))
            is_limiting = False
        return True

    return trace


async def test_a_file_that_another_program_writes_to_is_busy_and_loses_nothing(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        order_id = await draft_for(device, world)
        draft = await device.draft(order_id)
        device._store.writer.set_busy_timeout(30)
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError) as raised:
            await draft.submit()
        assert raised.value.retry
        with pytest.raises(StoreBusyError):
            await device.sync()
        assert (await draft.view()).lines, "reading goes on"
        other.execute("ROLLBACK")
        other.close()
        await draft.submit()
        assert len(await device.outbox()) == 1


async def test_a_locked_file_is_busy_from_another_process_too(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        device._store.writer.set_busy_timeout(30)
        program = (
            "import apsw, sys; c = apsw.Connection(sys.argv[1]); c.execute('BEGIN IMMEDIATE'); print('held', flush=True); input()"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"held\n"
        with pytest.raises(StoreBusyError):
            await device.sync()
        await process.communicate(b"\n")
        await device.sync()


@pytest.mark.parametrize("content", [b"<html>" * 1_000, b"SQLite format 3\0" + b"\xff" * 8_176, b"\x01" * 100])
async def test_a_file_that_is_no_database_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "device.db"
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError, match="keep the file for support"):
        await OrderClient.open(path)
    assert path.read_bytes() == content, "it is kept as it is, for support"


async def test_a_file_that_was_cut_off_is_damaged(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(StoreDamagedError):
        await open_and_read(world, path)


async def open_and_read(world: World, path: Path) -> None:
    async with await world.open_device(path) as device:
        await use_everything(device)


async def use_everything(device: OrderClient) -> None:
    await device.status()
    await device.customers()
    await device.search("product")
    for view in await device.orders():
        await device.order(view.order.id)
    await device.outbox()
    await device.journal()
    await device.drafts()


async def test_a_damaged_byte_never_raises_anything_but_a_documented_error(world: World, tmp_path: Path) -> None:
    path, copy = tmp_path / "device.db", tmp_path / "copy.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        order_id = await draft_for(device, world)
        await (await device.draft(order_id)).submit()
        await device.sync()
        await (await device.draft(await draft_for(device, world))).submit()
        await draft_for(device, world)
    whole = path.read_bytes()
    chance = random.Random(7)
    used = [place for place in range(100, len(whole)) if whole[place]]
    for _ in range(80):
        place = chance.choice(used)
        copy.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :])
        for rest in ("-wal", "-shm"):
            copy.with_name(f"copy.db{rest}").unlink(missing_ok=True)
        with suppress(RoadbookError):
            async with await world.open_device(copy) as device:
                await use_everything(device)


@pytest.mark.parametrize("key", ["identity", "replica_files"])
async def test_a_value_of_another_type_is_damage(world: World, tmp_path: Path, key: str) -> None:
    """One bit in the header of a record makes an integer of what was bytes."""
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
    for act in ("replace(sql, 'STRICT, ', '')", "replace(sql, 'WITHOUT', 'STRICT, WITHOUT')"):
        with closing(apsw.Connection(str(path))) as damaged:
            damaged.execute("UPDATE meta SET value = 5 WHERE key = ?" if "STRICT, W" in act else "SELECT ?", (key,))
            damaged.execute("PRAGMA writable_schema = ON")
            damaged.execute(f"UPDATE sqlite_master SET sql = {act} WHERE name = 'meta'")  # one of two texts
    with pytest.raises(StoreDamagedError):
        await open_and_read(world, path)


async def test_a_file_of_a_newer_app_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    await (await OrderClient.open(path)).close()
    newer = apsw.Connection(str(path))
    newer.pragma("user_version", len(MIGRATIONS) + 1)
    newer.execute("CREATE TABLE of_the_future (x); DROP TABLE draft_line")
    newer.close()
    with pytest.raises(StoreTooNewError, match="update the app"):
        await OrderClient.open(path)
    after = apsw.Connection(str(path))
    assert after.execute("SELECT count(*) FROM of_the_future").get == 0
    assert after.execute("SELECT count(*) FROM sqlite_master WHERE name = 'draft_line'").get == 0
    after.close()


async def test_opening_twice_is_harmless(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as first:
        await first.sync()
        order_id = await draft_for(first, world)
        async with await world.open_device(path) as second:
            assert await second.status() == await first.status()
            await (await second.draft(order_id)).submit()
            assert await second.outbox() == await first.outbox()
        assert len(await first.outbox()) == 1
        assert len(await first.customers()) == 2


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="check the folder"):
        await OrderClient.open(tmp_path / "missing" / "device.db")


def test_an_act_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path / "device.db")
    store.write_now(lambda connection: connection.execute("CREATE TABLE t (x)"))

    def half(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        raise KeyError

    with pytest.raises(KeyError):
        store.write_now(half)
    assert store.read_now(lambda connection: connection.execute("SELECT count(*) FROM t").get) == 0

    def ended_from_below(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("ROLLBACK")
        connection.execute("SELECT 1")

    with pytest.raises(StoreFullError):
        store.write_now(ended_from_below)
    assert store.read_now(lambda connection: connection.execute("SELECT count(*) FROM t").get) == 0
    store.close()


async def test_a_disk_that_fails_between_the_two_files_loses_no_order(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        draft = await device.draft(await draft_for(device, world))
        device._store.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        device._store.writer.execute("UPDATE replica.product SET description = hex(zeroblob(2000))")
        logs = {name: path.with_name(f"{name}-wal").stat().st_size for name in (shown_path(path).name, path.name)}
        assert max(logs, key=logs.__getitem__) != path.name
        with files_no_larger_than(max(logs.values())):
            with pytest.raises(UnknownRowError):  # it is saved, and cannot be shown before there is room
                await draft.submit()
            assert len(await device.outbox()) == 1
        assert [view.order.number for view in await device.orders()] == [(await device.outbox())[0].order_number]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("of_replica", ["before", "missing", "rubbish"])
async def test_an_order_is_shown_where_the_replica_was_not_saved_with_it(world: World, tmp_path: Path, of_replica: str) -> None:
    path, early = tmp_path / "device.db", tmp_path / "early.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
    copy_device(path, early)
    async with await world.open_device(path) as device:
        order = await (await device.draft(await draft_for(device, world))).submit()
    replica, older = shown_path(path), shown_path(early)
    assert replica is not None
    if of_replica == "before":
        shutil.copyfile(older, replica)
    elif of_replica == "missing":
        replica.unlink()
    else:
        replica.write_bytes(b"rubbish " * 1_000)
    async with await world.open_device(path) as device:
        assert [view.order for view in await device.orders()] == [order.order]
        await device.sync()
        assert [view.order.id for view in await device.orders()] == [order.order.id]
        assert len(await device.customers()) == 2


async def test_a_file_of_the_first_layout_keeps_what_waits_and_pulls_the_rest_anew(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        order = await (await device.draft(await draft_for(device, world))).submit()
    older = apsw.Connection(str(path))
    older.pragma("user_version", 2)
    older.execute("DELETE FROM meta WHERE key IN ('replica_files', 'overlay')")
    older.execute("ALTER TABLE draft_line DROP COLUMN pack_quantity; ALTER TABLE draft_line DROP COLUMN manual")
    older.execute("ALTER TABLE draft DROP COLUMN quote_id")
    older.execute("CREATE TABLE staged_gone (x); CREATE TABLE product (x); CREATE TABLE overlay_sales_order (x)")
    older.execute("CREATE VIEW current_sales_order AS SELECT * FROM overlay_sales_order")
    older.close()
    async with await world.open_device(path) as device:
        assert [view.order for view in await device.orders()] == [order.order], "though nothing else is there yet"
        assert await device.customers() == []
        await device.sync()
        assert [entry.subject_id for entry in await device.journal()] == [order.order.id]
        assert len(await device.customers()) == 2
