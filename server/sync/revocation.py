"""What a revoked device may still say: what it holds, if its user left, and that it erased itself, if it was lost."""

from typing import Final
from uuid import UUID

import sqlalchemy as sa

from server.changelog.log import read_head
from server.identity.devices import RevocationReason
from server.identity.errors import DeviceUnknownError
from server.identity.models import DeviceModel, UserModel
from server.identity.service import device_of_token, revoked
from server.runtime.database import WriteSession
from server.sync.errors import DeviceMismatchError
from sync_protocol.wire.codec import digest
from sync_protocol.wire.messages import DeviceReport, ReportReply

WIPED: Final = "wiped"
"""The code of the problem by which a device says that it has erased itself."""


def wipe_lock_of(device: DeviceModel) -> bytes | None:
    """What the device keeps, to know the key by that has it erase itself: whoever saw this cannot make the key of it."""
    return digest(device.wipe_key) if device.wipe_key is not None else None


async def revoked_device(session: WriteSession, token: str, device_id: UUID) -> tuple[DeviceModel, UserModel]:
    """The revoked device that holds this token, which must be the one that is named. Raises a ProblemError otherwise."""
    found = await device_of_token(session, token)
    if found is None:
        raise DeviceUnknownError
    device, user = found
    if device.id != device_id:
        raise DeviceMismatchError(device_id)
    return device, user


async def take_confirmation(session: WriteSession, token: str, report: DeviceReport, now_ms: int) -> ReportReply:
    """Note that a lost device has erased itself: all that its token is good for. Raises DeviceRevokedError for anything else."""
    device, _ = await revoked_device(session, token, report.device_id)
    is_confirmation = report.problem is not None and report.problem.code == WIPED
    if device.revoked_reason != RevocationReason.LOST or not is_confirmation:
        raise revoked(device)
    first = sa.update(DeviceModel).where(DeviceModel.id == device.id, DeviceModel.wiped_at_ms.is_(None))
    await session.execute(first.values(wiped_at_ms=now_ms))
    return ReportReply(audience=device.id, epoch=(await read_head(session)).epoch)
