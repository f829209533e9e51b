"""A server whose disk is full, and one whose database fails: no order is lost, none is set aside, none is half written."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from client_sdk.errors import RoadbookError
from server.runtime.database import Database
from server.sync.push import FAILURES_MAX
from tests.processes.books import ask, check_log, check_money_and_stock, check_verdicts, replica_differences
from tests.processes.wire import enrol_over_http, over_http, submit
from tests.support.world import World

ORDERS = 40


async def set_pages_max(database: Database, pages: int) -> None:
    """Let the database grow no further than this, on every connection: as a full disk does."""
    await database.engine.dispose()

    @sa.event.listens_for(database.engine.sync_engine, "connect")
    def limit(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}").close()


@pytest.mark.parametrize("spare", [0, 4])
async def test_a_full_disk_refuses_orders_for_now_and_loses_none(sqlite_database: Database, tmp_path: Path, spare: int) -> None:
    world = await World.found(sqlite_database)
    path = tmp_path / "device.db"
    async with await enrol_over_http(world, "rep0", path, over_http(world)) as device:
        await device.sync()
        for number in range(ORDERS):
            await submit(device, world, number % 2, (number % 6, 1), ((number + 1) % 6, 2))
        ((pages,),) = await ask(sqlite_database, "PRAGMA page_count")
        await set_pages_max(sqlite_database, pages + spare)
        for _ in range(FAILURES_MAX + 1):
            with pytest.raises(RoadbookError) as refused:
                await device.sync()
            assert refused.value.retry
            assert "the server's disk is full" in str(refused.value)
            await check_log(sqlite_database)
            await check_money_and_stock(sqlite_database)
        await set_pages_max(sqlite_database, 2**30)
        report = await device.sync()
        assert report.deferred == 0
    assert await ask(sqlite_database, "SELECT count(*) FROM sales_order") == [(ORDERS,)]
    assert await ask(sqlite_database, "SELECT count(*) FROM intent_record WHERE outcome = 'rejected'") == [(0,)]
    await check_verdicts(sqlite_database, [], [path])
    await check_money_and_stock(sqlite_database)
    await check_log(sqlite_database)
    assert await replica_differences(sqlite_database, path, world.company.reps[0].id) == []
