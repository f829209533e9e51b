"""The rows that an accepted intent makes: on the server for good, on the device as its overlay until they arrive."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from sync_protocol.entities.customers import Address, Contact, Customer, CustomerStatus
from sync_protocol.entities.orders import Channel, Order, OrderLine, OrderStatus, PriceSource
from sync_protocol.intents import CreateCustomer, QuotedGift, RequestedLine, SubmitOrder
from sync_protocol.rules.order_review import OrderDecision
from sync_protocol.rules.pricing.amounts import gross_amount
from sync_protocol.values import PARTS_PER_MILLION, minor_digits
from sync_protocol.verdicts import Code, Outcome

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


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What an order comes to, in minor units; the first three add up to the last."""

    subtotal_minor: int
    tax_minor: int
    freight_minor: int
    total_minor: int


def decided_totals(decision: OrderDecision) -> Totals:
    """What an order comes to as it was decided."""
    price = decision.price
    return Totals(
        subtotal_minor=price.goods_minor,
        tax_minor=price.tax_minor,
        freight_minor=price.freight_minor,
        total_minor=price.total_minor,
    )


def quoted_totals(lines: Sequence[RequestedLine], currency: str) -> Totals:
    """What an order comes to as the device quoted it: what its user sees until the server has decided."""
    goods = sum(quoted_amount(line, currency) for line in lines)
    tax = sum(line.tax_minor for line in lines)
    return Totals(subtotal_minor=goods, tax_minor=tax, freight_minor=0, total_minor=goods + tax)


def quoted_amount(line: RequestedLine, currency: str) -> int:
    """What a line comes to as it was quoted; of one without a proof its unit price says so."""
    if line.amount_minor is not None:
        return line.amount_minor
    return gross_amount(line.unit_price, line.per_quantity, line.quantity, minor_digits(currency))


def order_row(
    intent: SubmitOrder,
    totals: Totals,
    *,
    number: str,
    channel: Channel,
    status: OrderStatus,
    captured_at_ms: int,
    time_zone: str,
    received_at_ms: int,
    priced_at_ms: int,
    rep_id: UUID | None,
    stock_location_id: UUID | None,
    hold_code: Code | None,
) -> Order:
    """The header of a submitted order."""
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
        priced_at_ms=priced_at_ms,
        rep_id=rep_id,
        address_id=intent.address_id,
        stock_location_id=stock_location_id,
        purchase_order_number=intent.purchase_order_number,
        note=intent.note,
        hold_code=hold_code,
        **msgspec.structs.asdict(totals),
    )


def order_line_rows(order_id: UUID, customer_id: UUID, decision: OrderDecision) -> tuple[OrderLine, ...]:
    """The lines of an order as they were decided, gifts last, numbered from 1."""
    currency = decision.price.currency
    return tuple(
        OrderLine(
            id=line.price.line_id,
            order_id=order_id,
            customer_id=customer_id,
            line_number=number,
            product_id=line.price.product_id,
            quantity=line.price.quantity,
            unit_price=line.price.unit_price or 0,
            per_quantity=line.price.per_quantity,
            discount_basis_points=0,
            discount_minor=line.price.discount_minor,
            order_discount_minor=line.price.order_discount_minor,
            amount_minor=line.price.amount_minor,
            tax_minor=line.price.tax_minor,
            tax_rate_ppm=min(sum(part.rate_ppm for part in line.price.taxes), PARTS_PER_MILLION),
            tax_code=line.price.tax_code,
            tax_jurisdiction=line.price.tax_jurisdiction,
            price_source=line.price.source,
            price_rule_id=line.price.rule_id if line.price.source is not PriceSource.GIFT else None,
            promotion_id=line.price.rule_id if line.price.source is PriceSource.GIFT else None,
            quoted_unit_price=line.quoted.unit_price if line.quoted is not None else None,
            quoted_amount_minor=quoted_amount(line.quoted, currency) if line.quoted is not None else None,
            allocated=line.allocated,
            backordered=line.backordered,
        )
        for number, line in enumerate(decision.lines, start=1)
    )


def quoted_line_rows(
    order_id: UUID, customer_id: UUID, currency: str, lines: Sequence[RequestedLine], gifts: Sequence[QuotedGift]
) -> tuple[OrderLine, ...]:
    """The lines of an order as the device quoted them: what its user sees until the server has decided."""
    goods = [
        OrderLine(
            id=line.line_id,
            order_id=order_id,
            customer_id=customer_id,
            line_number=number,
            product_id=line.product_id,
            quantity=line.quantity,
            unit_price=line.unit_price,
            per_quantity=line.per_quantity,
            discount_basis_points=0,
            amount_minor=quoted_amount(line, currency),
            tax_minor=line.tax_minor,
        )
        for number, line in enumerate(lines, start=1)
    ]
    given = [
        OrderLine(
            id=gift.line_id,
            order_id=order_id,
            customer_id=customer_id,
            line_number=number,
            product_id=gift.product_id,
            quantity=gift.quantity,
            unit_price=0,
            discount_basis_points=0,
            amount_minor=0,
            price_source=PriceSource.GIFT,
            promotion_id=gift.promotion_id,
        )
        for number, gift in enumerate(gifts, start=len(goods) + 1)
    ]
    return (*goods, *given)


def decided_status(decision: OrderDecision) -> OrderStatus:
    """Where a decided order stands on the server."""
    assert decision.outcome is not Outcome.REJECTED
    return OrderStatus.HELD if decision.outcome is Outcome.HELD else OrderStatus.CONFIRMED
