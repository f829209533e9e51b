"""Floors of cost and margin: computed beside those that are written by hand, and held to by orders from devices."""

from pathlib import Path
from typing import Any

import pytest

from client_sdk import ManualPrice
from server.identity.principals import Role
from server.pricing.computed_prices import floor_id, is_computed
from server.pricing.computing import Counts
from server.runtime.rows import insert_rows
from sync_protocol.entities.catalog import Category, Product
from sync_protocol.entities.pricing import DiscountLimit, PriceFloor
from sync_protocol.verdicts import Code, Outcome
from tests.support.computed_prices import compute, floors, head
from tests.support.ledger import device_view
from tests.support.pricing import PriceOffice
from tests.support.world import World, make_id


def product(world: World, place: int) -> str:
    return str(world.company.products[place].id)


async def cost(office: PriceOffice, place: int, unit_cost: int, **values: Any) -> dict[str, Any]:
    sent = {"product_id": product(office.world, place), "currency": "EUR", "unit_cost": unit_cost, **values}
    return await office.post("product-costs", **sent)


async def prices(world: World) -> list[tuple[str, str, int]]:
    skus = {each.id: each.sku for each in world.company.products}
    return [(skus[each.product_id], each.currency, each.unit_price) for each in await floors(world)]


async def test_a_floor_is_the_cost_with_the_nearest_margin(office: PriceOffice) -> None:
    world = office.world
    inner = Category(id=make_id(3), code="IN", name="Inside", parent_id=world.company.category.id)
    async with world.database.write() as session:
        await insert_rows(session, [inner])
    await world.change(Product, world.company.products[1].id, category_id=inner.id)
    await world.change(Product, world.company.products[2].id, category_id=None)
    for place in range(3):
        await cost(office, place, 9_000, per_quantity=2)
    await cost(office, 0, 100, currency="USD")
    assert (await compute(world)).floors == Counts()
    margin = await office.post("margin-rules", minimum_margin_basis_points=1_000)
    assert (await compute(world)).floors == Counts(made=4)
    assert {each[2] for each in await prices(world)} == {5_000, 111}
    await office.post("margin-rules", minimum_margin_basis_points=5_000, category_id=str(world.company.category.id))
    await office.post("margin-rules", minimum_margin_basis_points=4_000, category_id=str(world.company.category.id))
    await office.post("margin-rules", minimum_margin_basis_points=0, product_id=product(world, 0))
    await compute(world)
    assert await prices(world) == [("SKU-0", "EUR", 4_500), ("SKU-0", "USD", 100), ("SKU-1", "EUR", 9_000), ("SKU-2", "EUR", 5_000)]
    await office.delete("margin-rules", margin["id"])
    assert (await compute(world)).floors == Counts(removed=1, unchanged=3)


async def test_floors_that_stay_are_not_written_and_a_changed_cost_changes_its_own(office: PriceOffice) -> None:
    world = office.world
    await office.post("margin-rules", minimum_margin_basis_points=5_000)
    first, _ = [await cost(office, place, 1_000) for place in range(2)]
    await compute(world)
    await compute(world)
    before = await head(world)
    assert (await compute(world)).floors is None
    assert (await compute(world, every=True)).floors == Counts(unchanged=2)
    assert await head(world) == before
    await office.put("product-costs", first["id"], {**first, "unit_cost": 1_500}, 200)
    assert (await compute(world)).floors == Counts(changed=1, unchanged=1)
    assert await head(world) == before + 1
    await office.delete("product-costs", first["id"])
    assert (await compute(world)).floors == Counts(removed=1, unchanged=1)


async def test_a_floor_changes_when_the_next_cost_begins(office: PriceOffice) -> None:
    world = office.world
    await office.post("margin-rules", minimum_margin_basis_points=0)
    await cost(office, 0, 100)
    await cost(office, 0, 200, valid_from_ms=world.clock.now_ms() + 1_000)
    await compute(world)
    await compute(world)
    assert (await compute(world)).floors is None
    world.clock.advance(999)
    assert (await compute(world)).floors is None
    world.clock.advance(1)
    assert (await compute(world)).floors == Counts(changed=1)
    assert await prices(world) == [("SKU-0", "EUR", 200)]


