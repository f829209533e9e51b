"""What holds of every price, whatever the company: sums, caps, orders that do not matter, and gaps that are kept."""

import random
from collections.abc import Iterator
from fractions import Fraction
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from sync_protocol.entities.customers import Customer
from sync_protocol.entities.orders import PriceSource
from sync_protocol.entities.pricing import AgreedPrice, PriceEntry, TaxTreatment
from sync_protocol.entities.promotions import Promotion, PromotionExclusion, PromotionKind, PromotionPhase, Stacking
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.explanation import BasketPrice, Candidate, Fate, LinePrice, Obstacle, StepKind
from sync_protocol.rules.pricing.refunds import refund_amount
from tests.support.price_books import question_of
from tests.support.price_dice import Question
from tests.support.price_lookups import Book, price_in

COMPANIES = 400
Priced = list[tuple[Question, BasketPrice]]


@pytest.fixture(scope="module")
def priced() -> Priced:
    questions = [question_of(random.Random(seed)) for seed in range(1_000_000, 1_000_000 + COMPANIES)]
    return [(question, price_in(*question)) for question in questions]


def promotions_of(book: Book) -> dict[UUID, Promotion]:
    return {row.id: row for row in book.get(Promotion, ()) if isinstance(row, Promotion)}


def with_quantity(basket: Basket, place: int, quantity: int) -> Basket:
    line = replace(basket.lines[place], quantity=quantity)
    return replace(basket, lines=(*basket.lines[:place], line, *basket.lines[place + 1 :]))


def test_every_sum_is_that_of_its_parts(priced: Priced) -> None:
    for _, price in priced:
        for line in (*price.lines, *price.gifts):
            running = line.gross_minor
            for step in line.steps:
                running += step.amount_minor
                assert step.after_minor == running
            inclusive = line.tax_treatment == TaxTreatment.INCLUSIVE
            assert line.amount_minor == running - (line.tax_minor if inclusive else 0)
            assert line.gross_minor - line.discount_minor - line.order_discount_minor == running
            assert line.tax_minor == sum(tax.amount_minor for tax in line.taxes)
            assert line.total_minor == line.amount_minor + line.tax_minor
        assert price.goods_minor == sum(line.amount_minor for line in price.lines)
        assert price.tax_minor == sum(line.tax_minor for line in price.lines)
        assert price.total_minor == price.goods_minor + price.tax_minor + price.freight_minor


def test_an_offer_gives_what_its_steps_take_off(priced: Priced) -> None:
    for (_, basket), price in priced:
        off_freight = 0
        for offer in price.offers:
            steps = [step for line in price.lines for step in line.steps if step.rule_id == offer.promotion_id]
            if offer.phase == PromotionPhase.FREIGHT:
                off_freight += offer.amount_minor
                assert not steps
            else:
                assert offer.amount_minor == -sum(step.amount_minor for step in steps)
                assert all(step.amount_minor < 0 for step in steps)
        assert price.freight_minor == basket.freight_minor - off_freight


def test_nothing_is_ever_below_zero(priced: Priced) -> None:
    for _, price in priced:
        for line in price.lines:
            amounts = [line.gross_minor, line.amount_minor, line.tax_minor, *(tax.amount_minor for tax in line.taxes)]
            assert min(*amounts, *(step.after_minor for step in line.steps)) >= 0
        assert min(price.freight_minor, price.total_minor, *(offer.amount_minor for offer in price.offers), 0) == 0


def test_an_offer_gives_no_more_than_its_cap_and_its_budget(priced: Priced) -> None:
    for (book, _), price in priced:
        promotions = promotions_of(book)
        for offer in price.offers:
            promotion = promotions[offer.promotion_id]
            if promotion.cap_minor is not None:
                assert offer.amount_minor <= max(promotion.cap_minor, 0)
            if promotion.budget_minor is not None and offer.fate == Fate.GIVEN:
                assert offer.amount_minor <= promotion.budget_minor - promotion.spent_minor
            gives = offer.amount_minor > 0 or promotion.kind == PromotionKind.FREE_GOODS
            assert gives if offer.fate == Fate.GIVEN else offer.amount_minor == 0


def test_no_line_has_two_offers_that_do_not_stand_together(priced: Priced) -> None:
    for (book, _), price in priced:
        promotions = promotions_of(book)
        exclusions = {frozenset((row.promotion_id, row.other_id)) for row in book.get(PromotionExclusion, ())}
        for line in price.lines:
            given = [promotions[step.rule_id] for step in line.steps if step.rule_id]
            assert len(given) == len({promotion.id for promotion in given})
            assert len(given) < 2 or all(promotion.stacking == Stacking.STACKABLE for promotion in given)
            groups = [promotion.exclusive_group for promotion in given if promotion.exclusive_group]
            assert len(groups) == len(set(groups))
            assert not any(frozenset((one.id, other.id)) in exclusions for one in given for other in given if one is not other)
            if line.source == PriceSource.MANUAL:
                assert not any(step.kind == StepKind.PROMOTION for step in line.steps)


