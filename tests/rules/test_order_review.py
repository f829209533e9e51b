"""What must hold of every decision, whatever the order, the catalogue, the prices and the stock."""

import random
from collections import Counter
from typing import NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Customer, CustomerStatus
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.intents import RequestedLine
from sync_protocol.rules.order_review import ORDER_TOTAL_MINOR_MAX, OrderDecision, OrderFacts, basket_lines, review_order
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.explanation import BasketPrice
from sync_protocol.verdicts import PRECEDENCE, Code, Outcome
from tests.support.price_lookups import Book, price_in

LIST = UUID(int=21)
UNIT = UUID(int=1)
REJECTIONS = {*(code for code in Code if PRECEDENCE[code] <= PRECEDENCE[Code.TOTAL_TOO_LARGE])}
HOLDS = {Code.CUSTOMER_ON_HOLD, Code.CUSTOMER_IS_PROSPECT, Code.ABOVE_REVIEW_LIMIT}


def product_of(number: int, status: ProductStatus = ProductStatus.ACTIVE) -> Product:
    return Product(id=UUID(int=100 + number), sku=f"S{number}", name="N", description="", unit_id=UNIT, status=status)


def customer_of(status: CustomerStatus = CustomerStatus.ACTIVE, limit: int | None = None) -> Customer:
    return Customer(id=UUID(int=5), code="C", name="C", status=status, review_above_minor=limit, price_list_id=LIST)


class Review(NamedTuple):
    """An order, what it costs by the book, and what else is known."""

    lines: tuple[RequestedLine, ...]
    book: Book
    price: BasketPrice
    facts: OrderFacts

    def decide(self) -> OrderDecision:
        return review_order(self.lines, (), self.price, self.facts)


def priced(book: Book, lines: tuple[RequestedLine, ...], currency: str) -> BasketPrice:
    basket = Basket(customer_id=UUID(int=5), channel=Channel.REP, instant_ms=1, currency=currency, lines=basket_lines(lines))
    return price_in(book, basket)


@st.composite
def reviews(draw: st.DrawFn, *, sound: bool = False) -> Review:
    """An order and what is known. A sound one has nothing in its way: every product is sold, priced, in the currency."""
    numbers = range(4)
    statuses = (
        st.just(ProductStatus.ACTIVE) if sound else st.sampled_from([*[ProductStatus.ACTIVE] * 4, ProductStatus.DISCONTINUED])
    )
    known = [number for number in numbers if sound or draw(st.integers(0, 9))]
    entries = [
        PriceEntry(
            id=UUID(int=1_000 * number + least),
            price_list_id=LIST,
            product_id=UUID(int=100 + number),
            min_quantity=least,
            unit_price=draw(st.integers(0, 60_000)),
        )
        for number in numbers
        for least in draw(st.sets(st.integers(1, 6), max_size=3)) | ({1} if sound else set())
    ]
    lines = tuple(
        RequestedLine(
            line_id=UUID(int=9_000 + place),
            product_id=UUID(int=100 + number),
            quantity=quantity,
            unit_price=price,
        )
        for place, (number, quantity, price) in enumerate(
            draw(st.lists(st.tuples(st.sampled_from(numbers), st.integers(1, 9), st.integers(0, 60_000)), min_size=1, max_size=6))
        )
    )
    currency = draw(st.sampled_from(["EUR", "JPY", "BHD"]))
    of_list = currency if sound else draw(st.sampled_from([currency, currency, "USD"]))
    living = [status for status in CustomerStatus if status is not CustomerStatus.CLOSED]
    customer = customer_of(
        draw(st.sampled_from(living if sound else list(CustomerStatus))), draw(st.none() | st.integers(0, 9_000))
    )
    book: Book = {
        Customer: [customer],
        Product: [product_of(number, draw(statuses)) for number in known],
        PriceList: [PriceList(id=LIST, code="L", name="L", currency=of_list)],
        PriceEntry: entries,
    }
    available = {UUID(int=100 + number): draw(st.integers(-5, 20)) for number in draw(st.sets(st.sampled_from(numbers)))}
    return Review(lines, book, priced(book, lines, currency), OrderFacts(customer=customer, available=available))


