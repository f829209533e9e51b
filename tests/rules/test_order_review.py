"""What must hold of every decision, whatever the order, the catalogue, the prices and the stock."""

import random
from collections import Counter
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Customer, CustomerStatus
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.intents import RequestedLine
from sync_protocol.rules.order_review import ORDER_TOTAL_MINOR_MAX, OrderDecision, OrderFacts, review_order
from sync_protocol.rules.prices import resolve_price
from sync_protocol.rules.rounding import line_amount
from sync_protocol.values import minor_digits
from sync_protocol.verdicts import PRECEDENCE, Code, Outcome

LISTS = (UUID(int=21), UUID(int=22))
UNIT = UUID(int=1)
REJECTIONS = {*(code for code in Code if PRECEDENCE[code] <= PRECEDENCE[Code.TOTAL_TOO_LARGE])}
HOLDS = {Code.CUSTOMER_ON_HOLD, Code.CUSTOMER_IS_PROSPECT, Code.ABOVE_REVIEW_LIMIT}


def product_of(number: int, status: ProductStatus = ProductStatus.ACTIVE) -> Product:
    return Product(id=UUID(int=100 + number), sku=f"S{number}", name="N", description="", unit_id=UNIT, status=status)


def customer_of(status: CustomerStatus = CustomerStatus.ACTIVE, limit: int | None = None) -> Customer:
    return Customer(id=UUID(int=5), code="C", name="C", status=status, review_above_minor=limit)


@st.composite
def reviews(draw: st.DrawFn, *, sound: bool = False) -> tuple[str, tuple[RequestedLine, ...], OrderFacts]:
    """An order and what is known. A sound one has nothing in its way: every product is sold, priced, in the currency."""
    numbers = range(4)
    statuses = (
        st.just(ProductStatus.ACTIVE) if sound else st.sampled_from([*[ProductStatus.ACTIVE] * 4, ProductStatus.DISCONTINUED])
    )
    known = [number for number in numbers if sound or draw(st.integers(0, 9))]
    products = {product.id: product for product in (product_of(number, draw(statuses)) for number in known)}
    entries = {
        UUID(int=100 + number): [
            PriceEntry(
                id=UUID(int=1_000 * number + 10 * place + least),
                price_list_id=LISTS[place],
                product_id=UUID(int=100 + number),
                min_quantity=least,
                unit_price=draw(st.integers(0, 60_000)),
            )
            for place, least in draw(st.sets(st.tuples(st.integers(0, 1), st.integers(1, 6)), min_size=0, max_size=4))
            | ({(1, 1)} if sound else set())
        ]
        for number in numbers
    }
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
    living = [status for status in CustomerStatus if status is not CustomerStatus.CLOSED]
    facts = OrderFacts(
        customer=customer_of(
            draw(st.sampled_from(living if sound else list(CustomerStatus))), draw(st.none() | st.integers(0, 9_000))
        ),
        currency=currency if sound else draw(st.sampled_from([currency, currency, "USD"])),
        price_lists=LISTS,
        products=products,
        entries=entries,
        available={UUID(int=100 + number): draw(st.integers(-5, 20)) for number in draw(st.sets(st.sampled_from(numbers)))},
    )
    return currency, lines, facts


@given(review=reviews(sound=True))
def test_the_total_is_the_sum_of_lines_priced_by_the_rules(review: tuple[str, Any, OrderFacts]) -> None:
    currency, lines, facts = review
    decision = review_order(currency, lines, facts)
    for asked, given_line in zip(lines, decision.lines, strict=True):
        entry = resolve_price(facts.entries[asked.product_id], facts.price_lists, asked.quantity)
        assert entry is not None
        assert (given_line.line_id, given_line.product_id, given_line.quantity) == (asked.line_id, asked.product_id, asked.quantity)
        assert given_line.unit_price == entry.unit_price
        assert given_line.amount_minor == line_amount(entry.unit_price, asked.quantity, 0, minor_digits(currency))
    assert decision.total_minor == sum(line.amount_minor for line in decision.lines)


@given(review=reviews(sound=True))
def test_no_stock_is_promised_twice_even_where_a_product_stands_on_two_lines(review: tuple[str, Any, OrderFacts]) -> None:
    currency, lines, facts = review
    promised, asked = Counter[UUID](), Counter[UUID]()
    for line in review_order(currency, lines, facts).lines:
        assert line.allocated >= 0
        assert line.backordered >= 0
        assert line.allocated + line.backordered == line.quantity
        promised[line.product_id] += line.allocated
        asked[line.product_id] += line.quantity
    for product_id, quantity in asked.items():
        assert promised[product_id] == min(quantity, max(0, facts.available.get(product_id, 0)))


@given(review=reviews(sound=True))
def test_what_there_is_goes_to_the_earlier_lines(review: tuple[str, Any, OrderFacts]) -> None:
    currency, lines, facts = review
    short: set[UUID] = set()
    for line in review_order(currency, lines, facts).lines:
        assert not (line.product_id in short and line.allocated)
        if line.backordered:
            short.add(line.product_id)


