"""Revisions of price lists: published at an instant, in one commit, so that each instant has exactly one price of a break."""

import asyncio
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.changelog.log import read_head
from server.pricing.errors import RevisionBuiltUponError, RevisionNotRecallableError, UnfitRevisionError
from server.pricing.publication import DAYS_AHEAD_MAX, recall
from server.runtime.rows import fetch_rows, insert_rows, table_of
from sync_protocol.entities.pricing import PriceEntry, PriceList
from tests.support.price_timelines import Break, Span, Timeline, actor_of, draft, publish_at, spans_of
from tests.support.pricing import PriceOffice
from tests.support.world import World

DAY = 86_400_000
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("publish"),
            st.none() | st.integers(0, 6),
            st.dictionaries(
                st.tuples(st.integers(0, 1), st.sampled_from([1, 10]), st.sampled_from([1, 6])),
                st.none() | st.integers(1, 3),
                min_size=1,
            ),
        ),
        st.tuples(st.just("recall"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.integers(1, 3)),
    ),
    max_size=9,
)


async def rows_of(world: World, price_list_id: UUID) -> list[PriceEntry]:
    async with world.database.read() as session:
        return await fetch_rows(session, PriceEntry, table_of(PriceEntry).c.price_list_id == price_list_id)


async def new_list(world: World) -> UUID:
    price_list = PriceList(id=world.ids.new(), code=str(world.ids.new()), name="A list", currency="EUR")
    async with world.database.write() as session:
        await insert_rows(session, [price_list])
    return price_list.id


async def recalled(world: World, revision_id: UUID) -> None:
    actor = await actor_of(world)
    async with world.database.write() as session:
        await recall(session, revision_id, reason="a mistake", actor=actor)


class Publications:
    """A list, its naive timeline, and what each publication that is in it had found."""

    def __init__(self, world: World, price_list_id: UUID) -> None:
        self.world = world
        self.price_list_id = price_list_id
        self.timeline = Timeline()
        self.published: list[tuple[UUID, int, dict[Break, list[Span]]]] = []

    async def publish(self, days: int | None, prices: dict[tuple[int, int, int], int | None]) -> None:
        products = self.world.company.products
        named = {(products[product].id, least, per): price for (product, least, per), price in prices.items()}
        now_ms = self.world.clock.now_ms()
        at_ms = now_ms if days is None else now_ms - now_ms % DAY + (days + 1) * DAY
        revision_id = await draft(self.world, self.price_list_id, named)
        await publish_at(self.world, revision_id, None if days is None else at_ms)
        self.published.append((revision_id, at_ms, self.timeline.publish(at_ms, named)))
        self.world.clock.advance(1)

    async def recall(self, place: int) -> None:
        if place >= len(self.published):
            return
        revision_id, at_ms, before = self.published[place]
        built_upon = any(before.keys() & later.keys() for _, _, later in self.published[place + 1 :])
        if at_ms <= self.world.clock.now_ms() or built_upon:
            with pytest.raises((RevisionNotRecallableError, RevisionBuiltUponError)):
                await recalled(self.world, revision_id)
            return
        await recalled(self.world, revision_id)
        del self.published[place]
        self.timeline.spans |= before

    async def check(self) -> None:
        found = spans_of(await rows_of(self.world, self.price_list_id))
        assert found == {key: spans for key, spans in self.timeline.spans.items() if spans}
        for spans in found.values():
            assert all(span.start < span.end for span in spans)
            assert all(span.end <= after.start for span, after in pairwise(spans))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_each_instant_has_the_price_that_a_naive_timeline_says(world: World, steps: list[Any]) -> None:
    list_ = Publications(world, await new_list(world))
    for act, *arguments in steps:
        if act == "wait":
            world.clock.advance(arguments[0] * DAY)
        elif act == "recall":
            await list_.recall(*arguments)
        else:
            await list_.publish(*arguments)
        await list_.check()


async def test_prices_that_another_program_let_overlap_end_with_the_revision(world: World) -> None:
    price_list_id, product = await new_list(world), world.company.products[0].id
    now = world.clock.now_ms()

    def entry(start: int, until: int | None, price: int) -> PriceEntry:
        return PriceEntry(
            id=world.ids.new(),
            price_list_id=price_list_id,
            product_id=product,
            min_quantity=1,
            unit_price=price,
            valid_from_ms=start,
            valid_until_ms=until,
        )

    async with world.database.write() as session:
        await insert_rows(session, [entry(0, None, 1), entry(5, now + 9 * DAY, 2), entry(now + DAY, now + DAY, 3)])
    key = (product, 1, 1)
    await publish_at(world, await draft(world, price_list_id, {key: 7}), now + DAY)
    rows = spans_of(await rows_of(world, price_list_id))[key]
    assert [(span.start, span.price) for span in rows if span.end > now + DAY] == [(now + DAY, 7)]
    await publish_at(world, await draft(world, price_list_id, {key: None}), now + 2 * DAY)
    rows = spans_of(await rows_of(world, price_list_id))[key]
    assert all(span.end <= now + 2 * DAY for span in rows), "an ended price does not come back"


async def test_a_publication_is_one_commit_and_what_stays_the_same_is_not_written(world: World) -> None:
    price_list = world.company.price_lists[0]
    same = {
        (entry.product_id, entry.min_quantity, 1): entry.unit_price
        for entry in world.company.entries
        if entry.price_list_id == price_list.id
    }
    before = await head(world)
    await publish_at(world, await draft(world, price_list.id, same), None)
    assert await head(world) == before, "nothing was to be told"
    others = {key: price + 1 for key, price in same.items()}
    await publish_at(world, await draft(world, price_list.id, others), world.clock.now_ms() + DAY)
    assert await head(world) == before + 1
    assert len(await rows_of(world, price_list.id)) == 2 * len(same)


