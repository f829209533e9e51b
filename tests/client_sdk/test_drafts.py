"""Orders in the making: saved with every edit, refused by field, numbered once, mended when they come back."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from client_sdk import OrderClient, OrderDraft
from client_sdk.errors import DraftClosedError, EmptyOrderError, InvalidEntryError, NoPriceError, OrderingError, UnknownRowError
from server.runtime.database import Database
from server.runtime.rows import insert_rows
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.orders import OrderStatus
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.intents import LINES_MAX
from sync_protocol.rules.order_review import ORDER_TOTAL_MINOR_MAX
from sync_protocol.values import QUANTITY_MAX
from sync_protocol.verdicts import Code, Outcome
from tests.support.faults import KilledError, bury, kill_before_statement
from tests.support.world import World, make_id


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    return await World.found(sqlite_database)


@pytest.fixture
async def device(world: World, tmp_path: Path) -> OrderClient:
    client = await world.enrolled_device("rep0", tmp_path / "device.db")
    await client.sync()
    return client


async def begin(device: OrderClient, world: World, *lines: tuple[int, int], customer: int = 0) -> OrderDraft:
    draft = await device.draft_order(world.company.customers[customer].id)
    for product, quantity in lines:
        await draft.add_line(world.company.products[product].id, quantity)
    return draft


async def test_every_edit_is_saved_when_it_returns(device: OrderClient, world: World, tmp_path: Path) -> None:
    draft = await begin(device, world, (0, 2), (1, 3), (2, 4))
    await draft.set_note("  Ring twice, cafe\u0301 ")
    await draft.set_purchase_order_number("PO-7")
    first, second, third = (await draft.view()).lines
    await draft.set_quantity(first.line_id, 12)
    await draft.remove_line(second.line_id)
    before = await draft.view()
    bury(device)
    async with await world.open_device(tmp_path / "device.db") as again:
        (after,) = await again.drafts()
        assert after == before
        assert (after.note, after.purchase_order_number, after.state) == ("Ring twice, café", "PO-7", "open")
        assert [(line.line_id, line.quantity) for line in after.lines] == [(first.line_id, 12), (third.line_id, 4)]
        assert after.total_minor == 12 * 90 + 4 * 300


async def test_a_draft_survives_a_kill_before_any_statement(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        order_id = (await begin(device, world, (0, 1))).order_id
    quantities = {1}
    for countdown in range(1, 12):
        device = await world.open_device(path)
        draft = await device.draft(order_id)
        (line,) = (await draft.view()).lines
        assert line.quantity in quantities
        kill_before_statement(device, countdown)
        quantities = {line.quantity, countdown + 1}
        try:
            await draft.set_quantity(line.line_id, countdown + 1)
            quantities = {countdown + 1}
        except KilledError:
            pass
        bury(device)
    assert quantities == {12}, "the last one had no reason to die"


async def test_a_line_comes_back_priced_and_a_deeper_break_applies_at_once(device: OrderClient, world: World) -> None:
    draft = await begin(device, world)
    line = await draft.add_line(world.company.products[3].id, 9)
    assert (line.sku, line.unit_price, line.amount_minor) == ("SKU-3", 40_000, 3_600)
    await draft.set_quantity(line.line_id, 10)
    (line,) = (await draft.view()).lines
    assert (line.unit_price, line.amount_minor) == (36_000, 3_600)


async def test_every_refused_edit_names_what_is_wrong_and_saves_nothing(device: OrderClient, world: World) -> None:
    draft = await begin(device, world, (0, 1))
    (line,) = (await draft.view()).lines
    before = await draft.view()
    product, nothing = world.company.products[0].id, UUID(int=7)
    edits: list[tuple[Callable[[], Awaitable[object]], type[OrderingError], str]] = [
        (lambda: draft.add_line(product, 0), InvalidEntryError, "quantity"),
        (lambda: draft.add_line(product, -1), InvalidEntryError, "quantity"),
        (lambda: draft.add_line(product, QUANTITY_MAX + 1), InvalidEntryError, "quantity"),
        (lambda: draft.set_quantity(line.line_id, 0), InvalidEntryError, "quantity"),
        (lambda: draft.add_line(nothing, 1), UnknownRowError, "product"),
        (lambda: draft.set_quantity(nothing, 1), UnknownRowError, "line"),
        (lambda: draft.remove_line(nothing), UnknownRowError, "line"),
        (lambda: device.draft_order(nothing), UnknownRowError, "customer"),
        (lambda: device.draft(nothing), UnknownRowError, "draft"),
        (lambda: draft.set_note("x" * 4_001), InvalidEntryError, "note: has more than 4000 characters"),
        (lambda: draft.set_note("bell \x07"), InvalidEntryError, "note: contains a control character"),
        (lambda: draft.set_note("half \ud800"), InvalidEntryError, "note"),
        (lambda: draft.set_purchase_order_number("9" * 201), InvalidEntryError, "purchase_order_number"),
    ]
    for edit, error, name in edits:
        with pytest.raises(error, match=name):
            await edit()
        assert await draft.view() == before


async def test_an_order_has_so_many_lines_at_most(device: OrderClient, world: World) -> None:
    draft = await begin(device, world)
    product_id = world.company.products[0].id.bytes
    rows = ((number.to_bytes(16, "big"), draft.order_id.bytes, number, product_id) for number in range(LINES_MAX))
    with device._store.writer as writer:
        writer.executemany(
            "INSERT INTO draft_line (line_id, order_id, position, product_id, quantity) VALUES (?, ?, ?, ?, 1)", rows
        )
    with pytest.raises(InvalidEntryError, match="lines"):
        await draft.add_line(world.company.products[0].id, 1)


async def test_an_order_without_lines_or_without_a_price_is_not_submitted(device: OrderClient, world: World) -> None:
    with pytest.raises(EmptyOrderError):
        await (await begin(device, world)).submit()
    async with world.database.write() as session:
        product = Product(
            id=make_id(5_000), sku="NEW", name="New", description="", unit_id=world.company.unit.id, status=ProductStatus.ACTIVE
        )
        await insert_rows(session, [product])
    await device.sync()
    draft = await begin(device, world, (0, 1))
    line = await draft.add_line(product.id, 1)
    assert (line.unit_price, line.amount_minor) == (None, None)
    for act in (draft.submit, draft.preview):
        with pytest.raises(NoPriceError, match="NEW"):
            await act()
    assert await device.outbox() == []
    await draft.remove_line(line.line_id)
    assert (await draft.submit()).order.number == "R1-000001"


async def test_a_total_beyond_what_an_order_may_hold_is_refused_before_it_is_saved(device: OrderClient, world: World) -> None:
    await world.change(PriceEntry, world.company.entries[1].id, unit_price=10**13)
    await device.sync()
    draft = await begin(device, world, (0, QUANTITY_MAX))
    assert (await draft.view()).total_minor > ORDER_TOTAL_MINOR_MAX
    with pytest.raises(InvalidEntryError, match=r"total: an order may be worth 10,000,000,000,000\.00 EUR at most"):
        await draft.submit()
    assert await device.orders() == []
    assert await device.outbox() == []
    order = await (await begin(device, world, (1, 1))).submit()
    with pytest.raises(InvalidEntryError, match="total"):
        await device.amend_order(order.order.id, [(world.company.products[0].id, QUANTITY_MAX)])
    assert len(await device.orders()) == 1


async def test_numbers_are_of_the_devices_own_series_and_never_used_again(world: World, tmp_path: Path) -> None:
    numbers = []
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        numbers += [(await (await begin(device, world, (0, 1))).submit()).order.number for _ in range(2)]
        await (await begin(device, world, (0, 1))).discard()
        await device.sync()
    async with await world.open_device(path) as device:
        numbers.append((await (await begin(device, world, (0, 1))).submit()).order.number)
    async with await world.enrolled_device("rep0", tmp_path / "other.db") as other:
        await other.sync()
        numbers.append((await (await begin(other, world, (0, 1))).submit()).order.number)
    assert numbers == ["R1-000001", "R1-000002", "R1-000003", "R2-000001"]


async def test_a_submitted_draft_is_closed(device: OrderClient, world: World) -> None:
    draft = await begin(device, world, (0, 1))
    line_id = (await draft.view()).lines[0].line_id
    await draft.submit()
    assert await device.drafts() == []
    for act in (
        draft.submit(),
        draft.discard(),
        draft.add_line(world.company.products[0].id, 1),
        draft.set_quantity(line_id, 2),
        draft.remove_line(line_id),
        draft.set_note("late"),
    ):
        with pytest.raises(DraftClosedError, match="amend the order"):
            await act
    assert len(await device.outbox()) == 1


async def test_a_discarded_draft_is_gone(device: OrderClient, world: World) -> None:
    draft = await begin(device, world, (0, 1))
    await draft.discard()
    assert await device.drafts() == []
    with pytest.raises(UnknownRowError):
        await draft.view()
    assert device._store.reader.execute("SELECT count(*) FROM draft_line").get == 0


async def test_a_returned_draft_is_mended_and_submitted_again_as_the_same_order(device: OrderClient, world: World) -> None:
    bad = world.company.products[1]
    draft = await begin(device, world, (0, 2), (1, 1))
    submitted = (await draft.submit()).order
    await world.change(Product, bad.id, status=ProductStatus.DISCONTINUED)
    report = await device.sync()
    assert report.verdicts[0].verdict.codes == (Code.PRODUCT_DISCONTINUED,)
    (returned,) = await device.drafts()
    assert (returned.order_id, returned.number, returned.state) == (submitted.id, submitted.number, "returned")
    mended = await device.draft(submitted.id)
    (wrong,) = [line for line in returned.lines if line.product_id == bad.id]
    await mended.remove_line(wrong.line_id)
    again = await mended.submit()
    assert (again.order.id, again.order.number) == (submitted.id, submitted.number)
    report = await device.sync()
    assert [entry.verdict.outcome for entry in report.verdicts] == [Outcome.ACCEPTED]
    shown = await device.order(submitted.id)
    assert (shown.order.status, shown.order.total_minor, shown.order.number) == (OrderStatus.CONFIRMED, 200, submitted.number)
    assert await device.drafts() == []
    assert [entry.verdict.outcome for entry in await device.journal(subject_id=submitted.id)] == [
        Outcome.ACCEPTED,
        Outcome.REJECTED,
    ]


async def test_a_draft_whose_customer_left_is_still_listed_and_can_be_discarded(device: OrderClient, world: World) -> None:
    left, kept = await begin(device, world, (0, 1)), await begin(device, world, (1, 1), customer=1)
    await world.change(Customer, world.company.customers[0].id, territory_id=world.company.territories[1].id)
    await device.sync()
    shown = {view.order_id: view for view in await device.drafts()}
    assert set(shown) == {left.order_id, kept.order_id}
    assert [(line.quantity, line.unit_price) for line in shown[left.order_id].lines] == [(1, None)]
    with pytest.raises(UnknownRowError, match="customer"):
        await left.submit()
    await left.discard()
    assert [view.order_id for view in await device.drafts()] == [kept.order_id]


async def test_what_is_foretold_is_what_the_server_decides_of_the_same_facts(device: OrderClient, world: World) -> None:
    draft = await begin(device, world, (0, 4), (0, 9), (1, 12))
    foretold = await draft.preview()
    await draft.submit()
    report = await device.sync()
    verdict = report.verdicts[0].verdict
    assert (foretold.outcome, foretold.codes, foretold.changes) == (verdict.outcome, verdict.codes, verdict.changes)
    decided = (await device.order(draft.order_id)).lines
    assert [(line.price.unit_price, line.price.amount_minor, line.allocated) for line in foretold.lines] == [
        (line.unit_price, line.amount_minor, line.allocated) for line in decided
    ]
