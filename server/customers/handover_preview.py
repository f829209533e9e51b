"""What a handover would do, counted on the tables as they are: whom it moves, which orders, and on which devices."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.customers.handover import HandoverKind, Move
from server.customers.models import CustomerModel, RepModel, RepTerritoryModel
from server.identity.models import DeviceModel, UserModel
from server.identity.reports import DeviceReportModel
from server.runtime.database import ReadSession
from server.runtime.rows import table_of
from sync_protocol.entities.orders import Order, OrderStatus

OPEN: Final = (OrderStatus.SUBMITTED, OrderStatus.CONFIRMED)
"""Accepted and not yet completed. A held order is counted apart."""


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """So many orders, and their totals in minor units, one for each currency."""

    orders: int
    total_minor: dict[str, int]


class DeviceConcerned(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a rep who loses or gains customers, with what it said when it reported last."""

    device: DeviceModel
    user_login: str
    rep_code: str
    loses: int
    gains: int
    report: DeviceReportModel | None


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The effect of a move as of now. What waits on devices is known as of their last report only."""

    kind: HandoverKind
    customers: int
    open_orders: Worth
    held_orders: Worth
    devices: Sequence[DeviceConcerned]

    @property
    def pending(self) -> Worth:
        """Open and held orders together: what the customers still expect."""
        both = (self.open_orders.total_minor, self.held_orders.total_minor)
        currencies = sorted({currency for worth in both for currency in worth})
        total_minor = {currency: sum(worth.get(currency, 0) for worth in both) for currency in currencies}
        return Worth(orders=self.open_orders.orders + self.held_orders.orders, total_minor=total_minor)

    @property
    def losing(self) -> list[DeviceConcerned]:
        """The devices that must purge something."""
        return [each for each in self.devices if each.loses]


async def preview(session: ReadSession, move: Move) -> Preview:
    """Count what the move would do."""
    chosen = move.chosen()
    counted = sa.select(sa.func.count()).select_from(CustomerModel).where(chosen)
    return Preview(
        kind=move.kind,
        customers=(await session.execute(counted)).scalar_one(),
        open_orders=await _worth(session, chosen, OPEN),
        held_orders=await _worth(session, chosen, (OrderStatus.HELD,)),
        devices=await _devices(session, await _lost(session, move), await _gained(session, move)),
    )


async def _worth(session: ReadSession, chosen: sa.ColumnElement[bool], statuses: Sequence[OrderStatus]) -> Worth:
    order = table_of(Order).c
    sums = sa.select(order.currency, sa.func.count().label("orders"), sa.func.sum(order.total_minor).label("total_minor"))
    theirs = sums.where(order.customer_id.in_(sa.select(CustomerModel.id).where(chosen)), order.status.in_(statuses))
    found = (await session.execute(theirs.group_by(order.currency).order_by(order.currency))).all()
    return Worth(orders=sum(row.orders for row in found), total_minor={str(row.currency): int(row.total_minor) for row in found})


async def _lost(session: ReadSession, move: Move) -> dict[UUID, int]:
    """How many customers each rep loses."""
    losses = move.losses().subquery()
    counted = sa.select(losses.c.rep_id, sa.func.count().label("customers")).group_by(losses.c.rep_id)
    return {row.rep_id: row.customers for row in await session.execute(counted)}


async def _gained(session: ReadSession, move: Move) -> dict[UUID, int]:
    """How many customers each rep gets that it does not serve now."""
    works = sa.select(RepTerritoryModel.rep_id, RepTerritoryModel.territory_id).subquery()
    receivers = sa.select(RepTerritoryModel.rep_id).where(RepTerritoryModel.territory_id == move.to_territory_id)
    if move.kind is HandoverKind.REP:
        receivers = sa.select(RepModel.id).where(RepModel.id == move.to_rep_id)
    served = sa.exists().where(works.c.rep_id == RepModel.id, works.c.territory_id == CustomerModel.territory_id)
    counted = (
        sa.select(RepModel.id, sa.func.count().label("customers"))
        .join(CustomerModel, move.chosen())
        .where(RepModel.id.in_(receivers), ~served)
        .group_by(RepModel.id)
    )
    return {row.id: row.customers for row in await session.execute(counted)}


async def _devices(session: ReadSession, lost: dict[UUID, int], gained: dict[UUID, int]) -> list[DeviceConcerned]:
    """Every device in use of these reps, those that lose first."""
    query = (
        sa.select(DeviceModel, UserModel.login, RepModel.id, RepModel.code, DeviceReportModel)
        .join(UserModel, UserModel.id == DeviceModel.user_id)
        .join(RepModel, RepModel.id == UserModel.rep_id)
        .outerjoin(DeviceReportModel, DeviceReportModel.device_id == DeviceModel.id)
        .where(RepModel.id.in_([*lost, *gained]), DeviceModel.revoked_at_ms.is_(None))
        .order_by(RepModel.code, DeviceModel.id)
    )
    found = [
        DeviceConcerned(
            device=row.DeviceModel,
            user_login=row.login,
            rep_code=row.code,
            loses=lost.get(row.id, 0),
            gains=gained.get(row.id, 0),
            report=row.DeviceReportModel,
        )
        for row in await session.execute(query)
    ]
    return sorted(found, key=lambda each: each.loses == 0)
