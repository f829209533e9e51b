"""On what footing a rep asks for a customer: its own, or one that was handed over, before or after it asked.

The device may not have heard of the handover when its user took the order. When that was is the device's own word,
corrected by how far its clock was off at its last checkpoint, and held against what the server knows.
"""

from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.customers.handover import HandoverKind, HandoverState, LateOrders
from server.customers.models import HandoverCustomerModel, HandoverLossModel, HandoverModel, RepTerritoryModel
from server.identity.models import DeviceModel
from server.runtime.database import ReadSession
from server.runtime.slices import IntentContext
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.customers import Customer, Rep
from sync_protocol.verdicts import Code

CLOCK_TOLERANCE_MS: Final = 5 * 60_000
"""How far a device's corrected clock may run ahead of the server's, or behind its own enrolment, and still be believed."""


class Footing(StrEnum):
    """`own`: in the asker's scope. `honoured`: it was when this was captured. `routed`: it is the new rep's to decide.
    `handed_over`: it is to be refused. `foreign`: it never was the asker's.
    """

    OWN = "own"
    HONOURED = "honoured"
    ROUTED = "routed"
    HANDED_OVER = "handed_over"
    FOREIGN = "foreign"


REFUSED_FOOTINGS: Final = {Footing.FOREIGN: Code.NOT_PERMITTED, Footing.HANDED_OVER: Code.HANDED_OVER}
"""Who stands on this footing may not ask, and is told so."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The footing, with the territory whose terms hold and the rep whose order it is."""

    footing: Footing
    territory_id: UUID | None
    rep_id: UUID | None

    def on_its_terms(self, customer: Customer) -> Customer:
        """The customer as it was for the asker: in the territory that it was handed over from."""
        return msgspec.structs.replace(customer, territory_id=self.territory_id)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """When something was captured, as the device says, beside what the server knows of it."""

    captured_at_ms: int
    clock_skew_ms: int | None
    decided_at_cursor: int
    enrolled_at_ms: int
    received_at_ms: int

    def is_before(self, commit_seq: int, done_at_ms: int) -> bool:
        """Whether it was captured before a handover that took this place in the log at this instant of the server's clock.

        Not where the device had come past the handover, and not where the claim cannot be: in the future, or before its
        user had a device. A clock that is years off moves nothing: its offset at the last checkpoint is taken out.
        """
        if self.decided_at_cursor >= commit_seq:
            return False
        captured_at_ms = self.captured_at_ms - (self.clock_skew_ms or 0)
        if not self.enrolled_at_ms - CLOCK_TOLERANCE_MS <= captured_at_ms <= self.received_at_ms + CLOCK_TOLERANCE_MS:
            return False
        return captured_at_ms <= done_at_ms


async def standing_of(session: ReadSession, customer: Customer, context: IntentContext) -> Standing:
    """On what footing the asker stands towards a customer. A customer of its own costs no statement."""
    if context.may_serve(customer):
        return Standing(footing=Footing.OWN, territory_id=customer.territory_id, rep_id=context.rep_id)
    handover = await _last_loss(session, context.rep_id, customer) if context.rep_id is not None else None
    if handover is None:
        return Standing(footing=Footing.FOREIGN, territory_id=customer.territory_id, rep_id=context.rep_id)
    footing = await _footing(session, handover, context)
    if footing is not Footing.HONOURED:
        new_rep_id = handover.to_rep_id or await _only_rep(session, customer.territory_id)
        return Standing(footing=footing, territory_id=customer.territory_id, rep_id=new_rep_id)
    before = sa.select(HandoverCustomerModel.from_territory_id).where(
        HandoverCustomerModel.handover_id == handover.id, HandoverCustomerModel.customer_id == customer.id
    )
    was_in = (await session.execute(before)).scalar_one_or_none()
    return Standing(footing=footing, territory_id=was_in or customer.territory_id, rep_id=context.rep_id)


async def told_of_handover(work: UnitOfWork, customer: Customer, standing: Standing) -> str:
    """Whose a customer is by now that was handed over, for the device that has purged its name or is about to; else nothing."""
    if standing.footing not in {Footing.HANDED_OVER, Footing.ROUTED}:
        return ""
    rep = await work.get(Rep, standing.rep_id) if standing.rep_id is not None else None
    return f"customer {customer.code}" + (f" is served by {rep.name} ({rep.code}) now" if rep is not None else "")


async def footing_in(session: ReadSession, territory_id: UUID, context: IntentContext) -> Footing:
    """On what footing the asker stands in a territory: for a customer that is new there."""
    if territory_id in context.territory_ids:
        return Footing.OWN
    handover = await _last_territory_loss(session, context.rep_id, territory_id) if context.rep_id is not None else None
    return await _footing(session, handover, context) if handover is not None else Footing.FOREIGN


async def _footing(session: ReadSession, handover: HandoverModel, context: IntentContext) -> Footing:
    policy = LateOrders(handover.late_orders)
    if policy is LateOrders.HONOUR:
        return Footing.HONOURED
    assert handover.commit_seq is not None
    assert handover.ended_at_ms is not None
    first = sa.select(sa.func.min(DeviceModel.enrolled_at_ms)).where(DeviceModel.user_id == context.user_id)
    claim = Claim(
        captured_at_ms=context.captured_at_ms,
        clock_skew_ms=context.clock_skew_ms,
        decided_at_cursor=context.decided_at_cursor,
        enrolled_at_ms=(await session.execute(first)).scalar_one() or 0,
        received_at_ms=context.now_ms,
    )
    if claim.is_before(handover.commit_seq, handover.ended_at_ms):
        return Footing.HONOURED
    return Footing.ROUTED if policy is LateOrders.ROUTE else Footing.HANDED_OVER


async def _last_loss(session: ReadSession, rep_id: UUID, customer: Customer) -> HandoverModel | None:
    """The last handover by which a rep lost a customer, by name or with its territory."""
    by_name = sa.select(HandoverModel).join(HandoverLossModel, HandoverLossModel.handover_id == HandoverModel.id)
    lost = by_name.where(HandoverLossModel.rep_id == rep_id, HandoverLossModel.customer_id == customer.id)
    last = (await session.execute(lost.order_by(HandoverModel.commit_seq.desc()).limit(1))).scalar_one_or_none()
    if last is not None or customer.territory_id is None:
        return last
    # A prospect that the rep took before and that arrives after its territory was handed over is in no list of it.
    return await _last_territory_loss(session, rep_id, customer.territory_id)


async def _last_territory_loss(session: ReadSession, rep_id: UUID, territory_id: UUID) -> HandoverModel | None:
    lost = sa.select(HandoverModel).where(
        HandoverModel.kind == HandoverKind.REP,
        HandoverModel.state == HandoverState.DONE,
        HandoverModel.from_rep_id == rep_id,
        HandoverModel.territory_id == territory_id,
    )
    return (await session.execute(lost.order_by(HandoverModel.commit_seq.desc()).limit(1))).scalar_one_or_none()


async def _only_rep(session: ReadSession, territory_id: UUID | None) -> UUID | None:
    """Who works a territory, where it is one rep."""
    works = sa.select(RepTerritoryModel.rep_id).where(RepTerritoryModel.territory_id == territory_id).limit(2)
    found = (await session.execute(works)).scalars().all()
    return found[0] if len(found) == 1 else None
