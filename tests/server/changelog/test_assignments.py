"""Which rep works which territory is in the log, whoever changes it, on both engines."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from server.changelog.assignments import ASSIGNMENT_ENTITY
from server.changelog.log import read_head, seal_foreign_writes
from server.changelog.models import ChangeCommitModel, ChangeLogModel
from server.customers.models import RepTerritoryModel
from server.runtime.database import Database
from tests.support.change_log import literal, write_past_the_server
from tests.support.world import World


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


async def head_of(world: World) -> int:
    async with world.database.read() as session:
        return (await read_head(session)).head


async def touched_at_head(world: World) -> set[str]:
    """The buckets of the assignments that the last commit changed."""
    last = sa.select(ChangeCommitModel.change).order_by(ChangeCommitModel.commit_seq.desc()).limit(1).scalar_subquery()
    query = sa.select(ChangeLogModel.bucket).where(ChangeLogModel.entity == ASSIGNMENT_ENTITY, ChangeLogModel.change == last)
    async with world.database.read() as session:
        return set((await session.execute(query)).scalars())


async def test_each_way_to_change_who_works_a_territory_takes_a_place_in_the_log(world: World) -> None:
    first, second = (rep.id for rep in world.company.reps)
    here, there = (territory.id for territory in world.company.territories)
    moved = sa.update(RepTerritoryModel).where(RepTerritoryModel.rep_id == first)
    for number, (statement, reps) in enumerate(
        (
            (sa.insert(RepTerritoryModel).values(rep_id=first, territory_id=there), {first}),
            (sa.delete(RepTerritoryModel).where(RepTerritoryModel.rep_id == second), {second}),
            (moved.where(RepTerritoryModel.territory_id == there).values(rep_id=second), {first, second}),
            (sa.delete(RepTerritoryModel), {first, second}),
        )
    ):
        before = await head_of(world)
        async with world.database.write() as session:
            await session.execute(statement)
        assert await head_of(world) == before + 1, number
        assert await touched_at_head(world) == {f"rep:{rep.hex}" for rep in reps}
    assert here != there


async def test_what_another_program_assigns_is_in_the_log(world: World) -> None:
    before, rep = await head_of(world), world.company.reps[0].id
    await write_past_the_server(world.database, f"DELETE FROM rep_territory WHERE rep_id = {literal(world.database, rep)}")
    await seal_foreign_writes(world.database)
    assert await head_of(world) == before + 1
    assert await touched_at_head(world) == {f"rep:{rep.hex}"}


async def test_assigning_what_is_assigned_is_no_change(world: World) -> None:
    before = await head_of(world)
    async with world.database.write() as session:
        await session.execute(sa.update(RepTerritoryModel).values(territory_id=RepTerritoryModel.territory_id))
        await session.execute(sa.delete(RepTerritoryModel).where(sa.false()))
    assert await head_of(world) == before


async def test_assignments_are_not_truncated_past_the_log(postgres: Database) -> None:
    world = await World.found(postgres)
    with pytest.raises(DBAPIError, match="use DELETE"):
        async with world.database.write() as session:
            await session.execute(sa.text("TRUNCATE rep_territory"))
