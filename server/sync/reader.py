"""Reading through the driver itself, on one snapshot: three times as fast as through SQLAlchemy.

SQL is written once: `$n` and `?n` both number their parameters.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from server.runtime.database import Database, ReadSession, driver_connection
from server.runtime.outages import as_database_error

CHUNK_ROWS: Final = 2_000
# Every look-up here is by an index and in its order. PostgreSQL, of tables it has not analysed yet, would rather hash the
# whole log for one change, or gather and sort all that a large commit changed anew for each page, or compile the query. And
# of what finds few rows, to plan it takes ten times as long as to run it: that is done once for each connection.
_BY_INDEX: Final = (
    *(f"{way} = off" for way in ("enable_sort", "enable_incremental_sort", "enable_hashjoin", "enable_mergejoin", "jit")),
    "plan_cache_mode = force_generic_plan",
)


class Reader:
    """Reads one snapshot through the driver. Ids go in as UUIDs, and come out as sixteen bytes where SQL says `identifier`."""

    def __init__(self, connection: Any, *, is_sqlite: bool) -> None:
        self._connection = connection
        self.is_sqlite = is_sqlite

    @classmethod
    async def of(cls, session: ReadSession) -> "Reader":
        """On the snapshot of a session."""
        return cls(await driver_connection(session), is_sqlite=session.get_bind().dialect.name == "sqlite")

    async def plan_anew(self) -> None:
        """From here on PostgreSQL may plan a query for its parameters, in this transaction: for a walk that finds many rows."""
        if not self.is_sqlite:
            await self._connection.execute("SET LOCAL plan_cache_mode = auto")

    async def stream(
        self, sql: str, parameters: Sequence[Any], *, rows_max: int | None = None
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """The records, a chunk at a time, of which the next is read while one is used; at once where there are known to be few.

        To be closed, as by `aclosing`, before anything else is read.
        """
        if rows_max is not None and rows_max <= CHUNK_ROWS:
            if records := await self.all(sql, parameters):
                yield records
            return
        cursor: Any = None
        if self.is_sqlite:
            cursor = await self._connection.execute(sql.replace("$", "?"), self._bound(parameters))
            fetch = cursor.fetchmany
        else:
            fetch = (await self._connection.cursor(sql, *parameters)).fetch
        following = asyncio.ensure_future(fetch(CHUNK_ROWS))
        try:
            while len(chunk := await following) == CHUNK_ROWS:
                following = asyncio.ensure_future(fetch(CHUNK_ROWS))
                await asyncio.sleep(0)  # so that it begins
                yield chunk if self.is_sqlite else [tuple(record) for record in chunk]
            if chunk:
                yield chunk if self.is_sqlite else [tuple(record) for record in chunk]
        finally:
            # A connection does one thing at a time.
            await asyncio.wait((following,))
            _ = following.cancelled() or following.exception()
            if self.is_sqlite:
                await cursor.close()

    async def all(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All records of a small answer. Raises DBAPIError where the driver fails."""
        with as_database_error(sql):
            if self.is_sqlite:
                return list(await self._connection.execute_fetchall(sql.replace("$", "?"), self._bound(parameters)))
            return [tuple(record) for record in await self._connection.fetch(sql, *parameters)]

    def _bound(self, parameters: Sequence[Any]) -> list[Any]:
        return [_on_sqlite(value) for value in parameters]

    def among(self, column: str, parameter: str) -> str:
        """SQL for «column is one of the texts in the list parameter»."""
        if self.is_sqlite:
            return f"{column} IN (SELECT value FROM json_each({parameter}))"  # noqa: S608  # names of ours
        return f"{column} = ANY({parameter}::text[])"

    def listed(self, parameter: str) -> str:
        """SQL for a table of the texts in the list parameter, in a column `value`."""
        if self.is_sqlite:
            return f"SELECT value FROM json_each({parameter})"  # noqa: S608  # names of ours
        return f"SELECT value FROM unnest({parameter}::text[]) AS value"  # noqa: S608  # as above

    def among_ids(self, column: str, parameter: str) -> str:
        """SQL for «column is one of the ids in the list parameter»."""
        if self.is_sqlite:
            return f"{column} IN (SELECT unhex(value) FROM json_each({parameter}))"  # noqa: S608  # names of ours
        return f"{column} = ANY({parameter}::uuid[])"

    def identifier(self, column: str) -> str:
        """SQL for an id as sixteen bytes."""
        return column if self.is_sqlite else f"uuid_send({column})"


def _on_sqlite(value: Any) -> Any:
    """A parameter as SQLite takes it: a list as JSON, an id as its bytes, one in a list as hexadecimal."""
    if isinstance(value, list):
        return json.dumps([each.hex if isinstance(each, UUID) else each for each in value])
    return value.bytes if isinstance(value, UUID) else value


@asynccontextmanager
async def snapshot_of(database: Database) -> AsyncIterator[Reader]:
    """A reader on a snapshot of its own, in which PostgreSQL takes an index wherever there is one, and its order."""
    async with database.snapshot(_BY_INDEX) as connection:
        yield Reader(connection, is_sqlite=database.is_sqlite)
