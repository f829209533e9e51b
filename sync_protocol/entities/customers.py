"""Who buys and who sells: territories, reps, customers, their addresses and contacts."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from sync_protocol.values import (
    SINCE_3,
    Code,
    Country,
    Instant,
    Label,
    MinorAmount,
    Name,
    Note,
    Row,
    TimeZone,
)


class CustomerStatus(StrEnum):
    """What may be sold to a customer now: a prospect's and an on-hold customer's orders wait for a manager."""

    PROSPECT = "prospect"
    ACTIVE = "active"
    ON_HOLD = "on_hold"
    CLOSED = "closed"


class Territory(Row, frozen=True, kw_only=True):
    """A part of the market: the price list, the stock location and the zone of its business date are its defaults."""

    code: Code
    name: Name
    time_zone: TimeZone
    price_list_id: UUID | None = None
    stock_location_id: UUID | None = None


class Rep(Row, frozen=True, kw_only=True):
    """A sales representative."""

    code: Code
    name: Name


class Customer(Row, frozen=True, kw_only=True):
    """A company that buys. Orders above `review_above_minor` are held for a manager; None is no such limit."""

    code: Code
    name: Name
    status: CustomerStatus
    territory_id: UUID | None = None
    price_list_id: UUID | None = None
    review_above_minor: MinorAmount | None = None
    note: Note = ""
    tax_code: Annotated[Code, SINCE_3] = "standard"


class Address(Row, frozen=True, kw_only=True):
    """A location of a customer, where goods or invoices go."""

    customer_id: UUID
    label: Label
    street: Label
    postal_code: Label
    city: Label
    country: Country
    region: Label = ""


class Contact(Row, frozen=True, kw_only=True):
    """A person at a customer."""

    customer_id: UUID
    name: Name
    role: Label = ""
    email: Label = ""
    phone: Label = ""


class Segment(Row, frozen=True, kw_only=True):
    """A group of customers that are treated alike, such as resellers or the gold tier."""

    code: Code
    name: Name


class SegmentMember(Row, frozen=True, kw_only=True):
    """A customer belongs to a segment."""

    customer_id: UUID
    segment_id: UUID
    valid_from_ms: Instant = 0
    valid_until_ms: Instant | None = None
