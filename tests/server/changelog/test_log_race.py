"""The order of the log is the order of commits, under writers that do their best to disturb it.

Each writer pauses at random before and after every step, so that transactions that began early end late. A naive reader
follows a plain sequence in the same run; it must lose rows, or the run was too tame to show anything.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import sqlalchemy as sa

from server.catalog.models import CategoryModel
from server.changelog.log import read_head
from server.changelog.models import ChangeCommitModel, ChangeLogModel
from server.runtime.database import Database, ReadSession
from sync_protocol.entities import BY_NAME
from tests.support.change_log import IDS, connect_foreign, positions

WRITERS = 12
READERS = 3
SECONDS = 4.0
ROWS_EACH = 4
PAUSE_SECONDS_MAX = 0.02
ROLLBACK_CHANCE = 0.15
CATEGORY = BY_NAME["category"].number

Write = Callable[[Database, int, int], Awaitable[None]]


class GivenUpError(Exception):
    """A writer's own change of mind, which must leave no trace."""


async def pause() -> None:
    await asyncio.sleep(random.random() * PAUSE_SECONDS_MAX)


async def perhaps_give_up() -> None:
    await pause()
    if random.random() < ROLLBACK_CHANCE:
        raise GivenUpError


def codes(writer: int) -> list[str]:
    return [f"w{writer}-{number}" for number in range(ROWS_EACH)]


def insert_naive(version: int) -> str:
    return f"INSERT INTO naive (version) VALUES ({version})"


async def write_by_the_orm(database: Database, writer: int, version: int) -> None:
    """Insert, change or delete single rows, one after the other."""
    async with database.write() as session:
        await session.execute(sa.text(insert_naive(version)))
        for code in random.sample(codes(writer), 2):
            await pause()
            found = (await session.execute(sa.select(CategoryModel).where(CategoryModel.code == code))).scalar()
            if found is None:
                session.add(CategoryModel(id=IDS.new(), code=code, name=f"{version}"))
            elif random.random() < 0.3:
                await session.delete(found)
            else:
                found.name = f"{version}"
            await session.flush()
        await perhaps_give_up()


