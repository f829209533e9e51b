"""Pages into the replica: what is not whole does not exist, and what is whole is taken once, newest, all at the same moment."""

import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import msgspec
import pytest

from client_sdk import OrderClient
from client_sdk.errors import BadReplyError
from client_sdk.pages import read_page
from client_sdk.state import Identity, Incarnation, save
from server.changelog.log import rotate_epoch
from server.runtime.database import Database
from sync_protocol.entities import BY_NAME
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.orders import OrderLine
from sync_protocol.values import Row
from sync_protocol.wire.codec import PageWriter, columns, encode, stored_values
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import (
    DeviceReport,
    GoneChunk,
    ImageReply,
    ImageRequest,
    PageHeader,
    PageTrailer,
    PullRequest,
    ReportReply,
    RowChunk,
    ScopeChunk,
)
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.device_files import look_into
from tests.support.ledger import device_view
from tests.support.world import World

DEVICE, EPOCH = UUID(int=71), UUID(int=72)
SCOPE = ScopeChunk(digest=b"s" * 16, buckets=("account:" + "0" * 31 + "5", "catalog"))
PRODUCT = Product(id=UUID(int=1), sku="A-1", name="Anvil", description="Heavy", unit_id=UUID(int=9), status=ProductStatus.ACTIVE)


class Script:
    """A server that answers with the pages that a test wrote."""

    def __init__(self) -> None:
        self.pages: list[bytes] = []

    async def pull(self, _request: PullRequest) -> AsyncIterator[bytes]:
        yield self.pages.pop(0)

    async def image(self, request: ImageRequest) -> ImageReply:
        return ImageReply(audience=request.device_id, epoch=EPOCH)

    async def report(self, report: DeviceReport) -> ReportReply:
        return ReportReply(audience=report.device_id, epoch=EPOCH)


def page(*messages: Any, cursor: int = 7, trailer: bool = True, header: dict[str, Any] | None = None, **changed: Any) -> bytes:
    """A whole page of these chunks, but for what a test changes in its header or trailer."""
    writer = PageWriter()
    opened = PageHeader(protocol_version=PROTOCOL_VERSION, audience=DEVICE, epoch=EPOCH)
    body = writer.frame(msgspec.structs.replace(opened, **(header or {})))
    rows = 0
    for message in messages:
        body += writer.frame(message)
        held = msgspec.msgpack.decode(message.rows) if isinstance(message, RowChunk) else getattr(message, "rows", ())
        rows += len(held) if isinstance(held, list | tuple) else 0
    if trailer:
        closed = PageTrailer(
            audience=DEVICE, epoch=EPOCH, rows=rows, digest=writer.digest, cursor=cursor, complete=True, server_time_ms=5
        )
        body += writer.frame(msgspec.structs.replace(closed, **changed))
    return body + writer.close()


def chunk(*rows: Row, version: int = 5, **changed: Any) -> RowChunk:
    (name,) = {each.name for each in BY_NAME.values() if each.row is type(rows[0])}
    sent = [(version, 0, *stored_values(row)) for row in rows]
    whole = RowChunk(entity=name, columns=columns(BY_NAME[name], PROTOCOL_VERSION), rows=msgspec.Raw(encode(sent)))
    return msgspec.structs.replace(whole, **changed)


def raw(rows: object) -> msgspec.Raw:
    return msgspec.Raw(encode(rows))


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def device(tmp_path: Path, script: Script) -> AsyncIterator[OrderClient]:
    client = await OrderClient.open(tmp_path / "device.db", endpoint_for=lambda *_: script, inline=True)
    identity = Identity(
        server_url="https://server.test",
        device_id=DEVICE,
        device_name="d",
        token="t",
        user_id=UUID(int=3),
        user_name="U",
        role="rep",
        number_prefix="R1",
    )

    def enrol(connection: apsw.Connection) -> None:
        save(connection, identity)
        save(connection, Incarnation(b"i" * 16, b"i" * 16))

    client._store.write_now(enrol)
    yield client
    await client.close()


async def pulled(device: OrderClient, script: Script, *messages: Any, **changed: Any) -> list[Product]:
    """What the device shows after it took this page."""
    script.pages = [page(SCOPE, complete=False)] if (await device.status()).cursor == 0 else []
    script.pages.append(page(*messages, **changed))
    await device.sync()
    return await device.search("")


