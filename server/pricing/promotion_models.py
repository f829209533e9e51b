"""Tables of offers."""

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class PromotionModel(Base):
    __tablename__ = "promotion"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    phase: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str]
    priority: Mapped[int]
    stacking: Mapped[str]
    audience: Mapped[str]
    reach: Mapped[str]
    exclusive_group: Mapped[str | None]
    currency: Mapped[str | None]
    valid_from_ms: Mapped[int] = mapped_column(server_default="0")
    valid_until_ms: Mapped[int | None]
    value_basis_points: Mapped[int | None]
    value_unit_price: Mapped[int | None]
    value_minor: Mapped[int | None]
    buy_quantity: Mapped[int | None]
    get_quantity: Mapped[int | None]
    repeats_max: Mapped[int | None]
    min_amount_minor: Mapped[int | None]
    cap_minor: Mapped[int | None]
    budget_minor: Mapped[int | None]
    spent_minor: Mapped[int] = mapped_column(server_default="0")
    uses_per_customer: Mapped[int | None]


class PromotionAudienceModel(Base):
    __tablename__ = "promotion_audience"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    promotion_id: Mapped[UUID] = mapped_column(ForeignKey("promotion.id"), index=True)
    segment_id: Mapped[UUID | None] = mapped_column(ForeignKey("segment.id"))
    territory_id: Mapped[UUID | None] = mapped_column(ForeignKey("territory.id"))
    channel: Mapped[str | None]


class PromotionTargetModel(Base):
    __tablename__ = "promotion_target"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    promotion_id: Mapped[UUID] = mapped_column(ForeignKey("promotion.id"), index=True)
    role: Mapped[str]
    product_id: Mapped[UUID | None] = mapped_column(ForeignKey("product.id"), index=True)
    category_id: Mapped[UUID | None] = mapped_column(ForeignKey("category.id"), index=True)
    quantity: Mapped[int] = mapped_column(server_default="1")


class PromotionTierModel(Base):
    __tablename__ = "promotion_tier"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    promotion_id: Mapped[UUID] = mapped_column(ForeignKey("promotion.id"), index=True)
    value_basis_points: Mapped[int]
    min_quantity: Mapped[int | None]
    min_amount_minor: Mapped[int | None]


class PromotionExclusionModel(Base):
    __tablename__ = "promotion_exclusion"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    promotion_id: Mapped[UUID] = mapped_column(ForeignKey("promotion.id"), index=True)
    other_id: Mapped[UUID] = mapped_column(ForeignKey("promotion.id"), index=True)


class PromotionCustomerModel(Base):
    __tablename__ = "promotion_customer"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    promotion_id: Mapped[UUID] = mapped_column(ForeignKey("promotion.id"), index=True)


class PromotionUseModel(Base):
    __tablename__ = "promotion_use"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    promotion_id: Mapped[UUID] = mapped_column(ForeignKey("promotion.id"), index=True)
    uses: Mapped[int]
