"""Live streams over HTTP from real servers: hints, a clean end when a server stops, and another server to go on with."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from client_sdk.errors import RoadbookError
from client_sdk.live import EventReader, Hint, hint_of
from client_sdk.transport import HttpEndpoint
from server.changelog.log import read_head
from server.identity.devices import RevocationReason, revoke_device
from server.runtime.database import Database
from server.sync.live import CHECK_SECONDS
from sync_protocol.entities.catalog import Product
from tests.support.ears import Tuned, tuned
from tests.support.processes import ServerProcess
from tests.support.world import World

PATIENCE_SECONDS = 30.0


@asynccontextmanager
async def listening(server: ServerProcess, device: Tuned) -> AsyncIterator[AsyncIterator[Hint]]:
    """Hints over HTTP, by the device's own transport."""
    endpoint = HttpEndpoint(server.url, device.token)
    pieces = endpoint.live(device.device_id)

    async def hints() -> AsyncIterator[Hint]:
        reader = EventReader()
        async for piece in pieces:
            for event in reader.feed(piece):
                hint = hint_of(event)
                if hint is not None:
                    yield hint

    try:
        yield hints()
    finally:
        await pieces.aclose()  # type: ignore[attr-defined]  # it is an asynchronous generator
        await endpoint.close()


async def next_of(hints: AsyncIterator[Hint]) -> Hint | None:
    """The next hint, or None where the stream ended."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(hints, None)


async def rename(world: World, name: str) -> int:
    """Change what everybody holds; where the log stands then."""
    await world.change(Product, world.company.products[0].id, name=name)
    async with world.database.read() as session:
        return (await read_head(session)).head


async def hear_of(hints: AsyncIterator[Hint], head: int) -> None:
    while (hint := await next_of(hints)) is None or hint.head < head:
        assert hint is not None, "the stream ended"


async def test_a_server_that_is_told_to_stop_ends_its_streams_and_is_gone_at_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    world = await World.found(database)
    with ServerProcess(database_url, tmp_path, jobs=False) as server:
        server.start()
        device = await tuned(world, "REP0")
        async with listening(server, device) as hints, listening(server, device) as others:
            assert await next_of(hints) is not None
            assert await next_of(others) is not None
            head = await rename(world, "Changed")
            await hear_of(hints, head)
            await hear_of(others, head)
            began = time.monotonic()
            stopping = asyncio.to_thread(server.stop)
            ended = asyncio.create_task(stopping)
            assert await next_of(hints) is None
            assert await next_of(others) is None
            await ended
            assert time.monotonic() - began < 2.5, "it waited for its streams"
        assert "Traceback" not in server.said()
        assert "running task" not in server.said()


async def test_a_revoked_device_is_cut_off_and_not_let_in_again(database: Database, database_url: str, tmp_path: Path) -> None:
    world = await World.found(database)
    with ServerProcess(database_url, tmp_path, jobs=False) as server:
        server.start()
        device = await tuned(world, "REP0")
        async with listening(server, device) as hints:
            assert await next_of(hints) is not None
            began = time.monotonic()
            async with database.write() as session:
                await revoke_device(session, device.device_id, RevocationReason.LEFT, world.clock.now_ms())
            assert await next_of(hints) is None
            assert time.monotonic() - began < 5 * CHECK_SECONDS
        async with listening(server, device) as hints:
            with pytest.raises(RoadbookError, match="revoked"):
                await next_of(hints)
        answer = httpx2.get(f"{server.url}/sync/live?device_id={device.device_id}")
        assert answer.status_code == 401


async def test_devices_go_on_with_another_server_while_each_is_restarted(
    postgres: Database, postgres_database_url: str, tmp_path: Path
) -> None:
    world = await World.found(postgres)
    with (
        ServerProcess(postgres_database_url, tmp_path, jobs=False) as first,
        ServerProcess(postgres_database_url, tmp_path, jobs=False) as second,
    ):
        first.start()
        second.start()
        device = await tuned(world, "REP0")
        for stopped, other in ((first, second), (second, first)):
            async with listening(stopped, device) as hints:
                await hear_of(hints, await rename(world, "Before the restart"))
                await asyncio.to_thread(stopped.stop)
                missed = await rename(world, "While nobody served this device")
                while await next_of(hints) is not None:
                    pass
            async with listening(other, device) as hints:
                found = await next_of(hints)
                assert found is not None
                assert found.head >= missed
                await asyncio.to_thread(stopped.start)
                await hear_of(hints, await rename(world, "After the restart"))
