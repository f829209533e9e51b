"""The sync: up with the intents, down with the rows, each as far as it gets; neither holds the other back.

Every step ends in one local transaction, so a kill at any moment leaves the state before it or after it.
"""

import asyncio
from collections.abc import Callable

import apsw
import msgspec

from client_sdk import journal, outbox, overlay, wipe
from client_sdk.clock import Surroundings
from client_sdk.errors import (
    BadReplyError,
    DeviceForkedError,
    DeviceRevokedError,
    DeviceWipedError,
    EpochChangedError,
    ReplicaDamagedError,
    RequestTooLargeError,
    RoadbookError,
    StoreBusyError,
    StoreTakenError,
)
from client_sdk.events import (
    DeviceRenewed,
    Event,
    IntentTooLarge,
    Listener,
    ReplicaRepaired,
    ScopeChanged,
    SyncProgress,
    SyncReport,
    VerdictArrived,
    Verification,
)
from client_sdk.flow import Flow
from client_sdk.journal import JournalEntry
from client_sdk.outbox import Waiting
from client_sdk.pulling import Puller
from client_sdk.reporting import Reporter, stall_report
from client_sdk.state import (
    Checkpoint,
    Identity,
    Incarnation,
    Untold,
    checkpoint,
    forget,
    load,
    log_known,
    note_decided,
    require_identity,
    save,
    untold,
)
from client_sdk.store import Store
from client_sdk.verifying import Ports, Verifier
from sync_protocol.wire.codec import WireError
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import (
    PAGE_ROWS_MAX,
    ForkRequest,
    PageTrailer,
    PushReply,
    PushRequest,
    PushResult,
    PushStatus,
    StallReport,
)
from sync_protocol.wire.version import PROTOCOL_VERSION

ProgressListener = Callable[[SyncProgress], None]


