"""A device's file that something has emptied: it is not taken for a new one, for SQLite would throw away what is left beside it."""

import asyncio
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from client_sdk import OrderClient
from client_sdk.cli import device as commands
from client_sdk.errors import NotEnrolledError, StoreEmptyError
from server.runtime.database import Database
from tests.support.world import World


async def test_an_emptied_file_is_told_and_nothing_beside_it_is_touched(sqlite_database: Database, tmp_path: Path) -> None:
    world = await World.found(sqlite_database)
    path, copy = tmp_path / "device.db", tmp_path / "copy"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        draft = await device.draft_order(world.company.customers[0].id)
        await draft.add_line(world.company.products[0].id, 1)
        await draft.submit()
        log = path.with_name("device.db-wal")
        left = log.read_bytes()
        assert left
        shutil.copytree(tmp_path, copy)
    (copy / "device.db").write_bytes(b"")
    for name in ("status", "sync", "outbox"):
        told = await asyncio.to_thread(CliRunner().invoke, commands, ["--store", str(copy / "device.db"), name])
        assert told.exit_code == 1
        assert "is empty, though a device was here" in told.output
    with pytest.raises(StoreEmptyError, match="put a copy of it back"):
        await world.open_device(copy / "device.db")
    assert (copy / "device.db-wal").read_bytes() == left
    shutil.copy(path, copy / "device.db")
    async with await world.open_device(copy / "device.db") as device:
        assert len(await device.outbox()) == 1, "with the copy put back all is there"


@pytest.mark.parametrize("beside", ["device.db-replica-2", "device.db-wal"])
async def test_either_of_the_files_beside_it_tells_that_a_device_was_here(tmp_path: Path, beside: str) -> None:
    path = tmp_path / "device.db"
    path.touch()
    (tmp_path / beside).write_bytes(b"something")
    with pytest.raises(StoreEmptyError):
        await OrderClient.open(path)
    assert path.stat().st_size == 0
    assert (tmp_path / beside).read_bytes() == b"something"


async def test_an_empty_file_alone_is_a_new_device(tmp_path: Path) -> None:
    """A kill may come between the making of a file and its first page, and an application may make the file itself."""
    path = tmp_path / "device.db"
    path.touch()
    (tmp_path / "device.db-wal").touch()
    async with await OrderClient.open(path) as device:
        with pytest.raises(NotEnrolledError):
            await device.sync()
