"""Fifty devices listen to a server that is restarted: they come back spread, are refused politely if at all, and miss nothing."""

import asyncio
from collections import Counter
from pathlib import Path

import psutil

from client_sdk.live import SILENCE_SECONDS_MAX
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
        timer = FastTimer(TIMES)
        crowd = Crowd(server.url, members, timer)
        try:
            await crowd.start(per_second=100)
            await crowd.until(lambda all_of: all_of.live == DEVICES, PATIENCE_SECONDS)
            idle = resident_kilobytes(server)
            head = await changed(world, "For all")
            await crowd.until(lambda all_of: all_of.have(head), PATIENCE_SECONDS)
            assert crowd.failures() == {}
            crowd.forget()
            timer.due.clear()
            stopped = timer.now_seconds()
            await asyncio.to_thread(server.stop)
            head = await changed(world, "While it was away")
            await asyncio.to_thread(server.start_warm)
            await crowd.until(lambda all_of: all_of.live == DEVICES and all_of.have(head), PATIENCE_SECONDS)
            assert set(crowd.failures()) <= {"unreachable", "busy"}
            # Each chose its moment within some twenty seconds; no one second was the choice of a third of them.
            seconds = Counter(int(due - stopped) for due in timer.due if 0 <= due - stopped < SILENCE_SECONDS_MAX)
            assert sum(seconds.values()) >= DEVICES
            assert max(seconds.values()) <= DEVICES / 3, seconds
            assert resident_kilobytes(server) - idle <= DEVICES * STREAM_KILOBYTES_MAX
        finally:
            await crowd.stop()
