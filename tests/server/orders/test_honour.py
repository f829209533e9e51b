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
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.orders import Order, OrderLine, OrderStatus
from sync_protocol.entities.pricing import PriceEntry, PriceList, ProductQuantityRule, Strength
from sync_protocol.entities.promotions import (
    Audience,
    Promotion,
    PromotionKind,
    PromotionPhase,
    PromotionStatus,
    PromotionTarget,
    Reach,
    Stacking,
    TargetRole,
)
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


async def test_a_promise_of_a_price_is_none_of_a_quantity(device: OrderClient, world: World) -> None:
    await policy(world, mode="honour")
    await take(device, world, quantity=2)
    await raise_prices(world)
    fours = ProductQuantityRule(
        id=make_id(991_001), product_id=world.company.products[0].id, strength=Strength.REQUIRED, multiple_quantity=4
    )
    async with world.database.write() as session:
        await insert_rows(session, [fours])
    report = await device.sync()
    (entry,) = report.verdicts
    assert (entry.verdict.outcome, entry.verdict.codes) == (Outcome.REJECTED, (Code.QUANTITY_NOT_SOLD,))
    (change,) = entry.verdict.changes
    assert (change.before, change.after) == (2, 4)


async def test_what_is_off_its_list_by_now_is_not_had_in_a_quantity_that_is_not_sold(device: OrderClient, world: World) -> None:
    """Where a line has no price by now its quantity is judged all the same."""
    await policy(world, mode="honour")
    await take(device, world, quantity=2)
    for entry in entries(world):
        await world.change(PriceEntry, entry.id, valid_until_ms=world.clock.now_ms())
    threes = ProductQuantityRule(
        id=make_id(991_001), product_id=world.company.products[0].id, strength=Strength.REQUIRED, minimum_quantity=3
    )
    async with world.database.write() as session:
        await insert_rows(session, [threes])
    world.clock.advance(HOUR_MS)
    report = await device.sync()
    (entry,) = report.verdicts
    assert entry.verdict.outcome is Outcome.REJECTED


async def test_what_is_off_its_list_by_now_is_had_at_the_honoured_price(device: OrderClient, world: World) -> None:
    await policy(world, mode="honour")
    order_id = await take(device, world)
    for entry in entries(world):
        await world.change(PriceEntry, entry.id, valid_until_ms=world.clock.now_ms())
    world.clock.advance(HOUR_MS)
    verdict, _, _ = await send(device, order_id)
    assert verdict.codes == (Code.PRICE_HONOURED,)


async def test_an_order_that_is_honoured_comes_to_the_minimum_of_now(device: OrderClient, world: World) -> None:
    await policy(world, mode="honour")
    quoted = (await device.order(await take(device, world))).order.subtotal_minor
    await raise_prices(world)
    await world.change(PriceList, world.company.price_lists[0].id, order_minimum_minor=quoted + 1_000)
    report = await device.sync()
    (entry,) = report.verdicts
    assert (entry.verdict.outcome, entry.verdict.codes) == (Outcome.REJECTED, (Code.ORDER_BELOW_MINIMUM,))
    (change,) = entry.verdict.changes
    assert (change.before, change.after) == (quoted, quoted + 1_000)


@pytest.mark.parametrize("is_sold", [True, False])
async def test_a_gift_is_kept_with_the_whole_quotation_while_it_is_sold(
    device: OrderClient, world: World, *, is_sold: bool
) -> None:
    bought, gift = world.company.products[:2]
    await policy(world, mode="honour")
    offer = Promotion(
        id=make_id(991_002),
        code="GIFT",
        name="Gift",
        phase=PromotionPhase.LINE,
        kind=PromotionKind.FREE_GOODS,
        status=PromotionStatus.ACTIVE,
        priority=1,
        stacking=Stacking.STACKABLE,
        audience=Audience.EVERYONE,
        reach=Reach.TARGETS,
        buy_quantity=2,
    )
    roles = ((TargetRole.BUY, bought), (TargetRole.GIFT, gift))
    targets = [
        PromotionTarget(id=make_id(991_003 + place), promotion_id=offer.id, role=role, product_id=product.id)
        for place, (role, product) in enumerate(roles)
    ]
    async with world.database.write() as session:
        await insert_rows(session, [offer])
        await insert_rows(session, targets)
    await device.sync()
    order_id = await take(device, world)
    await raise_prices(world)
    await world.change(Promotion, offer.id, status=PromotionStatus.PAUSED)
    if not is_sold:
        await world.change(Product, gift.id, status=ProductStatus.DISCONTINUED)
    report = await device.sync()
    (entry,) = report.verdicts
    assert (Code.GIFTS_CHANGED in entry.verdict.codes) is not is_sold
    assert Code.PRICE_HONOURED in entry.verdict.codes
    assert len((await device.order(order_id)).lines) == (2 if is_sold else 1)


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
