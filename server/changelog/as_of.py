"""Rows as they stood at an earlier place of the log: those of now that are as old, and the versions that were superseded since.

Each question is one statement, so that what is committed meanwhile is in all of an answer or in none of it.
"""

from collections.abc import Iterable
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.changelog.models import ChangeHeadModel
from server.changelog.superseded import KEPT_BY, body_sql, place_sql
from server.runtime.bulk_statements import type_on_postgres
from server.runtime.database import ReadSession, driver_connection
from server.runtime.outages import as_database_error
from server.runtime.rows import table_of
from sync_protocol.entities import BY_ROW
from sync_protocol.values import Row

R = TypeVar("R", bound=Row)
Key = tuple[Any, ...]

# What is younger than a place begins with the first change behind it: no version that ended before that is of interest. The
# sum keeps PostgreSQL from walking through all changes in their order until it meets one.
_FIRST_BEHIND: Final = "SELECT min(c.change + 0) FROM change_commit c WHERE c.commit_seq > $1 OR c.commit_seq IS NULL"


class Unknown(Enum):
    """Why the rows of a place cannot be told."""

    ANOTHER_LOG = "it is of another epoch, from before a restore"
    AHEAD = "the log has not come so far"
    FORGOTTEN = "what rows were there is forgotten"


class PlaceUnknownError(Exception):
    """The rows of this place of the log cannot be told: decide by those of now."""

    def __init__(self, commit_seq: int, reason: Unknown) -> None:
        super().__init__(f"commit_seq {commit_seq} cannot be read as of: {reason.value}; read the rows as they are now")
        self.commit_seq = commit_seq
        self.reason = reason


class AsOf:
    """Reads the entities of `KEPT_BY` as they stood at a place of the log, inside the transaction of a session."""

    def __init__(self, connection: Any, commit_seq: int, *, is_sqlite: bool) -> None:
        self._connection = connection
        self.commit_seq = commit_seq
        self._is_sqlite = is_sqlite

    @classmethod
    async def of(cls, session: ReadSession, epoch: UUID, commit_seq: int) -> "AsOf":
        """At this place of the log of this epoch. Raises PlaceUnknownError."""
        columns = sa.select(ChangeHeadModel.epoch, ChangeHeadModel.head, ChangeHeadModel.history_floor)
        head = (await session.execute(columns)).one()
        if epoch != head.epoch:
            raise PlaceUnknownError(commit_seq, Unknown.ANOTHER_LOG)
        if commit_seq > head.head:
            raise PlaceUnknownError(commit_seq, Unknown.AHEAD)
        if commit_seq < head.history_floor:
            raise PlaceUnknownError(commit_seq, Unknown.FORGOTTEN)
        return cls(await driver_connection(session), commit_seq, is_sqlite=session.get_bind().dialect.name == "sqlite")

    async def find_all(self, kind: type[R], columns: tuple[str, ...], keys: Iterable[Key]) -> list[R]:
        """The rows whose columns are one of the keys, in the order of the keys; all rows where no column is named.

        Superseded versions are looked up where the column of `KEPT_BY` is among the columns, and otherwise read through.
        Raises PlaceUnknownError where what is asked for was forgotten meanwhile.
        """
        found: dict[Key, list[R]] = {key: [] for key in (keys if columns else [()])}
        if not found:
            return []
        by = _look_up(kind, columns)
        given = [] if by is None else [list({key[columns.index(by)]: None for key in found})]
        for floor, body in await self._fetch(_statement(kind, by, is_sqlite=self._is_sqlite), [self.commit_seq, *given]):
            if floor > self.commit_seq:
                raise PlaceUnknownError(self.commit_seq, Unknown.FORGOTTEN)
            row = msgspec.json.decode(body, type=kind) if body is not None else None
            if row is not None and (some := found.get(tuple([getattr(row, name) for name in columns]))) is not None:
                some.append(row)
        return [row for some in found.values() for row in some]

    async def _fetch(self, sql: str, parameters: list[Any]) -> list[tuple[int, str | None]]:
        with as_database_error(sql):
            if self._is_sqlite:
                return list(
                    await self._connection.execute_fetchall(sql.replace("$", "?"), [_on_sqlite(each) for each in parameters])
                )
            return list(await self._connection.fetch(sql, *parameters))


def _on_sqlite(value: Any) -> Any:
    """A list as JSON, with ids as hexadecimal."""
    if isinstance(value, list):
        return msgspec.json.encode([each.hex if isinstance(each, UUID) else each for each in value]).decode()
    return value


def _look_up(kind: type[Row], columns: tuple[str, ...]) -> str | None:
    """The column that the database is asked by."""
    assert BY_ROW[kind].name in KEPT_BY, f"no history is kept of {BY_ROW[kind].name}"
    kept_by = KEPT_BY[BY_ROW[kind].name]
    return kept_by if kept_by in columns else columns[0] if columns else None


@cache
def _statement(kind: type[Row], by: str | None, *, is_sqlite: bool) -> str:
    """What finds the floor of history, with each version that stood at place $1 and whose column `by` is in the list $2."""
    synced, table = BY_ROW[kind], table_of(kind)
    kept_by = KEPT_BY[synced.name]

    def among(column: str) -> str:
        if by is None:
            return "true"
        if not is_sqlite:
            return f"{column} = ANY($2::{type_on_postgres(table, by)}[])"
        value = "unhex(value)" if type_on_postgres(table, by) == "UUID" else "value"
        return f"{column} IN (SELECT {value} FROM json_each($2))"

    reached = among("h.key_id") if by == kept_by else f"h.until_change >= ({_FIRST_BEHIND})"
    latest = f"(SELECT l.change FROM change_log l WHERE l.entity = {synced.number} AND l.row_id = t.id)"
    return f"""
        SELECT head.history_floor, version.body FROM change_head head LEFT JOIN (
            SELECT {body_sql(synced, "t", is_sqlite=is_sqlite)} AS body FROM {synced.name} t
             WHERE {among(f"t.{by}")} AND {place_sql(latest)} <= $1
            UNION ALL
            SELECT h.body FROM row_history h
             WHERE h.entity = {synced.number} AND {reached}
               AND {place_sql("h.until_change")} > $1 AND {place_sql("h.since_change")} <= $1
        ) AS version ON true
    """
