"""A device that begins with an image ends where one by rows alone ends, and pulls rows wherever anything is wrong with one."""

import asyncio
import itertools
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import httpx2
import msgspec
import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.errors import ServerUnreachableError
from client_sdk.events import ReplicaRebuilt
from client_sdk.image_file import part_path
from client_sdk.images import FRUITLESS_TRIES_MAX
from client_sdk.transport import HttpEndpoint
from server.changelog.log import rotate_epoch
from server.customers.models import RepTerritoryModel
from server.runtime.database import Database
from server.runtime.rows import insert_rows, table_of
from server.sync.images.file import compress
from sync_protocol.entities import SYNCED
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.wire.messages import ImageReply, ImageRequest, PullRequest
from tests.processes.wire import open_over_http
from tests.support.application import application
from tests.support.device_files import copy_device, files_of, look_into, remove_device
from tests.support.faults import KilledError, bury
from tests.support.images import Images
from tests.support.world import SERVER_URL, World, make_id

PIECE_BYTES = 4_096

# What the device alone does has nothing to do with the server's engine.
ON_ONE_ENGINE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Link:
    """What the devices of a test did with images over HTTP, and what happens to the next download."""

    def __init__(self, world: World, place: str) -> None:
        app = application(world.database, world.clock, images_url=place)
        self.transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        self.offers = True
        self.asked = 0
        self.offsets: list[int] = []
        self.came = 0
        self.breaks_after: int | None = None
        self.dies_after: int | None = None
        self.garbles_at: int | None = None
        self.exaggerates: dict[str, Any] = {}
        self.forged = b""
        self.before_file: Callable[[], Awaitable[object]] | None = None
        self.when_early: Callable[[], Awaitable[object]] | None = None
        self.was_early = asyncio.Event()
        self.before_offer: Callable[[], object] = lambda: None

    def endpoint_for(self, url: str, token: str) -> HttpEndpoint:
        return LinkedEndpoint(self, url, token)


