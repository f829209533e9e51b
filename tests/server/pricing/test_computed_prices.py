"""Prices by rule and floors of cost and margin, held against a naive reckoning with decimals."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.pricing.computed_prices import (
    PriceRule,
    Rounding,
    RuleBook,
    computed_price,
    difference_of,
    entries_of_base,
    entries_of_costs,
    floor_price,
    floors_of,
    is_computed,
)
from server.pricing.computed_rows import MarginRule, ProductCost
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.rules.pricing.facts import categories_above
from sync_protocol.values import UNIT_PRICE_MAX

LIST, BASE, PRODUCT = UUID(int=1), UUID(int=2), UUID(int=3)
EUR = PriceList(id=LIST, code="L", name="L", currency="EUR")
DIRECTIONS = {Rounding.NEAREST: ROUND_HALF_UP, Rounding.UP: ROUND_CEILING, Rounding.DOWN: ROUND_FLOOR}
RULES = st.builds(
    PriceRule,
    adjustment_basis_points=st.integers(-10_000, 30_000),
    adjustment_amount=st.integers(-50_0000, 50_0000),
    step_minor=st.none() | st.sampled_from([1, 5, 10, 100, 1_000]),
    ending_minor=st.integers(0, 99),
    rounding=st.sampled_from(Rounding),
)


def naive_price(rule: PriceRule, price: int, for_quantity: int, per_quantity: int, digits: int) -> Decimal:
    """The price in the major unit, as a child would reckon it with a long enough sheet of paper."""
    source = Decimal(price) / 10_000 / for_quantity
    factor = 1 + Decimal(rule.adjustment_basis_points) / 10_000
    exact = max(source * factor + Decimal(rule.adjustment_amount) / 10_000 * per_quantity, Decimal(0))
    if rule.step_minor is None:
        return exact.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)
    step, ending = (Decimal(each).scaleb(-digits) for each in (rule.step_minor, rule.ending_minor))
    steps = ((exact - ending) / step).quantize(Decimal(1), rounding=DIRECTIONS[rule.rounding])
    return ending + max(steps, Decimal(0)) * step


@given(
    rule=RULES,
    price=st.integers(0, 10**7),
    for_quantity=st.sampled_from([1, 2, 4, 5, 8, 10]),
    per_quantity=st.integers(1, 24),
    digits=st.sampled_from([0, 2, 3]),
)
def test_a_price_is_that_of_a_naive_reckoning(
    rule: PriceRule, price: int, for_quantity: int, per_quantity: int, digits: int
) -> None:
    with localcontext() as context:
        context.prec = 60
        naive = naive_price(rule, price, for_quantity, per_quantity, digits)
    found = computed_price(rule, (price, for_quantity), per_quantity, digits)
    assert found is not None
    assert Decimal(found) / 10_000 == naive
    assert found >= 0


@pytest.mark.parametrize(
    ("values", "price", "digits", "expected"),
    [
        ({"adjustment_basis_points": -1_000}, 19_9900, 2, 17_9910),
        ({"adjustment_basis_points": 2_500, "step_minor": 100, "ending_minor": 99}, 10_0000, 2, 12_9900),
        ({"step_minor": 100, "ending_minor": 99, "rounding": "up"}, 12_9901, 2, 13_9900),
        ({"step_minor": 100, "ending_minor": 99, "rounding": "down"}, 12_9899, 2, 11_9900),
        ({"step_minor": 100, "ending_minor": 99, "rounding": "down"}, 5000, 2, 9900),
        ({"step_minor": 100, "ending_minor": 99, "rounding": "nearest"}, 12_4900, 2, 12_9900),
        ({"step_minor": 5}, 12_0250, 2, 12_0500),
        ({"step_minor": 5}, 12_0249, 2, 12_0000),
        ({"step_minor": 10, "rounding": "up"}, 1231_0000, 0, 1240_0000),
        ({"step_minor": 5}, 1_0020, 3, 1_0000),
        ({"step_minor": 5, "ending_minor": 4}, 1_0020, 3, 1_0040),
        ({"adjustment_amount": -20_0000}, 10_0000, 2, 0),
        ({"adjustment_basis_points": -10_000}, 10_0000, 2, 0),
    ],
)
def test_a_price_goes_to_its_ending(values: dict[str, object], price: int, digits: int, expected: int) -> None:
    rule = PriceRule(**{**values, "rounding": Rounding(values.get("rounding", "nearest"))})  # type: ignore[arg-type]  # of mixed values
    assert computed_price(rule, (price, 1), 1, digits) == expected


def test_a_price_that_no_price_can_be_is_left_out_and_counted() -> None:
    rule = PriceRule(adjustment_basis_points=1)
    assert computed_price(rule, (UNIT_PRICE_MAX, 1), 1, 2) is None
    wanted = entries_of_base(EUR, rule, [entry(UNIT_PRICE_MAX), entry(100, min_quantity=5)])
    assert (len(wanted.entries), wanted.beyond) == (1, 1)


def entry(price: int, number: int = 9, **values: int) -> PriceEntry:
    return PriceEntry(
        **{"id": UUID(int=number), "price_list_id": BASE, "product_id": PRODUCT, "min_quantity": 1, "unit_price": price, **values}  # type: ignore[arg-type]  # of mixed values
    )


def test_breaks_packs_and_windows_of_the_base_carry_over() -> None:
    base = [entry(100), entry(90, 10, min_quantity=10, per_quantity=6, valid_from_ms=5, valid_until_ms=9)]
    found = entries_of_base(EUR, PriceRule(adjustment_basis_points=10_000, adjustment_amount=1), base).entries
    assert [(each.price_list_id, each.unit_price) for each in found] == [(LIST, 201), (LIST, 186)]
    assert (found[1].min_quantity, found[1].per_quantity, found[1].valid_from_ms, found[1].valid_until_ms) == (10, 6, 5, 9)
    assert entries_of_base(EUR, None, base).entries == ()


def cost(unit_cost: int, number: int = 20, **values: object) -> ProductCost:
    return ProductCost(**{"id": UUID(int=number), "product_id": PRODUCT, "currency": "EUR", "unit_cost": unit_cost, **values})  # type: ignore[arg-type]  # of mixed values


def test_a_price_of_a_cost_holds_until_the_next_cost_of_its_currency() -> None:
    costs = [cost(300, valid_from_ms=50, per_quantity=3), cost(200), cost(7, currency="USD", valid_from_ms=20)]
    found = entries_of_costs(EUR, PriceRule(adjustment_basis_points=5_000), costs).entries
    assert [(each.unit_price, each.min_quantity, each.per_quantity, each.valid_from_ms, each.valid_until_ms) for each in found] == [
        (300, 1, 1, 0, 50),
        (150, 1, 1, 50, None),
    ]


@given(
    held=st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 2)), st.integers(0, 2)),
    base=st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 2)), st.integers(0, 2)),
)
def test_what_differs_is_written_and_written_again_nothing_differs(
    held: dict[tuple[int, int], int], base: dict[tuple[int, int], int]
) -> None:
    rows = [entry(price, 40 + n, min_quantity=least, valid_from_ms=at) for n, ((least, at), price) in enumerate(held.items())]
    wanted = entries_of_base(
        EUR, PriceRule(), [entry(price, min_quantity=least, valid_from_ms=at) for (least, at), price in base.items()]
    ).entries
    found = difference_of(rows, wanted)
    after = {each.id: each for each in rows}
    for each in found.removed:
        del after[each.id]
    after |= {each.id: each for each in (*found.made, *(new for _, new in found.changed))}
    assert {(each.min_quantity, each.valid_from_ms): each.unit_price for each in after.values()} == base
    assert len(found.changed) == sum(held[key] != base[key] for key in held.keys() & base.keys())
    assert not difference_of(after.values(), wanted)


def test_the_nearest_rule_counts() -> None:
    company, far, near, own = (PriceRule(adjustment_amount=n, **where) for n, where in enumerate(  # type: ignore[arg-type]  # of mixed values
        ({}, {"category_id": UUID(int=5)}, {"category_id": UUID(int=6)}, {"product_id": PRODUCT})
    ))  # fmt: skip
    above = categories_above(UUID(int=6), {UUID(int=6): UUID(int=5), UUID(int=5): UUID(int=6)})
    assert above == (UUID(int=6), UUID(int=5))
    rules = [company, far, near, own]
    for expected in (own, near, far, company):
        assert RuleBook(rules).nearest(PRODUCT, above) == [expected]
        rules.remove(expected)
    assert RuleBook(rules).nearest(PRODUCT, above) == []


@given(unit_cost=st.integers(0, 10**8), per=st.integers(1, 100), margin=st.integers(0, 9_999))
def test_a_floor_leaves_just_the_margin(unit_cost: int, per: int, margin: int) -> None:
    found = floor_price(cost(unit_cost, per_quantity=per), margin)
    assert found is not None
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(unit_cost) / per / (1 - Decimal(margin) / 10_000)
        assert abs(found - exact) <= Decimal("0.5") + Decimal(10) ** -40


def test_a_floor_is_of_the_cost_that_is_in_force_in_each_currency() -> None:
    costs = [cost(400), cost(300, valid_from_ms=10), cost(100, valid_from_ms=11), cost(50, currency="USD")]
    found = floors_of(PRODUCT, MarginRule(id=UUID(int=1), minimum_margin_basis_points=2_500), costs, 10)
    assert {name: each.unit_price for name, each in found.items()} == {"EUR": 400, "USD": 67}
    assert all(is_computed(each) for each in found.values())
    assert floors_of(PRODUCT, None, costs, 10) == {}
