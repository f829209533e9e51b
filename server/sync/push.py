"""Intents up: exactly one verdict each, whatever becomes of the others, all in one commit (design rules 11 to 16).

A push is decided as a whole: what its intents need is read at once, each is decided in turn in memory, seeing what those
before it did, and all is written at the end in few statements, in a savepoint. Where anything fails, the savepoint is
undone and the push is decided again in parts, down to one intent alone, the same way: so a failure undoes the effect of
its own intent and of no other. The records of intents, whose key is the intent's id, are written first: they are the
dedupe. Effects, records and verdicts commit together.

What the server itself fails on has no verdict: it is deferred, and set aside for support after five failures, so that it
blocks nothing.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from server.changelog.forgetting import may_be_forgotten
from server.changelog.log import read_head, seal
from server.changelog.models import IntentFailureModel
from server.customers.territories import territories_of
from server.orders.foresight import foresee
from server.runtime.bulk_statements import BulkStatements
from server.runtime.clock import IdSource
from server.runtime.database import WriteSession
from server.runtime.errors import BusyError
from server.runtime.outages import DatabaseBusyError, is_clash, is_collision, is_outage
from server.runtime.slices import IntentContext, IntentHandler
from server.runtime.unit_of_work import IdInUseError, UnitOfWork
from server.sync.devices import Asker, rotate_incarnation
from server.sync.errors import EpochChangedError
from server.sync.histories import is_of_this_past
from server.sync.lanes import Lanes
from server.sync.reader import Reader
from server.sync.records import Records, place_records
from sync_protocol.intents import INTENTS, AnyIntent, CreateCustomer, Intent, RequestQuote, SubmitOrder
from sync_protocol.verdicts import Code, Verdict
from sync_protocol.wire.codec import WireError, decode_verdict, digest, encode, intent_of
from sync_protocol.wire.messages import IntentEnvelope, PushReply, PushRequest, PushResult, PushStatus
from sync_protocol.wire.version import PROTOCOL_VERSION

FAILURES_MAX: Final = 5
CLASHES_MAX: Final = 3
_MADE_BY: Final = {
    Code.UNKNOWN_CUSTOMER: CreateCustomer.__name__,
    Code.UNKNOWN_ORDER: SubmitOrder.__name__,
    Code.UNKNOWN_QUOTE: RequestQuote.__name__,
}
_SCHEMA_VERSIONS: Final = {kind.__name__: kind.schema_version for kind in INTENTS}

_log = logging.getLogger(__name__)

Handlers = Mapping[type[Intent], IntentHandler]


class TransientDatabaseError(BusyError):
    """A deadlock or a serialisation failure: the whole push is tried again, by the server or by whoever asked."""

    def __init__(self) -> None:
        super().__init__("others are changing the same orders and stock, and nothing was done; try again")


class _Asked(msgspec.Struct, frozen=True):
    """An envelope with the intent in it, or with what is wrong with it."""

    envelope: IntentEnvelope
    intent: AnyIntent | None
    fault: str

    def lanes(self) -> tuple[UUID, ...]:
        return self.intent.lanes() if self.intent is not None else ()


class _IntentFailedError(Exception):
    """Deciding one intent of several failed: the others are decided without it."""

    def __init__(self, place: int) -> None:
        super().__init__(f"the intent at place {place} failed")
        self.place = place


class Pusher:
    """Decides the intents of one push, in one transaction."""

    def __init__(self, session: WriteSession, handlers: Handlers, asker: Asker, ids: IdSource, now_ms: int) -> None:
        self._session = session
        self._handlers = handlers
        self._asker = asker
        self._ids = ids
        self._now_ms = now_ms
        self._lanes = Lanes()
        self._territories: frozenset[UUID] = frozenset()
        self._statements: BulkStatements

    async def push(self, request: PushRequest) -> PushReply:
        """A result for each envelope, in order."""
        head = await read_head(self._session)
        reader = await Reader.of(self._session)
        if request.epoch not in {None, head.epoch} or not await is_of_this_past(reader, head, request.known):
            raise EpochChangedError
        await rotate_incarnation(self._session, self._asker, request, self._now_ms)
        results = await self.decide(request.intents)
        return PushReply(
            audience=self._asker.device_id,
            epoch=head.epoch,
            results=tuple(results),
            server_time_ms=self._now_ms,
            head=(await read_head(self._session)).place,
        )

    async def decide(self, envelopes: Sequence[IntentEnvelope]) -> list[PushResult]:
        """A result for each envelope, in order: the transaction's last act."""
        self._territories = await territories_of(self._session, self._asker.principal.rep_id)
        self._statements = await BulkStatements.of(self._session)
        results = await self._decide([_asked(envelope) for envelope in envelopes])
        place = (await seal(self._session)).head
        await place_records(self._session, [envelope.id for envelope in envelopes], place)
        return [_at(result, place) for result in results]

    async def _decide(self, asked: Sequence[_Asked]) -> list[PushResult]:
        """Decide all at once, or, where that fails, in parts."""
        if len(asked) <= 1:
            return [await self._decide_alone(each) for each in asked]
        lanes = self._lanes.copy()
        try:
            return await self._in_savepoint(asked)
        except _IntentFailedError as failure:
            parts = [asked[: failure.place], asked[failure.place : failure.place + 1], asked[failure.place + 1 :]]
        except Exception as error:  # noqa: BLE001  # whatever it is, one of the intents alone will show it again
            self._refuse_where_the_database_fails(error)
            parts = [asked[: len(asked) // 2], asked[len(asked) // 2 :]]
        self._lanes = lanes
        return [result for part in parts for result in await self._decide(part)]

    async def _decide_alone(self, asked: _Asked) -> PushResult:
        """Decide one intent; a failure of the server's own undoes it and defers it.

        Where a unique value is taken, the intent was decided by another connection meanwhile, or a number was just taken and
        the second trial finds another, or an id in the intent is not new.
        """
        for trial in range(CLASHES_MAX):
            try:
                (result,) = await self._in_savepoint([asked])
            except IdInUseError:
                pass
            except Exception as error:  # noqa: BLE001  # whatever a handler raises must not block the other intents
                self._refuse_where_the_database_fails(error)
                if not is_clash(error):
                    return await self._failed(asked, error)
            else:
                return result
            if trial:
                asked = _Asked(asked.envelope, None, "an id in it is in use by something else")
        raise TransientDatabaseError

    def _refuse_where_the_database_fails(self, error: Exception) -> None:
        """Where it is the database that fails, no intent is to blame: the whole push is undone. Raises BusyError."""
        if is_collision(error):
            raise TransientDatabaseError from error
        if is_outage(error):
            raise DatabaseBusyError(error) from error

    async def _in_savepoint(self, asked: Sequence[_Asked]) -> list[PushResult]:
        """Decide some intents in turn and write it all, or nothing of it.

        A full disk takes SQLite's savepoint too; that it is gone is raised from what went wrong first.
        """
        first: Exception | None = None
        try:
            async with self._session.begin_nested():
                await self._session.connection()  # SQLAlchemy sets the savepoint when it is asked for the connection, not before
                try:
                    return await self._decide_together(asked)
                except Exception as error:
                    first = error
                    raise
        except Exception as last:
            if first is None or last is first:
                raise
            raise last from first

    async def _decide_together(self, asked: Sequence[_Asked]) -> list[PushResult]:
        work = UnitOfWork(self._session, self._statements)
        records = Records(self._session, self._statements, self._asker, self._now_ms)
        await records.load(each.envelope.id for each in asked)
        fresh = [each for each in asked if records.known(each.envelope.id) is None]
        intents = [each.intent for each in fresh if each.intent is not None]
        await foresee(work, intents, self._asker.number_prefix, self._now_ms)
        results = []
        for place, each in enumerate(asked):
            try:
                results.append(await self._result(each, work, records))
            except DBAPIError:
                raise
            except Exception as error:
                if len(asked) == 1:
                    raise
                raise _IntentFailedError(place) from error
        await records.flush()
        await work.flush()
        return results

    async def _result(self, asked: _Asked, work: UnitOfWork, records: Records) -> PushResult:
        envelope = asked.envelope
        if not _is_whole(envelope):
            return self._defer(asked, "digest: it is not that of the body; send it again")
        if not _is_known(envelope):
            wanted = f"{envelope.kind} {envelope.schema_version}"
            return self._defer(asked, f"this server does not know {wanted} yet; update it")
        known = records.known(envelope.id)
        if known is not None:
            if known.digest == envelope.digest and known.user_id == self._asker.principal.user_id:
                return known.result(envelope.id)
            self._lanes.hold(envelope.lanes, envelope.id)
            detail = "id: it was used before for another intent; nothing was done"
            return PushResult(intent_id=envelope.id, status=PushStatus.CONFLICT, detail=detail)
        waiting = self._lanes.held_by(asked.lanes())
        if waiting is not None:
            return self._defer(asked, f"waits for intent {waiting}")
        return records.add(envelope, asked.intent, await self._verdict(asked, work, records))

    async def _verdict(self, asked: _Asked, work: UnitOfWork, records: Records) -> Verdict:
        context, intent = self._context(asked.envelope), asked.intent
        if intent is None:
            return context.rejected(Code.MALFORMED, asked.fault)
        if self._asker.principal.role not in type(intent).roles:
            return context.rejected(Code.NOT_PERMITTED, f"a {self._asker.principal.role} may not ask this")
        if await self._may_be_forgotten(asked.envelope):
            return context.rejected(Code.TOO_OLD, "whether it was decided before cannot be known any more")
        verdict = await self._handlers[type(intent)](work, intent, context)
        maker = _MADE_BY.get(verdict.codes[0]) if verdict.codes else None
        # Where what is missing was refused to this user before, say by which intent.
        refused = await records.first_refused(_missing(intent, verdict.codes[0]), maker) if maker else None
        if refused is None:
            return verdict
        return msgspec.structs.replace(verdict, codes=(Code.DEPENDENCY_REFUSED,), refused_intent_id=refused)

    async def _may_be_forgotten(self, envelope: IntentEnvelope) -> bool:
        return await may_be_forgotten(
            self._session,
            captured_at_ms=envelope.captured_at_ms,
            clock_skew_ms=envelope.clock_skew_ms,
            decided_at_cursor=envelope.decided_at_cursor,
            now_ms=self._now_ms,
        )

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

    async def _failed(self, asked: _Asked, error: Exception) -> PushResult:
        """Count a failure of the server's own; the fifth sets the intent aside with a verdict, so that it blocks nothing."""
        _log.error("intent %s (%s) failed", asked.envelope.id, asked.envelope.kind, exc_info=error)
        query = sa.select(IntentFailureModel).where(IntentFailureModel.intent_id == asked.envelope.id)
        failure = (await self._session.execute(query)).scalar_one_or_none()
        if failure is None:
            failure = IntentFailureModel(intent_id=asked.envelope.id, failures=0, last_error="")
            self._session.add(failure)
        failure.failures += 1
        failure.last_error = repr(error)[:2_000]
        await self._session.flush()
        if failure.failures < FAILURES_MAX:
            return self._defer(asked, f"the server failed on it ({failure.failures} of {FAILURES_MAX}); it will be tried again")
        records = Records(self._session, self._statements, self._asker, self._now_ms)
        result = records.add(asked.envelope, asked.intent, self._context(asked.envelope).rejected(Code.QUARANTINED))
        await records.flush()
        return result

    def _defer(self, asked: _Asked, detail: str) -> PushResult:
        """Not yet: and what shares a lane with it, as it says or as its envelope does, must not overtake it."""
        self._lanes.hold((*asked.lanes(), *asked.envelope.lanes), asked.envelope.id)
        return PushResult(intent_id=asked.envelope.id, status=PushStatus.DEFERRED, detail=detail)


def _asked(envelope: IntentEnvelope) -> _Asked:
    """An envelope, opened; what may not be read has no intent."""
    if not _is_whole(envelope) or not _is_known(envelope):
        return _Asked(envelope, None, "")
    try:
        intent = intent_of(envelope)
    except WireError as error:
        return _Asked(envelope, None, str(error))
    if type(intent).__name__ != envelope.kind:
        return _Asked(envelope, None, f"kind: it says {envelope.kind}, the body is a {type(intent).__name__}")
    if not envelope.time_zone.isprintable():
        return _Asked(envelope, None, "time_zone: it is the name of no zone")
    return _Asked(envelope, intent, "")


def _missing(intent: Intent, code: Code) -> UUID:
    """What an intent needs that is not there: the last of its lanes, or the quote that an order names."""
    if code is Code.UNKNOWN_QUOTE and isinstance(intent, SubmitOrder) and intent.quote_id is not None:
        return intent.quote_id
    return intent.lanes()[-1]


def _is_whole(envelope: IntentEnvelope) -> bool:
    return digest(envelope.body) == envelope.digest


def _is_known(envelope: IntentEnvelope) -> bool:
    return envelope.schema_version <= _SCHEMA_VERSIONS.get(envelope.kind, 0)


def _at(result: PushResult, place: int) -> PushResult:
    """A result that was decided here stands where the transaction stands."""
    decided_here = result.status is PushStatus.DECIDED and result.commit_seq == 0
    return msgspec.structs.replace(result, commit_seq=place) if decided_here else result


def in_protocol(reply: PushReply, protocol_version: int) -> PushReply:
    """A reply in the codes that a device of this version knows. What is stored stays as it was decided."""
    if protocol_version >= PROTOCOL_VERSION:
        return reply
    results = tuple(_for_protocol(result, protocol_version) for result in reply.results)
    return msgspec.structs.replace(reply, results=results, head=None)


def _for_protocol(result: PushResult, protocol_version: int) -> PushResult:
    if result.status is not PushStatus.DECIDED:
        return result
    verdict = decode_verdict(result.verdict)
    told = verdict.for_protocol(protocol_version)
    return result if told is verdict else msgspec.structs.replace(result, verdict=encode(told))
