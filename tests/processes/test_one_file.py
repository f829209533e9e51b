"""Two programs on one device's file at once, such as an app and its background sync: nothing of either is lost or mixed up."""

import asyncio
import random
from pathlib import Path

import pytest

from client_sdk import OrderClient
from client_sdk.errors import RoadbookError
from server.runtime.database import Database
from sync_protocol.entities.catalog import Product
from tests.processes.books import ask, check_log, check_money_and_stock, check_verdicts, replica_differences
from tests.processes.wire import UnsteadyEndpoint, enrol_over_http, open_over_http, over_http, submit
from tests.support.world import World

ROUNDS = 3
TURNS = 4
LOSS = 0.15


@pytest.mark.parametrize("seed", range(8))
async def test_two_programs_on_one_file_lose_nothing_and_stay_one_device(
    sqlite_database: Database, tmp_path: Path, seed: int
) -> None:
    world = await World.found(sqlite_database)
    chance = random.Random(seed)
    path = tmp_path / "device.db"
    unsteady = over_http(world, lambda endpoint: UnsteadyEndpoint(endpoint, chance, LOSS))
    numbers: list[str] = []

    async def use(device: OrderClient) -> None:
        for _ in range(TURNS):
            if await device.customers():
                numbers.append(await submit(device, world, chance.randrange(2), (chance.randrange(6), 1)))
            await asyncio.sleep(0.001 * chance.randrange(5))
            try:
                await device.sync()
            except RoadbookError as error:
                if not error.retry:
                    raise

    async with (
        await enrol_over_http(world, "rep0", path, unsteady, page_rows=7) as one,
        await open_over_http(world, path, unsteady, page_rows=7) as two,
    ):
        for turn in range(ROUNDS):
            await asyncio.gather(use(one), use(two))
            await world.change(Product, world.company.products[turn].id, name=f"Renamed {turn}")
    async with await open_over_http(world, path, over_http(world)) as alone:
        await alone.sync()
    assert await replica_differences(sqlite_database, path, world.company.reps[0].id) == []
    assert sorted(numbers) == [number for (number,) in await ask(sqlite_database, "SELECT number FROM sales_order ORDER BY number")]
    assert await ask(sqlite_database, "SELECT count(*) FROM device") == [(1,)], "the device took itself for a copy"
    await check_verdicts(sqlite_database, [], [path])
    await check_money_and_stock(sqlite_database)
    await check_log(sqlite_database)
