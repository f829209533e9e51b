"""A first sync that begins with an image ends where one by rows alone ends, whatever happens in between.

The device here is written from docs/PROTOCOL.md alone, as one in another language would be: it only reads the image's rows.
"""

import hashlib
import random
import sqlite3
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa
from backports import zstd

from server.changelog.log import rotate_epoch
from server.customers.models import RepTerritoryModel
from server.runtime.database import Database
from server.runtime.rows import insert_rows, table_of
from server.sync.endpoint import ServerEndpoint
from sync_protocol.entities import BY_NAME
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.replica_schema import image_format
from sync_protocol.wire.codec import PageReader, columns
from sync_protocol.wire.messages import (
    Enrolment,
    GoneChunk,
    ImageRequest,
    PageHeader,
    PageTrailer,
    PullRequest,
    ResyncReason,
    RowChunk,
    ScopeChunk,
)
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.images import Images, enrolled, rows_in
from tests.support.world import World, make_id

Held = dict[tuple[str, bytes], tuple[Any, ...]]


class PlainDevice:
    """Rows by entity and id, and how far they go."""

    def __init__(self, endpoint: ServerEndpoint, identity: Enrolment, page_rows: int = 50_000) -> None:
        self.endpoint = endpoint
        self.identity = identity
        self.held: Held = {}
        self.buckets: set[str] = set()
        self.gained: set[str] = set()
        self.resync: ResyncReason | None = None
        self._request = PullRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=identity.device_id,
            incarnation=identity.incarnation,
            page_rows=page_rows,
        )

    async def begin_with_image(self, folder: Path) -> tuple[str, ...]:
        """Take the image that is offered; the buckets that it has."""
        asked = ImageRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=self.identity.device_id,
            incarnation=self.identity.incarnation,
            image_format=image_format(),
        )
        offer = (await self.endpoint.image(asked)).image
        assert offer is not None
        pieces = self.endpoint.image_file(self.identity.device_id, self.identity.incarnation, offer.digest, 0)
        body = b"".join([piece async for piece in pieces])
        assert hashlib.blake2b(body, digest_size=32).digest() == offer.digest
        connection = _opened(body, folder / f"{offer.digest.hex()}.db")
        for entity, rows in rows_in(connection).items():
            self._take(entity, columns(BY_NAME[entity], PROTOCOL_VERSION), rows)
        connection.close()
        self.buckets = set(offer.buckets)
        digest = hashlib.blake2b("\n".join(sorted(self.buckets)).encode(), digest_size=16).digest()
        self._request = msgspec.structs.replace(self._request, epoch=offer.epoch, cursor=offer.commit_seq, scope_digest=digest)
        return offer.buckets

    async def pull(self) -> int:
        """Pull to the next checkpoint; how many pages it took. A resync leaves its reason behind."""
        for pages in range(1, 1_000):
            reader = PageReader()
            messages = [message async for piece in self.endpoint.pull(self._request) for message in reader.feed(piece)]
            if self._take_page(messages):
                return pages
        raise AssertionError("it does not end")

    def _take_page(self, messages: list[Any]) -> bool:
        for message in messages:
            if isinstance(message, PageHeader) and message.resync is not None:
                self.resync = message.resync
                return True
            if isinstance(message, ScopeChunk):
                self._take_scope(message)
            elif isinstance(message, RowChunk):
                self._take(message.entity, message.columns, msgspec.msgpack.decode(message.rows))
            elif isinstance(message, GoneChunk):
                for commit_seq, row_id in message.rows:
                    if self.held.get((message.entity, row_id), (commit_seq,))[0] < commit_seq:
                        del self.held[message.entity, row_id]
            elif isinstance(message, PageTrailer):
                return self._take_trailer(message)
        raise AssertionError("a page without a trailer")

    def _take_scope(self, scope: ScopeChunk) -> None:
        new = set(scope.buckets)
        for key in [key for key, row in self.held.items() if _bucket(key[0], row) in self.buckets - new]:
            del self.held[key]
        if self._request.cursor:
            self.gained |= new - self.buckets
        self.buckets = new
        self._request = msgspec.structs.replace(self._request, scope_digest=scope.digest, gained=tuple(sorted(self.gained)))

    def _take_trailer(self, trailer: PageTrailer) -> bool:
        self._request = msgspec.structs.replace(self._request, epoch=trailer.epoch, position=trailer.position)
        if trailer.position is None and trailer.cursor > self._request.cursor:
            self._request = msgspec.structs.replace(self._request, cursor=trailer.cursor)
        if trailer.complete:
            self.gained = set()
            self._request = msgspec.structs.replace(self._request, gained=())
        return trailer.complete

    def _take(self, entity: str, names: tuple[str, ...], rows: list[Any]) -> None:
        place = names.index("id")
        for row in rows:
            key = (entity, bytes(row[place]))
            if key not in self.held or self.held[key][0] < row[0]:
                self.held[key] = tuple(row)


