"""How far a handover has come: which devices must purge what, whose receipt is here, and who has not been seen since."""

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.changelog.log import Head, read_head
from server.customers.errors import HandoverEndedError, HandoverNotFoundError
from server.customers.handover import HandoverState
from server.customers.handover_shared import shared_losses
from server.customers.models import (
    CustomerModel,
    HandoverCustomerModel,
    HandoverLossModel,
    HandoverModel,
    RepModel,
    RepTerritoryModel,
)
from server.identity.models import DeviceModel, UserModel
from server.identity.reports import DeviceReportModel, PurgeReceiptModel
from server.runtime.database import ReadSession, WriteSession
from sync_protocol.values import normal_text


class PurgeState(StrEnum):
    """What is known of one account on one device.

    `purged`: its receipt is here. `clear`: it reported from a checkpoint after the handover and holds nothing of it.
    `returned`: its rep serves the customer again, so it may hold it. `waiting`: nothing is known yet.
    """

    PURGED = "purged"
    CLEAR = "clear"
    RETURNED = "returned"
    WAITING = "waiting"


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """One account on one device."""

    customer_id: UUID
    customer_code: str
    state: PurgeState
    receipt: PurgeReceiptModel | None


class SharedAcknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """A price list or the stock of a location on one device."""

    bucket: str
    state: PurgeState
    receipt: PurgeReceiptModel | None


class DeviceProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a rep who lost customers. `seen_since` says whether it has been here after the handover."""

    device: DeviceModel
    user_login: str
    rep_code: str
    report: DeviceReportModel | None
    seen_since: bool
    accounts: Sequence[Acknowledged]
    shared: Sequence[SharedAcknowledged] = ()

    def count(self, state: PurgeState) -> int:
        return sum(each.state is state for each in self.accounts)


class HandoverProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A handover with the number of its customers and, once it is done, the devices that must purge."""

    handover: HandoverModel
    customers: int
    devices: Sequence[DeviceProgress] = ()


async def list_handovers(
    session: ReadSession, *, state: HandoverState | None = None, before_id: UUID | None = None, limit: int = 200
) -> list[HandoverProgress]:
    """Handovers, the latest planned first, from before `before_id`; without their devices."""
    chosen = sa.select(HandoverModel).order_by(HandoverModel.id.desc()).limit(limit)
    if state is not None:
        chosen = chosen.where(HandoverModel.state == state)
    if before_id is not None:
        chosen = chosen.where(HandoverModel.id < before_id)
    found = (await session.execute(chosen)).scalars().all()
    counted = sa.select(HandoverCustomerModel.handover_id, sa.func.count().label("customers"))
    theirs = counted.where(HandoverCustomerModel.handover_id.in_([each.id for each in found]))
    listed = {row.handover_id: row.customers for row in await session.execute(theirs.group_by(HandoverCustomerModel.handover_id))}
    return [HandoverProgress(handover=each, customers=listed.get(each.id) or await _today(session, each)) for each in found]


async def _today(session: ReadSession, handover: HandoverModel) -> int:
    """How many customers a territory has that is still to be handed over."""
    if handover.state != HandoverState.PLANNED or handover.territory_id is None:
        return 0
    counted = sa.select(sa.func.count()).select_from(CustomerModel).where(CustomerModel.territory_id == handover.territory_id)
    return (await session.execute(counted)).scalar_one()


async def open_handover(session: ReadSession, handover_id: UUID) -> HandoverProgress:
    """A handover with its acknowledgements. Raises HandoverNotFoundError."""
    handover = await session.get(HandoverModel, handover_id)
    if handover is None:
        raise HandoverNotFoundError(handover_id)
    counted = sa.select(sa.func.count()).where(HandoverCustomerModel.handover_id == handover_id)
    customers = (await session.execute(counted)).scalar_one() or await _today(session, handover)
    if handover.commit_seq is None or handover.ended_at_ms is None:
        return HandoverProgress(handover=handover, customers=customers)
    losses, shared = await _losses(session, handover_id), await shared_losses(session, handover)
    devices = await _devices(session, handover, losses, shared, await read_head(session))
    return HandoverProgress(handover=handover, customers=customers, devices=devices)


class _Loss(msgspec.Struct, frozen=True):
    customer_id: UUID
    code: str
    is_back: bool


