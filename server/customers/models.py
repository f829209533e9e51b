"""Tables of who buys and who sells. References to slices above are by the table's name."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index
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
    tax_code: Mapped[str] = mapped_column(server_default="standard")


class SegmentModel(Base):
    __tablename__ = "segment"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]


class SegmentMemberModel(Base):
    __tablename__ = "segment_member"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    segment_id: Mapped[UUID] = mapped_column(ForeignKey("segment.id"), index=True)
    valid_from_ms: Mapped[int] = mapped_column(server_default="0")
    valid_until_ms: Mapped[int | None]


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


class HandoverModel(Base):
    """Customers that go to another territory, or a territory to another rep, now or at a later instant.

    `commit_seq` is the place in the log at which it was done; `ended_at_ms` is when it was done or cancelled.
    """

    __tablename__ = "handover"
    __table_args__ = (Index("ix_handover_state", "state", "effective_at_ms"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    territory_id: Mapped[UUID | None] = mapped_column(ForeignKey("territory.id"))
    to_territory_id: Mapped[UUID | None] = mapped_column(ForeignKey("territory.id"))
    from_rep_id: Mapped[UUID | None] = mapped_column(ForeignKey("rep.id"))
    to_rep_id: Mapped[UUID | None] = mapped_column(ForeignKey("rep.id"))
    late_orders: Mapped[str]
    note: Mapped[str]
    effective_at_ms: Mapped[int]
    state: Mapped[str]
    created_by_id: Mapped[UUID]
    created_at_ms: Mapped[int]
    ended_by_id: Mapped[UUID | None]
    ended_at_ms: Mapped[int | None]
    commit_seq: Mapped[int | None]
    reason: Mapped[str]


class HandoverCustomerModel(Base):
    """A customer of a handover, and the territory that it was in when that was done."""

    __tablename__ = "handover_customer"

    handover_id: Mapped[UUID] = mapped_column(ForeignKey("handover.id"), primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)
    from_territory_id: Mapped[UUID | None]


class HandoverLossModel(Base):
    """A rep who lost a customer by a handover: its devices must purge the account."""

    __tablename__ = "handover_loss"
    __table_args__ = (Index("ix_handover_loss_rep_id", "rep_id", "customer_id"),)

    handover_id: Mapped[UUID] = mapped_column(ForeignKey("handover.id"), primary_key=True)
    rep_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
