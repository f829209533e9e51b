"""Prices against an oracle that is written from the words of the rule, one step after the other."""

import random
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.entities.customers import Customer, CustomerStatus, Territory
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.rules.prices import next_break, price_list_order, resolve_price

LISTS = tuple(UUID(int=number) for number in range(1, 5))
PRODUCT = UUID(int=99)

ENTRIES = st.lists(
    st.builds(
        PriceEntry,
        id=st.uuids(),
        price_list_id=st.sampled_from(LISTS),
        product_id=st.just(PRODUCT),
        min_quantity=st.integers(1, 12),
        unit_price=st.integers(0, 5),
    ),
    max_size=14,
    unique_by=lambda entry: entry.id,
)
WITHOUT_TWINS = ENTRIES.map(lambda found: list({(each.price_list_id, each.min_quantity): each for each in found}.values()))
NEAREST_FIRST = st.lists(st.sampled_from(LISTS), unique=True, max_size=4)
QUANTITIES = st.integers(1, 15)


def naive_price(entries: list[PriceEntry], lists: list[UUID], quantity: int) -> PriceEntry | None:
    for price_list in lists:
        deepest: PriceEntry | None = None
        for entry in entries:
            if entry.price_list_id != price_list or entry.min_quantity > quantity:
                continue
            deeper = deepest is None or entry.min_quantity > deepest.min_quantity
            twin = deepest is not None and entry.min_quantity == deepest.min_quantity
            if deeper or (deepest is not None and twin and entry.id.bytes < deepest.id.bytes):
                deepest = entry
        if deepest is not None:
            return deepest
    return None


def entry_of(price_list: int, min_quantity: int, unit_price: int, number: int = 0) -> PriceEntry:
    return PriceEntry(
        id=UUID(int=1_000 + 100 * price_list + min_quantity + number),
        price_list_id=LISTS[price_list],
        product_id=PRODUCT,
        min_quantity=min_quantity,
        unit_price=unit_price,
    )


@given(entries=ENTRIES, lists=NEAREST_FIRST, quantity=QUANTITIES)
def test_the_price_is_what_the_words_of_the_rule_say(entries: list[PriceEntry], lists: list[UUID], quantity: int) -> None:
    assert resolve_price(entries, lists, quantity) == naive_price(entries, lists, quantity)


@given(entries=ENTRIES, lists=NEAREST_FIRST, quantity=QUANTITIES, seed=st.integers(0, 99))
def test_the_order_of_the_rows_never_matters(entries: list[PriceEntry], lists: list[UUID], quantity: int, seed: int) -> None:
    shuffled = random.Random(seed).sample(entries, len(entries))
    assert resolve_price(shuffled, lists, quantity) == resolve_price(entries, lists, quantity)


def test_the_nearest_list_wins_even_where_a_farther_one_is_cheaper() -> None:
    near, far = entry_of(0, 1, 500), entry_of(1, 1, 100)
    assert resolve_price([far, near], LISTS[:2], 5) == near
    assert resolve_price([far, near], (LISTS[1], LISTS[0]), 5) == far


def test_a_list_whose_first_break_is_not_reached_leaves_it_to_the_next_list() -> None:
    near, far = entry_of(0, 10, 100), entry_of(1, 1, 500)
    assert resolve_price([near, far], LISTS[:2], 9) == far
    assert resolve_price([near, far], LISTS[:2], 10) == near


def test_zero_is_a_price_and_an_absent_entry_is_not() -> None:
    free = entry_of(0, 1, 0)
    assert resolve_price([free, entry_of(1, 1, 700)], LISTS[:2], 1) == free
    assert resolve_price([], LISTS, 1) is None
    assert resolve_price([free], (), 1) is None
    assert resolve_price([free], (LISTS[2],), 1) is None


@given(entries=WITHOUT_TWINS, lists=NEAREST_FIRST, quantity=QUANTITIES, more=st.integers(1, 10))
def test_more_never_costs_more_apiece_unless_a_break_says_so(
    entries: list[PriceEntry], lists: list[UUID], quantity: int, more: int
) -> None:
    few, many = resolve_price(entries, lists, quantity), resolve_price(entries, lists, quantity + more)
    if few is None:
        return
    assert many is not None, "a price that was reached stays reached"
    if many != few:
        assert quantity < many.min_quantity <= quantity + more
    if many.unit_price > few.unit_price:
        assert any(entry.unit_price == many.unit_price and quantity < entry.min_quantity <= quantity + more for entry in entries)


@given(entries=WITHOUT_TWINS, quantity=QUANTITIES)
def test_the_next_break_is_the_nearest_cheaper_one_and_holds_what_it_promises(entries: list[PriceEntry], quantity: int) -> None:
    lists = LISTS[:1]
    current = resolve_price(entries, lists, quantity)
    if current is None:
        return
    promised = next_break(entries, current, quantity)
    cheaper = next(
        (
            reached
            for more in range(quantity + 1, 20)
            if (reached := resolve_price(entries, lists, more)) is not None and reached.unit_price < current.unit_price
        ),
        None,
    )
    assert promised == cheaper


def test_a_break_of_another_list_is_no_next_break() -> None:
    current = entry_of(0, 1, 500)
    assert next_break([current, entry_of(1, 10, 100)], current, 3) is None


def test_a_break_that_is_not_cheaper_is_no_next_break() -> None:
    current, same, dearer, cheaper = (entry_of(0, *each) for each in [(1, 500), (5, 500), (6, 600), (9, 400)])
    assert next_break([cheaper, dearer, same, current], current, 3) == cheaper
    assert next_break([current, same, dearer], current, 3) is None
    assert next_break([current, cheaper], current, 9) is None


def test_a_customer_buys_from_its_own_list_then_from_its_territorys() -> None:
    customer = Customer(
        id=UUID(int=1), code="C", name="C", status=CustomerStatus.ACTIVE, territory_id=UUID(int=2), price_list_id=LISTS[0]
    )
    territory = Territory(id=UUID(int=2), code="T", name="T", time_zone="UTC", price_list_id=LISTS[1])
    change = msgspec.structs.replace
    assert price_list_order(customer, territory) == LISTS[:2]
    assert price_list_order(change(customer, price_list_id=None), territory) == (LISTS[1],)
    assert price_list_order(customer, None) == (LISTS[0],)
    assert price_list_order(customer, change(territory, price_list_id=LISTS[0])) == (LISTS[0],)
    assert price_list_order(change(customer, price_list_id=None), None) == ()
