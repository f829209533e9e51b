"""Exact numbers from text. No float, and no rest that is lost without a word."""

import functools
import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final
from zoneinfo import ZoneInfo

from server.integration.refusals import Reason, RowRefusedError
from server.runtime.instants import milliseconds
from sync_protocol.rules.rounding import round_half_up, share
from sync_protocol.values import BASIS_POINTS, UNIT_PRICE_SCALE

# Arithmetic that would have to round raises instead.
EXACT: Final = Context(prec=200, traps=[Inexact, InvalidOperation, Overflow])
SHARE_TOLERANCE: Final = Decimal("0.01")

_DECIMAL: Final = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?", re.ASCII)


def malformed(field: str, text: str, wanted: str) -> RowRefusedError:
    return RowRefusedError(Reason.MALFORMED_VALUE, f"{field}: {text!r} is not {wanted}")


def decimal_of(field: str, text: str) -> Decimal:
    if _DECIMAL.fullmatch(text) is None:
        raise malformed(field, text, "a decimal number such as -12.50")
    return Decimal(text)


def integer_of(field: str, text: str) -> int:
    return _whole(field, text, decimal_of(field, text), 1, "a whole number")


def unit_price_of(field: str, value: Decimal) -> int:
    return _whole(field, str(value), value, UNIT_PRICE_SCALE, "a price of at most four decimals")


def unit_price_near(value: Decimal) -> int:
    """A price that was worked out rather than read, rounded half up to ten-thousandths."""
    numerator, denominator = value.as_integer_ratio()
    return round_half_up(numerator * UNIT_PRICE_SCALE, denominator)


def basis_points_of(field: str, text: str) -> int:
    return _whole(field, text, decimal_of(field, text), BASIS_POINTS, "a fraction of at most four decimals")


def minor_of(value: Decimal, minor_digits: int) -> int:
    """The amount in minor units, rounded half up."""
    numerator, denominator = value.as_integer_ratio()
    return round_half_up(numerator * 10**minor_digits, denominator)


def shared(total: Decimal, exact: Sequence[Decimal], minor_digits: int) -> list[int]:
    """The amounts in minor units, adding up to the rounded total where the exact ones add up to the total.

    Where they do not, or where some are negative, each is rounded for itself: the difference is the source's own and is
    for the reconciliation to show, not for the lines to hide.
    """
    difference = EXACT.subtract(sum_of(exact), total)
    if EXACT.abs(difference) > SHARE_TOLERANCE or not any(exact) or min(*exact, total) < 0:
        return [minor_of(each, minor_digits) for each in exact]
    places = max(max(-int(each.as_tuple().exponent), 0) for each in exact)
    weights = [int(EXACT.scaleb(each, places)) for each in exact]
    return share(minor_of(total, minor_digits), weights)


def sum_of(values: Sequence[Decimal]) -> Decimal:
    return functools.reduce(EXACT.add, values, Decimal(0))


@functools.lru_cache(maxsize=4096)
def instant_of(field: str, text: str, zone: str) -> int:
    """Milliseconds since 1970 of an ISO date or time, in `zone` where it has no offset of its own."""
    try:
        moment = datetime.fromisoformat(text)
        return milliseconds(moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(zone)))
    except (ValueError, KeyError, OverflowError, OSError) as error:
        raise malformed(field, text, f"an ISO date in the zone {zone!r} ({error})") from None


def _whole(field: str, text: str, value: Decimal, scale: int, wanted: str) -> int:
    numerator, denominator = value.as_integer_ratio()
    whole, rest = divmod(numerator * scale, denominator)
    if rest:
        raise malformed(field, text, wanted)
    return whole
