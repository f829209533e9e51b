"""What orders use up of agreements and offers: counted once, given back whole, and never twice where two ask at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from server.pricing.models import HonourPolicyModel
from server.pricing.promotion_models import PromotionUseModel
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from server.runtime.rows import insert_rows
from sync_protocol.entities.orders import OrderStatus, PriceSource
from sync_protocol.entities.pricing import AgreedPrice, AgreementSource
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
from sync_protocol.verdicts import Code, Outcome
from tests.support.management import Manager, managing
from tests.support.world import World, make_id

CONTRACT, OFFER = make_id(800_001), make_id(800_002)
AGREED_PRICE = 5_000


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
async def manager(world: World) -> AsyncIterator[Manager]:
    async with managing(world) as opened:
        yield opened


async def open_device(world: World, path: Path) -> OrderClient:
    device = await world.enrolled_device("REP0", path)
    await device.sync()
    return device


@pytest.fixture
async def device(world: World, tmp_path: Path) -> AsyncIterator[OrderClient]:
    await agree(world, remaining=10)
    async with await open_device(world, tmp_path / "device.db") as opened:
        yield opened


async def agree(world: World, remaining: int | None) -> None:
    """A contract of the first customer on the first product."""
    contract = AgreedPrice(
        id=CONTRACT,
        customer_id=world.company.customers[0].id,
        product_id=world.company.products[0].id,
        source=AgreementSource.CONTRACT,
        reference="K-1",
        currency="EUR",
        min_quantity=1,
        unit_price=AGREED_PRICE,
        remaining_quantity=remaining,
    )
    async with world.database.write() as session:
        await insert_rows(session, [contract])


async def offer(world: World, **values: Any) -> None:
    """An offer on everything; ten percent off where nothing else is said."""
    promotion = {
        "phase": PromotionPhase.LINE,
        "kind": PromotionKind.PERCENT,
        "status": PromotionStatus.ACTIVE,
        "priority": 1,
        "stacking": Stacking.STACKABLE,
        "audience": Audience.EVERYONE,
        "reach": Reach.ALL,
        "value_basis_points": 1_000,
        **values,
    }
    async with world.database.write() as session:
        await insert_rows(session, [Promotion(id=OFFER, code="TEN", name="Ten off", **promotion)])


async def take(device: OrderClient, world: World, quantity: int, product: int = 0) -> UUID:
    draft = await device.draft_order(world.company.customers[0].id)
    await draft.add_line(world.company.products[product].id, quantity)
    return (await draft.submit()).order.id


async def remaining(world: World) -> int | None:
    return (await world.fetch(AgreedPrice, CONTRACT)).remaining_quantity


async def test_a_contract_is_used_up_and_then_it_is_the_list_again(device: OrderClient, world: World) -> None:
    first = await take(device, world, 7)
    await device.sync()
    assert await remaining(world) == 3
    second = await take(device, world, 4)
    await device.sync()
    sources = [(await device.order(each)).lines[0].price_source for each in (first, second)]
    assert sources == [PriceSource.CONTRACT, PriceSource.BASE]
    assert await remaining(world) == 3
    last = await take(device, world, 3)
    await device.sync()
    assert (await device.order(last)).lines[0].unit_price == AGREED_PRICE
    assert await remaining(world) == 0


async def test_what_was_used_up_flows_back_with_a_cancellation(device: OrderClient, world: World) -> None:
    order_id = await take(device, world, 7)
    await device.sync()
    await device.cancel_order(order_id, reason="never mind")
    await device.sync()
    assert await remaining(world) == 10


async def test_an_amendment_may_use_again_what_the_order_had_used(device: OrderClient, world: World) -> None:
    order_id = await take(device, world, 7)
    await device.sync()
    await device.amend_order(order_id, [(world.company.products[0].id, 10)])
    report = await device.sync()
    (line,) = (await device.order(order_id)).lines
    assert (line.quantity, line.unit_price, line.price_source) == (10, AGREED_PRICE, PriceSource.CONTRACT)
    assert report.verdicts[0].verdict.codes == (), "the device quoted what the server charges"
    assert await remaining(world) == 0


async def test_a_rejected_amendment_leaves_the_order_what_it_had_used(device: OrderClient, world: World) -> None:
    order_id = await take(device, world, 7)
    await device.sync()
    await device.amend_order(order_id, [(world.company.products[1].id, 1)])
    await world.change(type(world.company.products[1]), world.company.products[1].id, status="discontinued")
    report = await device.sync()
    assert report.verdicts[0].verdict.codes == (Code.PRODUCT_DISCONTINUED,)
    assert await remaining(world) == 3
    await device.cancel_order(order_id, reason="")
    await device.sync()
    assert await remaining(world) == 10


async def test_what_a_refused_order_had_used_flows_back(device: OrderClient, world: World, manager: Manager) -> None:
    customer = world.company.customers[0]
    await world.change(type(customer), customer.id, status="on_hold")
    order_id = await take(device, world, 7)
    await device.sync()
    assert await remaining(world) == 3
    await manager.post(f"/orders/{order_id}/refusal", reason="no")
    await device.sync()
    assert (await device.order(order_id)).order.status is OrderStatus.REFUSED
    assert await remaining(world) == 10


async def test_of_two_orders_at_once_one_alone_has_what_is_left(world: World, tmp_path: Path) -> None:
    await agree(world, remaining=10)
    devices = [await open_device(world, tmp_path / f"{number}.db") for number in range(2)]
    try:
        orders = [await take(device, world, 10) for device in devices]
        await asyncio.gather(*(device.sync() for device in devices))
        await asyncio.gather(*(device.sync() for device in devices))
        views = [await devices[0].order(each) for each in orders]
        sources = sorted(str(view.lines[0].price_source) for view in views)
    finally:
        for device in devices:
            await device.close()
    assert sources == ["base", "contract"]
    assert await remaining(world) == 0


async def test_what_was_honoured_beyond_what_was_left_flows_back_just_once(world: World, tmp_path: Path) -> None:
    world.clock.advance(SystemClock().now_ms() - world.clock.now_ms())
    await agree(world, remaining=10)
    async with world.database.write() as session:
        session.add(HonourPolicyModel(id=make_id(800_004), mode="honour", otherwise="re_price"))
    devices = [await open_device(world, tmp_path / f"{number}.db") for number in range(2)]
    try:
        orders = [await take(device, world, 10) for device in devices]
        verdicts = [(await device.sync()).verdicts[0].verdict for device in devices]
        assert Code.PRICE_HONOURED in verdicts[1].codes
        assert await remaining(world) == -10
        await devices[0].cancel_order(orders[0], reason="")
        await devices[0].sync()
        assert await remaining(world) == 0, "the other one was promised all that was agreed on"
    finally:
        for device in devices:
            await device.close()


async def test_a_budget_and_a_limit_that_come_later_count_what_was_given_before(
    world: World, tmp_path: Path, manager: Manager
) -> None:
    await offer(world)
    async with await open_device(world, tmp_path / "device.db") as device:
        first = await take(device, world, 1)
        await device.sync()
        limited = msgspec.structs.replace(await world.fetch(Promotion, OFFER), currency="EUR", budget_minor=15, uses_per_customer=2)
        await manager.put(f"/pricing/promotions/{OFFER}", msgspec.to_builtins(limited))
        assert (await world.fetch(Promotion, OFFER)).spent_minor == 10
        await device.sync()
        second = await take(device, world, 1)
        await device.sync()
        third = await take(device, world, 1)
        await device.sync()
        discounts = [(await device.order(each)).lines[0].discount_minor for each in (first, second, third)]
        assert discounts == [10, 5, 0]
        await device.cancel_order(first, reason="")
        await device.sync()
        assert (await world.fetch(Promotion, OFFER)).spent_minor == 5
        async with world.database.read() as session:
            assert (await session.execute(sa.select(PromotionUseModel.uses))).scalars().all() == [1]


async def test_an_offer_is_given_so_often_and_no_more(world: World, tmp_path: Path) -> None:
    await offer(world, uses_per_customer=1)
    async with await open_device(world, tmp_path / "device.db") as device:
        orders = []
        for _ in range(2):
            orders.append(await take(device, world, 1))
            await device.sync()
        discounts = [(await device.order(each)).lines[0].discount_minor for each in orders]
        assert discounts == [10, 0]
        await device.cancel_order(orders[0], reason="")
        await device.sync()
        again = await take(device, world, 1)
        await device.sync()
        assert (await device.order(again)).lines[0].discount_minor == 10


async def test_a_budget_ends_to_the_cent_and_flows_back(world: World, tmp_path: Path) -> None:
    await offer(world, budget_minor=15, currency="EUR")
    async with await open_device(world, tmp_path / "device.db") as device:
        orders = []
        for _ in range(3):
            orders.append(await take(device, world, 1))
            await device.sync()
        discounts = [(await device.order(each)).lines[0].discount_minor for each in orders]
        assert discounts == [10, 5, 0]
        assert (await world.fetch(Promotion, OFFER)).spent_minor == 15
        await device.cancel_order(orders[0], reason="")
        await device.sync()
        assert (await world.fetch(Promotion, OFFER)).spent_minor == 5


async def test_two_devices_at_once_do_not_overdraw_a_budget(world: World, tmp_path: Path) -> None:
    await offer(world, budget_minor=15, currency="EUR")
    devices = [await open_device(world, tmp_path / f"{number}.db") for number in range(2)]
    try:
        for device in devices:
            await take(device, world, 1)
        await asyncio.gather(*(device.sync() for device in devices))
    finally:
        for device in devices:
            await device.close()
    assert (await world.fetch(Promotion, OFFER)).spent_minor == 15


async def test_a_gift_is_a_line_of_its_own_with_stock_promised(world: World, tmp_path: Path) -> None:
    await offer(world, kind=PromotionKind.FREE_GOODS, buy_quantity=3, value_basis_points=None)
    gift = PromotionTarget(
        id=make_id(800_003), promotion_id=OFFER, role=TargetRole.GIFT, product_id=world.company.products[1].id, quantity=2
    )
    async with world.database.write() as session:
        await insert_rows(session, [gift])
    async with await open_device(world, tmp_path / "device.db") as device:
        order_id = await take(device, world, 6)
        shown = (await device.order(order_id)).lines
        assert [(line.quantity, line.amount_minor, line.price_source) for line in shown[1:]] == [(4, 0, PriceSource.GIFT)]
        report = await device.sync()
        assert report.verdicts[0].verdict.outcome is Outcome.ACCEPTED
        goods, given = (await device.order(order_id)).lines
        assert (given.id, given.quantity, given.allocated, given.promotion_id) == (shown[1].id, 4, 4, OFFER)
        assert goods.amount_minor == 600
