"""A day on real data: AdventureWorks imported, a real server, one rep's device, and a manager."""

import asyncio
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import msgspec

from client_sdk import OrderClient
from client_sdk.events import SyncReport
from server.runtime.database import Database
from sync_protocol.entities.orders import OrderStatus
from sync_protocol.verdicts import Code, Outcome
from tests.processes.books import ask, check_log, plain_url, replica_differences
from tests.support.change_log import literal, write_past_the_server
from tests.support.databases import open_database
from tests.support.processes import ServerProcess, roadbook

PASSWORD = "a long day on the road"
REASON = "paid this morning"


class Facts(msgspec.Struct, frozen=True):
    """What the day is about: the rep, four of their stores and one more that is put on hold, products with a price."""

    rep_id: UUID
    rep_code: str
    stores: tuple[UUID, ...]
    products: tuple[tuple[UUID, str], ...]


async def chosen(database: Database) -> Facts:
    """The first rep with a territory, stores there that have bought before, and products that are sold and in stock."""
    ((rep, code, territory),) = await ask(
        database,
        "SELECT r.id, r.code, t.territory_id FROM rep r JOIN rep_territory t ON t.rep_id = r.id ORDER BY r.code LIMIT 1",
    )
    stores = await ask(
        database,
        f"""
        SELECT c.id FROM customer c JOIN sales_order o ON o.customer_id = c.id
         WHERE c.territory_id = {literal(database, UUID(bytes=territory))} AND o.channel = 'rep'
         GROUP BY c.id ORDER BY count(*) DESC, c.id LIMIT 5
        """,
    )
    products = await ask(
        database,
        f"""
        SELECT p.id, p.sku FROM product p JOIN price_entry e ON e.product_id = p.id AND e.min_quantity = 1
          JOIN stock_level s ON s.product_id = p.id AND s.on_hand >= 60
          JOIN territory t ON t.stock_location_id = s.stock_location_id AND t.id = {literal(database, UUID(bytes=territory))}
         WHERE p.status = 'active' ORDER BY p.sku LIMIT 6
        """,
    )
    assert (len(stores), len(products)) == (5, 6)
    return Facts(UUID(bytes=rep), code, tuple(UUID(bytes=i) for (i,) in stores), tuple((UUID(bytes=i), sku) for i, sku in products))


async def test_a_rep_sells_from_adventureworks_and_a_manager_releases_what_was_held(imported_copy: str, tmp_path: Path) -> None:
    database = open_database(imported_copy)
    try:
        await sell(database, tmp_path)
    finally:
        await database.close()


async def sell(database: Database, tmp_path: Path) -> None:
    url = plain_url(database)
    facts = await chosen(database)
    code = await asyncio.to_thread(hired, url, facts.rep_code)
    with ServerProcess(url, tmp_path) as server:
        await asyncio.to_thread(server.start)
        async with await OrderClient.open(tmp_path / "device.db", time_zone="America/New_York") as device:
            await device.enrol(server.url, code, "Femke's tablet")
            first = await device.sync()
            assert first.rows > 10_000
            assert await replica_differences(database, tmp_path / "device.db", facts.rep_id) == []
            await asyncio.to_thread(server.stop)
            held_store = literal(database, facts.stores[4])
            await write_past_the_server(database, f"UPDATE customer SET status = 'on_hold' WHERE id = {held_store}")
            orders = await taken_offline(device, facts)
            await asyncio.to_thread(server.start)
            check_verdicts(await device.sync(), orders)
            await check_money(database, orders)
            await asyncio.to_thread(released_by_a_manager, server.url, orders[4])
            await device.sync()
            shown = (await device.order(orders[4])).order
            assert (shown.status, shown.hold_code, shown.reason) == (OrderStatus.CONFIRMED, None, REASON)
        assert await replica_differences(database, tmp_path / "device.db", facts.rep_id) == []
        await check_log(database)


