"""Amounts of quantities and of parts: every quotient of a price, rounded by the one rule (P-2, P-57)."""

from sync_protocol.rules.rounding import round_half_up
from sync_protocol.values import BASIS_POINTS, UNIT_PRICE_SCALE


def gross_amount(unit_price: int, per_quantity: int, quantity: int, minor_digits: int, basis_points_off: int = 0) -> int:
    """What a quantity comes to, in minor units, at a price of ten-thousandths for `per_quantity` base units, perhaps less a
    percentage, rounded once.
    """
    assert 0 <= basis_points_off <= BASIS_POINTS
    exact = unit_price * quantity * 10**minor_digits * (BASIS_POINTS - basis_points_off)
    return round_half_up(exact, UNIT_PRICE_SCALE * per_quantity * BASIS_POINTS)


def percentage(amount_minor: int, basis_points: int) -> int:
    """So many hundredths of a percent of an amount."""
    return round_half_up(amount_minor * basis_points, BASIS_POINTS)


def part_amount(amount_minor: int, units: int, quantity: int) -> int:
    """What some units of a line come to."""
    return round_half_up(amount_minor * units, quantity)