def _opened(body: bytes, path: Path) -> sqlite3.Connection:
    path.write_bytes(zstd.decompress(body))
    return sqlite3.connect(path)


def _bucket(entity: str, row: tuple[Any, ...]) -> str:
    synced = BY_NAME[entity]
    if synced.bucket.key is None:
        return synced.bucket.kind
    return f"{synced.bucket.kind}:{row[columns(synced, PROTOCOL_VERSION).index(synced.bucket.key)].hex()}"


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
def images(world: World, tmp_path: Path) -> Images:
    return Images(world, str(tmp_path / "images"))


async def new_device(world: World, images: Images, login: str = "rep0", page_rows: int = 50_000) -> PlainDevice:
    identity = await enrolled(world, login)
    endpoint = ServerEndpoint(world.database, world.handlers, world.clock, world.ids, identity.token, images=images.storage)
    return PlainDevice(endpoint, identity, page_rows)


async def by_rows(world: World, images: Images, login: str = "rep0") -> Held:
    """What the row lane alone brings, but for what is the asking device's own."""
    device = await new_device(world, images, login)
    await device.pull()
    return device.held


def without_series(held: Held) -> Held:
    """Every new device adds a number series; the later of two devices holds one more."""
    return {key: row for key, row in held.items() if key[0] != "number_series"}


async def drop(world: World, row: type[Any], *ids: UUID) -> None:
    async with world.database.write() as session:
        table = table_of(row)
        await session.execute(sa.delete(table).where(table.c.id.in_(ids)))


@pytest.mark.parametrize("page_rows", [1, 50_000])
async def test_a_first_sync_by_image_equals_one_by_rows(world: World, images: Images, tmp_path: Path, page_rows: int) -> None:
    device = await new_device(world, images, page_rows=page_rows)
    await images.builder().run()
    assert len(await device.begin_with_image(tmp_path)) == 4
    shared = len(device.held)
    await device.pull()
    assert len(device.held) > shared
    assert without_series(device.held) == without_series(await by_rows(world, images))


@pytest.mark.parametrize("seed", range(3))
async def test_what_changed_since_the_image_comes_as_a_tail(world: World, images: Images, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    device = await new_device(world, images, page_rows=chance.choice([1, 3, 50_000]))
    await images.builder().run()
    await device.begin_with_image(tmp_path)
    entries = list(world.company.entries)
    chance.shuffle(entries)
    await drop(world, PriceEntry, *(entry.id for entry in entries[:6]))
    lists = world.company.price_lists
    for number, entry in enumerate(entries[6:14]):
        await world.change(PriceEntry, entry.id, price_list_id=chance.choice(lists).id, min_quantity=1_000 + number)
    for product in world.company.products[:2]:
        await world.change(Product, product.id, name="Renamed")
    async with world.database.write() as session:
        await insert_rows(session, [msgspec.structs.replace(entries[14], id=make_id(10**8), min_quantity=77)])
    await device.pull()
    assert without_series(device.held) == without_series(await by_rows(world, images))


async def test_a_bucket_that_is_lost_after_the_image_was_read_is_dropped(world: World, images: Images, tmp_path: Path) -> None:
    device = await new_device(world, images)
    await images.builder().run()
    read = await device.begin_with_image(tmp_path)
    async with world.database.write() as session:
        await session.execute(sa.delete(RepTerritoryModel).where(RepTerritoryModel.rep_id == device.identity.rep_id))
        session.add(RepTerritoryModel(rep_id=device.identity.rep_id, territory_id=world.company.territories[1].id))
    await device.pull()
    assert set(read) - device.buckets
    assert without_series(device.held) == without_series(await by_rows(world, images))


async def test_an_image_of_a_log_that_was_rotated_meanwhile_ends_in_a_resync(world: World, images: Images, tmp_path: Path) -> None:
    device = await new_device(world, images)
    await images.builder().run()
    await device.begin_with_image(tmp_path)
    async with world.database.write() as session:
        await rotate_epoch(session, make_id(99))
    await device.pull()
    assert device.resync is ResyncReason.EPOCH_CHANGED


async def test_an_image_whose_tail_was_forgotten_ends_in_a_resync(world: World, images: Images, tmp_path: Path) -> None:
    device = await new_device(world, images)
    await images.builder().run()
    await device.begin_with_image(tmp_path)
    async with world.database.write() as session:
        await session.execute(sa.text("UPDATE change_head SET head = head + 1, floor = head + 1"))
    await device.pull()
    assert device.resync is ResyncReason.BELOW_RETENTION
