"""What a device erases: its bytes are gone from every file, and a receipt says so until the server has it."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from client_sdk import OrderClient, receipts
from client_sdk.replica_file import attach, shown_path
from client_sdk.store import Store
from server.customers.models import RepTerritoryModel
from server.runtime.database import Database
from sync_protocol.checksums import row_checksum
from sync_protocol.entities import BY_ROW
from sync_protocol.entities.customers import Address, Contact, Customer
from sync_protocol.wire.codec import stored_values
from sync_protocol.wire.messages import PurgeReceipt
from tests.support.device_files import copy_device
from tests.support.faults import KilledError, UnreportedEndpoint, bury, kill_before_statement
from tests.support.world import World, make_id

CANARY = b"Zarafshan"


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    """A company in which the word of the canary stands in every account of territory 0, and nowhere else."""
    founded = await World.found(sqlite_database)
    word = CANARY.decode()
    for place in range(2):
        await founded.change(Customer, founded.company.customers[place].id, name=f"{word} {place}", note=f"calls {word}")
        await founded.change(Address, founded.company.addresses[place].id, street=f"{word} Street")
        await founded.change(Contact, founded.company.contacts[place].id, email=f"{word}@example.com")
    return founded


def files_with(path: Path, word: bytes) -> list[str]:
    """The files of a device in which the bytes of a word stand, whether a database knows of them or not."""
    return sorted(each.name for each in path.parent.glob(f"{path.name}*") if word in each.read_bytes())


def ready(device: OrderClient) -> tuple[PurgeReceipt, ...]:
    return device._store.read_now(receipts.ready)


async def works(world: World, *territories: int) -> None:
    """Let the first rep work these territories and no other."""
    rep_id = world.company.reps[0].id
    async with world.database.write() as session:
        await session.execute(sa.delete(RepTerritoryModel).where(RepTerritoryModel.rep_id == rep_id))
        for place in territories:
            session.add(RepTerritoryModel(rep_id=rep_id, territory_id=world.company.territories[place].id))


async def test_a_lost_account_is_gone_from_every_file_and_has_a_receipt(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path, wrap=UnreportedEndpoint) as device:
        await device.sync()
        assert files_with(path, CANARY)
        assert ready(device) == ()
        moving = await device.customer("C0")
        held = (moving, *await device.addresses(moving.id), *await device.contacts(moving.id))
        await world.change(Customer, moving.id, territory_id=world.company.territories[1].id)
        await device.sync()
        (receipt,) = ready(device)
        assert receipt.bucket == f"account:{moving.id.hex}"
        assert receipt.checksum == sum(row_checksum(BY_ROW[type(row)], stored_values(row)) for row in held)
        assert (receipt.rows, receipt.purged_at_cursor) == (3, (await device.status()).cursor)
        assert receipt.purged_at_ms == world.clock.now_ms()
        assert files_with(path, CANARY), "the other account stays"
        await works(world)
        await device.sync()
        assert files_with(path, CANARY) == []
        assert {each.bucket.partition(":")[0] for each in ready(device)} == {"account", "pricelist", "stock"}
        assert sum(each.rows for each in ready(device)) == 3 + 3 + (1 + 12) + 6
    assert files_with(path, CANARY) == []


async def test_a_receipt_stays_until_the_server_has_it(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path, wrap=UnreportedEndpoint) as device:
        await device.sync()
        await works(world)
        await device.sync()
    async with await world.open_device(path, wrap=UnreportedEndpoint) as device:
        await device.sync()
        first, *others = ready(device)
        device._store.write_now(receipts.accepted, [first.id, make_id(1)])
        assert ready(device) == tuple(others)
        assert len(others) == 3


async def test_rows_that_are_being_read_have_no_receipt_before_they_are_gone(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path, wrap=UnreportedEndpoint) as device:
        await device.sync()
        with reading(path):
            await works(world)
            await device.sync()
            assert ready(device) == ()
            assert files_with(path, CANARY)
        await device.sync()
        assert len(ready(device)) == 4
        assert files_with(path, CANARY) == []


def reading(path: Path) -> "Reading":
    return Reading(path)


class Reading:
    """Another program that is in the middle of reading the device's file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._store = Store(self._path, inline=True)
        attach(self._store.reader, str(shown_path(self._path)))
        self._store.reader.execute("BEGIN")
        assert self._store.reader.execute("SELECT count(*) FROM customer").get

    def __exit__(self, *_: object) -> None:
        self._store.reader.execute("ROLLBACK")
        self._store.close()


async def test_a_kill_at_any_statement_of_the_purge_makes_each_receipt_once(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "synced.db", wrap=UnreportedEndpoint) as device:
        await device.sync()
    await works(world)
    for countdown in range(1, 400, 3):
        path = tmp_path / "device.db"
        copy_device(tmp_path / "synced.db", path)
        device = await world.open_device(path, wrap=UnreportedEndpoint)
        kill_before_statement(device, countdown)
        try:
            await device.sync()
            is_over = True
        except KilledError:
            is_over = False
        bury(device)
        async with await world.open_device(path, wrap=UnreportedEndpoint) as device:
            await device.sync()
            made = ready(device)
        assert len({each.bucket for each in made}) == len(made) == 4, countdown
        assert sum(each.rows for each in made) == 25, countdown
        assert files_with(path, CANARY) == [], countdown
        if is_over:
            return
    raise AssertionError("the sync never came to an end")
