"""What things cost: price lists with their entries, who buys from which list, and prices agreed with one customer.

Validity is half open: from `valid_from_ms` on, until just before `valid_until_ms` where there is one. What is to hold later
travels ahead of time, so that a device without a network changes over at the same instant as the server.
"""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from sync_protocol.entities.orders import Channel
from sync_protocol.values import (
    SINCE_3,
    BasisPoints,
    Code,
    Currency,
    Instant,
    MinorAmount,
    Name,
    Priority,
    Quantity,
    RemainingQuantity,
    Row,
    UnitPrice,
)


class TaxTreatment(StrEnum):
    """Whether prices are without tax, which is added, or hold it already."""

    EXCLUSIVE = "exclusive"
    INCLUSIVE = "inclusive"


class Strength(StrEnum):
    """Whether a quantity rule must be kept, or is only advice."""

    REQUIRED = "required"
    RECOMMENDED = "recommended"


class Exclusivity(StrEnum):
    """Whether lists that come after this one are asked for what it does not have, or are shut out."""

    SHARED = "shared"
    EXCLUSIVE = "exclusive"


class AgreementSource(StrEnum):
    """What a price was agreed in: a negotiated quote or a contract."""

    QUOTE = "quote"
    CONTRACT = "contract"


class PriceList(Row, frozen=True, kw_only=True):
    """A named list of prices in one currency, with the quantity rules that hold for all that is bought from it.

    `pack_quantity` is a multiple that is sold unopened. `order_minimum_minor` is what the goods of an order must come to.
    """

    code: Code
    name: Name
    currency: Currency
    tax_treatment: Annotated[TaxTreatment, SINCE_3] = TaxTreatment.EXCLUSIVE
    valid_from_ms: Annotated[Instant, SINCE_3] = 0
    valid_until_ms: Annotated[Instant, SINCE_3] | None = None
    strength: Annotated[Strength, SINCE_3] = Strength.REQUIRED
    minimum_quantity: Annotated[Quantity, SINCE_3] | None = None
    multiple_quantity: Annotated[Quantity, SINCE_3] | None = None
    pack_quantity: Annotated[Quantity, SINCE_3] | None = None
    order_minimum_minor: Annotated[MinorAmount, SINCE_3] | None = None


class PriceEntry(Row, frozen=True, kw_only=True):
    """The price of a product on a list from `min_quantity` base units upwards.

    There is no upper bound: the deepest break that the quantity reaches wins, so breaks cannot overlap or leave gaps.
    `unit_price` is for `per_quantity` base units; where that is more than one, the price is for lines in packs of so many.
    """

    price_list_id: UUID
    product_id: UUID
    min_quantity: Quantity
    unit_price: UnitPrice
    per_quantity: Annotated[Quantity, SINCE_3] = 1
    valid_from_ms: Annotated[Instant, SINCE_3] = 0
    valid_until_ms: Annotated[Instant, SINCE_3] | None = None


class PriceListAssignment(Row, frozen=True, kw_only=True):
    """A list for a segment, for a channel, or for everyone, in one territory or in all: all that it names must fit."""

    price_list_id: UUID
    priority: Priority
    exclusivity: Exclusivity
    segment_id: UUID | None = None
    channel: Channel | None = None
    territory_id: UUID | None = None
    valid_from_ms: Instant = 0
    valid_until_ms: Instant | None = None


class CustomerPriceList(Row, frozen=True, kw_only=True):
    """A list for a customer, or for one of its locations."""

    customer_id: UUID
    price_list_id: UUID
    priority: Priority
    exclusivity: Exclusivity
    address_id: UUID | None = None
    valid_from_ms: Instant = 0
    valid_until_ms: Instant | None = None


class AgreedPrice(Row, frozen=True, kw_only=True):
    """A price that one customer was promised for a product, at one location or at all, while `remaining_quantity` lasts.

    `reference` names the contract or the quote. No remaining quantity is no limit.
    """

    customer_id: UUID
    product_id: UUID
    source: AgreementSource
    reference: Code
    currency: Currency
    min_quantity: Quantity
    unit_price: UnitPrice
    per_quantity: Quantity = 1
    tax_treatment: TaxTreatment = TaxTreatment.EXCLUSIVE
    address_id: UUID | None = None
    remaining_quantity: RemainingQuantity | None = None
    valid_from_ms: Instant = 0
    valid_until_ms: Instant | None = None


class ProductQuantityRule(Row, frozen=True, kw_only=True):
    """In which quantities a product is sold, whatever the list. `pack_quantity` is a multiple that is sold unopened."""

    product_id: UUID
    strength: Strength
    minimum_quantity: Quantity | None = None
    multiple_quantity: Quantity | None = None
    pack_quantity: Quantity | None = None


class ListQuantityRule(Row, frozen=True, kw_only=True):
    """In which quantities a product is sold from one list."""

    price_list_id: UUID
    product_id: UUID
    strength: Strength
    minimum_quantity: Quantity | None = None
    multiple_quantity: Quantity | None = None
    pack_quantity: Quantity | None = None


class DiscountLimit(Row, frozen=True, kw_only=True):
    """How much a role, or one rep, may take off a line by hand before a manager must agree. It never reaches a buyer."""

    role: Code
    discount_basis_points: BasisPoints
    rep_id: UUID | None = None


class PriceFloor(Row, frozen=True, kw_only=True):
    """Below this price of one base unit, without tax, a price given by hand needs a manager.

    It is made of cost and margin, neither of which travels, and never reaches a buyer.
    """

    product_id: UUID
    currency: Currency
    unit_price: UnitPrice
