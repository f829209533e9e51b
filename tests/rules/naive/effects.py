"""What each kind of offer does, read out of docs/PRICING.md (P-54 to P-61) as plainly as can be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from uuid import UUID

from sync_protocol.entities.catalog import Category, Product, ProductStatus
from sync_protocol.entities.promotions import (
    Promotion,
    PromotionKind,
    PromotionPhase,
    PromotionTarget,
    PromotionTier,
    Reach,
    TargetRole,
)
from sync_protocol.rules.pricing.explanation import Fate, Gap
from tests.rules.naive.facts import Question, Working, rounded, share


@dataclass(kw_only=True)
class Effect:
    """What a promotion would do: take so much off lines or off the freight, or give gifts, or why not, and what is missing."""

    fate: Fate | None = None
    off: list[tuple[Working, int]] = field(default_factory=list)
    off_freight: int = 0
    gifts: list[tuple[UUID, int]] = field(default_factory=list)
    anchors: list[Working] = field(default_factory=list)
    gap: Gap | None = None


@dataclass(kw_only=True)
class Offer:
    """A promotion with its rows, and the lines that are not kept from it."""

    question: Question
    promotion: Promotion
    targets: list[PromotionTarget]
    tiers: list[PromotionTier]
    lines: list[Working] = field(default_factory=list)
    freight: int = 0

    def matches(self, working: Working, role: TargetRole) -> bool:
        """Whether a line matches a role (P-50)."""
        if not working.is_priced or working.product is None:
            return False
        if role == TargetRole.BUY and self.promotion.reach == Reach.ALL:
            return True
        above = categories_of(self.question, working.product)
        targets = [target for target in self.targets if target.role == role]
        return any(target.product_id == working.product.id or target.category_id in above for target in targets)

    def matching(self, role: TargetRole = TargetRole.BUY) -> list[Working]:
        return [each for each in self.lines if self.matches(each, role)]

    def gap(self, missing_quantity: int | None = None, missing_minor: int | None = None) -> Gap:
        """P-54."""
        return Gap(
            rule_id=self.promotion.id,
            missing_quantity=missing_quantity,
            missing_minor=missing_minor,
            basis_points=self.promotion.value_basis_points,
        )

    def products_of(self, role: TargetRole) -> dict[UUID, int]:
        """The products of gifts or parts, those of one product in one sum (P-59, P-60)."""
        found: dict[UUID, int] = {}
        for target in self.targets:
            if target.role == role and target.product_id is not None:
                found[target.product_id] = found.get(target.product_id, 0) + target.quantity
        return found

    def sets_at_most(self, sets: int) -> int:
        return sets if self.promotion.repeats_max is None else min(sets, self.promotion.repeats_max)


def categories_of(question: Question, product: Product) -> set[UUID]:
    """A product's category and all above it (P-50)."""
    found: set[UUID] = set()
    category_id = product.category_id
    while category_id is not None and category_id not in found:
        found.add(category_id)
        category = question.row(Category, category_id)
        category_id = category.parent_id if category else None
    return found


def quantity_of(lines: list[Working]) -> int:
    return sum(each.line.quantity for each in lines)


def amount_of(lines: list[Working]) -> int:
    return sum(each.amount for each in lines)


def not_negative(amount: int | None) -> int | None:
    """P-63."""
    return None if amount is None else max(amount, 0)


def below_threshold(offer: Offer) -> Effect | None:
    """P-54."""
    promotion, lines = offer.promotion, offer.matching()
    least_quantity, least_amount = promotion.buy_quantity, not_negative(promotion.min_amount_minor)
    if least_quantity is not None and quantity_of(lines) < least_quantity:
        return Effect(fate=Fate.BELOW_THRESHOLD, gap=offer.gap(missing_quantity=least_quantity - quantity_of(lines)))
    if least_amount is not None and amount_of(lines) < least_amount:
        return Effect(fate=Fate.BELOW_THRESHOLD, gap=offer.gap(missing_minor=least_amount - amount_of(lines)))
    return None


def by_line(offer: Offer) -> Effect:
    """`percent`, `amount` and `fixed_price` of the line phase (P-55)."""
    promotion = offer.promotion
    needed = promotion.value_basis_points if promotion.kind == PromotionKind.PERCENT else promotion.value_unit_price
    if needed is None:
        return Effect()
    effect = below_threshold(offer)
    if effect:
        return effect
    effect = Effect()
    for working in offer.matching():
        if promotion.kind == PromotionKind.PERCENT:
            off = offer.question.percent_off(working, needed)
        elif promotion.kind == PromotionKind.AMOUNT:
            off = min(offer.question.gross(needed, working.line.quantity), working.amount)
        else:
            off = max(working.amount - offer.question.gross(needed, working.line.quantity), 0)
        effect.off.append((working, off))
    return effect


