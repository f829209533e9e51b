"""AdventureWorks on each engine, imported once for all tests that read it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import psutil
import pytest
from sqlalchemy.engine import make_url

from server.changelog.log import read_head
from server.integration.commands import MAPPINGS
from server.integration.importer import import_folder
from server.integration.mapping import load_mapping
from server.integration.report import Report
from server.runtime.database import Database
from tests.support.databases import open_database, postgres_database, sqlite_copy

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "adventureworks"


class Imported(msgspec.Struct):
    """Two imports of the same folder: their reports, the head after each, what the first took, what this process grew by."""

    url: str
    first: Report
    second: Report
    heads: tuple[int, int]
    processor_seconds: float
    grown_mb: int


async def import_twice(url: str) -> Imported:
    database = open_database(url)
    mapping = load_mapping(MAPPINGS / "adventureworks.toml")
    try:
        idle_mb, start = _resident_mb(), time.process_time()
        first = await import_folder(database, FOLDER, mapping)
        processor_seconds = time.process_time() - start
        head = await current_head(database)
        second = await import_folder(database, FOLDER, mapping)
        heads = (head, await current_head(database))
    finally:
        await database.close()
    return Imported(url, first, second, heads, processor_seconds, _resident_mb() - idle_mb)


def _resident_mb() -> int:
    return int(psutil.Process().memory_info().rss // 2**20)


async def current_head(database: Database) -> int:
    async with database.read() as session:
        return (await read_head(session)).head


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    if not FOLDER.is_dir():
        pytest.skip("AdventureWorks is not at ../shared/data/adventureworks")
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = sqlite_copy(request.getfixturevalue("sqlite_template"), tmp_path_factory.mktemp("adventureworks"))
        else:
            template = request.getfixturevalue("postgres_template")
            url = stack.enter_context(postgres_database(request.getfixturevalue("postgres_url"), template=template))
        found = asyncio.run(import_twice(url))
        print(f"\n{request.param}: {found.processor_seconds:.1f} s of processor, {found.grown_mb} MB more")
        yield found


@pytest.fixture
def imported_copy(imported: Imported, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a copy of the imported database, to write to."""
    url = make_url(imported.url)
    if url.get_backend_name() == "sqlite":
        yield sqlite_copy(Path(str(url.database)), tmp_path)
        return
    with postgres_database(request.getfixturevalue("postgres_url"), template=str(url.database)) as copy:
        yield copy
