"""Tables of lists that are computed, of costs and of margins. They never travel: devices see the prices that come of them.

`asked` counts what was changed of the rules and costs, `done` is that count as the last computation found it, and `seen_seq` the
place of the log up to which other changes are in it. Where the counts differ, or the log goes on, it is computed anew.
"""

from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base

FLOORS: int = 1
"""The id of the one row of `floor_computation`."""


class ProductCostModel(Base):
    __tablename__ = "product_cost"
    __table_args__ = (UniqueConstraint("product_id", "currency", "valid_from_ms", name="uq_product_cost_begin"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("product.id"))
    currency: Mapped[str]
    unit_cost: Mapped[int]
    per_quantity: Mapped[int] = mapped_column(server_default="1")
    valid_from_ms: Mapped[int] = mapped_column(server_default="0", index=True)


class MarginRuleModel(Base):
    __tablename__ = "margin_rule"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    minimum_margin_basis_points: Mapped[int]
    category_id: Mapped[UUID | None] = mapped_column(ForeignKey("category.id"))
    product_id: Mapped[UUID | None] = mapped_column(ForeignKey("product.id"))


class ComputedListModel(Base):
    """A list whose entries are made of those of another, or of costs. `problem` says why its prices stay as they are."""

    __tablename__ = "computed_list"

    price_list_id: Mapped[UUID] = mapped_column(ForeignKey("price_list.id"), primary_key=True)
    source: Mapped[str]
    base_list_id: Mapped[UUID | None] = mapped_column(ForeignKey("price_list.id"), index=True)
    asked: Mapped[int]
    done: Mapped[int]
    seen_seq: Mapped[int]
    computed_at_ms: Mapped[int | None]
    problem: Mapped[str | None]


class PriceRuleModel(Base):
    """How the prices of a computed list are made of their source; for a product, for a category, or for all."""

    __tablename__ = "price_rule"

    price_list_id: Mapped[UUID] = mapped_column(ForeignKey("computed_list.price_list_id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    category_id: Mapped[UUID | None] = mapped_column(ForeignKey("category.id"))
    product_id: Mapped[UUID | None] = mapped_column(ForeignKey("product.id"))
    adjustment_basis_points: Mapped[int]
    adjustment_amount: Mapped[int]
    step_minor: Mapped[int | None]
    ending_minor: Mapped[int]
    rounding: Mapped[str]


class FloorComputationModel(Base):
    """Whether the floors that costs and margins ask for are computed; one row."""

    __tablename__ = "floor_computation"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    asked: Mapped[int]
    done: Mapped[int]
    seen_seq: Mapped[int]
    computed_at_ms: Mapped[int | None]
