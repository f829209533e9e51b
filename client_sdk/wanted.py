"""What a user wants of a product, and the limits of it."""

from typing import NamedTuple
from uuid import UUID

import apsw

from client_sdk.entries import checked
from client_sdk.errors import InvalidEntryError, ManualPriceError, NotPermittedError
from client_sdk.state import Identity, load
from sync_protocol.intents import ManualPrice
from sync_protocol.rules.pricing.basket import BasketLine
from sync_protocol.values import QUANTITY_MAX, normal_text


class WantedLine(NamedTuple):
    """So many base units of a product, handled in packs of `pack_quantity`, perhaps at a price by hand."""

    product_id: UUID
    quantity: int
    pack_quantity: int = 1
    manual: ManualPrice | None = None

    def as_basket_line(self, line_id: UUID) -> BasketLine:
        """As it is priced."""
        return BasketLine(
            line_id=line_id,
            product_id=self.product_id,
            quantity=self.quantity,
            pack_quantity=self.pack_quantity,
            manual=self.manual,
        )


def checked_line(connection: apsw.Connection, wanted: WantedLine) -> WantedLine:
    """The line as it is kept. Raises InvalidEntryError, ManualPriceError, NotPermittedError."""
    return WantedLine(
        wanted.product_id,
        checked_quantity(wanted.quantity),
        checked_quantity(wanted.pack_quantity, "pack_quantity"),
        checked_manual(connection, wanted.manual),
    )


def checked_quantity(quantity: int, field: str = "quantity") -> int:
    """Raises InvalidEntryError."""
    if not 1 <= quantity <= QUANTITY_MAX:
        raise InvalidEntryError(f"{field}: {quantity} is not between 1 and {QUANTITY_MAX} base units")
    return quantity


def checked_manual(connection: apsw.Connection, manual: ManualPrice | None) -> ManualPrice | None:
    """A price by hand as it is kept. Raises NotPermittedError to a buyer, ManualPriceError, InvalidEntryError."""
    if manual is None:
        return None
    identity = load(connection, Identity)
    if identity is not None and identity.rep_id is None:
        raise NotPermittedError("a price by hand")
    if (manual.unit_price is None) == (manual.discount_basis_points is None):
        raise ManualPriceError("manual", "give either discount_basis_points or unit_price, one of the two")
    reason = normal_text(manual.reason)
    if not reason:
        raise ManualPriceError("manual.reason", "say why the price is given by hand")
    return checked(ManualPrice(reason=reason, discount_basis_points=manual.discount_basis_points, unit_price=manual.unit_price))
