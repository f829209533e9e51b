"""What a manager decides of the quarantine: released as a rep of their choice, or discarded, each with a reason for the record."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.changelog.log import read_head
from server.changelog.models import IntentRecordModel
from server.customers.models import CustomerModel, RepModel
from server.identity.models import DeviceModel, UserModel
from server.identity.principals import Principal, Role
from server.runtime.clock import IdSource
from server.runtime.database import ReadSession, WriteSession
from server.runtime.errors import ConflictError, InvalidRequestError, one_line
from server.sync.devices import Asker
from server.sync.push import Handlers, Pusher
from server.sync.quarantine import WAITING, QuarantinedIntentModel
from sync_protocol.intents import AnyIntent
from sync_protocol.values import normal_text
from sync_protocol.verdicts import DISCARDED_BY_MANAGER, Code, Outcome, Verdict
from sync_protocol.wire.codec import WireError, decode, decode_verdict, encode, intent_of
from sync_protocol.wire.messages import IntentEnvelope, PushResult

RELEASED: Final = "released"
DISCARDED: Final = "discarded"
_NOT_SERVED: Final = frozenset({Code.NOT_PERMITTED, Code.HANDED_OVER})


class QuarantineUnfitError(InvalidRequestError):
    """What was asked of the quarantine makes no sense; `fields` names each place with its remedy."""

    code = "quarantine_unfit"

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(one_line(fields.items()), fields=fields)


class QuarantineDecidedError(ConflictError):
    """Somebody decided it before."""

    code = "quarantine_decided"

    def __init__(self, intent_id: UUID, state: str) -> None:
        super().__init__(f"intent {intent_id} was {state} before; nothing was changed")
        self.intent_id = intent_id
        self.state = state


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """An intent in the quarantine, with who sent it. `intent` is None where it cannot be read.

    `customer_code` says whom it is for, None where the intent names no customer that is known.
    """

    stored: QuarantinedIntentModel
    envelope: IntentEnvelope
    intent: AnyIntent | None
    user_name: str
    device_name: str
    customer_code: str | None


async def list_quarantine(
    session: ReadSession, *, decided_too: bool = False, after_id: UUID | None = None, limit: int = 200
) -> list[Quarantined]:
    """What is in the quarantine, in the order of the intents' ids, which grow with time."""
    query = (
        sa.select(QuarantinedIntentModel, UserModel.name.label("user_name"), DeviceModel.name.label("device_name"))
        .join(DeviceModel, DeviceModel.id == QuarantinedIntentModel.device_id)
        .join(UserModel, UserModel.id == QuarantinedIntentModel.user_id)
        .order_by(QuarantinedIntentModel.id)
        .limit(limit)
    )
    if not decided_too:
        query = query.where(QuarantinedIntentModel.state == WAITING)
    if after_id is not None:
        query = query.where(QuarantinedIntentModel.id > after_id)
    rows = (await session.execute(query)).all()
    read = [_read(row.QuarantinedIntentModel) for row in rows]
    named = {intent.customer() for _, intent in read if intent is not None} - {None}
    known = await session.execute(sa.select(CustomerModel.id, CustomerModel.code).where(CustomerModel.id.in_(named)))
    codes = {row.id: row.code for row in known}
    return [
        Quarantined(
            stored=row.QuarantinedIntentModel,
            envelope=envelope,
            intent=intent,
            user_name=row.user_name,
            device_name=row.device_name,
            customer_code=codes.get(intent.customer()) if intent is not None else None,
        )
        for row, (envelope, intent) in zip(rows, read, strict=True)
    ]


def _read(stored: QuarantinedIntentModel) -> tuple[IntentEnvelope, AnyIntent | None]:
    envelope = decode(stored.envelope, IntentEnvelope)
    try:
        return envelope, intent_of(envelope)
    except WireError:
        return envelope, None


async def release(
    session: WriteSession,
    intent_ids: Sequence[UUID],
    *,
    rep_id: UUID,
    reason: str,
    user_id: UUID,
    handlers: Handlers,
    ids: IdSource,
    now_ms: int,
) -> list[PushResult]:
    """Decide intents in the order in which they came, as if this rep had asked. The transaction's last act.

    Raises QuarantineUnfitError, QuarantineDecidedError.
    """
    if await session.get(RepModel, rep_id) is None:
        raise QuarantineUnfitError({"rep_id": "names no rep; check the id"})
    chosen = await _lock_to_decide(session, intent_ids, reason)
    await _refuse_overtaking(session, chosen)
    answered = await _answered(session, chosen)
    results: list[PushResult] = []
    for stored in chosen:
        pusher = Pusher(session, handlers, await _as_rep(session, stored, rep_id), ids, now_ms)
        results += await pusher.decide([decode(stored.envelope, IntentEnvelope)])
        if results[-1].verdict and stored.id not in answered:
            _require_served(stored.id, decode_verdict(results[-1].verdict))
        if results[-1].verdict:
            _note(stored, RELEASED, user_id=user_id, reason=reason, now_ms=now_ms, as_rep_id=rep_id)
    return results


async def discard(session: WriteSession, intent_ids: Sequence[UUID], *, reason: str, user_id: UUID, now_ms: int) -> None:
    """Reject intents for good; a device that sends one again is told so. Raises QuarantineUnfitError, QuarantineDecidedError."""
    place = (await read_head(session)).head
    chosen = await _lock_to_decide(session, intent_ids, reason)
    await _refuse_answered(session, chosen)
    for stored in chosen:
        verdict = Verdict(
            intent_id=stored.id,
            outcome=Outcome.REJECTED,
            decided_at_ms=now_ms,
            codes=(Code.NOT_PERMITTED,),
            detail=f"{DISCARDED_BY_MANAGER}: {normal_text(reason)}",
        )
        session.add(_record_of(stored, verdict, place))
        _note(stored, DISCARDED, user_id=user_id, reason=reason, now_ms=now_ms)
    await session.flush()


