"""The real server is killed at random moments under the load of real devices: nothing is lost, nothing is doubled."""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from client_sdk import OrderClient
from client_sdk.clock import SystemClock
from server.runtime.database import Database
from tests.processes.books import (
    Figures,
    check_log,
    check_money_and_stock,
    check_nothing_lost,
    check_verdicts,
    plain_url,
    replica_differences,
)
from tests.processes.taking_orders import PAGE_ROWS, TIME_ZONE, Acknowledgements, Day, read_acknowledgements
from tests.support.processes import ServerProcess, soak_seconds
from tests.support.world import Company, World, small_company

KILLS = 25  # on each engine
ALIVE_SECONDS_MAX = 0.5
CATCH_UP_SYNCS_MAX = 10
REPS = ("rep0", "rep0", "rep1", "rep1")


def stocked_company() -> Company:
    """The small company with much of some products and little of others, so that orders meet both."""
    company = small_company()
    levels = tuple(msgspec.structs.replace(level, on_hand=40 * 3 ** (n % 6)) for n, level in enumerate(company.levels))
    return msgspec.structs.replace(company, levels=levels)


async def test_nothing_is_lost_or_doubled_when_the_server_is_killed_under_load(database: Database, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    world = await World.found(database, stocked_company())
    world.clock.time_ms = SystemClock().now_ms()
    begun = time.monotonic()
    paths = [tmp_path / f"device{number}.db" for number in range(len(REPS))]
    acks = [path.with_suffix(".acks") for path in paths]
    with ServerProcess(plain_url(database), tmp_path) as server:
        await asyncio.to_thread(server.start)
        async with AsyncExitStack() as stack:
            devices = [
                await stack.enter_async_context(await OrderClient.open(path, time_zone=TIME_ZONE, page_rows=PAGE_ROWS))
                for path in paths
            ]
            for device, rep in zip(devices, REPS, strict=True):
                await device.enrol(server.url, await world.code_for(rep), f"device of {rep}")
            days = [
                Day(device, Acknowledgements(path), random.Random(chance.random()))
                for device, path in zip(devices, acks, strict=True)
            ]
            kills = await kill_under_load(server, days, chance)
            await catch_up(devices)
        saved = [each for path in acks for each in read_acknowledgements(path)]
        orders = sum(each.kind == "SubmitOrder" for each in saved)
        figures = Figures(database.url.get_backend_name(), kills, len(saved), orders, time.monotonic() - begun, seed)
        print(f"server killed; {figures}; {sum(day.failures for day in days)} syncs failed")
        for path, acknowledged, rep in zip(paths, acks, REPS, strict=True):
            check_nothing_lost(path, read_acknowledgements(acknowledged))
            assert await replica_differences(database, path, world.company.reps[int(rep[-1])].id) == []
        await check_verdicts(database, saved, paths)
        await check_money_and_stock(database)
        await check_log(database)
        assert kills >= KILLS


async def kill_under_load(server: ServerProcess, days: list[Day], chance: random.Random) -> int:
    """Kill the server and start it again, at random moments, while the days go on."""
    over = asyncio.Event()
    working = [asyncio.create_task(day.go_on(until=over.is_set)) for day in days]
    kills, end = 0, time.monotonic() + soak_seconds()
    try:
        while (kills < KILLS or time.monotonic() < end) and not any(task.done() for task in working):
            await asyncio.sleep(chance.random() * ALIVE_SECONDS_MAX)
            await asyncio.to_thread(server.kill)
            kills += 1
            await asyncio.to_thread(server.start_warm)
    finally:
        over.set()
        await asyncio.gather(*working)
    return kills


async def catch_up(devices: list[OrderClient]) -> None:
    """With faults off every queue empties, within a bounded number of syncs (I-6); then all see what all did."""
    for device in devices:
        for _ in range(CATCH_UP_SYNCS_MAX):
            report = await device.sync()
            if not report.deferred:
                break
        assert await device.outbox() == []
    for device in devices:
        await device.sync()