@given(review=reviews(sound=True))
def test_the_total_is_the_sum_of_the_lines_as_they_were_priced(review: Review) -> None:
    decision = review.decide()
    assert [line.price for line in decision.lines] == list(review.price.lines)
    assert [line.quoted for line in decision.lines] == list(review.lines)
    assert decision.total_minor == sum(line.price.amount_minor for line in decision.lines)


@given(review=reviews(sound=True))
def test_no_stock_is_promised_twice_even_where_a_product_stands_on_two_lines(review: Review) -> None:
    promised, asked = Counter[UUID](), Counter[UUID]()
    for line in review.decide().lines:
        assert line.allocated >= 0
        assert line.backordered >= 0
        assert line.allocated + line.backordered == line.price.quantity
        promised[line.price.product_id] += line.allocated
        asked[line.price.product_id] += line.price.quantity
    for product_id, quantity in asked.items():
        assert promised[product_id] == min(quantity, max(0, review.facts.available.get(product_id, 0)))


@given(review=reviews(sound=True))
def test_what_there_is_goes_to_the_earlier_lines(review: Review) -> None:
    short: set[UUID] = set()
    for line in review.decide().lines:
        assert not (line.price.product_id in short and line.allocated)
        if line.backordered:
            short.add(line.price.product_id)


@given(review=reviews())
def test_the_outcome_follows_from_the_codes(review: Review) -> None:
    decision = review.decide()
    codes = decision.codes
    assert list(codes) == sorted(set(codes), key=PRECEDENCE.__getitem__)
    if decision.outcome is Outcome.REJECTED:
        assert len(codes) == 1
        assert set(codes) <= REJECTIONS
        assert decision.lines == ()
        assert decision.total_minor == 0
        assert {change.code for change in decision.changes} == set(codes)
    elif decision.outcome is Outcome.HELD:
        assert HOLDS & set(codes)
    elif decision.outcome is Outcome.ACCEPTED_WITH_CHANGES:
        assert codes
        assert set(codes) <= {Code.PRICE_CHANGED, Code.BACKORDERED}
    else:
        assert codes == ()
        assert decision.changes == ()
    assert decision.hold_code == (codes[0] if decision.outcome is Outcome.HELD else None)


def obstacles_of(review: Review) -> set[tuple[Code, UUID | None]]:
    found: set[tuple[Code, UUID | None]] = set()
    (price_list,) = review.book[PriceList]
    is_other = getattr(price_list, "currency", "") != review.price.currency
    for line in review.lines:
        product = next((each for each in review.book[Product] if each.id == line.product_id), None)
        breaks = [
            each
            for each in review.book[PriceEntry]
            if isinstance(each, PriceEntry) and each.product_id == line.product_id and each.min_quantity <= line.quantity
        ]
        if product is None:
            found.add((Code.UNKNOWN_PRODUCT, line.line_id))
        elif getattr(product, "status", None) is ProductStatus.DISCONTINUED:
            found.add((Code.PRODUCT_DISCONTINUED, line.line_id))
        elif is_other or not breaks:
            found.add((Code.NO_PRICE, line.line_id))
    if review.facts.customer.status is CustomerStatus.CLOSED:
        found.add((Code.CUSTOMER_CLOSED, None))
    if is_other:
        found.add((Code.CURRENCY_DIFFERS, None))
    return found


@given(review=reviews())
def test_a_rejection_names_the_first_code_in_precedence_and_every_line_that_it_stands_for(
    review: Review,
) -> None:
    decision = review.decide()
    obstacles = obstacles_of(review)
    assert (decision.outcome is Outcome.REJECTED) == bool(obstacles)
    if obstacles:
        first = min((code for code, _ in obstacles), key=list(Code).index)
        assert decision.codes == (first,)
        assert {(change.code, change.line_id) for change in decision.changes} == {each for each in obstacles if each[0] is first}


