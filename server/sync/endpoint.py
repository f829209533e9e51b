"""The protocol, implemented by the authority: what the routes call, and what a device in the same process calls."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from server.changelog.log import Head, has_unsealed, read_head, seal_foreign_writes
from server.identity.attempts import count_attempt, refuse_for
from server.identity.errors import DeviceRevokedError
from server.runtime.clock import Clock, IdSource
from server.runtime.database import Database, ReadSession
from server.runtime.errors import BusyError
from server.sync.arrivals import Arrival, arrival_of
from server.sync.checks import kept_ranges, mend_what_differs, recounted_ranges, summed
from server.sync.devices import Asker, asker_of, note_seen, require_known, require_served
from server.sync.enrolment import enrol, fork
from server.sync.errors import EpochChangedError
from server.sync.images.errors import RangeNotSatisfiableError
from server.sync.images.models import ImageModel
from server.sync.images.offers import best_offer, readable_image
from server.sync.images.storage import ImageStorage, image_place
from server.sync.pull import build_page, pieces
from server.sync.push import Handlers, Pusher, TransientDatabaseError, in_protocol
from server.sync.quarantine import set_aside
from server.sync.reader import Reader, snapshot_of
from server.sync.repair import repair_page
from server.sync.report import take_report
from server.sync.revocation import take_confirmation
from server.sync.scope import Scope, cache_of, scope_of
from sync_protocol.wire.messages import (
    DeviceReport,
    Enrolment,
    EnrolRequest,
    ForkRequest,
    ImageReply,
    ImageRequest,
    PullRequest,
    PushReply,
    PushRequest,
    RangeCheck,
    RangesReply,
    RangesRequest,
    RepairRequest,
    ReportReply,
)

PUSH_TRIES_MAX: Final = 5
FORKS_MAX: Final = 5
RECOUNTS_MAX: Final = 20
"""A device may ask for this many in 15 minutes: each reads every row of its scope."""
SEEN_INTERVAL_MS: Final = 60_000


class ServerEndpoint:
    """A `SyncEndpoint` for the holder of `token`, which is empty before enrolment."""

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        clock: Clock,
        ids: IdSource,
        token: str = "",
        *,
        images: ImageStorage | None = None,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._clock = clock
        self._ids = ids
        self._token = token
        self._last_seen_ms: int | None = None
        self._images = images or ImageStorage(image_place("", database.url))

    async def enrol(self, request: EnrolRequest) -> Enrolment:
        """Raises EnrolmentCodeInvalidError, NothingToHoldError, ProtocolNotServedError."""
        require_served(request.protocol_version)
        async with self._database.write() as session:
            return await enrol(session, request, self._ids, self._clock.now_ms())

    async def fork(self, request: ForkRequest) -> Enrolment:
        """Raises what `asker_of` raises, NotForkedError, and TooManyAttemptsError for a device that keeps asking."""
        require_served(request.protocol_version)
        await self._count(request.device_id, "fork", FORKS_MAX)
        async with self._database.write() as session:
            return await fork(session, self._token, request, self._ids, self._clock.now_ms())

    async def _count(self, device_id: UUID, subject: str, attempts_max: int) -> None:
        """Count what is dear and seldom. Raises what `asker_of` raises, and TooManyAttemptsError."""
        async with self._database.read() as session:  # nobody uses up the attempts of another device
            await asker_of(session, self._token, device_id, self._clock.now_ms())
        async with self._database.write() as session:
            wait = await count_attempt(session, {f"{subject}|{device_id.hex}": attempts_max}, self._clock.now_ms())
        refuse_for(wait)

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        """Raises what `page` raises, before the first piece."""
        async for piece in pieces(await self.page(request)):
            yield piece

    async def page(self, request: PullRequest) -> bytes:
        """The whole page. Raises what `asker_of` raises, and DeviceForkedError."""
        require_served(request.protocol_version)
        async with self._arrived(request.device_id) as (reader, arrival):
            require_known(arrival.asker, request.incarnation)
            self._last_seen_ms = arrival.last_seen_ms
            scope = await cache_of(self._database).scope(reader, arrival.holder, arrival.head)
            now_ms = self._clock.now_ms()
            return await build_page(reader, request, scope, arrival.head, now_ms, proof_id=arrival.asker.proof_id)

    async def arrive(self, device_id: UUID) -> tuple[Arrival, Scope]:
        """Who asks, where the log stands and what the device may hold. Raises what `asker_of` raises."""
        async with self._arrived(device_id) as (reader, arrival):
            return arrival, await cache_of(self._database).scope(reader, arrival.holder, arrival.head)

    @asynccontextmanager
    async def _arrived(self, device_id: UUID) -> AsyncIterator[tuple[Reader, Arrival]]:
        """Who asks, and the snapshot of it, in which every commit has its place."""
        while True:
            async with snapshot_of(self._database) as reader:
                arrival = await arrival_of(self._database, reader, self._token, device_id, self._clock.now_ms())
                if arrival.is_sealed:
                    yield reader, arrival
                    return
            await seal_foreign_writes(self._database)  # another program wrote to the SQLite file

    async def ranges(self, request: RangesRequest) -> RangesReply:
        """Raises what `page` raises, EpochChangedError, and TooManyAttemptsError for a device that keeps asking for recounts.

        A recount that finds the log untrue mends it. For an older device, buckets of which it is not told all are always
        counted anew, and only what it is told of them; it costs the same, and counts as one that was asked for.
        """
        require_served(request.protocol_version)
        known = summed(request.buckets, request.protocol_version)
        if request.recount or len(known) < len(set(request.buckets)):
            await self._count(request.device_id, "recount", RECOUNTS_MAX)
        counted: tuple[RangeCheck, ...] = ()
        async with self._snapshot(request) as (session, scope, head):
            buckets = sorted(scope.names.intersection(request.buckets))
            reader = await Reader.of(session)
            kept = await kept_ranges(reader, buckets)
            if request.recount:
                counted = await recounted_ranges(reader, buckets)
            told = await recounted_ranges(reader, sorted(set(buckets) - known), request.protocol_version)
        if request.recount:
            await mend_what_differs(self._database, kept, counted, self._clock.now_ms())
        ranges = (*(each for each in (counted if request.recount else kept) if each.bucket in known), *told)
        return RangesReply(audience=request.device_id, epoch=head.epoch, cursor=head.head, ranges=ranges)

    async def repair(self, request: RepairRequest) -> AsyncIterator[bytes]:
        """Raises what `ranges` raises, before the first piece."""
        async for piece in pieces(await self.repair_page(request)):
            yield piece

    async def repair_page(self, request: RepairRequest) -> bytes:
        """The whole page. Raises what `ranges` raises, and RangeTooLargeError."""
        async with self._snapshot(request) as (session, scope, head):
            return await repair_page(session, request, scope, head, self._clock.now_ms())

    @asynccontextmanager
    async def _snapshot(self, request: RangesRequest | RepairRequest) -> AsyncIterator[tuple[ReadSession, Scope, Head]]:
        """A snapshot in which every change has its place, with the asker's scope in it."""
        require_served(request.protocol_version)
        while True:
            await seal_foreign_writes(self._database)
            async with self._database.read() as session:
                if await has_unsealed(session):
                    continue
                asker = await asker_of(session, self._token, request.device_id, self._clock.now_ms())
                require_known(asker, request.incarnation)
                head = await read_head(session)
                if request.epoch != head.epoch:
                    raise EpochChangedError
                yield session, await _scope_of(session, asker), head
                return

    async def image(self, request: ImageRequest) -> ImageReply:
        """Raises what `asker_of` raises, and DeviceForkedError."""
        require_served(request.protocol_version)
        arrival, scope = await self.arrive(request.device_id)
        require_known(arrival.asker, request.incarnation)
        async with self._database.read() as session:
            offer = await best_offer(session, scope, request.image_format, arrival.head)
        return ImageReply(audience=request.device_id, epoch=arrival.head.epoch, image=offer)

    async def readable_image(self, device_id: UUID, incarnation: bytes, digest: bytes) -> ImageModel:
        """The image that a device may read now. Raises what `image` raises, and ImageNotFoundError."""
        arrival, scope = await self.arrive(device_id)
        require_known(arrival.asker, incarnation)
        async with self._database.read() as session:
            return await readable_image(session, digest, scope)

    async def image_file(self, device_id: UUID, incarnation: bytes, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        """Raises what `readable_image` raises, before the first piece, RangeNotSatisfiableError and ImageStorageDownError."""
        image = await self.readable_image(device_id, incarnation, digest)
        if offset >= image.size:
            raise RangeNotSatisfiableError(image.size)
        async for piece in self._images.pieces(image.epoch, image.digest, offset, image.size):
            yield piece

    async def note_seen(self, request: PullRequest) -> None:
        """Remember that a device was here, once a minute, after its page is on its way: no reader waits for a writer."""
        now_ms = self._clock.now_ms()
        if self._last_seen_ms is not None and self._last_seen_ms > now_ms - SEEN_INTERVAL_MS:
            return
        async with self._database.write() as session:
            await note_seen(session, request.device_id, request.cursor, now_ms, at_least_ms=SEEN_INTERVAL_MS)

    async def report(self, report: DeviceReport) -> ReportReply:
        """Raises what `asker_of` raises, and DeviceForkedError. A device that was lost may say that it has erased itself."""
        require_served(report.protocol_version)
        async with self._database.write() as session:
            now_ms = self._clock.now_ms()
            try:
                asker = await asker_of(session, self._token, report.device_id, now_ms, lock=True)
            except DeviceRevokedError:
                return await take_confirmation(session, self._token, report, now_ms)
            require_known(asker, report.incarnation)
            return await take_report(session, report, now_ms, self._ids)

    async def push(self, request: PushRequest) -> PushReply:
        """Raises what `asker_of` raises, DeviceForkedError, EpochChangedError, and BusyError after five deadlocks.

        What a device still sends whose user left is set aside for a manager.
        """
        require_served(request.protocol_version)
        for _ in range(PUSH_TRIES_MAX):
            try:
                async with self._database.write() as session:
                    now_ms = self._clock.now_ms()
                    try:
                        asker = await asker_of(session, self._token, request.device_id, now_ms, lock=True)
                    except DeviceRevokedError:
                        return in_protocol(await set_aside(session, self._token, request, now_ms), request.protocol_version)
                    pusher = Pusher(session, self._handlers, asker, self._ids, now_ms)
                    return in_protocol(await pusher.push(request), request.protocol_version)
            except TransientDatabaseError:
                await asyncio.sleep(secrets.randbelow(50) / 1000)
        raise BusyError("other orders for the same products keep coming; try again in a minute")


async def _scope_of(session: ReadSession, asker: Asker) -> Scope:
    """What the asker may hold now."""
    principal = asker.principal
    return await scope_of(session, rep_id=principal.rep_id, customer_id=principal.customer_id, holder_id=asker.holder_id)
