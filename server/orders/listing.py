"""Lists of orders and of verdicts, newest first, by a cursor that new arrivals do not move."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.changelog.models import IntentRecordModel
from server.customers.models import CustomerModel, RepModel
from server.identity.models import UserModel
from server.orders.models import OrderModel
from server.runtime.cursor import Cursor, below
from server.runtime.database import ReadSession
from sync_protocol.entities.orders import OrderStatus
from sync_protocol.verdicts import Outcome


class OrderFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which orders; None does not restrict. Times are [from, to)."""

    status: OrderStatus | None = None
    customer_id: UUID | None = None
    rep_id: UUID | None = None
    received_from_ms: int | None = None
    received_to_ms: int | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        equal = {OrderModel.status: self.status, OrderModel.customer_id: self.customer_id, OrderModel.rep_id: self.rep_id}
        conditions = [column == value for column, value in equal.items() if value is not None]
        if self.received_from_ms is not None:
            conditions.append(OrderModel.received_at_ms >= self.received_from_ms)
        if self.received_to_ms is not None:
            conditions.append(OrderModel.received_at_ms < self.received_to_ms)
        return conditions


async def page_of_orders(
    session: ReadSession, chosen: OrderFilter, *, after: Cursor | None, limit: int
) -> Sequence[sa.Row[OrderModel, str, str]]:
    """Orders with the names of their customer and rep."""
    query = (
        sa.select(OrderModel, CustomerModel.name.label("customer_name"), RepModel.name.label("rep_name"))
        .join(CustomerModel, CustomerModel.id == OrderModel.customer_id)
        .outerjoin(RepModel, RepModel.id == OrderModel.rep_id)
        .where(*chosen.conditions(), *below(OrderModel.received_at_ms, OrderModel.id, after))
        .order_by(OrderModel.received_at_ms.desc(), OrderModel.id.desc())
        .limit(limit)
    )
    return (await session.execute(query)).all()


async def outcomes_of(session: ReadSession, order_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The outcome of the latest intent on each of these orders; imported ones have none."""
    query = (
        sa.select(IntentRecordModel.subject_id, IntentRecordModel.outcome)
        .where(IntentRecordModel.subject_id.in_(order_ids))
        .order_by(IntentRecordModel.received_at_ms, IntentRecordModel.id)
    )
    return {row.subject_id: row.outcome for row in await session.execute(query) if row.outcome}


async def page_of_verdicts(
    session: ReadSession, outcome: Outcome | None, *, after: Cursor | None, limit: int
) -> Sequence[sa.Row[IntentRecordModel, str]]:
    """Intents with the name of the user who asked."""
    query = (
        sa.select(IntentRecordModel, UserModel.name.label("user_name"))
        .join(UserModel, UserModel.id == IntentRecordModel.user_id)
        .where(*below(IntentRecordModel.received_at_ms, IntentRecordModel.id, after))
        .order_by(IntentRecordModel.received_at_ms.desc(), IntentRecordModel.id.desc())
        .limit(limit)
    )
    if outcome is not None:
        query = query.where(IntentRecordModel.outcome == outcome)
    return (await session.execute(query)).all()
