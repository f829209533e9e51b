"""What a quotation is worth that was right when it was made: by the company's policy, on real devices, on both engines."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from client_sdk import OrderClient
from server.pricing.models import HonourPolicyModel
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from server.runtime.rows import insert_rows
from sync_protocol.entities.orders import Order, OrderLine, OrderStatus
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.verdicts import Code, Outcome, Verdict
from tests.support.world import SERVER_URL, ManualClock, World, make_id

HOUR_MS = 3_600_000


@pytest.fixture
async def world(database: Database) -> World:
    """Its clock begins at the machine's, which is the one that commits are timed by."""
    founded = await World.found(database)
    founded.clock.advance(SystemClock().now_ms() - founded.clock.now_ms())
    return founded


@pytest.fixture
async def device(world: World, tmp_path: Path) -> AsyncIterator[OrderClient]:
    async with await world.enrolled_device("REP0", tmp_path / "device.db") as opened:
        await opened.sync()
        yield opened


async def policy(world: World, **values: Any) -> None:
    """Write a policy down."""
    filled = {"otherwise": "re_price", "hours": None, "tolerance_basis_points": None, "price_list_id": None, "segment_id": None}
    async with world.database.write() as session:
        session.add(HonourPolicyModel(id=make_id(990_000 + len(values)), **{**filled, **values}))


def entries(world: World) -> list[PriceEntry]:
    """The prices of the first product on the list of the first customer's territory."""
    company = world.company
    return [
        each
        for each in company.entries
        if each.product_id == company.products[0].id and each.price_list_id == company.price_lists[0].id
    ]


async def raise_prices(world: World, by: int = 10_000) -> None:
    for entry in entries(world):
        await world.change(PriceEntry, entry.id, unit_price=entry.unit_price + by)


async def take(device: OrderClient, world: World, quantity: int = 2) -> UUID:
    draft = await device.draft_order(world.company.customers[0].id)
    await draft.add_line(world.company.products[0].id, quantity)
    return (await draft.submit()).order.id


async def send(device: OrderClient, order_id: UUID) -> tuple[Verdict, Order, OrderLine]:
    report = await device.sync()
    (entry,) = report.verdicts
    view = await device.order(order_id)
    return entry.verdict, view.order, view.lines[0]


async def test_without_a_policy_the_price_of_now_holds_and_both_are_kept(device: OrderClient, world: World) -> None:
    order_id = await take(device, world)
    quoted = (await device.order(order_id)).lines[0]
    await raise_prices(world)
    verdict, order, line = await send(device, order_id)
    assert (verdict.outcome, verdict.codes) == (Outcome.ACCEPTED_WITH_CHANGES, (Code.PRICE_CHANGED,))
    assert line.unit_price == quoted.unit_price + 10_000
    assert (line.quoted_unit_price, line.quoted_amount_minor) == (quoted.unit_price, quoted.amount_minor)
    assert order.subtotal_minor == line.amount_minor == quoted.amount_minor + 200


async def test_an_honoured_quotation_holds_and_says_what_it_would_be_by_now(device: OrderClient, world: World) -> None:
    await policy(world, mode="honour", hours=48)
    order_id = await take(device, world)
    quoted = (await device.order(order_id)).lines[0]
    await raise_prices(world)
    verdict, order, line = await send(device, order_id)
    assert (verdict.outcome, verdict.codes) == (Outcome.ACCEPTED_WITH_CHANGES, (Code.PRICE_HONOURED,))
    (change,) = verdict.changes
    assert (change.before, change.after) == (quoted.amount_minor + 200, quoted.amount_minor)
    assert (line.unit_price, line.amount_minor) == (quoted.unit_price, quoted.amount_minor)
    assert order.status is OrderStatus.CONFIRMED
    assert order.total_minor == quoted.amount_minor + quoted.tax_minor


