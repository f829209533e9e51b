"""Rows of the registry in and out of tables, for single entities; bulk has its own ways."""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from server.runtime.database import Base, ReadSession, WriteSession
from sync_protocol.entities import BY_ROW
from sync_protocol.values import Row

R = TypeVar("R", bound=Row)


def table_of(row: type[Row]) -> sa.Table:
    """The server's table of a synced row."""
    return Base.metadata.tables[BY_ROW[row].name]


def select_rows(row: type[Row]) -> sa.Select[Any]:
    """A select of exactly the columns that travel; `as_row` reads what it gives."""
    table = table_of(row)
    return sa.select(*(table.c[name] for name in row.__struct_fields__))


def as_row(row: type[R], record: sa.Row[Any]) -> R:
    """A row from a record of `select_rows`, its enums and limits checked."""
    return msgspec.convert(dict(record._mapping), row)  # noqa: SLF001  # SQLAlchemy's documented name for it


async def fetch_rows(session: ReadSession, row: type[R], *conditions: Any) -> list[R]:
    """All rows that meet the conditions on `table_of(row)`."""
    return [as_row(row, record) for record in await session.execute(select_rows(row).where(*conditions))]


async def fetch_row(session: ReadSession, row: type[R], identifier: Any, *, lock: bool = False) -> R | None:
    """The row with this id, or None; locked until the end of the transaction where asked (SQLite has one writer anyway)."""
    query = select_rows(row).where(table_of(row).c.id == identifier)
    record = (await session.execute(query.with_for_update() if lock else query)).one_or_none()
    return as_row(row, record) if record is not None else None


async def insert_rows(session: WriteSession, rows: Iterable[Row]) -> None:
    """Insert rows of one kind, in one statement. Each is held to its limits first: no device could read one beyond them."""
    values = [msgspec.structs.asdict(msgspec.convert(msgspec.structs.asdict(row), type(row))) for row in rows]
    if values:
        kind = next(iter(rows))
        await session.execute(sa.insert(table_of(type(kind))), values)
