"""A scope that is kept in memory is the one that the tables say, whatever happened in between, on both engines."""

import random
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.changelog.log import Head, read_head, seal_foreign_writes
from server.changelog.models import ChangeCommitModel
from server.customers.models import CustomerModel, RepTerritoryModel, SegmentMemberModel, TerritoryModel
from server.pricing.models import CustomerPriceListModel, PriceListAssignmentModel
from server.runtime.database import Database
from server.runtime.rows import insert_rows
from server.sync.reader import Reader, snapshot_of
from server.sync.scope import Holder, Scope, ScopeCache, read_scope, scope_of
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer, Segment, SegmentMember, Territory
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import CustomerPriceList, PriceListAssignment
from tests.support.change_log import literal, write_past_the_server
from tests.support.terms import ASKED_FIRST, GOLD, SILVER
from tests.support.world import World, make_id

ACTS = ("assign", "unassign", "move", "list", "default", "location", "create", "delete", "product", "foreign", "nothing")
ENLISTING = ("join", "leave", "offer", "offer otherwise", "withdraw", "agree", "agree otherwise", "end")


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


async def head_in(reader: Reader) -> Head:
    """The head with its mark, in SQL of the test's own."""
    sql = f"""SELECT {reader.identifier("h.epoch")}, h.head, h.floor, c.change, c.committed_at_ms
                FROM change_head h JOIN change_commit c ON c.commit_seq = h.head"""
    ((epoch, head, floor, change, committed_at_ms),) = await reader.all(sql, [])
    return Head(UUID(bytes=epoch), head, floor, (change, committed_at_ms))


async def ask(database: Database, cache: ScopeCache, holder: Holder) -> Scope:
    async with snapshot_of(database) as reader:
        return await cache.scope(reader, holder, await head_in(reader))


async def act(world: World, what: str, chance: random.Random, number: int) -> None:
    """One thing that an office, an import or somebody with psql does."""
    company, database = world.company, world.database
    rep, territory = chance.choice(company.reps).id, chance.choice(company.territories).id
    customer, price_list = chance.choice(company.customers).id, chance.choice(company.price_lists).id
    customers, territories = sa.update(CustomerModel), sa.update(TerritoryModel)
    works = (RepTerritoryModel.rep_id == rep, RepTerritoryModel.territory_id == territory)
    async with database.write() as session:
        if what == "assign" and not (await session.execute(sa.select(RepTerritoryModel).where(*works))).first():
            session.add(RepTerritoryModel(rep_id=rep, territory_id=territory))
        elif what == "unassign":
            await session.execute(sa.delete(RepTerritoryModel).where(*works))
        elif what == "move":
            await session.execute(
                customers.where(CustomerModel.id == customer).values(territory_id=chance.choice((territory, None)))
            )
        elif what == "list":
            await session.execute(customers.where(CustomerModel.id == customer).values(price_list_id=price_list))
        elif what == "default":
            await session.execute(territories.where(TerritoryModel.id == territory).values(price_list_id=price_list))
        elif what == "location":
            place = chance.choice((*company.locations, None))
            place_id = place.id if place else None
            await session.execute(territories.where(TerritoryModel.id == territory).values(stock_location_id=place_id))
        elif what == "create":
            fresh = world.ids.new()
            values = {"code": f"N{fresh.hex}", "name": "New", "status": "active", "note": "", "territory_id": territory}
            session.add(CustomerModel(id=fresh, **values))
        elif what == "delete":
            await session.execute(sa.delete(CustomerModel).where(CustomerModel.code.like("N%")))
    if what == "product":
        await world.change(Product, company.products[0].id, name=f"Product {number}")
    if what == "foreign":
        swap = f"UPDATE rep_territory SET territory_id = {literal(database, territory)} WHERE rep_id = {literal(database, rep)}"
        once = f" AND (SELECT count(*) FROM rep_territory WHERE rep_id = {literal(database, rep)}) = 1"
        await write_past_the_server(database, swap + once)
        await seal_foreign_writes(database)


async def enlist(world: World, what: str, chance: random.Random) -> None:
    """One change of who is to buy from which list."""
    company, ids = world.company, world.ids
    customer_id, listed = chance.choice(company.customers).id, {"price_list_id": chance.choice(company.price_lists).id}
    named = {
        "segment_id": chance.choice((GOLD, SILVER, None)),
        "channel": chance.choice((None, None, *Channel)),
        "territory_id": chance.choice((None, *(each.id for each in company.territories))),
    }
    async with world.database.write() as session:
        if what == "join":
            segment_id = chance.choice((GOLD, SILVER))
            await insert_rows(session, [SegmentMember(id=ids.new(), customer_id=customer_id, segment_id=segment_id)])
        elif what == "offer":
            await insert_rows(session, [PriceListAssignment(id=ids.new(), **ASKED_FIRST, **listed, **named)])
        elif what == "agree":
            await insert_rows(session, [CustomerPriceList(id=ids.new(), customer_id=customer_id, **ASKED_FIRST, **listed)])
        elif what == "offer otherwise":
            await session.execute(sa.update(PriceListAssignmentModel).values(**listed, **named))
        elif what == "agree otherwise":
            await session.execute(sa.update(CustomerPriceListModel).values(customer_id=customer_id, **listed))
        else:
            ended = {"leave": SegmentMemberModel, "withdraw": PriceListAssignmentModel, "end": CustomerPriceListModel}[what]
            gone = (await session.execute(sa.select(ended.id).order_by(ended.id).limit(1))).scalar_one_or_none()
            await session.execute(sa.delete(ended).where(ended.id == gone))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(st.sampled_from(ACTS) | st.sampled_from(ENLISTING), max_size=16), seed=st.integers(0, 1_000_000))
