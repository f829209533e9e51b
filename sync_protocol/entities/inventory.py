"""What is there: stock locations and the level of each product at each."""

from uuid import UUID

from sync_protocol.values import Code, Instant, Name, Row, StockQuantity


class StockLocation(Row, frozen=True, kw_only=True):
    """A place that holds stock, such as a warehouse or a van."""

    code: Code
    name: Name


class StockLevel(Row, frozen=True, kw_only=True):
    """So many base units of a product at a location: physically there, and promised to orders."""

    product_id: UUID
    stock_location_id: UUID
    on_hand: StockQuantity
    allocated: StockQuantity
    as_of_ms: Instant
