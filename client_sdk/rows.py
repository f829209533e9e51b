"""Rows out of the device's tables, with the overlay on them where there is one."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import apsw

from sync_protocol.entities import BY_ROW
from sync_protocol.replica_schema import current
from sync_protocol.values import Row
from sync_protocol.wire.codec import WireError, rows_from_stored

R = TypeVar("R", bound=Row)
KEYS_MAX: Final = 2_000
"""How many keys one look-up names; SQLite limits the parameters of a statement."""


def stored_id(value: Any) -> UUID:
    """An id from its stored bytes. Raises WireError where a damaged file holds something else."""
    if not isinstance(value, bytes) or len(value) != 16:
        raise WireError(f"{value!r} is no id")
    return UUID(bytes=value)


def fetch_rows(connection: apsw.Connection, row: type[R], condition: str, *bindings: Any) -> list[R]:
    """Rows that meet a condition written here in the SDK, never one from a user."""
    columns = ", ".join(f"row.{name}" for name in row.__struct_fields__)
    sql = f"SELECT {columns} FROM {current(BY_ROW[row])} AS row WHERE {condition}"  # noqa: S608  # made of the registry
    return rows_from_stored(row, connection.execute(sql, bindings).fetchall())


def fetch_tuples(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All records of a query, as they are stored."""
    return connection.execute(sql, bindings).fetchall()


def fetch_one(connection: apsw.Connection, row: type[R], row_id: UUID) -> R | None:
    """The row with this id, or None."""
    return next(iter(fetch_rows(connection, row, "id = ?", row_id.bytes)), None)


def look_up(connection: apsw.Connection, row: type[R], columns: tuple[str, ...], keys: Sequence[tuple[Any, ...]]) -> list[R]:
    """Rows whose columns are one of the keys, by an index; without columns, all of them."""
    if not columns:
        return fetch_rows(connection, row, "true")
    found: list[R] = []
    names = f"({', '.join(columns)})" if len(columns) > 1 else columns[0]
    mark = f"({', '.join('?' * len(columns))})"
    for start in range(0, len(keys), KEYS_MAX):
        some = keys[start : start + KEYS_MAX]
        bindings = [value.bytes if isinstance(value, UUID) else value for key in some for value in key]
        found += fetch_rows(connection, row, f"{names} IN (VALUES {', '.join([mark] * len(some))})", *bindings)
    return found


def filled(connection: apsw.Connection, tables: Iterable[str]) -> list[str]:
    """Those of the tables, whose names are the registry's, that have a row; in their order.

    It looks into the table and not into an index of it, so that a damaged one is found.
    """
    parts = (f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table} NOT INDEXED)" for table in tables)  # noqa: S608  # as said
    return [table for (table,) in connection.execute(" UNION ALL ".join(parts))]


def empty(connection: apsw.Connection, tables: Iterable[str]) -> None:
    """Delete all rows of the tables. Of one that has none SQLite would write the page, and that of each index, all the same."""
    for table in filled(connection, tables):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608  # a name of the registry