async def test_a_kept_scope_is_what_the_tables_say_after_whatever_happened(world: World, acts: list[str], seed: int) -> None:
    chance, cache, database = random.Random(seed), ScopeCache(), world.database
    holders = [Holder(rep.id, None, rep.id) for rep in world.company.reps]
    holders.append(Holder(None, world.company.customers[0].id, make_id(99_000)))
    await _without_terms(database)
    for number, what in enumerate(acts):
        if what in ENLISTING:
            await enlist(world, what, chance)
        else:
            await act(world, what, chance, seed * 100 + number)
        for holder in chance.sample(holders, 2):
            found = await ask(database, cache, holder)
            async with database.read() as session:
                wanted = await scope_of(session, rep_id=holder.rep_id, customer_id=holder.customer_id, holder_id=holder.holder_id)
            assert (found.buckets, found.digest, found.territories) == (wanted.buckets, wanted.digest, wanted.territories)


async def _without_terms(database: Database) -> None:
    """What an example before this one left is gone, but for the two segments."""
    async with database.write() as session:
        for table in ("segment_member", "price_list_assignment", "customer_price_list", "segment"):
            await session.execute(sa.text(f"DELETE FROM {table}"))
        await insert_rows(session, [Segment(id=each, code=each.hex, name="A segment") for each in (GOLD, SILVER)])


async def test_what_scopes_are_not_made_of_leaves_a_scope_kept(world: World) -> None:
    cache, holder = ScopeCache(), Holder(world.company.reps[0].id, None, world.company.reps[0].id)
    first = await ask(world.database, cache, holder)
    for number in range(3):
        await world.change(Product, world.company.products[0].id, name=f"Product {number}")
        assert await ask(world.database, cache, holder) is first
    await world.change(Customer, world.company.customers[0].id, note="about the customer")
    assert await ask(world.database, cache, holder) is not first


async def test_a_log_that_was_restored_by_hand_and_grew_again_is_another(world: World) -> None:
    """The head stands where it stood, in the same epoch, but what is there is another commit."""
    cache, holder, database = ScopeCache(), Holder(world.company.reps[0].id, None, world.company.reps[0].id), world.database
    await world.change(Product, world.company.products[0].id, name="Before")
    first = await ask(database, cache, holder)
    async with database.read() as session:
        head = (await read_head(session)).head
    moved = sa.update(ChangeCommitModel).where(ChangeCommitModel.commit_seq == head)
    async with database.write() as session:
        await session.execute(moved.values(committed_at_ms=ChangeCommitModel.committed_at_ms + 1))
    assert await ask(database, cache, holder) is not first
    await world.change(Product, world.company.products[0].id, name="After")
    kept = await ask(database, cache, holder)
    async with database.write() as session:
        await session.execute(
            sa.update(ChangeCommitModel)
            .where(ChangeCommitModel.commit_seq == head + 1)
            .values(committed_at_ms=ChangeCommitModel.committed_at_ms + 1)
        )
    await world.change(Product, world.company.products[0].id, name="Later")
    assert await ask(database, cache, holder) is not kept


async def test_an_older_snapshot_is_answered_as_it_was(world: World) -> None:
    cache, holder, database = ScopeCache(), Holder(world.company.reps[0].id, None, world.company.reps[0].id), world.database
    async with snapshot_of(database) as old:
        head = await head_in(old)
        await world.change(Territory, world.company.territories[0].id, price_list_id=world.company.price_lists[1].id)
        newer = await ask(database, cache, holder)
        older = await cache.scope(old, holder, head)
        assert older.buckets == (await read_scope(old, holder)).buckets != newer.buckets
    assert await ask(database, cache, holder) is newer


async def test_the_least_recent_scopes_are_forgotten_where_there_are_too_many_buckets(world: World) -> None:
    holders = [Holder(rep.id, None, rep.id) for rep in world.company.reps]
    size = len((await ask(world.database, ScopeCache(), holders[0])).buckets)
    cache = ScopeCache(buckets_max=size)
    first = await ask(world.database, cache, holders[0])
    assert await ask(world.database, cache, holders[0]) is first
    await ask(world.database, cache, holders[1])
    again = await ask(world.database, cache, holders[0])
    assert again is not first
    assert again.buckets == first.buckets
