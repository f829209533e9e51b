"""All that AdventureWorks sold to resellers, priced anew from its price history and its offers, and compared line by line.

A line is right if its unit price, its percentage and its offer are those of the data, and its amount is theirs to the cent. What
is not right is in `NEVER_GIVEN`, with the proof that the data contradicts its own offers there.

AdventureWorks never rounds a line; here what is left of it is rounded once (P-55), to the cent that is nearest to its `LineTotal`.
"""

from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from tests.support.adventureworks import (
    ABSENT,
    FOLDER,
    AdventureWorks,
    Period,
    SoldLine,
    SoldOrder,
    SpecialOffer,
    instant_of,
    read_adventureworks,
)
from tests.support.adventureworks_book import NO_OFFER, AdventureWorksBook, PricedLine

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)

CENT = Decimal("0.01")
LINES = 60_919
PEDALS = frozenset(range(935, 942))


class NeverGiven(NamedTuple):
    """An offer with those of its products on which it was never given, and of how many lines that is."""

    offer: int
    products: frozenset[int]
    lines: int


NEVER_GIVEN = (
    # «LL Road Frame Sale», 35 %: no line of any of its products has it, while all other offers were given on the same days.
    NeverGiven(12, frozenset({722, 723, 724, 725, 726, 727, 728, 729, 730, 736, 737, 738}), 131),
    # «Mountain-500 Silver Clearance Sale», 40 %, names two Mountain-200: no line of these has it, every line of the others does.
    NeverGiven(16, frozenset({782, 784}), 106),
)


@pytest.fixture(scope="module")
def data() -> AdventureWorks:
    return read_adventureworks()


