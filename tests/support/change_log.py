"""Looking into the change log, and writing past the server as another program would."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg
import sqlalchemy as sa

from server.changelog.models import ChangeCommitModel, ChangeLeaveModel, ChangeLogModel
from server.runtime.clock import IdSource, SystemClock
from server.runtime.database import Database
from sync_protocol.entities import SYNCED

IDS = IdSource(SystemClock())


class Entry(NamedTuple):
    """A row's place in the log."""

    entity: str
    row_id: UUID
    bucket: str
    commit_seq: int | None
    deleted: bool


async def entries(database: Database) -> list[Entry]:
    """The latest change of each row, in order of commit."""
    log, commit = ChangeLogModel, ChangeCommitModel
    query = sa.select(log.entity, log.row_id, log.bucket, commit.commit_seq, log.deleted)
    ordered = query.join(commit, commit.change == log.change).order_by(commit.commit_seq, log.entity, log.row_id)
    async with database.read() as session:
        rows = (await session.execute(ordered)).all()
    names = {synced.number: synced.name for synced in SYNCED}
    return [Entry(names[entity], row_id, bucket, seq, bool(gone)) for entity, row_id, bucket, seq, gone in rows]


async def entry(database: Database, row_id: UUID) -> Entry:
    """The latest change of one row."""
    (found,) = [each for each in await entries(database) if each.row_id == row_id]
    return found


async def leaves(database: Database) -> list[tuple[UUID, str, int | None]]:
    """Which row left which bucket, and in which commit."""
    leave, commit = ChangeLeaveModel, ChangeCommitModel
    query = sa.select(leave.row_id, leave.bucket, commit.commit_seq).join(commit, commit.change == leave.change)
    async with database.read() as session:
        return [(row_id, bucket, seq) for row_id, bucket, seq in (await session.execute(query.order_by(commit.commit_seq))).all()]


async def positions(database: Database) -> list[int | None]:
    """The position of every transaction that is in the log, in order."""
    query = sa.select(ChangeCommitModel.commit_seq).order_by(ChangeCommitModel.commit_seq)
    async with database.read() as session:
        return list((await session.execute(query)).scalars())


def literal(database: Database, identifier: UUID) -> str:
    """An id as SQL text."""
    return f"x'{identifier.hex}'" if database.is_sqlite else f"'{identifier}'"


async def connect_foreign(database: Database) -> asyncpg.Connection:
    """A PostgreSQL connection that knows nothing of the server."""
    return await asyncpg.connect(database.url.set(drivername="postgresql").render_as_string(hide_password=False))


async def write_past_the_server(database: Database, *statements: str) -> None:
    """Run SQL as another program would, in one transaction of its own."""
    if database.is_sqlite:
        _write_sqlite(str(database.url.database), statements)
        return
    connection = await connect_foreign(database)
    try:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
    finally:
        await connection.close()


def _write_sqlite(path: str, statements: Sequence[str]) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    finally:
        connection.close()
