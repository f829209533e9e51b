"""What a manager sees of an order and decides of it. Every decision is kept: who, when, from what, to what, and why."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.catalog.models import ProductModel
from server.changelog.models import IntentRecordModel
from server.customers.models import CustomerModel, RepModel
from server.identity.models import UserModel
from server.orders.allocations import release
from server.orders.errors import OrderAlreadyDecidedError, OrderNotFoundError, OrderNotHeldError, ReasonMissingError
from server.orders.models import OrderDecisionModel, OrderLineModel, OrderModel
from server.runtime.clock import IdSource
from server.runtime.database import ReadSession, WriteSession
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.orders import Order, OrderStatus
from sync_protocol.rules.order_states import Actor, may_move
from sync_protocol.values import normal_text


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """An order with everything that is known about it."""

    order: OrderModel
    customer_name: str
    rep_name: str | None
    lines: Sequence[sa.Row[OrderLineModel, str, str]]
    intents: Sequence[sa.Row[IntentRecordModel, str]]
    decisions: Sequence[sa.Row[OrderDecisionModel, str]]


async def open_order(session: ReadSession, order_id: UUID, *, customer_id: UUID | None = None) -> Ordered:
    """An order; of this company only, where one is given. Raises OrderNotFoundError."""
    query = (
        sa.select(OrderModel, CustomerModel.name.label("customer_name"), RepModel.name.label("rep_name"))
        .join(CustomerModel, CustomerModel.id == OrderModel.customer_id)
        .outerjoin(RepModel, RepModel.id == OrderModel.rep_id)
        .where(OrderModel.id == order_id)
    )
    if customer_id is not None:
        query = query.where(OrderModel.customer_id == customer_id)
    found = (await session.execute(query)).one_or_none()
    if found is None:
        raise OrderNotFoundError(order_id)
    return Ordered(
        order=found.OrderModel,
        customer_name=found.customer_name,
        rep_name=found.rep_name,
        lines=await _lines_of(session, order_id),
        intents=await _intents_of(session, order_id),
        decisions=await _decisions_of(session, order_id),
    )


async def _lines_of(session: ReadSession, order_id: UUID) -> Sequence[sa.Row[OrderLineModel, str, str]]:
    query = (
        sa.select(OrderLineModel, ProductModel.sku, ProductModel.name)
        .join(ProductModel, ProductModel.id == OrderLineModel.product_id)
        .where(OrderLineModel.order_id == order_id)
        .order_by(OrderLineModel.line_number, OrderLineModel.id)
    )
    return (await session.execute(query)).all()


async def _intents_of(session: ReadSession, order_id: UUID) -> Sequence[sa.Row[IntentRecordModel, str]]:
    query = (
        sa.select(IntentRecordModel, UserModel.name.label("user_name"))
        .join(UserModel, UserModel.id == IntentRecordModel.user_id)
        .where(IntentRecordModel.subject_id == order_id)
        .order_by(IntentRecordModel.received_at_ms, IntentRecordModel.id)
    )
    return (await session.execute(query)).all()


async def _decisions_of(session: ReadSession, order_id: UUID) -> Sequence[sa.Row[OrderDecisionModel, str]]:
    query = (
        sa.select(OrderDecisionModel, UserModel.name.label("user_name"))
        .join(UserModel, UserModel.id == OrderDecisionModel.user_id)
        .where(OrderDecisionModel.order_id == order_id)
        .order_by(OrderDecisionModel.decided_at_ms, OrderDecisionModel.id)
    )
    return (await session.execute(query)).all()


async def release_order(session: WriteSession, order_id: UUID, *, user_id: UUID, reason: str, ids: IdSource, now_ms: int) -> None:
    """Confirm a held order as it stands. Raises OrderNotFoundError, OrderAlreadyDecidedError, OrderNotHeldError."""
    order = await _lock_to_decide(session, order_id, OrderStatus.CONFIRMED)
    await _decide(session, order, OrderStatus.CONFIRMED, user_id=user_id, reason=reason, ids=ids, now_ms=now_ms)


async def refuse_order(session: WriteSession, order_id: UUID, *, user_id: UUID, reason: str, ids: IdSource, now_ms: int) -> None:
    """Refuse a held order, for a reason, and give back what it had promised. Raises as `release_order`, ReasonMissingError."""
    if not normal_text(reason):
        raise ReasonMissingError
    order = await _lock_to_decide(session, order_id, OrderStatus.REFUSED)
    work = await UnitOfWork.of(session)
    held = await work.get(Order, order_id, lock=True)
    assert held is not None
    await release(work, held, ids=ids, now_ms=now_ms)
    await work.flush()
    await _decide(session, order, OrderStatus.REFUSED, user_id=user_id, reason=reason, ids=ids, now_ms=now_ms)


async def _lock_to_decide(session: WriteSession, order_id: UUID, target: OrderStatus) -> OrderModel:
    """The order, locked: of two managers at once the second one finds the decision of the first."""
    locked = sa.select(OrderModel).where(OrderModel.id == order_id).with_for_update()
    order = (await session.execute(locked)).scalar_one_or_none()
    if order is None:
        raise OrderNotFoundError(order_id)
    status = OrderStatus(order.status)
    if status is OrderStatus.HELD and may_move(Actor.MANAGER, status, target):
        return order
    decisions = await _decisions_of(session, order_id)
    if decisions and decisions[-1].OrderDecisionModel.to_status == status:
        last = decisions[-1].OrderDecisionModel
        raise OrderAlreadyDecidedError(order.number, status, decisions[-1].user_name, last.decided_at_ms, last.reason)
    raise OrderNotHeldError(order.number, status, target)


async def _decide(
    session: WriteSession, order: OrderModel, target: OrderStatus, *, user_id: UUID, reason: str, ids: IdSource, now_ms: int
) -> None:
    said = normal_text(reason)
    session.add(
        OrderDecisionModel(
            id=ids.new(),
            order_id=order.id,
            user_id=user_id,
            decided_at_ms=now_ms,
            from_status=order.status,
            to_status=str(target),
            reason=said,
        )
    )
    order.status = str(target)
    order.hold_code = None
    order.reason = said
