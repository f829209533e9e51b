"""The rows that an accepted intent makes: on the server for good, on the device as its overlay until they arrive."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sync_protocol.entities.customers import Address, Contact, Customer, CustomerStatus
from sync_protocol.entities.orders import Channel, Order, OrderLine, OrderStatus
from sync_protocol.intents import CreateCustomer, RequestedLine, SubmitOrder
from sync_protocol.rules.order_review import DecidedLine, OrderDecision
from sync_protocol.rules.rounding import line_amount
from sync_protocol.values import minor_digits
from sync_protocol.verdicts import Outcome

ADDRESS_LABEL: Final = "Main"


def prospect_rows(intent: CreateCustomer) -> tuple[Customer, Address, Contact]:
    """The customer, its address and its contact. The code is made of the id, so that both ends make the same one."""
    customer = Customer(
        id=intent.customer_id,
        code=f"P-{intent.customer_id.hex[-12:].upper()}",
        name=intent.name,
        status=CustomerStatus.PROSPECT,
        territory_id=intent.territory_id,
        note=intent.note,
    )
    address = Address(
        id=intent.address_id,
        customer_id=intent.customer_id,
        label=ADDRESS_LABEL,
        street=intent.street,
        postal_code=intent.postal_code,
        city=intent.city,
        country=intent.country,
    )
    contact = Contact(
        id=intent.contact_id,
        customer_id=intent.customer_id,
        name=intent.contact_name,
        email=intent.email,
        phone=intent.phone,
    )
    return customer, address, contact


def order_row(
    intent: SubmitOrder,
    decision: OrderDecision,
    *,
    number: str,
    channel: Channel,
    status: OrderStatus,
    captured_at_ms: int,
    time_zone: str,
    received_at_ms: int,
    rep_id: UUID | None,
    stock_location_id: UUID | None,
) -> Order:
    """The header of a submitted order as it was decided."""
    return Order(
        id=intent.order_id,
        number=number,
        customer_id=intent.customer_id,
        status=status,
        channel=channel,
        currency=intent.currency,
        captured_at_ms=captured_at_ms,
        time_zone=time_zone,
        received_at_ms=received_at_ms,
        subtotal_minor=decision.total_minor,
        tax_minor=0,
        freight_minor=0,
        total_minor=decision.total_minor,
        rep_id=rep_id,
        address_id=intent.address_id,
        stock_location_id=stock_location_id,
        purchase_order_number=intent.purchase_order_number,
        note=intent.note,
        hold_code=decision.hold_code,
    )


def order_line_rows(order_id: UUID, customer_id: UUID, lines: Sequence[DecidedLine]) -> tuple[OrderLine, ...]:
    """The lines of an order as they were decided, numbered from 1."""
    return tuple(
        OrderLine(
            id=line.line_id,
            order_id=order_id,
            customer_id=customer_id,
            line_number=number,
            product_id=line.product_id,
            quantity=line.quantity,
            unit_price=line.unit_price,
            discount_basis_points=0,
            amount_minor=line.amount_minor,
            allocated=line.allocated,
            backordered=line.backordered,
        )
        for number, line in enumerate(lines, start=1)
    )


def decided_status(decision: OrderDecision) -> OrderStatus:
    """Where a decided order stands on the server."""
    assert decision.outcome is not Outcome.REJECTED
    return OrderStatus.HELD if decision.outcome is Outcome.HELD else OrderStatus.CONFIRMED


def quotation(lines: Sequence[RequestedLine], currency: str) -> OrderDecision:
    """The lines as the device quoted them: what its user sees until the server has decided."""
    digits = minor_digits(currency)
    quoted = tuple(
        DecidedLine(
            line_id=line.line_id,
            product_id=line.product_id,
            quantity=line.quantity,
            unit_price=line.unit_price,
            amount_minor=line_amount(line.unit_price, line.quantity, 0, digits),
            allocated=0,
            backordered=0,
        )
        for line in lines
    )
    total = sum(line.amount_minor for line in quoted)
    return OrderDecision(outcome=Outcome.ACCEPTED, lines=quoted, total_minor=total)