async def test_a_whole_page_is_taken(device: OrderClient, script: Script) -> None:
    assert await pulled(device, script, chunk(PRODUCT)) == [PRODUCT]
    assert (await device.status()).cursor == 7


async def test_of_a_row_that_came_twice_into_an_empty_replica_the_newest_stays(device: OrderClient, script: Script) -> None:
    many = [msgspec.structs.replace(PRODUCT, id=UUID(int=number), sku=f"A-{number:03d}") for number in range(1, 100)]
    newer = [msgspec.structs.replace(each, name="Newer") for each in many[:50]]
    older = [msgspec.structs.replace(each, name="Older") for each in many[:60]]
    await pulled(device, script, chunk(*many), chunk(*newer, version=6), chunk(*older, version=4))
    shown = await device.search("", limit=200)
    assert [(each.sku, each.name) for each in shown] == [(each.sku, each.name) for each in (*newer, *many[50:])]
    assert await device.search("older") == []


async def test_an_entity_of_a_newer_server_is_skipped(device: OrderClient, script: Script) -> None:
    future = RowChunk(entity="bonus_card", columns=("commit_seq", "id"), rows=raw([(5, b"x" * 16), (5, b"y" * 16)]))
    gone = GoneChunk(entity="bonus_card", rows=((5, b"z" * 16),))
    assert await pulled(device, script, future, gone, chunk(PRODUCT), future) == [PRODUCT]


async def test_a_column_of_a_newer_server_is_ignored_wherever_it_stands(device: OrderClient, script: Script) -> None:
    names = columns(BY_NAME["product"], PROTOCOL_VERSION)
    values = (5, 0, *stored_values(PRODUCT))
    for place in (0, 3, len(names)):
        wider = (*names[:place], "weight_grams", *names[place:])
        row = (*values[:place], 12, *values[place:])
        newer = (row[0] + place, *row[1:]) if place else (row[0], row[1] + place, *row[2:])
        assert await pulled(device, script, chunk(PRODUCT, columns=wider, rows=raw([newer])), cursor=7 + place) == [PRODUCT]


async def test_columns_in_another_order_are_taken_by_name(device: OrderClient, script: Script) -> None:
    named = list(zip(columns(BY_NAME["product"], PROTOCOL_VERSION), (5, 0, *stored_values(PRODUCT)), strict=True))
    random.Random(2).shuffle(named)
    mixed = chunk(PRODUCT, columns=tuple(name for name, _ in named), rows=raw([[value for _, value in named]]))
    assert await pulled(device, script, mixed) == [PRODUCT]


async def test_a_column_that_an_older_server_lacks_takes_its_default(device: OrderClient, script: Script) -> None:
    line = OrderLine(
        id=UUID(int=1),
        order_id=UUID(int=2),
        customer_id=UUID(int=5),
        line_number=1,
        product_id=UUID(int=1),
        quantity=3,
        unit_price=4,
        discount_basis_points=0,
        amount_minor=5,
        allocated=6,
        backordered=7,
    )
    lacking = ("allocated", "backordered")
    named = dict(zip(columns(BY_NAME["sales_order_line"], PROTOCOL_VERSION), (5, 0, *stored_values(line)), strict=True))
    fewer = {name: value for name, value in named.items() if name not in lacking}
    await pulled(device, script, chunk(line, columns=tuple(fewer), rows=raw([tuple(fewer.values())])))
    stored = device._store.reader.execute("SELECT quantity, allocated, backordered FROM sales_order_line").fetchall()
    assert stored == [(3, 0, 0)]


