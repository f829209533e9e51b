"""What a device may ask: one tagged union. Every intent names the aggregates it touches, its lanes.

An intent is one class here, one handler in a server slice and one effect in the device's overlay. Unknown fields are
refused: what is not declared here cannot be asked. Every class carries the roles that may ask it.
"""

import typing
from typing import Annotated, ClassVar, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from sync_protocol.values import (
    BasisPoints,
    DocumentNumber,
    EnteredCountry,
    EnteredCurrency,
    EnteredLabel,
    EnteredName,
    EnteredNote,
    Instant,
    MinorAmount,
    PriceDigest,
    Quantity,
    QuoteNumber,
    Revision,
    UnitPrice,
)

LINES_MAX: Final = 2_000
RULES_MAX: Final = 64
"""How many rules a line names at most; the digest stands for all."""


class Intent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="intent"):
    """Something a device asks for."""

    schema_version: ClassVar[int] = 1
    roles: ClassVar[frozenset[str]] = frozenset()

    def lanes(self) -> tuple[UUID, ...]:
        """The aggregates whose order of intents must be kept: the one that it is about first, the one that it needs last."""
        raise NotImplementedError

    def customer(self) -> UUID | None:
        """The customer that it names; None where it is about an order that is known."""
        return None


class ManualPrice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price that was given by hand: either a discount or another unit price, for as many base units as the price found."""

    reason: EnteredNote
    discount_basis_points: BasisPoints | None = None
    unit_price: UnitPrice | None = None


class RequestedLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line as it was captured: what the device quoted, a quotation and not an authority, and the proof of it.

    `unit_price` is for `per_quantity` base units. `amount_minor` and `tax_minor` are what the line came to; `rule_ids` name the
    rows that made it so and `digest` stands for its whole explanation (docs/PRICING.md). Without them nothing is proved.
    """

    line_id: UUID
    product_id: UUID
    quantity: Quantity
    unit_price: UnitPrice
    per_quantity: Quantity = 1
    pack_quantity: Quantity = 1
    manual: ManualPrice | None = None
    amount_minor: MinorAmount | None = None
    tax_minor: MinorAmount = 0
    rule_ids: Annotated[tuple[UUID, ...], Meta(max_length=RULES_MAX)] = ()
    digest: PriceDigest | None = None