def by_tiers(offer: Offer, reached: int, least_of: Callable[[PromotionTier], int]) -> tuple[PromotionTier | None, Gap | None]:
    """P-56: the tier that is reached, and the gap to the next."""
    of_rank = sorted(offer.tiers, key=lambda tier: (-tier.value_basis_points, tier.id.bytes))
    tiers = [tier for tier in of_rank if least_of(tier) <= reached]
    found = max(tiers, key=least_of, default=None)
    percentage = found.value_basis_points if found else 0
    better = [tier for tier in of_rank if least_of(tier) > reached and tier.value_basis_points > percentage]
    following = min(better, key=least_of, default=None)
    if following is None:
        return found, None
    missing = least_of(following) - reached
    is_of_lines = offer.promotion.phase == PromotionPhase.LINE
    return found, Gap(
        rule_id=following.id,
        missing_quantity=missing if is_of_lines else None,
        missing_minor=None if is_of_lines else missing,
        basis_points=following.value_basis_points,
    )


def line_tiers(offer: Offer) -> Effect:
    lines = offer.matching()
    tier, gap = by_tiers(offer, quantity_of(lines), lambda each: each.min_quantity or 0)
    if tier is None:
        return Effect(fate=Fate.BELOW_THRESHOLD, gap=gap)
    off = [(working, offer.question.percent_off(working, tier.value_basis_points)) for working in lines]
    return Effect(off=off, gap=gap)


