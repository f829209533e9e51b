from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.rules.pricing.amounts import gross_amount
from sync_protocol.rules.rounding import round_half_up, share
from sync_protocol.values import minor_digits

NUMERATORS = st.integers(-(10**30), 10**30) | st.integers(-40, 40)
DENOMINATORS = st.integers(1, 10**12) | st.integers(1, 20)
WEIGHTS = st.lists(st.integers(0, 10**9) | st.integers(0, 3), min_size=1, max_size=12).filter(any)


def half_up(exact: Fraction) -> int:
    """The nearest integer, and of two that are as near the one farther from zero: said in fractions alone."""
    magnitude = floor(abs(exact) + Fraction(1, 2))
    return magnitude if exact >= 0 else -magnitude


@given(numerator=NUMERATORS, denominator=DENOMINATORS)
def test_a_quotient_is_rounded_to_the_nearest_and_a_half_away_from_zero(numerator: int, denominator: int) -> None:
    assert round_half_up(numerator, denominator) == half_up(Fraction(numerator, denominator))


@given(numerator=NUMERATORS, denominator=DENOMINATORS)
def test_rounding_treats_what_is_owed_as_what_is_due(numerator: int, denominator: int) -> None:
    assert round_half_up(-numerator, denominator) == -round_half_up(numerator, denominator)


@given(whole=st.integers(-(10**15), 10**15), half=st.integers(1, 10**9))
def test_an_exact_half_never_goes_towards_zero(whole: int, half: int) -> None:
    assert abs(round_half_up((2 * whole + 1) * half, 2 * half)) == abs(Fraction(2 * whole + 1, 2)) + Fraction(1, 2)


@pytest.mark.parametrize(("currency", "decimals"), [("JPY", 0), ("KRW", 0), ("EUR", 2), ("XXX", 2), ("BHD", 3), ("TND", 3)])
@given(
    unit_price=st.integers(0, 10**13) | st.integers(0, 30_000),
    quantity=st.integers(1, 10_000_000) | st.integers(1, 12),
    discount=st.integers(0, 10_000),
)
def test_a_line_is_price_times_quantity_less_the_discount_rounded_once(
    currency: str, decimals: int, unit_price: int, quantity: int, discount: int
) -> None:
    assert minor_digits(currency) == decimals
    exact = Fraction(unit_price, 10_000) * quantity * (1 - Fraction(discount, 10_000)) * 10**decimals
    assert gross_amount(unit_price, 1, quantity, decimals, discount) == half_up(exact)


@given(unit_price=st.integers(0, 10**13), quantity=st.integers(1, 10_000_000), decimals=st.sampled_from([0, 2, 3]))
def test_a_whole_discount_leaves_nothing_and_none_takes_nothing(unit_price: int, quantity: int, decimals: int) -> None:
    assert gross_amount(unit_price, 1, quantity, decimals, 10_000) == 0
    assert gross_amount(unit_price, 1, quantity, decimals) == half_up(Fraction(unit_price * quantity * 10**decimals, 10_000))


@given(total=st.integers(-(10**15), 10**15) | st.integers(-30, 30), weights=WEIGHTS)
def test_shares_add_up_and_each_is_within_one_of_its_exact_part(total: int, weights: list[int]) -> None:
    parts = share(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1


@given(total=st.integers(-(10**15), 10**15), weights=WEIGHTS)
def test_what_weighs_nothing_gets_nothing(total: int, weights: list[int]) -> None:
    assert all(part == 0 for part, weight in zip(share(total, weights), weights, strict=True) if not weight)


@given(total=st.integers(0, 10**15) | st.integers(0, 30), weights=WEIGHTS)
def test_shares_of_a_negative_total_mirror_those_of_the_positive(total: int, weights: list[int]) -> None:
    assert share(-total, weights) == [-part for part in share(total, weights)]


@given(total=st.integers(0, 1_000), weights=WEIGHTS)
def test_the_odd_cents_go_to_the_largest_remainders_and_of_equal_ones_to_the_earlier(total: int, weights: list[int]) -> None:
    exact = [Fraction(total * weight, sum(weights)) for weight in weights]
    odd = total - sum(floor(part) for part in exact)
    ranked = sorted(range(len(weights)), key=lambda place: (floor(exact[place]) - exact[place], place))
    expected = [floor(part) for part in exact]
    for place in ranked[:odd]:
        expected[place] += 1
    assert share(total, weights) == expected


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [(100, [1, 1, 1], [34, 33, 33]), (-100, [1, 1, 1], [-34, -33, -33]), (1, [0, 1, 1], [0, 1, 0]), (0, [5, 7], [0, 0])],
)
def test_equal_weights_give_the_odd_cent_to_the_first(total: int, weights: list[int], parts: list[int]) -> None:
    assert share(total, weights) == parts
