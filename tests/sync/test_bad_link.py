"""Orders of weeks go home over a link that hardly is one: 50 kbit/s, 800 ms, every twentieth packet lost, and kills.

`ROADBOOK_SOAK_SECONDS` makes it the 5,000 orders of a whole season, with the memory that they take.
"""

import asyncio
import os
import random
from pathlib import Path
from uuid import UUID

import apsw
import psutil
import sqlalchemy as sa

from client_sdk import OrderClient, WantedLine, drafts, submitting
from client_sdk.events import VerdictArrived
from server.orders.models import OrderModel
from server.runtime.database import Database
from tests.support.faults import KilledError, bury, kill_before_statement
from tests.support.road import Road
from tests.support.world import World

ORDERS, KILLS = (5_000, 40) if os.environ.get("ROADBOOK_SOAK_SECONDS") else (150, 6)
LINES = 10
GROWTH_BYTES_MAX = (64 + 32 + 32) * 1024 * 1024
"""What the page caches of the device and of the server may take when they are full, and what one push and one page take."""


def take_orders(connection: apsw.Connection, device: OrderClient, world: World) -> None:
    """What a rep enters in weeks, in one act: it is the drain that is looked at."""
    surroundings = device._surroundings
    for number in range(ORDERS):
        order_id = drafts.create(connection, world.company.customers[number % 2].id, None, surroundings)
        for line in range(LINES):
            product = world.company.products[(number + line) % len(world.company.products)]
            drafts.add_line(connection, order_id, WantedLine(product.id, 1 + line), surroundings)
        submitting.submit(connection, order_id, surroundings)


class Drain:
    """Lives of one device, each ended by a kill, until nothing waits any more."""

    def __init__(self, road: Road) -> None:
        self.road = road
        self.kills = 0
        self.peak_bytes = 0
        self.arrived: list[UUID] = []
        self._chance = random.Random(5)

    async def run(self) -> None:
        while not await self._live():
            self.kills += 1

    async def _live(self) -> bool:
        """Whether the device lived to see the end."""
        device = await self.road.device()
        if self.kills < KILLS:
            kill_before_statement(device, self._chance.randrange(20, 60 * ORDERS // KILLS))
        following = asyncio.create_task(device.follower().run())
        while not following.done() and (await device.status()).outbox_count:
            self._hear()
            self.peak_bytes = max(self.peak_bytes, psutil.Process().memory_info().rss)
            await self.road.timer.wait(20.0)
        following.cancel()
        self._hear()
        (end,) = await asyncio.gather(following, return_exceptions=True)
        assert isinstance(end, asyncio.CancelledError | KilledError), end
        bury(device)
        return isinstance(end, asyncio.CancelledError)

    def _hear(self) -> None:
        """Keep the ids of verdicts and let the rest go: it is the device's memory that is looked at."""
        self.arrived += [event.entry.intent_id for event in self.road.told(VerdictArrived)]
        self.road.events.clear()


async def test_queued_orders_drain_over_a_bad_link_through_kills_in_bounded_memory(
    sqlite_database: Database, tmp_path: Path
) -> None:
    road = Road(await World.found(sqlite_database), tmp_path)
    drain = Drain(road)

    async def story() -> None:
        async with await road.device() as device:
            await device.sync()
            await device._store.write(take_orders, device, road.world)
        road.quality.bits_per_second, road.quality.delay_seconds = 50_000.0, 0.8
        road.quality.loss, road.quality.broken = 0.05, 0.02
        before = psutil.Process().memory_info().rss
        await drain.run()
        print(
            f"{ORDERS} orders in {road.timer.now_seconds():,.0f} s of virtual time, {len(road.link.asked)} requests, "
            f"{road.link.bytes_up:,} bytes up, {road.link.bytes_down:,} down, {drain.kills} kills, "
            f"memory +{(drain.peak_bytes - before) / 2**20:.0f} MB with the server's"
        )
        assert drain.peak_bytes - before <= GROWTH_BYTES_MAX

    await road.timer.run(story())
    async with road.world.database.read() as session:
        numbers = (await session.execute(sa.select(OrderModel.number))).scalars().all()
    assert len(numbers) == len(set(numbers)) == ORDERS, "none is lost and none is doubled"
    async with await road.device() as device:
        assert await device.outbox() == []
    assert drain.kills >= 1
    assert len(set(drain.arrived)) == len(drain.arrived), "no verdict is told twice"
