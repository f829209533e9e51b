"""Building images, one process at a time: a set of buckets at one snapshot of the server becomes a file that is offered.

The file is stored first and offered second: a build that dies in between leaves a file that the next clean-up removes.
"""

import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from server.changelog.log import Head, has_unsealed, read_head, seal_foreign_writes
from server.runtime.clock import Clock
from server.runtime.database import Database, ReadSession, driver_connection
from server.runtime.jobs import Election, election_of
from server.sync.images.file import ImageFile, compress
from server.sync.images.models import ImageModel
from server.sync.images.sets import BucketSet, sets_in_use
from server.sync.images.storage import ImageStorage
from server.sync.images.upkeep import BuildReason, Cleaned, Due, ImagePolicy, clean, due_image, register, supersede_unused
from server.sync.reader import Reader
from server.sync.walk import snapshot_sql
from sync_protocol.entities import SYNCED
from sync_protocol.replica_schema import image_format
from sync_protocol.wire.codec import columns
from sync_protocol.wire.version import PROTOCOL_VERSION

LOCK_NAME: Final = "image-building"


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """An image that was built, and what it took."""

    digest: str
    buckets: BucketSet
    reason: BuildReason
    commit_seq: int
    rows: int
    size: int
    raw_size: int
    seconds: float


class BuildRun(msgspec.Struct, frozen=True, kw_only=True):
    """What one run did. `busy` says that another process is at it, and that nothing was done here."""

    built: tuple[Built, ...] = ()
    cleaned: Cleaned | None = None
    busy: bool = False


class ImageBuilder:
    """Builds what is due, cleans what is not needed, and does neither while another process does."""

    def __init__(self, database: Database, storage: ImageStorage, clock: Clock, policy: ImagePolicy) -> None:
        self._database = database
        self._storage = storage
        self._clock = clock
        self._policy = policy

    async def run(self, *, every: bool = False) -> BuildRun:
        """Build what is due, or with `every` all sets in use, and clean up. Raises ImageStorageDownError."""
        async with self._locked() as lock:
            if lock is None:
                return BuildRun(busy=True)
            await self._clean()
            built = [await self._build(due, lock) for due in await self._due(every=every)]
            return BuildRun(built=tuple(each for each in built if each is not None), cleaned=await self._clean())

    async def clean(self, *, kept_ms: int | None = None) -> BuildRun:
        """Clean up alone. Superseded images are kept for `kept_ms`, else as the policy says."""
        async with self._locked() as lock:
            return BuildRun(busy=True) if lock is None else BuildRun(cleaned=await self._clean(kept_ms))

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[Election | None]:
        lock = election_of(self._database, LOCK_NAME)
        try:
            yield lock if await lock.hold() else None
        finally:
            await lock.resign()

    async def _clean(self, kept_ms: int | None = None) -> Cleaned:
        async with self._database.read() as session:
            head = await read_head(session)
        kept = self._policy.kept_ms if kept_ms is None else kept_ms
        return await clean(self._database, self._storage, head, kept_ms=kept, now_ms=self._clock.now_ms())

    async def _due(self, *, every: bool) -> list[Due]:
        now_ms = self._clock.now_ms()
        async with self._snapshot() as (session, head):
            sets = await sets_in_use(session, sets_max=self._policy.sets_max, now_ms=now_ms)
            reader = await _reader(session)
            found = [
                await due_image(
                    session, reader, buckets, policy=self._policy, image_format=image_format(), head=head, now_ms=now_ms
                )
                for buckets in sets
            ]
        async with self._database.write() as session:
            await supersede_unused(session, sets, now_ms)
        if every:
            return [Due(buckets, BuildReason.ASKED) for buckets in sets]
        return [due for due in found if due is not None]

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[tuple[ReadSession, Head]]:
        """A snapshot of the database in which every change has its place in the log."""
        while True:
            await seal_foreign_writes(self._database)
            async with self._database.read() as session:
                if await has_unsealed(session):
                    continue  # another program wrote to the SQLite file in between
                yield session, await read_head(session)
                return

    async def _build(self, due: Due, lock: Election) -> Built | None:
        """Build one image and offer it. None where the lock was lost meanwhile: whoever has it now builds it."""
        began = time.perf_counter()
        with self._workshop() as folder:
            raw = ImageFile(folder / "image.sqlite")
            try:
                head = await self._fill(raw, due.buckets)
            finally:
                raw.close()
            target = folder / "image.sqlite.zst"
            compressed = compress(raw.path, target)
            if not await lock.hold():
                return None
            await self._storage.put(head.epoch, compressed.digest, target)
        image = ImageModel(
            digest=compressed.digest,
            image_format=image_format(),
            epoch=head.epoch,
            commit_seq=head.head,
            buckets="\n".join(due.buckets),
            size=compressed.size,
            raw_size=compressed.raw_size,
            rows=raw.rows,
            built_at_ms=self._clock.now_ms(),
            superseded_at_ms=None,
        )
        async with self._database.write() as session:
            await register(session, image)
        return _built(image, due.reason, time.perf_counter() - began)

    async def _fill(self, raw: ImageFile, buckets: BucketSet) -> Head:
        """Fill a file with all rows of some buckets at one snapshot, which is let go before the file is finished."""
        async with self._snapshot() as (session, head):
            reader = await _reader(session)
            for synced in SYNCED:
                wanted = [bucket for bucket in buckets if bucket.partition(":")[0] == synced.bucket.kind]
                if not wanted:
                    continue
                names = columns(synced, PROTOCOL_VERSION)
                async with aclosing(reader.stream(snapshot_sql(reader, synced, PROTOCOL_VERSION), [wanted])) as chunks:
                    async for rows in chunks:
                        raw.add(synced, names, rows)
        state = {"image_format": image_format(), "epoch": head.epoch, "commit_seq": head.head, "buckets": buckets}
        raw.finish(state)
        return head

    @contextmanager
    def _workshop(self) -> Iterator[Path]:
        """An empty folder to build in: within the folder of images, so that what a killed build left goes with the next."""
        if self._storage.folder is None:
            with tempfile.TemporaryDirectory(prefix="roadbook-image-") as folder:
                yield Path(folder)
            return
        workshop = self._storage.folder / "under-construction"
        shutil.rmtree(workshop, ignore_errors=True)
        workshop.mkdir(parents=True)
        try:
            yield workshop
        finally:
            shutil.rmtree(workshop, ignore_errors=True)


async def _reader(session: ReadSession) -> Reader:
    """A reader of whole tables; unlike a walk it lets PostgreSQL sort and hash, but not compile."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    connection = await driver_connection(session)
    if not is_sqlite:
        await connection.execute("SET LOCAL jit = off")
    return Reader(connection, is_sqlite=is_sqlite)


def _built(image: ImageModel, reason: BuildReason, seconds: float) -> Built:
    return Built(
        digest=image.digest.hex(),
        buckets=image.bucket_names,
        reason=reason,
        commit_seq=image.commit_seq,
        rows=image.rows,
        size=image.size,
        raw_size=image.raw_size,
        seconds=round(seconds, 2),
    )
