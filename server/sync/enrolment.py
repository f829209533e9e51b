"""How a device comes to be: from a single-use code, or as the new self of one that was restored or copied."""

from uuid import UUID

from server.identity.devices import create_device, next_number_prefix
from server.identity.models import UserModel
from server.identity.service import take_enrolment_code
from server.orders.models import NumberSeriesModel
from server.runtime.clock import IdSource
from server.runtime.database import WriteSession
from server.sync.devices import asker_of
from server.sync.errors import NotForkedError, NothingToHoldError
from server.sync.revocation import wipe_lock_of
from sync_protocol.wire.messages import Enrolment, EnrolRequest, ForkRequest


async def enrol(session: WriteSession, request: EnrolRequest, ids: IdSource, now_ms: int) -> Enrolment:
    """Take the code and make a device of its user. Raises EnrolmentCodeInvalidError."""
    user = await take_enrolment_code(session, request.code, now_ms)
    return await _make_device(session, user, request.device_name, ids=ids, now_ms=now_ms)


async def fork(session: WriteSession, token: str, request: ForkRequest, ids: IdSource, now_ms: int) -> Enrolment:
    """Make a new device for the holder of a copied identity. Whoever pushed last keeps the old one. Raises NotForkedError."""
    asker = await asker_of(session, token, request.device_id, now_ms, lock=True)
    if request.incarnation == asker.incarnation:
        raise NotForkedError(asker.device_id)
    user = await session.get_one(UserModel, asker.principal.user_id)
    return await _make_device(session, user, request.device_name, ids=ids, now_ms=now_ms, forked_from_id=asker.device_id)


async def _make_device(
    session: WriteSession, user: UserModel, name: str, *, ids: IdSource, now_ms: int, forked_from_id: UUID | None = None
) -> Enrolment:
    if user.rep_id is None and user.customer_id is None:
        raise NothingToHoldError(user.role)
    prefix = await next_number_prefix(session)
    made = await create_device(session, user, name, prefix, ids=ids, now_ms=now_ms, forked_from_id=forked_from_id)
    series = NumberSeriesModel(id=ids.new(), holder_id=user.rep_id or user.id, device_id=made.device.id, prefix=prefix)
    session.add(series)
    await session.flush()
    return Enrolment(
        device_id=made.device.id,
        token=made.token,
        incarnation=made.device.incarnation,
        user_id=user.id,
        user_name=user.name,
        role=user.role,
        number_prefix=prefix,
        rep_id=user.rep_id,
        customer_id=user.customer_id,
        wipe_lock=wipe_lock_of(made.device),
    )
