"""Devices that follow through the live stream: what one orders and what the office decides shows on another without asking."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from client_sdk import OrderClient
from client_sdk.events import CheckpointReached, Event
from server.orders.service import release_order
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from sync_protocol.entities.customers import Customer, CustomerStatus
from sync_protocol.entities.orders import OrderStatus
from tests.support.ears import PATIENCE_SECONDS, until
from tests.support.processes import ServerProcess
from tests.support.world import World

NEVER_SECONDS = 3600.0


@asynccontextmanager
async def following(world: World, server: ServerProcess, path: Path) -> AsyncIterator[tuple[OrderClient, list[CheckpointReached]]]:
    """A device of the first rep that hears of changes by its stream alone, and what it was told."""
    told: list[CheckpointReached] = []

    def note(event: Event) -> None:
        if isinstance(event, CheckpointReached):
            told.append(event)

    async with await OrderClient.open(path) as device:
        await device.enrol(server.url, await world.code_for("REP0"), path.stem)
        device.subscribe(note)
        async with device.follow(poll_seconds=NEVER_SECONDS) as follower:
            await until(lambda: follower.status().is_live)
            yield device, told


async def test_an_order_and_its_release_show_on_another_device_that_hears_from_another_server(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    world = await World.found(database)
    world.clock.time_ms = SystemClock().now_ms()
    company, manager = world.company, await world.user_id("manager")
    await world.change(Customer, company.customers[0].id, status=CustomerStatus.ON_HOLD)
    async with AsyncExitStack() as stack:
        servers = [stack.enter_context(ServerProcess(database_url, tmp_path, jobs=False)) for _ in range(2)]
        for server in servers:
            await asyncio.to_thread(server.start_warm)
        seller, _ = await stack.enter_async_context(following(world, servers[0], tmp_path / "seller.db"))
        other, told = await stack.enter_async_context(following(world, servers[1], tmp_path / "other.db"))
        draft = await seller.draft_order(company.customers[0].id)
        await draft.add_line(company.products[0].id, 1)
        order = (await draft.submit()).order
        await until(lambda: any(order.id in event.ids.get("sales_order", ()) for event in told))
        assert (await other.order(order.id)).order.status is OrderStatus.HELD
        told.clear()
        async with database.write() as session:
            await release_order(session, order.id, user_id=manager, reason="seen", ids=world.ids, now_ms=world.clock.now_ms())
        await until(lambda: any(order.id in event.ids.get("sales_order", ()) for event in told))
        assert (await other.order(order.id)).order.status is OrderStatus.CONFIRMED
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await seller.order(order.id)).order.status is not OrderStatus.CONFIRMED:  # noqa: ASYNC110  # it is told of nothing else
                await asyncio.sleep(0.01)
