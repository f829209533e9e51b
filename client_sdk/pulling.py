"""A pull: page after page, each staged as it comes, until a checkpoint is whole; then the move to it.

What is pulled afresh is built in a file beside the replica, which stays shown until the new one is whole.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import apsw
import msgspec

from client_sdk import journal, overlay, receipts, replica
from client_sdk.clock import Surroundings
from client_sdk.errors import BadReplyError, ReplicaDamagedError, StoreBusyError
from client_sdk.events import CheckpointReached, Event, Listener, ReplicaRebuilt, ScopeChanged, SyncProgress
from client_sdk.flow import Flow
from client_sdk.foreseen import ForeseenPages
from client_sdk.image_file import staging_of
from client_sdk.images import ImageLane
from client_sdk.pages import Page, read_page
from client_sdk.pages_ahead import PagesAhead
from client_sdk.range_sums import RangeSums
from client_sdk.state import (
    Checkpoint,
    Identity,
    Incarnation,
    ReplicaFiles,
    Staging,
    checkpoint,
    decided_places,
    known_in,
    load,
    save,
    untold,
)
from client_sdk.store import Store
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import ImageOffer, PageTrailer, PullRequest, ResyncReason
from sync_protocol.wire.version import PROTOCOL_VERSION

PASSES_MAX: Final = 10_000
RESYNCS_MAX: Final = 3
"""How often one pull begins anew. A server may be restored while a replica is built, but not again and again."""

Act = Callable[..., Coroutine[Any, Any, Any]]
Server = Callable[[], Awaitable[tuple[Identity, Incarnation, SyncEndpoint]]]
ProgressListener = Callable[[SyncProgress], None]


class Puller:
    """Pulls into one store. `server` says as whom to ask, and where.

    `has_offered_again` says whether the last pull put intents back into the outbox, `trailer` what completed its checkpoint,
    `image_rows` how many rows came in images, and `is_rebuilt` whether a replica that was fetched anew took the place of one, since
    `begin_report`.
    """

    def __init__(
        self,
        store: Store,
        server: Server,
        surroundings: Surroundings,
        listener: Listener,
        flow: Flow,
    ) -> None:
        self._store = store
        self._server = server
        self._surroundings = surroundings
        self._listener = listener
        self._flow = flow
        self._images = ImageLane(store, server, flow)
        self._foreseen = ForeseenPages(self._fetch)
        self._sums = RangeSums()
        self._progress: ProgressListener = _nobody
        self._rows = 0
        self.has_offered_again = False
        self.trailer: PageTrailer | None = None
        self.image_rows = 0
        self.is_rebuilt = False

    def begin_report(self) -> None:
        """Count from here on."""
        self.image_rows = 0
        self.is_rebuilt = False

    async def pull(self, progress: ProgressListener) -> int:
        """Pull to a checkpoint; where the replica turns out to be damaged, all of it anew. Returns the rows that came."""
        try:
            return await self._pull(progress)
        except ReplicaDamagedError:
            return await self._pull(progress)

    async def _pull(self, progress: ProgressListener) -> int:
        """Page after page, each staged as it comes, until a checkpoint is whole; then move to it."""
        self.has_offered_again = False
        self._progress, self._rows = progress, 0
        ahead = PagesAhead(self._fetch)
        try:
            return await self._pull_on(await self._begin(), ahead)
        finally:
            await ahead.drop()
            await self._foreseen.drop()

    async def _pull_on(self, staging: Staging, ahead: PagesAhead) -> int:
        resyncs = 0
        for _ in range(PASSES_MAX):
            page = await ahead.next() or await self._foreseen.next(staging) or await self._fetch(staging)
            if page.header.resync is not None:
                resyncs += 1
                if resyncs > RESYNCS_MAX:
                    raise BadReplyError(f"the server says {page.header.resync} of what it sent itself a moment ago")
                staging = await self._start_anew(page.header.resync, page.trailer.server_time_ms)
                continue
            if page.scope is not None:
                staging = await self._act_on(staging)(replica.stage_scope, staging, page.scope)
                continue
            expected = max(staging.rows_expected, page.header.rows_expected)

            def tell(done: int, expected: int = expected) -> None:
                self._progress(SyncProgress(phase="pull", done=done, expected=max(done, expected)))

            staging = msgspec.structs.replace(staging, rows_expected=expected)
            self._rows += page.trailer.rows
            if page.trailer.complete and not staging.gained_later:
                await self._move(staging, page, tell)
                self.trailer = page.trailer
                if page.trailer.rows:
                    self._flow.moved()
                return self._rows
            ahead.follow(staging, page)
            staging = await self._act_on(staging)(replica.stage_page, staging, page, tell, self._sums)
            self._flow.moved()
        raise BadReplyError("the server never comes to an end")

    async def _begin(self) -> Staging:
        """Go on with the pull that is under way, or begin one: beside the replica where there is none to go on from."""
        for _ in range(2):
            staging = await self._store.read(replica.begin_staging) or await self._begin_afresh(anew=False)
            if staging is not None:
                return staging
            await self._show()  # a kill came between its last page and this
        raise StoreBusyError

    async def _begin_afresh(self, *, anew: bool) -> Staging | None:
        files = await self._store.read(load, ReplicaFiles)
        if files is not None:
            self._store.tell_damage(files)
        is_begun = (await self._store.begin_building(anew=anew)).exists()
        staging = await self._store.build(replica.begin_afresh) if is_begun else replica.NOTHING_STAGED
        is_untouched = staging == replica.NOTHING_STAGED
        self._sums.begin(sees_all=is_untouched)
        if not is_untouched:
            return staging
        rows = await self._images.begin(self._tell_bytes, self._foresee)
        self._rows += rows
        self.image_rows += rows
        return await self._store.build(replica.begin_afresh)

    def _foresee(self, offer: ImageOffer) -> None:
        self._foreseen.foresee(staging_of(offer), frozenset(offer.buckets))

    def _tell_bytes(self, done: int, expected: int) -> None:
        self._progress(SyncProgress(phase="image", done=done, expected=expected))

    def _act_on(self, staging: Staging) -> Act:
        """How to act on the file that a pull fills: the replica that is shown, or the one that is being built."""
        return self._store.build if staging.afresh else self._store.write

    async def _fetch(self, staging: Staging) -> Page:
        identity, incarnation, endpoint = await self._server()
        request = PullRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=identity.device_id,
            incarnation=incarnation.present,
            epoch=staging.epoch,
            cursor=staging.cursor,
            scope_digest=staging.digest,
            gained=staging.gained + staging.gained_later,
            position=staging.position,
            page_rows=self._flow.rows.size,
            known=known_in(staging.epoch, staging.known, *await self._store.read(decided_places)),
        )
        with self._flow.pulling((staging.cursor, staging.position)) as hear:
            page = await read_page(endpoint, request, hear)
        return msgspec.structs.replace(page, came_at_ms=self._surroundings.clock.now_ms())

    async def _start_anew(self, reason: ResyncReason, server_time_ms: int) -> Staging:
        """Rebuild the replica; after a restore of the server, offer again what it had acknowledged."""
        restored = reason is not ResyncReason.BELOW_RETENTION
        # An act of its own, which may be repeated: where a kill comes now, the next pull is told to start anew, too.
        offered = await self._store.write(_offer_again, server_time_ms) if restored else 0
        self.has_offered_again |= restored
        self._listener(ReplicaRebuilt(reason, offered))  # before anything can fail: the next pull does not know why it is anew
        await self._images.refuse()  # where there was one, the server could not go on from it
        staging = await self._begin_afresh(anew=True)
        assert staging is not None, "it was begun just now"
        return staging

    async def _move(self, staging: Staging, page: Page, tell: replica.Progress) -> None:
        """Move to the checkpoint that this page completes. One act where the replica is shown: each such act waits for the disk."""
        if staging.afresh:
            staged = await self._store.build(replica.stage_page, staging, page, tell, self._sums)
            await self._store.build(replica.complete, staged, page.trailer, page.clock_skew_ms)
            await self._show()
        else:
            await self._tell(await self._store.write(_move, staging, page, tell))
        await self._store.write(journal.age_out, page.trailer.server_time_ms)

    async def _show(self) -> None:
        """Let the replica that was built take the place of the one that is shown."""
        built = await self._store.build(replica.held)
        await self._offer_what_another_log_has(built[0])
        before = await self._store.write(replica.note_lost, built)
        was_replica = await self._store.read(_is_replica)
        shown = await self._store.read(checkpoint)
        is_restored = (await self._store.read(untold)).is_restored or shown.epoch not in {None, built[0].epoch}
        applied = await self._store.show_built(replica.show, built[0], before)
        self.is_rebuilt |= was_replica
        await self._images.forget()
        await self._tell(applied, is_restored=is_restored)

    async def _offer_what_another_log_has(self, at: Checkpoint) -> None:
        """A server that was restored before the first replica was whole cannot say so: nothing told it which log was known."""
        if not await self._store.read(journal.is_of_another_log, at.epoch):
            return
        offered = await self._store.write(_offer_again, at.as_of_ms)
        self.has_offered_again = True
        self._listener(ReplicaRebuilt(ResyncReason.EPOCH_CHANGED, offered))

    async def _tell(self, applied: replica.Applied, *, is_restored: bool = False) -> None:
        await self._erase()
        at = applied.checkpoint
        events: list[Event] = [CheckpointReached(at.cursor, at.as_of_ms, applied.changed, applied.ids)]
        if applied.gained or applied.lost:
            events.append(ScopeChanged(applied.gained, applied.lost, is_restored))
        if applied.settled:
            events.append(ScopeChanged((), applied.settled, is_restored=True))
        for event in events:
            self._listener(event)

    async def _erase(self) -> None:
        """Let the bytes of what was purged go from the write-ahead log too, so that its receipts may be handed in (I-5)."""
        if await self._store.read(receipts.has_unerased) and await self._store.empty_log():
            await self._store.write(receipts.note_erased)


def _nobody(_step: SyncProgress) -> None:
    """Hears of progress while no pull runs."""


def _is_replica(connection: apsw.Connection) -> bool:
    """Whether what is shown was fetched once, or stands where a damaged one was."""
    files = load(connection, ReplicaFiles)
    return (files is not None and bool(files.damage)) or checkpoint(connection).cursor > 0


def _move(connection: apsw.Connection, staging: Staging, page: Page, tell: replica.Progress) -> replica.Applied:
    staged = replica.stage_page(connection, staging, page, tell, RangeSums())
    return replica.apply_staged(connection, staged, page.trailer, page.clock_skew_ms)


def _offer_again(connection: apsw.Connection, now_ms: int) -> int:
    offered, before = journal.offer_again(connection, now_ms), untold(connection)
    save(connection, msgspec.structs.replace(before, is_restored=True, offered_again=before.offered_again + offered))
    overlay.rebuild(connection)
    return offered
