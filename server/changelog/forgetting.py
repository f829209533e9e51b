"""Verdicts are kept for 180 days, longer than any device keeps an intent, and then forgotten with their intents.

What was forgotten must not be decided a second time. An intent without a record may be one of the forgotten where nothing
shows that it is younger: neither when it was captured, as its device says, nor the checkpoint that its user saw. A record is
forgotten by both, when it came and when it says that it was captured, so a wrong clock can only keep it longer.
"""

from typing import Final

import sqlalchemy as sa

from server.changelog.models import ChangeCommitModel, ChangeHeadModel, IntentFailureModel, IntentRecordModel
from server.runtime.database import ReadSession, WriteSession

INTENT_DAYS: Final = 180
CHUNK_INTENTS: Final = 5_000
_DAY_MS: Final = 86_400_000
_CLOCKS_MS: Final = 3_600_000
"""How far the clocks of the server's processes and of its database may be apart."""
_SKEW_MS_MAX: Final = 2**60
"""What a clock may be off by in SQL, whose numbers end at 2⁶³: beyond it nothing becomes younger or older."""


async def forget_intents(session: WriteSession, *, now_ms: int) -> int:
    """Forget verdicts that are older than 180 days, some thousands at once. Returns how many; none are left where it is 0."""
    cutoff = now_ms - INTENT_DAYS * _DAY_MS
    skew_ms = sa.func.coalesce(IntentRecordModel.clock_skew_ms, 0)
    bounded_ms = sa.case((skew_ms > _SKEW_MS_MAX, _SKEW_MS_MAX), (skew_ms < -_SKEW_MS_MAX, -_SKEW_MS_MAX), else_=skew_ms)
    said = IntentRecordModel.captured_at_ms - bounded_ms
    old = (
        sa.select(IntentRecordModel.id, IntentRecordModel.received_at_ms, said.label("said_ms"))
        .where(IntentRecordModel.received_at_ms < cutoff, said < cutoff)
        .order_by(IntentRecordModel.received_at_ms)
        .limit(CHUNK_INTENTS)
    )
    found = (await session.execute(old)).all()
    if not found:
        return 0
    last = max(max(record.received_at_ms, record.said_ms) for record in found) + _CLOCKS_MS
    await session.execute(
        sa.update(ChangeHeadModel).where(ChangeHeadModel.forgotten_before_ms < last).values(forgotten_before_ms=last)
    )
    intent_ids = [record.id for record in found]
    await session.execute(sa.delete(IntentFailureModel).where(IntentFailureModel.intent_id.in_(intent_ids)))
    await session.execute(sa.delete(IntentRecordModel).where(IntentRecordModel.id.in_(intent_ids)))
    return len(intent_ids)


async def may_be_forgotten(
    session: ReadSession, *, captured_at_ms: int, clock_skew_ms: int | None, decided_at_cursor: int, now_ms: int
) -> bool:
    """Whether an intent that has no record may have had one. Ask after its record was looked for, not before."""
    said_ms = captured_at_ms - (clock_skew_ms or 0)
    if said_ms >= now_ms - (INTENT_DAYS - 1) * _DAY_MS:
        return False  # nearly all are; nothing is looked up for them
    forgotten_before_ms = (await session.execute(sa.select(ChangeHeadModel.forgotten_before_ms))).scalar_one()
    if said_ms >= forgotten_before_ms:
        return False
    seen = sa.select(ChangeCommitModel.committed_at_ms).where(ChangeCommitModel.commit_seq <= decided_at_cursor)
    seen_at_ms = (await session.execute(seen.order_by(ChangeCommitModel.commit_seq.desc()).limit(1))).scalar_one_or_none()
    return (seen_at_ms or 0) < forgotten_before_ms
