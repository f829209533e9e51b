"""Ten devices against two real server processes on one PostgreSQL, while everything is killed, frozen and cut off.

Servers are killed, frozen and restarted in turn; processes of devices are killed and frozen; lines are cut in one
direction. When that ends, everything must come to rest in a bounded number of syncs, and the books must balance. One run
in every `make test`; `ROADBOOK_CHAOS_RUNS` asks for more.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from client_sdk import OrderClient
from client_sdk.clock import SystemClock
from server.runtime.database import Database
from tests.processes.books import (
    check_log,
    check_money_and_stock,
    check_nothing_lost,
    check_verdicts,
    plain_url,
    replica_differences,
)
from tests.processes.taking_orders import PAGE_ROWS, TIME_ZONE, Acknowledgements, Day, read_acknowledgements
from tests.processes.test_server_kill import catch_up, stocked_company
from tests.support.processes import DeviceProcess, ServerProcess, chaos_runs
from tests.support.switchboard import Line, LineState
from tests.support.world import World

T = TypeVar("T")

DEVICES = 10
HOSTS = 2  # processes that devices live in
SERVERS = 2
SECONDS = 8.0
PATIENCE_SECONDS = 120.0
FROZEN_SECONDS_MAX = 1.5
CUT_SECONDS_MAX = 2.0


def host(paths: list[str], seed: int) -> None:
    """A process of several devices, whose reps work until it is killed."""

    async def run() -> None:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for number, path in enumerate(paths):
                device = await stack.enter_async_context(await OrderClient.open(path, time_zone=TIME_ZONE, page_rows=PAGE_ROWS))
                day = Day(device, Acknowledgements(Path(path).with_suffix(".acks")), random.Random(f"{seed}/{number}"))
                group.create_task(day.go_on(until=lambda: False))

    asyncio.run(run())


class Chaos:
    """What goes wrong: one act after the other, drawn by chance; several may be under way."""

    def __init__(self, servers: list[ServerProcess], hosts: list[DeviceProcess], lines: list[Line], chance: random.Random) -> None:
        self._servers, self._hosts, self._lines, self._chance = servers, hosts, lines, chance
        self._busy: set[int] = set()
        self.acts: dict[str, int] = {}

    async def reign(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < end:
                act = self._chance.choice(
                    (self._kill_a_server, self._freeze_a_server, self._restart_a_server, self._kill_a_host, self._freeze_a_host)
                    + (self._cut_a_line,) * 5
                )
                self.acts[act.__name__] = self.acts.get(act.__name__, 0) + 1
                group.create_task(act())
                await asyncio.sleep(self._chance.random() * 0.4)

    async def _with(self, things: list[T], act: Callable[[T], Awaitable[None]]) -> None:
        """Do something to one of the things that nothing is done to at the moment."""
        free = [each for each in things if id(each) not in self._busy]
        if not free:
            return
        chosen = self._chance.choice(free)
        self._busy.add(id(chosen))
        try:
            await act(chosen)
        finally:
            self._busy.discard(id(chosen))

    async def _kill_a_server(self) -> None:
        async def act(server: ServerProcess) -> None:
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start_warm)

        await self._with(self._servers, act)

    async def _restart_a_server(self) -> None:
        async def act(server: ServerProcess) -> None:
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start_warm)

        await self._with(self._servers, act)

    async def _freeze_a_server(self) -> None:
        await self._with(self._servers, self._freeze)

    async def _freeze_a_host(self) -> None:
        await self._with(self._hosts, self._freeze)

    async def _freeze(self, process: ServerProcess | DeviceProcess) -> None:
        process.pause()
        await asyncio.sleep(self._chance.random() * FROZEN_SECONDS_MAX)
        process.resume()

    async def _kill_a_host(self) -> None:
        async def act(process: DeviceProcess) -> None:
            await asyncio.to_thread(process.kill)
            process.start(self._chance.getrandbits(32))

        await self._with(self._hosts, act)

    async def _cut_a_line(self) -> None:
        async def act(line: Line) -> None:
            line.become(self._chance.choice((LineState.UP_HELD, LineState.DOWN_HELD, LineState.REFUSED)))
            await asyncio.sleep(self._chance.random() * CUT_SECONDS_MAX)
            line.become(LineState.OPEN, drops=self._chance.random() < 0.5)

        await self._with(self._lines, act)


async def at_work(paths: list[Path]) -> None:
    """Until some device of each host has saved something: a busy machine may take longer to start them than chaos takes."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for host_paths in (paths[number::HOSTS] for number in range(HOSTS)):
            while not any(read_acknowledgements(path.with_suffix(".acks")) for path in host_paths):  # noqa: ASYNC110  # files tell nobody
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("run", range(chaos_runs()))
async def test_ten_devices_and_two_servers_come_to_rest_after_chaos(postgres: Database, tmp_path: Path, run: int) -> None:
    seed = random.randrange(2**32)
    print(f"run {run}, seed {seed}")
    chance = random.Random(seed)
    world = await World.found(postgres, stocked_company())
    world.clock.time_ms = SystemClock().now_ms()
    paths = [tmp_path / f"device{number}.db" for number in range(DEVICES)]
    reps = [f"rep{number % 2}" for number in range(DEVICES)]
    async with AsyncExitStack() as stack:
        servers = [stack.enter_context(ServerProcess(plain_url(postgres), tmp_path, pool_size=5)) for _ in range(SERVERS)]
        for server in servers:
            await asyncio.to_thread(server.start_warm)
        lines = [Line([server.port for server in servers], chance) for _ in paths]
        for path, rep, line in zip(paths, reps, lines, strict=True):
            port = await line.open()
            stack.push_async_callback(line.close)
            async with await OrderClient.open(path, time_zone=TIME_ZONE) as device:
                await device.enrol(f"http://127.0.0.1:{port}", await world.code_for(rep), f"device of {rep}")
        hosts = [
            DeviceProcess(host, tmp_path / f"host{number}.log", [str(path) for path in paths[number::HOSTS]])
            for number in range(HOSTS)
        ]
        for each in hosts:
            each.start(chance.getrandbits(32))
        await at_work(paths)
        chaos = Chaos(servers, hosts, lines, chance)
        try:
            await chaos.reign(SECONDS)
        finally:
            for each in hosts:
                await asyncio.to_thread(each.kill)
        devices = [
            await stack.enter_async_context(await OrderClient.open(path, time_zone=TIME_ZONE, page_rows=PAGE_ROWS))
            for path in paths
        ]
        await catch_up(devices)
    saved = [each for path in paths for each in read_acknowledgements(path.with_suffix(".acks"))]
    print(f"{len(saved)} acts saved; {chaos.acts}")
    assert saved
    for path, rep in zip(paths, reps, strict=True):
        check_nothing_lost(path, read_acknowledgements(path.with_suffix(".acks")))
        assert await replica_differences(postgres, path, world.company.reps[int(rep[-1])].id) == []
    await check_verdicts(postgres, saved, paths)
    await check_money_and_stock(postgres)
    await check_log(postgres)
