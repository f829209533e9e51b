"""What was ordered, and the number series that orders are numbered from."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from sync_protocol.values import (
    SINCE_3,
    BasisPoints,
    Code,
    CodeOfVerdict,
    Currency,
    Instant,
    Label,
    LineNumber,
    MinorAmount,
    Note,
    Quantity,
    Revision,
    Row,
    StockQuantity,
    TaxRatePpm,
    TimeZone,
    UnitPrice,
)


class OrderStatus(StrEnum):
    """Where an order stands; `rules.order_states` says who may move it from where to where."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    HELD = "held"
    CONFIRMED = "confirmed"
    COMPLETED = "completed"
    REFUSED = "refused"
    CANCELLED = "cancelled"


class Channel(StrEnum):
    """Where an order was captured."""

    REP = "rep"
    BUYER = "buyer"
    ONLINE = "online"


class Order(Row, frozen=True, kw_only=True):
    """The header of an order. `revision` counts amendments; `hold_code` says why it is held, `reason` why it was decided."""

    number: Code
    customer_id: UUID
    status: OrderStatus
    channel: Channel
    currency: Currency
    captured_at_ms: Instant
    time_zone: TimeZone
    received_at_ms: Instant
    subtotal_minor: MinorAmount
    tax_minor: MinorAmount
    freight_minor: MinorAmount
    total_minor: MinorAmount
    revision: Revision = 0
    rep_id: UUID | None = None
    address_id: UUID | None = None
    stock_location_id: UUID | None = None
    purchase_order_number: Label = ""
    note: Note = ""
    hold_code: CodeOfVerdict | None = None
    reason: Note = ""
    priced_at_ms: Annotated[Instant, SINCE_3] = 0


class PriceSource(StrEnum):
    """Where a price comes from, nearest agreement first; a gift has none."""

    QUOTE = "quote"
    CONTRACT = "contract"
    LOCATION = "location"
    CUSTOMER = "customer"
    SEGMENT = "segment"
    CHANNEL = "channel"
    BASE = "base"
    MANUAL = "manual"
    GIFT = "gift"


class OrderLine(Row, frozen=True, kw_only=True):
    """A line of an order. `allocated` is promised from stock, `backordered` waits for it; neither counts what was imported.

    `unit_price` is for `per_quantity` base units. `amount_minor` is what the line comes to after all discounts, without tax;
    `discount_minor` was taken off it by offers and by hand, `order_discount_minor` is its part of what was taken off the whole
    order. `tax_rate_ppm` adds up the taxes of `tax_jurisdiction`. `price_rule_id` names the entry or the agreed price,
    `promotion_id` the promotion that a gift came by, and the quoted values are those of the device that captured it.
    """

    order_id: UUID
    customer_id: UUID
    line_number: LineNumber
    product_id: UUID
    quantity: Quantity
    unit_price: UnitPrice
    discount_basis_points: BasisPoints
    amount_minor: MinorAmount
    allocated: StockQuantity = 0
    backordered: StockQuantity = 0
    per_quantity: Annotated[Quantity, SINCE_3] = 1
    discount_minor: Annotated[MinorAmount, SINCE_3] = 0
    order_discount_minor: Annotated[MinorAmount, SINCE_3] = 0
    tax_minor: Annotated[MinorAmount, SINCE_3] = 0
    tax_rate_ppm: Annotated[TaxRatePpm, SINCE_3] = 0
    tax_code: Annotated[Label, SINCE_3] = ""
    tax_jurisdiction: Annotated[Label, SINCE_3] = ""
    price_source: Annotated[PriceSource, SINCE_3] | None = None
    price_rule_id: Annotated[UUID, SINCE_3] | None = None
    promotion_id: Annotated[UUID, SINCE_3] | None = None
    quoted_unit_price: Annotated[UnitPrice, SINCE_3] | None = None
    quoted_amount_minor: Annotated[MinorAmount, SINCE_3] | None = None


class OrderPromotion(Row, frozen=True, kw_only=True):
    """A promotion that an order was given, and what it took off, so that it can be given back with the order."""

    order_id: UUID
    customer_id: UUID
    promotion_id: UUID
    amount_minor: MinorAmount


class NumberSeries(Row, frozen=True, kw_only=True):
    """A prefix leased to one device for ever: the device numbers its orders `{prefix}-000001` and on, offline."""

    holder_id: UUID
    device_id: UUID
    prefix: Code
