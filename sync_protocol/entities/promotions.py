"""Offers: what a promotion gives, to whom, on what, and what it may cost.

A promotion is in the catalogue and so on every device; who is listed for one is known to its own devices alone. Terms that
nobody else may read belong into a list or an agreed price.
"""

from enum import StrEnum
from uuid import UUID

from sync_protocol.entities.orders import Channel
from sync_protocol.values import (
    BasisPoints,
    Code,
    Count,
    Currency,
    Instant,
    MinorAmount,
    Name,
    Priority,
    Quantity,
    Row,
    UnitPrice,
    Uses,
)


class PromotionPhase(StrEnum):
    """What a promotion takes from, in the order in which that happens."""

    LINE = "line"
    ORDER = "order"
    FREIGHT = "freight"


class PromotionKind(StrEnum):
    """What a promotion does; docs/PRICING.md says of each which values it reads."""

    PERCENT = "percent"
    AMOUNT = "amount"
    FIXED_PRICE = "fixed_price"
    VOLUME_TIERS = "volume_tiers"
    BUY_X_GET_Y = "buy_x_get_y"
    FREE_GOODS = "free_goods"
    BUNDLE = "bundle"


class PromotionStatus(StrEnum):
    """Whether it is given now."""

    ACTIVE = "active"
    PAUSED = "paused"


class Stacking(StrEnum):
    """Whether it may stand beside others on a line, or only alone."""

    STACKABLE = "stackable"
    ALONE = "alone"


class Audience(StrEnum):
    """Whether everyone is eligible, or who is named by a `PromotionAudience` or a `PromotionCustomer`."""

    EVERYONE = "everyone"
    LISTED = "listed"


class Reach(StrEnum):
    """Whether it is about every product, or about its `PromotionTarget` rows of the role `buy`."""

    ALL = "all"
    TARGETS = "targets"


class TargetRole(StrEnum):
    """What a target is to a promotion: bought for it, had cheaper by it, given by it, or a part of a bundle."""

    BUY = "buy"
    GET = "get"
    GIFT = "gift"
    PART = "part"


class Promotion(Row, frozen=True, kw_only=True):
    """An offer. Of one `exclusive_group` only the first that applies is given; `spent_minor` is what it has cost so far."""

    code: Code
    name: Name
    phase: PromotionPhase
    kind: PromotionKind
    status: PromotionStatus
    priority: Priority
    stacking: Stacking
    audience: Audience
    reach: Reach
    exclusive_group: Code | None = None
    currency: Currency | None = None
    valid_from_ms: Instant = 0
    valid_until_ms: Instant | None = None
    value_basis_points: BasisPoints | None = None
    value_unit_price: UnitPrice | None = None
    value_minor: MinorAmount | None = None
    buy_quantity: Quantity | None = None
    get_quantity: Quantity | None = None
    repeats_max: Count | None = None
    min_amount_minor: MinorAmount | None = None
    cap_minor: MinorAmount | None = None
    budget_minor: MinorAmount | None = None
    spent_minor: MinorAmount = 0
    uses_per_customer: Count | None = None


class PromotionAudience(Row, frozen=True, kw_only=True):
    """Who is eligible for a promotion that is for those who are listed: all that one row names must fit."""

    promotion_id: UUID
    segment_id: UUID | None = None
    territory_id: UUID | None = None
    channel: Channel | None = None


class PromotionTarget(Row, frozen=True, kw_only=True):
    """A product, or a category with all below it, that a promotion is about; `quantity` is of a gift or a part, for one time."""

    promotion_id: UUID
    role: TargetRole
    product_id: UUID | None = None
    category_id: UUID | None = None
    quantity: Quantity = 1


class PromotionTier(Row, frozen=True, kw_only=True):
    """From so many base units, or from such an amount, a promotion of tiers takes off so much."""

    promotion_id: UUID
    value_basis_points: BasisPoints
    min_quantity: Quantity | None = None
    min_amount_minor: MinorAmount | None = None


class PromotionExclusion(Row, frozen=True, kw_only=True):
    """Two promotions that never stand on the same line; of the two the one that comes first is given."""

    promotion_id: UUID
    other_id: UUID


class PromotionCustomer(Row, frozen=True, kw_only=True):
    """A customer that is listed for a promotion."""

    customer_id: UUID
    promotion_id: UUID


class PromotionUse(Row, frozen=True, kw_only=True):
    """In how many orders a customer was given a promotion that counts them."""

    customer_id: UUID
    promotion_id: UUID
    uses: Uses