async def test_a_floor_by_hand_takes_the_place_of_a_computed_one_and_stays_as_it_is(office: PriceOffice) -> None:
    world = office.world
    await office.post("margin-rules", minimum_margin_basis_points=0)
    await cost(office, 0, 100)
    await compute(world)
    (computed,) = await floors(world)
    assert computed.id == floor_id(computed.product_id, "EUR")
    sent = {"product_id": product(world, 0), "currency": "EUR", "unit_price": 5}
    told = await office.refused("PUT", f"price-floors/{computed.id}", sent, 400, "unfit_price_row")
    assert list(told["fields"]) == ["id"]
    by_hand = await office.post("price-floors", **sent)
    other = await office.post("price-floors", **{**sent, "currency": "USD"})
    await compute(world)
    assert [each.unit_price for each in await floors(world)] == [5, 5]
    assert not any(is_computed(each) for each in await floors(world))
    await office.delete("price-floors", by_hand["id"])
    await office.delete("price-floors", other["id"])
    await compute(world)
    assert await floors(world) == [computed]
    await office.delete("price-floors", str(computed.id))
    await compute(world)
    assert await floors(world) == [computed]


async def test_a_computed_floor_that_another_program_moved_comes_back(office: PriceOffice) -> None:
    world = office.world
    await office.post("margin-rules", minimum_margin_basis_points=0)
    for place in range(2):
        await cost(office, place, 100)
    await compute(world)
    before = await floors(world)
    first, second = before
    await world.change(PriceFloor, second.id, currency="USD")
    await world.change(PriceFloor, first.id, product_id=world.company.products[2].id)
    for _ in range(3):
        await compute(world)
    assert await floors(world) == before


async def test_an_order_below_the_margin_is_held_and_a_buyer_never_sees_a_floor(office: PriceOffice, tmp_path: Path) -> None:
    world = office.world
    async with world.database.write() as session:
        await world._user(session, "buyer", Role.BUYER, customer_id=world.company.customers[0].id)
        await insert_rows(session, [DiscountLimit(id=make_id(9_040), role="rep", discount_basis_points=10_000)])
    await office.post("margin-rules", minimum_margin_basis_points=2_000)
    await cost(office, 0, 7_200)
    await compute(world)
    async with (
        await world.enrolled_device("rep0", tmp_path / "rep.db") as rep,
        await world.enrolled_device("buyer", tmp_path / "buyer.db") as buyer,
    ):
        for client in (rep, buyer):
            await client.sync()
        for unit_price, outcome, codes in ((9_000, Outcome.ACCEPTED, ()), (8_900, Outcome.HELD, (Code.BELOW_FLOOR,))):
            draft = await rep.draft_order(world.company.customers[0].id)
            by_hand = ManualPrice(reason="so they asked", unit_price=unit_price)
            await draft.add_line(world.company.products[0].id, 1, manual=by_hand)
            foretold = await draft.preview()
            assert (foretold.outcome, tuple(foretold.codes)) == (outcome, codes)
            await draft.submit()
            (entry,) = (await rep.sync()).verdicts
            assert (entry.verdict.outcome, tuple(entry.verdict.codes)) == (outcome, codes)
        await compute(world)
        for client, seen in ((rep, 1), (buyer, 0)):
            await client.sync()
            assert len(device_view(client)["price_floor"]) == seen


@pytest.mark.parametrize(
    ("path", "sent", "field"),
    [
        ("product-costs", {"unit_cost": -1}, "unit_cost"),
        ("product-costs", {"unit_cost": 1.5}, "unit_cost"),
        ("product-costs", {"per_quantity": 0}, "per_quantity"),
        ("product-costs", {"currency": "euro"}, "currency"),
        ("margin-rules", {"minimum_margin_basis_points": 10_000}, "minimum_margin_basis_points"),
        ("margin-rules", {"minimum_margin_basis_points": None}, "minimum_margin_basis_points"),
    ],
)
async def test_rubbish_of_costs_and_margins_is_refused(office: PriceOffice, path: str, sent: dict[str, Any], field: str) -> None:
    row = (await office.rows_of_each_kind())[path]
    told = await office.refused("POST", path, {**row, **sent}, 400, "invalid_request")
    assert list(told["fields"]) == [field]


async def test_a_margin_is_of_a_product_or_of_a_category_and_a_cost_begins_once(office: PriceOffice) -> None:
    both = {"product_id": product(office.world, 0), "category_id": str(office.world.company.category.id)}
    assert list(await office.unfit("margin-rules", {"minimum_margin_basis_points": 1, **both})) == ["category_id"]
    made = await cost(office, 0, 1, valid_from_ms=5)
    again = {name: value for name, value in made.items() if name != "id"}
    await office.refused("POST", "product-costs", again, 409, "value_taken")
