"""What an answer shows of the rules: a name for each fate, obstacle and kind that occurs, and the list of all that may."""

from collections.abc import Iterator

from sync_protocol.entities.orders import PriceSource
from sync_protocol.entities.pricing import Strength, TaxTreatment
from sync_protocol.entities.promotions import Promotion, PromotionKind
from sync_protocol.rules.pricing.explanation import BasketPrice, Fate, LinePrice, Obstacle, PriceHold
from sync_protocol.values import minor_digits
from tests.support.price_lookups import Book
from tests.support.price_offers import KINDS

FATES = {
    "list": {
        Fate.USED,
        Fate.MISSING,
        Fate.NOT_YET_VALID,
        Fate.EXPIRED,
        Fate.REPEATED,
        Fate.SHUT_OUT,
        Fate.CURRENCY_DIFFERS,
    },
    "candidate": {
        Fate.WON,
        Fate.OTHER_LOCATION,
        Fate.CURRENCY_DIFFERS,
        Fate.NOT_YET_VALID,
        Fate.EXPIRED,
        Fate.UNIT_DIFFERS,
        Fate.BELOW_BREAK,
        Fate.EXHAUSTED,
        Fate.NEARER_SOURCE,
        Fate.NEARER_AGREEMENT,
        Fate.OWN_PACK,
        Fate.DEEPER_BREAK,
        Fate.NEWER,
        Fate.SMALLER_ID,
    },
    "missed": {Fate.MANUAL_PRICE, Fate.ALONE_TAKEN, Fate.NOT_ALONE, Fate.GROUP_TAKEN, Fate.EXCLUDED},
    "offer": {
        Fate.GIVEN,
        Fate.CURRENCY_DIFFERS,
        Fate.NOT_ELIGIBLE,
        Fate.USES_SPENT,
        Fate.BUDGET_SPENT,
        Fate.MANUAL_PRICE,
        Fate.ALONE_TAKEN,
        Fate.NOT_ALONE,
        Fate.GROUP_TAKEN,
        Fate.EXCLUDED,
        Fate.BELOW_THRESHOLD,
        Fate.GIFT_UNKNOWN,
        Fate.NO_GAIN,
    },
}
"""Where which fate occurs."""

OF_A_BASKET = {Obstacle.CURRENCY_DIFFERS, Obstacle.ORDER_BELOW_MINIMUM}

MAY_OCCUR = frozenset(
    {f"{of} {fate}" for of, fates in FATES.items() for fate in fates}
    | {f"line {obstacle}" for obstacle in Obstacle if obstacle != Obstacle.ORDER_BELOW_MINIMUM}
    | {f"basket {obstacle}" for obstacle in OF_A_BASKET}
    | {f"hold {hold}" for hold in PriceHold}
    | {f"source {source}" for source in PriceSource}
    | {f"given {phase} {kind}" for kind, phases in KINDS.items() for phase in phases}
    | {f"{treatment} tax" for treatment in TaxTreatment}
    | {f"{strength} {is_kept}" for strength in Strength for is_kept in ("kept", "not kept")}
    | {f"{digits} decimals" for digits in (0, 2, 3)}
    | {"a kind in no phase of its", "capped", "nothing is below", "nothing is above", "without a currency"}
    | {"gap of a price", "gap to the smallest break", "gap of an offer in quantity", "gap of an offer in money", "gap of a tier"}
    | {"several taxes", "exempt", "tax of a region", "not by hand alone", "above the price by hand", "two lines of a product"}
)
"""All names."""


def features(book: Book, price: BasketPrice) -> Iterator[str]:
    """What this answer shows."""
    yield from (f"list {each.fate}" for each in price.lists)
    yield f"{minor_digits(price.currency)} decimals" if price.currency else "without a currency"
    if price.obstacle:
        yield f"basket {price.obstacle}"
    for line in price.lines:
        yield from _of_line(line)
    if len({line.product_id for line in price.lines}) < len(price.lines):
        yield "two lines of a product"
    yield from (f"source {gift.source}" for gift in price.gifts)
    yield from _of_offers(book, price)


def _of_line(line: LinePrice) -> Iterator[str]:
    yield from (f"candidate {each.fate}" for each in line.candidates)
    yield from (f"missed {each.fate}" for each in line.missed)
    yield from _of_money(line)
    if line.obstacle:
        yield f"line {line.obstacle}"
    if line.source:
        yield f"source {line.source}"
    if line.gap:
        yield "gap to the smallest break" if line.obstacle == Obstacle.BELOW_SMALLEST_BREAK else "gap of a price"
    for each in line.quantities:
        yield f"{each.strength} {'kept' if each.is_kept else 'not kept'}"
        if not each.is_kept and each.below is None:
            yield "nothing is below"
        if not each.is_kept and each.above is None:
            yield "nothing is above"


def _of_money(line: LinePrice) -> Iterator[str]:
    yield from (f"hold {each}" for each in line.holds)
    if line.tax_minor:
        yield f"{line.tax_treatment} tax"
    if len(line.taxes) > 1:
        yield "several taxes"
    if "-" in line.tax_jurisdiction:
        yield "tax of a region"
    if line.tax_exemption_id:
        yield "exempt"
    if any(step.rule_id is None for step in line.steps) and len(line.steps) > 1:
        yield "not by hand alone"
    if line.source == PriceSource.MANUAL and line.discount_minor < 0:
        yield "above the price by hand"


def _of_offers(book: Book, price: BasketPrice) -> Iterator[str]:
    promotions = {row.id: row for row in book.get(Promotion, ()) if isinstance(row, Promotion)}
    for offer in price.offers:
        yield f"offer {offer.fate}"
        promotion = promotions[offer.promotion_id]
        if offer.phase not in KINDS[promotion.kind]:
            yield "a kind in no phase of its"
        if offer.fate == Fate.GIVEN:
            yield f"given {offer.phase} {promotion.kind}"
            if offer.amount_minor and offer.amount_minor == promotion.cap_minor:
                yield "capped"
        if offer.gap and promotion.kind == PromotionKind.VOLUME_TIERS:
            yield "gap of a tier"
        elif offer.gap:
            yield f"gap of an offer in {'money' if offer.gap.missing_quantity is None else 'quantity'}"
