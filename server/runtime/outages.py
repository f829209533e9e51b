"""What a failure of the database is: a value that is taken, a collision with another writer, or the database itself.

The three exclude each other. What is none of them is a defect.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_POSTGRES_CLASH: Final = "23505"
_POSTGRES_COLLISIONS: Final = frozenset({"40P01", "40001"})
_POSTGRES_OUTAGES: Final = ("08", "25P", "53", "57P", "58")
"""Classes of SQLSTATE: no connection, a transaction that was ended, no room, a shutdown, and a failing disk."""
_SQLITE_CLASH: Final = "UNIQUE constraint failed"
_SQLITE_OUTAGES: Final = ("is full", "disk I/O error", "is locked", "readonly database", "out of memory", "no such savepoint")


@contextmanager
def as_database_error(sql: str) -> Iterator[None]:
    """Raise a failure of the driver as SQLAlchemy's DBAPIError, which the functions here tell apart."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error, OSError) as error:
        is_gone = isinstance(error, (asyncpg.InterfaceError, OSError))
        raise DBAPIError(sql, None, error, connection_invalidated=is_gone) from error


def is_clash(error: Exception) -> bool:
    """A unique value is taken already."""
    return isinstance(error, DBAPIError) and (_state(error) == _POSTGRES_CLASH or _SQLITE_CLASH in str(error.orig))


def is_collision(error: Exception) -> bool:
    """Deadlock or serialisation failure on PostgreSQL: the same again may succeed. SQLite has one writer and neither."""
    return isinstance(error, DBAPIError) and _state(error) in _POSTGRES_COLLISIONS


def is_outage(error: Exception) -> bool:
    """The database itself fails. SQLite then may have ended the transaction from below: nothing more may be written in it."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    if error.connection_invalidated or _state(error).startswith(_POSTGRES_OUTAGES):
        return True
    return any(text in str(error.orig) for text in _SQLITE_OUTAGES)


def _state(error: DBAPIError) -> str:
    """PostgreSQL's SQLSTATE, or nothing."""
    return str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or "")
