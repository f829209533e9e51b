"""What `roadbook device` says where the server, or the device's file, was restored or copied."""

from functools import partial
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.cli_sync import sync
from client_sdk.errors import ServerUnreachableError
from client_sdk.events import SyncReport
from client_sdk.rows import fetch_rows
from client_sdk.state import require_identity
from client_sdk.transport import HttpEndpoint
from server.runtime.database import Database
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer
from sync_protocol.verdicts import Outcome
from tests.client_sdk.test_cli_handover import says, take
from tests.support.device_files import copy_device
from tests.support.world import SERVER_URL, World
from tests.sync.test_restore import restore
from tests.sync.test_restore_by_hand import LONG_AGO, Wire, head_of, put_back


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


async def opened(world: World, path: Path) -> OrderClient:
    """Through HTTP, by which a device is told that it was copied."""
    transport = world.http_transport()
    endpoint_for = partial(HttpEndpoint, transport=transport)
    return await OrderClient.open(path, clock=world.clock, endpoint_for=endpoint_for, inline=True)


@pytest.fixture
async def path(world: World, tmp_path: Path) -> Path:
    """A device that has synced."""
    async with await opened(world, tmp_path / "device.db") as device:
        await device.enrol(SERVER_URL, await world.code_for("rep0"), "tablet")
        await device.sync()
    return tmp_path / "device.db"


async def test_a_sync_says_that_the_server_was_restored_and_what_is_told_again(
    world: World, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with await opened(world, path) as device:
        await take(device, world, 0, 1)
        assert "restored" not in await says(capsys, sync, device)
        await restore(world)
        said = " ".join((await says(capsys, sync, device)).split())
        again = "1 act that it had decided is offered again, and its verdict told again"
        assert said.startswith(f"The server was restored from a backup: everything is fetched anew; {again}.")
        assert said.index("restored") < said.index("submit order R1-000001")
        assert "restored" not in await says(capsys, sync, device)
        await restore(world)
        report = await device.sync()
        assert (report.is_restored, report.offered_again, report.new_number_prefix) == (True, 1, "")
        report = await device.sync()
        assert (report.is_restored, report.offered_again) == (False, 0)


async def test_a_sync_of_a_copy_says_that_it_is_a_new_device(world: World, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = path.with_name("copy.db")
    copy_device(path, copy)
    async with await opened(world, path) as device:
        for quantity in (1, 2):
            await take(device, world, 0, quantity)
            await device.sync()
    async with await opened(world, copy) as device:
        said = " ".join((await says(capsys, sync, device)).split())
        assert "The file of this device is a copy or was restored, or the server was restored: it is a new device now" in said
        assert "its new orders are numbered R2-000001 and on" in said
        assert "restored from a backup" not in said
        assert "new device" not in await says(capsys, sync, device)


async def test_a_sync_after_a_restore_by_hand_says_both(world: World, path: Path) -> None:
    async with await opened(world, path) as device:
        head = await head_of(world)
        await take(device, world, 0, 1)
        await device.sync()
        await put_back(world, after=head)
        report = await device.sync()
        assert (report.is_restored, report.offered_again, report.new_number_prefix) == (True, 1, "R2")


def restored(report: SyncReport) -> tuple[bool, int, str]:
    return report.is_restored, report.offered_again, report.new_number_prefix


@pytest.fixture
def wire(world: World, tmp_path: Path) -> Wire:
    return Wire(world, str(tmp_path / "images"))


async def on(wire: Wire, world: World, path: Path) -> OrderClient:
    endpoint_for = partial(HttpEndpoint, transport=wire)
    return await OrderClient.open(path, clock=world.clock, endpoint_for=endpoint_for, inline=True)


@pytest.mark.parametrize("passing", [1, 2])
async def test_a_restore_that_a_sync_found_before_its_network_failed_is_said_by_the_next(
    world: World, path: Path, wire: Wire, passing: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it fetches everything anew, and after that, where what was offered again is pushed."""
    async with await on(wire, world, path) as device:
        await take(device, world, 0, 1)
        await device.sync()
        await restore(world)
        wire.cut_path, wire.passing = "/sync/pull", passing
        with pytest.raises(ServerUnreachableError):
            await device.sync()
    copy = path.with_name("copy.db")
    copy_device(path, copy)
    async with await on(wire, world, path) as device:
        assert restored(await device.sync()) == (True, 1, "")
        assert restored(await device.sync()) == (False, 0, "")
    async with await on(wire, world, copy) as device:
        said = await says(capsys, sync, device)
        assert said.count("The server was restored from a backup") == 1
        assert "restored from a backup" not in await says(capsys, sync, device)


async def test_a_sync_says_that_it_is_a_new_device_though_its_first_pull_failed(
    world: World, path: Path, wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = path.with_name("copy.db")
    copy_device(path, copy)
    async with await on(wire, world, path) as device:
        for quantity in (1, 2):
            await take(device, world, 0, quantity)
            await device.sync()
    async with await on(wire, world, copy) as device:
        wire.cut_path = "/sync/pull"
        await take(device, world, 0, 1)
        with pytest.raises(ServerUnreachableError):
            await device.sync()
        assert device._store.read_now(require_identity).number_prefix == "R2"
        said = " ".join((await says(capsys, sync, device)).split())
        assert "it is a new device now, and its new orders are numbered R2-000001 and on" in said
        assert restored(await device.sync()) == (False, 0, "")


class Overtaken(httpx2.AsyncBaseTransport):
    """A wire on which a copy of the device pushes right before it does, where it is told to."""

    def __init__(self, world: World) -> None:
        self._world, self._inner = world, world.http_transport()
        self.is_overtaken = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.is_overtaken and request.url.path == "/sync/push":
            self.is_overtaken = False
            async with self._world.database.write() as session:
                await session.execute(
                    sa.text("UPDATE device SET incarnation = :then, previous_incarnation = :then"), {"then": LONG_AGO}
                )
        return await self._inner.handle_async_request(request)


async def test_a_sync_that_becomes_a_new_device_in_its_midst_has_one_report(world: World, path: Path) -> None:
    wire = Overtaken(world)
    endpoint_for = partial(HttpEndpoint, transport=wire)
    async with await OrderClient.open(path, clock=world.clock, endpoint_for=endpoint_for, inline=True) as device:
        await take(device, world, 0, 1)
        await device.sync()
        gone = await device.customer("C0")
        await world.change(Customer, gone.id, territory_id=world.company.territories[1].id)
        await restore(world)
        wire.is_overtaken = True
        report = await device.sync()
        assert restored(report) == (True, 1, "R1002")
        assert (report.is_rebuilt, report.lost) == (True, (f"account:{gone.id.hex}",))
        assert [entry.verdict.outcome for entry in report.verdicts] == [Outcome.ACCEPTED]
        held = await device._store.read(fetch_rows, Product, "true")
        assert report.rows > len(held), "the rows came before it was a new device"


async def test_a_device_that_is_enrolled_again_is_not_a_new_one_by_itself(world: World, path: Path) -> None:
    async with await opened(world, path) as device:
        await device.enrol(SERVER_URL, await world.code_for("rep0"), "tablet")
        assert restored(await device.sync()) == (False, 0, "")
