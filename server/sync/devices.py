"""The device that asks: its token's, not revoked, and the only one of its kind."""

from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.identity.devices import INCARNATION_FORGOTTEN
from server.identity.models import DeviceModel
from server.identity.principals import Principal
from server.identity.service import principal_of_token, revoked
from server.runtime.database import ReadSession, WriteSession
from server.sync.errors import DeviceForkedError, DeviceMismatchError, NotADeviceError, NothingToHoldError, ProtocolNotServedError
from sync_protocol.wire.messages import PushRequest
from sync_protocol.wire.version import OLDEST_PROTOCOL_SERVED, PROTOCOL_VERSION


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """A device with its user."""

    principal: Principal
    device_id: UUID
    number_prefix: str
    incarnation: bytes
    previous_incarnation: bytes
    proof_id: UUID | None = None

    @property
    def holder_id(self) -> UUID:
        """Whose number series it uses: the rep's, or the user's who is none."""
        return self.principal.rep_id or self.principal.user_id


def require_served(version: int) -> None:
    """Refuse a protocol version that this server does not speak."""
    if not OLDEST_PROTOCOL_SERVED <= version <= PROTOCOL_VERSION:
        raise ProtocolNotServedError(version)


async def asker_of(session: ReadSession, token: str, device_id: UUID, now_ms: int, *, lock: bool = False) -> Asker:
    """Who asks with this token, which must be that of `device_id`. Raises a ProblemError that says what to do."""
    principal = await principal_of_token(session, token, now_ms)
    require_holder(principal, device_id)
    query = sa.select(DeviceModel).where(DeviceModel.id == device_id).execution_options(populate_existing=True)
    device = (await session.execute(query.with_for_update() if lock else query)).scalar_one()
    if device.revoked_at_ms is not None:  # while this waited for the lock
        raise revoked(device)
    return Asker(
        principal=principal,
        device_id=device.id,
        number_prefix=device.number_prefix,
        incarnation=device.incarnation,
        previous_incarnation=device.previous_incarnation,
        proof_id=device.proof_id,
    )


def require_holder(principal: Principal, device_id: UUID) -> None:
    """Refuse a session, another device, and a user for whom there is nothing to hold."""
    if principal.device_id is None:
        raise NotADeviceError
    if principal.device_id != device_id:
        raise DeviceMismatchError(device_id)
    if principal.rep_id is None and principal.customer_id is None:
        raise NothingToHoldError(principal.role)


def require_known(asker: Asker, incarnation: bytes) -> None:
    """Refuse a copy on a pull; one that missed the reply to its last push still shows the incarnation before."""
    if asker.incarnation != INCARNATION_FORGOTTEN and incarnation not in {asker.incarnation, asker.previous_incarnation}:
        raise DeviceForkedError(asker.device_id)


async def rotate_incarnation(session: WriteSession, asker: Asker, request: PushRequest, now_ms: int) -> None:
    """Move the device to its next incarnation, or refuse a copy (design rule 19).

    The same pair again is the same push again: its reply was lost.
    """
    again = request.next_incarnation == asker.incarnation and request.incarnation == asker.previous_incarnation
    if not again and asker.incarnation not in {INCARNATION_FORGOTTEN, request.incarnation}:
        raise DeviceForkedError(asker.device_id)
    values = {"last_seen_ms": now_ms}
    rotated = {} if again else {"incarnation": request.next_incarnation, "previous_incarnation": request.incarnation}
    await session.execute(sa.update(DeviceModel).where(DeviceModel.id == asker.device_id).values(**values, **rotated))


async def note_seen(session: WriteSession, device_id: UUID, cursor: int, now_ms: int, *, at_least_ms: int) -> None:
    """Remember when a device was last here, and how far it had come, unless that was a moment ago."""
    is_old = sa.or_(DeviceModel.last_seen_ms.is_(None), DeviceModel.last_seen_ms <= now_ms - at_least_ms)
    seen = sa.update(DeviceModel).where(DeviceModel.id == device_id, is_old)
    await session.execute(seen.values(last_seen_ms=now_ms, last_cursor=cursor))