def test_the_order_of_rows_and_of_lines_never_matters(priced: Priced) -> None:
    generator = random.Random(1)
    for (book, basket), price in priced:
        shuffled = {kind: generator.sample(rows, len(rows)) for kind, rows in book.items()}
        lines = generator.sample(basket.lines, len(basket.lines))
        again = price_in(shuffled, replace(basket, lines=tuple(lines)))
        places = [lines.index(line) for line in basket.lines]
        assert msgspec.json.encode(replace(again, lines=tuple(again.lines[place] for place in places))) == msgspec.json.encode(
            price
        )


def test_rows_of_another_customer_never_matter(priced: Priced) -> None:
    for (book, basket), price in priced:
        own = {
            kind: [row for row in rows if getattr(row, "customer_id", basket.customer_id) == basket.customer_id]
            for kind, rows in book.items()
        }
        own[Customer] = [row for row in book[Customer] if row.id == basket.customer_id]
        assert price_in(own, basket) == price


def won(line: LinePrice) -> Candidate | None:
    return next((each for each in line.candidates if each.fate == Fate.WON), None)


def test_more_of_a_product_is_dearer_only_where_a_break_or_an_exhausted_price_says_so(priced: Priced) -> None:
    generator = random.Random(2)
    dearer = 0
    for (book, basket), price in priced:
        for place, line in enumerate(price.lines):
            more = line.quantity + generator.choice((1, 2, 5, 90))
            if more > 10_000_000:
                continue
            before, after = won(line), won(price_in(book, with_quantity(basket, place, more)).lines[place])
            if (
                before
                and after
                and Fraction(after.unit_price, after.per_quantity) > Fraction(before.unit_price, before.per_quantity)
            ):
                dearer += 1
                limited = {row.id for row in book.get(AgreedPrice, ()) if row.remaining_quantity is not None}
                assert line.quantity < after.min_quantity <= more or before.rule_id in limited
    assert dearer > 5


def test_the_price_that_won_needs_none_of_the_others(priced: Priced) -> None:
    for (book, basket), price in priced:
        losers = {each.rule_id for line in price.lines for each in line.candidates} - {
            each.rule_id for line in price.lines for each in line.candidates if each.fate == Fate.WON
        }
        fewer = {
            kind: [row for row in rows if not (kind in {PriceEntry, AgreedPrice} and row.id in losers)]
            for kind, rows in book.items()
        }
        again = price_in(fewer, basket)
        assert [(line.rule_id, line.unit_price, line.total_minor) for line in again.lines] == [
            (line.rule_id, line.unit_price, line.total_minor) for line in price.lines
        ]


def gaps(priced: Priced) -> Iterator[tuple[Question, int, LinePrice]]:
    for question, price in priced:
        yield from ((question, place, line) for place, line in enumerate(price.lines) if line.gap)


def test_who_orders_what_is_missing_has_the_price_of_the_gap(priced: Priced) -> None:
    found = list(gaps(priced))
    assert len(found) > COMPANIES // 10
    for (book, basket), place, line in found:
        assert line.gap
        assert line.gap.missing_quantity
        reached = price_in(book, with_quantity(basket, place, line.quantity + line.gap.missing_quantity)).lines[place]
        winner = won(reached)
        assert winner
        assert (winner.rule_id, winner.unit_price) == (line.gap.rule_id, line.gap.unit_price)
        if line.unit_price is not None:
            assert winner.unit_price * line.per_quantity < line.unit_price * winner.per_quantity


def test_the_nearest_quantities_are_kept(priced: Priced) -> None:
    asked = 0
    for (book, basket), price in priced:
        for place, line in enumerate(price.lines):
            for answer in line.quantities:
                assert (answer.below, answer.above) == (None, None) or not answer.is_kept
                for quantity in (answer.below, answer.above):
                    if quantity is not None:
                        asked += 1
                        again = price_in(book, with_quantity(basket, place, quantity)).lines[place].quantities
                        assert next(each for each in again if each.strength == answer.strength).is_kept
    assert asked > COMPANIES // 4


def test_a_line_without_a_price_comes_to_nothing_and_has_an_obstacle(priced: Priced) -> None:
    for _, price in priced:
        for line in price.lines:
            assert (line.source is None) == (line.unit_price is None)
            if line.source is None:
                assert line.obstacle not in {None, Obstacle.NOT_IN_PACKS, Obstacle.QUANTITY_NOT_SOLD}
                assert (line.total_minor, line.steps, line.missed, line.taxes, line.holds) == (0, (), (), (), ())


def test_refunds_of_all_parts_are_what_was_paid_and_none_is_worth_more() -> None:
    generator = random.Random(3)
    for _ in range(1_000):
        quantity = generator.choice((1, 2, 3, 7, 12, 100))
        paid = generator.choice((0, 1, 2, 99, 100, 12_345, 10**15))
        returned, parts = 0, []
        while returned < quantity:
            part = generator.randint(1, quantity - returned)
            parts.append(refund_amount(paid, quantity, returned, part))
            returned += part
        assert sum(parts) == paid
        assert all(0 <= part <= paid for part in parts)
