"""Handovers over HTTP: preview one, plan it for now or later, see who has acknowledged it, cancel it."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from server.customers.handover import CUSTOMERS_MAX, Asked, HandoverState, LateOrders, check_move, plan
from server.customers.handover_answers import Handover, HandoverDetail, HandoverPreview, Handovers
from server.customers.handover_execution import execute
from server.customers.handover_preview import preview
from server.customers.handover_progress import cancel, list_handovers, open_handover
from server.identity.principals import OFFICE, Principal, allow_signed_in
from server.runtime.clock import IdSource
from server.runtime.database import Database
from server.runtime.instants import milliseconds
from server.runtime.pages import PAGE_MAX, Limit
from sync_protocol.values import EnteredNote


class ProposedHandover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes where: `customer_ids` or a `territory_id`, to a territory; or a `territory_id` to a rep.

    `from_rep_id` says whose the territory was, where several reps work it.
    """

    customer_ids: Annotated[tuple[UUID, ...], Meta(max_length=CUSTOMERS_MAX)] = ()
    territory_id: UUID | None = None
    to_territory_id: UUID | None = None
    from_rep_id: UUID | None = None
    to_rep_id: UUID | None = None

    def asked(self) -> Asked:
        return Asked(**{name: getattr(self, name) for name in Asked.__struct_fields__})


class NewHandover(ProposedHandover, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without `effective_at` it is done at once. What an old rep captured before it is honoured whatever `late_orders` says."""

    late_orders: LateOrders
    effective_at: Annotated[datetime, Meta(tz=True)] | None = None
    note: EnteredNote = ""


class Cancellation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: EnteredNote = ""


@post("/handovers/preview", opt=allow_signed_in(*OFFICE), status_code=200, summary="Preview a handover", tags=["handovers"])
async def preview_handover(data: JSONBody[ProposedHandover], database: NamedDependency[Database]) -> HandoverPreview:
    """What it would do now: customers, orders with their value, devices, and what is not known until they sync."""
    async with database.read() as session:
        return HandoverPreview.of(await preview(session, await check_move(session, data.asked())))


@post("/handovers", opt=allow_signed_in(*OFFICE), summary="Hand customers or a territory over", tags=["handovers"])
async def create_handover(
    data: JSONBody[NewHandover],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
) -> HandoverDetail:
    """Plan a handover; without an instant to come it is done when this is answered."""
    async with database.write() as session:
        handover = await plan(
            session,
            await check_move(session, data.asked()),
            late_orders=data.late_orders,
            note=data.note,
            effective_at_ms=None if data.effective_at is None else milliseconds(data.effective_at),
            user_id=principal.user_id,
            ids=ids,
            now_ms=now_ms,
        )
        if handover.effective_at_ms <= now_ms:
            await execute(session, handover.id, now_ms)
    async with database.read() as session:
        return HandoverDetail.of(await open_handover(session, handover.id))


@get("/handovers", opt=allow_signed_in(*OFFICE), summary="List handovers", tags=["handovers"])
async def get_handovers(
    database: NamedDependency[Database],
    status: FromQuery[HandoverState | None] = None,
    before: FromQuery[UUID | None] = None,
    limit: Limit = PAGE_MAX,
) -> Handovers:
    """Handovers, the latest first."""
    async with database.read() as session:
        found = await list_handovers(session, state=status, before_id=before, limit=limit)
    return Handovers(items=[Handover.of(each) for each in found], next=found[-1].handover.id if len(found) == limit else None)


@get("/handovers/{handover_id:uuid}", opt=allow_signed_in(*OFFICE), summary="Open a handover", tags=["handovers"])
async def get_handover(handover_id: FromPath[UUID], database: NamedDependency[Database]) -> HandoverDetail:
    """A handover with each device that must purge: what it has acknowledged, with counts, and whether it was seen since."""
    async with database.read() as session:
        return HandoverDetail.of(await open_handover(session, handover_id))


@post(
    "/handovers/{handover_id:uuid}/cancel",
    opt=allow_signed_in(*OFFICE),
    status_code=200,
    summary="Cancel a handover",
    tags=["handovers"],
)
async def cancel_handover(
    *,
    handover_id: FromPath[UUID],
    data: JSONBody[Cancellation],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
) -> HandoverDetail:
    """Cancel a handover that is still to come."""
    async with database.write() as session:
        await cancel(session, handover_id, user_id=principal.user_id, reason=data.reason, now_ms=now_ms)
    async with database.read() as session:
        return HandoverDetail.of(await open_handover(session, handover_id))


ROUTES: Final = (preview_handover, create_handover, get_handovers, get_handover, cancel_handover)
