"""The server's files were put back and nobody said so: others have written into the places of its log that were lost."""

import random
from collections import Counter, deque
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec
import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.errors import BadReplyError, DeviceRevokedError, ServerUnreachableError
from client_sdk.events import Event, ReplicaRebuilt, ReplicaRepaired
from client_sdk.pages import Page
from client_sdk.repairing import replace_ranges
from client_sdk.state import Checkpoint, Identity, Incarnation, checkpoint, load, note_damage
from client_sdk.transport import HttpEndpoint
from server.identity.models import DeviceModel
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.orders import OrderStatus
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import LogPlace, PageHeader, PageTrailer, PullRequest, ResyncReason
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.application import application
from tests.support.faults import FaultyEndpoint
from tests.support.images import Images
from tests.support.world import SERVER_URL, World
from tests.sync.test_restore import forget_orders, order

LONG_AGO = bytes(range(16))


class Wire(httpx2.AsyncBaseTransport):
    """The way to the whole application; the request for `cut_path` that comes after `passing` others of it is lost."""

    def __init__(self, world: World, images_url: str) -> None:
        app = application(world.database, world.clock, images_url=images_url)
        self._inner = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        self.cut_path, self.passing = "", 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == self.cut_path:
            if self.passing == 0:
                self.cut_path = ""
                raise httpx2.ReadError("lost")
            self.passing -= 1
        return await self._inner.handle_async_request(request)


@pytest.fixture
def wire(world: World, tmp_path: Path) -> Wire:
    return Wire(world, str(tmp_path / "images"))


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def device(world: World, wire: Wire, events: list[Event], tmp_path: Path) -> AsyncIterator[OrderClient]:
    """Through HTTP, by which a device is told that it was copied, and becomes a new one; a page has ten rows."""
    async with await OrderClient.open(
        tmp_path / "device.db",
        clock=world.clock,
        endpoint_for=lambda url, token: HttpEndpoint(url, token, transport=wire),
        page_rows=10,
        inline=True,
    ) as opened:
        opened.subscribe(events.append)
        await opened.enrol(SERVER_URL, await world.code_for("rep0"), "tablet")
        await opened.sync()
        yield opened


class Misled(FaultyEndpoint):
    """An endpoint whose server is told of a place that no log has, whatever the device says."""

    def __init__(self, inner: SyncEndpoint) -> None:
        super().__init__(inner, [], random.Random(1), [])

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        if request.known:
            place = msgspec.structs.replace(request.known[0], commit_seq=1_000_000)
            request = msgspec.structs.replace(request, known=(place,))
        async for piece in super().pull(request):
            yield piece


async def head_of(world: World) -> int:
    async with world.database.read() as session:
        return int((await session.execute(sa.text("SELECT head FROM change_head"))).scalar_one())


async def put_back(world: World, *, after: int) -> None:
    """Let the backup have the places up to `after`, and others have written into those that were lost."""
    other = sa.text("UPDATE change_commit SET committed_at_ms = committed_at_ms + 1 WHERE commit_seq > :after")
    async with world.database.write() as session:
        await session.execute(other, {"after": after})
    await forget_orders(world)
    async with world.database.write() as session:
        was = sa.text("UPDATE device SET incarnation = :then, previous_incarnation = :then")
        await session.execute(was, {"then": LONG_AGO})


async def know_again(world: World, device: OrderClient) -> None:
    """The backup knows the device as it is: it has not pushed since."""
    incarnation, identity = device._store.read_now(load, Incarnation), device._store.read_now(load, Identity)
    assert incarnation is not None
    assert identity is not None
    known = sa.update(DeviceModel).where(DeviceModel.id == identity.device_id).values(incarnation=incarnation.present)
    async with world.database.write() as session:
        await session.execute(known)


async def accepted_order(device: OrderClient, world: World) -> str:
    """The number of an order whose acceptance the user has seen, and which the replica shows."""
    number = await order(device, world)
    (entry,) = (await device.sync()).verdicts
    assert entry.order_number == number
    return number


async def order_without_pull(device: OrderClient, world: World, wire: Wire) -> str:
    """The number of an order whose acceptance the user has seen; the replica is as before, for the pull was lost."""
    number = await order(device, world)
    wire.cut_path = "/sync/pull"
    with pytest.raises(ServerUnreachableError):
        await device.sync()
    assert [entry.order_number for entry in await device.journal()] == [number]
    return number


def rebuilds(events: list[Event]) -> list[tuple[ResyncReason, int]]:
    assert not [event for event in events if isinstance(event, ReplicaRepaired)], "what was acknowledged was repaired away"
    return [(event.reason, event.offered_again) for event in events if isinstance(event, ReplicaRebuilt)]


async def is_confirmed(device: OrderClient, number: str) -> bool:
    return (await device.order(number)).order.status is OrderStatus.CONFIRMED


async def test_an_order_comes_back_though_the_log_has_overtaken_the_device(
    world: World, device: OrderClient, events: list[Event]
) -> None:
    before = await head_of(world)
    number = await accepted_order(device, world)
    await put_back(world, after=before)
    await device.sync()
    await device.verify()
    assert rebuilds(events) == [(ResyncReason.CURSOR_AHEAD, 1)]
    assert await is_confirmed(device, number)
    assert (await device.verify()).is_equal


