"""A replica that is not what the server has: found at the next checkpoint or by a scrub, and repaired by the range."""

from pathlib import Path

import apsw
import pytest
import sqlalchemy as sa

from client_sdk import OrderClient, integrity, overlay
from client_sdk.errors import ServerUnreachableError
from client_sdk.events import ReplicaDiffers, ReplicaRepaired
from client_sdk.integrity import Recount
from client_sdk.replica_file import create_tables, shown_path
from client_sdk.state import Checkpoint, ScopeHeld, save
from sync_protocol.entities import SYNCED
from sync_protocol.entities.customers import Contact
from sync_protocol.replica_schema import finish_sql
from tests.support.change_log import write_past_the_server
from tests.support.damage import FAKE, PRODUCT, UNSEEN, WRITTEN, Log, damage, enrolled, file_of, pricelist, reopened, rows_of
from tests.support.device_files import look_into
from tests.support.world import World, make_id

# What the sums show


@pytest.mark.parametrize("written", WRITTEN)
async def test_what_the_sums_show_is_repaired_by_one_range(world: World, device: OrderClient, log: Log, written: str) -> None:
    statement, row_id, entity = WRITTEN[written]
    whole = rows_of(file_of(device))
    damage(file_of(device), statement)
    assert rows_of(file_of(device)) != whole
    await device.sync()
    assert rows_of(file_of(device)) == whole
    assert log.repaired() == [(pricelist(world), row_id.bytes[15])]
    assert [request.buckets for request in log.ranges] == [(pricelist(world),)]
    (repaired,) = log.told(ReplicaRepaired)
    assert repaired.changed == {entity: 1}
    await device.sync()
    assert (len(log.ranges), len(log.repairs)) == (1, 1), "and no more of it"


async def test_a_private_bucket_is_repaired_whole(world: World, device: OrderClient, log: Log) -> None:
    whole = rows_of(file_of(device))
    damage(file_of(device), "DELETE FROM contact", "DELETE FROM address WHERE label = 'Main'")
    await device.sync()
    assert rows_of(file_of(device)) == whole
    assert log.repaired() == [(f"account:{customer.id.hex}", 0) for customer in world.company.customers[:2]]
    assert log.told(ReplicaRepaired)[0].changed == {"contact": 2, "address": 2}


async def test_sums_that_are_wrong_themselves_are_put_right(device: OrderClient, log: Log) -> None:
    whole = rows_of(file_of(device))
    damage(file_of(device), "UPDATE range_sum SET checksum = checksum + 1 WHERE bucket = 'catalog' AND range = 102")
    await device.sync()
    assert rows_of(file_of(device)) == whole
    assert log.repaired() == [("catalog", 102)]


# What only the rows themselves show


async def test_a_scrub_finds_a_corrupted_row_and_one_range_repairs_it(
    world: World, device: OrderClient, log: Log, tmp_path: Path
) -> None:
    whole = rows_of(file_of(device))
    damage(file_of(device), *UNSEEN["a corrupted row"], unseen=True)
    async with await reopened(world, tmp_path / "device.db", log) as other:
        await other.sync()
    assert rows_of(file_of(device)) == whole
    assert (log.repaired(), log.ranges) == ([("catalog", PRODUCT.bytes[15])], [])
    assert log.told(ReplicaRepaired)[0].changed == {"product": 1}


@pytest.mark.parametrize("unseen", UNSEEN)
async def test_verify_finds_what_no_sum_shows_and_one_range_repairs_it(device: OrderClient, log: Log, unseen: str) -> None:
    assert (await device.verify()).is_equal
    assert log.repairs == []
    whole = rows_of(file_of(device))
    damage(file_of(device), *UNSEEN[unseen], unseen=True)
    found = await device.verify()
    number = (FAKE if "FAKE" in UNSEEN[unseen][0] else PRODUCT).bytes[15]
    assert [(each.bucket, each.range) for each in found.differing] == log.repaired() == [("catalog", number)]
    assert (found.is_equal, found.repaired_ranges, found.changed) == (False, 1, {"product": 1})
    assert rows_of(file_of(device)) == whole
    assert len(await device.search("product 2")) == 1
    assert await device.search("FAKE") == await device.search("Prxduct") == []
    again = await device.verify()
    assert (again.is_equal, again.rows, again.buckets) == (True, sum(map(len, whole.values())) - len(whole["range_sum"]), 7)


