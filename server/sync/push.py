"""Intents up: each in its own savepoint, exactly one verdict each, all in one commit (design rules 11 to 16).

The record of an intent, whose key is the intent's id, is inserted before anything is done: it is the dedupe. Effect,
record and verdict commit together. What the server itself fails on has no verdict: it is deferred, and set aside for
support after five failures, so that it blocks nothing.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from server.changelog.log import read_head, seal
from server.changelog.models import IntentFailureModel, IntentRecordModel
from server.runtime.clock import IdSource
from server.runtime.database import WriteSession
from server.runtime.errors import BusyError
from server.runtime.outages import is_clash, is_collision, is_outage
from server.runtime.slices import IntentContext, IntentHandler
from server.sync.devices import Asker, rotate_incarnation
from server.sync.errors import EpochChangedError
from server.sync.scope import territories_of
from sync_protocol.intents import INTENTS, AnyIntent, CreateCustomer, Intent, SubmitOrder
from sync_protocol.verdicts import Code, Outcome, Verdict
from sync_protocol.wire.codec import WireError, decode_intent, decode_verdict, digest, encode
from sync_protocol.wire.messages import IntentEnvelope, PushReply, PushRequest, PushResult, PushStatus
from sync_protocol.wire.version import PROTOCOL_VERSION

FAILURES_MAX: Final = 5
CLASHES_MAX: Final = 3
_UNDECIDED: Final = ""
_MADE_BY: Final = {Code.UNKNOWN_CUSTOMER: CreateCustomer.__name__, Code.UNKNOWN_ORDER: SubmitOrder.__name__}
_SCHEMA_VERSIONS: Final = {kind.__name__: kind.schema_version for kind in INTENTS}

_log = logging.getLogger(__name__)

Handlers = Mapping[type[Intent], IntentHandler]


class TransientDatabaseError(Exception):
    """A deadlock or a serialisation failure: the whole push is tried again."""


class Pusher:
    """Decides the intents of one push, in one transaction."""

    def __init__(self, session: WriteSession, handlers: Handlers, asker: Asker, ids: IdSource, now_ms: int) -> None:
        self._session = session
        self._handlers = handlers
        self._asker = asker
        self._ids = ids
        self._now_ms = now_ms
        self._deferred_lanes: dict[UUID, UUID] = {}
        self._territories: frozenset[UUID] = frozenset()

    async def push(self, request: PushRequest) -> PushReply:
        """A result for each envelope, in order."""
        head = await read_head(self._session)
        if request.epoch is not None and request.epoch != head.epoch:
            raise EpochChangedError
        await rotate_incarnation(self._session, self._asker, request, self._now_ms)
        results = await self.decide(request.intents)
        return PushReply(
            audience=self._asker.device_id,
            epoch=head.epoch,
            results=tuple(_for_protocol(result, request.protocol_version) for result in results),
            server_time_ms=self._now_ms,
        )

    async def decide(self, envelopes: Sequence[IntentEnvelope]) -> list[PushResult]:
        """A result for each envelope, in order: the transaction's last act."""
        self._territories = await territories_of(self._session, self._asker.principal.rep_id)
        results = [await self._decide(envelope) for envelope in envelopes]
        place = await seal(self._session)
        asked = [envelope.id for envelope in envelopes]
        decided_here = sa.and_(IntentRecordModel.id.in_(asked), IntentRecordModel.commit_seq < 0)
        await self._session.execute(sa.update(IntentRecordModel).where(decided_here).values(commit_seq=place))
        return [_at(result, place) for result in results]

    async def _decide(self, envelope: IntentEnvelope) -> PushResult:
        if digest(envelope.body) != envelope.digest:
            return self._defer(envelope, "digest: it is not that of the body; send it again")
        if envelope.schema_version > _SCHEMA_VERSIONS.get(envelope.kind, 0):
            wanted = f"{envelope.kind} {envelope.schema_version}"
            return self._defer(envelope, f"this server does not know {wanted} yet; update it")
        known = await self._known(envelope)
        if known is not None:
            return known
        intent, fault = _decoded(envelope)
        lanes = intent.lanes() if intent is not None else ()
        waiting = next((self._deferred_lanes[lane] for lane in lanes if lane in self._deferred_lanes), None)
        if waiting is not None:
            return self._defer(envelope, f"waits for intent {waiting}", lanes)
        return await self._attempt(envelope, intent, fault)

    async def _known(self, envelope: IntentEnvelope) -> PushResult | None:
        """The stored answer to an id that was decided before."""
        query = sa.select(
            IntentRecordModel.digest, IntentRecordModel.verdict, IntentRecordModel.commit_seq, IntentRecordModel.user_id
        )
        record = (await self._session.execute(query.where(IntentRecordModel.id == envelope.id))).one_or_none()
        if record is None:
            return None
        if record.digest != envelope.digest or record.user_id != self._asker.principal.user_id:
            self._hold_lanes(envelope)
            detail = "id: it was used before for another intent; nothing was done"
            return PushResult(intent_id=envelope.id, status=PushStatus.CONFLICT, detail=detail)
        place = max(0, record.commit_seq)  # twice in one push: it gets its place with the rest
        return PushResult(intent_id=envelope.id, status=PushStatus.DECIDED, verdict=record.verdict, commit_seq=place)

    async def _attempt(self, envelope: IntentEnvelope, intent: AnyIntent | None, fault: str) -> PushResult:
        """Decide in a savepoint; a failure of the server's own undoes it and defers the intent.

        Where a unique value is taken, the intent was decided by another connection meanwhile, or a number was just taken and
        the second trial finds another, or an id in the intent is not new.
        """
        for trial in range(CLASHES_MAX):
            try:
                return await self._in_savepoint(envelope, intent, fault)
            except DBAPIError as error:
                if not is_clash(error):
                    return await self._database_failed(envelope, intent, error)
            except Exception as error:  # noqa: BLE001  # whatever a handler raises must not block the other intents
                return await self._failed(envelope, intent, error)
            known = await self._known(envelope)
            if known is not None:
                return known
            if trial:
                intent, fault = None, "an id in it is in use by something else"
        raise TransientDatabaseError

    async def _database_failed(self, envelope: IntentEnvelope, intent: AnyIntent | None, error: DBAPIError) -> PushResult:
        """Where it is the database that fails, no intent is to blame: the whole push is undone. Raises BusyError."""
        if is_collision(error):
            raise TransientDatabaseError from error
        if is_outage(error):
            raise BusyError("the database has no room or is away, and nothing was changed; try again later") from error
        return await self._failed(envelope, intent, error)

    async def _in_savepoint(self, envelope: IntentEnvelope, intent: AnyIntent | None, fault: str) -> PushResult:
        async with self._session.begin_nested():
            await self._insert_record(envelope, intent)
            verdict = await self._verdict(envelope, intent, fault)
            body = encode(verdict)
            await self._session.execute(
                sa.update(IntentRecordModel)
                .where(IntentRecordModel.id == envelope.id)
                .values(outcome=verdict.outcome, verdict=body)
            )
        return PushResult(intent_id=envelope.id, status=PushStatus.DECIDED, verdict=body, commit_seq=0)

    async def _insert_record(self, envelope: IntentEnvelope, intent: AnyIntent | None) -> None:
        lanes = intent.lanes() if intent is not None else ()
        # PostgreSQL cannot store every character that a zone can be sent with; the fault is in the verdict.
        kept = envelope if envelope.time_zone.isprintable() else msgspec.structs.replace(envelope, time_zone="UTC")
        values = msgspec.structs.asdict(kept)
        del values["lanes"]  # they follow from the body
        await self._session.execute(
            sa.insert(IntentRecordModel).values(
                **values,
                subject_id=lanes[0] if lanes else None,
                user_id=self._asker.principal.user_id,
                device_id=self._asker.device_id,
                received_at_ms=self._now_ms,
                outcome=_UNDECIDED,
                verdict=b"",
                commit_seq=-1,
            )
        )

    async def _verdict(self, envelope: IntentEnvelope, intent: AnyIntent | None, fault: str) -> Verdict:
        context = self._context(envelope)
        if intent is None:
            return context.rejected(Code.MALFORMED, fault)
        if self._asker.principal.role not in type(intent).roles:
            return context.rejected(Code.NOT_PERMITTED, f"a {self._asker.principal.role} may not ask this")
        verdict = await self._handlers[type(intent)](self._session, intent, context)
        maker = _MADE_BY.get(verdict.codes[0]) if verdict.codes else None
        return await self._name_dependency(intent, verdict, maker) if maker else verdict

    async def _name_dependency(self, intent: AnyIntent, verdict: Verdict, maker: str) -> Verdict:
        """Where what is missing, the last of the lanes, was refused to this user before, say by which intent."""
        refused = sa.select(IntentRecordModel.id).where(
            IntentRecordModel.subject_id == intent.lanes()[-1],
            IntentRecordModel.kind == maker,
            IntentRecordModel.user_id == self._asker.principal.user_id,
            IntentRecordModel.outcome == Outcome.REJECTED,
        )
        first = (await self._session.execute(refused.order_by(IntentRecordModel.received_at_ms).limit(1))).scalar_one_or_none()
        if first is None:
            return verdict
        return msgspec.structs.replace(verdict, codes=(Code.DEPENDENCY_REFUSED,), refused_intent_id=first)

    def _context(self, envelope: IntentEnvelope) -> IntentContext:
        principal = self._asker.principal
        return IntentContext(
            intent_id=envelope.id,
            captured_at_ms=envelope.captured_at_ms,
            clock_skew_ms=envelope.clock_skew_ms,
            decided_at_cursor=envelope.decided_at_cursor,
            time_zone=envelope.time_zone,
            now_ms=self._now_ms,
            ids=self._ids,
            user_id=principal.user_id,
            role=principal.role,
            number_prefix=self._asker.number_prefix,
            rep_id=principal.rep_id,
            customer_id=principal.customer_id,
            territory_ids=self._territories,
        )

    async def _failed(self, envelope: IntentEnvelope, intent: AnyIntent | None, error: Exception) -> PushResult:
        """Count a failure of the server's own; the fifth sets the intent aside with a verdict, so that it blocks nothing."""
        _log.error("intent %s (%s) failed", envelope.id, envelope.kind, exc_info=error)
        query = sa.select(IntentFailureModel).where(IntentFailureModel.intent_id == envelope.id)
        failure = (await self._session.execute(query)).scalar_one_or_none()
        if failure is None:
            failure = IntentFailureModel(intent_id=envelope.id, failures=0, last_error="")
            self._session.add(failure)
        failure.failures += 1
        failure.last_error = repr(error)[:2_000]
        await self._session.flush()
        if failure.failures < FAILURES_MAX:
            counted = f"the server failed on it ({failure.failures} of {FAILURES_MAX}); it will be tried again"
            return self._defer(envelope, counted, intent.lanes() if intent is not None else ())
        return await self._quarantine(envelope, intent)

    async def _quarantine(self, envelope: IntentEnvelope, intent: AnyIntent | None) -> PushResult:
        verdict = self._context(envelope).rejected(Code.QUARANTINED)
        body = encode(verdict)
        await self._insert_record(envelope, intent)
        await self._session.execute(
            sa.update(IntentRecordModel).where(IntentRecordModel.id == envelope.id).values(outcome=verdict.outcome, verdict=body)
        )
        return PushResult(intent_id=envelope.id, status=PushStatus.DECIDED, verdict=body, commit_seq=0)

    def _defer(self, envelope: IntentEnvelope, detail: str, lanes: tuple[UUID, ...] = ()) -> PushResult:
        """Not yet: and what shares a lane with it, as it says or as its envelope does, must not overtake it."""
        for lane in (*lanes, *envelope.lanes):
            self._deferred_lanes.setdefault(lane, envelope.id)
        return PushResult(intent_id=envelope.id, status=PushStatus.DEFERRED, detail=detail)

    def _hold_lanes(self, envelope: IntentEnvelope) -> None:
        """Let what depends on an intent wait until that has an id of its own."""
        for lane in envelope.lanes:
            self._deferred_lanes.setdefault(lane, envelope.id)


def _decoded(envelope: IntentEnvelope) -> tuple[AnyIntent | None, str]:
    """The intent, or None with what is wrong with it."""
    try:
        intent = decode_intent(envelope.body)
    except WireError as error:
        return None, str(error)
    if type(intent).__name__ != envelope.kind:
        return None, f"kind: it says {envelope.kind}, the body is a {type(intent).__name__}"
    if not envelope.time_zone.isprintable():
        return None, "time_zone: it is the name of no zone"
    return intent, ""


def _at(result: PushResult, place: int) -> PushResult:
    """A result that was decided here stands where the transaction stands."""
    decided_here = result.status is PushStatus.DECIDED and result.commit_seq == 0
    return msgspec.structs.replace(result, commit_seq=place) if decided_here else result


def _for_protocol(result: PushResult, protocol_version: int) -> PushResult:
    """A result in the codes that an older device knows. What is stored stays as it was decided."""
    if result.status is not PushStatus.DECIDED or protocol_version >= PROTOCOL_VERSION:
        return result
    verdict = decode_verdict(result.verdict)
    told = verdict.for_protocol(protocol_version)
    return result if told is verdict else msgspec.structs.replace(result, verdict=encode(told))
