"""Tables of who buys and who sells. References to slices above are by the table's name."""

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from server.runtime.database import Base


class TerritoryModel(Base):
    __tablename__ = "territory"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    time_zone: Mapped[str]
    price_list_id: Mapped[UUID | None] = mapped_column(ForeignKey("price_list.id"))
    stock_location_id: Mapped[UUID | None] = mapped_column(ForeignKey("stock_location.id"))


class RepModel(Base):
    __tablename__ = "rep"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]


class RepTerritoryModel(Base):
    """Which territories a rep works. It never travels: what follows from it is the rep's scope."""

    __tablename__ = "rep_territory"

    rep_id: Mapped[UUID] = mapped_column(ForeignKey("rep.id"), primary_key=True)
    territory_id: Mapped[UUID] = mapped_column(ForeignKey("territory.id"), primary_key=True, index=True)


class CustomerModel(Base):
    __tablename__ = "customer"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    status: Mapped[str]
    territory_id: Mapped[UUID | None] = mapped_column(ForeignKey("territory.id"), index=True)
    price_list_id: Mapped[UUID | None] = mapped_column(ForeignKey("price_list.id"))
    review_above_minor: Mapped[int | None]
    note: Mapped[str]


class AddressModel(Base):
    __tablename__ = "address"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    label: Mapped[str]
    street: Mapped[str]
    postal_code: Mapped[str]
    city: Mapped[str]
    country: Mapped[str]
    region: Mapped[str]


class ContactModel(Base):
    __tablename__ = "contact"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    name: Mapped[str]
    role: Mapped[str]
    email: Mapped[str]
    phone: Mapped[str]
