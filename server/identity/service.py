"""Users, sessions and enrolment codes. Callers are authenticated anew at every request: nothing here is cached."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from server.identity.attempts import count_attempt, forgive_attempt, limits, refuse_for
from server.identity.credentials import (
    DEVICE_PREFIX,
    SESSION_PREFIX,
    code_digest,
    new_code,
    same_digest,
    token_digest,
    verify_password,
)
from server.identity.devices import RevocationReason, revoke_devices_of
from server.identity.errors import (
    CodeUnknownError,
    DeviceRevokedError,
    DeviceUnknownError,
    EnrolmentCodeInvalidError,
    LoginTakenError,
    NoDevicesForRoleError,
    SignInRefusedError,
    TokenInvalidError,
    UnfitUserError,
    UserNotFoundError,
)
from server.identity.models import DeviceModel, EnrolmentCodeModel, SessionModel, UserModel
from server.identity.names import check_names, normal_login
from server.identity.principals import DEVICE_HOLDERS, Principal, Role
from server.runtime.clock import IdSource
from server.runtime.database import Database, Identifier, ReadSession, WriteSession
from sync_protocol.values import normal_text

PASSWORD_CHARACTERS_MIN: Final = 8
PASSWORD_CHARACTERS_MAX: Final = 256
CODES_SHOWN: Final = 20
STANDS_FOR: Final = {Role.REP: "rep", Role.BUYER: "customer"}
"""The table of what a user of this role stands for; the others stand for nothing."""
_UNUSABLE: Final = "!"
_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was just opened; the token is shown this once."""

    token: str
    user: UserModel
    expires_at_ms: int


class IssuedCode(msgspec.Struct, frozen=True, kw_only=True):
    """An enrolment code that was just made; it is shown this once."""

    code: str
    user_id: UUID
    expires_at_ms: int


async def create_user(
    session: WriteSession,
    *,
    ids: IdSource,
    now_ms: int,
    login: str,
    name: str,
    role: Role,
    password_hash: str | None = None,
    rep_id: UUID | None = None,
    customer_id: UUID | None = None,
) -> UserModel:
    """Create a user. Without a password (see `credentials.hash_password`) it can only enrol devices.

    Raises UnfitUserError, LoginTakenError.
    """
    login, name = normal_login(login), normal_text(name)
    check_names(login, name)
    await _check_fit(session, role, rep_id, customer_id)
    user = UserModel(
        id=ids.new(),
        login=login,
        name=name,
        role=str(role),
        password_hash=password_hash or _UNUSABLE,
        active=True,
        rep_id=rep_id,
        customer_id=customer_id,
        created_at_ms=now_ms,
    )
    try:
        async with session.begin_nested():
            session.add(user)
    except IntegrityError as error:
        raise LoginTakenError(user.login) from error
    return user


async def _check_fit(session: ReadSession, role: Role, rep_id: UUID | None, customer_id: UUID | None) -> None:
    check_parts(role, rep_id=rep_id, customer_id=customer_id)
    for table, value in (("rep", rep_id), ("customer", customer_id)):
        if value is not None and not await _exists(session, table, value):
            raise UnfitUserError({f"{table}_id": f"names no {table}; give the id of one that exists"})


def check_parts(role: Role, *, rep_id: object | None, customer_id: object | None) -> None:
    """A rep's user names its rep, a buyer's its company, and no other names either. Raises UnfitUserError."""
    wanted = STANDS_FOR.get(role)
    wrong = {}
    for field, table, value in (("rep_id", "rep", rep_id), ("customer_id", "customer", customer_id)):
        if table == wanted and value is None:
            wrong[field] = f"is missing: the user of a {role} stands for a {table}; say which"
        elif table != wanted and value is not None:
            wrong[field] = f"does not go with the role {role}; leave it out"
    if wrong:
        raise UnfitUserError(wrong)


async def _exists(session: ReadSession, table: str, row_id: UUID) -> bool:
    """Whether a slice above has this row; known here by its table's name alone."""
    known = sa.table(table, sa.column("id", Identifier()))
    return (await session.execute(sa.select(sa.exists().where(known.c.id == row_id)))).scalar_one()


async def id_of_code(session: ReadSession, table: str, code: str, *, field: str) -> UUID:
    """The id behind a code of the table `rep` or `customer` of a slice above. Raises CodeUnknownError, which speaks of `field`."""
    known = sa.table(table, sa.column("id", Identifier()), sa.column("code", sa.Text()), sa.column("name", sa.Text()))
    wanted = normal_text(code)
    found = (await session.execute(sa.select(known.c.id).where(known.c.code == wanted))).scalar_one_or_none()
    if found is not None:
        return UUID(str(found))
    chosen = sa.select(known.c.code, known.c.name).order_by(known.c.code)
    shown = (await session.execute(chosen.limit(CODES_SHOWN + 1))).all()
    if len(shown) > CODES_SHOWN:
        near = chosen.where(known.c.code.istartswith(wanted[:2], autoescape=True)).limit(CODES_SHOWN)
        shown = (await session.execute(near)).all() or shown[:CODES_SHOWN]
    raise CodeUnknownError(field, table, wanted, [(row.code, row.name) for row in shown])


