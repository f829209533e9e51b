"""What tests of images share: a builder over a world, and what the row lane brings, to compare with."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from backports import zstd

from server.sync.images.building import ImageBuilder
from server.sync.images.models import ImageModel
from server.sync.images.storage import ImageStorage
from server.sync.images.upkeep import ImagePolicy
from sync_protocol.entities import BY_NAME, Synced
from sync_protocol.wire.codec import PageReader, columns
from sync_protocol.wire.messages import Enrolment, EnrolRequest, PageTrailer, PullRequest, RowChunk, ScopeChunk
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.world import World

Rows = dict[str, list[tuple[Any, ...]]]


class Images:
    """The images of a world. By default everything is worth an image, and three changed rows make it old."""

    def __init__(self, world: World, place: str) -> None:
        self.world = world
        self.storage = ImageStorage(place)

    def builder(self, **policy: Any) -> ImageBuilder:
        chosen = {"sets_max": 20, "rows_min": 1, "retention_days": 90, "tail_rows_min": 3, "tail_percent": 1, **policy}
        return ImageBuilder(self.world.database, self.storage, self.world.clock, ImagePolicy(**chosen))

    async def all(self) -> list[ImageModel]:
        """All images, the largest first."""
        async with self.world.database.read() as session:
            return list((await session.execute(sa.select(ImageModel).order_by(ImageModel.rows.desc()))).scalars())

    async def offered(self) -> list[ImageModel]:
        """Those that are not superseded."""
        return [image for image in await self.all() if image.superseded_at_ms is None]

    async def file(self, image: ImageModel) -> bytes:
        """The compressed file of an image."""
        return b"".join([piece async for piece in self.storage.pieces(image.epoch, image.digest, 0, image.size)])

    async def opened(self, image: ImageModel, folder: Path) -> sqlite3.Connection:
        """The file of an image, decompressed."""
        path = folder / f"{image.digest.hex()}.db"
        path.write_bytes(zstd.decompress(await self.file(image)))
        return sqlite3.connect(path)


def rows_in(connection: sqlite3.Connection) -> Rows:
    """All rows of a replica's file by entity, as they are on the wire, in the order of their ids."""
    found: Rows = {}
    for synced in BY_NAME.values():
        names = ", ".join(columns(synced, PROTOCOL_VERSION))
        if rows := connection.execute(f"SELECT {names} FROM {synced.name} ORDER BY id").fetchall():
            found[synced.name] = rows
    return found


async def enrolled(world: World, login: str) -> Enrolment:
    """A new device of a user, as its enrolment alone."""
    request = EnrolRequest(protocol_version=PROTOCOL_VERSION, code=await world.code_for(login), device_name="Tablet")
    return await world.endpoint().enrol(request)


async def rows_by_wire(world: World, device: Enrolment, buckets: Iterable[str]) -> tuple[int, Rows]:
    """What the row lane brings of some buckets to a device that has nothing, and the cursor that it ends at."""
    request = PullRequest(protocol_version=PROTOCOL_VERSION, device_id=device.device_id, incarnation=device.incarnation)
    found: Rows = {}
    while True:
        reader = PageReader()
        async for piece in world.endpoint(device.token).pull(request):
            for message in reader.feed(piece):
                if isinstance(message, ScopeChunk):
                    request = msgspec.structs.replace(request, scope_digest=message.digest)
                elif isinstance(message, RowChunk):
                    found.setdefault(message.entity, []).extend(_rows(message))
                elif isinstance(message, PageTrailer):
                    request = msgspec.structs.replace(request, position=message.position)
                    if message.complete:
                        return message.cursor, _within(found, set(buckets))


def _rows(chunk: RowChunk) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in msgspec.msgpack.decode(chunk.rows)]


def _within(found: Rows, buckets: set[str]) -> Rows:
    """The rows of some buckets, in the order of their ids."""
    kept: Rows = {}
    for entity, rows in found.items():
        names = columns(BY_NAME[entity], PROTOCOL_VERSION)
        named = [dict(zip(names, row, strict=True)) for row in rows]
        inside = sorted((row for row in named if _bucket(BY_NAME[entity], row) in buckets), key=lambda row: row["id"])
        if inside:
            kept[entity] = [tuple(row.values()) for row in inside]
    return kept


def _bucket(synced: Synced, row: dict[str, Any]) -> str:
    return f"{synced.bucket.kind}:{row[synced.bucket.key].hex()}" if synced.bucket.key else synced.bucket.kind
