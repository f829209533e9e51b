"""What `roadbook device` says where the server, or the device's file, was restored or copied."""

from functools import partial
from pathlib import Path

import pytest

from client_sdk import OrderClient
from client_sdk.cli_sync import sync
from client_sdk.transport import HttpEndpoint
from server.runtime.database import Database
from tests.client_sdk.test_cli_handover import says, take
from tests.support.device_files import copy_device
from tests.support.world import SERVER_URL, World
from tests.sync.test_restore import restore
from tests.sync.test_restore_by_hand import head_of, put_back


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