async def user_of_id(session: ReadSession, user_id: UUID) -> UserModel:
    """Raises UserNotFoundError."""
    user = await session.get(UserModel, user_id)
    if user is None:
        raise UserNotFoundError(user_id)
    return user


async def user_of_login(session: ReadSession, login: str) -> UserModel:
    """Raises UserNotFoundError."""
    user = await _find_login(session, login)
    if user is None:
        raise UserNotFoundError(login)
    return user


async def _find_login(session: ReadSession, login: str) -> UserModel | None:
    return (await session.execute(sa.select(UserModel).where(UserModel.login == normal_login(login)))).scalar_one_or_none()


async def list_users(session: ReadSession, *, after_login: str = "", limit: int = 200) -> Sequence[UserModel]:
    """Users by login, from after `after_login`."""
    chosen = sa.select(UserModel).where(UserModel.login > after_login).order_by(UserModel.login).limit(limit)
    return (await session.execute(chosen)).scalars().all()


async def set_password(session: WriteSession, user_id: UUID, password_hash: str) -> None:
    """Set another password and end all sessions. Devices stay: they have no password. Raises UserNotFoundError."""
    user = await user_of_id(session, user_id)
    user.password_hash = password_hash
    await _end_sessions(session, user_id)


async def deactivate_user(session: WriteSession, user_id: UUID, now_ms: int) -> UserModel:
    """End a user: sessions go, devices are revoked as «left», and both are refused from the next request on."""
    user = await user_of_id(session, user_id)
    user.active = False
    await _end_sessions(session, user_id)
    await revoke_devices_of(session, user_id, now_ms)
    return user


async def _end_sessions(session: WriteSession, user_id: UUID) -> None:
    await session.execute(sa.delete(SessionModel).where(SessionModel.user_id == user_id))


async def sign_in(
    database: Database, *, ids: IdSource, now_ms: int, login: str, password: str, address: str, session_hours: int
) -> SignedIn:
    """Check a password and open a session. Raises SignInRefusedError, TooManyAttemptsError."""
    checked = await _check_password(database, login=login, password=password, address=address, now_ms=now_ms)
    async with database.write() as session:
        user = await _recognise(session, checked, address)
        return await open_session(session, user, ids=ids, now_ms=now_ms, session_hours=session_hours)


async def change_password(
    database: Database, *, now_ms: int, login: str, current_password: str, password_hash: str, address: str
) -> None:
    """Set another password for who knows the current one; guessing it counts as at sign-in. Raises as `sign_in`."""
    checked = await _check_password(database, login=login, password=current_password, address=address, now_ms=now_ms)
    async with database.write() as session:
        user = await _recognise(session, checked, address)
        await set_password(session, user.id, password_hash)


async def _check_password(database: Database, *, login: str, password: str, address: str, now_ms: int) -> UserModel:
    """The user whose password this is; the attempt is counted until `_recognise`.

    No transaction is open while the password is checked: it takes a fifth of a second on purpose, and no writer waits.
    """
    async with database.write() as session:
        wait = await count_attempt(session, _counters(login, address), now_ms)
        user = await _find_login(session, login)
    refuse_for(wait)
    fits = await verify_password(user.password_hash if user else None, password)
    if user is None or not fits or not user.active:
        raise SignInRefusedError
    return user


async def _recognise(session: WriteSession, checked: UserModel, address: str) -> UserModel:
    """The user, locked, unless deactivated or given another password since the check; gives the attempt back."""
    user = await session.get_one(UserModel, checked.id, with_for_update=True)
    if not user.active or user.password_hash != checked.password_hash:
        raise SignInRefusedError
    await forgive_attempt(session, _counters(user.login, address))
    return user


def _counters(login: str, address: str) -> dict[str, int]:
    return limits(f"login|{normal_login(login)}", address)


async def open_session(session: WriteSession, user: UserModel, *, ids: IdSource, now_ms: int, session_hours: int) -> SignedIn:
    """Open a session for a user who was recognised, and sweep out those that have ended."""
    await session.execute(sa.delete(SessionModel).where(SessionModel.expires_at_ms <= now_ms))
    token = SESSION_PREFIX + ids.secret()
    ends = now_ms + session_hours * _HOUR_MS
    session.add(SessionModel(token_digest=token_digest(token), user_id=user.id, created_at_ms=now_ms, expires_at_ms=ends))
    return SignedIn(token=token, user=user, expires_at_ms=ends)


