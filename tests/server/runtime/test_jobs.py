"""Jobs run on one process at a time, and on another when that one dies."""

import asyncio
import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest
import sqlalchemy as sa

from server.app import create_app
from server.migrations import migrate
from server.runtime.clock import SystemClock
from server.runtime.database import Database
from server.runtime.jobs import Election, election_of, run_jobs
from server.runtime.slices import Job, JobContext
from server.settings import Settings

POLL_SECONDS = 0.02

HOLDER = """
import asyncio, sys
import server
from server.runtime.database import Database
from server.runtime.jobs import election_of

async def hold():
    election = election_of(Database(sys.argv[1]))
    print(await election.hold(), flush=True)
    await asyncio.sleep(60)

asyncio.run(hold())
"""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what it waits for tells nobody
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def running(database: Database, election: Election, *jobs: Job) -> AsyncIterator[None]:
    context = JobContext(database=database, clock=SystemClock(), retention_days=90)
    task = asyncio.create_task(run_jobs(jobs, context, election, poll_seconds=POLL_SECONDS))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def job(work: Callable[[], object], name: str = "counted") -> Job:
    async def run(_context: JobContext) -> None:
        work()

    return Job(name=name, interval_seconds=3600, run=run)


async def test_of_two_processes_one_runs_the_jobs_and_the_other_takes_over(database: Database) -> None:
    first: list[int] = []
    second: list[int] = []
    async with running(database, election_of(database), job(lambda: first.append(1))):
        await until(lambda: bool(first))
        async with running(database, election_of(database), job(lambda: second.append(1))):
            await asyncio.sleep(POLL_SECONDS * 10)
            assert not second
    async with running(database, election_of(database), job(lambda: second.append(1))):
        await until(lambda: bool(second))
    assert first == second == [1]


async def test_a_killed_holder_lets_go(database: Database, database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, database_url, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert (await asyncio.wait_for(process.stdout.readline(), 30)).strip() == b"True"
        waiting = election_of(database)
        assert not await waiting.hold()
        process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(10):
            while not await waiting.hold():  # noqa: ASYNC110  # the death of a process tells nobody
                await asyncio.sleep(POLL_SECONDS)
        await waiting.resign()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_holder_whose_connection_breaks_knows_and_is_elected_anew(postgres: Database) -> None:
    holder, waiting = election_of(postgres), election_of(postgres)
    assert await holder.hold()
    assert not await waiting.hold()
    async with postgres.engine.connect() as connection:
        await connection.execute(sa.text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))
    assert not await holder.hold()
    assert await waiting.hold()
    await waiting.resign()
    assert await holder.hold()
    await holder.resign()


async def test_a_job_that_is_cut_short_gives_its_connection_back_before_the_database_is_closed(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[int] = []

    async def work(context: JobContext) -> None:
        async with context.database.read() as session:
            await session.execute(sa.text("SELECT 1"))
            begun.append(1)
            await asyncio.sleep(60)

    async with running(database, election_of(database), Job(name="long", interval_seconds=3600, run=work)):
        await until(lambda: bool(begun))
    assert cast("sa.QueuePool", database.engine.pool).checkedout() == 0
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [], "it is no failure"


async def test_a_migration_does_not_wait_for_the_process_that_runs_the_jobs(postgres: Database) -> None:
    holder = election_of(postgres)
    assert await holder.hold()
    async with asyncio.timeout(30):
        await migrate(postgres)
    await holder.resign()


async def test_one_lock_does_not_stand_for_another(database: Database) -> None:
    jobs, images, others = election_of(database), election_of(database, "images"), election_of(database, "images")
    assert await jobs.hold()
    assert await images.hold()
    assert not await others.hold()
    for lock in (jobs, images, others):
        await lock.resign()


async def test_a_job_that_fails_does_not_stop_the_others(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []

    def fail() -> None:
        raise ValueError("planted")

    async with running(database, election_of(database), job(fail, "broken"), job(lambda: done.append(1))):
        await until(lambda: bool(done) and "planted" in caplog.text)


@pytest.fixture
def lock_file(sqlite_database_url: str) -> Path:
    return Path(sqlite_database_url.removeprefix("sqlite:///") + ".jobs")


@pytest.fixture
def broken_lock_file(lock_file: Path) -> Path:
    lock_file.write_bytes(b"rubbish " * 512)
    return lock_file


async def test_a_lock_file_that_is_no_database_is_logged_and_tried_again(
    sqlite_database: Database, broken_lock_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[int] = []
    async with running(sqlite_database, election_of(sqlite_database), job(lambda: done.append(1))):
        await until(lambda: str(broken_lock_file) in caplog.text)
        assert not done
        broken_lock_file.unlink()  # noqa: ASYNC240  # one call, on a file of the test's own
        await until(lambda: bool(done))


async def test_a_lock_file_that_cannot_be_opened_is_logged(
    sqlite_database: Database, lock_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock_file.mkdir()  # noqa: ASYNC240  # one call, on a file of the test's own
    assert not await election_of(sqlite_database).hold()
    assert str(lock_file) in caplog.text


async def test_a_lock_that_another_holds_is_nothing_to_log(sqlite_database: Database, caplog: pytest.LogCaptureFixture) -> None:
    holder = election_of(sqlite_database)
    assert await holder.hold()
    with caplog.at_level(logging.DEBUG, logger="server.runtime.jobs"):
        assert not await election_of(sqlite_database).hold()
    assert not caplog.records
    await holder.resign()


@pytest.mark.usefixtures("broken_lock_file")
async def test_the_application_closes_its_database_though_its_jobs_cannot_run(sqlite_database_url: str) -> None:
    app = create_app(Settings(database_url=sqlite_database_url))
    async with app.lifespan():
        await asyncio.sleep(POLL_SECONDS)
    assert app.state.database is None