BROKEN: dict[str, Callable[[], bytes]] = {
    "no trailer": lambda: page(chunk(PRODUCT), trailer=False),
    "wrong digest": lambda: page(chunk(PRODUCT), digest=b"0" * 16),
    "wrong audience": lambda: page(chunk(PRODUCT), audience=UUID(int=1)),
    "wrong audience in the header": lambda: page(chunk(PRODUCT), header={"audience": UUID(int=1)}),
    "two epochs": lambda: page(chunk(PRODUCT), epoch=UUID(int=1)),
    "a row too few": lambda: page(chunk(PRODUCT), rows=2),
    "a row too many": lambda: page(chunk(PRODUCT), rows=0),
    "nothing at all": lambda: b"",
    "a sign-in page": lambda: b"<html>Please sign in</html>" * 30,
    "not even zstd": lambda: random.Random(1).randbytes(500),
    "an id of the wrong length": lambda: page(chunk(PRODUCT, rows=raw([(5, 0, b"short", *stored_values(PRODUCT)[1:])]))),
    "a missing field": lambda: page(chunk(PRODUCT, columns=("commit_seq", "id"), rows=raw([(5, b"i" * 16)]))),
    "no version": lambda: page(chunk(PRODUCT, columns=columns(BY_NAME["product"], 1)[1:], rows=raw([stored_values(PRODUCT)]))),
    "a row that is short": lambda: page(chunk(PRODUCT, rows=raw([(5, b"i" * 16)]))),
    "a status that is no word": lambda: page(
        chunk(PRODUCT, rows=raw([(5, 0, *stored_values(PRODUCT)[:5], "Not a word", *[None] * 4)]))
    ),
    "a float": lambda: page(chunk(PRODUCT, rows=raw([(5.0, 0, *stored_values(PRODUCT))]))),
    "a frame beyond the limit": lambda: page(RowChunk(entity="unit", columns=("commit_seq",), rows=raw(["x" * (15 << 20)]))),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_page_that_is_not_whole_and_ours_stores_nothing(device: OrderClient, script: Script, broken: str) -> None:
    await pulled(device, script, chunk(PRODUCT))
    before, status = device_view(device), await device.status()
    script.pages = [BROKEN[broken]()]
    with pytest.raises(BadReplyError):
        await device.sync()
    assert device_view(device) == before
    assert msgspec.structs.replace(await device.status(), trouble=None) == status
    renamed = msgspec.structs.replace(PRODUCT, name="Renamed")
    assert await pulled(device, script, chunk(renamed, version=8), cursor=9) == [renamed], "and the next one is taken"


@pytest.mark.parametrize("entity", ["product", "bonus_card"])
async def test_rows_that_are_none_store_nothing(device: OrderClient, script: Script, entity: str) -> None:
    await pulled(device, script, chunk(PRODUCT))
    wider = (*columns(BY_NAME["product"], PROTOCOL_VERSION), "weight_grams")
    rows = raw([(5, b"i" * 16)]) if entity == "product" else raw(True)
    broken = RowChunk(entity=entity, columns=wider, rows=rows)
    script.pages = [page(broken, rows=1)]
    with pytest.raises(BadReplyError):
        await device.sync()


REQUEST = PullRequest(protocol_version=1, device_id=DEVICE, incarnation=b"i" * 16)


def many_rows() -> bytes:
    return page(*(chunk(msgspec.structs.replace(PRODUCT, id=UUID(int=n), sku=f"S{n}")) for n in range(1, 30)))


async def test_a_page_cut_off_at_any_byte_stores_nothing(device: OrderClient, script: Script) -> None:
    whole = many_rows()
    await pulled(device, script, chunk(PRODUCT))
    before = device_view(device)
    for cut in range(len(whole)):
        script.pages = [whole[:cut]]
        with pytest.raises(BadReplyError):
            await read_page(script, REQUEST)
    for cut in range(0, len(whole), 17):
        script.pages = [whole[:cut]]
        with pytest.raises(BadReplyError):
            await device.sync()
    assert device_view(device) == before


async def read_with_a_bit_wrong(script: Script, whole: bytes, seed: int) -> list[Any]:
    """What was read of a page in which one bit of one byte was wrong, for every byte; None where it was refused."""
    chance = random.Random(seed)
    found: list[Any] = []
    for place in range(len(whole)):
        script.pages = [whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :]]
        try:
            found.append(await read_page(script, REQUEST))
        except BadReplyError:
            found.append(None)
    return found


async def test_a_page_with_a_wrong_bit_brings_no_wrong_row(script: Script) -> None:
    whole = many_rows()
    script.pages = [whole]
    taken = await read_page(script, REQUEST)
    for changed in await read_with_a_bit_wrong(script, whole, 5):
        assert changed is None or (changed.header, changed.scope, changed.chunks) == (taken.header, taken.scope, taken.chunks)


async def test_a_page_with_a_wrong_bit_brings_no_wrong_cursor(script: Script) -> None:
    whole = many_rows()
    script.pages = [whole]
    taken = await read_page(script, REQUEST)
    for changed in await read_with_a_bit_wrong(script, whole, 5):
        assert changed is None or changed.trailer == taken.trailer