async def test_the_words_of_a_lost_product_are_found_once_and_lead_to_it(world: World, device: OrderClient) -> None:
    """The last row, whose place in the file the next one takes, and with it what the search index still has of it."""
    last = world.company.products[-1]
    damage(file_of(device), f"UPDATE product SET name = 'Zebra' WHERE id = x'{last.id.hex}'")
    damage(file_of(device), f"DELETE FROM product WHERE id = x'{last.id.hex}'", unseen=True)
    assert (await device.verify()).changed == {"product": 1}
    assert [each.id for each in await device.search(last.name)] == [last.id]
    assert await device.search("Zebra") == []


async def test_a_row_that_a_disk_moved_to_another_bucket_is_found_in_both(world: World, device: OrderClient, log: Log) -> None:
    whole = rows_of(file_of(device))
    ours, other = (customer.id.hex for customer in world.company.customers[:2])
    damage(file_of(device), f"UPDATE contact SET customer_id = x'{other}' WHERE customer_id = x'{ours}'", unseen=True)
    assert len((await device.verify()).differing) == 2
    assert rows_of(file_of(device)) == whole
    assert sorted(log.repaired()) == [(f"account:{ours}", 0), (f"account:{other}", 0)]


async def test_a_row_out_of_the_scope_is_removed_and_not_asked_for(world: World, device: OrderClient, log: Log) -> None:
    """I-5, whatever put it there."""
    whole = rows_of(file_of(device))
    stranger = world.company.customers[3].id.hex
    named = ", ".join(Contact.__struct_fields__[2:])
    into = f"INSERT INTO contact (commit_seq, checksum, id, customer_id, {named})"
    damage(file_of(device), f"{into} SELECT 1, 7, x'{FAKE.hex}', x'{stranger}', {named} FROM contact LIMIT 1")
    found = await device.verify()
    assert [each.bucket for each in found.differing] == [f"account:{stranger}"]
    assert (found.changed, log.repairs) == ({"contact": 1}, [])
    assert rows_of(file_of(device)) == whole


async def test_sums_of_the_server_that_are_wrong_are_mended_by_it_once(world: World, device: OrderClient, log: Log) -> None:
    async with world.database.write() as session:
        await session.execute(
            sa.text("UPDATE bucket_sum SET checksum = checksum + 1 WHERE bucket = 'catalog' AND range = 102 AND rows = 1")
        )
    whole = rows_of(file_of(device))
    for _ in range(2):
        await device.sync()
    assert [request.recount for request in log.ranges] == [False, True]
    assert (log.repaired(), log.told(ReplicaRepaired), log.told(ReplicaDiffers)) == ([("catalog", 102)], [], [])
    assert rows_of(file_of(device)) == whole


async def test_a_log_that_missed_a_change_is_mended_by_a_verification(world: World, device: OrderClient) -> None:
    database = world.database
    act = "UPDATE product SET name = 'Unseen' WHERE sku = 'SKU-1'"
    if database.is_sqlite:
        async with database.read() as session:
            listed = await session.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
            triggers = [(str(name), str(sql)) for name, sql in listed]
        await write_past_the_server(database, *(f"DROP TRIGGER {name}" for name, _ in triggers), act, *(sql for _, sql in triggers))
    else:
        await write_past_the_server(database, "SET LOCAL session_replication_role = replica", act)
    await device.sync()
    assert (await device.product("SKU-1")).name == "Product 1"
    found = await device.verify()
    assert (await device.product("SKU-1")).name == "Unseen"
    assert [each.bucket for each in found.differing] == ["catalog"]
    assert (await device.verify()).is_equal


# What a repair leaves alone


