"""What the answers of the rules are in words: one sentence for each, for people on both ends."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sync_protocol.rules.pricing.explanation import BasketPrice, Fate, Gap, LinePrice, Obstacle, PriceHold
from sync_protocol.rules.pricing.quantities import nearest_quantities
from sync_protocol.values import amount_text, decimal_text, unit_price_text

FATES: Final[Mapping[Fate, str]] = MappingProxyType(
    {
        Fate.USED: "is bought from",
        Fate.WON: "is the price",
        Fate.GIVEN: "is given",
        Fate.MISSING: "is not there",
        Fate.NOT_YET_VALID: "does not hold yet",
        Fate.EXPIRED: "does not hold any more",
        Fate.REPEATED: "came before, nearer to the customer",
        Fate.SHUT_OUT: "is shut out by an exclusive list before it",
        Fate.CURRENCY_DIFFERS: "is in another currency",
        Fate.OTHER_LOCATION: "was agreed for another address",
        Fate.UNIT_DIFFERS: "is for another pack",
        Fate.BELOW_BREAK: "is for larger quantities",
        Fate.EXHAUSTED: "has too little left of what was agreed",
        Fate.NEARER_SOURCE: "gives way to a nearer source",
        Fate.NEARER_AGREEMENT: "gives way to a nearer list or agreement",
        Fate.OWN_PACK: "gives way to the price of the pack",
        Fate.DEEPER_BREAK: "gives way to the price of a larger quantity",
        Fate.NEWER: "gives way to a newer price",
        Fate.SMALLER_ID: "gives way to its equal, which comes first",
        Fate.NOT_ELIGIBLE: "is for other customers",
        Fate.USES_SPENT: "was given to this customer as often as it may be",
        Fate.BUDGET_SPENT: "has spent its budget",
        Fate.MANUAL_PRICE: "gives way to the price given by hand",
        Fate.ALONE_TAKEN: "gives way to an offer that stands alone",
        Fate.NOT_ALONE: "stands alone, and another was given before it",
        Fate.GROUP_TAKEN: "gives way to another of its group",
        Fate.EXCLUDED: "may not stand beside another that was given",
        Fate.BELOW_THRESHOLD: "is not reached yet",
        Fate.GIFT_UNKNOWN: "gives a product that is not sold any more",
        Fate.NO_GAIN: "takes nothing off here",
    }
)
"""What became of a list, a price or an offer: the list, price or offer is the subject."""

OBSTACLES: Final[Mapping[Obstacle, str]] = MappingProxyType(
    {
        Obstacle.UNKNOWN_PRODUCT: "there is no such product; remove the line",
        Obstacle.PRODUCT_DISCONTINUED: "it is no longer sold; remove or replace the line",
        Obstacle.NO_LIST: "the customer has no price list now; ask the office for one",
        Obstacle.CURRENCY_DIFFERS: "the price is in another currency; ask the office which one holds",
        Obstacle.BELOW_SMALLEST_BREAK: "it has a price for larger quantities only; take more",
        Obstacle.OTHER_UNIT: "it has a price for another pack only; order it in that pack",
        Obstacle.NOT_YET_SOLD: "its price does not hold yet; order it later",
        Obstacle.NO_LONGER_SOLD: "its price does not hold any more; ask the office for one",
        Obstacle.EXHAUSTED: "what was agreed is used up; take less, or ask the office for a price",
        Obstacle.NOT_LISTED: "no list of the customer has a price for it; ask the office for one",
        Obstacle.NOT_IN_PACKS: "the quantity is not a number of whole packs; take whole ones",
        Obstacle.QUANTITY_NOT_SOLD: "it is not sold in this quantity; take one in which it is",
        Obstacle.ORDER_BELOW_MINIMUM: "the order is below the minimum; add to it",
    }
)
"""Why a line, or an order, cannot be bought, and what to do about it."""

HOLDS: Final[Mapping[PriceHold, str]] = MappingProxyType(
    {
        PriceHold.MANUAL_PRICE_ABOVE_LIMIT: "more is taken off by hand than the rep's limit; a manager decides",
        PriceHold.BELOW_FLOOR: "it is below what the product may go for; a manager decides",
    }
)
"""Why a manager is asked."""


def money_text(amount_minor: int, currency: str) -> str:
    """An amount, also where nothing has a currency."""
    return amount_text(amount_minor, currency).rstrip()


def percent_text(parts: int, decimals: int) -> str:
    """A percentage of so many decimals without those that say nothing: 1,000 hundredths are `10 %`, 725 are `7.25 %`."""
    return f"{decimal_text(parts, decimals).rstrip('0').rstrip('.')} %"


def per_text(unit_price: int, per_quantity: int, currency: str) -> str:
    """A unit price and what it is for: `9.50 EUR`, or `57.00 EUR per 6`."""
    price = unit_price_text(unit_price, currency).rstrip()
    return price if per_quantity == 1 else f"{price} per {per_quantity:,}"


def nearest_text(line: LinePrice) -> str:
    """The nearest quantities in which a line can be bought: `6 or 12`; empty where its quantity is not what stands in the way."""
    return " or ".join(f"{quantity:,}" for quantity in nearest_quantities(line))


def refusal_text(line: LinePrice) -> str:
    """Why a line cannot be bought, what to do, and the nearest quantities; empty where it can be."""
    if line.obstacle is None:
        return ""
    nearest = nearest_text(line)
    return f"{OBSTACLES[line.obstacle]}: {nearest}" if nearest else OBSTACLES[line.obstacle]


def minimum_text(price: BasketPrice) -> str:
    """What is missing to the order minimum; empty where nothing is."""
    gap = price.order_minimum_gap
    if gap is None:
        return ""
    return f"{OBSTACLES[Obstacle.ORDER_BELOW_MINIMUM]}: {money_text(gap.missing_minor or 0, price.currency)} more"


def price_gap_text(line: LinePrice, currency: str) -> str:
    """What is missing to a better price: `8 more: 9.50 EUR each`; empty where nothing is."""
    gap = line.gap
    if gap is None or gap.unit_price is None:
        return ""
    per_quantity = next((each.per_quantity for each in line.candidates if each.rule_id == gap.rule_id), 1)
    each = " each" if per_quantity == 1 else ""
    return f"{gap.missing_quantity or 0:,} more: {per_text(gap.unit_price, per_quantity, currency)}{each}"


def offer_gap_text(gap: Gap | None, currency: str) -> str:
    """What is missing to an offer, or to more of it: `2 more reach 10 %`, `12.50 EUR more reach it`; empty where nothing is."""
    if gap is None:
        return ""
    missing = f"{gap.missing_quantity:,}" if gap.missing_quantity is not None else money_text(gap.missing_minor or 0, currency)
    return f"{missing} more reach {percent_text(gap.basis_points, 2) if gap.basis_points is not None else 'it'}"
