"""What devices still send whose users left: kept as it came, without effect, until a manager decides.

Nothing of it is lost and nothing is trusted. A release decides it as if a rep of the manager's choice had asked; the
verdict goes to whoever sends it again, as any verdict does.
"""

from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import ForeignKey, Index
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from server.changelog.log import read_head
from server.changelog.models import IntentRecordModel
from server.identity.devices import RevocationReason
from server.identity.service import revoked
from server.runtime.database import Base, WriteSession
from server.sync.revocation import revoked_device
from sync_protocol.wire.codec import digest, encode
from sync_protocol.wire.messages import IntentEnvelope, PushReply, PushRequest, PushResult, PushStatus

INTENTS_MAX: Final = 5_000
BYTES_MAX: Final = 64 * 1024 * 1024
WAITING: Final = "waiting"
WITH_A_MANAGER: Final = "it is with a manager, because this device was revoked; it is not lost, and they decide"


class QuarantinedIntentModel(Base):
    """An intent of a leaver's device, as it came, and what a manager decided of it: who, when, for which rep, and why."""

    __tablename__ = "quarantined_intent"
    __table_args__ = (Index("ix_quarantined_intent_state", "state", "received_at_ms", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[bytes]
    envelope: Mapped[bytes]
    kind: Mapped[str]
    user_id: Mapped[UUID]
    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"), index=True)
    received_at_ms: Mapped[int]
    position: Mapped[int]
    state: Mapped[str]
    decided_by_id: Mapped[UUID | None]
    decided_at_ms: Mapped[int | None]
    as_rep_id: Mapped[UUID | None] = mapped_column(ForeignKey("rep.id"))
    reason: Mapped[str]


async def set_aside(session: WriteSession, token: str, request: PushRequest, now_ms: int) -> PushReply:
    """Keep what a leaver's device sends; what was decided meanwhile is answered. Raises DeviceRevokedError for other devices."""
    device, user = await revoked_device(session, token, request.device_id)
    if device.revoked_reason != RevocationReason.LEFT:
        raise revoked(device)
    head = await read_head(session)
    decided = await _decided(session, request)
    kept = await _kept(session, request)
    room = await _room(session, device.id)
    results = []
    for position, envelope in enumerate(request.intents):
        record = decided.get(envelope.id)
        if record is not None:
            is_same = record.digest == envelope.digest and record.user_id == user.id
            results.append(_verdict_of(record) if is_same else _conflict(envelope))
            continue
        body = encode(envelope)
        if digest(envelope.body) != envelope.digest:
            results.append(_put_off(envelope, "digest: it is not that of the body; send it again"))
        elif envelope.id in kept:
            is_same = kept[envelope.id] == (envelope.digest, user.id)
            results.append(_put_off(envelope, WITH_A_MANAGER) if is_same else _conflict(envelope))
        elif room < len(body):
            results.append(_put_off(envelope, "the quarantine has no room for more of this device; speak to your manager"))
        else:
            values = {
                "id": envelope.id,
                "digest": envelope.digest,
                "envelope": body,
                "kind": envelope.kind,
                "user_id": user.id,
                "device_id": device.id,
                "received_at_ms": now_ms,
                "position": position,
                "state": WAITING,
                "reason": "",
            }
            await session.execute(_insert(session).values(**values).on_conflict_do_nothing(index_elements=["id"]))
            kept[envelope.id] = (envelope.digest, user.id)
            room -= len(body)
            results.append(_put_off(envelope, WITH_A_MANAGER))
        # No place in the log: it was not looked whether this is the past that the device knows, and it keeps the places of that.
    return PushReply(audience=device.id, epoch=head.epoch, results=tuple(results), server_time_ms=now_ms)


async def _decided(session: WriteSession, request: PushRequest) -> dict[UUID, IntentRecordModel]:
    """What of a push has a verdict."""
    asked = sa.select(IntentRecordModel).where(IntentRecordModel.id.in_([envelope.id for envelope in request.intents]))
    return {record.id: record for record in (await session.execute(asked)).scalars()}


async def _kept(session: WriteSession, request: PushRequest) -> dict[UUID, tuple[bytes, UUID]]:
    """What of a push is in the quarantine already: the digest of each intent, and whose it is."""
    model = QuarantinedIntentModel
    asked = sa.select(model.id, model.digest, model.user_id).where(model.id.in_([envelope.id for envelope in request.intents]))
    return {row.id: (row.digest, row.user_id) for row in await session.execute(asked)}


async def _room(session: WriteSession, device_id: UUID) -> int:
    """How many bytes the quarantine still takes of a device; none where it holds as many intents as it may."""
    held = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(sa.func.length(QuarantinedIntentModel.envelope)), 0))
    count, size = (await session.execute(held.where(QuarantinedIntentModel.device_id == device_id))).one()
    return BYTES_MAX - int(size) if count < INTENTS_MAX else 0


def _verdict_of(record: IntentRecordModel) -> PushResult:
    return PushResult(intent_id=record.id, status=PushStatus.DECIDED, verdict=record.verdict, commit_seq=max(0, record.commit_seq))


def _conflict(envelope: IntentEnvelope) -> PushResult:
    return PushResult(
        intent_id=envelope.id, status=PushStatus.CONFLICT, detail="id: it was used before for another intent; nothing was done"
    )


def _put_off(envelope: IntentEnvelope, detail: str) -> PushResult:
    return PushResult(intent_id=envelope.id, status=PushStatus.DEFERRED, detail=detail)


def _insert(session: WriteSession) -> Any:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(QuarantinedIntentModel)
