"""Rows down, page by page, while the server goes on: no row is missed, doubled, resurrected or shown too early."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import apsw
import msgspec
import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.errors import RoadbookError, ServerUnreachableError
from client_sdk.events import Event, ReplicaRebuilt
from client_sdk.state import checkpoint, save
from server.changelog.log import age_out, rotate_epoch
from server.runtime.database import Database
from server.runtime.rows import insert_rows, table_of
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Address, Contact, Customer
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.values import Row
from sync_protocol.verdicts import Outcome
from sync_protocol.wire.codec import encode
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import (
    DeviceReport,
    Enrolment,
    EnrolRequest,
    ForkRequest,
    ImageReply,
    ImageRequest,
    PullRequest,
    PushReply,
    PushRequest,
    RangesReply,
    RangesRequest,
    RepairRequest,
    ReportReply,
    ResyncReason,
)
from tests.processes.wire import enrol_over_http, over_http
from tests.support.ledger import device_view, server_view, verdicts_of
from tests.support.world import World, make_id

DAY_MS = 86_400_000


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


class Between:
    """A good wire on which something happens before the n-th page is asked for, and that remembers what was asked."""

    def __init__(self, inner: SyncEndpoint, asked: list[PullRequest], happenings: dict[int, Callable[[], Awaitable[None]]]) -> None:
        self._inner = inner
        self._asked = asked
        self._happenings = happenings

    async def enrol(self, request: EnrolRequest) -> Enrolment:
        return await self._inner.enrol(request)

    async def fork(self, request: ForkRequest) -> Enrolment:
        return await self._inner.fork(request)

    async def push(self, request: PushRequest) -> PushReply:
        return await self._inner.push(request)

    async def report(self, report: DeviceReport) -> ReportReply:
        return await self._inner.report(report)

    async def ranges(self, request: RangesRequest) -> RangesReply:
        return await self._inner.ranges(request)

    async def repair(self, request: RepairRequest) -> AsyncIterator[bytes]:
        async for piece in self._inner.repair(request):
            yield piece

    async def image(self, request: ImageRequest) -> ImageReply:
        return await self._inner.image(request)

    async def image_file(self, device_id: UUID, incarnation: bytes, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        async for piece in self._inner.image_file(device_id, incarnation, digest, offset):
            yield piece

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        self._asked.append(request)
        if happening := self._happenings.pop(len(self._asked), None):
            await happening()
        async for piece in self._inner.pull(request):
            yield piece


async def delete(world: World, row: type[Row], row_id: UUID) -> None:
    async with world.database.write() as session:
        table = table_of(row)
        await session.execute(sa.delete(table).where(table.c.id == row_id))


async def same(world: World, device: OrderClient, rep: int = 0) -> bool:
    return device_view(device) == await server_view(world.database, world.company.reps[rep].id)


async def submit(device: OrderClient, world: World, customer: int, *lines: tuple[int, int]) -> UUID:
    draft = await device.draft_order(world.company.customers[customer].id)
    for product, quantity in lines:
        await draft.add_line(world.company.products[product].id, quantity)
    return (await draft.submit()).order.id


async def test_pages_of_one_row_make_what_one_page_makes(world: World, tmp_path: Path) -> None:
    async with (
        await world.enrolled_device("rep0", tmp_path / "one.db", page_rows=1) as small,
        await world.enrolled_device("rep0", tmp_path / "two.db") as whole,
    ):
        for _ in range(2):
            await small.sync()
            await whole.sync()
            await small.sync()
            assert device_view(small) == device_view(whole)
            assert await same(world, small)
            await world.change(Product, world.company.products[0].id, name="Renamed")
            await delete(world, Contact, world.company.contacts[0].id)
            await world.change(Contact, world.company.contacts[1].id, customer_id=world.company.customers[0].id)


async def test_a_row_that_changes_between_two_pages_arrives_once_and_newest(world: World, tmp_path: Path) -> None:
    asked: list[PullRequest] = []
    happenings: dict[int, Callable[[], Awaitable[None]]] = {}

    async def rename() -> None:
        for product in world.company.products:
            await world.change(Product, product.id, name="Newest")

    device = await world.enrolled_device(
        "rep0",
        tmp_path / "device.db",
        page_rows=3,
        wrap=lambda inner: Between(inner, asked, happenings),
    )
    async with device:
        happenings.update({4: rename, 7: rename, 9: rename})
        await device.sync()
        assert not happenings
        assert {product.name for product in await device.search("")} == {"Newest"}
        assert len(await device.search("")) == 6
        assert await same(world, device)


async def test_a_row_that_is_deleted_between_two_pages_does_not_stay(world: World, tmp_path: Path) -> None:
    asked: list[PullRequest] = []
    happenings: dict[int, Callable[[], Awaitable[None]]] = {}

    async def remove() -> None:
        await delete(world, Contact, world.company.contacts[0].id)
        await delete(world, PriceEntry, world.company.entries[0].id)

    def wire(inner: SyncEndpoint) -> SyncEndpoint:
        return Between(inner, asked, happenings)

    for place in range(3, 16, 4):
        async with await world.enrolled_device("rep0", tmp_path / f"{place}.db", page_rows=3, wrap=wire) as device:
            asked.clear()
            happenings[place] = remove
            await device.sync()
            assert not happenings
            assert await device.contacts(world.company.customers[0].id) == []
            assert await same(world, device)
        async with world.database.write() as session:
            await insert_rows(session, world.company.contacts[:1])
            await insert_rows(session, world.company.entries[:1])


async def test_a_row_that_is_deleted_and_made_again_is_there_once(world: World, tmp_path: Path) -> None:
    contact = world.company.contacts[0]
    async with await world.enrolled_device("rep0", tmp_path / "device.db", page_rows=1) as device:
        await device.sync()
        await delete(world, Contact, contact.id)
        async with world.database.write() as session:
            await insert_rows(session, [contact])
        await device.sync()
        assert await device.contacts(contact.customer_id) == [contact]
        await delete(world, Contact, contact.id)
        await device.sync()
        assert await device.contacts(contact.customer_id) == []


async def test_what_changes_without_end_between_pages_still_comes_to_a_checkpoint(world: World, tmp_path: Path) -> None:
    asked: list[PullRequest] = []
    happenings: dict[int, Callable[[], Awaitable[None]]] = {}

    async def disturb() -> None:
        await world.change(Product, world.company.products[len(asked) % 6].id, name=f"Name {len(asked)}")

    def wire(inner: SyncEndpoint) -> SyncEndpoint:
        return Between(inner, asked, happenings)

    async with await world.enrolled_device("rep0", tmp_path / "device.db", page_rows=4, wrap=wire) as device:
        happenings.update(dict.fromkeys(range(2, 30), disturb))
        await device.sync()
        assert await same(world, device)


async def resynced(device: OrderClient) -> list[ReplicaRebuilt]:
    events: list[Event] = []
    stop = device.subscribe(events.append)
    await device.sync()
    stop()
    return [event for event in events if isinstance(event, ReplicaRebuilt)]


async def test_after_a_restore_the_replica_is_rebuilt_and_verdicts_are_asked_for_again(world: World, tmp_path: Path) -> None:
    async with await enrol_over_http(world, "rep0", tmp_path / "device.db", over_http(world)) as device:
        await device.sync()
        decided = await submit(device, world, 0, (0, 3))
        await device.sync()
        before = await verdicts_of(world.database)
        journal = await device.journal()
        waiting = await submit(device, world, 1, (1, 1))
        async with world.database.write() as session:
            await rotate_epoch(session, world.ids.new())
        await delete(world, Contact, world.company.contacts[0].id)
        (rebuilt,) = await resynced(device)
        assert (rebuilt.reason, rebuilt.offered_again) == (ResyncReason.EPOCH_CHANGED, 1)
        after = await verdicts_of(world.database)
        assert before.items() <= after.items()
        assert {(entry.subject_id, entry.verdict.outcome) for entry in await device.journal()} == {
            (decided, Outcome.ACCEPTED),
            (waiting, Outcome.ACCEPTED),
        }
        assert encode(journal[0].verdict) in [encode(entry.verdict) for entry in await device.journal()]
        assert await device.outbox() == []
        assert await same(world, device)
        assert await resynced(device) == []


async def test_a_cursor_ahead_of_the_log_is_a_restore_by_hand(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        await submit(device, world, 0, (0, 3))
        await device.sync()
        verdict = (await device.journal())[0].verdict
        waiting = await submit(device, world, 1, (1, 1))
        lift(device._store.writer, 1_000)
        (rebuilt,) = await resynced(device)
        assert (rebuilt.reason, rebuilt.offered_again) == (ResyncReason.CURSOR_AHEAD, 2)
        entries = await device.journal()
        assert len(entries) == 2
        assert verdict in [entry.verdict for entry in entries]
        assert [entry.verdict.outcome for entry in entries if entry.subject_id == waiting] == [Outcome.ACCEPTED]
        assert await device.outbox() == []
        assert await same(world, device)


def lift(connection: apsw.Connection, places: int) -> None:
    """The device has seen more of the log than the server now knows of."""
    at = checkpoint(connection)
    save(connection, msgspec.structs.replace(at, cursor=at.cursor + places))


async def test_a_device_that_was_away_too_long_is_rebuilt_and_keeps_its_outbox(world: World, tmp_path: Path) -> None:
    contact = world.company.contacts[0]
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        waiting = await submit(device, world, 0, (0, 3))
        await delete(world, Contact, contact.id)
        world.clock.advance(91 * DAY_MS)
        async with world.database.write() as session:
            now_ms = world.clock.now_ms() + 10_000 * DAY_MS
            assert await age_out(session, now_ms=now_ms, retention_days=90) >= 1
        (rebuilt,) = await resynced(device)
        assert (rebuilt.reason, rebuilt.offered_again) == (ResyncReason.BELOW_RETENTION, 0)
        assert await device.contacts(contact.customer_id) == []
        assert (await device.order(waiting)).order.status == "confirmed"
        assert await device.outbox() == []
        assert await same(world, device)
        assert await resynced(device) == []


async def test_a_device_that_was_away_as_long_as_tombstones_are_kept_needs_no_rebuild(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        await delete(world, Contact, world.company.contacts[0].id)
        async with world.database.write() as session:
            await age_out(session, now_ms=0, retention_days=90)
        assert await resynced(device) == []
        assert await same(world, device)


async def test_a_rebuild_that_is_cut_off_shows_the_old_list_until_the_new_one_is_whole(world: World, tmp_path: Path) -> None:
    asked: list[PullRequest] = []
    happenings: dict[int, Callable[[], Awaitable[None]]] = {}

    async def vanish() -> None:
        raise ServerUnreachableError("test", "gone")

    def wire(inner: SyncEndpoint) -> SyncEndpoint:
        return Between(inner, asked, happenings)

    async with await world.enrolled_device("rep0", tmp_path / "device.db", page_rows=5, wrap=wire) as device:
        await device.sync()
        before = device_view(device)
        async with world.database.write() as session:
            await rotate_epoch(session, world.ids.new())
        await world.change(Product, world.company.products[0].id, name="After the restore")
        for pages in (2, 2, 3, 3):
            happenings[len(asked) + pages] = vanish
            with pytest.raises(RoadbookError):
                await device.sync()
            assert device_view(device) == before
        await device.sync()
        assert await same(world, device)


async def test_a_pull_that_was_interrupted_goes_on_where_it_was(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    chance = random.Random(3)
    asked: list[PullRequest] = []
    happenings: dict[int, Callable[[], Awaitable[None]]] = {}

    async def vanish() -> None:
        raise ServerUnreachableError("test", "gone")

    def wire(inner: SyncEndpoint) -> SyncEndpoint:
        return Between(inner, asked, happenings)

    async with await world.enrolled_device("rep0", tmp_path / "whole.db") as whole:
        rows = (await whole.sync()).rows
    device = await world.enrolled_device("rep0", path, page_rows=2, wrap=wire)
    await device.close()
    rounds = 0
    while rounds < 30:
        rounds += 1
        device = await world.open_device(path, page_rows=2, wrap=wire)
        happenings.clear()
        happenings[len(asked) + chance.randrange(4, 9)] = vanish
        with suppress(ServerUnreachableError):
            await device.sync()
            break
        assert await device.search("") == [], "nothing is shown before the checkpoint is whole"
        await device.close()
    assert 4 <= rounds < 30
    pages = -(-rows // 2)
    assert len(asked) - rounds <= 1.1 * pages + 2, "at least nine rows in ten are sent once"
    assert await same(world, device)
    await device.close()


async def test_customers_addresses_and_contacts_arrive_together(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db", page_rows=2) as device:
        await device.sync()
        customer = world.company.customers[3]
        await world.change(Customer, customer.id, territory_id=world.company.territories[0].id)
        await device.sync()
        assert len(await device.addresses(customer.id)) == len(await device.contacts(customer.id)) == 1
        moved = Address(id=make_id(9_999), customer_id=customer.id, label="New", street="", postal_code="", city="", country="NL")
        async with world.database.write() as session:
            await insert_rows(session, [moved])
        await device.sync()
        assert moved in await device.addresses(customer.id)
