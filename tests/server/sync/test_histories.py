"""Which places of a log the server has had, by the log itself."""

from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from server.changelog.log import Head, read_head
from server.runtime.database import Database
from server.sync.histories import is_of_this_past
from server.sync.reader import Reader
from sync_protocol.entities.catalog import Product
from sync_protocol.wire.messages import LogPlace
from tests.support.world import World

ANOTHER_LOG = UUID(int=7)


@pytest.fixture
async def places(world: World) -> dict[int, LogPlace]:
    """Every commit of a log of a few."""
    for number in range(4):
        await world.change(Product, world.company.products[0].id, name=f"Name {number}")
    async with world.database.read() as session:
        epoch = (await read_head(session)).epoch
        rows = (await session.execute(sa.text("SELECT commit_seq, committed_at_ms FROM change_commit"))).all()
    return {seq: LogPlace(epoch=epoch, commit_seq=seq, committed_at_ms=at_ms) for seq, at_ms in rows}


async def has(database: Database, *known: LogPlace, floor: int | None = None) -> bool:
    async with database.read() as session:
        head = await read_head(session)
        return await is_of_this_past(await Reader.of(session), head if floor is None else lifted(head, floor), known)


def lifted(head: Head, floor: int) -> Head:
    return msgspec.structs.replace(head, floor=floor)


def moved(place: LogPlace, places: int) -> LogPlace:
    return msgspec.structs.replace(place, commit_seq=place.commit_seq + places)


def other(place: LogPlace) -> LogPlace:
    """Another commit in the same place."""
    return msgspec.structs.replace(place, committed_at_ms=place.committed_at_ms - 1)


async def test_all_places_of_its_own_past_are_had(database: Database, places: dict[int, LogPlace]) -> None:
    assert await has(database)
    assert await has(database, *places.values())


async def test_a_place_above_the_head_is_not_had(database: Database, places: dict[int, LogPlace]) -> None:
    assert not await has(database, moved(places[max(places)], 1))


async def test_another_commit_in_the_place_of_the_head_or_below_it_is_not_had(
    database: Database, places: dict[int, LogPlace]
) -> None:
    for place in places.values():
        assert not await has(database, other(place))


async def test_one_place_of_another_past_among_others_is_enough(database: Database, places: dict[int, LogPlace]) -> None:
    last = max(places)
    assert not await has(database, places[last], other(places[last - 1]))
    assert not await has(database, other(places[last - 1]), places[last])


async def test_of_another_log_nothing_is_said(database: Database, places: dict[int, LogPlace]) -> None:
    foreign = msgspec.structs.replace(moved(places[1], 1_000), epoch=ANOTHER_LOG)
    assert await has(database, foreign)


async def test_what_is_forgotten_below_the_floor_counts_as_had_and_what_is_missing_above_it_does_not(
    database: Database, places: dict[int, LogPlace]
) -> None:
    last = max(places)
    async with database.write() as session:
        forget = sa.text("DELETE FROM change_commit WHERE commit_seq = :gone")
        for gone in (last - 1, last):
            await session.execute(forget, {"gone": gone})
    assert await has(database, places[last]), "the head itself is forgotten"
    assert await has(database, places[last - 1], floor=last - 1)
    assert not await has(database, places[last - 1], floor=last - 2)
