"""Few statements for many rows of known ids, through the driver itself, inside the session's transaction.

One statement each on PostgreSQL, whose capture triggers then run once for all rows; `executemany` on SQLite. A failure of
the driver is raised as SQLAlchemy's DBAPIError, so that `outages` tells what it is.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from server.runtime.database import ReadSession, driver_connection
from server.runtime.outages import as_database_error

KEYS_MAX: Final = 2_000
"""How many keys one look-up on SQLite names; its parameters are limited."""

Record = Sequence[Any]


class BulkStatements:
    """Reads and writes many rows at once. A record is a row's values, in the order of the columns that are named."""

    def __init__(self, connection: Any, *, is_sqlite: bool) -> None:
        self._connection = connection
        self.is_sqlite = is_sqlite

    @classmethod
    async def of(cls, session: ReadSession) -> "BulkStatements":
        """For the transaction of a session. What the session holds in memory is not refreshed."""
        return cls(await driver_connection(session), is_sqlite=session.get_bind().dialect.name == "sqlite")

    async def select(
        self,
        table: sa.Table,
        columns: tuple[str, ...],
        where: tuple[str, ...],
        keys: Sequence[Record],
        *,
        lock: bool = False,
        as_join: bool = False,
    ) -> list[Record]:
        """The records whose `where` columns are one of the keys; locked, where asked, in the order of these and of ids.

        Without `where` columns the one key is empty, and finds every record; locked in the order of their ids. `as_join` is for
        thousands of keys of a table that has just grown: PostgreSQL, which takes it for small, would compare each row with each.
        """
        if not keys:
            return []
        if not where:
            return await self._select_all(table, columns, lock=lock and not self.is_sqlite)
        if self.is_sqlite:
            return [record for some in _portions(keys) for record in await self._select_on_sqlite(table, columns, where, some)]
        sql = _select_on_postgres(table, columns, where, lock=lock, as_join=as_join)
        with as_database_error(sql):
            found: list[Record] = await self._connection.fetch(sql, *_transposed(keys))
        return found

    async def _select_all(self, table: sa.Table, columns: tuple[str, ...], *, lock: bool) -> list[Record]:
        sql = f"SELECT {', '.join(columns)} FROM {table.name}{' ORDER BY id FOR UPDATE' if lock else ''}"  # noqa: S608  # names of the schema, not input
        with as_database_error(sql):
            if self.is_sqlite:
                return list(await self._connection.execute_fetchall(sql))
            return list(await self._connection.fetch(sql))

    async def _select_on_sqlite(
        self, table: sa.Table, columns: tuple[str, ...], where: tuple[str, ...], keys: Sequence[Record]
    ) -> list[Record]:
        key = f"({', '.join('?' * len(where))})"
        names = f"({', '.join(where)})" if len(where) > 1 else where[0]
        sql = f"SELECT {', '.join(columns)} FROM {table.name} WHERE {names} IN (VALUES {', '.join([key] * len(keys))})"  # noqa: S608  # names of the schema, not input
        with as_database_error(sql):
            return list(await self._connection.execute_fetchall(sql, [_on_sqlite(value) for each in keys for value in each]))

    async def insert(self, table: sa.Table, columns: tuple[str, ...], records: Sequence[Record]) -> None:
        """Insert the records. Raises DBAPIError where one is refused; then none is there."""
        if not records:
            return
        if self.is_sqlite:
            marks = ", ".join("?" * len(columns))
            await self._executemany(f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})", records)  # noqa: S608  # as above
            return
        names = ", ".join(columns)
        await self._execute(f"INSERT INTO {table.name} ({names}) SELECT * FROM {_unnested(table, columns)}", records)  # noqa: S608  # as above

    async def upsert(self, table: sa.Table, key: tuple[str, ...], columns: tuple[str, ...], records: Sequence[Record]) -> None:
        """Insert the records, or set the columns of rows with the same key; a record is the key's values, then the columns'."""
        if not records:
            return
        every = (*key, *columns)
        names, values = ", ".join(every), ", ".join(f"{name} = excluded.{name}" for name in columns)
        clash = f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {values}"
        if self.is_sqlite:
            marks = ", ".join("?" * len(every))
            await self._executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks}) {clash}", records)  # noqa: S608  # as above
            return
        await self._execute(f"INSERT INTO {table.name} ({names}) SELECT * FROM {_unnested(table, every)} {clash}", records)  # noqa: S608  # as above

    async def update(self, table: sa.Table, key: tuple[str, ...], columns: tuple[str, ...], records: Sequence[Record]) -> None:
        """Set the columns of the rows with these keys; a record is the key's values, then the columns'."""
        if not records:
            return
        if self.is_sqlite:
            values = ", ".join(f"{name} = ?{place}" for place, name in enumerate(columns, start=len(key) + 1))
            same = " AND ".join(f"{name} = ?{place}" for place, name in enumerate(key, start=1))
            await self._executemany(f"UPDATE {table.name} SET {values} WHERE {same}", records)  # noqa: S608  # as above
            return
        values = ", ".join(f"{name} = given.{name}" for name in columns)
        same = " AND ".join(f"kept.{name} = given.{name}" for name in key)
        given = f"{_unnested(table, (*key, *columns))} AS given ({', '.join((*key, *columns))})"
        await self._execute(f"UPDATE {table.name} AS kept SET {values} FROM {given} WHERE {same}", records)  # noqa: S608  # as above

    async def delete(self, table: sa.Table, identifiers: Sequence[UUID]) -> None:
        """Delete the rows with these ids."""
        if not identifiers:
            return
        records = [(identifier,) for identifier in identifiers]
        if self.is_sqlite:
            await self._executemany(f"DELETE FROM {table.name} WHERE id = ?", records)  # noqa: S608  # as above
            return
        await self._execute(f"DELETE FROM {table.name} WHERE id = ANY($1::uuid[])", records)  # noqa: S608  # as above

    async def _executemany(self, sql: str, records: Sequence[Record]) -> None:
        with as_database_error(sql):
            cursor = await self._connection.executemany(sql, [[_on_sqlite(value) for value in record] for record in records])
            await cursor.close()

    async def _execute(self, sql: str, records: Sequence[Record]) -> None:
        with as_database_error(sql):
            await self._connection.execute(sql, *_transposed(records))