class LinkedEndpoint(HttpEndpoint):
    def __init__(self, link: Link, url: str, token: str) -> None:
        super().__init__(url, token, transport=link.transport)
        self._link = link

    async def image(self, request: ImageRequest) -> ImageReply:
        self._link.asked += 1
        self._link.before_offer()
        reply = await super().image(request)
        if self._link.exaggerates and reply.image is not None:
            reply = msgspec.structs.replace(reply, image=msgspec.structs.replace(reply.image, **self._link.exaggerates))
        return reply if self._link.offers else msgspec.structs.replace(reply, image=None)

    async def image_file(self, device_id: UUID, incarnation: bytes, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        link = self._link
        link.offsets.append(offset)
        if link.before_file is not None:
            await link.before_file()
        true = (
            b"".join([piece async for piece in super().image_file(device_id, incarnation, digest, offset)])
            if not link.forged
            else b""
        )
        body = bytearray(true or link.forged[offset:])
        if link.garbles_at is not None:
            body[link.garbles_at] ^= 1
        for place in range(0, len(body), PIECE_BYTES):
            if link.breaks_after is not None and place >= link.breaks_after:
                raise ServerUnreachableError(SERVER_URL, "cut off")
            if link.dies_after is not None and place >= link.dies_after:
                raise KilledError
            piece = bytes(body[place : place + PIECE_BYTES])
            link.came += len(piece)
            if link.when_early is not None and place + PIECE_BYTES >= len(body):
                async with asyncio.timeout(10):
                    await link.was_early.wait()
            yield piece

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        async for piece in super().pull(request):
            yield piece
        if self._link.when_early is not None and not self._link.was_early.is_set():
            await self._link.when_early()
            self._link.was_early.set()


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
def images(world: World, tmp_path: Path) -> Images:
    return Images(world, str(tmp_path / "images"))


@pytest.fixture
def link(world: World, tmp_path: Path) -> Link:
    return Link(world, str(tmp_path / "images"))


async def enrolled(world: World, link: Link, path: Path, *, page_rows: int = 50_000) -> OrderClient:
    device = await open_over_http(world, path, link.endpoint_for, page_rows=page_rows)
    await device.enrol(SERVER_URL, await world.code_for("rep0"), "Tablet")
    return device


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All that a replica holds, by table, with what is derived of it; but for the series of numbers, which is the device's own."""
    connection = look_into(path)
    tables = [synced.name for synced in SYNCED if synced.name != "number_series"]
    held = {table: connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() for table in tables}
    held["range_sum"] = connection.execute(
        "SELECT * FROM range_sum WHERE rows > 0 AND bucket NOT LIKE 'rep:%' ORDER BY bucket, range"
    ).fetchall()
    held["search"] = connection.execute(
        "SELECT sku FROM product WHERE rowid IN (SELECT rowid FROM product_search WHERE product_search MATCH 'product OR renamed')"
        " ORDER BY sku"
    ).fetchall()
    held["tables"] = connection.execute("SELECT type, name, sql FROM replica.sqlite_master ORDER BY type, name").fetchall()
    assert connection.execute("PRAGMA replica.integrity_check").get == "ok"
    connection.close()
    return held


async def by_rows(world: World, folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What a new device of the same user holds that knows of no image."""
    path = folder / "by-rows.db"
    link = Link(world, str(folder / "images"))
    link.offers = False
    async with await enrolled(world, link, path) as device:
        await device.sync()
    held = contents(path)
    remove_device(path)
    return held


async def change_much(world: World, chance: random.Random) -> None:
    """Change, delete and insert rows of shared buckets."""
    entries = list(world.company.entries)
    chance.shuffle(entries)
    async with world.database.write() as session:
        table = table_of(PriceEntry)
        await session.execute(sa.delete(table).where(table.c.id.in_([entry.id for entry in entries[:5]])))
        await insert_rows(session, [msgspec.structs.replace(entries[14], id=make_id(10**8), min_quantity=77)])
    for number, entry in enumerate(entries[6:12]):
        price_list = chance.choice(world.company.price_lists)
        await world.change(PriceEntry, entry.id, price_list_id=price_list.id, min_quantity=1_000 + number)
    for product in world.company.products[:2]:
        await world.change(Product, product.id, name="Renamed")


@pytest.mark.parametrize("page_rows", [2, 50_000])
async def test_a_first_sync_by_image_equals_one_by_rows(
    world: World, images: Images, link: Link, tmp_path: Path, page_rows: int
) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, link, path, page_rows=page_rows) as device:
        await images.builder().run()
        await change_much(world, random.Random(page_rows))
        report = await device.sync()
        assert link.offsets == [0]
        assert report.rows > report.image_rows == (await images.offered())[0].rows, "the rows of the image, and those of its tail"
        assert len(await device.customers()) == 2
        assert contents(path) == await by_rows(world, tmp_path)
        await change_much_more(world)
        await device.sync()
        assert link.asked == 1
    assert contents(path) == await by_rows(world, tmp_path)
    assert [each.name for each in files_of(path) if "image" in each.name] == []


async def change_much_more(world: World) -> None:
    for product in world.company.products[2:5]:
        await world.change(Product, product.id, name="Renamed")


async def test_a_server_without_an_image_is_asked_once_and_gives_rows(world: World, link: Link, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, link, path) as device:
        await device.sync()
        await device.sync()
    assert (link.asked, link.offsets) == (1, [])
    assert contents(path) == await by_rows(world, tmp_path)


async def large_world(database: Database) -> World:
    """Whose image is larger than what a device has in its hands at a time: texts that do not compress."""
    world = await World.found(database)
    chance = random.Random(1)
    product = world.company.products[0]
    async with world.database.write() as session:
        rows = [
            msgspec.structs.replace(
                product, id=make_id(5_000 + number), sku=f"LARGE-{number}", description=chance.randbytes(1_900).hex()
            )
            for number in range(400)
        ]
        await insert_rows(session, rows)
    return world


@ON_ONE_ENGINE
@pytest.mark.parametrize("death", ["kill", "broken link"])
async def test_nine_tenths_of_what_came_before_a_break_is_not_sent_again(database: Database, tmp_path: Path, death: str) -> None:
    world = await large_world(database)
    path = tmp_path / "device.db"
    link, images = Link(world, str(tmp_path / "images")), Images(world, str(tmp_path / "images"))
    device = await enrolled(world, link, path)
    await images.builder().run()
    (image, *_) = await images.offered()
    assert image.size > 700_000
    came = 650_000
    if death == "kill":
        link.dies_after = came
        with pytest.raises(KilledError):
            await device.sync()
        bury(device)
    else:
        link.breaks_after = came
        with pytest.raises(ServerUnreachableError):
            await device.sync()
        await device.close()
    link.breaks_after = link.dies_after = None
    before = link.came
    async with await open_over_http(world, path, link.endpoint_for) as device:
        await device.sync()
    assert link.offsets[1] >= 0.9 * before
    assert link.came == before + image.size - link.offsets[1]
    assert contents(path) == await by_rows(world, tmp_path)


@ON_ONE_ENGINE
async def test_what_a_power_cut_left_of_a_part_is_fetched_anew(world: World, images: Images, link: Link, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, link, path) as device:
        await images.builder().run()
        link.breaks_after = 2 * PIECE_BYTES
        with pytest.raises(ServerUnreachableError):
            await device.sync()
        link.breaks_after = None
        (part,) = [each for each in files_of(path) if each.name.partition("-image-")[2].isalnum()]
        part.write_bytes(bytes(part.stat().st_size))
        await device.sync()
    assert link.offsets == [0, 0]
    assert contents(path) == await by_rows(world, tmp_path)


@ON_ONE_ENGINE
@pytest.mark.parametrize("end", ["", "-unpacked"])
async def test_a_folder_in_the_place_of_a_part_keeps_no_image_away(
    world: World, images: Images, link: Link, tmp_path: Path, end: str
) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, link, path) as device:
        await images.builder().run()
        part = part_path(str(path), (await images.offered())[0].digest)
        folder = part.with_name(part.name + end)
        folder.mkdir()
        (folder / "left").touch()
        assert (await device.sync()).image_rows
    assert not folder.exists()
    assert contents(path) == await by_rows(world, tmp_path)


@ON_ONE_ENGINE
@pytest.mark.parametrize("place", [0, 30, -1, "middle"])
async def test_a_garbled_image_is_refused_and_the_rows_come(
    world: World, images: Images, link: Link, tmp_path: Path, place: int | str
) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, link, path) as device:
        await images.builder().run()
        link.garbles_at = (await images.offered())[0].size // 2 if isinstance(place, str) else place
        await device.sync()
        assert link.offsets == [0], "it is not taken a second time"
        await device.sync()
    assert contents(path) == await by_rows(world, tmp_path)


@ON_ONE_ENGINE
async def test_what_was_asked_for_behind_an_image_that_is_refused_in_the_end_is_not_used(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client_sdk.images._AHEAD_BYTES", 100_000)
    world = await large_world(database)
    path = tmp_path / "device.db"
    link, images = Link(world, str(tmp_path / "images")), Images(world, str(tmp_path / "images"))
    async with await enrolled(world, link, path) as device:
        await images.builder().run()
        link.garbles_at = -1
        report = await device.sync()
        assert (link.offsets, report.image_rows) == ([0], 0)
    assert contents(path) == await by_rows(world, tmp_path)


@ON_ONE_ENGINE
async def test_what_is_committed_behind_the_page_that_was_asked_for_early_comes_with_the_next_sync(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client_sdk.images._AHEAD_BYTES", 100_000)
    world = await large_world(database)
    path = tmp_path / "device.db"
    link, images = Link(world, str(tmp_path / "images")), Images(world, str(tmp_path / "images"))
    async with await enrolled(world, link, path) as device:
        await images.builder().run()

        async def hire_and_change() -> None:
            async with world.database.write() as session:
                session.add(RepTerritoryModel(rep_id=world.company.reps[0].id, territory_id=world.company.territories[1].id))
            await change_much_more(world)

        link.when_early = hire_and_change
        assert (await device.sync()).image_rows > 0
        await device.sync()
    assert contents(path) == await by_rows(world, tmp_path)


EVIL = "BEGIN INSERT INTO replica_state VALUES ('evil', x'00'); END"
FORGERIES = {
    "a trigger": f"CREATE TRIGGER evil AFTER INSERT ON unit {EVIL}",
    "a trigger in place of ours": f"DROP TRIGGER unit_sum_insert; CREATE TRIGGER unit_sum_insert AFTER INSERT ON unit {EVIL}",
    "a view": "DROP VIEW current_customer; CREATE VIEW current_customer AS SELECT * FROM customer",
    "a table": "CREATE TABLE more (x)",
    "an index": "CREATE INDEX more ON unit (abs(commit_seq))",
    "another column": "ALTER TABLE unit ADD COLUMN more TEXT",
}


@ON_ONE_ENGINE
@pytest.mark.parametrize("forgery", FORGERIES)
async def test_an_image_that_defines_anything_of_its_own_is_refused_and_the_rows_come(
    world: World, images: Images, link: Link, tmp_path: Path, forgery: str
) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, link, path) as device:
        await images.builder().run()
        (image, *_) = await images.offered()
        forged = await images.opened(image, tmp_path)
        forged.executescript(FORGERIES[forgery])
        forged.close()
        made = compress(tmp_path / f"{image.digest.hex()}.db", tmp_path / "forged")
        link.exaggerates, link.forged = msgspec.structs.asdict(made), (tmp_path / "forged").read_bytes()
        await device.sync()
        assert link.offsets == [0]
        assert link.came == len(link.forged), "it came whole, as it was offered"
    assert contents(path) == await by_rows(world, tmp_path)


@ON_ONE_ENGINE
@pytest.mark.parametrize("exaggerated", ["raw_size", "size"])
async def test_an_image_for_which_there_is_no_room_is_not_downloaded(
    world: World, images: Images, link: Link, tmp_path: Path, exaggerated: str
) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, link, path) as device:
        await images.builder().run()
        link.exaggerates = {exaggerated: shutil.disk_usage(tmp_path).free}
        await device.sync()
        assert link.offsets == []
    assert contents(path) == await by_rows(world, tmp_path)


@ON_ONE_ENGINE
async def test_a_refused_image_is_not_tried_again_though_the_rows_do_not_come_through(
    world: World, images: Images, link: Link, tmp_path: Path
) -> None:
    path = tmp_path / "device.db"
    device = await enrolled(world, link, path)
    await images.builder().run()
    link.garbles_at = 100
    kill_where(device, "INSERT INTO product ")
    with pytest.raises(KilledError):
        await device.sync()
    bury(device)
    link.garbles_at = None
    async with await open_over_http(world, path, link.endpoint_for) as device:
        await device.sync()
    assert len(link.offsets) == 1
    assert contents(path) == await by_rows(world, tmp_path)


def kill_where(device: OrderClient, statement: str) -> None:
    """Let the device die before the first statement that begins like this."""

    def trace(_cursor: object, sql: str, _bindings: object) -> bool:
        if sql.startswith(statement):
            raise KilledError
        return True

    device._store.trace(trace)


@ON_ONE_ENGINE
async def test_a_link_that_never_lets_an_image_through_lets_rows_through(
    world: World, images: Images, link: Link, tmp_path: Path
) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, link, path) as device:
        await images.builder().run()
        link.breaks_after = 0
        for _ in range(FRUITLESS_TRIES_MAX):
            with pytest.raises(ServerUnreachableError):
                await device.sync()
        await device.sync()
    assert len(link.offsets) == FRUITLESS_TRIES_MAX
    assert contents(path) == await by_rows(world, tmp_path)


async def test_an_image_that_was_removed_meanwhile_is_left_for_the_rows(
    world: World, images: Images, link: Link, tmp_path: Path
) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, link, path) as device:
        await images.builder().run()
        (image, *_) = await images.offered()
        await images.storage.delete(image.epoch, image.digest)
        await device.sync()
    assert len(link.offsets) == 1
    assert contents(path) == await by_rows(world, tmp_path)


async def test_an_image_of_more_than_the_scope_by_now_is_left_for_a_smaller_one(
    world: World, images: Images, link: Link, tmp_path: Path
) -> None:
    path = tmp_path / "device.db"

    async def move() -> None:
        async with world.database.write() as session:
            await session.execute(sa.delete(RepTerritoryModel))
        link.before_file = None

    async with await enrolled(world, link, path) as device:
        await images.builder().run()
        link.before_file = move
        await device.sync()
        assert await device.customers() == []
    assert len(link.offsets) == 2
    assert contents(path) == await by_rows(world, tmp_path)


async def test_an_image_of_a_log_that_was_rotated_after_its_download_is_not_gone_on_from(
    world: World, images: Images, link: Link, tmp_path: Path
) -> None:
    path = tmp_path / "device.db"

    async def rotate() -> None:
        link.before_file = None
        async with world.database.write() as session:
            await rotate_epoch(session, make_id(99))

    async with await enrolled(world, link, path) as device:
        await images.builder().run()
        link.before_file = rotate
        await device.sync()
        assert len(await device.customers()) == 2
    assert len(link.offsets) == 1
    assert contents(path) == await by_rows(world, tmp_path)


@ON_ONE_ENGINE
async def test_a_file_system_that_refuses_the_image_leaves_the_rows(
    world: World, images: Images, link: Link, tmp_path: Path
) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, link, path) as device:
        await images.builder().run()
        (image, *_) = await images.offered()
        part = tmp_path / f"device.db-image-{image.digest.hex()}"
        link.before_offer = lambda: part.symlink_to(tmp_path / "nowhere" / "part")
        await device.sync()
        assert link.offsets == []
    assert contents(path) == await by_rows(world, tmp_path)


async def test_a_resync_by_image_keeps_drafts_and_shows_saved_orders_all_the_while(
    world: World, images: Images, link: Link, tmp_path: Path
) -> None:
    path = tmp_path / "device.db"
    async with await enrolled(world, link, path) as device:
        await device.sync()
        draft = await device.draft_order(world.company.customers[0].id)
        await draft.add_line(world.company.products[0].id, 2)
        waiting = await device.draft_order(world.company.customers[0].id)
        await waiting.add_line(world.company.products[1].id, 3)
        async with world.database.write() as session:
            await rotate_epoch(session, make_id(99))
        await images.builder().run()
        order = (await waiting.submit()).order
        before = await draft.view()
        shown: list[set[str]] = []

        async def look() -> None:
            shown.append({view.order.number for view in await device.orders()})
            assert len(await device.customers()) == 2

        link.before_file = look
        events: list[object] = []
        device.subscribe(events.append)
        await device.sync()
        assert [event for event in events if isinstance(event, ReplicaRebuilt)]
        assert shown == [{order.number}]
        assert link.offsets == [0]
        assert await draft.view() == before
        assert [view.order.number for view in await device.orders()] == [order.number]
        assert len(await device.outbox()) == 0
    assert contents(path) == await by_rows(world, tmp_path)


async def test_a_device_killed_at_any_statement_of_an_adoption_goes_on(sqlite_database: Database, tmp_path: Path) -> None:
    world = await World.found(sqlite_database)
    link, images = Link(world, str(tmp_path / "images")), Images(world, str(tmp_path / "images"))
    fresh, path = tmp_path / "fresh.db", tmp_path / "device.db"
    await (await enrolled(world, link, fresh)).close()
    await images.builder().run()
    expected = await by_rows(world, tmp_path)
    for countdown in itertools.chain(range(1, 20, 2), itertools.count(20, 14)):
        copy_device(fresh, path)
        device = await OrderClient.open(path, clock=world.clock, endpoint_for=link.endpoint_for, inline=True)
        kill_after_unpacking(device, countdown)
        try:
            await device.sync()
        except KilledError:
            bury(device)
        else:
            await device.close()
            break
        async with await OrderClient.open(path, clock=world.clock, endpoint_for=link.endpoint_for, inline=True) as device:
            assert len(await device.customers()) in {0, 2}
            await device.sync()
        assert contents(path) == expected
    assert countdown > 100


def kill_after_unpacking(device: OrderClient, countdown: int) -> None:
    """Let the device die before its `countdown`-th statement from the first on in an image that is unpacked."""
    left = countdown + 1
    is_unpacked = False

    def trace(cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
        nonlocal left, is_unpacked
        is_unpacked = is_unpacked or cursor.connection.filename.endswith("-unpacked")
        left -= is_unpacked
        if left <= 0:
            raise KilledError
        return True

    device._store.trace(trace)
