"""Offers of every kind and phase for small, nasty companies, with the rows around them."""

from typing import Any

from sync_protocol.entities.catalog import Category, Product
from sync_protocol.entities.customers import Segment, Territory
from sync_protocol.entities.orders import Channel
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
    Reach,
    Stacking,
    TargetRole,
)
from tests.support.price_dice import AMOUNTS, BASIS_POINTS, QUANTITIES, UNIT_PRICES, Dice

KINDS = {
    PromotionKind.PERCENT: (PromotionPhase.LINE, PromotionPhase.ORDER, PromotionPhase.FREIGHT),
    PromotionKind.AMOUNT: (PromotionPhase.LINE, PromotionPhase.ORDER, PromotionPhase.FREIGHT),
    PromotionKind.FIXED_PRICE: (PromotionPhase.LINE, PromotionPhase.FREIGHT),
    PromotionKind.VOLUME_TIERS: (PromotionPhase.LINE, PromotionPhase.ORDER),
    PromotionKind.BUY_X_GET_Y: (PromotionPhase.LINE,),
    PromotionKind.FREE_GOODS: (PromotionPhase.LINE,),
    PromotionKind.BUNDLE: (PromotionPhase.LINE,),
}
"""Which kind there is in which phase."""


def make_promotions(dice: Dice) -> None:
    for _ in dice.times(6):
        add_promotion(dice)
    for row in list(dice.book.get(Promotion, [])):
        assert isinstance(row, Promotion)
        surround(dice, row)
    for _ in dice.times(2):
        if dice.book.get(Promotion):
            dice.add(PromotionExclusion, promotion_id=dice.id_of(Promotion), other_id=dice.id_of(Promotion))


def add_promotion(dice: Dice) -> None:
    kind = dice.one(*KINDS)
    phase = dice.one(*PromotionPhase) if dice.is_rare(24) else dice.one(*KINDS[kind])
    is_counted = kind in {PromotionKind.BUY_X_GET_Y, PromotionKind.FREE_GOODS}
    dice.add(
        Promotion,
        code=f"{kind}",
        name="O",
        phase=phase,
        kind=kind,
        status=PromotionStatus.PAUSED if dice.is_rare(12) else PromotionStatus.ACTIVE,
        priority=dice.roll(3),
        stacking=Stacking.ALONE if dice.is_rare(8) else Stacking.STACKABLE,
        audience=Audience.LISTED if dice.is_rare(6) else Audience.EVERYONE,
        reach=dice.one(*Reach),
        exclusive_group=dice.perhaps(dice.one("G", "G", "H"), 3),
        currency=dice.perhaps(dice.one(*dice.currencies), 6),
        **values_of(dice, kind, phase),
        buy_quantity=dice.one(1, 2, 3, 10, 100) if is_counted and not dice.is_rare(16) else dice.perhaps(dice.one(2, 10), 4),
        get_quantity=dice.one(1, 2) if kind == PromotionKind.BUY_X_GET_Y and not dice.is_rare(16) else None,
        repeats_max=dice.perhaps(dice.one(1, 2), 4),
        min_amount_minor=dice.perhaps(dice.one(*AMOUNTS), 6),
        cap_minor=dice.perhaps(dice.one(*AMOUNTS), 5),
        budget_minor=dice.perhaps(dice.one(*AMOUNTS), 5),
        spent_minor=dice.one(0, 99, 1),
        uses_per_customer=dice.perhaps(1, 6),
        **dice.validity(always_in=8),
    )


def values_of(dice: Dice, kind: PromotionKind, phase: PromotionPhase) -> dict[str, Any]:
    """What the kind reads, and seldom not or something else."""
    by_percentage = {PromotionKind.PERCENT, PromotionKind.BUY_X_GET_Y, PromotionKind.BUNDLE}
    by_price = phase == PromotionPhase.LINE and kind in {PromotionKind.AMOUNT, PromotionKind.FIXED_PRICE}
    by_amount = phase != PromotionPhase.LINE or (kind == PromotionKind.BUNDLE and dice.is_rare(2))
    percentage, price, amount = dice.one(*BASIS_POINTS), dice.one(*UNIT_PRICES), dice.one(*AMOUNTS)
    return {
        "value_basis_points": percentage if (kind in by_percentage) != dice.is_rare(16) else None,
        "value_unit_price": price if by_price != dice.is_rare(24) else None,
        "value_minor": amount if by_amount != dice.is_rare(24) else None,
    }


def surround(dice: Dice, promotion: Promotion) -> None:
    """The rows that belong to a promotion, of the kinds that it may read."""
    roles = {
        PromotionKind.BUY_X_GET_Y: (TargetRole.BUY, TargetRole.GET),
        PromotionKind.FREE_GOODS: (TargetRole.GIFT, TargetRole.BUY),
        PromotionKind.BUNDLE: (TargetRole.PART,),
    }.get(promotion.kind, (TargetRole.BUY,))
    for _ in range(1 + dice.roll(3)):
        category_id = dice.perhaps(dice.id_of(Category), 4)
        dice.add(
            PromotionTarget,
            promotion_id=promotion.id,
            role=dice.one(*TargetRole) if dice.is_rare(12) else dice.one(*roles),
            product_id=None if category_id and not dice.is_rare(4) else dice.id_of(Product),
            category_id=category_id,
            quantity=dice.one(1, 2, 5),
        )
    for _ in dice.times(3) if promotion.kind == PromotionKind.VOLUME_TIERS else ():
        dice.add(
            PromotionTier,
            promotion_id=promotion.id,
            value_basis_points=dice.one(*BASIS_POINTS),
            min_quantity=dice.perhaps(dice.one(*QUANTITIES)),
            min_amount_minor=dice.perhaps(dice.one(*AMOUNTS)),
        )
    if promotion.audience == Audience.LISTED and dice.is_rare(2):
        dice.add(PromotionCustomer, customer_id=dice.customer_id(), promotion_id=promotion.id)
    for _ in dice.times(1) if promotion.audience == Audience.LISTED else ():
        dice.add(
            PromotionAudience,
            promotion_id=promotion.id,
            segment_id=dice.perhaps(dice.id_of(Segment), 3),
            territory_id=dice.perhaps(dice.id_of(Territory), 3),
            channel=dice.perhaps(dice.one(Channel.REP, Channel.BUYER), 3),
        )
    if promotion.uses_per_customer and dice.is_rare(2):
        dice.add(PromotionUse, customer_id=dice.customer_id(), promotion_id=promotion.id, uses=dice.roll(3))
