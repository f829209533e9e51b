"""Exact numbers from text. No float, and no rest that is lost without a word."""

import contextlib
import functools
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from server.integration.mapping import ISO
from server.integration.refusals import Reason, RowRefusedError
from server.runtime.instants import milliseconds
from sync_protocol.rules.rounding import round_half_up, share
from sync_protocol.values import BASIS_POINTS, UNIT_PRICE_SCALE

# Arithmetic that would have to round raises instead.
EXACT: Final = Context(prec=200, traps=[Inexact, InvalidOperation, Overflow])
SHARE_TOLERANCE: Final = Decimal("0.01")

_DECIMAL: Final = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?", re.ASCII)
_SPACES: Final = re.compile(r"[ \u00a0\u2009\u202f]")


class Style(msgspec.Struct, frozen=True):
    """How a source writes numbers and dates. `thousands` is empty where digits are not parted, a space for any space."""

    decimal: str = "."
    thousands: str = ""
    dates: tuple[str, ...] = (ISO,)

    def plain(self, text: str) -> str:
        """The number as `-1234.50`; text that is none by this style as it stands.

        A sign may follow (`12,50-`), a loss may stand in parentheses, and a sign of a currency before or after.
        """
        if _DECIMAL.fullmatch(text) is not None and self.decimal == "." and self.thousands != ".":
            return text
        bare = _SPACES.sub(" ", text).strip()
        is_loss = bare.startswith("(") and bare.endswith(")")
        bare = bare[1:-1] if is_loss else bare
        bare = "".join(each for each in bare if unicodedata.category(each) != "Sc").strip().replace("\N{MINUS SIGN}", "-")
        if bare.endswith(("-", "+")):
            bare = bare[-1] + bare[:-1].rstrip()
        found = _parted(self.decimal, self.thousands).fullmatch(bare)
        if found is None or (is_loss and found["sign"]):
            return text
        whole = found["whole"].replace(self.thousands, "") if self.thousands else found["whole"]
        return f"{'-' if is_loss else found['sign']}{whole}{'.' + found['part'] if found['part'] else ''}"


PLAIN: Final = Style()


@functools.cache
def _parted(decimal: str, thousands: str) -> re.Pattern[str]:
    """A number in groups of three or in none: what is grouped otherwise was written in another style."""
    mark = re.escape(thousands)
    whole = rf"\d{{1,3}}(?:{mark}\d{{3}})+|\d{{1,30}}" if thousands else r"\d{1,30}"
    return re.compile(rf"(?P<sign>[+-]?) ?(?P<whole>{whole})(?:{re.escape(decimal)}(?P<part>\d{{1,30}}))?", re.ASCII)


def malformed(field: str, text: str, wanted: str) -> RowRefusedError:
    return RowRefusedError(Reason.MALFORMED_VALUE, f"{field}: {text!r} is not {wanted}")


def decimal_of(field: str, text: str, style: Style = PLAIN) -> Decimal:
    plain = style.plain(text)
    if _DECIMAL.fullmatch(plain) is None:
        raise malformed(field, text, f"a decimal number such as {_example(style)}")
    return Decimal(plain)


def _example(style: Style) -> str:
    return f"-1{style.thousands}234{style.decimal}50" if style.thousands else f"-12{style.decimal}50"


def integer_of(field: str, text: str, style: Style = PLAIN) -> int:
    return _whole(field, text, decimal_of(field, text, style), 1, "a whole number")


def unit_price_of(field: str, value: Decimal) -> int:
    return _whole(field, str(value), value, UNIT_PRICE_SCALE, "a price of at most four decimals")


def unit_price_near(value: Decimal) -> int:
    """A price that was worked out rather than read, rounded half up to ten-thousandths."""
    numerator, denominator = value.as_integer_ratio()
    return round_half_up(numerator * UNIT_PRICE_SCALE, denominator)


def basis_points_of(field: str, text: str, style: Style = PLAIN) -> int:
    return _whole(field, text, decimal_of(field, text, style), BASIS_POINTS, "a fraction of at most four decimals")


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
def instant_of(field: str, text: str, zone: str, patterns: tuple[str, ...] = (ISO,)) -> int:
    """Milliseconds since 1970 of a date or time by one of the patterns, in `zone` where it has no offset of its own."""
    try:
        moment = _moment_of(text, patterns)
        return milliseconds(moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(zone)))
    except (ValueError, KeyError, OverflowError, OSError) as error:
        wanted = "an ISO date" if patterns == (ISO,) else f"a date by {' or '.join(patterns)}"
        raise malformed(field, text, f"{wanted} in the zone {zone!r} ({error})") from None


def _moment_of(text: str, patterns: tuple[str, ...]) -> datetime:
    for pattern in patterns[:-1]:
        with contextlib.suppress(ValueError):
            return _moment_by(text, pattern)
    return _moment_by(text, patterns[-1])


def _moment_by(text: str, pattern: str) -> datetime:
    return datetime.fromisoformat(text) if pattern == ISO else datetime.strptime(text, pattern)  # noqa: DTZ007  # its zone follows


def _whole(field: str, text: str, value: Decimal, scale: int, wanted: str) -> int:
    numerator, denominator = value.as_integer_ratio()
    whole, rest = divmod(numerator * scale, denominator)
    if rest:
        raise malformed(field, text, wanted)
    return whole