async def _losses(session: ReadSession, handover_id: UUID) -> dict[UUID, list[_Loss]]:
    """What each rep lost, and whether it serves the customer again now."""
    serves = sa.exists().where(
        RepTerritoryModel.rep_id == HandoverLossModel.rep_id, RepTerritoryModel.territory_id == CustomerModel.territory_id
    )
    query = (
        sa.select(HandoverLossModel.rep_id, HandoverLossModel.customer_id, CustomerModel.code, serves.label("is_back"))
        .outerjoin(CustomerModel, CustomerModel.id == HandoverLossModel.customer_id)
        .where(HandoverLossModel.handover_id == handover_id)
        .order_by(CustomerModel.code, HandoverLossModel.customer_id)
    )
    losses: defaultdict[UUID, list[_Loss]] = defaultdict(list)
    for row in await session.execute(query):
        losses[row.rep_id].append(_Loss(row.customer_id, row.code or "", bool(row.is_back)))
    return losses


async def _devices(
    session: ReadSession, handover: HandoverModel, losses: dict[UUID, list[_Loss]], shared: dict[UUID, list[str]], head: Head
) -> list[DeviceProgress]:
    """The devices that could hold what was lost: those that were there, and copies of them that became devices since."""
    done_at_ms = handover.ended_at_ms or 0
    was_there = sa.or_(DeviceModel.enrolled_at_ms <= done_at_ms, DeviceModel.forked_from_id.is_not(None))
    query = (
        sa.select(DeviceModel, UserModel.login, RepModel.id, RepModel.code, DeviceReportModel)
        .join(UserModel, UserModel.id == DeviceModel.user_id)
        .join(RepModel, RepModel.id == UserModel.rep_id)
        .outerjoin(DeviceReportModel, DeviceReportModel.device_id == DeviceModel.id)
        .where(RepModel.id.in_(list(losses)), was_there)
        .where(sa.or_(DeviceModel.revoked_at_ms.is_(None), DeviceModel.revoked_at_ms > done_at_ms))
        .order_by(RepModel.code, DeviceModel.id)
    )
    progress = []
    for row in (await session.execute(query)).all():
        receipts = await _receipts(session, row.DeviceModel.id, handover.commit_seq or 0)
        report = row.DeviceReportModel
        is_past = report is not None and report.is_whole and report.epoch == head.epoch and report.cursor >= handover.commit_seq
        accounts = [_acknowledged(loss, receipts.get(f"account:{loss.customer_id.hex}"), is_past) for loss in losses[row.id]]
        seen_ms = row.DeviceModel.last_seen_ms
        progress.append(
            DeviceProgress(
                device=row.DeviceModel,
                user_login=row.login,
                rep_code=row.code,
                report=report,
                seen_since=seen_ms is not None and seen_ms > done_at_ms,
                accounts=accounts,
                shared=[_shared(bucket, receipts.get(bucket), is_past) for bucket in shared.get(row.id, ())],
            )
        )
    return progress


async def _receipts(session: ReadSession, device_id: UUID, commit_seq: int) -> dict[str, PurgeReceiptModel]:
    """The first receipt for each bucket since a place in the log."""
    query = sa.select(PurgeReceiptModel).where(
        PurgeReceiptModel.device_id == device_id,
        PurgeReceiptModel.purged_at_cursor >= commit_seq,
    )
    newest_first = query.order_by(PurgeReceiptModel.purged_at_cursor.desc(), PurgeReceiptModel.id.desc())
    return {each.bucket: each for each in (await session.execute(newest_first)).scalars()}


def _acknowledged(loss: _Loss, receipt: PurgeReceiptModel | None, is_past: bool) -> Acknowledged:
    if receipt is not None:
        state = PurgeState.PURGED
    elif loss.is_back:
        state = PurgeState.RETURNED
    else:
        state = PurgeState.CLEAR if is_past else PurgeState.WAITING
    return Acknowledged(customer_id=loss.customer_id, customer_code=loss.code, state=state, receipt=receipt)


def _shared(bucket: str, receipt: PurgeReceiptModel | None, is_past: bool) -> SharedAcknowledged:
    state = PurgeState.PURGED if receipt is not None else PurgeState.CLEAR if is_past else PurgeState.WAITING
    return SharedAcknowledged(bucket=bucket, state=state, receipt=receipt)


async def cancel(session: WriteSession, handover_id: UUID, *, user_id: UUID, reason: str, now_ms: int) -> None:
    """Cancel a handover that is still to come. Raises HandoverNotFoundError, HandoverEndedError."""
    cancelled = (
        sa.update(HandoverModel)
        .where(HandoverModel.id == handover_id, HandoverModel.state == HandoverState.PLANNED)
        .values(state=HandoverState.CANCELLED, ended_at_ms=now_ms, ended_by_id=user_id, reason=normal_text(reason))
        .returning(HandoverModel.id)
    )
    if (await session.execute(cancelled)).scalar_one_or_none() is not None:
        return
    handover = await session.get(HandoverModel, handover_id, populate_existing=True)
    if handover is None:
        raise HandoverNotFoundError(handover_id)
    raise HandoverEndedError(handover_id, handover.state, handover.ended_at_ms or now_ms)
