"""Prices that are made of other prices or of costs by a rule, and floors of cost and margin. Pure, and all of it integers."""

import hashlib
from collections.abc import Container, Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Final, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from server.pricing.computed_rows import MarginRule, ProductCost
from sync_protocol.entities.pricing import PriceEntry, PriceFloor, PriceList
from sync_protocol.rules.rounding import round_half_up
from sync_protocol.values import BASIS_POINTS, UNIT_PRICE_MAX, UNIT_PRICE_SCALE, minor_digits

_STEP_MAX: Final = 10**9

Key = tuple[UUID, int, int, int]


class Rounding(StrEnum):
    """To which of the two allowed prices beside it a price goes."""

    NEAREST = "nearest"
    UP = "up"
    DOWN = "down"


class PriceRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a price is made of its source: a percentage on top, then an amount for each base unit, then an ending.

    Allowed prices are `ending_minor`, and so many times `step_minor` more; without a step there are no endings. A rule is for a
    product, for a category with those below it, or for all; the nearest counts.
    """

    category_id: UUID | None = None
    product_id: UUID | None = None
    adjustment_basis_points: Annotated[int, Meta(ge=-BASIS_POINTS, le=100 * BASIS_POINTS)] = 0
    adjustment_amount: Annotated[int, Meta(ge=-UNIT_PRICE_MAX, le=UNIT_PRICE_MAX)] = 0
    step_minor: Annotated[int, Meta(ge=1, le=_STEP_MAX)] | None = None
    ending_minor: Annotated[int, Meta(ge=0, le=_STEP_MAX)] = 0
    rounding: Rounding = Rounding.NEAREST


class Narrowed(Protocol):
    """A rule that is for a product, for a category, or for all."""

    @property
    def category_id(self) -> UUID | None: ...

    @property
    def product_id(self) -> UUID | None: ...


N = TypeVar("N", bound=Narrowed)


class Wanted(msgspec.Struct, frozen=True):
    """The entries that a list is to have for some products, and how many prices are beyond what a price can be."""

    entries: Sequence[PriceEntry]
    beyond: int


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What makes the entries that are held those that are wanted; each change with the row before it."""

    made: Sequence[PriceEntry]
    changed: Sequence[tuple[PriceEntry, PriceEntry]]
    removed: Sequence[PriceEntry]
    unchanged: int

    def __bool__(self) -> bool:
        return bool(self.made or self.changed or self.removed)


class RuleBook(Generic[N]):
    """Rules by what they are for, so that those of a product are found at once."""

    def __init__(self, rules: Iterable[N]) -> None:
        self._products: dict[UUID, list[N]] = {}
        self._categories: dict[UUID | None, list[N]] = {}
        for rule in rules:
            if rule.product_id is not None:
                self._products.setdefault(rule.product_id, []).append(rule)
            else:
                self._categories.setdefault(rule.category_id, []).append(rule)

    def nearest(self, product_id: UUID, categories: Sequence[UUID]) -> Sequence[N]:
        """The rules of the nearest level that has any: the product's, those of its nearest category, or those for all."""
        found = self._products.get(product_id)
        levels = (self._categories.get(each) for each in (*categories, None))
        return found or next((each for each in levels if each), [])


