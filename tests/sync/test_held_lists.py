"""Which price lists a device holds by assignments, segments and its customers' own lists, from the next sync on."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from server.identity.principals import Role
from server.runtime.database import Database
from server.runtime.rows import insert_rows
from sync_protocol.entities.customers import Customer, Segment, SegmentMember
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import (
    CustomerPriceList,
    ListQuantityRule,
    PriceEntry,
    PriceList,
    PriceListAssignment,
    Strength,
)
from sync_protocol.values import Row
from tests.support.ledger import device_view
from tests.support.terms import ASKED_FIRST, GOLD, SILVER
from tests.support.world import World, make_id
from tests.sync.test_scope import assign, same

ROWS_OF_A_LIST = {"price_list": 0, "price_entry": 1, "list_quantity_rule": 1}
"""Where in a row of each entity the list stands."""


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


def special_list(world: World) -> list[Row]:
    """A list that is nobody's yet, with a price and a rule."""
    product, special = world.company.products[0], PriceList(id=make_id(990), code="VIP", name="Special", currency="EUR")
    return [
        special,
        PriceEntry(id=make_id(991), price_list_id=special.id, product_id=product.id, min_quantity=1, unit_price=5_000),
        ListQuantityRule(id=make_id(992), price_list_id=special.id, product_id=product.id, strength=Strength.REQUIRED),
        *(Segment(id=segment, code=code, name=code) for segment, code in ((GOLD, "GOLD"), (SILVER, "SILVER"))),
        SegmentMember(id=make_id(993), customer_id=world.company.customers[0].id, segment_id=GOLD),
        SegmentMember(id=make_id(994), customer_id=world.company.customers[-1].id, segment_id=SILVER),
    ]


async def insert(world: World, *rows: Row) -> None:
    async with world.database.write() as session:
        for row in rows:
            await insert_rows(session, [row])


def assigned(world: World, territory: int | None = None, **named: Any) -> PriceListAssignment:
    territory_id = None if territory is None else world.company.territories[territory].id
    return PriceListAssignment(id=make_id(995), price_list_id=make_id(990), territory_id=territory_id, **ASKED_FIRST, **named)


async def has_special(device: OrderClient) -> bool:
    """Whether the list is here, with all that is in it."""
    view = device_view(device)
    found = {make_id(990).bytes in {row[place] for row in view[name]} for name, place in ROWS_OF_A_LIST.items()}
    assert len(found) == 1, "a list is here whole, or not at all"
    return found.pop()


@pytest.mark.parametrize(
    ("named", "is_held"),
    [
        ({}, True),
        ({"channel": Channel.REP}, True),
        ({"channel": Channel.BUYER}, False),
        ({"channel": Channel.ONLINE}, False),
        ({"territory": 0}, True),
        ({"territory": 1}, False),
        ({"segment_id": GOLD}, True),
        ({"segment_id": SILVER}, False),
        ({"segment_id": GOLD, "territory": 0, "channel": Channel.REP}, True),
        ({"segment_id": GOLD, "territory": 1}, False),
        ({"segment_id": SILVER, "territory": 0}, False),
        ({"segment_id": GOLD, "channel": Channel.BUYER}, False),
        ({"segment_id": GOLD, "valid_until_ms": 1}, True),
        ({"segment_id": GOLD, "valid_from_ms": 10**14}, True),
    ],
    ids=str,
)
async def test_a_rep_holds_an_assigned_list_where_all_that_is_named_fits(
    world: World, tmp_path: Path, named: dict[str, Any], *, is_held: bool
) -> None:
    await insert(world, *special_list(world))
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        assert not await has_special(device)
        await insert(world, assigned(world, **named))
        await device.sync()
        assert await has_special(device) is is_held
        assert await same(world, device)
        async with world.database.write() as session:
            await session.execute(sa.text("DELETE FROM price_list_assignment"))
        await device.sync()
        assert not await has_special(device)
        assert await same(world, device)


async def test_of_a_segment_in_a_territory_one_customer_must_be_in_both(world: World, tmp_path: Path) -> None:
    """The rep works both territories, and has a customer of the segment: but not there."""
    await insert(world, *special_list(world), assigned(world, territory=1, segment_id=GOLD))
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await assign(world, 0, 0, 1)
        await device.sync()
        assert not await has_special(device)
        await world.change(SegmentMember, make_id(994), segment_id=GOLD)
        await device.sync()
        assert await has_special(device)
        assert await same(world, device)
        await world.change(Customer, world.company.customers[-1].id, territory_id=None)
        await device.sync()
        assert not await has_special(device)
        assert await same(world, device)


async def test_a_list_comes_and_goes_with_the_customer_that_it_is_for(world: World, tmp_path: Path) -> None:
    ours, theirs = world.company.customers[0].id, world.company.customers[-1].id
    await insert(world, *special_list(world), assigned(world, segment_id=SILVER, channel=Channel.BUYER))
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        of_theirs = CustomerPriceList(id=make_id(996), customer_id=theirs, price_list_id=make_id(990), **ASKED_FIRST)
        await insert(world, of_theirs)
        await device.sync()
        assert not await has_special(device)
        for row, row_id in ((CustomerPriceList, make_id(996)), (SegmentMember, make_id(994))):
            for customer_id, is_held in ((ours, True), (theirs, False), (ours, True), (theirs, False)):
                await world.change(row, row_id, customer_id=customer_id)
                await device.sync()
                assert await has_special(device) is is_held, row
                assert await same(world, device)
            await world.change(PriceListAssignment, make_id(995), channel=None)
        async with world.database.write() as session:
            await session.execute(sa.text("DELETE FROM customer_price_list"))
            await session.execute(sa.text("DELETE FROM price_list_assignment"))
        await world.change(Customer, theirs, territory_id=world.company.territories[0].id)
        await device.sync()
        assert not await has_special(device)
        await insert(world, of_theirs)
        await device.sync()
        assert await has_special(device)
        assert await same(world, device)


@pytest.mark.parametrize(
    ("named", "is_held"),
    [
        ({}, True),
        ({"channel": Channel.REP}, False),
        ({"channel": Channel.BUYER}, True),
        ({"channel": Channel.ONLINE}, True),
        ({"territory": 0}, True),
        ({"territory": 1}, False),
        ({"segment_id": GOLD, "territory": 0}, True),
        ({"segment_id": GOLD, "territory": 1}, False),
        ({"segment_id": SILVER}, False),
    ],
    ids=str,
)
async def test_a_buyer_holds_an_assigned_list_where_all_that_is_named_fits_its_company(
    world: World, tmp_path: Path, named: dict[str, Any], *, is_held: bool
) -> None:
    await insert(world, *special_list(world), assigned(world, **named))
    async with world.database.write() as session:
        await world._user(session, "buyer", Role.BUYER, customer_id=world.company.customers[0].id)
    async with await world.enrolled_device("buyer", tmp_path / "buyer.db") as buyer:
        await buyer.sync()
        assert await has_special(buyer) is is_held
