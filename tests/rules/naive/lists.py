"""Lists, prices, obstacles and quantities, read out of docs/PRICING.md (P-10 to P-43) as plainly as can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm
from uuid import UUID

from sync_protocol.entities.catalog import ProductStatus
from sync_protocol.entities.customers import Territory
from sync_protocol.entities.orders import PriceSource
from sync_protocol.entities.pricing import (
    AgreedPrice,
    AgreementSource,
    CustomerPriceList,
    Exclusivity,
    ListQuantityRule,
    PriceEntry,
    PriceList,
    PriceListAssignment,
    ProductQuantityRule,
    Strength,
)
from sync_protocol.rules.pricing.explanation import Candidate, Fate, Gap, ListStanding, Obstacle, QuantityAnswer
from tests.rules.naive.facts import Offered, Question, Working

LARGEST_QUANTITY = 10_000_000
SOURCES = list(PriceSource)
"""Nearest first (P-11, P-22)."""

PLACES = (
    Fate.NEARER_SOURCE,
    Fate.NEARER_AGREEMENT,
    Fate.OWN_PACK,
    Fate.DEEPER_BREAK,
    Fate.NEWER,
    Fate.SMALLER_ID,
)
"""By what another price won, in the order of the ranks of P-22."""


@dataclass(kw_only=True)
class Claim:
    """A claim to a list (P-10)."""

    source: PriceSource
    list_id: UUID
    rule_id: UUID
    row: CustomerPriceList | PriceListAssignment | None = None

    def place(self) -> tuple[int, bool, int, bytes, bytes]:
        """P-11."""
        return SOURCES.index(self.source), self.row is None, -self.priority, self.list_id.bytes, self.rule_id.bytes

    @property
    def priority(self) -> int:
        return self.row.priority if self.row else 0


def claims_of(question: Question) -> list[Claim]:
    """P-10 and P-11."""
    customer, basket = question.customer, question.basket
    claims = []
    for row in question.rows(CustomerPriceList):
        if row.customer_id == customer.id and row.address_id is None:
            claims.append(Claim(source=PriceSource.CUSTOMER, list_id=row.price_list_id, rule_id=row.id, row=row))
        elif row.customer_id == customer.id and row.address_id == basket.address_id:
            claims.append(Claim(source=PriceSource.LOCATION, list_id=row.price_list_id, rule_id=row.id, row=row))
    for each in question.rows(PriceListAssignment):
        if each.channel not in {None, basket.channel} or each.territory_id not in {None, customer.territory_id}:
            continue
        if each.segment_id is not None:
            if each.segment_id in question.segments():
                claims.append(Claim(source=PriceSource.SEGMENT, list_id=each.price_list_id, rule_id=each.id, row=each))
        else:
            source = PriceSource.BASE if each.channel is None else PriceSource.CHANNEL
            claims.append(Claim(source=source, list_id=each.price_list_id, rule_id=each.id, row=each))
    if customer.price_list_id is not None:
        claims.append(Claim(source=PriceSource.CUSTOMER, list_id=customer.price_list_id, rule_id=customer.id))
    territory = question.row(Territory, customer.territory_id)
    if territory and territory.price_list_id is not None:
        claims.append(Claim(source=PriceSource.BASE, list_id=territory.price_list_id, rule_id=territory.id))
    return sorted(claims, key=Claim.place)


@dataclass(kw_only=True)
class Chain:
    """The claims with their fates, the currency, and the lists that are used, nearest first, each with its source."""

    standings: list[ListStanding]
    used: list[tuple[PriceList, PriceSource]]
    currency: str
    nearest_currency: str
    currency_differs: bool


def chain_of(question: Question) -> Chain:
    """P-12 and P-13."""
    standings, used = [], []
    in_chain: list[PriceList] = []
    is_shut = False
    currency = question.basket.currency
    for claim in claims_of(question):
        price_list = question.row(PriceList, claim.list_id)
        if price_list is None:
            fate: Fate | None = Fate.MISSING
        else:
            fate = (question.untimely(claim.row) if claim.row else None) or question.untimely(price_list)
        if fate is None and is_shut:
            fate = Fate.SHUT_OUT
        if fate is None and price_list in in_chain:
            fate = Fate.REPEATED
        if fate is None and price_list:
            in_chain.append(price_list)
            is_shut = claim.row is not None and claim.row.exclusivity == Exclusivity.EXCLUSIVE
            currency = currency or price_list.currency
            fate = Fate.USED if price_list.currency == currency else Fate.CURRENCY_DIFFERS
            if fate == Fate.USED:
                used.append((price_list, claim.source))
        assert fate
        standings.append(
            ListStanding(
                source=claim.source, rule_id=claim.rule_id, price_list_id=claim.list_id, priority=claim.priority, fate=fate
            )
        )
    differs = bool(question.basket.currency and in_chain and in_chain[0].currency != question.basket.currency)
    nearest = in_chain[0].currency if in_chain else ""
    return Chain(standings=standings, used=used, currency=currency or "", nearest_currency=nearest, currency_differs=differs)


def candidates_of(question: Question, chain: Chain, product_id: UUID) -> list[Offered]:
    """P-20, in the order of P-22."""
    found = []
    for row in question.rows(AgreedPrice):
        if row.customer_id == question.customer.id and row.product_id == product_id and row.source in set(AgreementSource):
            nearness = 0 if row.address_id is not None else 1
            found.append(Offered(row=row, source=row.source, nearness=nearness, price_list=None))
    for nearness, (price_list, source) in enumerate(chain.used):
        entries = [entry for entry in question.rows(PriceEntry) if entry.price_list_id == price_list.id]
        own = [entry for entry in entries if entry.product_id == product_id]
        found += [Offered(row=entry, source=source, nearness=nearness, price_list=price_list) for entry in own]
    return sorted(found, key=rank)


def rank(candidate: Offered) -> tuple[int, int, bool, int, int, bytes]:
    """P-22; the first place is by source, and so on as in `PLACES`."""
    row = candidate.row
    source = SOURCES.index(PriceSource(candidate.source))
    return source, candidate.nearness, row.per_quantity == 1, -row.min_quantity, -row.valid_from_ms, row.id.bytes


def refusal(question: Question, working: Working, candidate: Offered, quantity: int) -> Fate | None:  # noqa: PLR0911  # one for each way to lose
    """P-21, if the line had this quantity."""
    row, line = candidate.row, working.line
    agreed = row if isinstance(row, AgreedPrice) else None
    if agreed and agreed.address_id is not None and agreed.address_id != question.basket.address_id:
        return Fate.OTHER_LOCATION
    if agreed and agreed.currency != question.currency:
        return Fate.CURRENCY_DIFFERS
    untimely = question.untimely(row)
    if untimely:
        return untimely
    if row.per_quantity not in {1, line.pack_quantity}:
        return Fate.UNIT_DIFFERS
    if row.min_quantity > quantity:
        return Fate.BELOW_BREAK
    others = [other.line for other in question.lines if other is not working]
    asked = quantity + sum(other.quantity for other in others if other.product_id == line.product_id)
    if agreed and agreed.remaining_quantity is not None and agreed.remaining_quantity < asked:
        return Fate.EXHAUSTED
    return None


def winner_at(question: Question, working: Working, quantity: int) -> Offered | None:
    """Which candidate would win if the line had this quantity (P-22, P-24)."""
    for candidate in working.candidates:
        if refusal(question, working, candidate, quantity) is None:
            return candidate
    return None


def judged(question: Question, working: Working) -> list[Candidate]:
    """The candidates with their fates (P-21, P-22)."""
    judged = []
    for candidate in working.candidates:
        row = candidate.row
        fate = refusal(question, working, candidate, working.line.quantity)
        if fate is None and candidate is working.winner:
            fate = Fate.WON
        elif fate is None and working.winner:
            places = zip(rank(candidate), rank(working.winner), PLACES, strict=True)
            fate = next(name for mine, its, name in places if mine != its)
        assert fate
        judged.append(
            Candidate(
                source=PriceSource(candidate.source),
                rule_id=row.id,
                price_list_id=candidate.price_list.id if candidate.price_list else None,
                min_quantity=row.min_quantity,
                unit_price=row.unit_price,
                per_quantity=row.per_quantity,
                fate=fate,
            )
        )
    return judged


def gap_of(question: Question, working: Working) -> Gap | None:
    """P-24, and the gap of P-30."""
    winner, quantity = working.winner, working.line.quantity
    if working.price_by_hand is not None or not (winner or working.obstacle == Obstacle.BELOW_SMALLEST_BREAK):
        return None
    for at in sorted(each.row.min_quantity for each in working.candidates if each.row.min_quantity > quantity):
        found = winner_at(question, working, at)
        if found and (winner is None or (is_of_same(found, winner) and is_cheaper(found, winner))):
            return Gap(rule_id=found.row.id, missing_quantity=at - quantity, unit_price=found.row.unit_price)
    return None


def is_of_same(one: Offered, other: Offered) -> bool:
    """Whether two are of the same list, or of the same source and reference."""
    if isinstance(one.row, AgreedPrice) and isinstance(other.row, AgreedPrice):
        return (one.row.source, one.row.reference) == (other.row.source, other.row.reference)
    return one.price_list is not None and one.price_list == other.price_list


def is_cheaper(one: Offered, other: Offered) -> bool:
    return one.row.unit_price * other.row.per_quantity < other.row.unit_price * one.row.per_quantity


def obstacle_of(question: Question, chain: Chain, working: Working) -> Obstacle | None:
    """P-30, but for the last two."""
    if working.product is None:
        return Obstacle.UNKNOWN_PRODUCT
    if working.product.status == ProductStatus.DISCONTINUED:
        return Obstacle.PRODUCT_DISCONTINUED
    if working.winner or working.price_by_hand is not None:
        return None
    if not chain.used and not working.candidates:
        return Obstacle.NO_LIST
    refusals = {refusal(question, working, candidate, working.line.quantity) for candidate in working.candidates}
    for fate, obstacle in (
        (Fate.BELOW_BREAK, Obstacle.BELOW_SMALLEST_BREAK),
        (Fate.UNIT_DIFFERS, Obstacle.OTHER_UNIT),
        (Fate.NOT_YET_VALID, Obstacle.NOT_YET_SOLD),
        (Fate.EXPIRED, Obstacle.NO_LONGER_SOLD),
        (Fate.EXHAUSTED, Obstacle.EXHAUSTED),
        (Fate.CURRENCY_DIFFERS, Obstacle.CURRENCY_DIFFERS),
    ):
        if fate in refusals:
            return obstacle
    return Obstacle.NOT_LISTED


def rule_of_field(question: Question, chain: Chain, product_id: UUID, field: str, strength: Strength) -> int | None:
    """P-40: the value of the nearest level that has the field in this strength."""
    own = [rule for rule in question.rows(ListQuantityRule) if rule.product_id == product_id]
    levels: list[Sequence[ListQuantityRule | PriceList | ProductQuantityRule]] = []
    for price_list, _ in chain.used:
        levels.append([rule for rule in own if rule.price_list_id == price_list.id])
        levels.append([price_list])
    levels.append([rule for rule in question.rows(ProductQuantityRule) if rule.product_id == product_id])
    for level in levels:
        found = [getattr(rule, field) for rule in level if rule.strength == strength and getattr(rule, field) is not None]
        if found:
            return int(max(found))
    return None


def quantities_of(question: Question, chain: Chain, working: Working) -> list[QuantityAnswer]:
    """P-40 and P-41."""
    answers, judging, quantity = [], [], working.line.quantity
    for strength in (Strength.REQUIRED, Strength.RECOMMENDED):
        minimum, multiple, pack = (
            rule_of_field(question, chain, working.line.product_id, field, strength)
            for field in ("minimum_quantity", "multiple_quantity", "pack_quantity")
        )
        judging.append((minimum, multiple, pack))
        if (minimum, multiple, pack) == (None, None, None):
            continue
        least = max(of_minimum or 1 for of_minimum, _, _ in judging)
        step = lcm(*(each or 1 for _, *steps in judging for each in steps))
        is_kept = quantity >= least and quantity % step == 0
        below = (quantity - 1) // step * step
        above = ceil(Fraction(max(least, quantity + 1), step)) * step
        answers.append(
            QuantityAnswer(
                strength=strength,
                minimum=minimum,
                multiple=multiple,
                pack=pack,
                is_kept=is_kept,
                below=below if not is_kept and below >= least else None,
                above=above if not is_kept and above <= LARGEST_QUANTITY else None,
            )
        )
    return answers
