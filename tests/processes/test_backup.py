"""A real backup, and a server that goes on from it: by the documented commands, and by hand with nothing said to anybody."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio import run_process, to_thread
from sqlalchemy.engine import make_url

from client_sdk.events import DeviceRenewed, Event, ReplicaRebuilt
from server.runtime.database import Database
from sync_protocol.entities.catalog import Product
from sync_protocol.verdicts import Outcome
from sync_protocol.wire.messages import ResyncReason
from tests.processes.books import ask, check_log, check_money_and_stock, check_verdicts, replica_differences
from tests.processes.wire import enrol_over_http, open_over_http, over_http, submit
from tests.support.databases import open_database, postgres_database
from tests.support.postgres import postgres_binaries, postgres_server
from tests.support.world import World


@pytest.fixture(scope="module")
def other_cluster() -> Iterator[str]:
    """Another cluster than the one that is backed up."""
    with postgres_server() as url:
        yield url


@pytest.fixture
def empty_url(database_url: str, request: pytest.FixtureRequest) -> Iterator[str | None]:
    """An empty database in the other cluster, where there are clusters."""
    if not database_url.startswith("postgresql"):
        yield None
        return
    with postgres_database(request.getfixturevalue("other_cluster")) as url:
        yield url


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


def back_up(database_url: str, folder: Path, *, by_hand: bool) -> Path:
    backup = folder / "backup"
    if database_url.startswith("postgresql"):
        subprocess.run([postgres_binaries() / "pg_dump", "--format=custom", "--file", backup, database_url], check=True)
    elif by_hand:
        for end in ("", "-wal"):
            shutil.copyfile(f"{database_url.removeprefix('sqlite:///')}{end}", f"{backup}{end}")
    else:
        code = "import server, sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', (sys.argv[2],))"
        subprocess.run([sys.executable, "-c", code, database_url.removeprefix("sqlite:///"), backup], check=True)
    return backup


def restore(backup: Path, empty_url: str | None) -> str:
    """The URL of the database that the backup became."""
    if empty_url is None:
        return f"sqlite:///{backup}"
    database = make_url(empty_url).set(drivername="postgresql").render_as_string(hide_password=False)
    subprocess.run([postgres_binaries() / "pg_restore", "--no-owner", "--dbname", database, backup], check=True)
    return empty_url


@pytest.mark.parametrize("by_hand", [False, True], ids=["by the commands", "by hand"])
async def test_what_a_restored_server_forgot_comes_back_and_nothing_is_doubled(
    world: World, database_url: str, empty_url: str | None, tmp_path: Path, *, by_hand: bool
) -> None:
    path, numbers = tmp_path / "device.db", []
    async with await enrol_over_http(world, "rep0", path, over_http(world)) as device:
        await device.sync()
        numbers.append(await submit(device, world, 0, (0, 1)))
        await device.sync()
        backup = await to_thread.run_sync(lambda: back_up(database_url, tmp_path, by_hand=by_hand))
        numbers.append(await submit(device, world, 0, (0, 1)))
        for number in range(5):
            await world.change(Product, world.company.products[1].id, name=f"Renamed {number}")
        await device.sync()
        numbers.append(await submit(device, world, 0, (0, 1)))
    url = await to_thread.run_sync(lambda: restore(backup, empty_url))
    if not by_hand:
        environment = {"ROADBOOK_DATABASE_URL": url, "PATH": "/usr/bin:/bin"}
        await run_process([sys.executable, "-m", "server", "restored"], env=environment)
    restored = open_database(url)
    try:
        await come_back(World(restored, world.company, seed=2), path, numbers, by_hand=by_hand)
    finally:
        await restored.close()


async def come_back(world: World, path: Path, numbers: list[str], *, by_hand: bool) -> None:
    events: list[Event] = []
    async with await open_over_http(world, path, over_http(world)) as device:
        device.subscribe(events.append)
        await device.sync()
        assert await device.outbox() == []
        assert sorted(entry.order_number or "" for entry in await device.journal()) == numbers
        assert {entry.verdict.outcome for entry in await device.journal()} == {Outcome.ACCEPTED}
        assert sorted(view.order.number for view in await device.orders()) == numbers
    assert sorted(stored for (stored,) in await ask(world.database, "SELECT number FROM sales_order")) == numbers
    rebuilt = [(event.reason, event.offered_again) for event in events if isinstance(event, ReplicaRebuilt)]
    assert rebuilt == [(ResyncReason.CURSOR_AHEAD if by_hand else ResyncReason.EPOCH_CHANGED, 2)]
    assert len([event for event in events if isinstance(event, DeviceRenewed)]) == int(by_hand)
    assert await replica_differences(world.database, path, world.company.reps[0].id) == []
    await check_verdicts(world.database, [], [path])
    await check_money_and_stock(world.database)
    await check_log(world.database)
