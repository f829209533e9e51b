"""Hearing of commits, whoever makes them: this process, another one of ours, or another program.

PostgreSQL notifies on the channel `roadbook_log`, from the trigger that seals a commit. SQLite has no such thing: this
process's own commits are heard at once, those of others by a look at the file's version.
"""

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import Callable
from typing import Any, Final

import asyncpg
import sqlalchemy as sa

from server.runtime.database import Database, WriteSession

CHANNEL: Final = "roadbook_log"
SQLITE_POLL_SECONDS: Final = 0.005
"""A look takes some ten microseconds, and nothing of the file but the header of its log."""
SQLITE_IDLE_SECONDS: Final = 0.1
CHECK_SECONDS: Final = 15.0
"""How long a connection may be silent before it is asked whether it is still there."""
RECONNECT_SECONDS_MAX: Final = 10.0
_ANSWER_SECONDS_MAX: Final = 10.0
_log = logging.getLogger(__name__)

Wake = Callable[[], None]


async def hear_commits(database: Database, wake: Wake, is_awaited: Callable[[], bool] = lambda: True) -> None:
    """Call `wake` after every commit, until cancelled; commits that come at once may share a call.

    It is called, too, whenever commits may have been missed, and may be called late where nobody awaits it.
    """
    if database.is_sqlite:
        await _hear_sqlite(database, wake, is_awaited)
    else:
        await _hear_postgres(database, wake)


async def announce(session: WriteSession) -> None:
    """Have this commit heard though it is none of the log's."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))


async def _hear_sqlite(database: Database, wake: Wake, is_awaited: Callable[[], bool]) -> None:
    connection = sqlite3.connect(str(database.url.database), isolation_level=None, timeout=0)
    database.commit_listeners.append(wake)
    known = None
    try:
        while True:
            try:
                ((version,),) = connection.execute("PRAGMA data_version").fetchall()
            except sqlite3.Error as error:
                _log.warning("cannot see whether the database has changed: %s", error)
                version = None
            if version != known:
                known = version
                wake()
            await asyncio.sleep(SQLITE_POLL_SECONDS if is_awaited() else SQLITE_IDLE_SECONDS)
    finally:
        database.commit_listeners.remove(wake)
        connection.close()


async def _hear_postgres(database: Database, wake: Wake) -> None:
    """On a connection of its own, since one of the pool might be the last one; a lost one is replaced, sooner first, then later."""
    wait_seconds_max = 0.1
    while True:
        try:
            connection = await _connect(database)
            try:
                wait_seconds_max = 0.1
                await _listen(connection, wake)
            finally:
                connection.terminate()
        except Exception as error:  # noqa: BLE001  # a connection cut at a bad moment raises errors of the driver's insides, too
            _log.warning("the connection that hears of commits is lost, devices may hear of them late: %r", error)
        await asyncio.sleep(secrets.randbelow(1000) / 1000 * wait_seconds_max)
        wait_seconds_max = min(RECONNECT_SECONDS_MAX, 2 * wait_seconds_max)


async def _connect(database: Database) -> Any:
    _, arguments = database.engine.dialect.create_connect_args(database.url)
    settings = {"application_name": "roadbook live"}
    return await asyncpg.connect(**arguments, server_settings=settings, timeout=_ANSWER_SECONDS_MAX)


async def _listen(connection: Any, wake: Wake) -> None:
    """Until the connection ends. Raises OSError, TimeoutError or an error of asyncpg's where it does not answer."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda *_: lost.set())
    await connection.add_listener(CHANNEL, lambda *_: wake())
    wake()  # for what was committed while nobody listened
    while not lost.is_set():
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await lost.wait()
        except TimeoutError:
            await connection.execute("SELECT 1", timeout=_ANSWER_SECONDS_MAX)
    raise ConnectionError("the server ended it")