def hired(url: str, rep_code: str) -> str:
    """A manager and the rep's user, made at the terminal, and a code for the rep's device."""
    roadbook("users", "add", "mia", "--name", "Mia Brandt", "--role", "manager", database_url=url, password=PASSWORD)
    roadbook("users", "add", "femke", "--name", "Femke Vos", "--role", "rep", "--rep", rep_code, "--no-password", database_url=url)
    return str(msgspec.json.decode(roadbook("devices", "code", "femke", "--json", database_url=url))["code"])


async def taken_offline(device: OrderClient, facts: Facts) -> list[UUID]:
    """Five orders with no server: found by SKU, priced on the spot."""
    orders = []
    for place, store in enumerate(facts.stores):
        draft = await device.draft_order(store)
        for (_, sku), quantity in zip(facts.products[place : place + 2], (3, 15), strict=False):
            (product, *_) = await device.search(sku)
            line = await draft.add_line(product.id, quantity)
            assert line.amount_minor is not None
        preview = await draft.preview()
        submitted = await draft.submit()
        assert submitted.pending
        assert submitted.order.total_minor == preview.total_minor > 0
        orders.append(submitted.order.id)
    assert len(await device.outbox()) == 5
    return orders


def check_verdicts(report: SyncReport, orders: list[UUID]) -> None:
    verdicts = {entry.subject_id: entry.verdict for entry in report.verdicts}
    assert [verdicts[order].outcome for order in orders] == [*([Outcome.ACCEPTED] * 4), Outcome.HELD]
    assert Code.CUSTOMER_ON_HOLD in verdicts[orders[4]].codes


async def check_money(database: Database, orders: list[UUID]) -> None:
    """Each line at the deepest break of the list price that its quantity reaches, rounded once; lines add up; stock is promised."""
    for order in orders:
        lines = await ask(
            database,
            f"""
            SELECT l.product_id, l.quantity, l.unit_price, l.amount_minor, l.allocated, l.backordered,
                   o.subtotal_minor, o.total_minor
              FROM sales_order_line l JOIN sales_order o ON o.id = l.order_id WHERE o.id = {literal(database, order)}
            """,
        )
        assert len(lines) == 2
        for product, quantity, unit_price, amount, allocated, backordered, *_ in lines:
            assert unit_price == await listed_price(database, UUID(bytes=product), quantity)
            exact = Decimal(unit_price) * quantity / 100
            assert amount == exact.quantize(Decimal(1), ROUND_HALF_UP)
            assert allocated + backordered == quantity
        assert sum(line[3] for line in lines) == lines[0][6] == lines[0][7]
    levels = "SELECT sum(allocated) FROM stock_level"
    promised = "SELECT sum(allocated) FROM sales_order_line"
    assert await ask(database, levels) == await ask(database, promised) == [(5 * 18,)]


async def listed_price(database: Database, product: UUID, quantity: int) -> Any:
    ((price,),) = await ask(
        database,
        f"""
        SELECT e.unit_price FROM price_entry e JOIN price_list l ON l.id = e.price_list_id AND l.code = 'BASE'
         WHERE e.product_id = {literal(database, product)} AND e.min_quantity <= {quantity}
         ORDER BY e.min_quantity DESC LIMIT 1
        """,
    )
    return price


def released_by_a_manager(server_url: str, order: UUID) -> None:
    """Sign in, find the one order that is held, open it, and release it with a reason; a second time it is too late."""
    with httpx2.Client(base_url=server_url, timeout=60) as office:
        signed_in = office.post("/session", json={"login": "mia", "password": PASSWORD})
        assert signed_in.status_code == 201, signed_in.text
        office.headers["authorization"] = f"Bearer {signed_in.json()['token']}"
        held = office.get("/orders", params={"status": "held"}).json()["items"]
        assert [each["id"] for each in held] == [str(order)]
        opened = office.get(f"/orders/{order}").json()
        assert opened["status"] == "held"
        released = office.post(f"/orders/{order}/release", json={"reason": REASON})
        assert released.status_code == 200, released.text
        assert released.json()["status"] == "confirmed"
        again = office.post(f"/orders/{order}/release", json={"reason": REASON})
        assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
