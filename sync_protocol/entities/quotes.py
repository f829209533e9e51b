"""Prices that are negotiated: what a customer asked for, what the office offered, and every round of it."""

from enum import StrEnum
from uuid import UUID

from sync_protocol.entities.orders import Channel
from sync_protocol.values import (
    Code,
    Currency,
    Instant,
    LineNumber,
    MinorAmount,
    Name,
    Note,
    Quantity,
    Revision,
    Row,
    TimeZone,
    UnitPrice,
)


class QuoteStatus(StrEnum):
    """Where a negotiation stands; `rules.quote_states` says who may move it from where to where."""

    REQUESTED = "requested"
    OFFERED = "offered"
    COUNTERED = "countered"
    ACCEPTED = "accepted"
    ORDERED = "ordered"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class NegotiatedQuote(Row, frozen=True, kw_only=True):
    """A negotiation from the request to the order. `revision` counts its rounds; `order_id` is what it became.

    `note` is what the customer's side said last, `answer` what the office did. An offer holds until just before `valid_until_ms`.
    """

    number: Code
    customer_id: UUID
    status: QuoteStatus
    channel: Channel
    currency: Currency
    requested_at_ms: Instant
    time_zone: TimeZone
    revision: Revision = 0
    rep_id: UUID | None = None
    address_id: UUID | None = None
    note: Note = ""
    answer: Note = ""
    valid_until_ms: Instant | None = None
    order_id: UUID | None = None


class NegotiatedQuoteLine(Row, frozen=True, kw_only=True):
    """So many base units of a product: what they cost when they were asked for, what the customer wants to pay, what is offered.

    All three are for `per_quantity` base units, without discount. What was accepted becomes the agreed price of the same id.
    """

    quote_id: UUID
    customer_id: UUID
    line_number: LineNumber
    product_id: UUID
    quantity: Quantity
    per_quantity: Quantity = 1
    list_unit_price: UnitPrice | None = None
    wanted_unit_price: UnitPrice | None = None
    offered_unit_price: UnitPrice | None = None


class NegotiatedQuoteRound(Row, frozen=True, kw_only=True):
    """One step of a negotiation: who took it, where it led, what was said, and what the lines came to at the prices then named.

    `amount_minor` is None where a line had no price yet.
    """

    quote_id: UUID
    customer_id: UUID
    revision: Revision
    status: QuoteStatus
    taken_at_ms: Instant
    taken_by: Name
    said: Note = ""
    amount_minor: MinorAmount | None = None
