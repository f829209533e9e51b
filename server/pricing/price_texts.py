"""Unit prices as people write them: decimals of the major unit. Nothing passes through a float."""

import re
from typing import Final

from sync_protocol.values import UNIT_PRICE_SCALE

_DECIMALS: Final = len(str(UNIT_PRICE_SCALE)) - 1
_DECIMAL: Final = re.compile(r"(?P<whole>[0-9]{1,20})(?:\.(?P<part>[0-9]{1,20}))?")


def unit_price_of(text: str) -> int | None:
    """The unit price that a text such as `12.50` says exactly; None where it says none."""
    found = _DECIMAL.fullmatch(text)
    part = (found["part"] or "").rstrip("0") if found else ""
    if found is None or len(part) > _DECIMALS:
        return None
    return int(found["whole"]) * UNIT_PRICE_SCALE + int(part.ljust(_DECIMALS, "0"))


def text_of(unit_price: int, minor_digits: int) -> str:
    """A unit price as `unit_price_of` reads it, with the decimals of the currency, and more only where it has more."""
    whole, part = divmod(unit_price, UNIT_PRICE_SCALE)
    decimals = f"{part:0{_DECIMALS}}".rstrip("0").ljust(minor_digits, "0")
    return f"{whole}.{decimals}" if decimals else str(whole)
