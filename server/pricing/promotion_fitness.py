"""What a promotion and its parts lack to give anything: what its kind needs, and what its kind would never read."""

from collections.abc import Iterator
from typing import Final

from server.pricing.promotion_kinds import MONEY, READINGS, ROLES, VALUES, Reading
from server.pricing.surroundings import Surroundings
from sync_protocol.entities.promotions import (
    Promotion,
    PromotionAudience,
    PromotionExclusion,
    PromotionStatus,
    PromotionTarget,
    PromotionTier,
    Reach,
    TargetRole,
)

Faults = Iterator[tuple[str, str]]

_FIRST_PAUSED: Final = "create it as paused, add them, and set it active then"
_PRODUCT_ONLY: Final = frozenset({TargetRole.GIFT, TargetRole.PART})


def promotion_faults(promotion: Promotion, around: Surroundings) -> Faults:
    """Each field that is wrong, with its remedy."""
    kinds = READINGS[promotion.phase]
    if promotion.kind not in kinds:
        yield "kind", f"does nothing in the {promotion.phase} phase, which has {', '.join(kinds)}; choose one of them"
        return
    reading = kinds[promotion.kind]
    given = frozenset(name for name in VALUES if getattr(promotion, name) is not None)
    yield from _value_faults(promotion, reading, given)
    for name in MONEY:
        if name in given and getattr(promotion, name) < 0:
            yield name, "is below 0; give 0 or more"
    if given.intersection(MONEY) and promotion.currency is None:
        money = ", ".join(name for name in MONEY if name in given)
        yield "currency", f"is missing, and {money} is money; give the currency that it is in"
    if promotion.status is PromotionStatus.ACTIVE:
        yield from _incompleteness(promotion, reading, around)


def _value_faults(promotion: Promotion, reading: Reading, given: frozenset[str]) -> Faults:
    kind = f"{promotion.kind} of the {promotion.phase} phase"
    for name in reading.needs:
        if name not in given:
            yield name, f"is missing, and without it {kind} gives nothing; give it"
    if reading.one_of and not given.intersection(reading.one_of):
        yield reading.one_of[0], f"is missing, and without it {kind} gives nothing; give it or {reading.one_of[1]}"
    for name in sorted(given - reading.reads):
        yield name, f"is not read by {kind}; leave it out"


def _incompleteness(promotion: Promotion, reading: Reading, around: Surroundings) -> Faults:
    """What an active promotion must have beside its own values. While its parts are being entered it would be another offer."""
    roles = {target.role for target in around.targets}
    if reading.tier_field is not None and not around.tiers:
        yield "status", f"is active, and there are no tiers yet; {_FIRST_PAUSED}"
    elif reading.role is not None and reading.role not in roles:
        yield "status", f"is active, and there is no target of the role {reading.role} yet; {_FIRST_PAUSED}"
    elif promotion.reach is Reach.TARGETS and reading.role is not TargetRole.PART and TargetRole.BUY not in roles:
        yield "status", f"is active, its reach is targets, and there is none of the role buy yet; {_FIRST_PAUSED}"
    unread = sorted({role for role in roles if promotion.kind not in ROLES[role]})
    if unread:
        yield "kind", f"does not read its targets of the role {', '.join(unread)}; delete these first, or choose another kind"


def target_faults(target: PromotionTarget, around: Surroundings) -> Faults:
    if target.product_id is not None and target.category_id is not None:
        yield "category_id", "stands beside a product; name one of them"
    if target.product_id is None and target.category_id is None:
        yield "product_id", "is missing; name a product or a category"
    if target.role in _PRODUCT_ONLY and target.category_id is not None:
        yield "category_id", f"cannot be a {target.role}; name a product"
    if target.role not in _PRODUCT_ONLY and target.quantity != 1:
        yield "quantity", f"is not read of a target of the role {target.role}; leave it out"
    if around.promotion is not None and around.promotion.kind not in ROLES[target.role]:
        yield "role", f"is not read by {around.promotion.kind}, which the promotion is; choose another"


def tier_faults(tier: PromotionTier, around: Surroundings) -> Faults:
    if tier.min_amount_minor is not None and tier.min_amount_minor < 0:
        yield "min_amount_minor", "is below 0; give 0 or more"
    if around.promotion is None:
        return
    reading = READINGS[around.promotion.phase].get(around.promotion.kind)
    if reading is None or reading.tier_field is None:
        yield "promotion_id", f"names a promotion of the kind {around.promotion.kind}, which has no tiers; leave the tier out"
        return
    for name in ("min_quantity", "min_amount_minor"):
        if name != reading.tier_field and getattr(tier, name) is not None:
            yield name, f"is not read in the {around.promotion.phase} phase; give {reading.tier_field}"
    if tier.min_amount_minor is not None and around.promotion.currency is None:
        yield "min_amount_minor", "is money, and the promotion names no currency; give it one first"


def exclusion_faults(exclusion: PromotionExclusion, _around: Surroundings) -> Faults:
    if exclusion.promotion_id == exclusion.other_id:
        yield "other_id", "is the same promotion; name another"


def audience_faults(audience: PromotionAudience, _around: Surroundings) -> Faults:
    if audience.segment_id is None and audience.territory_id is None and audience.channel is None:
        yield "segment_id", "is missing, as are territory_id and channel, so that this would be everyone; name one of them"
