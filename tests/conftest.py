"""Databases for every test: a real PostgreSQL and a real SQLite, migrated, fresh, dropped afterwards."""

import server  # noqa: F401  # first of all, so that its SQLite takes the place of the standard library's

# isort: split
import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy.engine import make_url

from client_sdk import OrderClient
from server.runtime.database import Database
from tests.support.damage import Log, enrolled
from tests.support.databases import migrate_database, open_database, postgres_database, sqlite_copy
from tests.support.postgres import postgres_server
from tests.support.scratch import use_memory
from tests.support.world import World

use_memory()

IMPORTED = "imported"
"""The fixture of tests/server/integration that imports a whole company."""

# A shared machine may be slow; that is no failure. ROADBOOK_SOAK_SECONDS is read by the tests that can run for long.
settings.register_profile("roadbook", deadline=None, print_blob=True)
settings.load_profile("roadbook")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long first, so that at the end no worker waits for another.

    The first of all share an import of 20 s: what is at the head of a worker's list is not given to the other.
    """
    items.sort(key=lambda item: (IMPORTED not in getattr(item, "fixturenames", ()), "simulation" not in item.path.parts))


def pytest_collection_finish() -> None:
    """What is there by now stays: looking through it again and again would take a twentieth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server of this process's own; it ends with the process, however that ends."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[str]:
    with postgres_database(postgres_url) as url:
        migrate_database(url)
        yield str(make_url(url).database)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "roadbook.db"
    migrate_database(f"sqlite:///{path}")
    return path


@pytest.fixture
def postgres_database_url(postgres_url: str, postgres_template: str) -> Iterator[str]:
    with postgres_database(postgres_url, template=postgres_template) as url:
        yield url


@pytest.fixture
def sqlite_database_url(sqlite_template: Path, tmp_path: Path) -> str:
    return sqlite_copy(sqlite_template, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database on each engine in turn."""
    name = "sqlite_database_url" if request.param == "sqlite" else "postgres_database_url"
    return str(request.getfixturevalue(name))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables on each engine in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    with postgres_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite_database(sqlite_database_url: str) -> AsyncIterator[Database]:
    opened = open_database(sqlite_database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def postgres(postgres_database_url: str) -> AsyncIterator[Database]:
    opened = open_database(postgres_database_url, pool_size=30)
    yield opened
    await opened.close()


@pytest.fixture
async def world(database: Database) -> World:
    """A server's database with the small company in it."""
    return await World.found(database)


@pytest.fixture
def log() -> Log:
    """What went over the wires of `device`, and what is done to it."""
    return Log()


@pytest.fixture
async def device(world: World, tmp_path: Path, log: Log) -> AsyncIterator[OrderClient]:
    """The device of the first rep, enrolled and synced, behind a wire that `log` has a hand in."""
    async with await enrolled(world, tmp_path / "device.db", log) as client:
        yield client
