"""A damaged replica is a cache that is fetched anew; only the device's own file is a loss when it is damaged."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID

import apsw
import pytest

from client_sdk import OrderClient, overlay
from client_sdk.errors import ReplicaDamagedError, RoadbookError, ServerUnreachableError, StoreDamagedError
from client_sdk.events import Event, ReplicaDamaged
from client_sdk.replica_file import shown_path
from client_sdk.state import note_change
from server.runtime.database import Database
from sync_protocol.wire.messages import PullRequest
from tests.support.damage import file_of
from tests.support.device_files import look_into
from tests.support.faults import UnreportedEndpoint
from tests.support.world import World

PARTS = (
    "product",
    "product_id",
    "price_entry",
    "customer",
    "sales_order",
    "overlay_sales_order",
    "overlay_sales_order_id",
    "range_sum",
    "replica_state",
    "product_search_data",
    "staged_product",
    "sqlite_schema",
)
"""Tables and indexes of the replica, each with its root page."""


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    return await World.found(sqlite_database)


def root_pages(path: Path) -> dict[str, int]:
    connection = apsw.Connection(str(path))
    try:
        return {"sqlite_schema": 1, **dict(connection.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0"))}
    finally:
        connection.close()


def corrupt(path: Path, part: str) -> None:
    """Write what no database writes over the page that a table or an index begins with."""
    page = root_pages(path)[part]
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096 + (100 if page == 1 else 0))
        file.write(b"\xa5" * 512)


def shown(path: Path) -> Path:
    found = shown_path(path)
    assert found is not None
    return found


async def order(device: OrderClient, world: World) -> str:
    draft = await device.draft_order(world.company.customers[0].id)
    await draft.add_line(world.company.products[0].id, 1)
    return (await draft.submit()).order.number


async def device_with_orders(world: World, path: Path) -> UUID:
    """A device that is closed, with an order that was decided, one that waits, and a draft."""
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        await order(device, world)
        await device.sync()
        await order(device, world)
        draft = await device.draft_order(world.company.customers[1].id)
        await draft.add_line(world.company.products[1].id, 3)
        return draft.order_id


@contextmanager
def expecting_no_loss() -> Iterator[None]:
    """Whatever is said of the damage meanwhile, the device's own file is not what it is about."""
    try:
        yield
    except StoreDamagedError as error:
        pytest.fail(f"the device's own file is whole: {error}")
    except RoadbookError:
        return


async def use_everything(device: OrderClient, world: World) -> None:
    for act in (
        device.status,
        device.customers,
        lambda: device.search("product"),
        device.orders,
        device.outbox,
        device.drafts,
        device.journal,
        lambda: device.price(world.company.customers[0].id, world.company.products[0].id),
    ):
        with expecting_no_loss():
            await act()


def told(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, ReplicaDamaged)]


async def require_whole(device: OrderClient, orders: int, draft_ids: set[UUID]) -> None:
    assert (await device.verify()).is_equal
    assert await device.outbox() == []
    assert len(await device.orders()) == len(await device.journal()) == orders
    assert {draft.order_id for draft in await device.drafts()} == draft_ids
    connection = look_into(file_of(device))
    assert connection.execute("PRAGMA replica.integrity_check").get == "ok"
    connection.close()


@pytest.mark.parametrize("part", PARTS)
async def test_a_damaged_replica_is_fetched_anew_and_what_the_user_made_is_kept(world: World, tmp_path: Path, part: str) -> None:
    path, events = tmp_path / "device.db", list[Event]()
    draft_id = await device_with_orders(world, path)
    damaged = shown(path)
    corrupt(damaged, part)
    async with await world.open_device(path) as device:
        device.subscribe(events.append)
        await use_everything(device, world)
        assert len(await device.outbox()) == 1
        await device.sync()
        with expecting_no_loss():
            await device.verify()  # what nothing has touched by now, this does
        await device.sync()
        await require_whole(device, 2, {draft_id})
    assert len(told(events)) == 1
    assert shown(path) != damaged
    assert not damaged.exists()


@pytest.mark.parametrize("left", [b"", b"<html>" * 3_000, b"SQLite format 3\0" + b"\xff" * 8_176, None])
async def test_a_replica_that_is_no_database_or_gone_is_replaced_and_fetched_anew(
    world: World, tmp_path: Path, left: bytes | None
) -> None:
    path, events = tmp_path / "device.db", list[Event]()
    draft_id = await device_with_orders(world, path)
    if left is None:
        shown(path).unlink()
    else:
        shown(path).write_bytes(left)
    async with await world.open_device(path) as device:
        device.subscribe(events.append)
        assert await device.customers() == []
        assert len(await device.outbox()) == 1
        assert (await device.sync()).is_rebuilt
        assert not (await device.sync()).is_rebuilt
        await require_whole(device, 2, {draft_id})
    assert len(told(events)) == 1


