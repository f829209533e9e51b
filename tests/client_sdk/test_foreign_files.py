"""A wrong path must never cost a database: what is not a device's file is left as it is."""

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from client_sdk import OrderClient
from client_sdk.errors import StoreForeignError
from client_sdk.store import Store
from server.migrations import ForeignDatabaseError, migrate
from tests.support.databases import open_database


def test_the_servers_database_is_not_taken_for_a_devices_file(sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "roadbook.db"
    path.write_bytes(sqlite_template.read_bytes())
    before = path.read_bytes()
    with pytest.raises(StoreForeignError):
        Store(path)
    assert path.read_bytes() == before


async def test_any_other_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE customer (x)")
        connection.execute("INSERT INTO customer VALUES (1)")
    with pytest.raises(StoreForeignError):
        await OrderClient.open(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM customer").fetchall() == [(1,)]


async def test_a_devices_file_is_not_migrated_into_a_servers_database(tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    await (await OrderClient.open(path)).close()
    database = open_database(f"sqlite:///{path}")
    with pytest.raises(ForeignDatabaseError):
        await migrate(database)
    await database.close()
    await (await OrderClient.open(path)).close()


async def test_a_devices_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await OrderClient.open(path):
        for name in ("device.db", "device.db-wal", "device.db-shm"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("client_sdk", ["customers", b"\xff"]), ("server", ["users", "add", b"\xff", "--name", "x", "--role", "manager"])],
)
def test_an_argument_that_is_no_text_is_refused_in_one_line(tmp_path: Path, module: str, arguments: list[str | bytes]) -> None:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", module, *arguments]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert ended.returncode == 2
    assert b"not valid UTF-8" in ended.stderr
    assert b"Traceback" not in ended.stderr
