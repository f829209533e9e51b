"""A client that knows docs/PROTOCOL.md alone does all that a device does, against the real server."""

import ast
import copy
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
import sqlalchemy as sa

from server.identity.reports import ask_for_proof, open_device
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from server.runtime.rows import insert_rows
from sync_protocol.entities import SYNCED
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer
from sync_protocol.replica_schema import image_format
from tests.strangers import client as stranger
from tests.strangers.client import Device, RefusedError
from tests.support.application import application
from tests.support.images import Images
from tests.support.ledger import server_view
from tests.support.processes import ServerProcess
from tests.support.terms import shared_terms, terms_of
from tests.support.world import SERVER_URL, World

ALLOWED = {"httpx2", "msgspec", "backports", *sys.stdlib_module_names}


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture(params=[stranger.PROTOCOL_VERSION])
async def device(world: World, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Device]:
    app = application(world.database, world.clock, images_url=str(tmp_path / "images"))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=SERVER_URL) as http:
        made = Device(http, world.clock.now_ms, request.param)
        await made.enrol((await world.code_for("rep0")).lower())
        yield made


async def assert_equal(world: World, device: Device) -> None:
    """Column by column with plain SQL, and sum by sum with what the server said."""
    expected = await server_view(world.database, world.company.reps[0].id)
    shown: dict[str, list[tuple[Any, ...]]] = {synced.name: [] for synced in SYNCED}
    for (entity, _), (_, _, row) in device.rows.items():
        shown[entity].append(tuple(row[name] for name in told(device, entity)))
    for entity, rows in expected.items():
        places = [stranger.ENTITIES[entity][3].index(name) for name in told(device, entity)]
        wanted = [tuple(row[place] for place in places) for row in rows] if places else []
        assert sorted(shown[entity], key=repr) == sorted(wanted, key=repr), entity
    assert device.differing_buckets() == []


def told(device: Device, entity: str) -> list[str]:
    """The columns that a device of its version is told of."""
    number, _, _, columns = stranger.ENTITIES[entity]
    if device.version >= 3:
        return columns
    return [name for name in columns if name not in stranger.LATER.get(entity, ())] if number < stranger.FIRST_LATER else []


def test_it_knows_nothing_of_ours() -> None:
    tree = ast.parse(Path(stranger.__file__).read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in named} <= ALLOWED


@pytest.mark.parametrize("device", [2, 3], indirect=True)
@pytest.mark.parametrize("page_rows", [3, 50_000])
async def test_it_pulls_pages_and_follows_changes(world: World, device: Device, page_rows: int) -> None:
    async with world.database.write() as session:
        for row in (*shared_terms(world), *terms_of(world, world.company.customers[0], 0)):
            await insert_rows(session, [row])
    pages = await device.pull(page_rows)
    assert (pages > 5) is (page_rows == 3)
    await assert_equal(world, device)
    await world.change(Product, world.company.products[0].id, name="Elbow, näw")
    await device.pull(page_rows)
    await assert_equal(world, device)
    assert device.rows["product", world.company.products[0].id.bytes][2]["name"] == "Elbow, näw"


async def test_it_begins_with_an_image_and_goes_on_from_there(world: World, device: Device, tmp_path: Path) -> None:
    await Images(world, str(tmp_path / "images")).builder().run()
    await world.change(Product, world.company.products[0].id, name="Changed since")
    count = await device.begin_with_image(image_format(), tmp_path)
    assert count > len(world.company.products)
    await device.pull(2)
    assert len(device.rows) > count
    await assert_equal(world, device)


@pytest.mark.parametrize("device", [2, 3], indirect=True)
async def test_its_order_is_accepted_at_the_price_that_it_found_and_comes_home(world: World, device: Device) -> None:
    await device.pull()
    customer, product = world.company.customers[0].id.bytes, world.company.products[1].id.bytes
    order_id, intent_id = device.order(customer, product, 10)
    envelopes = list(device.outbox)
    (result,) = await device.push()
    verdict = stranger.unpack(result["verdict"])
    assert (verdict["outcome"], verdict.get("codes", [])) == ("accepted", [])
    await device.pull()
    await assert_equal(world, device)
    assert device.cursor >= result["commit_seq"] > 0
    assert device.rows["sales_order", order_id][2]["status"] == "confirmed"
    device.outbox = envelopes
    (again,) = await device.push()
    assert (again["intent_id"], again["verdict"]) == (intent_id, result["verdict"])


async def test_its_amendment_and_cancellation_are_decided(world: World, device: Device) -> None:
    await device.pull()
    customer, product = world.company.customers[0].id.bytes, world.company.products[1].id.bytes
    order_id, _ = device.order(customer, product, 2)
    await device.push()
    entry, _ = device.price(customer, product, 5)
    line = {"line_id": stranger.new_id(), "product_id": product, "quantity": 5, "unit_price": entry["unit_price"]}
    device.save("AmendOrder", {"order_id": order_id, "revision": 0, "lines": [line], "note": "more"}, [order_id], 2)
    device.save("CancelOrder", {"order_id": order_id, "reason": "no more"}, [order_id])
    assert [stranger.unpack(each["verdict"])["outcome"] for each in await device.push()] == ["accepted", "accepted"]
    await device.pull()
    assert device.rows["sales_order", order_id][2]["status"] == "cancelled"
    await assert_equal(world, device)


