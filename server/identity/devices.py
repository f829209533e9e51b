"""Devices: made once from a code, refused for ever once they are revoked."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.identity.credentials import DEVICE_PREFIX, token_digest
from server.identity.errors import DeviceAlreadyRevokedError, DeviceNotFoundError
from server.identity.models import DeviceModel, NumberPrefixModel, UserModel
from server.runtime.clock import IdSource
from server.runtime.commits import announce
from server.runtime.database import ReadSession, WriteSession
from sync_protocol.values import normal_text

INCARNATION_FORGOTTEN: Final = b""
NUMBER_PREFIXES_SKIPPED: Final = 1_000


class RevocationReason(StrEnum):
    """Why a device is revoked. It is refused from its next request on.

    One that is lost is told to erase itself. What one of a user who left still sends is kept for a manager to decide.
    """

    LOST = "lost"
    LEFT = "left"
    REPLACED = "replaced"


class NewDevice(msgspec.Struct, frozen=True):
    """A device that was just made; the token is given this once."""

    device: DeviceModel
    token: str


async def next_number_prefix(session: WriteSession) -> str:
    """The next prefix of document numbers, `R1`, `R2`, …: never given twice."""
    counted = sa.update(NumberPrefixModel).values(last=NumberPrefixModel.last + 1).returning(NumberPrefixModel.last)
    return f"R{(await session.execute(counted)).scalar_one()}"


async def forget_after_restore(session: WriteSession) -> None:
    """After a restore from a backup: what devices and prefixes came to be since is not known here any more.

    Every device is taken for the only one of its kind at its next push, and the prefixes that may have been given since
    are passed over, so that no two devices number alike.
    """
    await session.execute(
        sa.update(DeviceModel).values(incarnation=INCARNATION_FORGOTTEN, previous_incarnation=INCARNATION_FORGOTTEN)
    )
    await session.execute(sa.update(NumberPrefixModel).values(last=NumberPrefixModel.last + NUMBER_PREFIXES_SKIPPED))


async def create_device(
    session: WriteSession,
    user: UserModel,
    name: str,
    prefix: str,
    *,
    ids: IdSource,
    now_ms: int,
    forked_from_id: UUID | None = None,
) -> NewDevice:
    """Make a device of this user that numbers its documents with `prefix`."""
    token, incarnation = DEVICE_PREFIX + ids.secret(), ids.token()
    device = DeviceModel(
        id=ids.new(),
        user_id=user.id,
        name=normal_text(name),
        token_digest=token_digest(token),
        incarnation=incarnation,
        previous_incarnation=incarnation,
        number_prefix=prefix,
        enrolled_at_ms=now_ms,
        last_seen_ms=None,
        last_cursor=None,
        revoked_at_ms=None,
        revoked_reason=None,
        forked_from_id=forked_from_id,
        wipe_key=ids.token(),
        wiped_at_ms=None,
    )
    session.add(device)
    await session.flush()
    return NewDevice(device, token)


async def list_devices(
    session: ReadSession, *, user_id: UUID | None = None, after_id: UUID | None = None, limit: int = 200
) -> Sequence[tuple[DeviceModel, UserModel]]:
    """Devices with their users in the order of enrolment (a UUIDv7 grows with time), from after `after_id`."""
    chosen = sa.select(DeviceModel, UserModel).join(UserModel, UserModel.id == DeviceModel.user_id)
    if user_id is not None:
        chosen = chosen.where(DeviceModel.user_id == user_id)
    if after_id is not None:
        chosen = chosen.where(DeviceModel.id > after_id)
    found = await session.execute(chosen.order_by(DeviceModel.id).limit(limit))
    return [(row.DeviceModel, row.UserModel) for row in found]


async def revoke_device(session: WriteSession, device_id: UUID, reason: RevocationReason, now_ms: int) -> DeviceModel:
    """Refuse a device, and all that were forked from it, from their next request on.

    Raises DeviceNotFoundError, DeviceAlreadyRevokedError.
    """
    device = await session.get(DeviceModel, device_id, with_for_update=True)
    if device is None:
        raise DeviceNotFoundError(device_id)
    if device.revoked_at_ms is not None:
        raise DeviceAlreadyRevokedError(device_id, device.revoked_reason or "revoked", device.revoked_at_ms)
    device.revoked_at_ms = now_ms
    device.revoked_reason = str(reason)
    await _revoke_forks(session, device_id, reason, now_ms)
    await announce(session)
    return device


async def _revoke_forks(session: WriteSession, device_id: UUID, reason: RevocationReason, now_ms: int) -> None:
    """Again until none is left: one that is locked because it forks at this moment has another by the time it is ours."""
    family = sa.select(DeviceModel.id).where(DeviceModel.id == device_id).cte("family", recursive=True)
    family = family.union(sa.select(DeviceModel.id).where(DeviceModel.forked_from_id == family.c.id))
    theirs = sa.update(DeviceModel).where(DeviceModel.id.in_(sa.select(family.c.id)), DeviceModel.revoked_at_ms.is_(None))
    revoked = theirs.values(revoked_at_ms=now_ms, revoked_reason=str(reason)).returning(DeviceModel.id)
    while (await session.execute(revoked)).all():
        pass


async def revoke_devices_of(session: WriteSession, user_id: UUID, now_ms: int) -> None:
    """Revoke every device of a user who left."""
    theirs = sa.update(DeviceModel).where(DeviceModel.user_id == user_id, DeviceModel.revoked_at_ms.is_(None))
    await session.execute(theirs.values(revoked_at_ms=now_ms, revoked_reason=str(RevocationReason.LEFT)))
    await announce(session)