async def write_in_bulk(database: Database, writer: int, version: int) -> None:
    """Replace half of the rows and change all of them, by Core statements that no ORM hook sees."""
    wanted = random.sample(codes(writer), ROWS_EACH // 2)
    rows = [{"id": IDS.new(), "code": code, "name": f"{version}"} for code in wanted]
    async with database.write() as session:
        await session.execute(sa.text(insert_naive(version)))
        await pause()
        await session.execute(sa.delete(CategoryModel).where(CategoryModel.code.in_(wanted)))
        await pause()
        await session.execute(sa.insert(CategoryModel).values(rows))
        await pause()
        await session.execute(sa.update(CategoryModel).where(CategoryModel.code.in_(codes(writer))).values(name=f"{version}"))
        await perhaps_give_up()


async def write_past_the_server(database: Database, writer: int, version: int) -> None:
    """The same from a program of its own, in plain SQL."""
    connection: asyncpg.Connection = await connect_foreign(database)
    upsert = "INSERT INTO category (id, code, name) VALUES ($1, $2, $3) ON CONFLICT (code) DO UPDATE SET name = excluded.name"
    try:
        async with connection.transaction():
            await connection.execute(insert_naive(version))
            for code in random.sample(codes(writer), 2):
                await pause()
                await connection.execute(upsert, IDS.new(), code, f"{version}")
            await pause()
            await connection.execute("DELETE FROM category WHERE code = $1", random.choice(codes(writer)))
            await perhaps_give_up()
    finally:
        await connection.close()


KINDS: tuple[Write, ...] = (write_by_the_orm, write_in_bulk, write_past_the_server)


async def keep_writing(database: Database, writer: int, until: float) -> int:
    committed = version = 0
    while asyncio.get_running_loop().time() < until:
        version += 1
        await pause()
        try:
            await KINDS[writer % len(KINDS)](database, writer, version)
            committed += 1
        except GivenUpError:
            continue
    return committed


class Follower:
    """A reader that follows the log by (head, then entries up to head), and keeps what it has seen."""

    def __init__(self) -> None:
        self.cursor = 0
        self.rows: dict[UUID, tuple[str, str]] = {}
        self.polls = 0

    async def poll(self, database: Database) -> None:
        """One checkpoint: apply what is new, and be equal to the tables of the same snapshot."""
        async with database.read() as session:
            head = (await read_head(session)).head
            await pause()
            assert head >= self.cursor, "the head went back"
            changed = await self._changed(session, head)
            await pause()
            current = await read_rows(session)
            dense = sa.select(sa.func.count(), sa.func.min(ChangeCommitModel.commit_seq), sa.func.max(ChangeCommitModel.commit_seq))
            count, first, last = (await session.execute(dense)).one()
        assert (count, first, last) == ((head, 1, head) if head else (0, None, None)), "positions are not dense"
        for row_id, deleted in changed:
            assert deleted == (row_id not in current)
            self.rows.pop(row_id, None) if deleted else self.rows.update({row_id: current[row_id]})
        assert self.rows == current, "a committed change was skipped"
        self.cursor, self.polls = head, self.polls + 1

    async def _changed(self, session: ReadSession, head: int) -> list[tuple[UUID, bool]]:
        log, commit = ChangeLogModel, ChangeCommitModel
        query = sa.select(log.row_id, log.deleted).join(commit, commit.change == log.change)
        new = query.where(log.entity == CATEGORY, commit.commit_seq > self.cursor, commit.commit_seq <= head)
        return [(row_id, bool(deleted)) for row_id, deleted in (await session.execute(new)).all()]


async def read_rows(session: ReadSession) -> dict[UUID, tuple[str, str]]:
    rows = await session.execute(sa.select(CategoryModel.id, CategoryModel.code, CategoryModel.name))
    return {row_id: (code, name) for row_id, code, name in rows.all()}


async def follow(database: Database, done: asyncio.Event) -> Follower:
    follower = Follower()
    while not done.is_set():
        await follower.poll(database)
        await pause()
    await follower.poll(database)
    return follower


async def follow_naively(database: Database, done: asyncio.Event) -> int:
    """How many committed rows a reader of `seq > cursor` never sees."""
    connection = await connect_foreign(database)
    seen: set[int] = set()
    finished = False
    while not finished:
        finished = done.is_set()
        cursor = max(seen, default=0)
        seen |= {row["seq"] for row in await connection.fetch("SELECT seq FROM naive WHERE seq > $1", cursor)}
    there = {row["seq"] for row in await connection.fetch("SELECT seq FROM naive")}
    await connection.close()
    return len(there - seen)


async def race(database: Database) -> tuple[list[Follower], int, int]:
    done, until = asyncio.Event(), asyncio.get_running_loop().time() + SECONDS
    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow(database, done)) for _ in range(READERS)]
        naive = group.create_task(follow_naively(database, done))
        committed = await asyncio.gather(*(keep_writing(database, writer, until) for writer in range(WRITERS)))
        done.set()
    return [follower.result() for follower in followers], naive.result(), sum(committed)


async def test_no_reader_of_the_log_loses_a_row_where_a_naive_one_does(postgres: Database) -> None:
    async with postgres.engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE naive (seq bigserial PRIMARY KEY, version bigint)"))
    followers, lost_naively, committed = await race(postgres)
    taken = await positions(postgres)
    print(f"{committed} commits, {len(taken)} positions, naive reader lost {lost_naively}, polls {[f.polls for f in followers]}")
    assert lost_naively > 0, "void: the race was too tame for a naive reader to lose anything"
    assert len(taken) > WRITERS * 3
    assert taken == list(range(1, len(taken) + 1))
    assert len(taken) <= committed
    assert all(follower.cursor == len(taken) and follower.polls >= 5 for follower in followers)
