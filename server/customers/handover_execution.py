"""A handover is done in one transaction, once, whoever comes first: the request that planned it for now, or the job."""

import logging
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from server.changelog.log import seal, take_place
from server.customers.handover import HandoverKind, HandoverState, Move, move_of
from server.customers.models import (
    CustomerModel,
    HandoverCustomerModel,
    HandoverLossModel,
    HandoverModel,
    RepTerritoryModel,
)
from server.runtime.database import WriteSession
from server.runtime.slices import Job, JobContext

_log = logging.getLogger(__name__)


async def execute(session: WriteSession, handover_id: UUID, now_ms: int) -> bool:
    """Do a planned handover; False where somebody else has done or cancelled it. The transaction's last act.

    Its row is claimed first: of two processes the second waits here and finds nothing left to do.
    """
    claimed = (
        sa.update(HandoverModel)
        .where(HandoverModel.id == handover_id, HandoverModel.state == HandoverState.PLANNED)
        .values(state=HandoverState.DONE, ended_at_ms=now_ms)
        .returning(HandoverModel.id)
    )
    if (await session.execute(claimed)).scalar_one_or_none() is None:
        return False
    handover = await session.get_one(HandoverModel, handover_id, populate_existing=True)
    move = await _settle_customers(session, handover)
    losses = move.losses().add_columns(sa.literal(handover_id, HandoverLossModel.handover_id.type))
    columns = ["rep_id", "customer_id", "handover_id"]
    await session.execute(sa.insert(HandoverLossModel).from_select(columns, losses))
    if move.kind is HandoverKind.REP:
        await _reassign(session, move)
    else:
        await session.execute(sa.update(CustomerModel).where(_of(handover_id)).values(territory_id=move.to_territory_id))
    await take_place(session, now_ms)
    head = await seal(session)
    await session.execute(sa.update(HandoverModel).where(HandoverModel.id == handover_id).values(commit_seq=head.head))
    return True


async def _settle_customers(session: WriteSession, handover: HandoverModel) -> Move:
    """Write down who moves as of now and from where: a listed customer that is there already or gone does not."""
    if handover.kind == HandoverKind.CUSTOMERS:
        from_territory = sa.select(CustomerModel.territory_id).where(CustomerModel.id == HandoverCustomerModel.customer_id)
        mine = HandoverCustomerModel.handover_id == handover.id
        moves = sa.exists().where(
            CustomerModel.id == HandoverCustomerModel.customer_id,
            CustomerModel.territory_id.is_distinct_from(handover.to_territory_id),
        )
        await session.execute(sa.delete(HandoverCustomerModel).where(mine, ~moves))
        await session.execute(
            sa.update(HandoverCustomerModel).where(mine).values(from_territory_id=from_territory.scalar_subquery())
        )
        listed = (await session.execute(sa.select(HandoverCustomerModel.customer_id).where(mine))).scalars().all()
        return move_of(handover, tuple(listed))
    move = move_of(handover)
    theirs = sa.select(
        sa.literal(handover.id, HandoverCustomerModel.handover_id.type), CustomerModel.id, CustomerModel.territory_id
    ).where(move.chosen())
    columns = ["handover_id", "customer_id", "from_territory_id"]
    await session.execute(sa.insert(HandoverCustomerModel).from_select(columns, theirs))
    return move


def _of(handover_id: UUID) -> sa.ColumnElement[bool]:
    listed = sa.select(HandoverCustomerModel.customer_id).where(HandoverCustomerModel.handover_id == handover_id)
    return CustomerModel.id.in_(listed)


async def _reassign(session: WriteSession, move: Move) -> None:
    """Let another rep work the territory. One who was put there meanwhile stays."""
    here = RepTerritoryModel.territory_id == move.territory_id
    await session.execute(sa.delete(RepTerritoryModel).where(here, RepTerritoryModel.rep_id == move.from_rep_id))
    known = sa.select(RepTerritoryModel.rep_id).where(here, RepTerritoryModel.rep_id == move.to_rep_id)
    if (await session.execute(known)).scalar_one_or_none() is None:
        await session.execute(sa.insert(RepTerritoryModel).values(rep_id=move.to_rep_id, territory_id=move.territory_id))


async def do_due_handovers(context: JobContext) -> None:
    """Do every handover whose time has come, each in a transaction of its own: one that fails keeps no other waiting."""
    async with context.database.read() as session:
        due = sa.select(HandoverModel.id).where(
            HandoverModel.state == HandoverState.PLANNED, HandoverModel.effective_at_ms <= context.clock.now_ms()
        )
        found = (await session.execute(due.order_by(HandoverModel.effective_at_ms, HandoverModel.id))).scalars().all()
    for handover_id in found:
        try:
            async with context.database.write() as session:
                done = await execute(session, handover_id, context.clock.now_ms())
        except SQLAlchemyError:
            _log.exception("handover %s failed; it is tried again", handover_id)
            continue
        if done:
            _log.info("handover %s is done", handover_id)


JOBS: Final = (Job(name="do_due_handovers", interval_seconds=15, run=do_due_handovers),)