async def sign_out(session: WriteSession, token: str) -> None:
    """End the session of this token, if there is one."""
    await session.execute(sa.delete(SessionModel).where(SessionModel.token_digest == token_digest(token)))


async def principal_of_token(session: ReadSession, token: str, now_ms: int, *, revoked_too: bool = False) -> Principal:
    """Who holds this token, of a session or of a device. Raises TokenInvalidError, DeviceRevokedError.

    With `revoked_too` the caller decides what a revoked device may still do.
    """
    if token.startswith(DEVICE_PREFIX):
        return await _principal_of_device(session, token, revoked_too=revoked_too)
    digest = token_digest(token)
    held = sa.select(SessionModel, UserModel).join(UserModel, UserModel.id == SessionModel.user_id)
    found = (await session.execute(held.where(SessionModel.token_digest == digest))).one_or_none()
    if found is None or not same_digest(found.SessionModel.token_digest, digest):
        raise TokenInvalidError
    if found.SessionModel.expires_at_ms <= now_ms or not found.UserModel.active:
        raise TokenInvalidError
    return principal_of(found.UserModel)


async def _principal_of_device(session: ReadSession, token: str, *, revoked_too: bool) -> Principal:
    found = await device_of_token(session, token)
    if found is None:
        raise DeviceUnknownError
    device, user = found
    if device.revoked_at_ms is not None and not revoked_too:
        raise revoked(device)
    if not user.active and device.revoked_at_ms is None:
        raise DeviceUnknownError
    return principal_of(user, device.id)


def revoked(device: DeviceModel) -> DeviceRevokedError:
    """How a revoked device is refused; one that was lost is given the key to erase itself with it."""
    return revoked_for(device.id, device.revoked_reason, device.wipe_key)


def revoked_for(device_id: UUID, reason: str | None, wipe_key: bytes | None) -> DeviceRevokedError:
    """The same of a device that was read past SQLAlchemy."""
    return DeviceRevokedError(device_id, reason or "revoked", wipe_key if reason == RevocationReason.LOST else None)


async def device_of_token(session: ReadSession, token: str) -> tuple[DeviceModel, UserModel] | None:
    """The device that holds this token, revoked or not, and its user, active or not."""
    digest = token_digest(token)
    held = sa.select(DeviceModel, UserModel).join(UserModel, UserModel.id == DeviceModel.user_id)
    found = (await session.execute(held.where(DeviceModel.token_digest == digest))).one_or_none()
    if found is None or not same_digest(found.DeviceModel.token_digest, digest):
        return None
    return found.DeviceModel, found.UserModel


def principal_of(user: UserModel, device_id: UUID | None = None) -> Principal:
    return Principal(
        user_id=user.id,
        login=user.login,
        name=user.name,
        role=Role(user.role),
        rep_id=user.rep_id,
        customer_id=user.customer_id,
        device_id=device_id,
    )


async def create_enrolment_code(
    session: WriteSession, *, user_id: UUID, created_by_id: UUID, now_ms: int, valid_minutes: int
) -> IssuedCode:
    """A code that turns into one device of this user, once, until it expires. Raises UserNotFoundError, NoDevicesForRoleError."""
    user = await user_of_id(session, user_id)
    if not user.active:
        raise UserNotFoundError(user_id)
    if user.role not in DEVICE_HOLDERS:
        raise NoDevicesForRoleError(user.login, user.role)
    code, ends = new_code(), now_ms + valid_minutes * _MINUTE_MS
    session.add(
        EnrolmentCodeModel(
            code_digest=code_digest(code),
            user_id=user_id,
            created_by_id=created_by_id,
            created_at_ms=now_ms,
            expires_at_ms=ends,
            used_at_ms=None,
        )
    )
    return IssuedCode(code=code, user_id=user_id, expires_at_ms=ends)


async def take_enrolment_code(session: WriteSession, code: str, now_ms: int) -> UserModel:
    """Use a code up: of two at once, one gets the user. Raises EnrolmentCodeInvalidError."""
    taken = (
        sa.update(EnrolmentCodeModel)
        .where(
            EnrolmentCodeModel.code_digest == code_digest(code),
            EnrolmentCodeModel.used_at_ms.is_(None),
            EnrolmentCodeModel.expires_at_ms > now_ms,
        )
        .values(used_at_ms=now_ms)
        .returning(EnrolmentCodeModel.user_id)
    )
    user_id = (await session.execute(taken)).scalar_one_or_none()
    user = await session.get(UserModel, user_id) if user_id is not None else None
    if user is None or not user.active:
        raise EnrolmentCodeInvalidError
    return user