class QuotedGift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Goods that a promotion gave, as the device saw it."""

    line_id: UUID
    product_id: UUID
    quantity: Quantity
    promotion_id: UUID


RequestedLines = Annotated[tuple[RequestedLine, ...], Meta(min_length=1, max_length=LINES_MAX)]
QuotedGifts = Annotated[tuple[QuotedGift, ...], Meta(max_length=LINES_MAX)]


class CreateCustomer(Intent, frozen=True, kw_only=True, tag="CreateCustomer"):
    """A prospect taken on the road: a customer of the given territory, with its first address and contact."""

    roles: ClassVar[frozenset[str]] = frozenset({"rep"})

    customer_id: UUID
    address_id: UUID
    contact_id: UUID
    territory_id: UUID
    name: EnteredName
    street: EnteredLabel
    postal_code: EnteredLabel
    city: EnteredLabel
    country: EnteredCountry
    contact_name: EnteredName
    email: EnteredLabel = ""
    phone: EnteredLabel = ""
    note: EnteredNote = ""

    def lanes(self) -> tuple[UUID, ...]:
        return (self.customer_id,)

    def customer(self) -> UUID:
        return self.customer_id


class SubmitOrder(Intent, frozen=True, kw_only=True, tag="SubmitOrder"):
    """An order captured on the device, numbered from the device's own series, and priced at `priced_at_ms` of the server's clock
    as the device knew it, by the rows of the checkpoint that the envelope names. `quote_id` is the accepted quote that it orders.
    """

    schema_version: ClassVar[int] = 2
    roles: ClassVar[frozenset[str]] = frozenset({"rep", "buyer"})

    order_id: UUID
    number: DocumentNumber
    customer_id: UUID
    currency: EnteredCurrency
    lines: RequestedLines
    address_id: UUID | None = None
    purchase_order_number: EnteredLabel = ""
    note: EnteredNote = ""
    gifts: QuotedGifts = ()
    priced_at_ms: Instant | None = None
    quote_id: UUID | None = None

    def lanes(self) -> tuple[UUID, ...]:
        of_quote = (self.quote_id,) if self.quote_id is not None else ()
        return (self.order_id, *of_quote, self.customer_id)

    def customer(self) -> UUID:
        return self.customer_id


class AmendOrder(Intent, frozen=True, kw_only=True, tag="AmendOrder"):
    """Other lines for an order that is not yet completed, priced as in SubmitOrder. `revision` is the one that the user saw.

    No note keeps the order's, an empty one takes it back.
    """

    schema_version: ClassVar[int] = 3
    roles: ClassVar[frozenset[str]] = frozenset({"rep", "buyer"})

    order_id: UUID
    revision: Revision
    lines: RequestedLines
    note: EnteredNote | None = None
    gifts: QuotedGifts = ()
    priced_at_ms: Instant | None = None

    def lanes(self) -> tuple[UUID, ...]:
        return (self.order_id,)


class CancelOrder(Intent, frozen=True, kw_only=True, tag="CancelOrder"):
    """No order after all; what it had allocated flows back."""

    roles: ClassVar[frozenset[str]] = frozenset({"rep", "buyer"})

    order_id: UUID
    reason: EnteredNote = ""

    def lanes(self) -> tuple[UUID, ...]:
        return (self.order_id,)


class WantedQuoteLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many base units of a product to be quoted for, at the wanted price for `per_quantity` of them where one is named."""

    line_id: UUID
    product_id: UUID
    quantity: Quantity
    per_quantity: Quantity = 1
    wanted_unit_price: UnitPrice | None = None


WantedQuoteLines = Annotated[tuple[WantedQuoteLine, ...], Meta(min_length=1, max_length=LINES_MAX)]


class RequestQuote(Intent, frozen=True, kw_only=True, tag="RequestQuote"):
    """A customer, or its rep, asks what the office would take for these goods. Numbered from the device's own series."""

    roles: ClassVar[frozenset[str]] = frozenset({"rep", "buyer"})

    quote_id: UUID
    number: QuoteNumber
    customer_id: UUID
    currency: EnteredCurrency
    lines: WantedQuoteLines
    address_id: UUID | None = None
    note: EnteredNote = ""

    def lanes(self) -> tuple[UUID, ...]:
        return (self.quote_id, self.customer_id)

    def customer(self) -> UUID:
        return self.customer_id


class CounterQuote(Intent, frozen=True, kw_only=True, tag="CounterQuote"):
    """Other goods or prices than those offered. `revision` is the one that the user saw."""

    roles: ClassVar[frozenset[str]] = frozenset({"rep", "buyer"})

    quote_id: UUID
    revision: Revision
    lines: WantedQuoteLines
    note: EnteredNote = ""

    def lanes(self) -> tuple[UUID, ...]:
        return (self.quote_id,)


class AcceptQuote(Intent, frozen=True, kw_only=True, tag="AcceptQuote"):
    """The customer takes what was offered; `revision` is the offer that it saw."""

    roles: ClassVar[frozenset[str]] = frozenset({"rep", "buyer"})

    quote_id: UUID
    revision: Revision

    def lanes(self) -> tuple[UUID, ...]:
        return (self.quote_id,)


class WithdrawQuote(Intent, frozen=True, kw_only=True, tag="WithdrawQuote"):
    """The customer does not want it after all."""

    roles: ClassVar[frozenset[str]] = frozenset({"rep", "buyer"})

    quote_id: UUID
    reason: EnteredNote = ""

    def lanes(self) -> tuple[UUID, ...]:
        return (self.quote_id,)


AnyIntent = CreateCustomer | SubmitOrder | AmendOrder | CancelOrder | RequestQuote | CounterQuote | AcceptQuote | WithdrawQuote
INTENTS: Final[tuple[type[Intent], ...]] = typing.get_args(AnyIntent)
