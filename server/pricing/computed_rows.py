"""What products cost and the margin that they must keep, as the office writes it. Rows like those that travel, and these do not."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from sync_protocol.values import BASIS_POINTS, Currency, Instant, Quantity, Row, UnitPrice

MinimumMargin = Annotated[int, Meta(ge=0, le=BASIS_POINTS - 1, description="hundredths of a percent of the price")]


class ProductCost(Row, frozen=True, kw_only=True):
    """What a product costs us from an instant on, until the next one of the same currency. It never travels.

    `unit_cost` is in ten-thousandths of the major unit for `per_quantity` base units.
    """

    product_id: UUID
    currency: Currency
    unit_cost: UnitPrice
    per_quantity: Quantity = 1
    valid_from_ms: Instant = 0


class MarginRule(Row, frozen=True, kw_only=True):
    """The part of its price that a product must earn at least: of a product, of a category, or the company's. It never travels."""

    minimum_margin_basis_points: MinimumMargin
    category_id: UUID | None = None
    product_id: UUID | None = None
