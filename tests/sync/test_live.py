"""Live hints reach those concerned and no others, whoever writes, on both engines; on PostgreSQL across processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import sqlalchemy as sa

from server.changelog.log import read_head, rotate_epoch
from server.customers.models import RepTerritoryModel
from server.identity.devices import RevocationReason, revoke_device
from server.identity.service import deactivate_user
from server.runtime.database import Database
from server.runtime.errors import BusyError
from server.runtime.rows import insert_rows
from server.sync import live, pacing, touched
from server.sync.live import RETRY_MS_MAX, RETRY_MS_MIN, Hub, encode_retry
from server.sync.reader import snapshot_of
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Contact, Customer, Segment, SegmentMember
from sync_protocol.entities.pricing import PriceEntry, PriceListAssignment
from tests.support.change_log import connect_foreign, write_past_the_server
from tests.support.databases import open_database
from tests.support.ears import Ear, tuned, until
from tests.support.terms import ASKED_FIRST, GOLD
from tests.support.world import World, make_id


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
async def hub(world: World) -> AsyncIterator[Hub]:
    hub = Hub(world.database)
    async with hub.running():
        yield hub


async def head_of(world: World) -> int:
    async with world.database.read() as session:
        return (await read_head(session)).head


async def seen(world: World, hub: Hub) -> int:
    """The head, once the hub has told of it."""
    head = await head_of(world)
    await until(lambda: hub._seen is not None and hub._seen.head >= head and not any(g.is_stale for g in hub._groups.values()))
    return head


async def assign(world: World, rep: int, territory: int) -> None:
    async with world.database.write() as session:
        session.add(RepTerritoryModel(rep_id=world.company.reps[rep].id, territory_id=world.company.territories[territory].id))


async def rename(world: World, name: str) -> None:
    """A change that concerns everybody."""
    await world.change(Product, world.company.products[0].id, name=name)


async def test_the_first_event_tells_where_the_log_stands(world: World, hub: Hub) -> None:
    device = await tuned(world, "REP0")
    async with device.listening(hub) as ear:  # which asserts it
        assert ear.is_quiet
        assert hub.streams == 1
    assert hub.streams == 0


async def test_a_commit_is_hinted_to_those_whose_buckets_it_touched_and_to_no_other(world: World, hub: Hub) -> None:
    ours, theirs = await tuned(world, "REP0"), await tuned(world, "REP1")
    async with ours.listening(hub) as near, theirs.listening(hub) as far:
        await world.change(Contact, world.company.contacts[0].id, name="Of a customer of the first territory")
        head = await seen(world, hub)
        await near.hear_of(head)
        assert far.is_quiet
        await rename(world, "For all")
        head = await seen(world, hub)
        for ear in (near, far):
            hint = await ear.hear()
            assert hint is not None
            assert hint.head == head


async def test_what_is_deleted_or_leaves_is_hinted_to_those_who_had_it(world: World, hub: Hub) -> None:
    ours, theirs = await tuned(world, "REP0"), await tuned(world, "REP1")
    async with ours.listening(hub) as near, theirs.listening(hub) as far:
        first, last = world.company.contacts[0], world.company.contacts[-1]
        await world.change(Contact, first.id, customer_id=last.customer_id)
        head = await seen(world, hub)
        await near.hear_of(head)
        await far.hear_of(head)
        async with world.database.write() as session:
            await session.execute(sa.text("DELETE FROM contact"))
        head = await seen(world, hub)
        await far.hear_of(head)


async def test_every_change_of_a_scope_is_hinted_at_once_and_then_what_came_with_it(world: World, hub: Hub) -> None:
    company = world.company
    ours, theirs = await tuned(world, "REP0"), await tuned(world, "REP1")
    async with ours.listening(hub) as near, theirs.listening(hub) as far:
        await assign(world, 0, 1)
        await near.hear_of(await seen(world, hub))
        assert far.is_quiet
        await world.change(Contact, company.contacts[-1].id, name="Of the territory gained")
        await near.hear_of(await seen(world, hub))
        await far.hear_of(await head_of(world))
        async with world.database.write() as session:
            lost = (RepTerritoryModel.rep_id == company.reps[0].id, RepTerritoryModel.territory_id == company.territories[1].id)
            await session.execute(sa.delete(RepTerritoryModel).where(*lost))
        await near.hear_of(await seen(world, hub))
        await world.change(Contact, company.contacts[-1].id, name="Of the territory lost")
        await far.hear_of(await seen(world, hub))
        assert near.is_quiet


async def test_a_customer_that_moves_is_hinted_on_both_sides(world: World, hub: Hub) -> None:
    company = world.company
    ours, theirs = await tuned(world, "REP0"), await tuned(world, "REP1")
    async with ours.listening(hub) as near, theirs.listening(hub) as far:
        await world.change(Customer, company.customers[0].id, territory_id=company.territories[1].id)
        head = await seen(world, hub)
        await near.hear_of(head)
        await far.hear_of(head)
        await world.change(Contact, company.contacts[0].id, name="Of the customer that moved")
        await far.hear_of(await seen(world, hub))
        assert near.is_quiet


async def test_a_list_is_hinted_to_those_who_are_to_buy_from_it_and_no_longer_to_who_was(world: World, hub: Hub) -> None:
    ours, theirs = await tuned(world, "REP0"), await tuned(world, "REP1")
    company, of_theirs, member_id = world.company, world.company.price_lists[1].id, make_id(903)
    of_gold = PriceListAssignment(id=make_id(904), price_list_id=of_theirs, segment_id=GOLD, **ASKED_FIRST)
    entry = next(each for each in company.entries if each.price_list_id == of_theirs)
    async with world.database.write() as session:
        await insert_rows(session, [Segment(id=GOLD, code="GOLD", name="Gold")])
    async with ours.listening(hub) as near, theirs.listening(hub) as far:
        for row, hears in (
            (of_gold, (near, far)),
            (SegmentMember(id=member_id, customer_id=company.customers[0].id, segment_id=GOLD), (near,)),
        ):
            async with world.database.write() as session:
                await insert_rows(session, [row])
            head = await seen(world, hub)
            for ear in hears:
                await ear.hear_of(head)
        await world.change(PriceEntry, entry.id, unit_price=1)
        head = await seen(world, hub)
        await near.hear_of(head)
        await far.hear_of(head)
        await world.change(SegmentMember, member_id, customer_id=company.customers[-1].id)
        head = await seen(world, hub)
        await near.hear_of(head)
        await far.hear_of(head)
        await world.change(PriceEntry, entry.id, unit_price=2)
        await far.hear_of(await seen(world, hub))
        assert near.is_quiet


async def test_what_another_program_writes_is_hinted(world: World, hub: Hub) -> None:
    device = await tuned(world, "REP0")
    async with device.listening(hub) as ear:
        before = await head_of(world)
        await write_past_the_server(world.database, "UPDATE product SET name = 'by another program' WHERE sku = 'SKU-0'")
        await ear.hear_of(before + 1)


async def test_a_device_that_reads_slowly_has_one_hint_waiting_the_newest(world: World, hub: Hub) -> None:
    device = await tuned(world, "REP0")
    async with device.listening(hub) as ear:
        for number in range(5):
            await rename(world, f"Name {number}")
            await seen(world, hub)
        hint = await ear.hear()
        assert hint is not None
        assert hint.head == await head_of(world)
        assert ear.is_quiet


async def test_too_much_to_look_through_is_hinted_to_all(world: World, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(touched, "ROWS_MAX", 2)
    theirs = await tuned(world, "REP1")
    async with theirs.listening(hub) as far:
        async with world.database.write() as session:
            await session.execute(sa.text("UPDATE contact SET name = 'x' WHERE name IN ('Contact 0', 'Contact 1')"))
        await far.hear_of(await seen(world, hub))


async def test_another_epoch_is_hinted_to_all(world: World, hub: Hub) -> None:
    device = await tuned(world, "REP0")
    async with device.listening(hub) as ear:
        async with world.database.write() as session:
            await rotate_epoch(session, make_id(77))
        hub._wake.set()
        hint = await ear.hear()
        assert hint is not None
        assert hint.epoch == make_id(77)


async def test_the_stream_of_a_device_that_is_revoked_or_whose_user_left_ends_at_once(
    world: World, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_SECONDS", 3600.0)  # so that nothing but the commit tells
    monkeypatch.setattr(live, "LOOK_SECONDS", 3600.0)
    await asyncio.sleep(0.2)  # what waits already still has the seconds of before
    lost, left, kept = await tuned(world, "REP0"), await tuned(world, "REP1"), await tuned(world, "REP0")
    async with lost.listening(hub) as first, left.listening(hub) as second, kept.listening(hub) as third:
        async with world.database.write() as session:
            await revoke_device(session, lost.device_id, RevocationReason.LOST, 1)
            await deactivate_user(session, await world.user_id("REP1"), 1)
        assert await first.hear() is None
        assert await second.hear() is None
        await rename(world, "Still heard")
        await third.hear_of(await head_of(world))


async def test_a_device_that_stands_for_another_rep_now_has_to_open_another_stream(world: World, hub: Hub) -> None:
    device = await tuned(world, "REP0")
    async with device.listening(hub) as ear:
        async with world.database.write() as session:
            statement = sa.text("UPDATE user_account SET rep_id = :rep WHERE login = 'rep0'")
            other = world.company.reps[1].id
            await session.execute(statement, {"rep": other.bytes if world.database.is_sqlite else other})
        assert await ear.hear() is None


async def test_of_too_many_streams_of_a_device_the_oldest_ends(world: World, hub: Hub) -> None:
    device = await tuned(world, "REP0")
    async with AsyncExitStack() as stack:
        ears = [await stack.enter_async_context(device.listening(hub)) for _ in range(4)]
        assert [await ears[0].hear(), await ears[1].hear()] == [None, None]
        await rename(world, "For those that stay")
        for ear in ears[2:]:
            await ear.hear_of(await head_of(world))


async def test_there_is_a_limit_to_the_streams_of_a_process(world: World, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAMS_MAX", 1)
    hub.require_room()
    async with (await tuned(world, "REP0")).listening(hub):
        with pytest.raises(BusyError):
            hub.require_room()


async def test_a_process_that_stops_ends_its_streams_and_opens_none(world: World, hub: Hub) -> None:
    device = await tuned(world, "REP0")
    async with device.listening(hub) as ear:
        hub.close()
        assert await ear.hear() is None
        with pytest.raises(BusyError):
            hub.require_room()
        async with device.listening(hub) as late:
            assert await late.hear() is None


async def test_all_come_back_over_the_longer_a_time_the_more_they_are(world: World, hub: Hub) -> None:
    device = await tuned(world, "REP0")
    async with device.listening(hub) as ear:
        hub._count, kept = 10_000, hub._count
        hub.close()
        assert await ear.hear() is None
        hub._count = kept
        last = ear.retry_ms
    assert last is not None
    moments = [int(encode_retry(10_000).split()[1]) for _ in range(200)]
    assert RETRY_MS_MIN <= min(moments) < 40_000
    assert 360_000 < max(moments) <= 400_000
    assert RETRY_MS_MIN <= last <= 400_000


async def test_a_change_for_all_is_hinted_to_a_group_at_a_time_and_one_for_few_at_once(
    world: World, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "AT_ONCE_MAX", 2)
    monkeypatch.setattr(pacing, "HINTS_PER_SECOND", 1)
    devices = [await tuned(world, login) for login in ("REP1", *("REP0",) * 6)]
    async with AsyncExitStack() as stack:
        single, *many = [await stack.enter_async_context(device.listening(hub)) for device in devices]
        await rename(world, "For all")
        head = await seen(world, hub)
        told = [*many, single]
        await until(lambda: sum(not ear.is_quiet for ear in told) >= 2)
        await world.change(Contact, world.company.contacts[-1].id, name="For one")
        await single.hear_of(await seen(world, hub))
        assert sum(not ear.is_quiet for ear in many) <= 4, "who waits is not told with who does not"
        monkeypatch.setattr(pacing, "HINTS_PER_SECOND", 1_000)
        for ear in many:
            await ear.hear_of(head)
        assert single.is_quiet, "it is not told twice"


async def test_a_silent_stream_has_heartbeats(world: World, hub: Hub) -> None:
    async with (await tuned(world, "REP0")).listening(hub, heartbeat_seconds=0.01) as ear:
        for _ in range(3):
            assert (await ear.piece() or b"").startswith(b": still here\n\nretry: ")


async def test_devices_are_told_to_come_back_at_moments_of_their_own(world: World, hub: Hub) -> None:
    device, moments = await tuned(world, "REP0"), set[int]()
    for _ in range(20):
        async with device.listening(hub) as ear:
            assert ear.retry_ms is not None
            moments.add(ear.retry_ms)
    assert len(moments) > 10
    assert min(moments) >= RETRY_MS_MIN
    assert max(moments) <= RETRY_MS_MAX


# Several processes on one PostgreSQL: each has a database and a hub of its own.


async def hears(ear: Ear, writer: World, name: str) -> None:
    await rename(writer, name)
    await ear.hear_of(await head_of(writer))


async def test_a_hint_comes_whichever_process_took_the_write(postgres: Database) -> None:
    world = await World.found(postgres)
    url = postgres.url.set(drivername="postgresql").render_as_string(hide_password=False)
    elsewhere = open_database(url)
    here, there = Hub(postgres), Hub(elsewhere)
    device = await tuned(world, "REP0")
    try:
        async with here.running(), there.running(), device.listening(here) as near, device.listening(there) as far:
            for name in ("First", "Second"):
                await rename(world, name)
                head = await head_of(world)
                await near.hear_of(head)
                await far.hear_of(head)
    finally:
        await elsewhere.close()


async def test_a_connection_for_listening_that_is_lost_is_replaced_and_nothing_is_missed(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 3600.0)  # so that nothing but the notification tells
    world, hub = await World.found(postgres), Hub(postgres)
    device = await tuned(world, "REP0")
    admin = await connect_foreign(postgres)
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'roadbook live' AND datname = $1"
    try:
        async with hub.running(), device.listening(hub) as ear:
            await hears(ear, world, "Before")
            for number in range(3):
                found: list[object] = []
                while not found:
                    found = await admin.fetch(ended, postgres.url.database)
                await hears(ear, world, f"After loss {number}")
    finally:
        await admin.close()


async def test_what_few_rows_are_looked_up_by_is_an_index_also_in_tables_that_postgresql_has_not_analysed(
    postgres: Database,
) -> None:
    world = await World.found(postgres)
    joined = "SELECT l.bucket FROM change_commit c JOIN change_log l ON l.change = c.change"
    touched = f"{joined} WHERE c.commit_seq > $1 AND c.commit_seq <= $2"
    admin = await connect_foreign(postgres)
    try:
        # So many commits of one row each that to hash all of them is what the planner, which knows neither table, would do.
        await admin.execute(
            "INSERT INTO change_commit (change, commit_seq, committed_at_ms) SELECT n, n, 0 FROM generate_series(1000, 40000) n; "
            "INSERT INTO change_log (entity, row_id, bucket, change, deleted) "
            "SELECT 1, gen_random_uuid(), 'catalog', n, 0 FROM generate_series(1000, 40000) n"
        )
        assert "Hash" in str(await admin.fetch(f"EXPLAIN {touched}", 1000, 1001))
    finally:
        await admin.close()
    async with snapshot_of(world.database) as reader:
        plan = str(await reader.all(f"EXPLAIN {touched}", [1000, 1001]))
    assert "Hash" not in plan
    assert plan.count("Index") >= 2, plan


async def test_commits_that_come_fast_share_a_look(world: World, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    read = live.read_touched

    async def counted(*arguments: object) -> object:
        nonlocal looks
        looks += 1
        return await read(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(live, "read_touched", counted)
    monkeypatch.setattr(live, "LOOK_SECONDS_MIN", 0.5)
    async with (await tuned(world, "REP0")).listening(hub) as ear:
        for number in range(20):
            await rename(world, f"Name {number}")
        await ear.hear_of(await head_of(world))
    assert looks <= 5
