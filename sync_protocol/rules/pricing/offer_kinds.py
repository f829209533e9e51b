"""What each kind of promotion takes off the lines that it is about (P-54 to P-61)."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.promotions import (
    Promotion,
    PromotionKind,
    PromotionPhase,
    PromotionTarget,
    PromotionTier,
    TargetRole,
)
from sync_protocol.rules.pricing.amounts import gross_amount, part_amount, percentage
from sync_protocol.rules.pricing.explanation import Fate, Gap
from sync_protocol.rules.pricing.facts import Facts
from sync_protocol.rules.pricing.lines import LineState
from sync_protocol.rules.rounding import share
from sync_protocol.values import minor_digits, uuid7

_CHEAPEST_SCALE: Final = 10**9
_RANDOM_BITS: Final = 74


class Gift(NamedTuple):
    """A product that is given, and by which promotion."""

    line_id: UUID
    promotion: Promotion
    product: Product
    quantity: int


class Taken(NamedTuple):
    """What a promotion would take off each line; or why nothing, what is missing to more, and what it gives besides."""

    takes: Sequence[tuple[LineState, int]] = ()
    fate: Fate | None = None
    gap: Gap | None = None
    gifts: Sequence[Gift] = ()

    def total(self) -> int:
        """What it takes off in all."""
        return sum(amount for _, amount in self.takes)


class Offer:
    """A promotion with its targets, ready to be matched."""

    def __init__(self, promotion: Promotion, facts: Facts, targets: Sequence[PromotionTarget]) -> None:
        self.promotion = promotion
        self.targets = targets
        self.products = facts.products
        self.tiers: Sequence[PromotionTier] = facts.terms.tiers.get(promotion.id, ())
        self.minor_digits = minor_digits(facts.chain.currency)
        self._got = {each.product_id for each in targets if each.role is TargetRole.GET}
        self._got_under = {each.category_id for each in targets if each.role is TargetRole.GET}

    def is_got(self, state: LineState) -> bool:
        """Whether a line matches the role `get` (P-50)."""
        return state.line.product_id in self._got or any(each in self._got_under for each in state.categories)

    def quantities(self, role: TargetRole) -> dict[UUID, int]:
        """Of each product that is a target of a role how many, in order of the products."""
        found: dict[UUID, int] = {}
        for each in self.targets:
            if each.role is role and each.product_id is not None:
                found[each.product_id] = found.get(each.product_id, 0) + each.quantity
        return dict(sorted(found.items(), key=lambda each: each[0].bytes))

    def has(self, role: TargetRole) -> bool:
        """Whether there is a target of a role."""
        return any(each.role is role for each in self.targets)

    def gap(self, *, quantity: int | None = None, minor: int | None = None) -> Gap:
        """What is missing to something that this promotion gives."""
        return Gap(
            rule_id=self.promotion.id,
            missing_quantity=quantity,
            missing_minor=minor,
            basis_points=self.promotion.value_basis_points,
        )


Kind = Callable[[Offer, Sequence[LineState]], Taken]


def _below_threshold(offer: Offer, lines: Sequence[LineState]) -> Taken | None:
    """That the lines do not come to what the promotion asks for; None where they do (P-54)."""
    promotion = offer.promotion
    quantity = (promotion.buy_quantity or 0) - sum(state.line.quantity for state in lines)
    if quantity > 0:
        return Taken(fate=Fate.BELOW_THRESHOLD, gap=offer.gap(quantity=quantity))
    return _below_amount(offer, sum(state.running for state in lines))


def _below_amount(offer: Offer, amount_minor: int) -> Taken | None:
    missing = (offer.promotion.min_amount_minor or 0) - amount_minor
    if missing <= 0:
        return None
    return Taken(fate=Fate.BELOW_THRESHOLD, gap=offer.gap(minor=missing))


def _percent_off(offer: Offer, lines: Sequence[LineState], basis_points: int) -> list[tuple[LineState, int]]:
    return [(state, state.percent_off(basis_points, offer.minor_digits)) for state in lines]


def _percent(offer: Offer, lines: Sequence[LineState]) -> Taken:
    basis_points = offer.promotion.value_basis_points
    if basis_points is None:
        return Taken()
    return _below_threshold(offer, lines) or Taken(_percent_off(offer, lines, basis_points))


def _amount(offer: Offer, lines: Sequence[LineState]) -> Taken:
    each = offer.promotion.value_unit_price
    if each is None:
        return Taken()

    def off(state: LineState) -> int:
        return min(state.running, gross_amount(each, 1, state.line.quantity, offer.minor_digits))

    return _below_threshold(offer, lines) or Taken([(state, off(state)) for state in lines])


def _fixed_price(offer: Offer, lines: Sequence[LineState]) -> Taken:
    price = offer.promotion.value_unit_price
    if price is None:
        return Taken()
    left = [gross_amount(price, 1, state.line.quantity, offer.minor_digits) for state in lines]
    takes = [(state, max(0, state.running - amount)) for state, amount in zip(lines, left, strict=True)]
    return _below_threshold(offer, lines) or Taken(takes)


class _Rung(NamedTuple):
    """A tier as its order among tiers: from how much on, then the larger percentage, then the id."""

    least: int
    less_basis_points: int
    id_bytes: bytes
    tier_id: UUID


def _tier(offer: Offer, reached: int, column: str) -> tuple[int | None, Gap | None]:
    """The percentage of the deepest tier that is reached, and the gap to the next one with a larger one (P-56)."""
    rungs = [_Rung(max(0, getattr(tier, column) or 0), -tier.value_basis_points, tier.id.bytes, tier.id) for tier in offer.tiers]
    deepest = min((each for each in rungs if each.least <= reached), key=lambda each: (-each.least, *each[1:]), default=None)
    less = deepest.less_basis_points if deepest is not None else 0
    following = min((each for each in rungs if each.least > reached and each.less_basis_points < less), default=None)
    gap = None
    if following is not None:
        missing, is_quantity = following.least - reached, column == "min_quantity"
        gap = Gap(
            rule_id=following.tier_id,
            missing_quantity=missing if is_quantity else None,
            missing_minor=None if is_quantity else missing,
            basis_points=-following.less_basis_points,
        )
    return (-deepest.less_basis_points if deepest is not None else None), gap


def _volume_tiers(offer: Offer, lines: Sequence[LineState]) -> Taken:
    basis_points, gap = _tier(offer, sum(state.line.quantity for state in lines), "min_quantity")
    if basis_points is None:
        return Taken(fate=Fate.BELOW_THRESHOLD, gap=gap)
    return Taken(_percent_off(offer, lines, basis_points), gap=gap)


def _cheapest_first(lines: Sequence[LineState], units: int) -> list[tuple[LineState, int]]:
    """So many units of the lines, the cheapest ones: of which lines, and what they come to (P-57)."""
    ordered = sorted(
        lines,
        key=lambda state: (
            state.running * _CHEAPEST_SCALE // state.line.quantity,
            state.line.product_id.bytes,
            state.line.line_id.bytes,
        ),
    )
    found = []
    left = units
    for state in ordered:
        taken = min(left, state.line.quantity)
        if taken > 0:
            found.append((state, part_amount(state.running, taken, state.line.quantity)))
            left -= taken
    return found


def _sets(promotion: Promotion, quantity: int, size: int) -> tuple[int, int | None]:
    """How many whole sets a quantity makes, and what is missing to one more; None where there can be no more (P-58)."""
    sets = quantity // size
    if promotion.repeats_max is not None and sets >= promotion.repeats_max:
        return promotion.repeats_max, None
    return sets, size - quantity % size


def _buy_x_get_y(offer: Offer, lines: Sequence[LineState]) -> Taken:
    promotion = offer.promotion
    if promotion.buy_quantity is None or promotion.get_quantity is None or promotion.value_basis_points is None:
        return Taken()
    if offer.has(TargetRole.GET):
        got = [state for state in lines if offer.is_got(state)]
        bought = [state for state in lines if not offer.is_got(state)]
        size = promotion.buy_quantity
    else:
        got = bought = list(lines)
        size = promotion.buy_quantity + promotion.get_quantity
    sets, missing = _sets(promotion, sum(state.line.quantity for state in bought), size)
    gap = offer.gap(quantity=missing) if missing is not None else None
    if not sets:
        return Taken(fate=Fate.BELOW_THRESHOLD, gap=gap)
    units = min(sets * promotion.get_quantity, sum(state.line.quantity for state in got))
    basis_points = promotion.value_basis_points
    taken = [(state, percentage(amount, basis_points)) for state, amount in _cheapest_first(got, units)]
    return Taken(_in_order(taken), gap=gap)


def _in_order(takes: Sequence[tuple[LineState, int]]) -> list[tuple[LineState, int]]:
    """What is taken off each line, in the order of lines."""
    return sorted(takes, key=lambda take: take[0].line.line_id.bytes)


def gift_line_id(promotion_id: UUID, product_id: UUID, anchor_id: UUID) -> UUID:
    """The id of the line of a gift, the same wherever it is made: the time of the anchor, and what stands for the three (P-59)."""
    digest = hashlib.blake2b(promotion_id.bytes + product_id.bytes + anchor_id.bytes, digest_size=16).digest()
    return uuid7(anchor_id.int >> 80, int.from_bytes(digest) >> 128 - _RANDOM_BITS)


def _free_goods(offer: Offer, lines: Sequence[LineState]) -> Taken:
    promotion = offer.promotion
    given = offer.quantities(TargetRole.GIFT)
    if promotion.buy_quantity is None or not given:
        return Taken()
    sets, missing = _sets(promotion, sum(state.line.quantity for state in lines), promotion.buy_quantity)
    gap = offer.gap(quantity=missing) if missing is not None else None
    if not sets:
        return Taken(fate=Fate.BELOW_THRESHOLD, gap=gap)
    anchor = lines[0].line.line_id
    gifts = []
    for product_id, quantity in given.items():
        product = offer.products.get(product_id)
        if product is None or product.status is ProductStatus.DISCONTINUED:
            return Taken(fate=Fate.GIFT_UNKNOWN)
        gifts.append(Gift(gift_line_id(promotion.id, product_id, anchor), promotion, product, quantity * sets))
    return Taken(gap=gap, gifts=gifts)


def _bundle(offer: Offer, lines: Sequence[LineState]) -> Taken:
    promotion = offer.promotion
    parts = offer.quantities(TargetRole.PART)
    if not parts or (promotion.value_minor is None and promotion.value_basis_points is None):
        return Taken()
    of_part = {product_id: [state for state in lines if state.line.product_id == product_id] for product_id in parts}
    there = {product_id: sum(state.line.quantity for state in states) for product_id, states in of_part.items()}
    sets = min(there[product_id] // quantity for product_id, quantity in parts.items())
    if promotion.repeats_max is not None:
        sets = min(sets, promotion.repeats_max)
    if not sets:
        missing = sum(max(0, quantity - there[product_id]) for product_id, quantity in parts.items())
        return Taken(fate=Fate.BELOW_THRESHOLD, gap=offer.gap(quantity=missing))
    worth = _in_order(
        [each for product_id, quantity in parts.items() for each in _cheapest_first(of_part[product_id], quantity * sets)]
    )
    total = sum(amount for _, amount in worth)
    if promotion.value_minor is not None:
        off = max(0, total - max(0, promotion.value_minor) * sets)
    else:
        off = percentage(total, promotion.value_basis_points or 0)
    if not off:
        return Taken()
    shares = share(off, [amount for _, amount in worth])
    return Taken([(state, amount) for (state, _), amount in zip(worth, shares, strict=True)])


def _worth(lines: Sequence[LineState]) -> int:
    return sum(state.running for state in lines)


def _of_order(off: int, lines: Sequence[LineState], gap: Gap | None = None) -> Taken:
    """An amount off the order, shared among its lines (P-61)."""
    if off <= 0:
        return Taken(gap=gap)
    shares = share(off, [state.running for state in lines])
    return Taken(list(zip(lines, shares, strict=True)), gap=gap)


def _percent_of_order(offer: Offer, lines: Sequence[LineState]) -> Taken:
    basis_points = offer.promotion.value_basis_points
    if basis_points is None:
        return Taken()
    return _below_threshold(offer, lines) or _of_order(percentage(_worth(lines), basis_points), lines)


def _amount_of_order(offer: Offer, lines: Sequence[LineState]) -> Taken:
    if offer.promotion.value_minor is None:
        return Taken()
    return _below_threshold(offer, lines) or _of_order(min(_worth(lines), offer.promotion.value_minor), lines)


def _tiers_of_order(offer: Offer, lines: Sequence[LineState]) -> Taken:
    base = _worth(lines)
    basis_points, gap = _tier(offer, base, "min_amount_minor")
    if basis_points is None:
        return Taken(fate=Fate.BELOW_THRESHOLD, gap=gap)
    return _of_order(percentage(base, basis_points), lines, gap)


def freight_off(offer: Offer, amount_minor: int, freight_minor: int) -> tuple[int, Fate | None, Gap | None]:
    """What is taken off the freight of lines that come to an amount (P-61)."""
    promotion = offer.promotion
    value = max(0, promotion.value_minor) if promotion.value_minor is not None else None
    left = max(0, freight_minor)
    off: int | None = None
    if promotion.kind is PromotionKind.PERCENT and promotion.value_basis_points is not None:
        off = percentage(left, promotion.value_basis_points)
    elif promotion.kind is PromotionKind.AMOUNT and value is not None:
        off = min(left, value)
    elif promotion.kind is PromotionKind.FIXED_PRICE and value is not None:
        off = max(0, left - value)
    if off is None:
        return 0, None, None
    below = _below_amount(offer, amount_minor)
    return (off, None, None) if below is None else (0, below.fate, below.gap)


KINDS: Final[Mapping[PromotionPhase, Mapping[PromotionKind, Kind]]] = {
    PromotionPhase.LINE: {
        PromotionKind.PERCENT: _percent,
        PromotionKind.AMOUNT: _amount,
        PromotionKind.FIXED_PRICE: _fixed_price,
        PromotionKind.VOLUME_TIERS: _volume_tiers,
        PromotionKind.BUY_X_GET_Y: _buy_x_get_y,
        PromotionKind.FREE_GOODS: _free_goods,
        PromotionKind.BUNDLE: _bundle,
    },
    PromotionPhase.ORDER: {
        PromotionKind.PERCENT: _percent_of_order,
        PromotionKind.AMOUNT: _amount_of_order,
        PromotionKind.VOLUME_TIERS: _tiers_of_order,
    },
}
