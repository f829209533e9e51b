"""What the installation does by itself, on one of its processes at a time.

A lock of the database elects the process: it is gone when its holder dies, however that happens, and another takes
over. A holder that loses the lock stops its jobs. A job may therefore run a little late, and never on two at once by
more than one poll; jobs must be safe to repeat.
"""

import asyncio
import hashlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol

import sqlalchemy as sa
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from server.runtime.database import Database
from server.runtime.slices import Job, JobContext

POLL_SECONDS: Final = 5.0
JOBS: Final = "jobs"
_log = logging.getLogger(__name__)


class Election(Protocol):
    """Says whether this process is the one. `hold` wins, or finds that it still holds; `resign` lets go."""

    async def hold(self) -> bool: ...

    async def resign(self) -> None: ...


class PostgresElection:
    """A session's advisory lock, on a connection of its own: it lasts as long as the connection."""

    def __init__(self, database: Database, number: int) -> None:
        self._database = database
        self.number = number
        self._connection: AsyncConnection | None = None
        self._held = False

    async def hold(self) -> bool:
        try:
            if self._connection is None:
                self._connection = await self._database.engine.connect()
                await self._connection.execution_options(isolation_level="AUTOCOMMIT")
            if self._held:
                await self._connection.execute(sa.text("SELECT 1"))
            else:
                asked = sa.text("SELECT pg_try_advisory_lock(:number)")
                self._held = bool((await self._connection.execute(asked, {"number": self.number})).scalar_one())
        except (SQLAlchemyError, OSError) as error:
            _log.warning("the lock for jobs is lost: %s", error)
            await self.resign()
        return self._held

    async def resign(self) -> None:
        connection, self._connection, self._held = self._connection, None, False
        if connection is None:
            return
        try:
            await connection.invalidate()
        finally:
            await connection.close()


class SqliteElection:
    """An exclusive lock on a small database beside the real one; the operating system frees it when its holder dies."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    async def hold(self) -> bool:
        if self._connection is not None:
            return True
        try:
            self._connection = self._locked()
        except sqlite3.Error as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                _log.warning("no job runs here, the lock %s cannot be taken: %s", self._path, error)
        return self._connection is not None

    def _locked(self) -> sqlite3.Connection:
        """A connection that holds the lock."""
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    async def resign(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def election_of(database: Database, name: str = JOBS) -> Election:
    """The election of this name that goes with this database; there is one for all jobs, and others for single acts."""
    if database.is_sqlite:
        return SqliteElection(f"{database.url.database or 'roadbook'}.{name}")
    return PostgresElection(
        database, int.from_bytes(hashlib.blake2b(f"Roadbook {name}".encode(), digest_size=8).digest(), signed=True)
    )


async def run_jobs(jobs: Sequence[Job], context: JobContext, election: Election, *, poll_seconds: float = POLL_SECONDS) -> None:
    """Run the jobs whenever this process is the one, until cancelled; then those under way are cut short and waited for."""
    running: _Running | None = None
    try:
        while True:
            held = await election.hold()
            if held and running is None:
                running = _Running(jobs, context)
            elif not held and running is not None:
                await running.stop()
                running = None
            await asyncio.sleep(poll_seconds)
    finally:
        if running is not None:
            await running.stop()
        await election.resign()


class _Running:
    """A scheduler whose jobs run at once and then at their intervals."""

    def __init__(self, jobs: Sequence[Job], context: JobContext) -> None:
        _log.info("this process runs the jobs: %s", ", ".join(job.name for job in jobs))
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        now = datetime.fromtimestamp(context.clock.now_ms() / 1000, UTC)
        for job in jobs:
            self._scheduler.add_job(
                partial(self._run_one, job.name, job.run, context),
                IntervalTrigger(seconds=job.interval_seconds, timezone=UTC),
                id=job.name,
                name=job.name,
                next_run_time=now,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )
        self._scheduler.start()

    async def stop(self) -> None:
        """Cut short what is under way, and wait until it has given back what it holds of the database."""
        self._is_stopping = True
        self._scheduler.shutdown(wait=False)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _run_one(self, name: str, run: Callable[[JobContext], Awaitable[None]], context: JobContext) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            await run(context)
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise
            # It was cut short because this process ends: the scheduler would log that as its failure.
        except Exception:  # noqa: BLE001  # one job must not end the others; it is logged and runs again
            _log.exception("the job %s failed; it runs again at its next interval", name)
        finally:
            self._under_way.discard(task)