def nearest_cent(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def is_right(line: SoldLine, priced: PricedLine) -> bool:
    price = priced.price
    amount = Decimal(price.amount_minor).scaleb(-2)
    return (
        price.obstacle is None
        and (price.unit_price, priced.basis_points, priced.offer) == (line.unit_price, line.basis_points, line.offer)
        and amount == nearest_cent(line.total)
        and abs(amount - line.total) < CENT
    )


def wrong_lines(book: AdventureWorksBook, orders: Iterable[SoldOrder]) -> dict[int, PricedLine]:
    """The lines that the book prices otherwise than the data, by their numbers."""
    return {
        line.number: priced
        for order in orders
        for line, priced in zip(order.lines, book.priced(order), strict=True)
        if not is_right(line, priced)
    }


def lines_of(data: AdventureWorks, never: NeverGiven) -> list[SoldLine]:
    """The lines of the products of an exception for which the offer was valid."""
    offer = data.offer(never.offer)
    return [line for line in data.lines if line.product in never.products and offer.fits(line)]


def all_listed(data: AdventureWorks) -> dict[int, int]:
    """All lines that are excepted, each with the offer that is why."""
    return {line.number: never.offer for never in NEVER_GIVEN for line in lines_of(data, never)}


def test_every_line_is_priced_as_it_was_but_for_those_that_are_listed(data: AdventureWorks) -> None:
    assert len(data.lines) == LINES
    wrong = wrong_lines(AdventureWorksBook(data), data.orders)
    assert {number: priced.offer for number, priced in wrong.items()} == all_listed(data)
    assert len(wrong) == 237


@pytest.mark.parametrize("never", NEVER_GIVEN, ids=lambda never: f"offer {never.offer}")
def test_what_is_listed_was_valid_and_given_to_none_of_its_lines(data: AdventureWorks, never: NeverGiven) -> None:
    lines, offer = lines_of(data, never), data.offer(never.offer)
    assert len(lines) == never.lines
    assert never.products <= offer.products
    assert all(line.offer != offer.number and line.basis_points < offer.basis_points for line in lines)


def test_the_road_frames_were_on_sale_to_nobody_on_days_on_which_every_other_offer_was_given(data: AdventureWorks) -> None:
    frames, *_ = NEVER_GIVEN
    assert data.offer(frames.offer).products == frames.products
    assert not [line for line in data.lines if line.offer == frames.offer]
    days = {line.instant_ms for line in lines_of(data, frames)}
    assert len(days) == 2
    others = [each for each in data.offers if each.category == "Reseller" and each.number not in {frames.offer, NO_OFFER}]
    for offer in others:
        fitting = [line for line in data.lines if line.instant_ms in days and offer.fits(line)]
        assert all(line.basis_points >= offer.basis_points for line in fitting)
    assert {line.offer for line in data.lines if line.instant_ms in days} == {NO_OFFER, 2, 3, 4, 11, 13, 14}


def test_the_clearance_was_given_on_the_products_that_it_is_named_after_and_on_no_other(data: AdventureWorks) -> None:
    *_, clearance = NEVER_GIVEN
    offer = data.offer(clearance.offer)
    named = {number for number in offer.products if data.products[number].name.startswith("Mountain-500 Silver")}
    assert offer.description == "Mountain-500 Silver Clearance Sale"
    assert offer.products - named == clearance.products
    assert {data.products[number].name for number in clearance.products} == {"Mountain-200 Black, 38", "Mountain-200 Black, 46"}
    fitting = [line for line in data.lines if line.product in named and offer.fits(line)]
    assert len(fitting) == 169
    assert all(line.offer == offer.number for line in fitting)


def test_without_the_rows_that_were_never_given_every_line_is_right(data: AdventureWorks) -> None:
    unnamed = {never.offer: never.products for never in NEVER_GIVEN}
    offers = [replace(each, products=each.products - unnamed.get(each.number, frozenset())) for each in data.offers]
    listed = all_listed(data)
    orders = [order for order in data.orders if any(line.number in listed for line in order.lines)]
    assert not wrong_lines(AdventureWorksBook(data, offers), orders)


def test_no_product_is_on_two_lines_of_an_order_so_that_tiers_see_one_line(data: AdventureWorks) -> None:
    assert all(len({line.product for line in order.lines}) == len(order.lines) for order in data.orders)


class Planted(NamedTuple):
    """A fault in an offer, the lines that it must make wrong, and how many these are."""

    offer: int
    fault: Callable[[SpecialOffer], SpecialOffer]
    is_spoilt: Callable[[SoldLine], bool]
    lines: int


def ends_at(day: str, offer: SpecialOffer) -> SpecialOffer:
    return replace(offer, period=Period(offer.period.from_ms, instant_of(day)))


def begins_at(day: str, offer: SpecialOffer) -> SpecialOffer:
    return replace(offer, period=Period(instant_of(day), offer.period.until_ms))


PLANTED = {
    "a tier begins one later": Planted(4, partial(replace, least=26), lambda line: line.offer == 4 and line.quantity == 25, 17),
    "a tier ends one earlier": Planted(4, partial(replace, most=39), lambda line: line.offer == 4 and line.quantity == 40, 2),
    "one percent more": Planted(9, partial(replace, basis_points=3_100), lambda line: line.offer == 9, 61),
    "a basis point less": Planted(8, partial(replace, basis_points=999), lambda line: line.offer == 8, 98),
    "ends as the day of the orders begins": Planted(7, partial(ends_at, "2012-04-30"), lambda line: line.offer == 7, 137),
    "begins a day after an order": Planted(
        9, partial(begins_at, "2012-05-31"), lambda line: line.offer == 9 and line.instant_ms < instant_of("2012-05-31"), 24
    ),
    "for resellers, too": Planted(
        15,
        partial(replace, category="Reseller"),
        lambda line: line.product in PEDALS and line.instant_ms == instant_of("2013-07-31"),
        194,
    ),
    "about nothing": Planted(14, partial(replace, products=frozenset()), lambda line: line.offer == 14, 231),
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_a_fault_that_is_planted_in_an_offer_is_found_in_exactly_its_lines(data: AdventureWorks, planted: Planted) -> None:
    offer = data.offer(planted.offer)
    spoilt = {line.number for line in data.lines if planted.is_spoilt(line)}
    assert len(spoilt) == planted.lines
    orders = [order for order in data.orders if any(offer.fits(line) for line in order.lines)]
    faulty = AdventureWorksBook(data, [planted.fault(each) if each is offer else each for each in data.offers])
    assert wrong_lines(faulty, orders).keys() - all_listed(data) == spoilt


def test_a_list_price_that_is_a_cent_off_is_found(data: AdventureWorks) -> None:
    product = data.products[776]
    first, *others = product.list_prices
    dearer = replace(product, list_prices=(replace(first, unit_price=first.unit_price + 100), *others))
    spoilt = {line.number for line in data.lines if line.product == 776 and first.period.has(line.instant_ms)}
    orders = [order for order in data.orders if any(line.number in spoilt for line in order.lines)]
    book = AdventureWorksBook(replace(data, products={**data.products, 776: dearer}))
    assert len(spoilt) == 183
    assert wrong_lines(book, orders).keys() == spoilt
