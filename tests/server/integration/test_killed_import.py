"""A real `roadbook import` process is killed; running it again ends as if nothing had happened."""

import asyncio
import csv
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from server.integration.commands import MAPPINGS
from server.integration.entities import IMPORTABLE
from server.integration.importer import import_folder
from server.integration.mapping import load_mapping
from server.integration.report import Report
from server.runtime.database import Base, Database
from tests.support.databases import open_database, sqlite_copy

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "adventureworks"
ROOT = Path(__file__).parents[3]
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


def started(url: str, folder: Path) -> subprocess.Popen[bytes]:
    program = "import server.app; from server.integration.commands import import_command; import_command()"
    environment = {**os.environ, "ROADBOOK_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


async def kill_when(url: str, folder: Path, entity: str) -> None:
    """Start an import and kill it as soon as another process sees a row of the entity."""
    database = open_database(url)
    process = started(url, folder)
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not await rows_of(database, entity):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finally:
        process.kill()
        process.communicate()
        await database.close()
    assert process.returncode == -signal.SIGKILL


def test_an_import_that_is_killed_again_and_again_is_completed_by_running_it_again(
    database_url: str, folder: Path, undisturbed: str
) -> None:
    for entity in ("product", "customer", "sales_order"):
        asyncio.run(kill_when(database_url, folder, entity))
    assert asyncio.run(digest(database_url)) != undisturbed
    last = started(database_url, folder)
    output, errors = last.communicate(timeout=WAIT_SECONDS)
    assert last.returncode == 0, errors
    assert b"sales_order" in output
    assert asyncio.run(digest(database_url)) == undisturbed
