"""Which offers a basket is given, in which order, and what keeps one from a line (P-50 to P-53, P-61, P-62)."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sync_protocol.entities.promotions import (
    Audience,
    Promotion,
    PromotionKind,
    PromotionPhase,
    PromotionTarget,
    Reach,
    Stacking,
    TargetRole,
)
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.chain import segments_of
from sync_protocol.rules.pricing.explanation import Fate, Gap, Missed, OfferStanding, StepKind
from sync_protocol.rules.pricing.facts import Facts
from sync_protocol.rules.pricing.lines import LineState
from sync_protocol.rules.pricing.offer_kinds import KINDS, Gift, Offer, Taken, freight_off
from sync_protocol.rules.pricing.terms import Terms
from sync_protocol.rules.pricing.validity import is_live
from sync_protocol.rules.rounding import share

_PHASES: Final = {phase: place for place, phase in enumerate(PromotionPhase)}
_ABOUT: Final = (TargetRole.BUY, TargetRole.GET, TargetRole.PART)
_READ: Final = {
    PromotionKind.BUY_X_GET_Y: (TargetRole.BUY, TargetRole.GET),
    PromotionKind.BUNDLE: (TargetRole.PART,),
}
"""The roles that a kind reads; of all others it is what is bought."""


class _Lines:
    """The lines that have a price, in order, found by what a promotion names."""

    def __init__(self, priced: Sequence[LineState]) -> None:
        self._priced = priced
        self._of_product: dict[UUID | None, list[int]] = {}
        self._under_category: dict[UUID | None, list[int]] = {}
        for place, state in enumerate(priced):
            self._of_product.setdefault(state.line.product_id, []).append(place)
            for category_id in state.categories:
                self._under_category.setdefault(category_id, []).append(place)

    def matching(
        self, promotion: Promotion, targets: Sequence[PromotionTarget], roles: Sequence[TargetRole]
    ) -> Sequence[LineState]:
        """Those that match one of the roles, in order (P-50)."""
        if promotion.reach is Reach.ALL and TargetRole.BUY in roles:
            return self._priced
        places: set[int] = set()
        for target in targets:
            if target.role in roles:
                places.update(self._of_product.get(target.product_id, ()), self._under_category.get(target.category_id, ()))
        return [self._priced[place] for place in sorted(places)]


class Offers:
    """The offers of one basket, its lines in order, and what they have given so far."""

    def __init__(self, basket: Basket, facts: Facts, states: Sequence[LineState]) -> None:
        self._basket = basket
        self._facts = facts
        self._lines = _Lines([state for state in states if state.is_priced])
        self._offers = _considered(facts, basket, self._lines)
        self.freight_minor = basket.freight_minor
        self.standings: list[OfferStanding] = []
        self.gifts: list[Gift] = []

    def give(self, phase: PromotionPhase) -> None:
        """Give what there is in a phase, one after the other: what one leaves is the base of the next."""
        for offer in self._offers:
            if offer.promotion.phase is phase:
                self._give(offer)

    def _give(self, offer: Offer) -> None:
        refusal = _refusal(offer.promotion, self._facts, self._basket)
        if refusal is not None:
            self._stand(offer, refusal)
        elif offer.promotion.phase is PromotionPhase.FREIGHT:
            self._give_freight(offer)
        else:
            self._give_lines(offer)

    def _give_freight(self, offer: Offer) -> None:
        base = sum(state.running for state in self._lines.matching(offer.promotion, offer.targets, (TargetRole.BUY,)))
        off, fate, gap = freight_off(offer, base, self.freight_minor)
        amount = _limit(offer.promotion, off)
        self.freight_minor -= amount
        self._stand(offer, fate or (Fate.GIVEN if amount else Fate.NO_GAIN), amount, gap)

    def _give_lines(self, offer: Offer) -> None:
        promotion = offer.promotion
        kind = KINDS[promotion.phase].get(promotion.kind)
        if kind is None:
            self._stand(offer, Fate.NO_GAIN)
            return
        kept: Fate | None = None
        free = []
        for state in self._lines.matching(promotion, offer.targets, _READ.get(promotion.kind, (TargetRole.BUY,))):
            fate = _kept_from(state, promotion, self._facts.terms)
            if fate is None:
                free.append(state)
            else:
                state.missed.append(Missed(promotion_id=promotion.id, fate=fate))
                kept = kept or fate
        if kept and not free:
            self._stand(offer, kept)
            return
        taken = kind(offer, free)
        if taken.fate is None and taken.gifts:
            self.gifts.extend(taken.gifts)
            for state in free:
                _mark(state, promotion)
            self._stand(offer, Fate.GIVEN, 0, taken.gap)
            return
        amount = self._take(promotion, taken)
        self._stand(offer, taken.fate or (Fate.GIVEN if amount else Fate.NO_GAIN), amount, taken.gap)

    def _take(self, promotion: Promotion, taken: Taken) -> int:
        """Take off what the promotion takes, within its limits, and say how much that is."""
        total = taken.total()
        allowed = _limit(promotion, total)
        amounts = [amount for _, amount in taken.takes]
        if allowed < total:
            amounts = share(allowed, amounts)
        step = StepKind.PROMOTION if promotion.phase is PromotionPhase.LINE else StepKind.ORDER_SHARE
        for (state, _), amount in zip(taken.takes, amounts, strict=True):
            if amount:
                state.take(step, amount, promotion.id, promotion.code)
                _mark(state, promotion)
        return allowed

    def _stand(self, offer: Offer, fate: Fate, amount_minor: int = 0, gap: Gap | None = None) -> None:
        self.standings.append(
            OfferStanding(
                promotion_id=offer.promotion.id,
                code=offer.promotion.code,
                phase=offer.promotion.phase,
                fate=fate,
                amount_minor=amount_minor,
                gap=gap,
            )
        )


def _considered(facts: Facts, basket: Basket, lines: _Lines) -> list[Offer]:
    """The offers that are live and about some line with a price, in order (P-50, P-51)."""
    found = []
    for promotion in facts.terms.promotions:
        if is_live(promotion, basket.instant_ms):
            targets = facts.targets.get(promotion.id, ())
            if lines.matching(promotion, targets, _ABOUT):
                found.append(Offer(promotion, facts, targets))
    found.sort(key=lambda each: (_PHASES[each.promotion.phase], -each.promotion.priority, each.promotion.id.bytes))
    return found


def _refusal(promotion: Promotion, facts: Facts, basket: Basket) -> Fate | None:
    terms = facts.terms
    if promotion.currency not in (None, facts.chain.currency):
        return Fate.CURRENCY_DIFFERS
    if promotion.audience is Audience.LISTED and not _is_listed(promotion, terms, basket):
        return Fate.NOT_ELIGIBLE
    if promotion.uses_per_customer is not None and terms.uses.get(promotion.id, 0) >= promotion.uses_per_customer:
        return Fate.USES_SPENT
    if promotion.budget_minor is not None and promotion.spent_minor >= promotion.budget_minor:
        return Fate.BUDGET_SPENT
    return None


def _is_listed(promotion: Promotion, terms: Terms, basket: Basket) -> bool:
    if promotion.id in terms.listed_for:
        return True
    segments = segments_of(terms, basket.instant_ms)
    return any(
        audience.segment_id in (None, *segments)
        and audience.territory_id in (None, terms.customer.territory_id)
        and audience.channel in (None, basket.channel)
        for audience in terms.audiences.get(promotion.id, ())
    )


def _kept_from(state: LineState, promotion: Promotion, terms: Terms) -> Fate | None:
    """What keeps a promotion from a line, if anything does (P-53)."""
    if promotion.phase is PromotionPhase.LINE and state.has_price_by_hand:
        return Fate.MANUAL_PRICE
    if not state.given:
        return None
    if state.stands_alone:
        return Fate.ALONE_TAKEN
    if promotion.stacking is Stacking.ALONE:
        return Fate.NOT_ALONE
    if promotion.exclusive_group in state.groups:
        return Fate.GROUP_TAKEN
    return Fate.EXCLUDED if any((promotion.id, other) in terms.exclusions for other in state.given) else None


def _mark(state: LineState, promotion: Promotion) -> None:
    """Remember that a line was given a promotion."""
    state.given.add(promotion.id)
    state.stands_alone = state.stands_alone or promotion.stacking is Stacking.ALONE
    if promotion.exclusive_group is not None:
        state.groups.add(promotion.exclusive_group)


def _limit(promotion: Promotion, amount_minor: int) -> int:
    """How much of an amount it may take off in all (P-62)."""
    limits = [amount_minor]
    if promotion.cap_minor is not None:
        limits.append(promotion.cap_minor)
    if promotion.budget_minor is not None:
        limits.append(promotion.budget_minor - promotion.spent_minor)
    return max(0, min(limits))
