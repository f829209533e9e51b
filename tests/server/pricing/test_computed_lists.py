"""Computed lists: written by the office, computed product by product, and only what differs reaches the log."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.changelog.models import ChangeLogModel
from server.identity.principals import Role
from server.pricing.computed_changes import SEEN_BEHIND_MAX
from server.pricing.computed_errors import ComputingBusyError, ListIsComputedError
from server.pricing.computed_models import ComputedListModel
from server.pricing.computed_prices import entry_id, key_of
from server.pricing.computing import PORTION, Counts
from server.pricing.materialising import JOBS, LOCK_NAME
from server.pricing.models import PriceEntryModel
from server.runtime.database import Database
from server.runtime.jobs import election_of
from server.runtime.rows import insert_rows
from server.runtime.slices import JobContext
from sync_protocol.entities import BY_ROW
from sync_protocol.entities.catalog import Category, Product
from sync_protocol.entities.pricing import PriceEntry, PriceList
from tests.support.computed_prices import Body, compute, entries, head, new_list, of_cost, of_list, prices
from tests.support.office import open_office, problem
from tests.support.price_timelines import draft, publish_at
from tests.support.pricing import PriceOffice, pricing
from tests.support.world import World, make_id


class KilledError(Exception):
    """The process ends between two commits."""


async def computed(office: PriceOffice, code: str, definition: Body) -> str:
    """A new list that is computed."""
    price_list_id = await new_list(office, code)
    await define(office, price_list_id, definition)
    return price_list_id


async def define(office: PriceOffice, price_list_id: str, definition: Body) -> Body:
    return await office.put("computed-lists", price_list_id, definition, 200)


async def unfit(office: PriceOffice, price_list_id: str, definition: Body) -> dict[str, str]:
    told = await office.refused("PUT", f"computed-lists/{price_list_id}", definition, 400, "unfit_computed_list")
    return dict(told["fields"])


async def written_since(world: World, place: int) -> set[UUID]:
    """The entries that the log has from after a place on."""
    async with world.database.read() as session:
        query = sa.text(
            "SELECT row_id FROM change_log JOIN change_commit ON change_commit.change = change_log.change"
            " WHERE entity = :entity AND commit_seq > :place"
        )
        query = query.columns(ChangeLogModel.row_id)
        found = await session.execute(query, {"entity": BY_ROW[PriceEntry].number, "place": place})
        return set(found.scalars())


async def test_a_list_is_another_with_a_percentage_on_top_break_by_break(office: PriceOffice) -> None:
    world = office.world
    base = world.company.price_lists[0].id
    list_id = await computed(office, "C", of_list(base, {"adjustment_basis_points": 1_000}))
    run = await compute(world)
    assert [(str(each.price_list_id), each.counts) for each in run.lists] == [(list_id, Counts(made=12))]
    assert await prices(world, list_id) == [(least, price * 11 // 10) for least, price in await prices(world, base)]
    for each in await entries(world, list_id):
        assert each.id == entry_id(UUID(list_id), key_of(each))
    opened = await office.get(f"computed-lists/{list_id}")
    assert (opened["is_due"], opened["problem"], opened["computed_at_ms"]) == (False, None, world.clock.now_ms())


async def test_a_run_without_a_change_writes_nothing(office: PriceOffice) -> None:
    world = office.world
    list_id = await computed(office, "C", of_list(world.company.price_lists[0].id))
    await compute(world)
    before = await head(world)
    again = await compute(world, every=True)
    assert again.lists[0].counts == Counts(unchanged=12)
    await compute(world)
    assert (await compute(world)).lists == ()
    assert await head(world) == before
    assert len(await entries(world, list_id)) == 12


async def test_a_change_of_one_price_of_the_base_writes_just_what_is_made_of_it(office: PriceOffice) -> None:
    world = office.world
    base, product = world.company.price_lists[0].id, world.company.products[2].id
    first = await computed(office, "C1", of_list(base, {"adjustment_basis_points": 1_000}))
    second = await computed(office, "C2", of_list(first, {"adjustment_amount": 1}))
    await compute(world)
    await compute(world)
    before = await head(world)
    changed = next(each for each in world.company.entries if (each.price_list_id, each.product_id) == (base, product))
    await world.change(PriceEntry, changed.id, unit_price=70_000)
    run = await compute(world)
    assert [each.counts for each in run.lists] == [Counts(changed=1, unchanged=1)] * 2
    derived = {entry_id(UUID(each), key_of(changed)) for each in (first, second)}
    assert await written_since(world, before) == derived | {changed.id}
    found = {each.id: each.unit_price for each in (*await entries(world, first), *await entries(world, second))}
    assert sorted(found[each] for each in derived) == [77_000, 77_001]


async def test_a_publication_on_the_base_carries_over_with_its_window_and_another_list_s_does_not_matter(
    office: PriceOffice,
) -> None:
    world = office.world
    (base, other), product = (each.id for each in world.company.price_lists), world.company.products[0].id
    list_id = await computed(office, "C", of_list(base, {"adjustment_basis_points": -5_000}))
    await compute(world)
    await compute(world)
    at_ms = world.clock.now_ms() + 86_400_000
    await publish_at(world, await draft(world, other, {(product, 1, 1): 5}), at_ms)
    assert (await compute(world)).lists == ()
    await publish_at(world, await draft(world, base, {(product, 1, 1): 30_000, (product, 10, 1): None}), at_ms)
    await compute(world)
    theirs = [each for each in await entries(world, list_id) if each.product_id == product]
    assert [(each.min_quantity, each.unit_price, each.valid_from_ms, each.valid_until_ms) for each in theirs] == [
        (1, 5_000, 0, at_ms),
        (1, 15_000, at_ms, None),
        (10, 4_500, 0, at_ms),
    ]


async def test_the_nearest_rule_makes_the_price_and_without_one_a_product_is_not_on_the_list(office: PriceOffice) -> None:
    world = office.world
    first, second, third, *_ = world.company.products
    inner = Category(id=make_id(3), code="IN", name="Inside", parent_id=world.company.category.id)
    async with world.database.write() as session:
        await insert_rows(session, [inner])
    await world.change(Product, second.id, category_id=inner.id)
    await world.change(Product, third.id, category_id=None)
    rules = [
        {"category_id": str(world.company.category.id), "adjustment_amount": 1},
        {"category_id": str(inner.id), "adjustment_amount": 2},
        {"product_id": str(first.id), "adjustment_amount": 3},
    ]
    list_id = await computed(office, "C", of_list(world.company.price_lists[0].id, *rules))
    await compute(world)
    found = {each.product_id: each.unit_price for each in await entries(world, list_id) if each.min_quantity == 1}
    assert found[first.id] == 10_003
    assert found[second.id] == 20_002
    assert third.id not in found
    await world.change(Product, third.id, category_id=inner.id)
    await compute(world)
    assert (30_002) in [price for _, price in await prices(world, list_id)]


async def test_a_list_of_costs_has_a_price_from_each_cost_on(office: PriceOffice) -> None:
    world = office.world
    product = str(world.company.products[0].id)
    list_id = await computed(office, "C", of_cost({"adjustment_basis_points": 5_000, "step_minor": 100, "ending_minor": 99}))
    cost = await office.post("product-costs", product_id=product, currency="EUR", unit_cost=80_000, per_quantity=2)
    await office.post("product-costs", product_id=product, currency="EUR", unit_cost=90_000, valid_from_ms=7)
    await office.post("product-costs", product_id=product, currency="USD", unit_cost=1)
    await compute(world)
    assert [(each.unit_price, each.valid_from_ms, each.valid_until_ms) for each in await entries(world, list_id)] == [
        (59_900, 0, 7),
        (139_900, 7, None),
    ]
    await office.put("product-costs", cost["id"], {**cost, "unit_cost": 100_000}, 200)
    assert (await office.get(f"computed-lists/{list_id}"))["is_due"]
    assert (await compute(world)).lists[0].counts == Counts(changed=1, unchanged=1)


async def test_prices_that_are_computed_are_not_written_by_hand(office: PriceOffice) -> None:
    world = office.world
    base, other = (each.id for each in world.company.price_lists)
    product = world.company.products[0].id
    drafted = await draft(world, other, {(product, 1, 1): 5})
    ahead = await draft(world, other, {(product, 1, 1): 6})
    await publish_at(world, ahead, world.clock.now_ms() + 1_000)
    await define(office, str(other), of_list(base))
    told = await office.refused("POST", "revisions", {"price_list_id": str(other)}, 409, "list_is_computed")
    assert f"computed of list {world.company.price_lists[0].code}" in told["detail"]
    change = {"set": [{"product_id": str(product), "unit_price": 1}]}
    await office.refused("POST", f"revisions/{drafted}/entries", change, 409, "list_is_computed")
    await office.refused("POST", f"revisions/{drafted}/publish", {}, 409, "list_is_computed")
    await office.refused("POST", f"revisions/{ahead}/recall", {}, 409, "list_is_computed")
    with pytest.raises(ListIsComputedError):
        await publish_at(world, drafted, None)
    answer = await office.client.post(f"/pricing/revisions/{drafted}/file", content=b"sku,price\nSKU-0,1\n")
    problem(answer, 409, "list_is_computed")
    await office.post(f"revisions/{drafted}/discard")
    await office.delete("computed-lists", str(other))
    await office.post("revisions", price_list_id=str(other))
    await office.refused("GET", f"computed-lists/{other}", None, 404, "computed_list_not_found")
    await office.refused("DELETE", f"computed-lists/{other}", None, 404, "computed_list_not_found")
    await office.refused("POST", f"computed-lists/{other}/run", None, 404, "computed_list_not_found")


async def test_a_list_that_becomes_computed_keeps_the_rows_that_stay_and_what_another_program_writes_is_mended(
    office: PriceOffice,
) -> None:
    world = office.world
    base, other = (each.id for each in world.company.price_lists)
    before = await entries(world, other)
    await world.change(PriceEntry, before[0].id, unit_price=1)
    await define(office, str(other), of_list(base))
    assert (await compute(world)).lists[0].counts == Counts(changed=1, unchanged=11)
    assert await entries(world, other) == before
    await compute(world)
    await world.change(PriceEntry, before[3].id, unit_price=2)
    async with world.database.write() as session:
        await session.execute(sa.delete(PriceEntryModel).where(PriceEntryModel.id == before[4].id))
    assert (await compute(world)).lists[0].counts == Counts(made=1, changed=1, unchanged=2)
    assert await prices(world, other) == await prices(world, base)


async def test_an_entry_that_another_program_moved_to_another_break_does_not_stop_the_run(office: PriceOffice) -> None:
    world = office.world
    base = world.company.price_lists[0].id
    list_id = await computed(office, "C", of_list(base))
    await compute(world)
    moved = (await entries(world, list_id))[0]
    await world.change(PriceEntry, moved.id, min_quantity=777)
    source = (await entries(world, base))[0]
    async with world.database.write() as session:
        await insert_rows(session, [msgspec.structs.replace(source, id=make_id(70_000), min_quantity=777)])
    assert (await compute(world)).lists[0].counts == Counts(made=1, unchanged=12)
    assert await prices(world, list_id) == await prices(world, base)
    assert (await compute(world, every=True)).lists[0].counts == Counts(unchanged=13)


async def test_an_entry_that_another_program_moved_to_another_product_or_list_does_not_stop_the_run(office: PriceOffice) -> None:
    world = office.world
    base, other = (each.id for each in world.company.price_lists)
    list_id = await computed(office, "C", of_list(base))
    await compute(world)
    first, second, *_ = await entries(world, list_id)
    await world.change(PriceEntry, first.id, product_id=world.company.products[3].id, min_quantity=777)
    await world.change(PriceEntry, second.id, price_list_id=other, min_quantity=777)
    source = next(each for each in await entries(world, base) if each.product_id == world.company.products[3].id)
    async with world.database.write() as session:
        await insert_rows(session, [msgspec.structs.replace(source, id=make_id(70_000), min_quantity=777)])
    await compute(world)
    assert await prices(world, list_id) == await prices(world, base)
    assert (await compute(world, every=True)).lists[0].counts == Counts(unchanged=13)


async def test_a_price_that_another_program_moves_or_deletes_is_followed(office: PriceOffice) -> None:
    world = office.world
    (base, other), last = (each.id for each in world.company.price_lists), world.company.products[5].id
    list_id = await computed(office, "C", of_list(base))
    await compute(world)
    await compute(world)
    rows = await entries(world, base)
    await world.change(PriceEntry, rows[0].id, product_id=last, min_quantity=77)
    assert (await compute(world)).lists[0].counts == Counts(made=1, removed=1, unchanged=3)
    assert await prices(world, list_id) == await prices(world, base)
    await compute(world)
    await world.change(PriceEntry, rows[1].id, price_list_id=other, min_quantity=78)
    assert (await compute(world)).lists[0].counts == Counts(removed=1)
    await compute(world)
    async with world.database.write() as session:
        await session.execute(sa.delete(PriceEntryModel).where(PriceEntryModel.id == rows[2].id))
    assert (await compute(world)).lists[0].counts == Counts(removed=1, unchanged=1)
    assert await prices(world, list_id) == await prices(world, base)


async def test_a_circle_is_refused_and_named(office: PriceOffice) -> None:
    first = await new_list(office, "A")
    second = await computed(office, "B", of_list(first))
    third = await computed(office, "C", of_list(second))
    assert await unfit(office, first, of_list(third)) == {
        "base_list_id": "closes a circle: A of C of B of A; name a list that is not made of this one"
    }
    assert "A of A" in (await unfit(office, first, of_list(first)))["base_list_id"]
    for place in range(4):
        x, y = await new_list(office, f"X{place}"), await new_list(office, f"Y{place}")
        answers = await asyncio.gather(
            office.client.put(f"/pricing/computed-lists/{x}", json=of_list(y)),
            office.client.put(f"/pricing/computed-lists/{y}", json=of_list(x)),
        )
        assert sorted(each.status_code for each in answers) == [200, 400]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"base_list_id": None}, "base_list_id"),
        ({"base_list_id": str(UUID(int=4))}, "base_list_id"),
        ({"source": "cost"}, "base_list_id"),
        ({"rules": [{}, {}]}, "rules[1]"),
        ({"rules": [{"ending_minor": 9}]}, "rules[0].step_minor"),
        ({"rules": [{"ending_minor": 10, "step_minor": 10}]}, "rules[0].ending_minor"),
        ({"rules": [{"product_id": str(UUID(int=4))}]}, "rules[0].product_id"),
        ({"rules": [{"category_id": str(UUID(int=4))}]}, "rules[0].category_id"),
        ({"rules": [{"category_id": str(make_id(2)), "product_id": str(make_id(100))}]}, "rules[0].category_id"),
    ],
)
async def test_rules_that_make_no_sense_are_refused_by_their_field(office: PriceOffice, change: Body, field: str) -> None:
    definition = {**of_list(office.world.company.price_lists[0].id), **change}
    list_id = await new_list(office, "C")
    assert list(await unfit(office, list_id, definition)) == [field]
    told = await office.refused("POST", f"computed-lists/{list_id}/preview", definition, 400, "unfit_computed_list")
    assert list(told["fields"]) == [field]


@pytest.mark.parametrize(
    "rubbish",
    [
        {"source": "list", "rules": []},
        {"source": "dice", "rules": [{}]},
        {"source": "cost", "rules": [{"adjustment_basis_points": 1.5}]},
        {"source": "cost", "rules": [{"adjustment_basis_points": -10_001}]},
        {"source": "cost", "rules": [{"step_minor": 0}]},
        {"source": "cost", "rules": [{"rounding": "sideways"}]},
        {"source": "cost", "rules": [{"colour": 1}]},
        [],
    ],
)
async def test_rubbish_is_refused(office: PriceOffice, rubbish: Any) -> None:
    await office.refused("PUT", f"computed-lists/{await new_list(office, 'C')}", rubbish, 400, "invalid_request")
    unknown = await unfit(office, office.new_id(), of_cost())
    assert unknown == {"price_list_id": "names no price_list; check the id"}


async def test_a_base_in_another_currency_is_refused_and_one_that_changes_it_later_leaves_the_prices_as_they_are(
    office: PriceOffice,
) -> None:
    world = office.world
    dollars, list_id = await new_list(office, "USD", "USD"), await new_list(office, "C")
    assert "in USD, and C is in EUR" in (await unfit(office, list_id, of_list(dollars)))["base_list_id"]
    base = world.company.price_lists[0].id
    await define(office, list_id, of_list(base))
    await compute(world)
    await world.change(PriceList, base, currency="USD")
    before = await entries(world, list_id)
    (run,) = (await compute(world)).lists
    assert run.problem is not None
    assert "in USD" in run.problem
    assert (await office.get(f"computed-lists/{list_id}"))["problem"] == run.problem
    assert await entries(world, list_id) == before
    await world.change(PriceList, base, currency="EUR")
    await compute(world)
    assert (await office.get(f"computed-lists/{list_id}"))["problem"] is None


async def many_products(world: World, count: int) -> None:
    """More products on the first list than one portion has."""
    base = world.company.price_lists[0].id
    goods = [
        msgspec.structs.replace(world.company.products[0], id=make_id(50_000 + n), sku=f"MORE-{n}", name=f"More {n}")
        for n in range(count)
    ]
    sold = [
        PriceEntry(id=make_id(60_000 + n), price_list_id=base, product_id=each.id, min_quantity=1, unit_price=n)
        for n, each in enumerate(goods)
    ]
    async with world.database.write() as session:
        await insert_rows(session, goods)
        await insert_rows(session, sold)


async def test_what_a_run_that_was_killed_left_is_done_by_the_next(office: PriceOffice) -> None:
    world = office.world
    base = world.company.price_lists[0].id
    await many_products(world, 2 * PORTION)
    list_id = await computed(office, "C", of_list(base))
    commits: list[int] = []

    def end() -> None:
        commits.append(1)
        if len(commits) == 2:
            raise KilledError

    world.database.commit_listeners.append(end)
    with pytest.raises(KilledError):
        await compute(world)
    world.database.commit_listeners.remove(end)
    done = len(await entries(world, list_id))
    missing = 2 * PORTION + 12 - done
    assert done == 2 * PORTION + 6
    assert (await compute(world)).lists[0].counts == Counts(made=missing, unchanged=done)
    assert await prices(world, list_id) == await prices(world, base)


async def test_of_two_runs_at_once_one_computes(office: PriceOffice) -> None:
    world = office.world
    list_id = await computed(office, "C", of_list(world.company.price_lists[0].id))
    lock = election_of(world.database, LOCK_NAME)
    assert await lock.hold()
    with pytest.raises(ComputingBusyError):
        await compute(world)
    await office.refused("POST", f"computed-lists/{list_id}/run", None, 503, "computing_busy")
    (job,) = JOBS
    context = JobContext(database=world.database, clock=world.clock, retention_days=30)
    await job.run(context)
    assert await entries(world, list_id) == []
    await lock.resign()
    await job.run(context)
    assert len(await entries(world, list_id)) == 12


async def test_a_run_of_one_list_computes_what_it_is_made_of_before(office: PriceOffice) -> None:
    world = office.world
    first = await computed(office, "Z", of_list(world.company.price_lists[0].id))
    second = await computed(office, "A", of_list(first))
    aside = await computed(office, "B", of_list(first))
    run = await office.post(f"computed-lists/{second}/run")
    assert [(each["price_list_id"], each["counts"]["made"]) for each in run["lists"]] == [(first, 12), (second, 12)]
    assert (run["floors"], await entries(world, aside)) == (None, [])
    listed = (await office.client.get("/pricing/computed-lists")).json()
    assert [each["price_list_id"] for each in listed].index(first) == 0
    assert len(listed) == 3


async def test_a_preview_counts_and_shows_what_changes_most_and_writes_nothing(office: PriceOffice) -> None:
    world = office.world
    base, other = (each.id for each in world.company.price_lists)
    products = world.company.products
    before = await head(world)
    dearer = {"product_id": str(products[1].id), "adjustment_basis_points": 5_000}
    cheaper = {"product_id": str(products[0].id), "adjustment_basis_points": -1_000}
    seen = await office.post(f"computed-lists/{other}/preview", **of_list(base, {}, dearer, cheaper))
    assert seen["counts"] == {"made": 0, "changed": 4, "removed": 0, "unchanged": 8, "beyond": 0}
    assert [(each["sku"], each["change_basis_points"]) for each in seen["largest"]] == [
        ("SKU-1", 5_000),
        ("SKU-1", 5_000),
        ("SKU-0", -1_000),
        ("SKU-0", -1_000),
    ]
    assert await head(world) == before
    await office.refused("GET", f"computed-lists/{other}", None, 404, "computed_list_not_found")


async def test_a_list_that_nothing_concerns_moves_on_in_the_log_without_being_computed(office: PriceOffice) -> None:
    world = office.world
    list_id = await computed(office, "C", of_list(world.company.price_lists[0].id))
    await compute(world)
    await compute(world)
    async with world.database.write() as session:
        await session.execute(sa.text("UPDATE change_head SET head = head + :many"), {"many": SEEN_BEHIND_MAX + 10})
    assert (await compute(world)).lists == ()
    async with world.database.read() as session:
        row = await session.get_one(ComputedListModel, UUID(list_id))
    assert row.seen_seq == await head(world)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("price"), st.integers(0, 11), st.integers(0, 3)),
            st.tuples(st.just("rule"), st.integers(0, 1), st.integers(-3, 3)),
            st.tuples(st.just("compute"), st.just(0), st.just(0)),
        ),
        max_size=8,
    )
)
async def test_whatever_happens_in_between_the_lists_follow_at_the_next_run(
    world: World, steps: list[tuple[str, int, int]]
) -> None:
    async with pricing(world) as office:
        base = world.company.price_lists[0].id
        ids = [await new_list(office, str(world.ids.new())) for _ in range(2)]
        amounts = [0, 0]
        for place, below in ((0, base), (1, ids[0])):
            await define(office, ids[place], of_list(below))
        for act, place, value in steps:
            if act == "price":
                await world.change(PriceEntry, world.company.entries[place].id, unit_price=value * 10)
            elif act == "rule":
                amounts[place] = value
                await define(office, ids[place], of_list(base if place == 0 else ids[0], {"adjustment_amount": value}))
            else:
                await compute(world)
        await compute(world)
        expected = await prices(world, base)
        for place, list_id in enumerate(ids):
            expected = [(least, max(price + amounts[place], 0)) for least, price in expected]
            assert await prices(world, list_id) == expected


@pytest.mark.parametrize("role", [role for role in Role if role not in {Role.MANAGER, Role.ADMIN}])
async def test_costs_margins_and_rules_are_for_the_office_alone(database: Database, role: Role) -> None:
    async with open_office(database) as opened:
        for path in ("product-costs", "margin-rules", "computed-lists", f"computed-lists/{opened.ids.new()}"):
            problem(await opened.client.get(f"/pricing/{path}", headers=opened.as_(role)), 403, "role_forbids")
