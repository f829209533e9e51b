"""What a failure of the database is: a value that is taken, a collision of two writers, or the database itself."""

import sqlite3

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from server.runtime.outages import is_clash, is_collision, is_outage

QUESTIONS = {"clash": is_clash, "collision": is_collision, "outage": is_outage}


def failed(cause: Exception, *, disconnected: bool = False) -> DBAPIError:
    return DBAPIError("SELECT 1", {}, cause, connection_invalidated=disconnected)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (failed(asyncpg.UniqueViolationError("x")), "clash"),
        (failed(sqlite3.IntegrityError("UNIQUE constraint failed: device.id")), "clash"),
        (failed(asyncpg.DeadlockDetectedError("x")), "collision"),
        (failed(asyncpg.SerializationError("x")), "collision"),
        (failed(asyncpg.AdminShutdownError("x")), "outage"),
        (failed(asyncpg.CannotConnectNowError("x")), "outage"),
        (failed(asyncpg.TooManyConnectionsError("x")), "outage"),
        (failed(asyncpg.DiskFullError("x")), "outage"),
        (failed(asyncpg.IdleInTransactionSessionTimeoutError("x")), "outage"),
        (failed(asyncpg.InterfaceError("closed"), disconnected=True), "outage"),
        (failed(sqlite3.OperationalError("database is locked")), "outage"),
        (failed(sqlite3.OperationalError("database or disk is full")), "outage"),
        (failed(sqlite3.OperationalError("disk I/O error")), "outage"),
        (PoolTimeoutError(), "outage"),
        (failed(asyncpg.UndefinedTableError("x")), None),
        (failed(asyncpg.ForeignKeyViolationError("x")), None),
        (failed(sqlite3.IntegrityError("FOREIGN KEY constraint failed")), None),
        (failed(asyncpg.UniqueViolationError("Key (login)=(it is locked) already exists")), "clash"),
        (failed(asyncpg.ForeignKeyViolationError("Key (note)=(UNIQUE constraint failed)")), None),
        (ValueError("database is locked"), None),
    ],
)
def test_a_failure_is_of_one_kind_or_a_defect(error: Exception, kind: str | None) -> None:
    assert [name for name, asks in QUESTIONS.items() if asks(error)] == ([kind] if kind else [])
