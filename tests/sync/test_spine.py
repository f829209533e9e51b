from pathlib import Path

import pytest
import sqlalchemy as sa

from client_sdk import NewCustomer, OrderClient
from server.runtime.database import Database
from server.runtime.rows import table_of
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Contact, Customer, CustomerStatus
from sync_protocol.entities.inventory import StockLevel
from sync_protocol.entities.orders import Order, OrderStatus
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.verdicts import Code, Outcome
from tests.support.world import World


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


async def submit(device: OrderClient, world: World, customer: int, *lines: tuple[int, int]) -> str:
    draft = await device.draft_order(world.company.customers[customer].id)
    for product, quantity in lines:
        await draft.add_line(world.company.products[product].id, quantity)
    return (await draft.submit()).order.number


async def test_a_first_sync_brings_the_scope_and_nothing_else(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        report = await device.sync()
        assert report.rows > 0
        assert [customer.code for customer in await device.customers()] == ["C0", "C1"]
        assert len(await device.search("product")) == 6
        assert [found.sku for found in await device.search("SKU-3")] == ["SKU-3"]


async def test_an_order_in_stock_at_the_quoted_price_is_accepted(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        number = await submit(device, world, 0, (0, 3), (1, 10))
        pending = await device.order(number)
        assert pending.pending
        assert pending.order.status is OrderStatus.SUBMITTED
        assert pending.order.total_minor == 300 + 1800
        report = await device.sync()
        assert [entry.verdict.outcome for entry in report.verdicts] == [Outcome.ACCEPTED]
        shown = await device.order(number)
        assert not shown.pending
        assert shown.order.status is OrderStatus.CONFIRMED
        assert [line.allocated for line in shown.lines] == [3, 10]
        assert await device.outbox() == []


async def test_what_changed_meanwhile_is_told_line_by_line(world: World, tmp_path: Path) -> None:
    company = world.company
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        await submit(device, world, 0, (0, 2), (1, 8))
        await submit(device, world, 0, (2, 1))
        await world.change(PriceEntry, company.entries[0].id, unit_price=12_500)
        await world.change(StockLevel, company.levels[1].id, on_hand=5)
        await world.change(Product, company.products[2].id, status=ProductStatus.DISCONTINUED)
        report = await device.sync()
        changed, refused = (entry.verdict for entry in report.verdicts)
        assert changed.outcome is Outcome.ACCEPTED_WITH_CHANGES
        assert [(each.code, each.before, each.after) for each in changed.changes] == [
            (Code.PRICE_CHANGED, 10_000, 12_500),
            (Code.BACKORDERED, 8, 3),
        ]
        assert refused.outcome is Outcome.REJECTED
        assert refused.codes == (Code.PRODUCT_DISCONTINUED,)
        (returned,) = await device.drafts()
        assert returned.state == "returned"


async def test_a_prospects_order_is_held_until_a_manager_decides(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        prospect = await device.create_customer(
            NewCustomer(
                name="New & Co",
                street="Here 1",
                postal_code="1",
                city="Gent",
                country="BE",
                contact_name="Ann",
                territory_id=world.company.territories[0].id,
            )
        )
        draft = await device.draft_order(prospect.id)
        await draft.add_line(world.company.products[0].id, 1)
        await draft.submit()
        report = await device.sync()
        assert [entry.verdict.outcome for entry in report.verdicts] == [Outcome.ACCEPTED, Outcome.HELD]
        (order,) = await device.orders()
        assert order.order.status is OrderStatus.HELD
        assert order.order.hold_code == Code.CUSTOMER_IS_PROSPECT
        customer = await world.fetch(Customer, prospect.id)
        assert customer.status is CustomerStatus.PROSPECT


async def test_an_order_is_amended_and_cancelled(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        number = await submit(device, world, 0, (0, 3))
        await device.sync()
        order = (await device.order(number)).order
        await device.amend_order(order.id, [(world.company.products[0].id, 4), (world.company.products[1].id, 12)])
        assert (await device.order(number)).order.total_minor == 400 + 2160
        report = await device.sync()
        (entry,) = report.verdicts
        assert entry.verdict.outcome is Outcome.ACCEPTED_WITH_CHANGES
        assert entry.verdict.codes == (Code.BACKORDERED,)
        level = await world.fetch(StockLevel, world.company.levels[0].id)
        assert level.allocated == 4
        await device.cancel_order(order.id, reason="mistake")
        await device.sync()
        assert (await device.order(number)).order.status is OrderStatus.CANCELLED
        level = await world.fetch(StockLevel, world.company.levels[0].id)
        assert level.allocated == 0


@pytest.mark.parametrize("page_rows", [1, 7])
async def test_small_pages_make_the_same_replica(world: World, tmp_path: Path, page_rows: int) -> None:
    async with (
        await world.enrolled_device("rep0", tmp_path / "one.db", page_rows=page_rows) as small,
        await world.enrolled_device("rep0", tmp_path / "two.db") as whole,
    ):
        await small.sync()
        await whole.sync()
        await small.sync()
        for device in (small, whole):
            assert len(await device.search("", limit=100)) == 6
        assert (await small.status()).cursor == (await whole.status()).cursor


async def test_a_customer_that_moves_leaves_one_device_and_reaches_the_other(world: World, tmp_path: Path) -> None:
    company = world.company
    async with (
        await world.enrolled_device("rep0", tmp_path / "one.db") as first,
        await world.enrolled_device("rep1", tmp_path / "two.db") as second,
    ):
        await first.sync()
        await second.sync()
        await world.change(Customer, company.customers[0].id, territory_id=company.territories[1].id)
        await first.sync()
        await second.sync()
        assert [customer.code for customer in await first.customers()] == ["C1"]
        assert [customer.code for customer in await second.customers()] == ["C0", "C2", "C3"]
        assert len(await second.addresses(company.customers[0].id)) == 1
        assert await first.addresses(company.customers[0].id) == []


async def test_the_replica_follows_deletes(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "one.db") as device:
        await device.sync()
        assert len(await device.contacts(world.company.customers[0].id)) == 1
        async with world.database.write() as session:
            await session.execute(sa.delete(table_of(Contact)))
        await device.sync()
        assert await device.contacts(world.company.customers[0].id) == []


async def test_the_order_reaches_the_server_as_the_device_shows_it(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "one.db") as device:
        await device.sync()
        number = await submit(device, world, 1, (3, 2))
        await device.sync()
        shown = (await device.order(number)).order
        assert await world.fetch(Order, shown.id) == shown


async def test_a_list_in_another_currency_is_no_price(world: World, tmp_path: Path) -> None:
    company = world.company
    await world.change(PriceList, company.price_lists[1].id, currency="GBP")
    await world.change(Customer, company.customers[0].id, price_list_id=company.price_lists[1].id)
    await world.change(PriceEntry, company.entries[0].id, unit_price=1)
    async with world.database.write() as session:
        prices = table_of(PriceEntry)
        dear = prices.c.price_list_id == company.price_lists[1].id
        await session.execute(sa.delete(prices).where(dear, prices.c.product_id == company.products[0].id))
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        assert await device.price(company.customers[0].id, company.products[0].id) is None
        dearer = await device.price(company.customers[0].id, company.products[1].id)
        assert dearer is not None
        assert dearer.currency == "GBP"