async def head(world: World) -> int:
    async with world.database.read() as session:
        return (await read_head(session)).head


async def test_an_instant_that_was_and_one_that_nobody_plans_for_are_refused(world: World) -> None:
    revision_id = await draft(world, world.company.price_lists[0].id, {(world.company.products[0].id, 1, 1): 5})
    for at_ms in (world.clock.now_ms() - 1, world.clock.now_ms() + (DAYS_AHEAD_MAX + 1) * DAY):
        with pytest.raises(UnfitRevisionError) as refused:
            await publish_at(world, revision_id, at_ms)
        assert refused.value.fields.keys() == {"effective_at_ms"}
    with pytest.raises(UnfitRevisionError):
        await publish_at(world, await draft(world, world.company.price_lists[0].id, {}), None)


async def revision_with(office: PriceOffice, unit_price: int = 5_0000) -> dict[str, Any]:
    company = office.world.company
    made = (await office.post("revisions", price_list_id=str(company.price_lists[0].id), note="spring"))["revision"]
    await office.post(
        f"revisions/{made['id']}/entries", set=[{"product_id": str(company.products[0].id), "unit_price": unit_price}]
    )
    return made


async def test_of_two_at_once_the_second_is_told_of_the_first(office: PriceOffice) -> None:
    made = await revision_with(office)
    at_ms = office.world.clock.now_ms() + DAY
    path = f"/pricing/revisions/{made['id']}/publish"
    bodies: list[dict[str, Any]] = [{"effective_at_ms": at_ms}, {"effective_at_ms": at_ms + 1}, {}]
    answers = await asyncio.gather(*(office.client.post(path, json=body) for body in bodies))
    assert sorted(each.status_code for each in answers) == [200, 409, 409]
    told = next(each for each in answers if each.status_code == 409).json()
    assert (told["code"], "manager" in told["detail"]) == ("revision_not_draft", True)
    rows = await rows_of(office.world, office.world.company.price_lists[0].id)
    assert len([row for row in rows if row.unit_price == 5_0000 and row.valid_from_ms]) == 1


async def test_publishing_the_same_again_changes_nothing_and_answers_the_same(office: PriceOffice) -> None:
    made = await revision_with(office)
    body = {"effective_at_ms": office.world.clock.now_ms() + DAY, "note": "as agreed"}
    first = await office.post(f"revisions/{made['id']}/publish", **body)
    before = await head(office.world)
    assert await office.post(f"revisions/{made['id']}/publish", **body) == first
    assert await head(office.world) == before


async def test_two_revisions_of_one_list_at_once_come_one_after_the_other(office: PriceOffice) -> None:
    made = [await revision_with(office, price) for price in (5_0000, 6_0000, 7_0000)]
    answers = await asyncio.gather(*(office.client.post(f"/pricing/revisions/{each['id']}/publish", json={}) for each in made))
    assert {each.status_code for each in answers} == {200}
    price_list_id = office.world.company.price_lists[0].id
    spans = spans_of(await rows_of(office.world, price_list_id))[office.world.company.products[0].id, 1, 1]
    assert len(spans) == 4
    assert all(span.end == after.start for span, after in pairwise(spans))


async def test_who_did_what_when_and_why_is_kept(office: PriceOffice) -> None:
    made = await revision_with(office)
    path = f"revisions/{made['id']}"
    at_ms = office.world.clock.now_ms() + DAY
    await office.post(f"{path}/publish", effective_at_ms=at_ms, note="board decision")
    recalled = await office.post(f"{path}/recall", reason="wrong month")
    assert recalled["revision"]["state"] == "draft"
    await office.refused("POST", f"{path}/recall", {}, 409, "revision_not_recallable")
    discarded = await office.post(f"{path}/discard", reason="given up")
    assert [(each["act"], each["note"]) for each in discarded["events"]] == [
        ("created", "spring"),
        ("filled", "entered"),
        ("published", "board decision"),
        ("recalled", "wrong month"),
        ("discarded", "given up"),
    ]
    assert {each["by"] for each in discarded["events"]} == {"manager"}
    for act in ("publish", "discard", "entries"):
        await office.refused("POST", f"{path}/{act}", {}, 409, "revision_not_draft")
    await office.refused("POST", f"revisions/{office.new_id()}/publish", {}, 404, "revision_not_found")


async def test_what_is_in_force_or_built_upon_is_not_recalled(office: PriceOffice) -> None:
    first, second = await revision_with(office, 5_0000), await revision_with(office, 6_0000)
    at_ms = office.world.clock.now_ms() + DAY
    await office.post(f"revisions/{first['id']}/publish", effective_at_ms=at_ms)
    await office.post(f"revisions/{second['id']}/publish", effective_at_ms=at_ms + DAY)
    told = await office.refused("POST", f"revisions/{first['id']}/recall", {}, 409, "revision_built_upon")
    assert second["id"] in told["detail"]
    await office.post(f"revisions/{second['id']}/recall")
    office.world.clock.advance(DAY)
    told = await office.refused("POST", f"revisions/{first['id']}/recall", {}, 409, "revision_not_recallable")
    assert "in force since" in told["detail"]
