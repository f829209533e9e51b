"""Fifty devices listen to a server that is restarted: they come back spread, are refused politely if at all, and miss nothing."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import psutil

from server.changelog.log import read_head
from server.runtime.database import Database
from sync_protocol.entities.catalog import Product
from tests.support.ears import tuned
from tests.support.listeners import Crowd, FastTimer
from tests.support.processes import ServerProcess
from tests.support.world import World

DEVICES = 50
TIMES = 5.0
"""Time passes so much faster for the devices, so that the quarter of a minute over which they spread is over soon."""
STREAM_KILOBYTES_MAX = 400
PATIENCE_SECONDS = 60.0


async def changed(world: World, name: str) -> int:
    await world.change(Product, world.company.products[0].id, name=name)
    async with world.database.read() as session:
        return (await read_head(session)).head


def resident_kilobytes(server: ServerProcess) -> float:
    return float(psutil.Process(server.pid).memory_info().rss) / 1024


async def test_fifty_devices_come_back_to_a_restarted_server_spread_and_miss_nothing(
    postgres: Database, postgres_database_url: str, tmp_path: Path
) -> None:
    world = await World.found(postgres)
    devices = [await tuned(world, f"REP{number % 2}") for number in range(DEVICES)]
    members = [await device.up_to_date() for device in devices]
    with ServerProcess(postgres_database_url, tmp_path, jobs=False) as server:
        await asyncio.to_thread(server.start_warm)
        crowd = Crowd(server.url, members, FastTimer(TIMES))
        try:
            await crowd.start(per_second=100)
            await crowd.until(lambda all_of: all_of.live == DEVICES, PATIENCE_SECONDS)
            idle = resident_kilobytes(server)
            head = await changed(world, "For all")
            await crowd.until(lambda all_of: all_of.have(head), PATIENCE_SECONDS)
            assert crowd.failures() == {}
            crowd.forget()
            await asyncio.to_thread(server.stop)
            stopped = time.perf_counter()
            head = await changed(world, "While it was away")
            await asyncio.to_thread(server.start_warm)
            away = time.perf_counter() - stopped
            await crowd.until(lambda all_of: all_of.live == DEVICES and all_of.have(head), PATIENCE_SECONDS)
            assert set(crowd.failures()) <= {"unreachable", "busy"}
            # Over the fifteen seconds in which they come, no one second has a third of them.
            seconds = Counter(int((began - stopped - away) * TIMES) for began, _ in crowd.pulls())
            assert max(seconds.values()) <= DEVICES / 3, seconds
            assert resident_kilobytes(server) - idle <= DEVICES * STREAM_KILOBYTES_MAX
        finally:
            await crowd.stop()