def _portions(keys: Sequence[Record]) -> Iterator[Sequence[Record]]:
    for start in range(0, len(keys), KEYS_MAX):
        yield keys[start : start + KEYS_MAX]


def _transposed(records: Sequence[Record]) -> list[list[Any]]:
    return [list(values) for values in zip(*records, strict=True)]


@cache
def type_on_postgres(table: sa.Table, column: str) -> str:
    """The name of a column's type."""
    return str(table.c[column].type.compile(postgresql.dialect()))  # type: ignore[no-untyped-call]  # SQLAlchemy's own


@cache
def _unnested(table: sa.Table, columns: tuple[str, ...]) -> str:
    arrays = ", ".join(f"${place}::{type_on_postgres(table, name)}[]" for place, name in enumerate(columns, start=1))
    return f"unnest({arrays})"


@cache
def _select_on_postgres(
    table: sa.Table, columns: tuple[str, ...], where: tuple[str, ...], *, lock: bool, as_join: bool = False
) -> str:
    selected = ", ".join(f"kept.{name}" for name in columns)
    by = ", ".join(f"kept.{name}" for name in dict.fromkeys((*where, "id")))
    ordered = f" ORDER BY {by} FOR UPDATE OF kept" if lock else ""
    if len(where) == 1 and not as_join:
        array = f"$1::{type_on_postgres(table, where[0])}[]"
        return f"SELECT {selected} FROM {table.name} AS kept WHERE kept.{where[0]} = ANY({array}){ordered}"  # noqa: S608  # as above
    same = " AND ".join(f"kept.{name} = wanted.{name}" for name in where)
    wanted = f"{_unnested(table, where)} AS wanted ({', '.join(where)})"
    return f"SELECT {selected} FROM {table.name} AS kept JOIN {wanted} ON {same}{ordered}"  # noqa: S608  # as above


def _on_sqlite(value: Any) -> Any:
    return value.bytes if isinstance(value, UUID) else value
