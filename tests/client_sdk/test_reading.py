"""What a device shows on a disk on which not a byte can be written."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import STDOUT

import apsw
import pytest
from anyio import run_process

from client_sdk import OrderClient, outbox
from client_sdk.errors import StoreBusyError, StoreFullError
from client_sdk.reading import open_store
from client_sdk.replica_file import shown_path
from client_sdk.store import Store
from server.runtime.database import Database
from tests.client_sdk.test_cli_handover import take
from tests.support.world import World


@pytest.fixture
async def path(sqlite_database: Database, tmp_path: Path) -> Path:
    """A device that has synced, with an order that waits."""
    world = await World.found(sqlite_database)
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        await take(device, world, 0, 3)
    return tmp_path / "device.db"


WITHOUT_ROOM = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
"""No file grows and none is written from here on."""


async def says(path: Path, *arguments: str) -> tuple[int, str]:
    """How a command ends on a full disk, and what it says."""
    command = [*WITHOUT_ROOM, sys.executable, "-B", "-m", "client_sdk", "--store", str(path), *arguments]
    done = await run_process(command, check=False, stderr=STDOUT)
    return done.returncode, done.stdout.decode()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("status",), "1 act, the oldest of"),
        (("outbox",), "R1-000001"),
        (("orders",), "R1-000001"),
        (("orders", "R1-000001"), "Product 0"),
        (("search", "product"), "SKU-5"),
        (("customers",), "Customer 1"),
        (("price", "C0", "SKU-0"), "1.00 EUR"),
        (("stock", "SKU-0"), "WH0"),
        (("drafts",), "No drafts."),
        (("journal",), "No verdicts yet"),
    ],
)
async def test_what_only_looks_answers_on_a_full_disk(path: Path, arguments: tuple[str, ...], said: str) -> None:
    ended, shown = await says(path, *arguments)
    assert ended == 0, shown
    assert said in shown


KILLED = """
import asyncio, os, sys
from client_sdk import OrderClient

async def act(path):
    client = await OrderClient.open(path)
    draft = await client.draft_order((await client.customer("C1")).id)
    await draft.add_line((await client.product("SKU-1")).id, 2)
    await draft.submit()
    os._exit(0)

asyncio.run(act(sys.argv[1]))
"""


async def test_what_a_killed_program_left_in_its_log_is_read_too(path: Path) -> None:
    await run_process([sys.executable, "-B", "-c", KILLED, str(path)])
    for _ in range(2):
        _, shown = await says(path, "orders", "--json")
        assert sorted(view["order"]["number"] for view in json.loads(shown)) == ["R1-000001", "R1-000002"]


@pytest.mark.parametrize("arguments", [("sync",), ("order", "C0", "SKU-0"), ("cancel", "R1-000001")])
async def test_what_saves_something_is_refused_and_loses_nothing(path: Path, arguments: tuple[str, ...]) -> None:
    ended, shown = await says(path, *arguments)
    assert ended == 1
    assert "free some space" in shown or "the disk under" in shown
    async with await OrderClient.open(path) as device:
        assert [view.order.status for view in await device.orders()] == ["submitted"]


def make(kind: Callable[..., Store], at: Path | str) -> Store:
    """As on a disk that was full when the files were opened."""
    if kind is Store:
        raise StoreFullError
    return kind(at, inline=True)


async def test_a_store_that_was_opened_to_read_saves_nothing_later(path: Path) -> None:
    with pytest.raises(StoreFullError):
        await open_store(path, make, reads_anyway=False)
    store = await open_store(path, make, reads_anyway=True)
    assert await store.read(outbox.count) == 1
    for act in (store.write, store.build):
        with pytest.raises(StoreFullError):
            await act(outbox.count)
    store.close()
    async with await OrderClient.open(path) as device:
        assert len(await device.orders()) == 1


async def test_a_replica_that_is_gone_is_said_to_be_the_full_disk_and_nothing_stays_open(path: Path) -> None:
    replica = shown_path(path)
    assert replica is not None
    for each in path.parent.glob(f"{path.name}-replica-*"):
        each.unlink()
    ended, shown = await says(path, "status")
    assert ended == 1
    assert "free some space" in shown or "the disk under" in shown
    assert "Traceback" not in shown
    opened: list[Store] = []

    def make_known(kind: Callable[..., Store], at: Path | str) -> Store:
        opened.append(make(kind, at))
        return opened[-1]

    with pytest.raises(StoreFullError):
        await open_store(path, make_known, reads_anyway=True)
    (store,) = opened
    with pytest.raises(apsw.ConnectionClosedError):
        store.reader.execute("SELECT 1")
    async with await OrderClient.open(path) as device:
        assert len(await device.outbox()) == 1


async def test_a_reader_that_is_on_a_full_disk_has_the_file_alone(path: Path) -> None:
    store = await open_store(path, make, reads_anyway=True)
    try:
        with pytest.raises(StoreBusyError):
            await open_store(path, lambda kind, at: kind(at, inline=True), reads_anyway=False)
    finally:
        store.close()


async def test_a_store_says_that_the_disk_is_full_where_its_replica_is_gone_since(path: Path) -> None:
    def refuse(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        if sql.startswith(("INSERT", "BEGIN IMMEDIATE")):
            raise apsw.exception_for(apsw.SQLITE_FULL)
        return True

    store = await open_store(path, lambda kind, at: kind(at, inline=True), reads_anyway=False)
    try:
        replica = shown_path(path)
        assert replica is not None
        store._attached.clear()
        for each in path.parent.glob(f"{path.name}-replica-*"):
            each.unlink()
        store.trace(refuse)
        with pytest.raises(StoreFullError):
            await store.read(outbox.count)
    finally:
        store.close()


async def test_a_file_that_is_not_there_or_of_another_layout_is_not_opened_to_read(path: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreFullError):
        await open_store(tmp_path / "other.db", make, reads_anyway=True)
    assert not (tmp_path / "other.db").exists()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 1)
    connection.close()
    with pytest.raises(StoreFullError):
        await open_store(path, make, reads_anyway=True)
