"""The server is restored from a backup: what it forgot comes back from the devices, under a new epoch."""

import random
import sys
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa
from anyio import run_process

from client_sdk import NewCustomer, OrderClient
from client_sdk.errors import ServerUnreachableError
from client_sdk.events import DeviceRenewed, Event, ReplicaRebuilt
from client_sdk.transport import HttpEndpoint
from server.changelog.log import read_head, rotate_epoch
from server.identity.devices import forget_after_restore
from server.runtime.database import Database
from server.runtime.rows import table_of
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Address, Contact, Customer
from sync_protocol.entities.orders import OrderStatus
from sync_protocol.verdicts import Code, Outcome
from sync_protocol.wire.endpoint import SyncEndpoint
from tests.support.faults import Fault, FaultyEndpoint
from tests.support.world import SERVER_URL, World

FORGOTTEN = ("sales_order_line", "sales_order", "intent_record")


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


async def order(device: OrderClient, world: World, product: int = 0) -> str:
    draft = await device.draft_order(world.company.customers[0].id)
    await draft.add_line(world.company.products[product].id, 1)
    return (await draft.submit()).order.number


async def forget_orders(world: World) -> None:
    """As a backup from before the orders would have it."""
    async with world.database.write() as session:
        for table in FORGOTTEN:
            await session.execute(sa.text(f"DELETE FROM {table}"))
        await session.execute(sa.text("UPDATE stock_level SET allocated = 0"))


async def restore(world: World) -> None:
    async with world.database.write() as session:
        await rotate_epoch(session, world.ids.new())
        await forget_after_restore(session)


async def test_accepted_orders_come_back_from_the_device(world: World, tmp_path: Path) -> None:
    events: list[Event] = []
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        device.subscribe(events.append)
        await device.sync()
        number = await order(device, world)
        await device.sync()
        await forget_orders(world)
        await restore(world)
        report = await device.sync()
        assert [entry.verdict.outcome for entry in report.verdicts] == [Outcome.ACCEPTED]
        assert (await device.order(number)).order.status is OrderStatus.CONFIRMED
        assert [event.offered_again for event in events if isinstance(event, ReplicaRebuilt)] == [1]
        assert not [event for event in events if isinstance(event, DeviceRenewed)]


class DyingAtImages(httpx2.AsyncBaseTransport):
    """A server that dies the first time that it is asked for an image, where it is told to."""

    def __init__(self, world: World) -> None:
        self._inner = world.http_transport()
        self.dies = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.dies and request.url.path == "/sync/image":
            self.dies = False
            raise httpx2.ReadError("it died")
        return await self._inner.handle_async_request(request)


async def test_that_a_replica_is_rebuilt_is_told_even_where_its_first_request_fails(world: World, tmp_path: Path) -> None:
    """The next sync begins anew without knowing why."""
    events: list[Event] = []

    wire = DyingAtImages(world)
    async with await OrderClient.open(
        tmp_path / "device.db",
        clock=world.clock,
        endpoint_for=lambda url, token: HttpEndpoint(url, token, transport=wire),
        inline=True,
    ) as device:
        await device.enrol(SERVER_URL, await world.code_for("rep0"), "tablet")
        device.subscribe(events.append)
        await device.sync()
        await order(device, world)
        await device.sync()
        await forget_orders(world)
        await restore(world)
        wire.dies = True
        with pytest.raises(ServerUnreachableError):
            await device.sync()
        assert (await device.sync()).is_rebuilt
        assert not (await device.sync()).is_rebuilt
        assert [event.offered_again for event in events if isinstance(event, ReplicaRebuilt)] == [1]


