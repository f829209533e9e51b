"""The server's files were put back and nobody said so: others have written into the places of its log that were lost."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.errors import DeviceRevokedError
from client_sdk.events import Event, ReplicaRebuilt, ReplicaRepaired
from client_sdk.transport import HttpEndpoint
from server.runtime.database import Database
from sync_protocol.entities.orders import OrderStatus
from sync_protocol.wire.messages import ResyncReason
from tests.support.world import SERVER_URL, World
from tests.sync.test_restore import forget_orders, order


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
async def device(world: World, tmp_path: Path) -> AsyncIterator[OrderClient]:
    """Through HTTP, by which a device is told that it was copied, and becomes a new one."""
    wire = world.http_transport()
    async with await OrderClient.open(
        tmp_path / "device.db",
        clock=world.clock,
        endpoint_for=lambda url, token: HttpEndpoint(url, token, transport=wire),
        inline=True,
    ) as opened:
        await opened.enrol(SERVER_URL, await world.code_for("rep0"), "tablet")
        await opened.sync()
        yield opened


@pytest.fixture
def events(device: OrderClient) -> list[Event]:
    heard: list[Event] = []
    device.subscribe(heard.append)
    return heard


async def put_back(world: World, *, devices_too: bool = False) -> None:
    """As a backup from before the orders would have it, with other commits by now in the places of those that were lost."""
    async with world.database.write() as session:
        await session.execute(sa.text("UPDATE change_commit SET committed_at_ms = committed_at_ms + 1 WHERE commit_seq > 1"))
    await forget_orders(world)
    async with world.database.write() as session:
        if devices_too:
            for table in ("number_series", "device_report", "device"):
                await session.execute(sa.text(f"DELETE FROM {table}"))
        await session.execute(
            sa.text("UPDATE device SET incarnation = :then, previous_incarnation = :then"), {"then": bytes(range(16))}
        )


async def saved_order(device: OrderClient, world: World) -> str:
    """The number of an order whose acceptance the user has seen."""
    number = await order(device, world)
    (entry,) = (await device.sync()).verdicts
    assert entry.order_number == number
    return number


def rebuilds(events: list[Event]) -> list[tuple[ResyncReason, int]]:
    assert not [event for event in events if isinstance(event, ReplicaRepaired)], "what was acknowledged was repaired away"
    return [(event.reason, event.offered_again) for event in events if isinstance(event, ReplicaRebuilt)]


async def test_an_order_comes_back_though_the_log_has_overtaken_the_device(
    world: World, device: OrderClient, events: list[Event]
) -> None:
    number = await saved_order(device, world)
    await put_back(world)
    await device.sync()
    await device.verify()
    assert rebuilds(events) == [(ResyncReason.CURSOR_AHEAD, 1)]
    assert (await device.order(number)).order.status is OrderStatus.CONFIRMED
    assert (await device.verify()).is_equal


async def test_an_order_comes_back_of_which_only_the_verdict_had_come(
    world: World, device: OrderClient, events: list[Event]
) -> None:
    """The pull after that push failed: what the device holds is in both logs, what it was told is in one."""
    number = await order(device, world)
    await device._engine._push([], lambda _step: None)
    await put_back(world)
    await device.sync()
    assert rebuilds(events) == [(ResyncReason.CURSOR_AHEAD, 1)]
    assert (await device.order(number)).order.status is OrderStatus.CONFIRMED


async def test_what_waits_is_not_pushed_before_what_was_acknowledged(
    world: World, device: OrderClient, events: list[Event]
) -> None:
    """A push that came first would move the device's knowledge to a place of the new log, where nothing shows what was lost."""
    number = await saved_order(device, world)
    waiting = await order(device, world, 1)
    await put_back(world)
    await device.sync()
    assert rebuilds(events) == [(ResyncReason.CURSOR_AHEAD, 1)]
    for each in (number, waiting):
        assert (await device.order(each)).order.status is OrderStatus.CONFIRMED
    assert await device.outbox() == []


async def test_a_device_that_the_backup_does_not_know_brings_its_orders_when_it_is_enrolled_again(
    world: World, device: OrderClient
) -> None:
    number = await saved_order(device, world)
    await put_back(world, devices_too=True)
    with pytest.raises(DeviceRevokedError):
        await device.sync()
    await device.enrol(SERVER_URL, await world.code_for("rep0"), "again")
    (entry,) = (await device.sync()).verdicts
    assert str(entry.verdict.changes[0].after).endswith(number)


async def test_a_device_whose_log_is_the_servers_is_left_in_peace(world: World, device: OrderClient, events: list[Event]) -> None:
    await saved_order(device, world)
    await saved_order(device, world)
    await device.sync()
    assert rebuilds(events) == []
