"""The records of a push: which of its intents were decided before, and what is decided of the others now.

A record's key is its intent's id, which is the dedupe: of two pushes at once that decide the same intent, the second fails
on the key, before anything of it is done, and then finds the verdict of the first.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.changelog.models import IntentRecordModel
from server.runtime.bulk_statements import BulkStatements
from server.runtime.database import Base, WriteSession
from server.sync.devices import Asker
from sync_protocol.intents import AnyIntent
from sync_protocol.verdicts import Outcome, Verdict
from sync_protocol.wire.codec import encode
from sync_protocol.wire.messages import IntentEnvelope, PushResult, PushStatus

_TABLE: Final = Base.metadata.tables[IntentRecordModel.__tablename__]
_KNOWN: Final = ("id", "digest", "user_id", "verdict", "commit_seq")
_COLUMNS: Final = tuple(column.name for column in _TABLE.columns)
_DECIDED_HERE: Final = -1
"""In place of the commit_seq until the transaction is sealed."""


class Known(msgspec.Struct, frozen=True):
    """What was decided of an intent before, or earlier in this push."""

    digest: bytes
    user_id: UUID
    verdict: bytes
    commit_seq: int

    def result(self, intent_id: UUID) -> PushResult:
        """The stored answer; one of this push gets its place with the rest."""
        place = max(0, self.commit_seq)
        return PushResult(intent_id=intent_id, status=PushStatus.DECIDED, verdict=self.verdict, commit_seq=place)


class Records:
    """The records of a few intents of one asker. Those that are added are written by `flush`."""

    def __init__(self, session: WriteSession, statements: BulkStatements, asker: Asker, now_ms: int) -> None:
        self._session = session
        self._statements = statements
        self._asker = asker
        self._now_ms = now_ms
        self._known: dict[UUID, Known] = {}
        self._added: list[dict[str, Any]] = []

    async def load(self, intent_ids: Iterable[UUID]) -> None:
        """Read what was decided of these intents before."""
        keys = [(intent_id,) for intent_id in dict.fromkeys(intent_ids)]
        for intent_id, digest, user_id, verdict, commit_seq in await self._statements.select(_TABLE, _KNOWN, ("id",), keys):
            self._known[_as_id(intent_id)] = Known(digest, _as_id(user_id), verdict, commit_seq)

    def known(self, intent_id: UUID) -> Known | None:
        return self._known.get(intent_id)

    def add(self, envelope: IntentEnvelope, intent: AnyIntent | None, verdict: Verdict) -> PushResult:
        """Keep an intent, whose lanes are those of its body, with its verdict."""
        lanes = intent.lanes() if intent is not None else ()
        body = encode(verdict)
        values = {name: getattr(envelope, name) for name in envelope.__struct_fields__ if name != "lanes"}
        # PostgreSQL cannot store every character that a zone can be sent with; the fault is in the verdict.
        zone = envelope.time_zone if envelope.time_zone.isprintable() else "UTC"
        self._added.append(
            values
            | {
                "time_zone": zone,
                "subject_id": lanes[0] if lanes else None,
                "user_id": self._asker.principal.user_id,
                "device_id": self._asker.device_id,
                "received_at_ms": self._now_ms,
                "outcome": str(verdict.outcome),
                "verdict": body,
                "commit_seq": _DECIDED_HERE,
            }
        )
        known = Known(envelope.digest, self._asker.principal.user_id, body, _DECIDED_HERE)
        self._known[envelope.id] = known
        return known.result(envelope.id)

    async def first_refused(self, subject_id: UUID, kind: str) -> UUID | None:
        """The first intent of this kind about this aggregate that was refused to the asker, before or in this push."""
        refused = sa.select(IntentRecordModel.id).where(
            IntentRecordModel.subject_id == subject_id,
            IntentRecordModel.kind == kind,
            IntentRecordModel.user_id == self._asker.principal.user_id,
            IntentRecordModel.outcome == Outcome.REJECTED,
        )
        first = (await self._session.execute(refused.order_by(IntentRecordModel.received_at_ms).limit(1))).scalar_one_or_none()
        here = (
            each["id"]
            for each in self._added
            if (each["subject_id"], each["kind"], each["outcome"]) == (subject_id, kind, "rejected")
        )
        return first or next(here, None)

    async def flush(self) -> None:
        """Write what was added. Raises DBAPIError, a clash where another push has decided one of them meanwhile."""
        await self._statements.insert(_TABLE, _COLUMNS, [[each[name] for name in _COLUMNS] for each in self._added])


async def place_records(session: WriteSession, intent_ids: Sequence[UUID], place: int) -> None:
    """Say of the records that this transaction made where it stands in the log."""
    made_here = sa.and_(IntentRecordModel.id.in_(intent_ids), IntentRecordModel.commit_seq == _DECIDED_HERE)
    await session.execute(sa.update(IntentRecordModel).where(made_here).values(commit_seq=place))


def _as_id(value: UUID | bytes) -> UUID:
    return value if isinstance(value, UUID) else UUID(bytes=value)