class Engine:
    """Syncs one store through an endpoint that is made anew for each identity."""

    def __init__(
        self,
        store: Store,
        endpoint_for: Callable[[Identity], SyncEndpoint],
        surroundings: Surroundings,
        listener: Listener,
        page_rows: int = PAGE_ROWS_MAX,
    ) -> None:
        self._store = store
        self._endpoint_for = endpoint_for
        self._surroundings = surroundings
        self._listener = listener
        self.flow = Flow(surroundings.timer, page_rows)
        self.problem: StallReport | None = None
        self._reporter = Reporter(store)
        self._running = asyncio.Lock()
        self._push_again = False
        self._puller = Puller(store, self._answering, surroundings, self._tell, self.flow)
        self._verifier = Verifier(Ports(self._answering, self._pull_on, self._tell), store, surroundings, self.flow)
        self._begin_report()
        self._shown: tuple[Identity, Incarnation] | None = None

    async def sync(self, progress: ProgressListener) -> SyncReport:
        """Push, pull, and push again what a restored server made us offer again.

        Where the push fails the pull is tried all the same; the first error is raised after both.
        """
        async with self._running:
            self._begin_report()
            try:
                await self._sync_as_one(progress)
            except DeviceRevokedError as error:
                await self._obey(error)
                raise
            return await self._report()

    def _begin_report(self) -> None:
        """Count from here on. A sync in which this becomes a new device is one sync, and has one report."""
        self._verdicts: list[JournalEntry] = []
        self._rows, self._repaired_rows = 0, 0
        self._lost: tuple[str, ...] = ()
        self._puller.begin_report()

    async def _report(self) -> SyncReport:
        told = await self._store.read(untold)
        if told != Untold():
            told = await self._store.write(_take_untold)
        at, deferred = await self._store.read(_come_to)
        return SyncReport(
            rows=self._rows,
            verdicts=tuple(self._verdicts),
            deferred=deferred,
            cursor=at.cursor,
            as_of_ms=at.as_of_ms,
            image_rows=self._puller.image_rows,
            is_rebuilt=self._puller.is_rebuilt,
            repaired_rows=self._repaired_rows,
            lost=self._lost,
            is_restored=told.is_restored,
            offered_again=told.offered_again,
            new_number_prefix=told.new_number_prefix,
        )

    async def _sync_as_one(self, progress: ProgressListener) -> None:
        try:
            await self._sync(progress)
        except DeviceForkedError:
            await self._renew()
            await self._sync(progress)

    async def _obey(self, error: DeviceRevokedError) -> None:
        """Erase this device, where its server says so and proves that it is its server. Raises DeviceWipedError then."""
        order = await self._store.read(wipe.order_for, error.wipe_key, self._surroundings.clock.now_ms())
        if order is None:
            return
        wiped = DeviceWipedError()
        wipe.begin(self._store.path, order)
        self._store.end(wiped)
        wipe.resume(self._store.path)
        raise wiped from error

    async def _sync(self, progress: ProgressListener) -> None:
        failure: RoadbookError | None = None
        self._push_again = False
        try:
            await self._push(progress)
        except DeviceForkedError:
            raise
        except EpochChangedError:
            self._push_again = True  # after the pull, which finds out why and offers again what was acknowledged
        except RoadbookError as error:
            failure = error
        self._rows += await self._puller.pull(progress)
        if failure is not None:
            await self._tell_server(stall_report(failure, self._surroundings.clock.now_ms()))
            raise failure
        if self._push_again or self._puller.has_offered_again:
            await self._push(progress)
            self._rows += await self._puller.pull(progress)
        self._rows += await self._look(progress)
        await self._tell_server(self.problem)
        self.flow.moved()

    def _tell(self, event: Event) -> None:
        """Pass on what happened, and keep what the report says of it."""
        if isinstance(event, ReplicaRepaired):
            self._repaired_rows += sum(event.changed.values())
        if isinstance(event, ScopeChanged):
            self._lost += event.lost
        self._listener(event)

    async def _look(self, progress: ProgressListener) -> int:
        """Compare with the server; where the replica turns out to be damaged, pull it anew. Returns the rows that came of that."""
        if self._puller.trailer is None:
            return 0
        try:
            await self._verifier.look(self._puller.trailer)
        except ReplicaDamagedError:
            return await self._puller.pull(progress)
        return 0

    async def verify(self) -> Verification:
        """Compare everything with the server, after a sync, and repair what differs. Raises what `Verifier.verify` raises."""
        async with self._running:
            verification = await self._verifier.verify()
            await self._tell_server(self.problem)
        return verification

    async def _pull_on(self) -> PageTrailer:
        """Pull to the checkpoint that the server is at now."""
        await self._puller.pull(lambda _: None)
        assert self._puller.trailer is not None, "a pull ends at a checkpoint"
        return self._puller.trailer

    async def _tell_server(self, problem: StallReport | None) -> None:
        """How this device is, after rows came through: the server hears of what went wrong as soon as it hears anything."""
        identity, _ = await self._store.read(_who)
        proof = self._verifier.proof
        if not await self._reporter.report(self._endpoint_for(identity), problem or self._verifier.problem, proof):
            return
        if problem is self.problem:
            self.problem = None  # it is told; the next report takes it back
        if proof is not None:
            self._verifier.proof = None

    async def _answering(self) -> tuple[Identity, Incarnation, SyncEndpoint]:
        """As whom to ask the server, and where; a refusal as a copy is about this pair."""
        identity, incarnation = self._shown = await self._store.read(_who)
        return identity, incarnation, self._endpoint_for(identity)

    async def _renew(self) -> None:
        """Become a new device: another copy has been at the server since. The outbox stays."""
        identity, incarnation = now = await self._store.read(_who)
        if now != self._shown:
            raise StoreBusyError  # it was not a copy that has synced meanwhile, but another program on this file
        request = ForkRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=identity.device_id,
            incarnation=incarnation.present,
            device_name=identity.device_name,
        )
        enrolment = await self._endpoint_for(identity).fork(request)
        renewed = msgspec.structs.replace(
            identity,
            device_id=enrolment.device_id,
            token=enrolment.token,
            number_prefix=enrolment.number_prefix,
            wipe_lock=enrolment.wipe_lock,
        )
        both = Incarnation(enrolment.incarnation, enrolment.incarnation)
        await self._store.write(take_identity, renewed, both, is_renewed=True)
        self._listener(DeviceRenewed(renewed.number_prefix))

    async def _push(self, progress: ProgressListener) -> None:
        """Send everything that waits, batch by batch; what is deferred stays and is not tried again in this round."""
        total, sent, after = await self._store.read(outbox.count), 0, 0
        while batch := await self._store.read(outbox.next_batch, after, self.flow.intents.size, self.flow.aside()):
            identity, incarnation = self._shown = await self._store.write(_next_incarnation, self._surroundings.ids.token())
            epoch, known = await self._store.read(log_known)
            request = PushRequest(
                protocol_version=PROTOCOL_VERSION,
                device_id=identity.device_id,
                incarnation=incarnation.present,
                next_incarnation=incarnation.following,
                epoch=epoch,
                intents=tuple(waiting.envelope for waiting in batch),
                known=known,
            )
            try:
                with self.flow.pushing(len(batch)):
                    reply = await self._endpoint_for(identity).push(request)
            except RequestTooLargeError as error:
                after = await self._send_less(batch, error, after)
                continue
            arrived = await self._store.write(_take_reply, (identity, incarnation), request, reply, self._surroundings)
            self._verdicts.extend(arrived)
            for entry in arrived:
                self._listener(VerdictArrived(entry))
            if arrived:
                self.flow.moved()
            after, sent = batch[-1].sequence, sent + len(batch)
            progress(SyncProgress(phase="push", done=sent, expected=max(total, sent)))

    async def _send_less(self, batch: list[Waiting], error: RequestTooLargeError, after: int) -> int:
        """Half of it next, from the same place; what is too large alone is set aside, told, and passed over."""
        if self.flow.intents.halve(len(batch)):
            return after
        intent_id = batch[0].envelope.id
        self.flow.set_aside(intent_id)
        self.problem = stall_report(error, self._surroundings.clock.now_ms(), f"intent {intent_id}: {error.detail}")
        await self._store.write(outbox.note_problem, intent_id, error.detail)
        self._listener(IntentTooLarge(intent_id, error.detail))
        return batch[0].sequence


