"""I-1 to I-5 (and I-7) under faults, by Hypothesis: 50 runs on SQLite, 30 on PostgreSQL, more when told to soak.

`ROADBOOK_SOAK_SECONDS` makes the SQLite runs go on for about that long.
"""

import asyncio
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.engine import make_url

from server.runtime.database import Database
from tests.simulation.authority import Process
from tests.simulation.server import bury, open_in_this_thread
from tests.support.databases import admin, open_database
from tests.support.world import World, small_company
from tests.sync.machine import SyncMachine

RUNS_PER_SECOND = 2
SHARES = 10
RUNS_ON_SQLITE = 50 // SHARES
RUNS_ON_POSTGRESQL = 30 // SHARES


def settings_for(runs: int) -> settings:
    return settings(
        max_examples=runs,
        stateful_step_count=20,
        deadline=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.target, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        database=None,
    )


async def _found(url: str) -> None:
    database = open_database(url)
    await World.found(database, small_company(products=4))
    await database.close()


@pytest.fixture(scope="session")
def founded_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the small company in it, to be copied for each run."""
    path = tmp_path_factory.mktemp("founded") / "roadbook.db"
    shutil.copyfile(sqlite_template, path)
    asyncio.run(_found(f"sqlite:///{path}"))
    return path


@pytest.mark.parametrize("share", range(SHARES))
def test_nothing_is_lost_doubled_or_shown_wrong_on_sqlite(founded_sqlite: Path, share: int) -> None:
    processes: list[Process] = []

    class OnSqlite(SyncMachine):
        share_of_runs = share

        @staticmethod
        def open_server(folder: Path) -> Database:
            shutil.copyfile(founded_sqlite, folder / "server.db")
            processes.append(Process(str(folder / "server.db"), lambda: 0))
            return open_in_this_thread(processes[-1])

        @staticmethod
        async def close_server(_database: Database) -> None:
            await bury(processes.pop())

    soak = int(os.environ.get("ROADBOOK_SOAK_SECONDS", "0"))
    run_state_machine_as_test(OnSqlite, settings=settings_for(max(RUNS_ON_SQLITE, soak * RUNS_PER_SECOND // SHARES)))


@pytest.fixture
def founded_postgres(postgres_database_url: str) -> str:
    asyncio.run(_found(postgres_database_url))
    return postgres_database_url


@pytest.mark.parametrize("share", range(SHARES))
def test_nothing_is_lost_doubled_or_shown_wrong_on_postgresql(postgres_url: str, founded_postgres: str, share: int) -> None:
    template = make_url(founded_postgres).database

    class OnPostgresql(SyncMachine):
        share_of_runs = share

        @staticmethod
        def open_server(folder: Path) -> Database:
            name = f"roadbook_{folder.name.replace('-', '_').lower()}"
            admin_thread(postgres_url, f'CREATE DATABASE "{name}" TEMPLATE {template} STRATEGY file_copy')
            return open_database(make_url(postgres_url).set(database=name).render_as_string(hide_password=False))

        @staticmethod
        async def close_server(database: Database) -> None:
            await database.close()
            await asyncio.to_thread(admin, postgres_url, f'DROP DATABASE "{database.url.database}" WITH (FORCE)')

    run_state_machine_as_test(OnPostgresql, settings=settings_for(RUNS_ON_POSTGRESQL))


def admin_thread(url: str, statement: str) -> None:
    """Run an administrative statement from inside a loop."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(admin, url, statement).result()