async def test_drafts_and_what_waits_are_as_they_were_and_show_on_the_repaired_rows(
    world: World, device: OrderClient, log: Log
) -> None:
    customer, product = world.company.customers[0], world.company.products[2]
    kept = await device.draft_order(customer.id)
    await kept.add_line(product.id, 3)
    sent = await device.draft_order(customer.id)
    await sent.add_line(product.id, 2)
    order = await sent.submit()
    await device.sync()
    await device.cancel_order(order.order.id, reason="not today")
    before = (await kept.view(), await device.outbox(), await device.order(order.order.id))
    assert before[1]
    whole = rows_of(file_of(device))
    damage(
        file_of(device),
        "DELETE FROM sales_order",
        "DELETE FROM sales_order_line",
        f"DELETE FROM product WHERE id = x'{PRODUCT.hex}'",
    )

    device._store.write_now(overlay.rebuild)  # as the next verdict would, though what it lies on is lost
    assert (await device.outbox()) == before[1]

    async def refuse(_what: str) -> None:
        raise ServerUnreachableError("test", "the push never gets through")

    log.before = refuse
    await device._engine._verifier.look(device._engine._puller.trailer)  # type: ignore[arg-type]  # there was a pull
    assert log.told(ReplicaDiffers)
    log.before = log._nothing
    await device._engine._verifier.look(device._engine._puller.trailer)  # type: ignore[arg-type]  # as above
    assert rows_of(file_of(device)) == whole
    assert (await kept.view(), await device.outbox(), await device.order(order.order.id)) == before


# What a disk does to the file itself


async def test_a_bit_that_turned_under_an_index_is_repaired_by_one_range(world: World, tmp_path: Path, log: Log) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, path, log):
        pass
    whole = rows_of(path)
    shown = shown_path(path)
    assert shown is not None
    stored = PRODUCT.bytes + b"SKU-2Product 2"
    body = shown.read_bytes()
    assert body.count(stored) == 1, "in the table; the index has the word without the id"
    shown.write_bytes(body.replace(stored, PRODUCT.bytes + b"SKU-3Product 2"))
    async with await reopened(world, path, log) as device:
        await device.sync()
        assert log.repaired() == [("catalog", PRODUCT.bytes[15])]
        assert [(await device.product(f"SKU-{number}")).name for number in (2, 3)] == ["Product 2", "Product 3"]
        assert (await device.verify()).is_equal
    assert rows_of(path) == whole
    connection = look_into(path)
    assert connection.execute("PRAGMA replica.integrity_check").get == "ok"
    connection.close()


# Scrubbing


async def test_a_scrub_comes_round_to_every_row_and_remembers_its_place(world: World, tmp_path: Path) -> None:
    path, log = tmp_path / "device.db", Log()
    async with await enrolled(world, path, log):
        pass
    rows = [(synced.name, row[1]) for synced in SYNCED for row in rows_of(path)[synced.name]]
    damage(path, f"UPDATE stock_level SET on_hand = on_hand + 1 WHERE id = x'{make_id(20_003).hex}'", unseen=True)
    found = []
    for _ in range(-(-len(rows) // 5) + 1):
        async with await reopened(world, path, log) as device:
            found.append(device._store.write_now(integrity.scrub, 5))
    assert {"stock"} in found
    assert found.count(set()) >= len(found) - 2, "and of nothing else"


def test_a_recount_is_done_in_slices_and_begins_anew_where_the_replica_moves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(integrity, "RECOUNTED_ROWS", 3)
    connection = apsw.Connection(str(tmp_path / "replica"))
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
    create_tables(connection)
    for statement in finish_sql():
        connection.execute(statement)
    save(connection, ScopeHeld(b"d" * 16, ("catalog",)))
    for number in range(10):
        connection.execute("INSERT INTO unit VALUES (1, 0, ?, ?, 'Unit')", (make_id(number).bytes, f"U{number}"))
    recount = Recount({"catalog"})
    assert recount.count_on(connection)
    connection.execute("DELETE FROM unit WHERE rowid = 2")  # which was counted
    save(connection, Checkpoint(cursor=4))
    while recount.count_on(connection):
        pass
    assert (recount.rows, recount.places, recount.strays) == (9, set(), [])
