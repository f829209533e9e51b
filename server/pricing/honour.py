"""Whether a price that was right when it was quoted still holds, though it would be another by now.

The company says so, for all, for a segment of customers, or for a price list; of a line the nearest policy counts: that of the
list that its quoted price came from, then that of a segment of the customer, then the company's. Without any the price of now
holds, and what the customer would pay less by now it pays less.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from sync_protocol.rules.pricing.explanation import BasketPrice, Candidate, Fate, Gap, LinePrice, Obstacle, OfferStanding
from sync_protocol.values import BASIS_POINTS

HOUR_MS: Final = 3_600_000


class Promise(StrEnum):
    """What becomes of a quotation: it is kept, the price of now holds, or a manager decides."""

    HONOUR = "honour"
    RE_PRICE = "re_price"
    HOLD = "hold"


class HonourPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`mode` is for quotations that are no older than `hours` and no more than `tolerance_basis_points` of the quoted amount below
    the price of now, where these are given; `otherwise` is for all others.
    """

    id: UUID
    mode: Promise
    otherwise: Promise = Promise.RE_PRICE
    hours: int | None = None
    tolerance_basis_points: int | None = None
    price_list_id: UUID | None = None
    segment_id: UUID | None = None


def policy_for(line: LinePrice, segments: Collection[UUID], policies: Iterable[HonourPolicy]) -> HonourPolicy | None:
    """The nearest policy for a line as it was quoted; of several as near the one with the smallest id."""
    price_list_id = next((each.price_list_id for each in line.candidates if _won(each)), None)
    fitting = [
        (_nearness(each), each.id.bytes, each)
        for each in policies
        if each.price_list_id in {None, price_list_id} and (each.segment_id is None or each.segment_id in segments)
    ]
    return min(fitting)[2] if fitting else None


def _won(candidate: Candidate) -> bool:
    return candidate.fate is Fate.WON


def _nearness(policy: HonourPolicy) -> int:
    if policy.price_list_id is not None:
        return 0
    return 1 if policy.segment_id is not None else 2


def promise_of(policy: HonourPolicy | None, quoted: LinePrice, now: LinePrice, age_ms: int) -> Promise:
    """What becomes of a line's quotation of this age. Without a policy, or where now is no dearer, the price of now holds."""
    if policy is None or (now.unit_price is not None and now.total_minor <= quoted.total_minor):
        return Promise.RE_PRICE
    if policy.hours is not None and age_ms > policy.hours * HOUR_MS:
        return policy.otherwise
    if policy.tolerance_basis_points is not None:
        more = now.total_minor - quoted.total_minor
        is_beyond = now.unit_price is None or more * BASIS_POINTS > policy.tolerance_basis_points * abs(quoted.total_minor)
        if is_beyond:
            return policy.otherwise
    return policy.mode


def composed(now: BasketPrice, quoted: BasketPrice, kept: Collection[UUID], *, keeps_gifts: bool = True) -> BasketPrice:
    """The price of now with the lines that are kept as they were quoted.

    The whole quotation, gifts and all, where all of them are. Where some are, or gifts are not to be kept, these are those of now,
    and of each offer counts just what the lines have of it. Freight, and what an order comes to at least, are those of now.
    """
    if not kept:
        return now
    lines = tuple(before if before.line_id in kept else line for line, before in zip(now.lines, quoted.lines, strict=True))
    is_whole = len(kept) == len(lines)
    base = quoted if is_whole else now
    if not (is_whole and keeps_gifts):
        base = msgspec.structs.replace(base, gifts=now.gifts, offers=_offers_of(lines, now, quoted))
    goods, tax = sum(line.amount_minor for line in lines), sum(line.tax_minor for line in lines)
    gap = _with_missing(now.order_minimum_gap, now.goods_minor - goods)
    return msgspec.structs.replace(
        base,
        lines=lines,
        obstacle=_obstacle(base, gap),
        order_minimum_gap=gap,
        goods_minor=goods,
        tax_minor=tax,
        freight_minor=now.freight_minor,
        total_minor=goods + tax + now.freight_minor,
    )


def _obstacle(base: BasketPrice, gap: Gap | None) -> Obstacle | None:
    if base.obstacle is Obstacle.CURRENCY_DIFFERS:
        return base.obstacle
    return Obstacle.ORDER_BELOW_MINIMUM if gap is not None else None


def _with_missing(gap: Gap | None, more_minor: int) -> Gap | None:
    """The gap to an order minimum of goods that come to so much less."""
    return gap and msgspec.structs.replace(gap, missing_minor=(gap.missing_minor or 0) + more_minor)


def _offers_of(lines: Iterable[LinePrice], now: BasketPrice, quoted: BasketPrice) -> tuple[OfferStanding, ...]:
    """The offers of now, and those of the quotation that lines have kept; what takes nothing off a line is as it is now."""
    taken: Counter[UUID] = Counter()
    for line in lines:
        for step in line.steps:
            if step.rule_id is not None:
                taken[step.rule_id] -= step.amount_minor
    offers = {each.promotion_id: each for each in quoted.offers if each.promotion_id in taken}
    offers |= {each.promotion_id: each for each in now.offers}
    of_lines = {step.rule_id for price in (now, quoted) for line in price.lines for step in line.steps}
    return tuple(_with_taken(each, taken[each.promotion_id]) if each.promotion_id in of_lines else each for each in offers.values())


def _with_taken(offer: OfferStanding, taken_minor: int) -> OfferStanding:
    fate = Fate.GIVEN if taken_minor else Fate.NO_GAIN if offer.fate is Fate.GIVEN else offer.fate
    return msgspec.structs.replace(offer, fate=fate, amount_minor=taken_minor)