@given(review=reviews(sound=True))
def test_every_change_is_told_line_by_line_with_both_values(review: Review) -> None:
    decision = review.decide()
    expected = []
    for asked, decided in zip(review.lines, decision.lines, strict=True):
        if asked.unit_price != decided.price.unit_price:
            expected.append((Code.PRICE_CHANGED, asked.line_id, asked.unit_price, decided.price.unit_price))
        if decided.backordered:
            expected.append((Code.BACKORDERED, asked.line_id, asked.quantity, decided.backordered))
    assert [(each.code, each.line_id, each.before, each.after) for each in decision.changes] == expected
    assert {Code.PRICE_CHANGED, Code.BACKORDERED} & set(decision.codes) == {each.code for each in decision.changes}


@given(review=reviews(sound=True))
def test_every_reason_to_hold_is_given(review: Review) -> None:
    decision = review.decide()
    customer = review.facts.customer
    reasons = {
        Code.CUSTOMER_ON_HOLD: customer.status is CustomerStatus.ON_HOLD,
        Code.CUSTOMER_IS_PROSPECT: customer.status is CustomerStatus.PROSPECT,
        Code.ABOVE_REVIEW_LIMIT: customer.review_above_minor is not None and decision.total_minor > customer.review_above_minor,
    }
    assert HOLDS & set(decision.codes) == {code for code, applies in reasons.items() if applies}
    assert (decision.outcome is Outcome.HELD) == any(reasons.values())


@given(review=reviews(), seed=st.integers(0, 99))
def test_the_order_in_which_facts_are_handed_in_never_matters(review: Review, seed: int) -> None:
    chance = random.Random(seed)
    book = {kind: chance.sample(list(rows), len(rows)) for kind, rows in review.book.items()}
    available = dict(chance.sample(list(review.facts.available.items()), len(review.facts.available)))
    mixed = review._replace(
        price=priced(book, review.lines, review.price.currency),
        facts=msgspec.structs.replace(review.facts, available=available),
    )
    assert mixed.decide() == review.decide()


@settings(max_examples=30)
@given(review=reviews(sound=True))
def test_deciding_takes_nothing_from_the_facts(review: Review) -> None:
    before = dict(review.facts.available)
    first = review.decide()
    assert dict(review.facts.available) == before
    assert review.decide() == first


def decide_one(unit_price: int, quantity: int, customer: Customer) -> OrderDecision:
    entry = PriceEntry(id=UUID(int=1), price_list_id=LIST, product_id=UUID(int=100), min_quantity=1, unit_price=unit_price)
    book: Book = {
        Customer: [customer],
        Product: [product_of(0)],
        PriceList: [PriceList(id=LIST, code="L", name="L", currency="EUR")],
        PriceEntry: [entry],
    }
    line = RequestedLine(line_id=UUID(int=2), product_id=UUID(int=100), quantity=quantity, unit_price=unit_price)
    facts = OrderFacts(customer=customer, available={UUID(int=100): quantity})
    return review_order((line,), (), priced(book, (line,), "EUR"), facts)


def test_an_order_at_the_review_limit_passes_and_one_cent_above_is_held() -> None:
    assert decide_one(10_000, 10, customer_of(limit=1_000)).outcome is Outcome.ACCEPTED
    held = decide_one(10_000, 10, customer_of(limit=999))
    assert (held.outcome, held.codes) == (Outcome.HELD, (Code.ABOVE_REVIEW_LIMIT,))
    assert held.lines[0].allocated == 10


@pytest.mark.parametrize(("quantity", "outcome"), [(1_000_000, Outcome.ACCEPTED), (1_000_001, Outcome.REJECTED)])
def test_a_total_beyond_what_an_order_may_hold_is_rejected(quantity: int, outcome: Outcome) -> None:
    decision = decide_one(10**11, quantity, customer_of())
    assert decision.outcome is outcome
    if outcome is Outcome.REJECTED:
        assert decision.codes == (Code.TOTAL_TOO_LARGE,)
    else:
        assert decision.total_minor == ORDER_TOTAL_MINOR_MAX