@pytest.mark.parametrize("device", [2, 3], indirect=True)
async def test_it_drops_what_leaves_its_scope_and_hands_in_receipts(world: World, device: Device) -> None:
    await device.pull()
    customer = world.company.customers[0]
    held = len([row for key, (_, _, row) in device.rows.items() if stranger.bucket_of(key[0], row).endswith(customer.id.hex)])
    await world.change(Customer, customer.id, territory_id=world.company.territories[1].id)
    await device.pull(2)
    await assert_equal(world, device)
    (receipt,) = device.receipts
    assert (receipt["bucket"], receipt["rows"]) == (f"account:{customer.id.hex}", held)
    await device.report()
    assert device.receipts == []
    await world.change(Customer, customer.id, territory_id=world.company.territories[0].id)
    await device.pull(2)
    await assert_equal(world, device)


async def test_it_finds_and_repairs_a_row_that_is_lost_one_that_is_wrong_and_one_too_many(world: World, device: Device) -> None:
    await device.pull()
    lost, wrong = (("product", product.id.bytes) for product in world.company.products[:2])
    del device.rows[lost]
    device.rows[wrong][2]["name"] = "damaged"
    extra = {**device.rows[wrong][2], "id": bytes(15) + b"\xaa"}
    device.rows["product", extra["id"]] = (1, 0, extra)
    assert device.differing_buckets() == ["catalog"]
    ranges = await device.differing_ranges(["catalog"])
    assert {each["range"] for each in ranges} == {lost[1][15], wrong[1][15], 0xAA}
    await device.repair(ranges)
    assert await device.differing_ranges(list(device.buckets), recount=True) == []
    await assert_equal(world, device)


async def test_it_proves_that_it_equals_the_server_when_it_is_asked(world: World, device: Device) -> None:
    await device.pull()
    device_id, manager = UUID(bytes=device.device_id), await world.user_id("manager")
    async with world.database.write() as session:
        asked = await ask_for_proof(session, device_id, world.ids.new(), requested_by_id=manager, now_ms=1)
    await device.pull()
    assert device.proof_id == asked.id.bytes
    differing = await device.differing_ranges(list(device.buckets), recount=True)
    proof = {"proof_id": device.proof_id, "cursor": device.cursor, "is_equal": not differing}
    await device.report(proof={**proof, "rows": len(device.rows), "buckets": len(device.buckets)})
    async with world.database.read() as session:
        (stored,) = (await open_device(session, device_id)).proofs
    assert (stored.id, stored.is_equal, stored.rows) == (asked.id, True, len(device.rows))


async def test_it_hears_of_a_change_and_pulls_it(sqlite_database: Database, sqlite_database_url: str, tmp_path: Path) -> None:
    world = await World.found(sqlite_database)
    world.clock.time_ms = SystemClock().now_ms()
    with ServerProcess(sqlite_database_url, tmp_path) as running:
        running.start_warm()
        async with httpx2.AsyncClient(base_url=running.url, timeout=30) as http:
            device = Device(http, world.clock.now_ms)
            await device.enrol(await world.code_for("rep0"))
            await device.pull()
            async for hint in device.hints():
                assert UUID(hint["epoch"]).bytes == device.epoch
                if hint["head"] > device.cursor:
                    break
                await world.change(Product, world.company.products[0].id, name="Heard of")
            await device.pull()
    await assert_equal(world, device)
    assert device.cursor >= hint["head"]


async def test_a_copy_of_it_is_told_and_becomes_a_device_of_its_own(world: World, device: Device) -> None:
    await device.pull()
    other = copy.copy(device)
    other.rows, other.outbox, other.journal = dict(device.rows), [], {}
    customer, product = world.company.customers[0].id.bytes, world.company.products[1].id.bytes
    device.order(customer, product, 1)
    await device.push()
    other.order(customer, product, 1)
    with pytest.raises(RefusedError, match="device_forked"):
        await other.push()
    await other.fork()
    (result,) = await other.push()
    assert stranger.unpack(result["verdict"])["codes"] == ["number_changed"]
    assert other.prefix != device.prefix


async def test_it_notices_a_restore_by_hand_though_others_have_written_since(world: World, device: Device) -> None:
    await device.pull()
    device.order(world.company.customers[0].id.bytes, world.company.products[1].id.bytes, 1)
    await device.push()
    await device.pull()
    async with world.database.write() as session:
        await session.execute(sa.text("UPDATE change_commit SET committed_at_ms = committed_at_ms + 1 WHERE commit_seq > 1"))
    device.order(world.company.customers[0].id.bytes, world.company.products[1].id.bytes, 1)
    with pytest.raises(RefusedError, match="epoch_changed"):
        await device.push()
    await device.pull()
    assert device.resync == "cursor_ahead"
    await device.push()
    await device.pull()
    await assert_equal(world, device)
