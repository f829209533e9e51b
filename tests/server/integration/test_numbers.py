"""Exact numbers: what is shared adds up, what cannot be exact is said."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.integration.numbers import (
    basis_points_of,
    decimal_of,
    instant_of,
    integer_of,
    minor_of,
    shared,
    sum_of,
    unit_price_near,
    unit_price_of,
)
from server.integration.refusals import Reason, RowRefusedError

MONEY = st.decimals(min_value=0, max_value=10**9, places=6, allow_nan=False)


@given(st.lists(MONEY, min_size=1, max_size=30))
def test_amounts_that_add_up_to_the_total_share_it_to_the_cent(exact: list[Decimal]) -> None:
    total = sum_of(exact)
    amounts = shared(total, exact, 2)
    assert sum(amounts) == minor_of(total, 2)
    # Less than one from its share of the total, which was rounded by half a cent at most.
    assert all(abs(amount - each * 100) < Decimal("1.5") for amount, each in zip(amounts, exact, strict=True))


def test_amounts_with_another_sum_or_a_credit_are_each_rounded_for_themselves() -> None:
    assert shared(Decimal(9), [Decimal("3.333"), Decimal("3.335")], 2) == [333, 334]
    assert shared(Decimal(0), [Decimal("3.335"), Decimal("-3.335")], 2) == [334, -334]
    assert shared(Decimal("0.004"), [Decimal(0), Decimal(0)], 2) == [0, 0]


def test_a_half_goes_away_from_zero() -> None:
    assert [minor_of(Decimal(text), 2) for text in ("0.005", "-0.005", "0.0049999")] == [1, -1, 0]
    assert (minor_of(Decimal("0.5"), 0), minor_of(Decimal("0.0005"), 3)) == (1, 1)


def test_numbers_are_read_exactly() -> None:
    assert unit_price_of("price", decimal_of("price", "2024.9940")) == 20_249_940
    assert unit_price_near(Decimal("0.00005")) == 1
    assert [basis_points_of("discount", text) for text in ("0.0", "-0.0", "0.02", "0.1234", "1")] == [0, 0, 200, 1234, 10_000]
    assert integer_of("quantity", "12.000") == 12


@pytest.mark.parametrize("text", ["", "1,5", "1e5", "NaN", "Infinity", "--1", "1.", "٣", "1" * 31, "1-2", "(-1)", "1 000", "1_0"])
def test_what_is_no_decimal_is_malformed(text: str) -> None:
    with pytest.raises(RowRefusedError, match=r"price: .* is not a decimal number") as refused:
        decimal_of("price", text)
    assert refused.value.reason is Reason.MALFORMED_VALUE


def test_a_date_is_midnight_in_its_zone_and_an_offset_is_believed() -> None:
    assert instant_of("at", "2011-05-31", "America/New_York") == 1_306_814_400_000
    assert instant_of("at", "2014-08-08 00:00:00.123", "UTC") == 1_407_456_000_123
    assert instant_of("at", "2014-08-08T02:00:00+02:00", "America/New_York") == 1_407_456_000_000
    for text, zone in (("08.08.2014", "UTC"), ("2014-08-08", "Nowhere")):
        with pytest.raises(RowRefusedError, match="an ISO date"):
            instant_of("at", text, zone)
