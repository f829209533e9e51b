"""What a failure of the database is: a value that is taken, a collision with another writer, or the database itself.

The three exclude each other. What is none of them is a defect. Of the database itself it is told whether its disk is why.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from server.runtime.errors import BusyError

_POSTGRES_CLASH: Final = "23505"
_POSTGRES_COLLISIONS: Final = frozenset({"40P01", "40001"})
_POSTGRES_OUTAGES: Final = ("08", "25P", "53", "57P", "58")
"""Classes of SQLSTATE: no connection, a transaction that was ended, no room, a shutdown, and a failing disk."""
_POSTGRES_FULL: Final = "53100"
_POSTGRES_DISK: Final = "58030"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_SQLITE_CLASH: Final = "UNIQUE constraint failed"
_SQLITE_FULL: Final = "database or disk is full"
_SQLITE_DISK: Final = "disk I/O error"
_SQLITE_ENDED: Final = "no such savepoint"
_SQLITE_OUTAGES: Final = (_SQLITE_FULL, _SQLITE_DISK, _SQLITE_ENDED, "is locked", "readonly database", "out of memory")


class DatabaseBusyError(BusyError):
    """A failure that passes by itself, or that whoever runs the server can end."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(sentence_of_disk(cause) or "the database was busy or away and nothing was changed; try again in a moment")


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
    return isinstance(error, DBAPIError) and (_state(error) == _POSTGRES_CLASH or _SQLITE_CLASH in _words(error.orig))


def is_collision(error: Exception) -> bool:
    """Deadlock or serialisation failure on PostgreSQL: the same again may succeed. SQLite has one writer and neither."""
    return isinstance(error, DBAPIError) and _state(error) in _POSTGRES_COLLISIONS


def is_outage(error: Exception) -> bool:
    """The database itself fails. SQLite then may have ended the transaction from below: nothing more may be written in it."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    if error.connection_invalidated or _state(error).startswith(_POSTGRES_OUTAGES):
        return True
    return any(text in _words(error.orig) for text in _SQLITE_OUTAGES)


def sentence_of_disk(error: Exception) -> str | None:
    """What to say and to do where the disk is why; None where it is not.

    A full disk ends SQLite's transaction from below. What fails last is the savepoint that went with it, and where the
    failures are of two greenlets Python does not tie them together.
    """
    failures = _behind(error)
    if any(_state(each) == _POSTGRES_FULL or _number(each) in _FULL or _SQLITE_FULL in _words(each) for each in failures):
        return "the server's disk is full and what was under way was not saved; free some space on it and do it again"
    if any(_state(each) == _POSTGRES_DISK or _SQLITE_DISK in _words(each) for each in failures):
        return "the server's disk fails and what was under way was not saved; look at its room and its health and do it again"
    if any(_SQLITE_ENDED in _words(each) for each in failures):
        return "the server's database gave up, as on a full disk, and what was under way was not saved; look at its disk"
    return None


def _behind(error: BaseException) -> list[BaseException]:
    """An error, what it was raised from, and what was failing when it was raised."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__, each.orig if isinstance(each, DBAPIError) else None]
    return found


def _words(error: BaseException | None) -> str:
    """What SQLite itself says. The texts of SQLAlchemy and of PostgreSQL repeat the values, which may say anything."""
    return str(error) if isinstance(error, sqlite3.Error) else ""


def _number(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _state(error: BaseException) -> str:
    """PostgreSQL's SQLSTATE, or nothing."""
    driver = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None) or "")
