"""Which price a line has, among all that could be it (P-20 to P-24)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from sync_protocol.entities.orders import PriceSource
from sync_protocol.entities.pricing import AgreedPrice, PriceEntry, TaxTreatment
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from sync_protocol.rules.pricing.chain import SOURCE_RANK
from sync_protocol.rules.pricing.explanation import Candidate, Fate, Gap, Obstacle
from sync_protocol.rules.pricing.facts import Facts
from sync_protocol.rules.pricing.validity import invalidity

Rank = tuple[int, int, bool, int, int, int]
"""As P-22 has it. The number of an id stands for its bytes: it is in the same order, and there already."""

_BY_PLACE: Final = (
    Fate.NEARER_SOURCE,
    Fate.NEARER_AGREEMENT,
    Fate.OWN_PACK,
    Fate.DEEPER_BREAK,
    Fate.NEWER,
    Fate.SMALLER_ID,
)
"""What the first place in which two ranks differ says of the one behind."""

_OBSTACLES: Final = (
    (Fate.BELOW_BREAK, Obstacle.BELOW_SMALLEST_BREAK),
    (Fate.UNIT_DIFFERS, Obstacle.OTHER_UNIT),
    (Fate.NOT_YET_VALID, Obstacle.NOT_YET_SOLD),
    (Fate.EXPIRED, Obstacle.NO_LONGER_SOLD),
    (Fate.EXHAUSTED, Obstacle.EXHAUSTED),
    (Fate.CURRENCY_DIFFERS, Obstacle.CURRENCY_DIFFERS),
)


class Considered(NamedTuple):
    """A price with its rank, and why it was refused. `agreement` is what it is one price of: a list, or a reference."""

    rank: Rank
    price: AgreedPrice | PriceEntry
    source: PriceSource
    agreement: UUID | str
    tax_treatment: TaxTreatment
    refusal: Fate | None


class Found(NamedTuple):
    """All that was considered, in order of rank, and what won."""

    considered: Sequence[Considered]
    winner: Considered | None

    def candidates(self) -> tuple[Candidate, ...]:
        """Each with its fate."""
        return tuple([_candidate(each, self.winner) for each in self.considered])


def find_price(line: BasketLine, basket: Basket, facts: Facts, asked: Mapping[UUID, int]) -> Found:
    """The candidates of a line. `asked` is the quantity of each product in the whole basket."""
    considered = [*_agreed(line, basket, facts, asked[line.product_id]), *_listed(line, basket, facts)]
    considered.sort(key=lambda each: each.rank)
    winner = next((each for each in considered if each.refusal is None), None)
    return Found(considered, winner)


def _agreed(line: BasketLine, basket: Basket, facts: Facts, asked: int) -> Iterator[Considered]:
    for price in facts.agreed.get(line.product_id, ()):
        source = PriceSource(price.source)
        if price.address_id is not None and price.address_id != basket.address_id:
            refusal: Fate | None = Fate.OTHER_LOCATION
        elif price.currency != facts.chain.currency:
            refusal = Fate.CURRENCY_DIFFERS
        else:
            refusal = _refusal(price, line, basket.instant_ms)
            if refusal is None and price.remaining_quantity is not None and price.remaining_quantity < asked:
                refusal = Fate.EXHAUSTED
        rank = _rank(SOURCE_RANK[source], int(price.address_id is None), price)
        yield Considered(rank, price, source, f"{source}:{price.reference}", price.tax_treatment, refusal)


def _listed(line: BasketLine, basket: Basket, facts: Facts) -> Iterator[Considered]:
    number = None
    for price in facts.entries.get(line.product_id, ()):
        if price.price_list_id.int != number:  # neighbours are mostly of one list
            number = price.price_list_id.int
            place = facts.chain.places[price.price_list_id]
            used = facts.chain.used[place]
            source, treatment = used.source, used.price_list.tax_treatment
            source_rank = SOURCE_RANK[source]
        rank = _rank(source_rank, place, price)
        refusal = _refusal(price, line, basket.instant_ms)
        yield Considered(rank, price, source, price.price_list_id, treatment, refusal)


def _rank(source: int, nearness: int, price: AgreedPrice | PriceEntry) -> Rank:
    return source, nearness, price.per_quantity == 1, -price.min_quantity, -price.valid_from_ms, price.id.int


def _refusal(price: AgreedPrice | PriceEntry, line: BasketLine, instant_ms: int) -> Fate | None:
    if instant_ms < price.valid_from_ms or price.valid_until_ms is not None:
        invalid = invalidity(price, instant_ms)
        if invalid is not None:
            return invalid
    if price.per_quantity not in (1, line.pack_quantity):
        return Fate.UNIT_DIFFERS
    return Fate.BELOW_BREAK if price.min_quantity > line.quantity else None


def _candidate(each: Considered, winner: Considered | None) -> Candidate:
    fate, price = each.refusal, each.price
    if fate is None:
        assert winner is not None
        fate = Fate.WON if each is winner else _lost_to(winner, each)
    return Candidate(
        source=each.source,
        rule_id=price.id,
        price_list_id=price.price_list_id if isinstance(price, PriceEntry) else None,
        min_quantity=price.min_quantity,
        unit_price=price.unit_price,
        per_quantity=price.per_quantity,
        fate=fate,
    )


def _lost_to(winner: Considered, each: Considered) -> Fate:
    for first, second, fate in zip(winner.rank, each.rank, _BY_PLACE, strict=True):
        if first != second:
            return fate
    return Fate.SMALLER_ID


def price_gap(found: Found, line: BasketLine, asked: int) -> Gap | None:
    """What is missing to the next break that would win and is cheaper (P-24); without a price, to the first that would win (P-30).

    `asked` is the quantity of the product in the whole basket.
    """
    held, now = found.winner, line.quantity
    for quantity in sorted({each.price.min_quantity for each in found.considered if each.price.min_quantity > now}):
        more = quantity - now
        would = next((each for each in found.considered if _would_do(each, quantity, asked + more)), None)
        if would is not None and (held is None or _is_better(would, held)):
            return Gap(rule_id=would.price.id, missing_quantity=more, unit_price=would.price.unit_price)
    return None


def _would_do(each: Considered, quantity: int, asked: int) -> bool:
    """Whether a candidate would not be refused at another quantity, all else equal."""
    if each.price.min_quantity > quantity or each.refusal not in (None, Fate.BELOW_BREAK, Fate.EXHAUSTED):
        return False
    remaining = each.price.remaining_quantity if isinstance(each.price, AgreedPrice) else None
    return remaining is None or remaining >= asked


def _is_better(would: Considered, held: Considered) -> bool:
    price, other = would.price, held.price
    return would.agreement == held.agreement and price.unit_price * other.per_quantity < other.unit_price * price.per_quantity


def price_obstacle(found: Found, facts: Facts) -> Obstacle:
    """Why there is no price, where none was found (P-30)."""
    if not facts.chain.used and not found.considered:
        return Obstacle.NO_LIST
    refusals = {each.refusal for each in found.considered}
    return next((obstacle for fate, obstacle in _OBSTACLES if fate in refusals), Obstacle.NOT_LISTED)
