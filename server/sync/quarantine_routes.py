"""The quarantine over HTTP: what devices of leavers still sent, for a manager to release or to discard."""

from typing import Annotated, Any, Final, Self
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody
from msgspec import Meta

from server.identity.principals import OFFICE, Principal, allow_signed_in
from server.runtime.clock import IdSource
from server.runtime.database import Database
from server.runtime.instants import iso, iso_or_none
from server.runtime.pages import PAGE_MAX, Limit
from server.sync.quarantine_decisions import Quarantined, discard, list_quarantine, release
from sync_protocol.values import EnteredNote
from sync_protocol.verdicts import Code, Outcome
from sync_protocol.wire.codec import decode_verdict
from sync_protocol.wire.messages import PushResult

DECIDED_AT_ONCE_MAX: Final = 100
IntentIds = Annotated[tuple[UUID, ...], Meta(min_length=1, max_length=DECIDED_AT_ONCE_MAX)]


class QuarantinedIntent(msgspec.Struct, frozen=True, kw_only=True):
    """An intent of a device whose user left. `asked` is what it asks, None where it cannot be read.

    `customer_code` says whom it is for, null where the intent names no customer that is known.
    """

    id: UUID
    kind: str
    state: str
    user_name: str
    device_id: UUID
    device_name: str
    customer_code: str | None
    captured_at: str
    received_at: str
    asked: Any
    decided_at: str | None
    decided_by_id: UUID | None
    as_rep_id: UUID | None
    reason: str

    @classmethod
    def of(cls, found: Quarantined) -> Self:
        stored = found.stored
        return cls(
            id=stored.id,
            kind=stored.kind,
            state=stored.state,
            user_name=found.user_name,
            device_id=stored.device_id,
            device_name=found.device_name,
            customer_code=found.customer_code,
            captured_at=iso(found.envelope.captured_at_ms),
            received_at=iso(stored.received_at_ms),
            asked=msgspec.to_builtins(found.intent) if found.intent is not None else None,
            decided_at=iso_or_none(stored.decided_at_ms),
            decided_by_id=stored.decided_by_id,
            as_rep_id=stored.as_rep_id,
            reason=stored.reason,
        )


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the quarantine. Ask again with `after=<next>` until `next` is null."""

    items: list[QuarantinedIntent]
    next: UUID | None


class ReleasedIntent(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided of a released intent; `detail` says why where the server could not decide it."""

    id: UUID
    outcome: Outcome | None
    codes: list[Code]
    detail: str

    @classmethod
    def of(cls, result: PushResult) -> Self:
        verdict = decode_verdict(result.verdict) if result.verdict else None
        return cls(
            id=result.intent_id,
            outcome=verdict.outcome if verdict else None,
            codes=list(verdict.codes) if verdict else [],
            detail=verdict.detail if verdict else result.detail,
        )


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to 100 intents, decided in the order in which they came, as if this rep had asked. The reason is kept."""

    intent_ids: IntentIds
    rep_id: UUID
    reason: EnteredNote


class Discarding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to 100 intents that are to have no effect. The reason is kept, and told to the device if it sends them again."""

    intent_ids: IntentIds
    reason: EnteredNote


class Discarded(msgspec.Struct, frozen=True, kw_only=True):
    discarded: int


@get("/quarantine", opt=allow_signed_in(*OFFICE), summary="List the quarantine", tags=["devices"])
async def get_quarantine(
    database: NamedDependency[Database],
    decided: FromQuery[bool] = False,
    after: FromQuery[UUID | None] = None,
    limit: Limit = PAGE_MAX,
) -> Quarantine:
    """What devices of leavers sent and waits for a manager; with `decided` all that was decided too."""
    async with database.read() as session:
        found = await list_quarantine(session, decided_too=decided, after_id=after, limit=limit)
    items = [QuarantinedIntent.of(each) for each in found]
    return Quarantine(items=items, next=items[-1].id if len(items) == limit else None)


@post("/quarantine/release", opt=allow_signed_in(*OFFICE), status_code=200, summary="Release from the quarantine", tags=["devices"])
async def release_intents(
    *,
    data: JSONBody[Release],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
    state: State,
) -> list[ReleasedIntent]:
    """Decide intents as if a rep had asked: by the same rules, under that rep's rights, as that rep's orders."""
    async with database.write() as session:
        results = await release(
            session,
            data.intent_ids,
            rep_id=data.rep_id,
            reason=data.reason,
            user_id=principal.user_id,
            handlers=state.intent_handlers,
            ids=ids,
            now_ms=now_ms,
        )
    return [ReleasedIntent.of(result) for result in results]


@post("/quarantine/discard", opt=allow_signed_in(*OFFICE), status_code=200, summary="Discard from the quarantine", tags=["devices"])
async def discard_intents(
    data: JSONBody[Discarding],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
) -> Discarded:
    """Reject intents for good. They stay in the record, with the reason."""
    async with database.write() as session:
        await discard(session, data.intent_ids, reason=data.reason, user_id=principal.user_id, now_ms=now_ms)
    return Discarded(discarded=len(data.intent_ids))


ROUTES: Final = (get_quarantine, release_intents, discard_intents)
