"""Tables of what things cost."""

from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class PriceListModel(Base):
    __tablename__ = "price_list"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    currency: Mapped[str]


class PriceEntryModel(Base):
    __tablename__ = "price_entry"
    __table_args__ = (UniqueConstraint("product_id", "price_list_id", "min_quantity"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    price_list_id: Mapped[UUID] = mapped_column(ForeignKey("price_list.id"), index=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("product.id"))
    min_quantity: Mapped[int]
    unit_price: Mapped[int]