@given(review=reviews())
def test_the_outcome_follows_from_the_codes(review: tuple[str, Any, OrderFacts]) -> None:
    decision = review_order(*review)
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


def obstacles_of(currency: str, lines: tuple[RequestedLine, ...], facts: OrderFacts) -> set[tuple[Code, UUID | None]]:
    found: set[tuple[Code, UUID | None]] = set()
    for line in lines:
        product = facts.products.get(line.product_id)
        if product is None:
            found.add((Code.UNKNOWN_PRODUCT, line.line_id))
        elif product.status is ProductStatus.DISCONTINUED:
            found.add((Code.PRODUCT_DISCONTINUED, line.line_id))
        elif resolve_price(facts.entries[line.product_id], facts.price_lists, line.quantity) is None:
            found.add((Code.NO_PRICE, line.line_id))
    if facts.customer.status is CustomerStatus.CLOSED:
        found.add((Code.CUSTOMER_CLOSED, None))
    if currency != facts.currency:
        found.add((Code.CURRENCY_DIFFERS, None))
    return found


@given(review=reviews())
def test_a_rejection_names_the_first_code_in_precedence_and_every_line_that_it_stands_for(
    review: tuple[str, Any, OrderFacts],
) -> None:
    decision = review_order(*review)
    obstacles = obstacles_of(*review)
    assert (decision.outcome is Outcome.REJECTED) == bool(obstacles)
    if obstacles:
        first = min((code for code, _ in obstacles), key=list(Code).index)
        assert decision.codes == (first,)
        assert {(change.code, change.line_id) for change in decision.changes} == {each for each in obstacles if each[0] is first}


@given(review=reviews(sound=True))
def test_every_change_is_told_line_by_line_with_both_values(review: tuple[str, Any, OrderFacts]) -> None:
    currency, lines, facts = review
    decision = review_order(currency, lines, facts)
    expected = []
    for asked, decided in zip(lines, decision.lines, strict=True):
        if asked.unit_price != decided.unit_price:
            expected.append((Code.PRICE_CHANGED, asked.line_id, asked.unit_price, decided.unit_price))
        if decided.backordered:
            expected.append((Code.BACKORDERED, asked.line_id, asked.quantity, decided.backordered))
    assert [(each.code, each.line_id, each.before, each.after) for each in decision.changes] == expected
    assert {Code.PRICE_CHANGED, Code.BACKORDERED} & set(decision.codes) == {each.code for each in decision.changes}


@given(review=reviews(sound=True))
def test_every_reason_to_hold_is_given(review: tuple[str, Any, OrderFacts]) -> None:
    decision = review_order(*review)
    customer = review[2].customer
    reasons = {
        Code.CUSTOMER_ON_HOLD: customer.status is CustomerStatus.ON_HOLD,
        Code.CUSTOMER_IS_PROSPECT: customer.status is CustomerStatus.PROSPECT,
        Code.ABOVE_REVIEW_LIMIT: customer.review_above_minor is not None and decision.total_minor > customer.review_above_minor,
    }
    assert HOLDS & set(decision.codes) == {code for code, applies in reasons.items() if applies}
    assert (decision.outcome is Outcome.HELD) == any(reasons.values())


@given(review=reviews(), seed=st.integers(0, 99))
def test_the_order_in_which_facts_are_handed_in_never_matters(review: tuple[str, Any, OrderFacts], seed: int) -> None:
    currency, lines, facts = review
    chance = random.Random(seed)

    def shuffled(mapping: dict[UUID, Any]) -> dict[UUID, Any]:
        return dict(chance.sample(list(mapping.items()), len(mapping)))

    mixed = msgspec.structs.replace(
        facts,
        products=shuffled(dict(facts.products)),
        entries={key: chance.sample(rows, len(rows)) for key, rows in shuffled(dict(facts.entries)).items()},
        available=shuffled(dict(facts.available)),
    )
    assert review_order(currency, lines, mixed) == review_order(currency, lines, facts)


@settings(max_examples=30)
@given(review=reviews(sound=True))
def test_deciding_takes_nothing_from_the_facts(review: tuple[str, Any, OrderFacts]) -> None:
    before = dict(review[2].available)
    first = review_order(*review)
    assert dict(review[2].available) == before
    assert review_order(*review) == first


def decide_one(unit_price: int, quantity: int, customer: Customer) -> OrderDecision:
    entry = PriceEntry(id=UUID(int=1), price_list_id=LISTS[0], product_id=UUID(int=100), min_quantity=1, unit_price=unit_price)
    facts = OrderFacts(
        customer=customer,
        currency="EUR",
        price_lists=LISTS,
        products={UUID(int=100): product_of(0)},
        entries={UUID(int=100): [entry]},
        available={UUID(int=100): quantity},
    )
    line = RequestedLine(line_id=UUID(int=2), product_id=UUID(int=100), quantity=quantity, unit_price=unit_price)
    return review_order("EUR", (line,), facts)


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
