"""What was ordered, and the number series that orders are numbered from."""

from enum import StrEnum
from uuid import UUID

from sync_protocol.values import (
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


class OrderLine(Row, frozen=True, kw_only=True):
    """A line of an order. `allocated` is promised from stock, `backordered` waits for it; neither counts what was imported."""

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


class NumberSeries(Row, frozen=True, kw_only=True):
    """A prefix leased to one device for ever: the device numbers its orders `{prefix}-000001` and on, offline."""

    holder_id: UUID
    device_id: UUID
    prefix: Code
