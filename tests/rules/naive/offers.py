"""Offers, read out of docs/PRICING.md (P-50 to P-53, P-62 and P-63) as plainly as can be."""

import hashlib
from uuid import UUID

from sync_protocol.entities.promotions import (
    Audience,
    Promotion,
    PromotionAudience,
    PromotionCustomer,
    PromotionExclusion,
    PromotionKind,
    PromotionPhase,
    PromotionStatus,
    PromotionTarget,
    PromotionTier,
    PromotionUse,
    Stacking,
    TargetRole,
)
from sync_protocol.rules.pricing.explanation import Fate, Missed, OfferStanding, StepKind
from sync_protocol.values import uuid7
from tests.rules.naive.effects import EFFECTS, Effect, Offer, shared
from tests.rules.naive.facts import Question, Working

PHASES = (PromotionPhase.LINE, PromotionPhase.ORDER, PromotionPhase.FREIGHT)

ROLES_READ = {
    PromotionKind.BUY_X_GET_Y: (TargetRole.GET, TargetRole.BUY),
    PromotionKind.BUNDLE: (TargetRole.PART,),
}
"""Which roles a kind reads, where that is not `buy` (P-53)."""


def considered(question: Question) -> list[Offer]:
    """P-50 and P-51."""
    offers = []
    for promotion in question.rows(Promotion):
        if promotion.status != PromotionStatus.ACTIVE or not question.is_valid(promotion):
            continue
        offer = Offer(
            question=question,
            promotion=promotion,
            targets=[row for row in question.rows(PromotionTarget) if row.promotion_id == promotion.id],
            tiers=[row for row in question.rows(PromotionTier) if row.promotion_id == promotion.id],
        )
        about = (TargetRole.BUY, TargetRole.GET, TargetRole.PART)
        if any(offer.matches(line, role) for line in question.lines for role in about):
            offers.append(offer)
    return sorted(
        offers, key=lambda offer: (PHASES.index(offer.promotion.phase), -offer.promotion.priority, offer.promotion.id.bytes)
    )


def refused(question: Question, promotion: Promotion) -> Fate | None:
    """P-52."""
    if promotion.currency not in {None, question.currency}:
        return Fate.CURRENCY_DIFFERS
    if promotion.audience == Audience.LISTED and not is_listed(question, promotion):
        return Fate.NOT_ELIGIBLE
    uses = [use.uses for use in question.rows(PromotionUse) if is_about(use, question, promotion)]
    if promotion.uses_per_customer is not None and any(each >= promotion.uses_per_customer for each in uses):
        return Fate.USES_SPENT
    if promotion.budget_minor is not None and promotion.spent_minor >= promotion.budget_minor:
        return Fate.BUDGET_SPENT
    return None


def is_about(row: PromotionUse | PromotionCustomer, question: Question, promotion: Promotion) -> bool:
    return row.customer_id == question.customer.id and row.promotion_id == promotion.id


def is_listed(question: Question, promotion: Promotion) -> bool:
    """P-52: whether the customer is listed, by name or by what it is."""
    if any(is_about(row, question, promotion) for row in question.rows(PromotionCustomer)):
        return True
    return any(
        row.promotion_id == promotion.id
        and (row.segment_id is None or row.segment_id in question.segments())
        and row.territory_id in {None, question.customer.territory_id}
        and row.channel in {None, question.basket.channel}
        for row in question.rows(PromotionAudience)
    )


def kept_from(question: Question, promotion: Promotion, working: Working) -> Fate | None:
    """P-53."""
    others = [row for row in question.rows(Promotion) if row.id in working.given]
    if promotion.phase == PromotionPhase.LINE and working.price_by_hand is not None:
        return Fate.MANUAL_PRICE
    if any(other.stacking == Stacking.ALONE for other in others):
        return Fate.ALONE_TAKEN
    if promotion.stacking == Stacking.ALONE and others:
        return Fate.NOT_ALONE
    if promotion.exclusive_group is not None and any(other.exclusive_group == promotion.exclusive_group for other in others):
        return Fate.GROUP_TAKEN
    pairs = [{row.promotion_id, row.other_id} for row in question.rows(PromotionExclusion)]
    if any({promotion.id, other.id} in pairs for other in others):
        return Fate.EXCLUDED
    return None


def keep_apart(question: Question, offer: Offer) -> Fate | None:
    """Find the lines that are not kept from the promotion, and tell the others; a fate where none is left (P-53)."""
    roles = ROLES_READ.get(offer.promotion.kind, (TargetRole.BUY,))
    kept = []
    for working in question.in_order():
        if not any(offer.matches(working, role) for role in roles):
            continue
        fate = kept_from(question, offer.promotion, working)
        if fate is None:
            offer.lines.append(working)
        else:
            kept.append(fate)
            working.missed.append(Missed(promotion_id=offer.promotion.id, fate=fate))
    return kept[0] if kept and not offer.lines else None


def allowed(promotion: Promotion, off: int) -> int:
    """P-62."""
    limits = [off]
    if promotion.cap_minor is not None:
        limits.append(max(promotion.cap_minor, 0))
    if promotion.budget_minor is not None:
        limits.append(promotion.budget_minor - promotion.spent_minor)
    return min(limits)


def judge(question: Question, offer: Offer) -> Effect:
    """What the promotion does, with its fate, and as much of it as its limits allow (P-52 to P-63)."""
    promotion = offer.promotion
    fate = refused(question, promotion)
    effect_of = EFFECTS.get((promotion.phase, promotion.kind))
    if fate is None and effect_of is None:
        fate = Fate.NO_GAIN
    if fate is None and promotion.phase == PromotionPhase.FREIGHT:
        offer.lines = question.in_order()
    elif fate is None:
        fate = keep_apart(question, offer)
    if fate is not None or effect_of is None:
        return Effect(fate=fate)
    effect = effect_of(offer)
    if effect.fate is None:
        total = sum(off for _, off in effect.off) + effect.off_freight
        limit = allowed(promotion, total)
        effect.off = shared(limit, effect.off)
        effect.off_freight = min(effect.off_freight, limit)
        effect.fate = Fate.GIVEN if limit > 0 else Fate.NO_GAIN
    return effect


def gift_line_id(promotion_id: UUID, product_id: UUID, anchor_id: UUID) -> UUID:
    """P-59."""
    digest = hashlib.blake2b(promotion_id.bytes + product_id.bytes + anchor_id.bytes, digest_size=16).digest()
    return uuid7(int.from_bytes(anchor_id.bytes[:6], "big"), int.from_bytes(digest, "big") >> (128 - 74))


def standing(offer: Offer, effect: Effect) -> OfferStanding:
    assert effect.fate
    return OfferStanding(
        promotion_id=offer.promotion.id,
        code=offer.promotion.code,
        phase=offer.promotion.phase,
        fate=effect.fate,
        amount_minor=sum(off for _, off in effect.off) + effect.off_freight,
        gap=effect.gap,
    )


def apply(offer: Offer, effect: Effect) -> None:
    """Take off the lines what is taken off, and note on each what was given to it (P-53)."""
    is_order = offer.promotion.phase == PromotionPhase.ORDER
    for working, off in effect.off:
        if off > 0:
            working.given.add(offer.promotion.id)
            kind = StepKind.ORDER_SHARE if is_order else StepKind.PROMOTION
            working.move(kind, offer.promotion.id, offer.promotion.code, -off)
    for working in effect.anchors:
        working.given.add(offer.promotion.id)
