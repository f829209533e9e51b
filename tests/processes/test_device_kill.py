"""Real devices are killed at random moments while they take orders and sync, and go on with the same file."""

import asyncio
import random
import time
from pathlib import Path

import msgspec

from client_sdk import OrderClient
from client_sdk.clock import SystemClock
from server.runtime.database import Database
from sync_protocol.entities.pricing import PriceEntry
from tests.processes.books import (
    Figures,
    check_device,
    check_log,
    check_money_and_stock,
    check_nothing_lost,
    check_verdicts,
    plain_url,
    replica_differences,
)
from tests.processes.taking_orders import PAGE_ROWS, TIME_ZONE, read_acknowledgements, work
from tests.processes.test_server_kill import catch_up, stocked_company
from tests.support.processes import DeviceProcess, ServerProcess, soak_seconds
from tests.support.world import World

KILLS = 25  # on each engine
ALIVE_SECONDS_MAX = 0.8
REPS = ("rep0", "rep0", "rep1")


class Tablet(msgspec.Struct):
    """A device: its file, what its user saw as saved, and the process that is killed."""

    rep: int
    path: Path
    acknowledgements: Path
    process: DeviceProcess

    @classmethod
    def of(cls, rep: str, path: Path) -> "Tablet":
        acknowledgements = path.with_suffix(".acks")
        process = DeviceProcess(work, path.with_suffix(".log"), str(path), str(acknowledgements))
        return cls(int(rep[-1]), path, acknowledgements, process)

    def check(self) -> None:
        """What must hold of the file right after a kill."""
        check_device(self.path)
        check_nothing_lost(self.path, read_acknowledgements(self.acknowledgements))


async def test_nothing_is_lost_or_torn_when_devices_are_killed_while_they_work(database: Database, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    world = await World.found(database, stocked_company())
    world.clock.time_ms = SystemClock().now_ms()
    tablets = [Tablet.of(rep, tmp_path / f"device{number}.db") for number, rep in enumerate(REPS)]
    begun = time.monotonic()
    with ServerProcess(plain_url(database), tmp_path) as server:
        await asyncio.to_thread(server.start_warm)
        for tablet, rep in zip(tablets, REPS, strict=True):
            async with await OrderClient.open(tablet.path, time_zone=TIME_ZONE) as device:
                await device.enrol(server.url, await world.code_for(rep), "tablet")
        kills = await kill_at_work(world, tablets, chance)
        saved = [each for tablet in tablets for each in read_acknowledgements(tablet.acknowledgements)]
        orders = sum(each.kind == "SubmitOrder" for each in saved)
        print(
            f"devices killed; {Figures(database.url.get_backend_name(), kills, len(saved), orders, time.monotonic() - begun, seed)}"
        )
        devices = [await OrderClient.open(tablet.path, time_zone=TIME_ZONE, page_rows=PAGE_ROWS) for tablet in tablets]
        try:
            await catch_up(devices)
        finally:
            for device in devices:
                await device.close()
    for tablet in tablets:
        tablet.check()
        assert await replica_differences(database, tablet.path, world.company.reps[tablet.rep].id) == []
    await check_verdicts(database, saved, [tablet.path for tablet in tablets])
    await check_money_and_stock(database)
    await check_log(database)
    assert kills >= KILLS


async def kill_at_work(world: World, tablets: list[Tablet], chance: random.Random) -> int:
    """Kill one device after another at random moments, look at its file, and let it go on; the office changes prices meanwhile."""
    for tablet in tablets:
        tablet.process.start(chance.getrandbits(32))
    kills, end = 0, time.monotonic() + soak_seconds()
    try:
        while kills < KILLS or time.monotonic() < end:
            tablet = chance.choice(tablets)
            await asyncio.sleep(chance.random() * ALIVE_SECONDS_MAX)
            await asyncio.to_thread(tablet.process.kill)
            kills += 1
            await asyncio.to_thread(tablet.check)
            tablet.process.start(chance.getrandbits(32))
            entry = chance.choice(world.company.entries)
            await world.change(PriceEntry, entry.id, unit_price=entry.unit_price + 100 * chance.randrange(50))
    finally:
        for tablet in tablets:
            await asyncio.to_thread(tablet.process.kill)
    return kills
