"""Orders and verdicts as the API shows them: ISO times in UTC, amounts in minor units with their currency."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from server.changelog.models import IntentRecordModel
from server.orders.models import OrderModel
from server.orders.service import Ordered
from server.runtime.cursor import Cursor
from server.runtime.instants import iso
from sync_protocol.entities.orders import Channel, OrderStatus
from sync_protocol.verdicts import Change, Code, Outcome
from sync_protocol.wire.codec import decode_verdict


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A response body."""


class OrderHeader(Answer, frozen=True, kw_only=True):
    """An order in a list. `outcome` is the latest verdict's, null for an order that no device sent."""

    id: UUID
    number: str
    status: OrderStatus
    channel: Channel
    customer_id: UUID
    customer_name: str
    rep_id: UUID | None
    rep_name: str | None
    currency: str
    total_minor: int
    hold_code: str | None
    outcome: Outcome | None
    captured_at: str
    received_at: str


class OrderPage(Answer, frozen=True, kw_only=True):
    """Ask again with `after=<next>` until `next` is null."""

    items: list[OrderHeader]
    next: str | None


class Line(Answer, frozen=True, kw_only=True):
    """A line. `unit_price` is in ten-thousandths of the currency's major unit, quantities in base units."""

    id: UUID
    line_number: int
    product_id: UUID
    sku: str
    name: str
    quantity: int
    unit_price: int
    discount_basis_points: int
    amount_minor: int
    allocated: int
    backordered: int


class VerdictEntry(Answer, frozen=True, kw_only=True):
    """One thing that was asked and what was decided, with a remedy for each code."""

    intent_id: UUID
    intent: str
    subject_id: UUID | None
    asked_by: str
    device_id: UUID
    captured_at: str
    received_at: str
    outcome: Outcome
    codes: list[Code]
    remedies: list[str]
    changes: list[Change]
    detail: str


class VerdictPage(Answer, frozen=True, kw_only=True):
    """Ask again with `after=<next>` until `next` is null."""

    items: list[VerdictEntry]
    next: str | None


class DecisionEntry(Answer, frozen=True, kw_only=True):
    """What a manager decided."""

    decided_at: str
    decided_by: str
    from_status: OrderStatus
    to_status: OrderStatus
    reason: str


class OrderDetail(Answer, frozen=True, kw_only=True):
    """An order with its lines and its history."""

    id: UUID
    number: str
    status: OrderStatus
    channel: Channel
    revision: int
    customer_id: UUID
    customer_name: str
    rep_id: UUID | None
    rep_name: str | None
    address_id: UUID | None
    currency: str
    subtotal_minor: int
    tax_minor: int
    freight_minor: int
    total_minor: int
    purchase_order_number: str
    note: str
    hold_code: str | None
    reason: str
    captured_at: str
    time_zone: str
    received_at: str
    lines: list[Line]
    verdicts: list[VerdictEntry]
    decisions: list[DecisionEntry]


def order_page(found: Sequence[Any], outcomes: Mapping[UUID, str], limit: int) -> OrderPage:
    """A page of `listing.page_of_orders`."""
    items = [_header(row.OrderModel, row.customer_name, row.rep_name, outcomes.get(row.OrderModel.id)) for row in found]
    last = found[-1].OrderModel if len(found) == limit else None
    return OrderPage(items=items, next=str(Cursor(last.received_at_ms, last.id)) if last else None)


def _header(order: OrderModel, customer_name: str, rep_name: str | None, outcome: str | None) -> OrderHeader:
    return OrderHeader(
        id=order.id,
        number=order.number,
        status=OrderStatus(order.status),
        channel=Channel(order.channel),
        customer_id=order.customer_id,
        customer_name=customer_name,
        rep_id=order.rep_id,
        rep_name=rep_name,
        currency=order.currency,
        total_minor=order.total_minor,
        hold_code=order.hold_code,
        outcome=Outcome(outcome) if outcome else None,
        captured_at=iso(order.captured_at_ms),
        received_at=iso(order.received_at_ms),
    )


def order_detail(known: Ordered) -> OrderDetail:
    """Everything about an order."""
    order = known.order
    return OrderDetail(
        id=order.id,
        number=order.number,
        status=OrderStatus(order.status),
        channel=Channel(order.channel),
        revision=order.revision,
        customer_id=order.customer_id,
        customer_name=known.customer_name,
        rep_id=order.rep_id,
        rep_name=known.rep_name,
        address_id=order.address_id,
        currency=order.currency,
        subtotal_minor=order.subtotal_minor,
        tax_minor=order.tax_minor,
        freight_minor=order.freight_minor,
        total_minor=order.total_minor,
        purchase_order_number=order.purchase_order_number,
        note=order.note,
        hold_code=order.hold_code,
        reason=order.reason,
        captured_at=iso(order.captured_at_ms),
        time_zone=order.time_zone,
        received_at=iso(order.received_at_ms),
        lines=[_line(row) for row in known.lines],
        verdicts=[_verdict_entry(row.IntentRecordModel, row.user_name) for row in known.intents if row.IntentRecordModel.outcome],
        decisions=[_decision(row) for row in known.decisions],
    )


def _line(row: Any) -> Line:
    line = row.OrderLineModel
    return Line(
        id=line.id,
        line_number=line.line_number,
        product_id=line.product_id,
        sku=row.sku,
        name=row.name,
        quantity=line.quantity,
        unit_price=line.unit_price,
        discount_basis_points=line.discount_basis_points,
        amount_minor=line.amount_minor,
        allocated=line.allocated,
        backordered=line.backordered,
    )


def _decision(row: Any) -> DecisionEntry:
    decision = row.OrderDecisionModel
    return DecisionEntry(
        decided_at=iso(decision.decided_at_ms),
        decided_by=row.user_name,
        from_status=OrderStatus(decision.from_status),
        to_status=OrderStatus(decision.to_status),
        reason=decision.reason,
    )


def verdict_page(found: Sequence[Any], limit: int) -> VerdictPage:
    """A page of `listing.page_of_verdicts`."""
    items = [_verdict_entry(row.IntentRecordModel, row.user_name) for row in found if row.IntentRecordModel.outcome]
    last = found[-1].IntentRecordModel if len(found) == limit else None
    return VerdictPage(items=items, next=str(Cursor(last.received_at_ms, last.id)) if last else None)


def _verdict_entry(record: IntentRecordModel, asked_by: str) -> VerdictEntry:
    """A verdict as it was stored, and what can be done about it today."""
    verdict = decode_verdict(record.verdict)
    return VerdictEntry(
        intent_id=record.id,
        intent=record.kind,
        subject_id=record.subject_id,
        asked_by=asked_by,
        device_id=record.device_id,
        captured_at=iso(record.captured_at_ms),
        received_at=iso(record.received_at_ms),
        outcome=verdict.outcome,
        codes=list(verdict.codes),
        remedies=list(verdict.remedies()),
        changes=list(verdict.changes),
        detail=verdict.detail,
    )
