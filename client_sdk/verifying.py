"""Comparing the replica with the server at each checkpoint, fetching the ranges that differ, and proving that none does.

Nothing here moves the replica to another checkpoint: where the server has gone on meanwhile, a pull does, and it is compared
anew, a few times. What could not be settled is remembered, told, and looked into again by the next sync; no sync fails of it.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple
from uuid import UUID

import apsw

from client_sdk import integrity, repairing, replica
from client_sdk.clock import Surroundings
from client_sdk.errors import (
    BadReplyError,
    BeyondAppError,
    DeviceForkedError,
    DeviceRevokedError,
    EpochChangedError,
    ReplicaDiffersError,
    RequestTooLargeError,
    RoadbookError,
    StoreError,
)
from client_sdk.events import Listener, ReplicaDiffers, ReplicaRepaired, Verification
from client_sdk.flow import Flow
from client_sdk.integrity import Held, Place, Recount
from client_sdk.pages import Page, read_repair
from client_sdk.reporting import stall_report
from client_sdk.state import Checkpoint, Identity, Incarnation, Suspects, checkpoint
from client_sdk.store import Store
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import (
    REPAIR_RANGES_MAX,
    PageTrailer,
    Proof,
    RangesReply,
    RangesRequest,
    RepairRequest,
    StallReport,
)
from sync_protocol.wire.version import PROTOCOL_VERSION

TRIES_MAX: Final = 5
"""How often one sync pulls and compares anew where the server goes on meanwhile."""
RECOUNTS_MAX: Final = 2
"""In how many recounts a bucket may differ that came from its beginning: the second one sees what the first one mended."""
RANGE_TOO_LARGE: Final = "range_too_large"
REPAIR_ROWS_MAX: Final = 20_000
"""About how many rows one repair asks for, so that neither end holds more than a page of them."""
SCRUB_SECONDS: Final = 60.0
PROOF_SECONDS: Final = 600.0
"""How long a proof that did not come about is left before it is tried again."""

Server = Callable[[], Awaitable[tuple[Identity, Incarnation, SyncEndpoint]]]
Pull = Callable[[], Awaitable[PageTrailer]]


class Ports(NamedTuple):
    """What a verifier acts through: as whom to ask the server, the way to where it is by now, and whom to tell."""

    server: Server
    pull: Pull
    tell: Listener


class _Inquiry:
    """What is in doubt, what was found to differ, and what was done about it.

    `anew` has the buckets that come from their beginning, with in how many comparisons they differed all the same.
    """

    def __init__(self, suspects: Suspects, *, recount: bool = False, local: Recount | None = None) -> None:
        self.buckets = set(suspects.buckets)
        self.kinds = set(suspects.kinds)
        self.recount = recount
        self.local = local
        self.at = Checkpoint()
        self.differing: set[Place] = set()
        self.fetched: set[Place] = set()
        self.anew = Counter[str]()
        self.changed = Counter[str]()


class Verifier:
    """Of one engine. `problem` is what the next report says, `proof` what it hands in."""

    def __init__(self, ports: Ports, store: Store, surroundings: Surroundings, flow: Flow) -> None:
        self._server = ports.server
        self._pull = ports.pull
        self._listener = ports.tell
        self._store = store
        self._surroundings = surroundings
        self._flow = flow
        self._scrubbed_seconds: float | None = None
        self._proof_tried: tuple[UUID, float] | None = None
        self.problem: StallReport | None = None
        self.proof: Proof | None = None

    async def look(self, trailer: PageTrailer) -> None:
        """Compare at the checkpoint that this page completed, and repair what differs.

        Raises StoreError, DeviceForkedError and DeviceRevokedError; anything else is told, and tried by the next sync.
        """
        try:
            suspects = await self._suspects(trailer)
            if suspects:
                await self._settle(_Inquiry(suspects))
            self.problem = None
            if trailer.proof_id is not None:
                await self._prove(trailer.proof_id)
        except (StoreError, DeviceForkedError, DeviceRevokedError):
            raise
        except RoadbookError as error:
            self._failed(error)

    async def verify(self) -> Verification:
        """Compute everything anew, compare it with the server's own rows, and repair what differs.

        Raises ReplicaDiffersError, BeyondAppError, and what asking the server raises.
        """
        if (await self._store.read(integrity.beyond)).unknown:
            raise BeyondAppError
        counted = await self._count(None)
        inquiry = _Inquiry(Suspects(counted.buckets), recount=True, local=counted)
        await self._settle(inquiry)
        return Verification(
            cursor=inquiry.at.cursor,
            as_of_ms=inquiry.at.as_of_ms,
            is_equal=not inquiry.differing,
            buckets=len(counted.buckets),
            rows=counted.rows,
            differing=integrity.ranges_of(inquiry.differing),
            repaired_ranges=len(inquiry.differing),
            changed=dict(inquiry.changed),
        )

    async def _prove(self, proof_id: UUID) -> None:
        """Verify because support asked for it; once, but for a try that the link or the server broke."""
        now = self._surroundings.timer.now_seconds()
        if self.proof is not None and self.proof.proof_id == proof_id:
            return
        if self._proof_tried is not None and self._proof_tried[0] == proof_id and now < self._proof_tried[1] + PROOF_SECONDS:
            return
        self._proof_tried = proof_id, now
        verified = await self.verify()
        self.proof = Proof(
            proof_id=proof_id,
            cursor=verified.cursor,
            is_equal=verified.is_equal,
            rows=verified.rows,
            buckets=verified.buckets,
            differing_ranges=len(verified.differing),
            repaired_ranges=verified.repaired_ranges,
        )

    def _failed(self, error: RoadbookError) -> None:
        """Tell what is in the way, once while it stays the same; the next sync looks again."""
        differs = error if isinstance(error, ReplicaDiffersError | BeyondAppError) else ReplicaDiffersError(error)
        report = stall_report(differs, self._surroundings.clock.now_ms())
        if self.problem is None or (self.problem.code, self.problem.detail) != (report.code, report.detail):
            self.problem = report
            self._listener(ReplicaDiffers(differs))

    async def _suspects(self, trailer: PageTrailer) -> Suspects:
        """What is to be looked into now: the sums that differ, rows that a scrub found changed, what was left to do before."""
        found = await self._store.read(integrity.suspects, _checkpoint_of(trailer), trailer.checks)
        now = self._surroundings.timer.now_seconds()
        is_due = self._scrubbed_seconds is None or now >= self._scrubbed_seconds + SCRUB_SECONDS
        if is_due:
            self._scrubbed_seconds = now
        return await self._store.write(_note, found, is_scrubbing=is_due) if is_due or found else found

    async def _settle(self, inquiry: _Inquiry) -> None:
        """Find the ranges that differ and replace them, until none does. Raises ReplicaDiffersError after a few tries."""
        if inquiry.kinds and inquiry.local is None:
            inquiry.local = await self._count(inquiry.kinds)
        for _ in range(TRIES_MAX):
            if await self._try(inquiry):
                await self._store.write(integrity.note_suspects, Suspects())
                for bucket in inquiry.anew:
                    inquiry.changed += await self._store.read(repairing.rows_in, bucket)
                if inquiry.changed:
                    self._listener(ReplicaRepaired(integrity.ranges_of(inquiry.fetched), dict(inquiry.changed)))
                return
        raise ReplicaDiffersError(None, tuple(sorted(inquiry.buckets)))

    async def _try(self, inquiry: _Inquiry) -> bool:
        """Once: whether all is settled. What is still in doubt is left in `inquiry.buckets`."""
        inquiry.at, held = await self._store.read(_held, sorted(inquiry.buckets))
        reply = await self._ask(inquiry)
        if reply is None:
            return await self._go_on(inquiry)
        said = {(each.bucket, each.range): Held(each.rows, each.checksum) for each in reply.ranges}
        differing = integrity.differing(held, reply.ranges)
        if differing and reply.cursor != inquiry.at.cursor:
            inquiry.buckets = {bucket for bucket, _ in differing}
            inquiry.recount = False
            return await self._go_on(inquiry)
        local = inquiry.local.places if inquiry.local is not None else set[Place]()
        inquiry.differing |= differing | local
        sizes = {place: max(_rows(held, place), _rows(said, place)) for place in differing | local}
        if not await self._replace(inquiry, sizes):
            return await self._go_on(inquiry)
        inquiry.local = None
        if differing:
            _, held = await self._store.read(_held, sorted(inquiry.buckets))
            # Where rows of the server are not what its sums say, it sums them anew, and mends its log.
            inquiry.buckets = {bucket for bucket, _ in integrity.differing(held, reply.ranges)}
            inquiry.recount = True
        else:
            inquiry.buckets = set()
        return not inquiry.buckets

    async def _go_on(self, inquiry: _Inquiry) -> bool:
        """The server is at another place in the log: go there, and look at what came as well."""
        trailer = await self._pull()
        newer = await self._store.read(integrity.suspects, _checkpoint_of(trailer), trailer.checks)
        inquiry.buckets |= set(newer.buckets)
        return False

    async def _ask(self, inquiry: _Inquiry) -> RangesReply | None:
        """What the server holds of the buckets in doubt; None where its log is another one by now."""
        identity, incarnation, endpoint = await self._server()
        assert inquiry.at.epoch is not None, "nothing is in doubt before the first checkpoint"
        request = RangesRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=identity.device_id,
            incarnation=incarnation.present,
            epoch=inquiry.at.epoch,
            buckets=tuple(sorted(inquiry.buckets)),
            recount=inquiry.recount,
        )
        if not request.buckets:
            return RangesReply(audience=identity.device_id, epoch=inquiry.at.epoch, cursor=inquiry.at.cursor, ranges=())
        self._flow.requests += 1
        try:
            reply = await endpoint.ranges(request)
        except EpochChangedError:
            return None
        if reply.audience != identity.device_id or not {each.bucket for each in reply.ranges} <= inquiry.buckets:
            raise BadReplyError("it is meant for another device, or of other buckets")
        self._flow.moved()
        return reply if reply.epoch == inquiry.at.epoch else None

    async def _replace(self, inquiry: _Inquiry, sizes: Mapping[Place, int]) -> bool:
        """Replace ranges, a few at a time; False where the server or the replica has gone on meanwhile."""
        if inquiry.local is not None and inquiry.local.strays:
            strays = inquiry.local.strays
            inquiry.differing |= inquiry.local.stray_places
            inquiry.changed += await self._store.write(repairing.remove_strays, strays)
        for portion in _portions(sizes):
            left = sorted(portion)
            while left:
                try:
                    page = await self._fetch(inquiry.at, left)
                except RequestTooLargeError as error:
                    if error.code != RANGE_TOO_LARGE:  # of something between, which a pull might not get past either
                        raise
                    await self._fetch_bucket(inquiry, left[0][0])
                    return False
                places = set(left[: _answered(page, len(left))])
                changed = await self._store.write(repairing.replace_ranges, inquiry.at, places, page)
                if changed is None:
                    return False
                inquiry.changed += changed
                inquiry.fetched |= places
                left = left[len(places) :]
                self._flow.moved()
        return True

    async def _fetch_bucket(self, inquiry: _Inquiry, bucket: str) -> None:
        """Let the next pull bring a bucket from its beginning, page by page: one range of it is too much for a page.

        It comes once. Where it differs all the same, the server's sums or its log are in doubt: a recount mends those, and
        what it mends comes with the next pull. Raises ReplicaDiffersError where it differs after that, too.
        """
        if bucket not in inquiry.anew:
            await self._store.write(replica.stage_anew, bucket)
            inquiry.anew[bucket] = 0
        elif inquiry.recount:
            inquiry.anew[bucket] += 1
            if inquiry.anew[bucket] == RECOUNTS_MAX:
                raise ReplicaDiffersError(None, (bucket,))
        inquiry.fetched |= {place for place in inquiry.differing if place[0] == bucket}
        inquiry.recount = True
        if inquiry.local is not None:
            inquiry.local.places = {place for place in inquiry.local.places if place[0] != bucket}

    async def _fetch(self, at: Checkpoint, places: list[Place]) -> Page:
        identity, incarnation, endpoint = await self._server()
        assert at.epoch is not None, "nothing is repaired before the first checkpoint"
        request = RepairRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=identity.device_id,
            incarnation=incarnation.present,
            epoch=at.epoch,
            ranges=integrity.ranges_of(places),
        )
        with self._flow.pulling((at.cursor, request.ranges[0])) as hear:
            return await read_repair(endpoint, request, hear)

    async def _count(self, kinds: Collection[str] | None) -> Recount:
        """All rows of these kinds of bucket, or of all, computed anew."""
        counted = Recount(kinds)
        while await self._store.read(counted.count_on):
            pass
        self._flow.moved()
        return counted


def _checkpoint_of(trailer: PageTrailer) -> Checkpoint:
    return Checkpoint(epoch=trailer.epoch, cursor=trailer.cursor)


def _note(connection: apsw.Connection, found: Suspects, *, is_scrubbing: bool) -> Suspects:
    """Scrub where that is due, and keep in mind what is to be looked into until it is settled."""
    changed = integrity.scrub(connection, integrity.SCRUBBED_ROWS) if is_scrubbing else set[str]()
    suspects = Suspects(found.buckets, tuple(sorted({*found.kinds, *changed})))
    if suspects:
        integrity.note_suspects(connection, suspects)
    return suspects


def _held(connection: apsw.Connection, buckets: Iterable[str]) -> tuple[Checkpoint, dict[Place, Held]]:
    return checkpoint(connection), integrity.kept_ranges(connection, buckets)


def _rows(held: Mapping[Place, Held], place: Place) -> int:
    return held[place].rows if place in held else 0


def _answered(page: Page, asked: int) -> int:
    """How many of the ranges that were asked for are on a page, which are the first of them. Raises BadReplyError."""
    said = page.trailer.ranges_answered
    answered = asked if said is None else said
    if not 0 < answered <= asked:
        raise BadReplyError(f"it answers {answered} of {asked} ranges")
    return answered


def _portions(sizes: Mapping[Place, int]) -> Iterator[set[Place]]:
    """The ranges in portions that are not too much at once."""
    portion, rows = set[Place](), 0
    for place in sorted(sizes):
        if portion and (len(portion) == REPAIR_RANGES_MAX or rows + sizes[place] > REPAIR_ROWS_MAX):
            yield portion
            portion, rows = set(), 0
        portion.add(place)
        rows += sizes[place]
    if portion:
        yield portion
