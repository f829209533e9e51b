"""A line as it is typed on a command line: `P130-04:12`, in packs `P130-04:12/6`, by hand `P130-04:12@12.50` or `P130-04:12-5%`."""

import re
from typing import Final, NamedTuple

from sync_protocol.intents import ManualPrice
from sync_protocol.values import BASIS_POINTS, UNIT_PRICE_SCALE

FORM: Final = "SKU:QUANTITY[/PACK][@PRICE|-PERCENT%]"
EXAMPLES: Final = "P130-04:10, P130-04:12/6, P130-04:10@12.50 or P130-04:10-5%"
_REST: Final = re.compile(r"(?P<quantity>[0-9]{1,9})(?:/(?P<pack>[0-9]{1,9}))?(?:@(?P<price>[0-9.]+)|-(?P<discount>[0-9.]+%))?")
_DECIMAL: Final = re.compile(r"(?P<whole>[0-9]{1,9})(?:\.(?P<part>[0-9]{1,4}))?")


class TypedLine(NamedTuple):
    """A line as it was typed; what was left out is None."""

    sku: str
    quantity: int = 1
    pack_quantity: int | None = None
    unit_price: int | None = None
    discount_basis_points: int | None = None

    @property
    def is_by_hand(self) -> bool:
        """Whether it names a price or a discount."""
        return self.unit_price is not None or self.discount_basis_points is not None

    def manual(self, reason: str) -> ManualPrice | None:
        """Its price by hand, if it has one."""
        if not self.is_by_hand:
            return None
        return ManualPrice(reason=reason, unit_price=self.unit_price, discount_basis_points=self.discount_basis_points)


def read_line(text: str) -> TypedLine | None:
    """A line as it was typed, of a SKU alone one; None where it is none."""
    sku, colon, rest = text.rpartition(":")
    if not colon:
        return TypedLine(text)
    found = _REST.fullmatch(rest)
    if found is None or not sku:
        return None
    quantity, pack = int(found["quantity"]), int(found["pack"]) if found["pack"] else None
    price = read_unit_price(found["price"]) if found["price"] else None
    discount = read_discount(found["discount"]) if found["discount"] else None
    unread = (found["price"] and price is None) or (found["discount"] and discount is None)
    return None if unread or quantity < 1 or pack == 0 else TypedLine(sku, quantity, pack, price, discount)


def read_unit_price(text: str) -> int | None:
    """The unit price that a text such as `12.50` says exactly; None where it says none."""
    return _scaled(text, UNIT_PRICE_SCALE)


def read_discount(text: str) -> int | None:
    """The hundredths of a percent that a text such as `5%` or `7.25` says exactly, of 100 at most; None where it says none."""
    found = _scaled(text.removesuffix("%"), BASIS_POINTS // 100)
    return found if found is not None and found <= BASIS_POINTS else None


def _scaled(text: str, scale: int) -> int | None:
    """A decimal as a whole number of parts; None where it has smaller ones."""
    found = _DECIMAL.fullmatch(text)
    if found is None:
        return None
    part = found["part"] or "0"
    parts, rest = divmod(int(part) * scale, 10 ** len(part))
    return int(found["whole"]) * scale + parts if not rest else None