async def test_an_older_version_of_a_row_never_overwrites_a_newer(device: OrderClient, script: Script) -> None:
    named = [msgspec.structs.replace(PRODUCT, name=f"Version {version}") for version in range(20)]
    assert await pulled(device, script, chunk(named[9], version=9), cursor=9) == [named[9]]
    assert await pulled(device, script, chunk(named[3], version=3), cursor=10) == [named[9]]
    assert await pulled(device, script, chunk(named[0], version=9), cursor=11) == [named[9]], "nor the same version"
    both = (chunk(named[15], version=15), chunk(named[12], version=12))
    assert await pulled(device, script, *both, cursor=16) == [named[15]]
    assert await pulled(device, script, *reversed([chunk(named[17], version=17), chunk(named[18], version=18)]), cursor=18) == [
        named[18]
    ]


async def test_what_is_gone_takes_older_versions_alone(device: OrderClient, script: Script) -> None:
    gone = lambda version: GoneChunk(entity="product", rows=((version, PRODUCT.id.bytes),))  # noqa: E731  # a short name for a message
    assert await pulled(device, script, chunk(PRODUCT, version=5)) == [PRODUCT]
    assert await pulled(device, script, gone(4), cursor=8) == [PRODUCT]
    assert await pulled(device, script, gone(5), cursor=9) == [PRODUCT], "a row that left one bucket entered another in that commit"
    assert await pulled(device, script, gone(10), chunk(PRODUCT, version=11), cursor=12) == [PRODUCT]
    assert await pulled(device, script, gone(13), cursor=13) == []


async def test_an_absent_row_is_never_a_deletion(device: OrderClient, script: Script) -> None:
    await pulled(device, script, chunk(PRODUCT))
    other = msgspec.structs.replace(PRODUCT, id=UUID(int=2), sku="B")
    assert await pulled(device, script, chunk(other, version=8), cursor=9) == [PRODUCT, other]
    assert await pulled(device, script, cursor=10) == [PRODUCT, other]


async def test_a_bucket_that_is_lost_takes_its_rows_and_no_others(device: OrderClient, script: Script) -> None:
    customer = Customer(id=UUID(int=5), code="C", name="C", status="active")
    await pulled(device, script, chunk(PRODUCT), chunk(customer))
    assert [each.code for each in await device.customers()] == ["C"]
    script.pages = [page(ScopeChunk(digest=b"t" * 16, buckets=("catalog",)), complete=False), page(cursor=9)]
    await device.sync()
    assert await device.customers() == []
    assert await device.search("") == [PRODUCT]


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    return await World.found(sqlite_database)


class Watched:
    """A good wire that looks at the device's file, through a connection of its own, whenever a page is asked for."""

    def __init__(self, inner: SyncEndpoint, look: Callable[[], None]) -> None:
        self._inner = inner
        self._look = look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        self._look()
        async for piece in self._inner.pull(request):
            self._look()
            yield piece


async def test_a_rebuild_shows_the_old_list_or_the_new_one_and_never_an_empty_one(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    seen: list[tuple[str, ...]] = []

    def look(*_: object) -> bool:
        connection = look_into(path)
        seen.append(tuple(name for (name,) in connection.execute("SELECT name FROM product ORDER BY sku")))
        connection.close()
        return True

    async with await world.enrolled_device("rep0", path, page_rows=4, wrap=lambda inner: Watched(inner, look)) as device:
        device._store.writer.set_busy_timeout(0)
        await device.sync()
        seen.clear()
        async with world.database.write() as session:
            await rotate_epoch(session, world.ids.new())
        for product in world.company.products:
            await world.change(Product, product.id, name=f"New {product.sku}")
        device._store.trace(look)
        await device.sync()
        device._store.trace(None)
        look()
    old = tuple(product.name for product in world.company.products)
    new = tuple(f"New {product.sku}" for product in world.company.products)
    assert set(seen) == {old, new}
    assert seen == sorted(seen, key=(old, new).index), "and never goes back"
    assert len(seen) > 100, "before every statement of the writer"


async def test_a_sync_writes_no_more_than_what_is_new(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        await device.sync()
        assert await device._store.empty_log()
        await device.sync()
        assert pages_written(tmp_path) <= 2, "where the replica is by now"
        await world.change(Product, world.company.products[0].id, name="Changed")
        await device.sync()
        assert pages_written(tmp_path) <= 2 + 20, "and a row, with its indexes, words and sums"


def pages_written(folder: Path) -> int:
    """How many pages the write-ahead logs hold: each has a header of its own, as the log has."""
    sizes = [log.stat().st_size for log in folder.glob("device.db*-wal")]
    return sum((size - 32) // (4096 + 24) for size in sizes if size)
