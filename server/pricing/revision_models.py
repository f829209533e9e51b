"""Tables of changes of price lists that are prepared, published at an instant, and recorded. They never travel."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class PriceRevisionModel(Base):
    """A change of one list. `effective_at_ms` is there while it is published."""

    __tablename__ = "price_revision"
    __table_args__ = (Index("ix_price_revision_list", "price_list_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    price_list_id: Mapped[UUID] = mapped_column(ForeignKey("price_list.id"))
    state: Mapped[str]
    note: Mapped[str]
    created_by_id: Mapped[UUID]
    created_at_ms: Mapped[int]
    effective_at_ms: Mapped[int | None]
    published_at_ms: Mapped[int | None]


class PriceRevisionEntryModel(Base):
    """What a revision does to one break of one product: another price, or with no `unit_price` its end.

    `entry_id` is the id of the row that publication makes of it. What publication finds is noted beside it, so that it can be
    taken back: until when the new price holds, what is done (`outcome`), and the row in force until then, its price and its end.
    """

    __tablename__ = "price_revision_entry"

    revision_id: Mapped[UUID] = mapped_column(ForeignKey("price_revision.id"), primary_key=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("product.id"), primary_key=True)
    min_quantity: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    per_quantity: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    unit_price: Mapped[int | None]
    entry_id: Mapped[UUID]
    until_ms: Mapped[int | None]
    outcome: Mapped[str | None]
    former_id: Mapped[UUID | None]
    former_unit_price: Mapped[int | None]
    former_until_ms: Mapped[int | None]


class PriceRevisionEventModel(Base):
    """Who did what with a revision, when and why, from number 1 on. Rows are only ever added: this is the audit trail."""

    __tablename__ = "price_revision_event"

    revision_id: Mapped[UUID] = mapped_column(ForeignKey("price_revision.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    act: Mapped[str]
    user_id: Mapped[UUID]
    at_ms: Mapped[int]
    note: Mapped[str]
    effective_at_ms: Mapped[int | None]
    entries: Mapped[int | None]
