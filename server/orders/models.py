"""Tables of what was ordered."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class OrderModel(Base):
    __tablename__ = "sales_order"
    __table_args__ = (
        Index("ix_sales_order_recent", "received_at_ms", "id"),
        Index("ix_sales_order_status_recent", "status", "received_at_ms", "id"),
        Index("ix_sales_order_customer_recent", "customer_id", "received_at_ms", "id"),
        Index("ix_sales_order_rep_recent", "rep_id", "received_at_ms", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"))
    status: Mapped[str]
    channel: Mapped[str]
    currency: Mapped[str]
    captured_at_ms: Mapped[int]
    time_zone: Mapped[str]
    received_at_ms: Mapped[int]
    subtotal_minor: Mapped[int]
    tax_minor: Mapped[int]
    freight_minor: Mapped[int]
    total_minor: Mapped[int]
    revision: Mapped[int]
    rep_id: Mapped[UUID | None] = mapped_column(ForeignKey("rep.id"))
    address_id: Mapped[UUID | None] = mapped_column(ForeignKey("address.id"))
    stock_location_id: Mapped[UUID | None] = mapped_column(ForeignKey("stock_location.id"))
    purchase_order_number: Mapped[str]
    note: Mapped[str]
    hold_code: Mapped[str | None]
    reason: Mapped[str]
    priced_at_ms: Mapped[int] = mapped_column(server_default="0")


class OrderLineModel(Base):
    __tablename__ = "sales_order_line"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("sales_order.id"), index=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"))
    line_number: Mapped[int]
    product_id: Mapped[UUID] = mapped_column(ForeignKey("product.id"))
    quantity: Mapped[int]
    unit_price: Mapped[int]
    discount_basis_points: Mapped[int]
    amount_minor: Mapped[int]
    allocated: Mapped[int]
    backordered: Mapped[int]
    per_quantity: Mapped[int] = mapped_column(server_default="1")
    discount_minor: Mapped[int] = mapped_column(server_default="0")
    order_discount_minor: Mapped[int] = mapped_column(server_default="0")
    tax_minor: Mapped[int] = mapped_column(server_default="0")
    tax_rate_ppm: Mapped[int] = mapped_column(server_default="0")
    tax_code: Mapped[str] = mapped_column(server_default=text("''"))
    tax_jurisdiction: Mapped[str] = mapped_column(server_default=text("''"))
    price_source: Mapped[str | None]
    price_rule_id: Mapped[UUID | None]
    promotion_id: Mapped[UUID | None]
    quoted_unit_price: Mapped[int | None]
    quoted_amount_minor: Mapped[int | None]


class OrderPromotionModel(Base):
    __tablename__ = "sales_order_promotion"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("sales_order.id"), index=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"))
    promotion_id: Mapped[UUID] = mapped_column(ForeignKey("promotion.id"))
    amount_minor: Mapped[int]


class NumberSeriesModel(Base):
    __tablename__ = "number_series"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    holder_id: Mapped[UUID]
    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"))
    prefix: Mapped[str] = mapped_column(unique=True)


class OrderDecisionModel(Base):
    """What a manager decided of a held order. Rows are only ever added: this is the audit trail."""

    __tablename__ = "order_decision"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("sales_order.id"), index=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"))
    decided_at_ms: Mapped[int]
    from_status: Mapped[str]
    to_status: Mapped[str]
    reason: Mapped[str]