def cheapest_first(lines: list[Working], units: int) -> list[tuple[Working, int]]:
    """So many units of the lines, and what those of each come to (P-57)."""
    taken = []
    for working in sorted(
        lines,
        key=lambda each: (each.amount * 10**9 // each.line.quantity, each.line.product_id.bytes, each.line.line_id.bytes),
    ):
        of_line = min(units, working.line.quantity)
        units -= of_line
        taken.append((working, rounded(Fraction(working.amount * of_line, working.line.quantity))))
    return taken


def missing_to_a_set(offer: Offer, quantity: int, size: int) -> Gap | None:
    """The gap of P-58 and P-59."""
    limit = offer.promotion.repeats_max
    return None if limit is not None and quantity // size >= limit else offer.gap(missing_quantity=size - quantity % size)


def buy_x_get_y(offer: Offer) -> Effect:
    """P-58."""
    promotion = offer.promotion
    x, y, percentage = promotion.buy_quantity, promotion.get_quantity, promotion.value_basis_points
    if x is None or y is None or percentage is None:
        return Effect()
    bought, got, size = offer.matching(), offer.matching(), x + y
    if any(target.role == TargetRole.GET for target in offer.targets):
        got, size = offer.matching(TargetRole.GET), x
        bought = [working for working in offer.matching() if working not in got]
    sets = offer.sets_at_most(quantity_of(bought) // size)
    gap = missing_to_a_set(offer, quantity_of(bought), size)
    if sets == 0:
        return Effect(fate=Fate.BELOW_THRESHOLD, gap=gap)
    units = min(sets * y, quantity_of(got))
    off = [(working, rounded(Fraction(worth * percentage, 10_000))) for working, worth in cheapest_first(got, units)]
    return Effect(off=off, gap=gap)


def free_goods(offer: Offer) -> Effect:
    """P-59."""
    size, gifts, lines = offer.promotion.buy_quantity, offer.products_of(TargetRole.GIFT), offer.matching()
    if size is None or not gifts:
        return Effect()
    gap = missing_to_a_set(offer, quantity_of(lines), size)
    sets = offer.sets_at_most(quantity_of(lines) // size)
    if sets == 0:
        return Effect(fate=Fate.BELOW_THRESHOLD, gap=gap)
    products = [offer.question.row(Product, product_id) for product_id in gifts]
    if any(product is None or product.status == ProductStatus.DISCONTINUED for product in products):
        return Effect(fate=Fate.GIFT_UNKNOWN)
    given = [(product_id, gifts[product_id] * sets) for product_id in sorted(gifts, key=lambda each: each.bytes)]
    return Effect(fate=Fate.GIVEN, gifts=given, anchors=lines, gap=gap)


def bundle(offer: Offer) -> Effect:
    """P-60."""
    promotion, parts = offer.promotion, offer.products_of(TargetRole.PART)
    price, percentage = not_negative(promotion.value_minor), promotion.value_basis_points
    if not parts or (price is None and percentage is None):
        return Effect()
    lines = {product_id: [each for each in offer.lines if each.line.product_id == product_id] for product_id in parts}
    sets = offer.sets_at_most(min(quantity_of(lines[product_id]) // size for product_id, size in parts.items()))
    if sets == 0:
        missing = sum(max(size - quantity_of(lines[product_id]), 0) for product_id, size in parts.items())
        return Effect(fate=Fate.BELOW_THRESHOLD, gap=offer.gap(missing_quantity=missing))
    taken = [pair for product_id, size in parts.items() for pair in cheapest_first(lines[product_id], size * sets)]
    worth = sum(each for _, each in taken)
    off = rounded(Fraction(worth * (percentage or 0), 10_000)) if price is None else max(worth - price * sets, 0)
    return Effect(off=shared(off, taken))


def shared(off: int, worths: list[tuple[Working, int]]) -> list[tuple[Working, int]]:
    """Share what goes off among lines by what they are worth, in the order of the lines (P-3)."""
    in_order = sorted(worths, key=lambda pair: pair[0].line.line_id.bytes)
    if sum(worth for _, worth in in_order) == 0:
        return []
    parts = share(off, [worth for _, worth in in_order])
    return [(working, part) for (working, _), part in zip(in_order, parts, strict=True)]


def by_order(offer: Offer) -> Effect:
    """The order phase (P-61)."""
    promotion, lines = offer.promotion, offer.matching()
    base, gap = amount_of(lines), None
    if promotion.kind == PromotionKind.VOLUME_TIERS:
        tier, gap = by_tiers(offer, base, lambda each: max(each.min_amount_minor or 0, 0))
        if tier is None:
            return Effect(fate=Fate.BELOW_THRESHOLD, gap=gap)
        off = rounded(Fraction(base * tier.value_basis_points, 10_000))
    else:
        needed = promotion.value_basis_points if promotion.kind == PromotionKind.PERCENT else not_negative(promotion.value_minor)
        if needed is None:
            return Effect()
        effect = below_threshold(offer)
        if effect:
            return effect
        off = rounded(Fraction(base * needed, 10_000)) if promotion.kind == PromotionKind.PERCENT else min(needed, base)
    return Effect(off=shared(off, [(working, working.amount) for working in lines]), gap=gap)


def by_freight(offer: Offer) -> Effect:
    """The freight phase (P-61)."""
    promotion = offer.promotion
    needed = promotion.value_basis_points if promotion.kind == PromotionKind.PERCENT else not_negative(promotion.value_minor)
    if needed is None:
        return Effect()
    least, amount = not_negative(promotion.min_amount_minor), amount_of(offer.matching())
    if least is not None and amount < least:
        return Effect(fate=Fate.BELOW_THRESHOLD, gap=offer.gap(missing_minor=least - amount))
    freight = max(offer.freight, 0)
    if promotion.kind == PromotionKind.PERCENT:
        return Effect(off_freight=rounded(Fraction(freight * needed, 10_000)))
    return Effect(off_freight=min(needed, freight) if promotion.kind == PromotionKind.AMOUNT else max(freight - needed, 0))


EFFECTS: Mapping[tuple[PromotionPhase, PromotionKind], Callable[[Offer], Effect]] = MappingProxyType(
    {
        (PromotionPhase.LINE, PromotionKind.PERCENT): by_line,
        (PromotionPhase.LINE, PromotionKind.AMOUNT): by_line,
        (PromotionPhase.LINE, PromotionKind.FIXED_PRICE): by_line,
        (PromotionPhase.LINE, PromotionKind.VOLUME_TIERS): line_tiers,
        (PromotionPhase.LINE, PromotionKind.BUY_X_GET_Y): buy_x_get_y,
        (PromotionPhase.LINE, PromotionKind.FREE_GOODS): free_goods,
        (PromotionPhase.LINE, PromotionKind.BUNDLE): bundle,
        (PromotionPhase.ORDER, PromotionKind.PERCENT): by_order,
        (PromotionPhase.ORDER, PromotionKind.AMOUNT): by_order,
        (PromotionPhase.ORDER, PromotionKind.VOLUME_TIERS): by_order,
        (PromotionPhase.FREIGHT, PromotionKind.PERCENT): by_freight,
        (PromotionPhase.FREIGHT, PromotionKind.AMOUNT): by_freight,
        (PromotionPhase.FREIGHT, PromotionKind.FIXED_PRICE): by_freight,
    }
)
"""What there is; a kind in another phase takes off nothing (P-63)."""