async def _lock_to_decide(session: WriteSession, intent_ids: Sequence[UUID], reason: str) -> list[QuarantinedIntentModel]:
    """The intents in the order in which they came, locked: of two managers at once the second finds them decided."""
    if not normal_text(reason):
        raise QuarantineUnfitError({"reason": "is empty; say why, it is kept for the record"})
    query = sa.select(QuarantinedIntentModel).where(QuarantinedIntentModel.id.in_(intent_ids))
    ordered = query.order_by(QuarantinedIntentModel.received_at_ms, QuarantinedIntentModel.position, QuarantinedIntentModel.id)
    found = (await session.execute(ordered.with_for_update())).scalars().all()
    known = {stored.id for stored in found}
    missing = {
        f"intent_ids[{place}]": "is not in the quarantine; GET /quarantine or «roadbook quarantine list» shows all"
        for place, intent_id in enumerate(intent_ids)
        if intent_id not in known
    }
    if missing:
        raise QuarantineUnfitError(missing)
    decided = next((stored for stored in found if stored.state != WAITING), None)
    if decided is not None:
        raise QuarantineDecidedError(decided.id, decided.state)
    return list(found)


async def _refuse_answered(session: WriteSession, chosen: Sequence[QuarantinedIntentModel]) -> None:
    """Its user may have sent it from another device meanwhile. A verdict is for ever. Raises QuarantineDecidedError."""
    for intent_id in await _answered(session, chosen):
        raise QuarantineDecidedError(intent_id, "decided on another device; release it to see how, it")


async def _answered(session: ReadSession, chosen: Sequence[QuarantinedIntentModel]) -> set[UUID]:
    """Which of them have a verdict."""
    known = sa.select(IntentRecordModel.id).where(IntentRecordModel.id.in_([stored.id for stored in chosen]))
    return set((await session.execute(known)).scalars())


def _require_served(intent_id: UUID, verdict: Verdict) -> None:
    """A manager who named the wrong rep names another; the leaver's order must not be gone by that. Raises QuarantineUnfitError."""
    if _NOT_SERVED.intersection(verdict.codes):
        remedy = "name one who serves the customer, or discard it"
        raise QuarantineUnfitError({"rep_id": f"names a rep who may not ask for {intent_id}; {remedy}"})


async def _refuse_overtaking(session: WriteSession, chosen: Sequence[QuarantinedIntentModel]) -> None:
    """Order is kept within an aggregate: what came before on the same lane is decided before, or together."""
    names = {stored.id for stored in chosen}
    lanes: dict[UUID, UUID] = {}
    for stored in chosen:
        for lane in decode(stored.envelope, IntentEnvelope).lanes:
            lanes.setdefault(lane, stored.id)
    devices = {stored.device_id for stored in chosen}
    last = max((stored.received_at_ms, stored.position) for stored in chosen)
    waiting = sa.select(QuarantinedIntentModel).where(
        QuarantinedIntentModel.device_id.in_(devices), QuarantinedIntentModel.state == WAITING
    )
    for other in (await session.execute(waiting)).scalars():
        if other.id in names or (other.received_at_ms, other.position) >= last:
            continue
        overtaken = next((lane for lane in decode(other.envelope, IntentEnvelope).lanes if lane in lanes), None)
        if overtaken is not None:
            raise QuarantineUnfitError({"intent_ids": f"leaves out {other.id}, which came before on the same order; add it"})


async def _as_rep(session: ReadSession, stored: QuarantinedIntentModel, rep_id: UUID) -> Asker:
    """The leaver's device, with the rights of the rep that a manager chose and no others."""
    device = await session.get_one(DeviceModel, stored.device_id)
    user = await session.get_one(UserModel, stored.user_id)
    principal = Principal(
        user_id=user.id, login=user.login, name=user.name, role=Role.REP, rep_id=rep_id, device_id=stored.device_id
    )
    return Asker(
        principal=principal,
        device_id=device.id,
        number_prefix=device.number_prefix,
        incarnation=device.incarnation,
        previous_incarnation=device.previous_incarnation,
    )


def _note(
    stored: QuarantinedIntentModel, state: str, *, user_id: UUID, reason: str, now_ms: int, as_rep_id: UUID | None = None
) -> None:
    stored.state = state
    stored.decided_by_id = user_id
    stored.decided_at_ms = now_ms
    stored.as_rep_id = as_rep_id
    stored.reason = normal_text(reason)


def _record_of(stored: QuarantinedIntentModel, verdict: Verdict, place: int) -> IntentRecordModel:
    """The record of an intent that is answered from now on."""
    envelope = decode(stored.envelope, IntentEnvelope)
    return IntentRecordModel(
        id=stored.id,
        digest=stored.digest,
        kind=stored.kind,
        schema_version=envelope.schema_version,
        body=envelope.body,
        subject_id=envelope.lanes[0] if envelope.lanes else None,
        user_id=stored.user_id,
        device_id=stored.device_id,
        captured_at_ms=envelope.captured_at_ms,
        time_zone=envelope.time_zone if envelope.time_zone.isprintable() else "UTC",
        clock_skew_ms=envelope.clock_skew_ms,
        decided_at_cursor=envelope.decided_at_cursor,
        rules_version=envelope.rules_version,
        received_at_ms=stored.received_at_ms,
        outcome=str(verdict.outcome),
        verdict=encode(verdict),
        commit_seq=place,
    )
