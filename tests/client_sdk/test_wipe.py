"""A lost device erases itself when its server says so with the right key, whatever happens meanwhile, and says that it has."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec
import pytest

from client_sdk import OrderClient, wipe
from client_sdk.errors import DeviceRevokedError, DeviceWipedError, NotEnrolledError
from client_sdk.state import Identity, load, save
from client_sdk.transport import HttpEndpoint
from server.identity.models import DeviceModel
from server.runtime.database import Database
from sync_protocol.entities.customers import Customer
from tests.support.application import application
from tests.support.management import Manager, managing
from tests.support.world import SERVER_URL, World

WORD = b"Zarafshan"


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    founded = await World.found(sqlite_database)
    await founded.change(Customer, founded.company.customers[0].id, name=WORD.decode())
    return founded


@pytest.fixture
async def manager(world: World) -> AsyncIterator[Manager]:
    async with managing(world) as opened:
        yield opened


class Wire(httpx2.AsyncBaseTransport):
    """The way to the world's server, which can be cut; `forged` answers in its place."""

    def __init__(self, world: World) -> None:
        app = application(world.database, world.clock)
        self._inner = httpx2.ASGITransport(app=app)
        self.is_cut_for_reports = False
        self.forged: httpx2.Response | None = None
        self.reports = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.forged is not None:
            return self.forged
        if request.url.path == "/sync/report":
            self.reports += 1
            if self.is_cut_for_reports:
                raise httpx2.ConnectError("cut")
        return await self._inner.handle_async_request(request)


async def open_device(world: World, path: Path, wire: Wire) -> OrderClient:
    return await OrderClient.open(
        path,
        time_zone="Europe/Amsterdam",
        clock=world.clock,
        inline=True,
        endpoint_for=lambda url, token: HttpEndpoint(url, token, transport=wire),
    )


async def working_device(world: World, path: Path, wire: Wire) -> OrderClient:
    """A device that is synced, with a draft and an order that waits."""
    device = await open_device(world, path, wire)
    await device.enrol(SERVER_URL, await world.code_for("rep0"), "tablet")
    await device.sync()
    for is_submitted in (False, True):
        draft = await device.draft_order(world.company.customers[0].id)
        await draft.add_line(world.company.products[0].id, 1)
        if is_submitted:
            await draft.submit()
    return device


async def revoke(manager: Manager, device: OrderClient, reason: str) -> str:
    identity = (await device.status()).identity
    assert identity is not None
    await manager.post(f"/devices/{identity.device_id}/revocation", reason=reason)
    return f"/devices/{identity.device_id}"


def leave_beside(path: Path, ending: str) -> None:
    """Something of the rows in a file beside the device's own."""
    Path(f"{path}{ending}").write_bytes(WORD * 100)


def files(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir() if each.name.startswith(path.name))


async def test_a_lost_device_erases_every_file_and_the_office_sees_it(world: World, manager: Manager, tmp_path: Path) -> None:
    path, wire = tmp_path / "lost" / "device [1].db", Wire(world)
    path.parent.mkdir()
    async with await working_device(world, path, wire) as device:
        leave_beside(path, "-image-part")
        url = await revoke(manager, device, "lost")
        with pytest.raises(DeviceWipedError):
            await device.sync()
        assert files(path) == []
        assert (await manager.open(url))["device"]["wiped_at"] is not None
        for asked in (device.customers, device.outbox, device.drafts, device.sync):
            with pytest.raises((DeviceWipedError, NotEnrolledError)):
                await asked()
    async with await open_device(world, path, wire) as anew:
        assert (await anew.status()).identity is None
        await anew.enrol(SERVER_URL, await world.code_for("rep0"), "found again")
        await anew.sync()
        assert len(await anew.customers()) == 2


async def test_whoever_follows_with_a_device_that_is_lost_is_told_and_not_left_waiting(
    world: World, manager: Manager, tmp_path: Path
) -> None:
    async with await working_device(world, tmp_path / "device.db", Wire(world)) as device:
        await revoke(manager, device, "lost")
        waiting = asyncio.timeout(5)
        with pytest.raises(DeviceWipedError):
            async with device.follow(), waiting:
                await asyncio.Event().wait()
        assert not waiting.expired()


@pytest.mark.parametrize("reason", ["left", "replaced"])
async def test_a_device_that_is_revoked_otherwise_keeps_everything(
    world: World, manager: Manager, tmp_path: Path, reason: str
) -> None:
    path = tmp_path / "device.db"
    async with await working_device(world, path, Wire(world)) as device:
        await revoke(manager, device, reason)
        with pytest.raises(DeviceRevokedError) as told:
            await device.sync()
        assert ("kept for a manager" in str(told.value)) == (reason == "left")
        (waiting,) = await device.outbox()
        assert ("with a manager" in waiting.problem) == (reason == "left")
        assert len(await device.drafts()) == 1
        assert len(await device.customers()) == 2