async def test_what_was_quoted_too_long_ago_is_priced_anew(device: OrderClient, world: World) -> None:
    await policy(world, mode="honour", hours=48)
    order_id = await take(device, world)
    await raise_prices(world)
    world.clock.advance(49 * HOUR_MS)
    verdict, _, _ = await send(device, order_id)
    assert verdict.codes == (Code.PRICE_CHANGED,)


@pytest.mark.parametrize(("tolerance", "code"), [(10_000, Code.PRICE_HONOURED), (1, Code.PRICE_CHANGED)])
async def test_a_quotation_holds_within_a_tolerance(device: OrderClient, world: World, tolerance: int, code: Code) -> None:
    await policy(world, mode="honour", tolerance_basis_points=tolerance)
    order_id = await take(device, world)
    await raise_prices(world, by=100)
    verdict, _, _ = await send(device, order_id)
    assert verdict.codes == (code,)


async def test_a_manager_decides_where_the_company_says_so(device: OrderClient, world: World) -> None:
    await policy(world, mode="hold")
    order_id = await take(device, world)
    quoted = (await device.order(order_id)).lines[0]
    await raise_prices(world)
    verdict, order, line = await send(device, order_id)
    assert verdict.outcome is Outcome.HELD
    assert verdict.codes == (Code.PRICE_TO_APPROVE, Code.PRICE_HONOURED)
    assert (order.status, order.hold_code) == (OrderStatus.HELD, Code.PRICE_TO_APPROVE)
    assert line.amount_minor == quoted.amount_minor


async def test_what_is_cheaper_by_now_is_given_cheaper(device: OrderClient, world: World) -> None:
    await policy(world, mode="honour")
    order_id = await take(device, world)
    quoted = (await device.order(order_id)).lines[0]
    await raise_prices(world, by=-100)
    verdict, _, line = await send(device, order_id)
    assert verdict.codes == (Code.PRICE_CHANGED,)
    assert line.unit_price == quoted.unit_price - 100


async def test_the_nearest_policy_counts(device: OrderClient, world: World) -> None:
    await policy(world, mode="honour")
    await policy(world, mode="re_price", price_list_id=world.company.price_lists[0].id)
    order_id = await take(device, world)
    await raise_prices(world)
    verdict, _, _ = await send(device, order_id)
    assert verdict.codes == (Code.PRICE_CHANGED,)


async def test_an_order_that_agrees_with_the_prices_of_now_is_accepted_as_it_is(device: OrderClient, world: World) -> None:
    order_id = await take(device, world)
    verdict, _, _ = await send(device, order_id)
    assert (verdict.outcome, verdict.codes) == (Outcome.ACCEPTED, ())


@pytest.mark.parametrize("years", [-9, 9])
async def test_a_clock_that_is_years_off_changes_nothing(world: World, tmp_path: Path, years: int) -> None:
    """A price that begins later is not had earlier, nor one that has ended for longer, by setting a clock."""
    (first, *_) = entries(world)
    starts_ms = world.clock.now_ms() + 24 * HOUR_MS
    async with world.database.write() as session:
        later = PriceEntry(
            id=make_id(991_000),
            price_list_id=first.price_list_id,
            product_id=first.product_id,
            min_quantity=first.min_quantity,
            unit_price=first.unit_price // 2,
            valid_from_ms=starts_ms,
        )
        await insert_rows(session, [later])
    await policy(world, mode="honour")
    clock = ManualClock(world.clock.now_ms())
    async with await world.open_device(tmp_path / "off.db", clock=clock) as device:
        await device.enrol(SERVER_URL, await world.code_for("REP0"), "off")
        await device.sync()
        clock.advance(years * 365 * 24 * HOUR_MS)
        order_id = await take(device, world, quantity=first.min_quantity)
        verdict, _, line = await send(device, order_id)
    assert verdict.codes in {(), (Code.PRICE_CHANGED,)}
    assert line.unit_price == first.unit_price
