"""Many rows at once into the server's tables, inside the caller's transaction and in bounded memory.

The rows pass the ORM by and go through the driver: COPY and one INSERT … ON CONFLICT on PostgreSQL, `executemany` on
SQLite. The capture triggers log them as they log every write. A row that is there already with the same values is not
written, so it is no change for any device. What the session holds in memory of these tables is not refreshed.
"""

import itertools
import sqlite3
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from server.runtime.database import WriteSession, driver_connection
from sync_protocol.entities import Synced
from sync_protocol.values import Row

CHUNK_ROWS: Final = 10_000

Record = Sequence[Any]


class Counts(msgspec.Struct, frozen=True):
    """What became of the rows that were handed in."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.inserted + other.inserted, self.updated + other.updated, self.unchanged + other.unchanged)

    @property
    def rows(self) -> int:
        return self.inserted + self.updated + self.unchanged


class Table(msgspec.Struct, frozen=True):
    """A table as bulk writes see it. `key` is its primary key; a record has one value for each of `columns`."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...] = ("id",)


class RefusedRowsError(Exception):
    """The database refused a chunk of rows; nothing of the transaction can be kept."""

    def __init__(self, table: str, cause: Exception) -> None:
        said = " ".join(str(cause).split())
        super().__init__(
            f"{table}: the database refused the rows: {said}. A unique value (such as a code) may be taken by a row of another "
            "source, or a reference may point at nothing; mend the source or the mapping and run again"
        )
        self.table = table


def table_of(synced: Synced) -> Table:
    """The table of a synced entity, as far as it travels."""
    return Table(synced.name, synced.row.__struct_fields__)


async def upsert_rows(session: WriteSession, synced: Synced, rows: Iterable[Row] | AsyncIterable[Row]) -> Counts:
    """Insert the rows, or bring those with a known id up to date. Ids are distinct within a call. Raises RefusedRowsError."""
    total = Counts()
    async for chunk in _chunks(rows):
        total += await upsert_records(session, table_of(synced), [msgspec.structs.astuple(row) for row in chunk])
    return total


async def upsert_records(session: WriteSession, table: Table, records: Sequence[Record]) -> Counts:
    """Upsert one chunk of records, whose keys are distinct, into any table. Raises RefusedRowsError."""
    if not records:
        return Counts()
    driver = await _driver(session)
    try:
        if _is_sqlite(session):
            return await _upsert_on_sqlite(driver, table, records)
        return await _upsert_on_postgres(driver, table, records)
    except (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError) as error:
        raise RefusedRowsError(table.name, error) from error


def _is_sqlite(session: WriteSession) -> bool:
    return session.get_bind().dialect.name == "sqlite"


async def _driver(session: WriteSession) -> Any:
    await session.flush()
    return await driver_connection(session)


async def _chunks(rows: Iterable[Row] | AsyncIterable[Row]) -> AsyncIterator[list[Row]]:
    if not isinstance(rows, AsyncIterable):
        for some in _batched(rows):
            yield some
        return
    chunk: list[Row] = []
    async for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _batched(rows: Iterable[Row]) -> Iterable[list[Row]]:
    remaining = iter(rows)
    while chunk := list(itertools.islice(remaining, CHUNK_ROWS)):
        yield chunk


async def _upsert_on_postgres(driver: Any, table: Table, records: Sequence[Record]) -> Counts:
    incoming = f"incoming_{table.name}"
    columns = ", ".join(table.columns)
    await driver.execute(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {incoming} ON COMMIT DROP AS "  # noqa: S608  # names of the registry, not input
        f"SELECT {columns} FROM {table.name} WITH NO DATA"
    )
    await driver.copy_records_to_table(incoming, records=records, columns=table.columns)
    source = f"SELECT {columns} FROM {incoming}"  # noqa: S608  # names of the registry, not input
    written = await driver.fetchrow(
        f"WITH written AS ({_upsert(table, source, 'IS DISTINCT FROM')} RETURNING xmax = 0 AS fresh) "  # noqa: S608  # as above
        "SELECT count(*) FILTER (WHERE fresh) AS inserted, count(*) FILTER (WHERE NOT fresh) AS updated FROM written"
    )
    await driver.execute(f"TRUNCATE {incoming}")
    inserted, updated = written["inserted"], written["updated"]
    return Counts(inserted, updated, len(records) - inserted - updated)


async def _upsert_on_sqlite(driver: Any, table: Table, records: Sequence[Record]) -> Counts:
    before = await _count_on_sqlite(driver, table)
    values = f"VALUES ({', '.join('?' * len(table.columns))})"
    cursor = await driver.executemany(_upsert(table, values, "IS NOT"), map(_sqlite_values, records))
    written: int = cursor.rowcount
    await cursor.close()
    # Nobody else writes within this transaction, and nothing here deletes: what the table grew by was inserted.
    inserted = await _count_on_sqlite(driver, table) - before
    return Counts(inserted, written - inserted, len(records) - written)


async def _count_on_sqlite(driver: Any, table: Table) -> int:
    rows = await driver.execute_fetchall(f"SELECT count(*) FROM {table.name}")  # noqa: S608  # a name of the registry, not input
    return int(next(iter(rows))[0])


def _upsert(table: Table, source: str, differs: str) -> str:
    rest = [column for column in table.columns if column not in table.key]
    insert = f"INSERT INTO {table.name} ({', '.join(table.columns)}) {source} ON CONFLICT ({', '.join(table.key)}) DO"
    if not rest:
        return f"{insert} NOTHING"
    changes = ", ".join(f"{column} = excluded.{column}" for column in rest)
    changed = " OR ".join(f"{table.name}.{column} {differs} excluded.{column}" for column in rest)
    return f"{insert} UPDATE SET {changes} WHERE {changed}"


def _sqlite_values(record: Record) -> tuple[Any, ...]:
    return tuple([value.bytes if value.__class__ is UUID else value for value in record])
