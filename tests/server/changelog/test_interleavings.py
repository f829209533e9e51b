"""Every interleaving of two and three sessions on a real PostgreSQL: what a reader sees is never behind a hole.

Sessions are plain connections that know nothing of the server. A step that has to wait for another session's lock is
left waiting and goes on when the lock is free; the schedule then goes on with the next step, as it would in life.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest

from server.runtime.database import Database
from sync_protocol.entities import BY_NAME
from tests.support.change_log import IDS, connect_foreign

CATEGORY = BY_NAME["category"].number
WAITS_SECONDS = 0.05
WRITER = ("begin", "write", "commit")
GIVES_UP = ("begin", "write", "rollback")
READER = ("begin", "read")
_SHOWN = "SELECT id, name FROM category"


def schedules(lengths: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every order in which sessions of so many steps can take turns."""
    if not any(lengths):
        yield ()
        return
    for session, left in enumerate(lengths):
        if left:
            rest = [*lengths[:session], left - 1, *lengths[session + 1 :]]
            yield from ((session, *others) for others in schedules(rest))


class Session:
    """A connection that takes one step after the other of a transaction that changes one row."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._waiting: asyncio.Task[None] | None = None

    async def take(self, step: str, row: object, name: str) -> None:
        """Take a step; one that waits for a lock is left behind after a moment, and those after it queue up behind it."""
        before = self._waiting
        task = asyncio.create_task(self._run(before, step, row, name))
        done, _ = await asyncio.wait((task,), timeout=WAITS_SECONDS)
        self._waiting = None if done else task
        for each in done:
            each.result()

    async def _run(self, before: asyncio.Task[None] | None, step: str, row: object, name: str) -> None:
        if before is not None:
            await before
        match step:
            case "begin":
                await self._connection.execute("BEGIN")
                await self._connection.execute("SELECT pg_current_xact_id()")  # an early transaction may commit late
            case "write":
                await self._connection.execute("UPDATE category SET name = $2 WHERE id = $1", row, name)
            case _:
                await self._connection.execute(step)

    async def finish(self) -> None:
        """Wait for what is still waiting."""
        if self._waiting is not None:
            await self._waiting
        self._waiting = None


class Follower:
    """A device in short: it reads the head, and later what changed up to it, in one snapshot."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.cursor = 0
        self.rows: dict[object, str] = {}
        self._head = 0

    async def take(self, step: str) -> None:
        if step == "begin":
            await self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._head = await self._connection.fetchval("SELECT head FROM change_head")
            return
        changed = await self._connection.fetch(
            """
            SELECT t.id, t.name FROM change_log l JOIN change_commit c ON c.change = l.change JOIN category t ON t.id = l.row_id
             WHERE l.entity = $1 AND c.commit_seq > $2 AND c.commit_seq <= $3
            """,
            CATEGORY,
            self.cursor,
            self._head,
        )
        current = {row["id"]: row["name"] for row in await self._connection.fetch(_SHOWN)}
        await self._connection.execute("COMMIT")
        assert self._head >= self.cursor, "the head went back"
        self.cursor = self._head
        self.rows |= {row["id"]: row["name"] for row in changed}
        assert self.rows == current, "a committed change was skipped"

    async def poll(self) -> None:
        """One checkpoint, in one go."""
        for step in READER:
            await self.take(step)


@asynccontextmanager
async def connections(database: Database, count: int) -> AsyncIterator[list[asyncpg.Connection]]:
    opened = [await connect_foreign(database) for _ in range(count)]
    try:
        yield opened
    finally:
        for each in opened:
            await each.close()


async def run_schedules(database: Database, scripts: Sequence[Sequence[str]], *, same_row: bool, reader_is_last: bool) -> int:
    """Run every schedule of these scripts, a checkpoint after each; the last script may be a reader's. Returns how many."""
    writers = len(scripts) - reader_is_last
    count = 0
    async with connections(database, writers + 2) as opened:
        sessions = [Session(each) for each in opened[:writers]]
        inside, after = Follower(opened[-2]), Follower(opened[-1])
        ids = [IDS.new() for _ in range(writers)]
        for number, row in enumerate(ids):
            await opened[-1].execute("INSERT INTO category (id, code, name) VALUES ($1, $2, 'new')", row, f"I{number}")
        await inside.poll()
        for schedule in schedules([len(script) for script in scripts]):
            places = [0] * len(scripts)
            for who in schedule:
                step = scripts[who][places[who]]
                places[who] += 1
                if who == writers:
                    await inside.take(step)
                else:
                    await sessions[who].take(step, ids[0 if same_row else who], f"{count}/{who}")
            for session in sessions:
                await session.finish()
            await after.poll()
            await inside.poll()
            count += 1
        taken = await opened[-1].fetch("SELECT commit_seq FROM change_commit ORDER BY commit_seq")
        head = await opened[-1].fetchval("SELECT head FROM change_head")
    assert [row["commit_seq"] for row in taken] == list(range(1, head + 1)), "the log has a hole"
    return count


async def test_two_writers_and_a_reader_in_every_order(postgres: Database) -> None:
    assert await run_schedules(postgres, (WRITER, WRITER, READER), same_row=False, reader_is_last=True) == 560


async def test_three_writers_in_every_order(postgres: Database) -> None:
    assert await run_schedules(postgres, (WRITER, WRITER, WRITER), same_row=False, reader_is_last=False) == 1_680


@pytest.mark.parametrize("second", [WRITER, GIVES_UP], ids=["both-commit", "one-gives-up"])
async def test_two_writers_of_one_row_in_every_order(postgres: Database, second: Sequence[str]) -> None:
    assert await run_schedules(postgres, (WRITER, second), same_row=True, reader_is_last=False) == 20


async def test_a_writer_that_gives_up_leaves_no_hole_in_any_order(postgres: Database) -> None:
    assert await run_schedules(postgres, (WRITER, GIVES_UP, READER), same_row=False, reader_is_last=True) == 560
