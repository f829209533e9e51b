"""What another program saves on the file of a device that follows: it is looked for, and sent as if it had been saved here."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from client_sdk import OrderClient
from client_sdk.errors import StoreBusyError
from client_sdk.follow import LOOK_SECONDS
from server.runtime.database import Database
from tests.support.road import Road
from tests.support.world import World

NEVER_SECONDS = 3_600.0
Tracer = Callable[[apsw.Cursor, str, object], bool]


@pytest.fixture
async def road(sqlite_database: Database, tmp_path: Path) -> Road:
    return Road(await World.found(sqlite_database), tmp_path)


@asynccontextmanager
async def beside(road: Road, device: OrderClient) -> AsyncIterator[OrderClient]:
    """Another program on the file of a device that follows, which is woken by no interval, and by no hint but the first."""
    async with device.follow(poll_seconds=NEVER_SECONDS), await road.device() as other:
        await road.timer.wait(1.0)
        yield other


async def order(device: OrderClient, road: Road) -> None:
    draft = await device.draft_order(road.world.company.customers[0].id)
    await draft.add_line(road.world.company.products[0].id, 1)
    await draft.submit()


def pushes(road: Road) -> int:
    return sum(path == "/sync/push" for _, path in road.link.asked)


async def look(road: Road) -> None:
    """So long that it has looked just once more, and has sent what it saw: no look falls together with the end of this."""
    await road.timer.wait(LOOK_SECONDS)


def failing_once(text: str) -> Tracer:
    """A statement that has this text in it finds the file busy, the first time."""
    left = [apsw.BusyError]

    def trace(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        if text in sql and left:
            raise left.pop()
        return True

    return trace


async def test_what_another_program_saves_is_sent_by_the_next_look_and_a_draft_is_nobodys_business(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        async with beside(road, device) as other:
            await look(road)
            for count in (1, 2):
                draft = await other.draft_order(road.world.company.customers[0].id)
                await draft.add_line(road.world.company.products[0].id, 1)
                await look(road)
                assert pushes(road) == count - 1
                await draft.submit()
                await look(road)
                assert pushes(road) == count
                assert await other.outbox() == []
            await look(road)
            assert pushes(road) == 2

    await road.run(story)


async def test_what_waited_before_is_sent_once(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        await device.sync()
        await order(device, road)
        road.link.asked.clear()
        async with beside(road, device):
            await look(road)
            await look(road)
            assert pushes(road) == 1
            assert sum(path == "/sync/pull" for _, path in road.link.asked) == 2, "at once, and as the stream begins"

    await road.run(story)


async def test_a_look_that_finds_the_file_busy_misses_nothing(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        store = device._store
        async with beside(road, device) as other:
            await look(road)
            for count, connection, text in ((1, store.writer, "data_version"), (2, store.reader, "FROM outbox")):
                await order(other, road)
                connection.exec_trace = failing_once(text)
                await look(road)
                assert pushes(road) == count - 1, "it was busy"
                await look(road)
                assert pushes(road) == count

    await road.run(story)


async def test_what_is_saved_before_the_first_look_that_succeeds_is_sent_by_that(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        device._store.trace(failing_once("data_version"))
        async with beside(road, device) as other:
            await order(other, road)
            await look(road)
            assert await other.outbox() == []

    await road.run(story)


async def test_an_order_is_noticed_though_the_journal_with_all_before_it_has_aged_out(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        async with beside(road, device) as other:
            await look(road)
            await order(other, road)
            await look(road)
            assert pushes(road) == 1
            await device._store.write(lambda connection: connection.execute("DELETE FROM journal"))
            await order(other, road)
            await look(road)
            assert pushes(road) == 2

    await road.run(story)


async def test_a_file_that_is_busy_as_it_is_looked_at_is_said_to_be(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        device._store.trace(failing_once("data_version"))
        with pytest.raises(StoreBusyError):
            await device._store.version()

    await road.run(story)
