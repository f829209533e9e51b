"""Tables of what things cost. References to slices above are by the table's name."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class PriceListModel(Base):
    __tablename__ = "price_list"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    currency: Mapped[str]
    tax_treatment: Mapped[str] = mapped_column(server_default="exclusive")
    valid_from_ms: Mapped[int] = mapped_column(server_default="0")
    valid_until_ms: Mapped[int | None]
    strength: Mapped[str] = mapped_column(server_default="required")
    minimum_quantity: Mapped[int | None]
    multiple_quantity: Mapped[int | None]
    pack_quantity: Mapped[int | None]
    order_minimum_minor: Mapped[int | None]


class PriceEntryModel(Base):
    __tablename__ = "price_entry"
    __table_args__ = (
        UniqueConstraint(
            "product_id", "price_list_id", "min_quantity", "per_quantity", "valid_from_ms", name="uq_price_entry_break"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    price_list_id: Mapped[UUID] = mapped_column(ForeignKey("price_list.id"), index=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("product.id"))
    min_quantity: Mapped[int]
    unit_price: Mapped[int]
    per_quantity: Mapped[int] = mapped_column(server_default="1")
    valid_from_ms: Mapped[int] = mapped_column(server_default="0")
    valid_until_ms: Mapped[int | None]


class PriceListAssignmentModel(Base):
    __tablename__ = "price_list_assignment"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    price_list_id: Mapped[UUID] = mapped_column(ForeignKey("price_list.id"), index=True)
    priority: Mapped[int]
    exclusivity: Mapped[str]
    segment_id: Mapped[UUID | None] = mapped_column(ForeignKey("segment.id"), index=True)
    channel: Mapped[str | None]
    territory_id: Mapped[UUID | None] = mapped_column(ForeignKey("territory.id"))
    valid_from_ms: Mapped[int] = mapped_column(server_default="0")
    valid_until_ms: Mapped[int | None]


class CustomerPriceListModel(Base):
    __tablename__ = "customer_price_list"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    price_list_id: Mapped[UUID] = mapped_column(ForeignKey("price_list.id"), index=True)
    priority: Mapped[int]
    exclusivity: Mapped[str]
    address_id: Mapped[UUID | None] = mapped_column(ForeignKey("address.id"))
    valid_from_ms: Mapped[int] = mapped_column(server_default="0")
    valid_until_ms: Mapped[int | None]


class AgreedPriceModel(Base):
    __tablename__ = "agreed_price"
    __table_args__ = (Index("ix_agreed_price_customer", "customer_id", "product_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"))
    product_id: Mapped[UUID] = mapped_column(ForeignKey("product.id"))
    source: Mapped[str]
    reference: Mapped[str]
    currency: Mapped[str]
    min_quantity: Mapped[int]
    unit_price: Mapped[int]
    per_quantity: Mapped[int] = mapped_column(server_default="1")
    tax_treatment: Mapped[str] = mapped_column(server_default="exclusive")
    address_id: Mapped[UUID | None] = mapped_column(ForeignKey("address.id"))
    remaining_quantity: Mapped[int | None]
    valid_from_ms: Mapped[int] = mapped_column(server_default="0")
    valid_until_ms: Mapped[int | None]


class ProductQuantityRuleModel(Base):
    __tablename__ = "product_quantity_rule"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("product.id"), index=True)
    strength: Mapped[str]
    minimum_quantity: Mapped[int | None]
    multiple_quantity: Mapped[int | None]
    pack_quantity: Mapped[int | None]


class ListQuantityRuleModel(Base):
    __tablename__ = "list_quantity_rule"
    __table_args__ = (Index("ix_list_quantity_rule_product", "product_id", "price_list_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    price_list_id: Mapped[UUID] = mapped_column(ForeignKey("price_list.id"))
    product_id: Mapped[UUID] = mapped_column(ForeignKey("product.id"))
    strength: Mapped[str]
    minimum_quantity: Mapped[int | None]
    multiple_quantity: Mapped[int | None]
    pack_quantity: Mapped[int | None]


class DiscountLimitModel(Base):
    __tablename__ = "discount_limit"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    role: Mapped[str]
    discount_basis_points: Mapped[int]
    rep_id: Mapped[UUID | None] = mapped_column(ForeignKey("rep.id"))


class PriceFloorModel(Base):
    __tablename__ = "price_floor"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("product.id"), index=True)
    currency: Mapped[str]
    unit_price: Mapped[int]


class TaxRateModel(Base):
    __tablename__ = "tax_rate"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    jurisdiction: Mapped[str] = mapped_column(index=True)
    customer_tax_code: Mapped[str]
    product_tax_code: Mapped[str]
    name: Mapped[str]
    rate_ppm: Mapped[int]
    valid_from_ms: Mapped[int] = mapped_column(server_default="0")
    valid_until_ms: Mapped[int | None]


class TaxExemptionModel(Base):
    __tablename__ = "tax_exemption"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    jurisdiction: Mapped[str]
    certificate: Mapped[str]
    valid_from_ms: Mapped[int] = mapped_column(server_default="0")
    valid_until_ms: Mapped[int | None]


_EVERYONES = text("price_list_id IS NULL AND segment_id IS NULL")


class HonourPolicyModel(Base):
    """Whether a price that was quoted and is another by now still holds; see `honour.HonourPolicy`. It never travels."""

    __tablename__ = "honour_policy"
    __table_args__ = (
        Index("uq_honour_policy_price_list_id", "price_list_id", unique=True),
        Index("uq_honour_policy_segment_id", "segment_id", unique=True),
        Index(
            "uq_honour_policy_everyone",
            text("(price_list_id IS NULL)"),
            unique=True,
            postgresql_where=_EVERYONES,
            sqlite_where=_EVERYONES,
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    mode: Mapped[str]
    otherwise: Mapped[str]
    hours: Mapped[int | None]
    tolerance_basis_points: Mapped[int | None]
    price_list_id: Mapped[UUID | None] = mapped_column(ForeignKey("price_list.id"))
    segment_id: Mapped[UUID | None] = mapped_column(ForeignKey("segment.id"))
