"""What things cost: price lists and their entries."""

from uuid import UUID

from sync_protocol.values import Code, Currency, Name, Quantity, Row, UnitPrice


class PriceList(Row, frozen=True, kw_only=True):
    """A named list of prices in one currency."""

    code: Code
    name: Name
    currency: Currency


class PriceEntry(Row, frozen=True, kw_only=True):
    """The unit price of a product on a list from `min_quantity` base units upwards.

    There is no upper bound: the deepest break that the quantity reaches wins, so breaks cannot overlap or leave gaps.
    """

    price_list_id: UUID
    product_id: UUID
    min_quantity: Quantity
    unit_price: UnitPrice
