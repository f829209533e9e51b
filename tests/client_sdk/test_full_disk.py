"""A device whose disk has no room left: it says so, whatever SQLite calls it, and what of a sync was kept is never denied."""

import errno
import shutil
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from client_sdk.connection import translated
from client_sdk.errors import StoreError, StoreFailedError, StoreFullError
from server.runtime.database import Database
from tests.support.world import World


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def sqlite_says(code: int) -> Exception:
    return apsw.exception_for(code)


@pytest.mark.parametrize(
    "said",
    [
        sqlite_says(apsw.SQLITE_FULL),
        sqlite_says(apsw.SQLITE_IOERR_SHMSIZE),  # the shared memory beside a database cannot grow
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
    ids=repr,
)
def test_a_full_disk_is_called_that(tmp_path: Path, said: Exception) -> None:
    with pytest.raises(StoreFullError, match="free some space and do it again"), translated(str(tmp_path / "device.db")):
        raise said


@pytest.mark.parametrize("code", [apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_CANTOPEN])
def test_what_fails_where_no_room_is_left_fails_of_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    free = 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - free, free))
    with pytest.raises(StoreFullError), translated(str(tmp_path / "device.db")):
        raise sqlite_says(code)
    free = 10**8
    with pytest.raises(StoreError) as told, translated(str(tmp_path / "device.db")):
        raise sqlite_says(code)
    assert isinstance(told.value, StoreFailedError) == (code != apsw.SQLITE_CANTOPEN)
    assert not isinstance(told.value, StoreFullError)


def test_a_folder_that_is_not_there_is_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="check the folder"), translated(str(tmp_path / "missing" / "device.db")):
        raise sqlite_says(apsw.SQLITE_CANTOPEN)


async def test_a_sync_that_kept_a_verdict_before_the_disk_was_full_does_not_deny_it(
    sqlite_database: Database, tmp_path: Path
) -> None:
    world = await World.found(sqlite_database)
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        draft = await device.draft_order(world.company.customers[0].id)
        await draft.add_line(world.company.products[0].id, 1)
        await draft.submit()

        def refuse_rows(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
            if "staged_" in sql:
                raise sqlite_says(apsw.SQLITE_FULL)
            return True

        device._store.trace(refuse_rows)
        with pytest.raises(StoreFullError, match="what was saved before it is kept, with every verdict that came") as told:
            await device.sync()
        assert "nothing" not in str(told.value)
        assert [entry.verdict.outcome for entry in await device.journal()] == ["accepted"]
        device._store.trace(None)
        await device.sync()
        assert [view.order.status for view in await device.orders()] == ["confirmed"]
