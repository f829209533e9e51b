"""A real `roadbook import` process is killed; running it again ends as if nothing had happened."""

import asyncio
import csv
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from server.integration.commands import MAPPINGS, import_command
from server.integration.entities import IMPORTABLE
from server.integration.importer import import_folder
from server.integration.mapping import load_mapping
from server.integration.report import Report
from server.runtime.database import Base, Database
from tests.support.databases import open_database, sqlite_copy
from tests.support.processes import DeviceProcess

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "adventureworks"
ORDERS = 2_500
WAIT_SECONDS = 60

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="AdventureWorks is not at ../shared/data/adventureworks")


def keep(folder: Path, name: str, wanted: Callable[[int, dict[str, str]], bool]) -> list[dict[str, str]]:
    """Write a file again with the wanted rows only, and return them."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as source, (folder / name).open("w", newline="") as copy:
        rows = csv.DictReader(source)
        assert rows.fieldnames is not None
        writer = csv.DictWriter(copy, rows.fieldnames)
        writer.writeheader()
        kept = [row for place, row in enumerate(rows) if wanted(place, row)]
        writer.writerows(kept)
    return kept


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AdventureWorks with its first orders and their customers only, so that a test can afford to import it several times."""
    made = tmp_path_factory.mktemp("first-orders")
    for path in FOLDER.glob("*.csv"):
        shutil.copyfile(path, made / path.name)
    orders = keep(made, "Sales.SalesOrderHeader.csv", lambda place, _row: place < ORDERS)
    numbers, customers = {row["SalesOrderID"] for row in orders}, {row["CustomerID"] for row in orders}
    keep(made, "Sales.SalesOrderDetail.csv", lambda _place, row: row["SalesOrderID"] in numbers)
    keep(made, "Sales.Customer.csv", lambda _place, row: row["CustomerID"] in customers)
    return made


@pytest.fixture(scope="module")
def undisturbed(folder: Path, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of a database into which the folder was imported in one go."""
    url = sqlite_copy(sqlite_template, tmp_path_factory.mktemp("undisturbed"))
    assert asyncio.run(import_here(url, folder)).holds
    return asyncio.run(digest(url))


async def import_here(url: str, folder: Path) -> Report:
    database = open_database(url)
    try:
        return await import_folder(database, folder, load_mapping(MAPPINGS / "adventureworks.toml"))
    finally:
        await database.close()


async def digest(url: str) -> str:
    """One for all that an import can fill, whatever the engine."""
    total = hashlib.sha256()
    database = open_database(url)
    try:
        async with database.read() as session:
            for name in sorted(IMPORTABLE):
                table = Base.metadata.tables[name]
                rows = [tuple(row) for row in await session.execute(sa.select(table))]
                total.update(repr((name, sorted(rows, key=repr))).encode())
    finally:
        await database.close()
    return total.hexdigest()


async def rows_of(database: Database, entity: str) -> int:
    async with database.read() as session:
        found = await session.scalar(sa.select(sa.func.count()).select_from(Base.metadata.tables[entity]))
    return int(found or 0)


def run_import(url: str, folder: str) -> None:
    """What `roadbook import` does; for a process of its own."""
    os.environ["ROADBOOK_DATABASE_URL"] = url
    import_command([folder])


async def kill_when(process: DeviceProcess, url: str, entity: str) -> None:
    """Start an import and kill it as soon as another process sees a row of the entity."""
    database = open_database(url)
    process.start()
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not await rows_of(database, entity):
            assert time.monotonic() < deadline, f"the import does not come to any {entity}"
            await asyncio.sleep(0.01)
    finally:
        process.kill()
        await database.close()


def test_an_import_that_is_killed_again_and_again_is_completed_by_running_it_again(
    database_url: str, folder: Path, undisturbed: str, tmp_path: Path
) -> None:
    log = tmp_path / "import.log"
    process = DeviceProcess(run_import, log, database_url, str(folder))
    for entity in ("product", "customer", "sales_order"):
        asyncio.run(kill_when(process, database_url, entity))
    assert asyncio.run(digest(database_url)) != undisturbed
    process.start()
    process.join()
    assert "sales_order" in log.read_text()
    assert asyncio.run(digest(database_url)) == undisturbed
