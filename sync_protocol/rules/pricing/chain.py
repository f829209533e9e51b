"""From which lists a customer buys, nearest first (P-10 to P-13)."""

from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from sync_protocol.entities.orders import PriceSource
from sync_protocol.entities.pricing import CustomerPriceList, Exclusivity, PriceList, PriceListAssignment
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.explanation import Fate, ListStanding
from sync_protocol.rules.pricing.terms import Terms
from sync_protocol.rules.pricing.validity import invalidity, is_valid

SOURCES: Final = tuple(PriceSource)
SOURCE_RANK: Final = {source: rank for rank, source in enumerate(SOURCES)}


class UsedList(NamedTuple):
    """A list of the chain in the basket's currency, by which source, and whether it says in which quantities is sold from it."""

    price_list: PriceList
    source: PriceSource
    has_rules: bool


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """Every claim with its fate, the lists that are used, and the currency. `places` are those of the used lists,
    `nearest_currency` is that of the first list of the chain.
    """

    standings: tuple[ListStanding, ...]
    used: tuple[UsedList, ...]
    places: dict[UUID, int]
    currency: str
    nearest_currency: str


class _Claim(NamedTuple):
    source: PriceSource
    rule: CustomerPriceList | PriceListAssignment | None
    rule_id: UUID
    price_list_id: UUID

    @property
    def is_exclusive(self) -> bool:
        return self.rule is not None and self.rule.exclusivity is Exclusivity.EXCLUSIVE

    @property
    def priority(self) -> int:
        return self.rule.priority if self.rule is not None else 0

    def rank(self) -> tuple[int, bool, int, bytes, bytes]:
        return SOURCE_RANK[self.source], self.rule is None, -self.priority, self.price_list_id.bytes, self.rule_id.bytes


def chain_of(terms: Terms, basket: Basket) -> Chain:
    """The chain of lists at the basket's instant."""
    chained: list[tuple[_Claim, PriceList]] = []
    fated: list[tuple[_Claim, Fate | None]] = []
    seen: set[UUID] = set()
    is_shut = False
    for claim in sorted(_claims(terms, basket), key=_Claim.rank):
        price_list = terms.lists.get(claim.price_list_id)
        fate = _refusal(claim, price_list, basket.instant_ms)
        if fate is None:
            fate = Fate.SHUT_OUT if is_shut else Fate.REPEATED if claim.price_list_id in seen else None
        fated.append((claim, fate))
        if fate is None and price_list is not None:
            chained.append((claim, price_list))
            seen.add(price_list.id)
            is_shut = claim.is_exclusive
    nearest = chained[0][1].currency if chained else ""
    currency = nearest if basket.currency is None else basket.currency
    used = tuple(
        UsedList(price_list, claim.source, _has_rules(price_list))
        for claim, price_list in chained
        if price_list.currency == currency
    )
    places = {each.price_list.id: place for place, each in enumerate(used)}
    standings = tuple(
        ListStanding(
            source=claim.source,
            rule_id=claim.rule_id,
            price_list_id=claim.price_list_id,
            priority=claim.priority,
            fate=fate or (Fate.USED if claim.price_list_id in places else Fate.CURRENCY_DIFFERS),
        )
        for claim, fate in fated
    )
    return Chain(standings=standings, used=used, places=places, currency=currency, nearest_currency=nearest)


def _has_rules(price_list: PriceList) -> bool:
    fields = (price_list.minimum_quantity, price_list.multiple_quantity, price_list.pack_quantity)
    return any(each is not None for each in fields)


def _refusal(claim: _Claim, price_list: PriceList | None, instant_ms: int) -> Fate | None:
    if price_list is None:
        return Fate.MISSING
    by_rule = invalidity(claim.rule, instant_ms) if claim.rule is not None else None
    return by_rule or invalidity(price_list, instant_ms)


def _claims(terms: Terms, basket: Basket) -> list[_Claim]:
    claims = []
    for own in terms.customer_lists:
        if own.address_id is None or own.address_id == basket.address_id:
            source = PriceSource.CUSTOMER if own.address_id is None else PriceSource.LOCATION
            claims.append(_Claim(source, own, own.id, own.price_list_id))
    segments = segments_of(terms, basket.instant_ms)
    for assigned in terms.assignments:
        if assigned.channel not in (None, basket.channel) or assigned.segment_id not in (None, *segments):
            continue
        by_channel = PriceSource.CHANNEL if assigned.channel is not None else PriceSource.BASE
        source = PriceSource.SEGMENT if assigned.segment_id is not None else by_channel
        claims.append(_Claim(source, assigned, assigned.id, assigned.price_list_id))
    for holder, source in ((terms.customer, PriceSource.CUSTOMER), (terms.territory, PriceSource.BASE)):
        if holder is not None and holder.price_list_id is not None:
            claims.append(_Claim(source, None, holder.id, holder.price_list_id))
    return claims


def segments_of(terms: Terms, instant_ms: int) -> frozenset[UUID]:
    """The segments that the customer belongs to at an instant."""
    return frozenset(member.segment_id for member in terms.members if is_valid(member, instant_ms))
