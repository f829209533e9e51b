"""Tables of negotiations. References to slices above are by the table's name."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class NegotiatedQuoteModel(Base):
    __tablename__ = "negotiated_quote"
    __table_args__ = (
        Index("ix_negotiated_quote_recent", "requested_at_ms", "id"),
        Index("ix_negotiated_quote_status_recent", "status", "requested_at_ms", "id"),
        Index("ix_negotiated_quote_customer_recent", "customer_id", "requested_at_ms", "id"),
        Index("ix_negotiated_quote_status_valid", "status", "valid_until_ms"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"))
    status: Mapped[str]
    channel: Mapped[str]
    currency: Mapped[str]
    requested_at_ms: Mapped[int]
    time_zone: Mapped[str]
    revision: Mapped[int]
    rep_id: Mapped[UUID | None] = mapped_column(ForeignKey("rep.id"))
    address_id: Mapped[UUID | None] = mapped_column(ForeignKey("address.id"))
    note: Mapped[str]
    answer: Mapped[str]
    valid_until_ms: Mapped[int | None]
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("sales_order.id"), index=True)


class NegotiatedQuoteLineModel(Base):
    __tablename__ = "negotiated_quote_line"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    quote_id: Mapped[UUID] = mapped_column(ForeignKey("negotiated_quote.id"), index=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"))
    line_number: Mapped[int]
    product_id: Mapped[UUID] = mapped_column(ForeignKey("product.id"))
    quantity: Mapped[int]
    per_quantity: Mapped[int]
    list_unit_price: Mapped[int | None]
    wanted_unit_price: Mapped[int | None]
    offered_unit_price: Mapped[int | None]


class NegotiatedQuoteRoundModel(Base):
    """A step of a negotiation. Rows are only ever added: this is the audit trail."""

    __tablename__ = "negotiated_quote_round"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    quote_id: Mapped[UUID] = mapped_column(ForeignKey("negotiated_quote.id"), index=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"))
    revision: Mapped[int]
    status: Mapped[str]
    taken_at_ms: Mapped[int]
    taken_by: Mapped[str]
    said: Mapped[str]
    amount_minor: Mapped[int | None]