async def test_an_order_comes_back_of_which_only_the_verdict_had_come(
    world: World, device: OrderClient, wire: Wire, events: list[Event]
) -> None:
    before = await head_of(world)
    number = await order_without_pull(device, world, wire)
    await put_back(world, after=before)
    await device.sync()
    assert rebuilds(events) == [(ResyncReason.CURSOR_AHEAD, 1)]
    assert await is_confirmed(device, number)


async def test_a_replica_of_a_past_that_was_lost_is_rebuilt_though_nothing_was_sent(
    world: World, device: OrderClient, events: list[Event]
) -> None:
    before = await head_of(world)
    await world.change(Product, world.company.products[0].id, name="Of the lost past")
    await device.sync()
    await put_back(world, after=before)
    await world.change(Product, world.company.products[1].id, name="Of the present")
    await know_again(world, device)
    await device.sync()
    assert rebuilds(events) == [(ResyncReason.CURSOR_AHEAD, 0)]


async def test_pages_of_a_past_that_was_lost_are_not_gone_on_with(
    world: World, device: OrderClient, wire: Wire, events: list[Event]
) -> None:
    before = await head_of(world)
    await world.change_all(PriceEntry, {each.id: {"unit_price": 7} for each in world.company.entries})
    wire.cut_path, wire.passing = "/sync/pull", 1
    with pytest.raises(ServerUnreachableError):
        await device.sync()
    await put_back(world, after=before)
    await know_again(world, device)
    await device.sync()
    assert rebuilds(events) == [(ResyncReason.CURSOR_AHEAD, 0)]
    assert (await device.verify()).is_equal


async def test_an_image_of_the_present_does_not_hide_that_verdicts_are_of_a_past_that_was_lost(
    world: World, device: OrderClient, events: list[Event], tmp_path: Path
) -> None:
    before = await head_of(world)
    number = await accepted_order(device, world)
    await put_back(world, after=before)
    for name in range(5):
        await world.change(Product, world.company.products[0].id, name=f"Of the present {name}")
    assert (await Images(world, str(tmp_path / "images")).builder().run()).built
    await device._store.write(note_damage, "gone")
    assert (await device.sync()).image_rows > 0
    await device.sync()
    assert rebuilds(events) == [(ResyncReason.CURSOR_AHEAD, 1)]
    assert await is_confirmed(device, number)


async def test_what_waits_is_not_pushed_before_what_was_acknowledged(
    world: World, device: OrderClient, events: list[Event]
) -> None:
    before = await head_of(world)
    number = await accepted_order(device, world)
    waiting = await order(device, world, 1)
    await put_back(world, after=before)
    await device.sync()
    assert rebuilds(events) == [(ResyncReason.CURSOR_AHEAD, 1)]
    assert await is_confirmed(device, number)
    assert await is_confirmed(device, waiting)
    assert await device.outbox() == []


async def test_a_device_that_the_backup_does_not_know_brings_its_orders_when_it_is_enrolled_again(
    world: World, device: OrderClient
) -> None:
    before = await head_of(world)
    number = await accepted_order(device, world)
    await put_back(world, after=before)
    async with world.database.write() as session:
        for table in ("number_series", "device_report", "device"):
            await session.execute(sa.text(f"DELETE FROM {table}"))
    with pytest.raises(DeviceRevokedError):
        await device.sync()
    await device.enrol(SERVER_URL, await world.code_for("rep0"), "again")
    (entry,) = (await device.sync()).verdicts
    assert str(entry.verdict.changes[0].after).endswith(number)


async def test_a_device_whose_log_is_the_servers_is_left_in_peace(
    world: World, device: OrderClient, wire: Wire, events: list[Event]
) -> None:
    await accepted_order(device, world)
    await device.sync()
    await order(device, world)
    wire.cut_path = "/sync/pull"
    with pytest.raises(ServerUnreachableError):
        await device.sync()
    await accepted_order(device, world)
    assert rebuilds(events) == []


async def test_a_repair_is_not_made_from_a_page_of_another_past(world: World, device: OrderClient) -> None:
    await accepted_order(device, world)
    at = device._store.read_now(checkpoint)
    assert at.known is not None
    other = msgspec.structs.replace(at.known, committed_at_ms=at.known.committed_at_ms + 1)
    assert await device._store.write(replace_ranges, at, (), repair_page(at, other)) is None
    assert await device._store.write(replace_ranges, at, (), repair_page(at, at.known)) == Counter()


def repair_page(at: Checkpoint, head: LogPlace) -> Page:
    assert at.epoch is not None
    device_id = at.epoch
    header = PageHeader(protocol_version=PROTOCOL_VERSION, audience=device_id, epoch=at.epoch)
    trailer = PageTrailer(
        audience=device_id, epoch=at.epoch, rows=0, digest=LONG_AGO, cursor=at.cursor, complete=False, server_time_ms=1, head=head
    )
    return Page(header, trailer, None, deque())


async def test_a_server_that_never_stops_saying_it_was_restored_is_told_as_a_bad_reply(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db", wrap=Misled, page_rows=10) as device:
        with pytest.raises(BadReplyError, match="cursor_ahead"):
            await device.sync()
