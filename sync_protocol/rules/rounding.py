"""The only place where a fraction of a minor unit becomes a minor unit."""

from collections.abc import Sequence


def round_half_up(numerator: int, denominator: int) -> int:
    """The quotient as the nearest integer; a half goes away from zero."""
    assert denominator > 0
    magnitude, remainder = divmod(abs(numerator), denominator)
    rounded = magnitude + (2 * remainder >= denominator)
    return rounded if numerator >= 0 else -rounded


def share(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` by `weights` into parts that add up to it exactly, by largest remainder.

    What is left over goes to the largest remainders, earlier parts first, so that both ends agree which line carries
    the odd cent. Each part differs from its exact share by less than one. Weights are not negative and not all zero.
    """
    weight = sum(weights)
    assert weights
    assert weight > 0
    assert all(each >= 0 for each in weights)
    sign = -1 if total < 0 else 1
    quotients = [divmod(abs(total) * each, weight) for each in weights]
    parts = [quotient for quotient, _ in quotients]
    by_remainder = sorted(range(len(parts)), key=lambda place: (-quotients[place][1], place))
    for place in by_remainder[: abs(total) - sum(parts)]:
        parts[place] += 1
    assert sum(parts) == abs(total)
    return [sign * part for part in parts]