def computed_price(rule: PriceRule, source: tuple[int, int], per_quantity: int, digits: int) -> int | None:
    """The price for so many base units that the rule makes of a source price, a quotient; None where it is beyond all prices.

    It is rounded once, and never below 0. `digits` are those of the currency's minor unit.
    """
    price, for_quantity = source
    denominator = BASIS_POINTS * for_quantity
    numerator = price * (BASIS_POINTS + rule.adjustment_basis_points) + rule.adjustment_amount * per_quantity * denominator
    found = _to_ending(rule, max(numerator, 0), denominator, UNIT_PRICE_SCALE // 10**digits)
    return found if found <= UNIT_PRICE_MAX else None


def _to_ending(rule: PriceRule, numerator: int, denominator: int, minor: int) -> int:
    if rule.step_minor is None:
        return round_half_up(numerator, denominator)
    step, ending = rule.step_minor * minor, rule.ending_minor * minor
    above, width = numerator - ending * denominator, step * denominator
    if rule.rounding is Rounding.NEAREST:
        steps = round_half_up(above, width)
    else:
        steps = above // width if rule.rounding is Rounding.DOWN else -(-above // width)
    return ending + max(steps, 0) * step


def entries_of_base(price_list: PriceList, rule: PriceRule | None, base: Iterable[PriceEntry]) -> Wanted:
    """Each entry of the base with its break and its window, at the computed price. Without a rule the product is not sold."""
    if rule is None:
        return Wanted((), 0)
    digits = minor_digits(price_list.currency)
    priced = [(each, computed_price(rule, (each.unit_price, 1), each.per_quantity, digits)) for each in base]
    entries = [
        msgspec.structs.replace(each, id=entry_id(price_list.id, key_of(each)), price_list_id=price_list.id, unit_price=price)
        for each, price in priced
        if price is not None
    ]
    return Wanted(entries, len(priced) - len(entries))


def entries_of_costs(price_list: PriceList, rule: PriceRule | None, costs: Iterable[ProductCost]) -> Wanted:
    """A price of one base unit from each cost of a product in the list's currency, until the next cost."""
    if rule is None:
        return Wanted((), 0)
    digits = minor_digits(price_list.currency)
    held = sorted((each for each in costs if each.currency == price_list.currency), key=lambda each: each.valid_from_ms)
    entries, beyond = [], 0
    for cost, following in pairwise([*held, None]):
        assert cost is not None
        price = computed_price(rule, (cost.unit_cost, cost.per_quantity), 1, digits)
        if price is None:
            beyond += 1
            continue
        key = (cost.product_id, 1, 1, cost.valid_from_ms)
        entries.append(
            PriceEntry(
                id=entry_id(price_list.id, key),
                price_list_id=price_list.id,
                product_id=cost.product_id,
                min_quantity=1,
                unit_price=price,
                valid_from_ms=cost.valid_from_ms,
                valid_until_ms=following.valid_from_ms if following is not None else None,
            )
        )
    return Wanted(entries, beyond)


def key_of(entry: PriceEntry) -> Key:
    """What an entry of a list is told by from run to run."""
    return entry.product_id, entry.min_quantity, entry.per_quantity, entry.valid_from_ms


def difference_of(held: Iterable[PriceEntry], wanted: Iterable[PriceEntry]) -> Difference:
    """What is to be written. A row that stays keeps its id, whoever made it, also one that was moved to another key: then what is
    made for the former key takes another id.
    """
    rows = {key_of(each): each for each in held}
    taken = {each.id for each in rows.values()}
    made, changed, unchanged = [], [], 0
    for each in wanted:
        former = rows.pop(key_of(each), None)
        if former is None:
            made.append(msgspec.structs.replace(each, id=_not_among(taken, each.id)))
        elif (former.unit_price, former.valid_until_ms) == (each.unit_price, each.valid_until_ms):
            unchanged += 1
        else:
            changed.append((former, msgspec.structs.replace(each, id=former.id)))
    return Difference(made=made, changed=changed, removed=list(rows.values()), unchanged=unchanged)


def floor_price(cost: ProductCost, margin_basis_points: int) -> int | None:
    """The price of one base unit of which cost leaves just the margin; None where it is beyond all prices."""
    found = round_half_up(cost.unit_cost * BASIS_POINTS, cost.per_quantity * (BASIS_POINTS - margin_basis_points))
    return found if found <= UNIT_PRICE_MAX else None


def floors_of(product_id: UUID, margin: MarginRule | None, costs: Iterable[ProductCost], at_ms: int) -> dict[str, PriceFloor]:
    """The floor of a product in each currency in which it has a cost at an instant."""
    in_force: dict[str, ProductCost] = {}
    for cost in sorted(costs, key=lambda each: each.valid_from_ms):
        if cost.valid_from_ms <= at_ms:
            in_force[cost.currency] = cost
    found = {}
    for currency, cost in in_force.items():
        price = floor_price(cost, margin.minimum_margin_basis_points) if margin is not None else None
        if price is not None:
            found[currency] = PriceFloor(
                id=floor_id(product_id, currency), product_id=product_id, currency=currency, unit_price=price
            )
    return found


def is_computed(floor: PriceFloor) -> bool:
    """Whether a floor was computed, and not written by hand."""
    return floor.id == floor_id(floor.product_id, floor.currency)


def entry_id(price_list_id: UUID, key: Key) -> UUID:
    """The id of a computed entry: it follows from the list and the key, so that a run that was killed is completed by the next."""
    product_id, *numbers = key
    return _derived("entry", price_list_id.bytes, product_id.bytes, *(str(each).encode() for each in numbers))


def floor_id(product_id: UUID, currency: str) -> UUID:
    """The id of the computed floor of a product in a currency. One that is written by hand has another."""
    return _derived("floor", product_id.bytes, currency.encode())


def _not_among(taken: Container[UUID], wanted: UUID) -> UUID:
    """An id, or one that follows from it where that is taken."""
    while wanted in taken:
        wanted = following_id(wanted)
    return wanted


def following_id(taken: UUID) -> UUID:
    """The id of a computed entry whose own another row has."""
    return _derived("entry", taken.bytes)


def _derived(kind: str, *parts: bytes) -> UUID:
    """A UUIDv8 (RFC 9562, 5.8) of a digest of these parts, each behind its length."""
    digest = hashlib.blake2b(digest_size=16, person=f"computed {kind}"[:16].encode())
    for part in parts:
        digest.update(len(part).to_bytes(2, "big") + part)
    bits = int.from_bytes(digest.digest(), "big") & ~(0xF << 76) | (0x8 << 76)
    return UUID(int=bits & ~(0b11 << 62) | (0b10 << 62))