async def test_a_replica_that_is_damaged_while_the_app_reads_shows_what_can_be_read_until_it_came_anew(
    world: World, tmp_path: Path
) -> None:
    path, events = tmp_path / "device.db", list[Event]()
    async with await world.enrolled_device("rep0", path) as device:
        device.subscribe(events.append)
        await device.sync()
        assert await device.search("product")
        assert await device._store.empty_log()
        corrupt(shown(path), "product_id")
        for connection in (device._store.reader, device._store.writer):
            connection.execute("PRAGMA shrink_memory")  # what is read is read from the disk again
        with pytest.raises(ReplicaDamagedError, match="your orders and drafts are kept"):
            await device.product(world.company.products[0].id)
        assert len(told(events)) == 1
        assert len(await device.customers()) == 2, "nothing is emptied that can be read"
        assert await device.search("product")
        with pytest.raises(ReplicaDamagedError):
            await device.product(world.company.products[1].id)
        assert len(told(events)) == 1, "and it is told once"
        await device.sync()
        assert (await device.product(world.company.products[0].id)).id == world.company.products[0].id
        await require_whole(device, 0, set())


@asynccontextmanager
async def saved_unlaid(world: World, path: Path) -> AsyncIterator[OrderClient]:
    """A device whose user saved an order that its damaged replica cannot show."""
    draft_id = await device_with_orders(world, path)
    corrupt(shown(path), "overlay_sales_order_line_id")
    async with await world.open_device(path) as device:
        draft = await device.draft(draft_id)
        with expecting_no_loss():
            await draft.submit()
        yield device


async def test_what_the_user_saves_is_kept_though_the_replica_cannot_show_it(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with saved_unlaid(world, path) as device:
        assert [entry.kind for entry in await device.outbox()] == ["SubmitOrder"] * 2
    async with await world.open_device(path) as device:
        assert len(await device.outbox()) == 2
        await device.sync()
        await require_whole(device, 3, set())


async def test_damage_that_nobody_heard_of_is_told_again_to_who_listens(world: World, tmp_path: Path) -> None:
    path, events = tmp_path / "device.db", list[Event]()
    await device_with_orders(world, path)
    corrupt(shown(path), "overlay_sales_order")
    connection = apsw.Connection(str(path))
    note_change(connection)  # so that opening it lays the overlay anew, and finds the damage
    connection.close()
    async with await world.open_device(path) as device:
        device.subscribe(events.append)
        await device.sync()
    assert len(told(events)) == 1


class Cut(UnreportedEndpoint):
    """A link that breaks after two pages, once."""

    pages = 0

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        Cut.pages += 1
        if Cut.pages == 3:
            raise ServerUnreachableError("the server", "the link broke")
        async for piece in super().pull(request):
            yield piece


async def test_a_replica_that_is_damaged_while_it_is_built_is_begun_anew(world: World, tmp_path: Path) -> None:
    Cut.pages = 0
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path, wrap=Cut, page_rows=12) as device:
        with pytest.raises(ServerUnreachableError):
            await device.sync()
        builder = device._store._builder
        assert builder is not None
        builder.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        corrupt(Path(builder.filename), "product")
        corrupt(Path(builder.filename), "pack")
        builder.execute("PRAGMA shrink_memory")
        await device.sync()
        await require_whole(device, 0, set())
    assert shown(path).name == "device.db-replica-3"


async def test_a_replica_that_is_built_with_a_value_that_cannot_be_read_is_begun_anew(world: World, tmp_path: Path) -> None:
    Cut.pages = 0
    async with await world.enrolled_device("rep0", tmp_path / "device.db", wrap=Cut, page_rows=12) as device:
        with pytest.raises(ServerUnreachableError):
            await device.sync()
        builder = device._store._builder
        assert builder is not None
        builder.execute("UPDATE replica_state SET value = x'c1' WHERE key = 'staging'")
        await device.sync()
        await require_whole(device, 0, set())


async def test_what_waits_is_shown_on_the_empty_replica_that_a_writer_put_in_place_of_a_damaged_one(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "device.db"
    await device_with_orders(world, path)
    async with await world.open_device(path) as device:
        assert await device._store.empty_log()
        corrupt(shown(path), "overlay_sales_order")
        corrupt(shown(path), "sqlite_schema")
        device._store.writer.execute("PRAGMA shrink_memory")
        await device._store.write(overlay.rebuild)
        assert await device.customers() == [], "it was replaced"
        assert (len(await device.outbox()), len(await device.orders())) == (1, 2), "with what was decided and is to be fetched"


async def test_reading_takes_no_writing_turn_while_the_replica_cannot_show_what_waits(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with saved_unlaid(world, path) as device:
        statements = list[str]()
        device._store.trace(lambda _cursor, sql, _bindings: statements.append(sql) or True)
        assert len(await device.outbox()) == 2
        assert statements == []


async def open_and_read(world: World, path: Path) -> None:
    async with await world.open_device(path) as device:
        await device.outbox()
        await device.drafts()
        await device.journal()


@pytest.mark.parametrize("part", ["outbox", "meta", "draft_line", "journal"])
async def test_damage_in_the_devices_own_file_is_said_to_be_that(world: World, tmp_path: Path, part: str) -> None:
    path = tmp_path / "device.db"
    await device_with_orders(world, path)
    before = shown(path)
    corrupt(path, part)
    with pytest.raises(StoreDamagedError, match="keep the file for support"):
        await open_and_read(world, path)
    assert before.exists(), "nothing is thrown away where the device's own file is the damaged one"
