"""The answer: what a basket costs, with everything that was considered. As canonical JSON it is the same on both ends."""

from enum import StrEnum
from uuid import UUID

import msgspec

from sync_protocol.entities.orders import PriceSource
from sync_protocol.entities.pricing import Strength, TaxTreatment
from sync_protocol.entities.promotions import PromotionPhase
from sync_protocol.values import Instant


class Fate(StrEnum):
    """What became of a list, of a price or of an offer that was considered."""

    USED = "used"
    WON = "won"
    GIVEN = "given"
    MISSING = "missing"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    REPEATED = "repeated"
    SHUT_OUT = "shut_out"
    CURRENCY_DIFFERS = "currency_differs"
    OTHER_LOCATION = "other_location"
    UNIT_DIFFERS = "unit_differs"
    BELOW_BREAK = "below_break"
    EXHAUSTED = "exhausted"
    NEARER_SOURCE = "nearer_source"
    NEARER_AGREEMENT = "nearer_agreement"
    OWN_PACK = "own_pack"
    DEEPER_BREAK = "deeper_break"
    NEWER = "newer"
    SMALLER_ID = "smaller_id"
    NOT_ELIGIBLE = "not_eligible"
    USES_SPENT = "uses_spent"
    BUDGET_SPENT = "budget_spent"
    MANUAL_PRICE = "manual_price"
    ALONE_TAKEN = "alone_taken"
    NOT_ALONE = "not_alone"
    GROUP_TAKEN = "group_taken"
    EXCLUDED = "excluded"
    BELOW_THRESHOLD = "below_threshold"
    GIFT_UNKNOWN = "gift_unknown"
    NO_GAIN = "no_gain"


class Obstacle(StrEnum):
    """Why a line, or the basket, cannot be bought as it is, in order of precedence."""

    UNKNOWN_PRODUCT = "unknown_product"
    PRODUCT_DISCONTINUED = "product_discontinued"
    NO_LIST = "no_list"
    CURRENCY_DIFFERS = "currency_differs"
    BELOW_SMALLEST_BREAK = "below_smallest_break"
    OTHER_UNIT = "other_unit"
    NOT_YET_SOLD = "not_yet_sold"
    NO_LONGER_SOLD = "no_longer_sold"
    EXHAUSTED = "exhausted"
    NOT_LISTED = "not_listed"
    NOT_IN_PACKS = "not_in_packs"
    QUANTITY_NOT_SOLD = "quantity_not_sold"
    ORDER_BELOW_MINIMUM = "order_below_minimum"


class PriceHold(StrEnum):
    """Why a manager must agree to a price that was given by hand."""

    MANUAL_PRICE_ABOVE_LIMIT = "manual_price_above_limit"
    BELOW_FLOOR = "below_floor"


class StepKind(StrEnum):
    """What moved the amount of a line."""

    PROMOTION = "promotion"
    MANUAL = "manual"
    ORDER_SHARE = "order_share"


class ListStanding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A list that the customer has a claim to, in the order of the chain. `rule_id` is the row that assigns it."""

    source: PriceSource
    rule_id: UUID
    price_list_id: UUID
    priority: int
    fate: Fate


class Candidate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A price that was considered: an agreed price, or an entry of a list of the chain."""

    source: PriceSource
    rule_id: UUID
    price_list_id: UUID | None
    min_quantity: int
    unit_price: int
    per_quantity: int
    fate: Fate


class Step(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that was added to the amount of a line (below zero: taken off), and what it came to then, in minor units."""

    kind: StepKind
    rule_id: UUID | None
    code: str
    amount_minor: int
    after_minor: int


class Missed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An offer that this line was kept from by another."""

    promotion_id: UUID
    fate: Fate


class Gap(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is missing to something better: so many base units, or so much money, and what that gives."""

    rule_id: UUID
    missing_quantity: int | None = None
    missing_minor: int | None = None
    unit_price: int | None = None
    basis_points: int | None = None


class QuantityAnswer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the quantity rules of one strength say: the rule of each field, and the nearest quantities that keep them all."""

    strength: Strength
    minimum: int | None
    multiple: int | None
    pack: int | None
    is_kept: bool
    below: int | None
    above: int | None


class TaxPart(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One tax on a line."""

    rule_id: UUID
    name: str
    rate_ppm: int
    amount_minor: int


class LinePrice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line with its price, top to bottom. Amounts are minor units, unit prices ten-thousandths for `per_quantity` units."""

    line_id: UUID
    product_id: UUID
    quantity: int
    pack_quantity: int
    obstacle: Obstacle | None
    source: PriceSource | None
    rule_id: UUID | None
    unit_price: int | None
    per_quantity: int
    tax_treatment: TaxTreatment
    candidates: tuple[Candidate, ...]
    gross_minor: int
    steps: tuple[Step, ...]
    missed: tuple[Missed, ...]
    discount_minor: int
    order_discount_minor: int
    amount_minor: int
    tax_code: str
    tax_jurisdiction: str
    tax_exemption_id: UUID | None
    taxes: tuple[TaxPart, ...]
    tax_minor: int
    total_minor: int
    quantities: tuple[QuantityAnswer, ...]
    gap: Gap | None
    holds: tuple[PriceHold, ...]


class OfferStanding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A promotion about something in the basket: what it gave in all, or why it gave nothing, and what is missing to more."""

    promotion_id: UUID
    code: str
    phase: PromotionPhase
    fate: Fate
    amount_minor: int
    gap: Gap | None


class BasketPrice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The whole. `lines` stand as they were asked, and `goods_minor + tax_minor + freight_minor` is the total.

    `nearest_currency` is that of the first list of the chain, empty without any.
    """

    customer_id: UUID
    address_id: UUID | None
    currency: str
    nearest_currency: str
    instant_ms: Instant
    lists: tuple[ListStanding, ...]
    lines: tuple[LinePrice, ...]
    gifts: tuple[LinePrice, ...]
    offers: tuple[OfferStanding, ...]
    obstacle: Obstacle | None
    order_minimum_gap: Gap | None
    goods_minor: int
    tax_minor: int
    freight_minor: int
    total_minor: int