async def test_what_was_decided_before_there_was_a_replica_comes_back_too(world: World, tmp_path: Path) -> None:
    """The first pull fails after the first push came through, so the device knows no log by its replica yet."""
    faults = [Fault.NONE, Fault.LOST_REQUEST]

    def wire(inner: SyncEndpoint) -> SyncEndpoint:
        return FaultyEndpoint(inner, faults, random.Random(1), [])

    async with await world.enrolled_device("rep0", tmp_path / "device.db", wrap=wire) as device:
        territory = world.company.territories[0].id
        new = NewCustomer(name="N", street="S", postal_code="1", city="C", country="NL", contact_name="N", territory_id=territory)
        made = await device.create_customer(new)
        with pytest.raises(ServerUnreachableError):
            await device.sync()
        assert [entry.verdict.outcome for entry in await device.journal()] == [Outcome.ACCEPTED]
        async with world.database.write() as session:
            for kind, column in ((Contact, "customer_id"), (Address, "customer_id"), (Customer, "id")):
                table = table_of(kind)
                await session.execute(sa.delete(table).where(table.c[column] == made.id))
            await session.execute(sa.text("DELETE FROM intent_record"))
        await restore(world)
        (verdict,) = [entry.verdict for entry in (await device.sync()).verdicts]
        assert verdict.outcome is Outcome.ACCEPTED
        assert (await device.customer(made.id)).name == "N"


async def test_what_the_backup_has_is_answered_as_before(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        await order(device, world)
        (before,) = (await device.sync()).verdicts
        await restore(world)
        (after,) = (await device.sync()).verdicts
        assert after.verdict == before.verdict


async def test_a_rejected_order_is_not_offered_again(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        await order(device, world)
        product = world.company.products[0].id
        await world.change(Product, product, status=ProductStatus.DISCONTINUED)
        (rejected,) = (await device.sync()).verdicts
        assert rejected.verdict.outcome is Outcome.REJECTED
        await world.change(Product, product, status=ProductStatus.ACTIVE)
        await restore(world)
        assert (await device.sync()).verdicts == ()
        assert await device.orders() == []


async def test_an_order_that_is_refused_the_second_time_comes_back_as_a_draft(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        await order(device, world)
        await device.sync()
        assert await device.drafts() == []
        await forget_orders(world)
        await world.change(Product, world.company.products[0].id, status=ProductStatus.DISCONTINUED)
        await restore(world)
        (refused,) = (await device.sync()).verdicts
        assert refused.verdict.codes == (Code.PRODUCT_DISCONTINUED,)
        (draft,) = await device.drafts()
        assert [line.product_id for line in draft.lines] == [world.company.products[0].id]


async def test_a_device_that_the_backup_does_not_know_keeps_its_orders_under_new_numbers(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        number = await order(device, world)
        await device.sync()
        await forget_orders(world)
        async with world.database.write() as session:
            await session.execute(sa.text("DELETE FROM number_series"))
            await session.execute(sa.text("DELETE FROM device_report"))
            await session.execute(sa.text("DELETE FROM device"))
        await restore(world)
        await device.enrol(SERVER_URL, await world.code_for("rep0"), "again")
        (entry,) = (await device.sync()).verdicts
        assert entry.verdict.outcome is Outcome.ACCEPTED_WITH_CHANGES
        (change,) = entry.verdict.changes
        assert (change.code, change.before) == (Code.NUMBER_CHANGED, number)
        assert str(change.after).endswith(number)
        assert (await device.order(str(change.after))).order.status is OrderStatus.CONFIRMED


async def test_no_prefix_is_given_twice_after_a_restore(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "one.db") as first:
        async with world.database.write() as session:
            await session.execute(sa.text("UPDATE number_prefix SET last = 0"))
        await restore(world)
        async with await world.enrolled_device("rep0", tmp_path / "two.db") as second:
            ours, theirs = (await first.status()).identity, (await second.status()).identity
            assert ours is not None
            assert theirs is not None
            assert ours.number_prefix != theirs.number_prefix


async def test_the_command_gives_the_log_another_epoch(database: Database, database_url: str) -> None:
    async with database.read() as session:
        before = (await read_head(session)).epoch
    command = [sys.executable, "-m", "server", "restored"]
    done = await run_process(command, env={"ROADBOOK_DATABASE_URL": database_url, "PATH": "/usr/bin:/bin"})
    async with database.read() as session:
        after = (await read_head(session)).epoch
    assert after != before
    assert str(after) in done.stdout.decode()