@pytest.mark.parametrize("key", [None, "", "00" * 16, "zz", "00" * 15, 17, ["00" * 16]])
async def test_nobody_without_the_key_has_a_device_erased(world: World, tmp_path: Path, key: object) -> None:
    path, wire = tmp_path / "device.db", Wire(world)
    async with await working_device(world, path, wire) as device:
        identity = device._store.read_now(load, Identity)
        assert identity is not None
        assert identity.wipe_lock is not None
        for shown in (key, identity.wipe_lock.hex() if key is None else key):
            body = {"code": "device_revoked", "detail": "lost", "status": 401, "fields": {"wipe_key": shown}}
            wire.forged = httpx2.Response(
                401, headers={"content-type": "application/problem+json"}, content=msgspec.json.encode(body)
            )
            with pytest.raises(Exception, match=r"lost|not ours") as refused:
                await device.sync()
            assert not isinstance(refused.value, DeviceWipedError)
        wire.forged = None
        assert len((await device.sync()).verdicts) == 1


async def test_a_device_without_a_lock_gets_one_and_is_erased_by_nobody_before(
    world: World, manager: Manager, tmp_path: Path
) -> None:
    path = tmp_path / "device.db"
    async with await working_device(world, path, Wire(world)) as device:
        identity = device._store.read_now(load, Identity)
        assert identity is not None
        device._store.write_now(save, msgspec.structs.replace(identity, wipe_lock=None))
        await revoke(manager, device, "lost")
        with pytest.raises(DeviceRevokedError):
            await device.sync()
        assert len(await device.outbox()) == 1
        device._store.write_now(wipe.take_lock, identity.wipe_lock)
        device._store.write_now(wipe.take_lock, bytes(16))
        with pytest.raises(DeviceWipedError):
            await device.sync()


async def test_an_erased_device_tells_its_server_as_soon_as_it_can_and_is_free_then(
    world: World, manager: Manager, tmp_path: Path
) -> None:
    path, wire = tmp_path / "device.db", Wire(world)
    async with await working_device(world, path, wire) as device:
        url = await revoke(manager, device, "lost")
        wire.is_cut_for_reports = True
        with pytest.raises(DeviceWipedError):
            await device.sync()
    assert files(path) == ["device.db-wipe"]
    assert WORD not in (tmp_path / "device.db-wipe").read_bytes()
    assert (await manager.open(url))["device"]["wiped_at"] is None
    code = await world.code_for("rep0")
    async with await open_device(world, path, wire) as device:
        with pytest.raises(DeviceWipedError):
            await device.enrol(SERVER_URL, code, "too early")
        wire.is_cut_for_reports = False
        with pytest.raises(DeviceWipedError):
            await device.sync()
        assert (await manager.open(url))["device"]["wiped_at"] is not None
        assert "device.db-wipe" not in files(path)
        with pytest.raises(NotEnrolledError):
            await device.sync()
        await device.enrol(SERVER_URL, code, "found again")


async def test_erasing_goes_on_after_a_kill_at_any_file(world: World, manager: Manager, tmp_path: Path) -> None:
    origin, wire = tmp_path / "device.db", Wire(world)
    async with await working_device(world, origin, wire) as device:
        identity = device._store.read_now(load, Identity)
        assert identity is not None
        url = await revoke(manager, device, "lost")
        order = device._store.read_now(wipe.order_for, await key_of(world, identity), world.clock.now_ms())
        assert order is not None
    leave_beside(origin, "-replica-9")
    names = files(origin)
    assert len(names) >= 2
    for erased in range(len(names) + 1):
        folder = tmp_path / f"killed-{erased}"
        folder.mkdir()
        for name in names:
            shutil.copyfile(tmp_path / name, folder / name)
        path = folder / "device.db"
        wipe.begin(str(path), order)
        for name in names[:erased]:
            (folder / name).unlink()
        if erased < len(names):
            half = (folder / names[erased]).read_bytes()
            (folder / names[erased]).write_bytes(bytes(len(half) // 2) + half[len(half) // 2 :])
        async with await open_device(world, path, wire) as device:
            assert not any(WORD in (folder / name).read_bytes() for name in files(path))
            with pytest.raises(DeviceWipedError):
                await device.sync()
            assert (await device.status()).identity is None
        assert "device.db-wipe" not in files(path)
    assert (await manager.open(url))["device"]["wiped_at"] is not None


async def key_of(world: World, identity: Identity) -> bytes:
    """The key of a device, which only the server's database has."""
    async with world.database.read() as session:
        device = await session.get_one(DeviceModel, identity.device_id)
    assert device.wipe_key is not None
    return device.wipe_key
