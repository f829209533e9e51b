"""Two servers on one PostgreSQL are restarted in turn while devices order: nothing is lost, and jobs run on one of them."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

from client_sdk import OrderClient
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from server.runtime.jobs import PostgresElection, election_of
from tests.processes.books import ask, check_log, check_money_and_stock, plain_url
from tests.processes.test_server_kill import stocked_company
from tests.support.processes import ServerProcess
from tests.support.switchboard import Line
from tests.support.world import World

DEVICES = 3
PAUSE_SECONDS = 0.2
PATIENCE_SECONDS = 120.0
RUNS_JOBS = "this process runs the jobs"


async def ordering(device: OrderClient, world: World, chance: random.Random, saved: list[UUID], is_over: asyncio.Event) -> None:
    """Orders, one after the other, while the device is followed; what was shown as saved is written down."""
    customers = await device.customers()
    while not is_over.is_set():
        draft = await device.draft_order(chance.choice(customers).id)
        await draft.add_line(chance.choice(world.company.products).id, 1)
        saved.append((await draft.submit()).order.id)
        await asyncio.sleep(PAUSE_SECONDS)


async def run_jobs_on(database: Database) -> int:
    """How many processes run the jobs now: sessions that hold the lock of that election."""
    election = election_of(database)
    assert isinstance(election, PostgresElection)
    half = 2**32
    question = f"""
        SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
           AND classid::bigint = {election.number // half % half} AND objid::bigint = {election.number % half}
    """
    return int((await ask(database, question))[0][0])


async def test_servers_are_restarted_in_turn_under_load_and_nothing_is_lost(postgres: Database, tmp_path: Path) -> None:
    chance = random.Random(7)
    world = await World.found(postgres, stocked_company())
    world.clock.time_ms = SystemClock().now_ms()
    saved: list[UUID] = []
    is_over = asyncio.Event()
    async with AsyncExitStack() as stack:
        servers = [stack.enter_context(ServerProcess(plain_url(postgres), tmp_path, pool_size=5)) for _ in range(2)]
        for server in servers:
            await asyncio.to_thread(server.start_warm)
        devices = []
        for number in range(DEVICES):
            line = Line([server.port for server in servers], chance)
            port = await line.open()
            stack.push_async_callback(line.close)
            device = await stack.enter_async_context(await OrderClient.open(tmp_path / f"device{number}.db"))
            await device.enrol(f"http://127.0.0.1:{port}", await world.code_for(f"REP{number % 2}"), f"device {number}")
            await device.sync()
            await stack.enter_async_context(device.follow(poll_seconds=1.0))
            devices.append(device)
        assert [RUNS_JOBS in server.said() for server in servers] == [True, False]
        assert await run_jobs_on(postgres) == 1
        async with asyncio.TaskGroup() as group:
            for device in devices:
                group.create_task(ordering(device, world, chance, saved, is_over))
            for server in servers:
                await asyncio.sleep(0.3)
                await asyncio.to_thread(server.stop)
                await asyncio.sleep(0.3)
                await asyncio.to_thread(server.start_warm)
                assert await run_jobs_on(postgres) <= 1
            is_over.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while any([await device.outbox() for device in devices]):  # noqa: ASYNC110  # many things empty it
                await asyncio.sleep(0.1)
            while await run_jobs_on(postgres) != 1:  # noqa: ASYNC110  # a server looks every few seconds
                await asyncio.sleep(0.1)
    decided = [UUID(bytes=order_id) for (order_id,) in await ask(postgres, "SELECT id FROM sales_order")]
    assert sorted(decided) == sorted(saved)
    assert len(saved) > 2 * DEVICES
    assert all("Traceback" not in server.said() for server in servers)
    await check_money_and_stock(postgres)
    await check_log(postgres)
