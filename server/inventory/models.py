"""Tables of what is there."""

from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class StockLocationModel(Base):
    __tablename__ = "stock_location"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]


class StockLevelModel(Base):
    __tablename__ = "stock_level"
    __table_args__ = (UniqueConstraint("product_id", "stock_location_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("product.id"))
    stock_location_id: Mapped[UUID] = mapped_column(ForeignKey("stock_location.id"), index=True)
    on_hand: Mapped[int]
    allocated: Mapped[int]
    as_of_ms: Mapped[int]