def take_identity(connection: apsw.Connection, identity: Identity, incarnation: Incarnation, *, is_renewed: bool = False) -> None:
    """Be this device from now on; where it `is_renewed`, by itself, its user is to hear of its new numbers.

    Raises StoreTakenError: a file is one user's for ever, with the orders in it.
    """
    before = load(connection, Identity)
    if before is not None and before.user_id != identity.user_id:
        raise StoreTakenError(before.user_name, identity.user_name, identity.device_name)
    save(connection, identity)
    save(connection, incarnation)
    save(connection, msgspec.structs.replace(untold(connection), new_number_prefix=identity.number_prefix if is_renewed else ""))


def _who(connection: apsw.Connection) -> tuple[Identity, Incarnation]:
    identity = require_identity(connection)
    incarnation = load(connection, Incarnation)
    assert incarnation is not None, "an identity always comes with an incarnation"
    return identity, incarnation


def _next_incarnation(connection: apsw.Connection, fresh: bytes) -> tuple[Identity, Incarnation]:
    """The pair to push with: the one of a push whose reply never came, or a fresh one, stored before it is sent."""
    identity, incarnation = _who(connection)
    if incarnation.following == incarnation.present:
        incarnation = Incarnation(incarnation.present, fresh)
        save(connection, incarnation)
    return identity, incarnation


def _take_reply(
    connection: apsw.Connection,
    shown: tuple[Identity, Incarnation],
    request: PushRequest,
    reply: PushReply,
    surroundings: Surroundings,
) -> list[JournalEntry]:
    """Verdicts into the journal, intents out of the outbox, the incarnation moved, the overlay laid anew: in one act."""
    if reply.audience != shown[0].device_id:
        raise BadReplyError("it is meant for another device")
    if [result.intent_id for result in reply.results] != [envelope.id for envelope in request.intents]:
        raise BadReplyError("it does not answer what was asked")
    arrived = []
    for result in reply.results:
        if result.status is PushStatus.DECIDED:
            entry = _recorded(connection, result, reply.server_time_ms)
            arrived += [entry] if entry is not None else []
            continue
        outbox.note_problem(connection, result.intent_id, result.detail)
        if result.status is PushStatus.CONFLICT:
            outbox.renew_id(connection, result.intent_id, surroundings.ids.new())
    if _who(connection) == shown:  # else another program on this file has pushed or become a new device meanwhile
        save(connection, Incarnation(shown[1].following, shown[1].following))
    if arrived:
        note_decided(connection, reply.epoch, reply.head, request.known)
    overlay.rebuild(connection)
    return arrived


def _recorded(connection: apsw.Connection, result: PushResult, server_time_ms: int) -> JournalEntry | None:
    try:
        return journal.record(connection, result, server_time_ms)
    except WireError as error:
        raise BadReplyError(f"verdict: {error}") from error


def _take_untold(connection: apsw.Connection) -> Untold:
    told = untold(connection)
    forget(connection, Untold)
    return told


def _come_to(connection: apsw.Connection) -> tuple[Checkpoint, int]:
    return checkpoint(connection), outbox.count(connection)
