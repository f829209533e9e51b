"""Signing in and out, users, devices and enrolment codes over HTTP."""

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta

from server.identity import devices, reports, service
from server.identity.answers import Device, DeviceDetail, Devices, EnrolmentCode, ProofRequest, Session, User, Users
from server.identity.authentication import bearer_token
from server.identity.credentials import hash_password
from server.identity.devices import RevocationReason
from server.identity.errors import OthersCodeError, OthersPasswordError, OwnDeactivationError
from server.identity.names import CHARACTERS_MAX, LINE, UserText
from server.identity.principals import DEVICE_HOLDERS, OFFICE, PUBLIC, Principal, Role, allow, allow_signed_in
from server.runtime.clock import IdSource
from server.runtime.database import Database
from server.runtime.instants import iso
from server.runtime.pages import PAGE_MAX, Limit
from server.settings import Settings
from sync_protocol.values import EnteredName

_EVERYBODY: Final = tuple(Role)

NewPassword = Annotated[str, Meta(min_length=service.PASSWORD_CHARACTERS_MIN, max_length=service.PASSWORD_CHARACTERS_MAX)]
GivenPassword = Annotated[str, Meta(max_length=service.PASSWORD_CHARACTERS_MAX)]
# Litestar drops msgspec's Meta from a query parameter, so the limits of a login are handed to it in its own words.
AfterLogin = Annotated[str, QueryParameter(max_length=CHARACTERS_MAX, pattern=LINE)]


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request: what is not declared cannot be sent."""


class SignIn(Asked, frozen=True, kw_only=True):
    login: EnteredName
    password: GivenPassword


class NewUser(Asked, frozen=True, kw_only=True):
    """A rep names its `rep_id`, a buyer its `customer_id`. Without a password the user can only enrol devices."""

    login: UserText
    name: UserText
    role: Role
    password: NewPassword | None = None
    rep_id: UUID | None = None
    customer_id: UUID | None = None


class PasswordChange(Asked, frozen=True, kw_only=True):
    """Who changes their own password gives the current one; an administrator changes anybody's without."""

    password: NewPassword
    current_password: GivenPassword | None = None


class Revocation(Asked, frozen=True, kw_only=True):
    """The device is refused, and so is what was forked from it.

    `lost`: it is told to erase itself. `left`: what it still sends is set aside for a manager. `replaced`: nothing more.
    """

    reason: RevocationReason


class CodeRequest(Asked, frozen=True, kw_only=True):
    """For whom the code is; for the caller where nobody is named."""

    user_id: UUID | None = None


@post("/session", opt=PUBLIC, summary="Sign in", tags=["identity"], security=[{}])
async def sign_in(
    *,
    request: Request[Any, Any, Any],
    data: JSONBody[SignIn],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
    settings: NamedDependency[Settings],
) -> Session:
    """Open a session with login and password. Ten failures from one network close a login to it for 15 minutes."""
    signed_in = await service.sign_in(
        database,
        ids=ids,
        now_ms=now_ms,
        login=data.login,
        password=data.password,
        address=_address(request),
        session_hours=settings.session_hours,
    )
    return Session(
        token=signed_in.token,
        name=signed_in.user.name,
        role=Role(signed_in.user.role),
        expires_at=iso(signed_in.expires_at_ms),
    )


@delete("/session", opt=allow_signed_in(*_EVERYBODY), summary="Sign out", tags=["identity"])
async def sign_out(request: Request[Any, Any, Any], database: NamedDependency[Database]) -> None:
    """End the session whose token the request carries."""
    async with database.write() as session:
        await service.sign_out(session, bearer_token(request))


@get("/me", opt=allow(*_EVERYBODY), summary="Who am I", tags=["identity"])
async def me(principal: NamedDependency[Principal]) -> Principal:
    """The user that the token stands for, with the device where it is a device's."""
    return principal


@get("/users", opt=allow_signed_in(*OFFICE), summary="List users", tags=["identity"])
async def list_users(database: NamedDependency[Database], after: AfterLogin = "", limit: Limit = PAGE_MAX) -> Users:
    """Users by login, deactivated ones too."""
    async with database.read() as session:
        found = await service.list_users(session, after_login=after, limit=limit)
    return Users(items=[User.of(user) for user in found], next=found[-1].login if len(found) == limit else None)


@post("/users", opt=allow_signed_in(Role.ADMIN), summary="Create a user", tags=["identity"])
async def create_user(
    data: JSONBody[NewUser],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
) -> User:
    password_hash = await hash_password(data.password) if data.password is not None else None
    async with database.write() as session:
        user = await service.create_user(
            session,
            ids=ids,
            now_ms=now_ms,
            login=data.login,
            name=data.name,
            role=data.role,
            password_hash=password_hash,
            rep_id=data.rep_id,
            customer_id=data.customer_id,
        )
    return User.of(user)


@post(
    "/users/{user_id:uuid}/password", opt=allow_signed_in(*_EVERYBODY), status_code=204, summary="Set a password", tags=["identity"]
)
async def set_password(
    *,
    request: Request[Any, Any, Any],
    user_id: FromPath[UUID],
    data: JSONBody[PasswordChange],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
) -> None:
    """Set a user's password and end all their sessions; one's own with the current password, another's as administrator.

    Failures with the current password count as failures to sign in.
    """
    if principal.user_id != user_id and principal.role is not Role.ADMIN:
        raise OthersPasswordError(user_id)
    password_hash = await hash_password(data.password)
    if principal.user_id == user_id:
        await service.change_password(
            database,
            now_ms=now_ms,
            login=principal.login,
            current_password=data.current_password or "",
            password_hash=password_hash,
            address=_address(request),
        )
        return
    async with database.write() as session:
        await service.set_password(session, user_id, password_hash)


@post(
    "/users/{user_id:uuid}/deactivation",
    opt=allow_signed_in(Role.ADMIN),
    status_code=200,
    summary="Deactivate a user",
    tags=["identity"],
)
async def deactivate_user(
    user_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
) -> User:
    """End a user: sessions and devices are refused from their next request on."""
    if principal.user_id == user_id:
        raise OwnDeactivationError(user_id)
    async with database.write() as session:
        return User.of(await service.deactivate_user(session, user_id, now_ms))


@get("/devices", opt=allow_signed_in(*OFFICE), summary="List devices", tags=["identity"])
async def list_devices(
    database: NamedDependency[Database],
    user_id: FromQuery[UUID | None] = None,
    after: FromQuery[UUID | None] = None,
    limit: Limit = PAGE_MAX,
) -> Devices:
    """Devices with their users, revoked ones too."""
    async with database.read() as session:
        found = await devices.list_devices(session, user_id=user_id, after_id=after, limit=limit)
    items = [Device.of(device, user) for device, user in found]
    return Devices(items=items, next=items[-1].id if len(items) == limit else None)


@get("/devices/{device_id:uuid}", opt=allow_signed_in(*OFFICE), summary="Open a device", tags=["identity"])
async def open_device(device_id: FromPath[UUID], database: NamedDependency[Database]) -> DeviceDetail:
    """A device with what it said of itself: what waits on it, what is in its way, its newest receipts and proofs."""
    async with database.read() as session:
        return DeviceDetail.of(await reports.open_device(session, device_id))


@post(
    "/devices/{device_id:uuid}/proof",
    opt=allow_signed_in(*OFFICE),
    status_code=202,
    summary="Ask a device for a proof",
    tags=["identity"],
)
async def ask_for_proof(
    device_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    ids: NamedDependency[IdSource],
) -> ProofRequest:
    """Have a device compare all it holds with the server at its next sync. What it found is in the device's `proofs`."""
    async with database.write() as session:
        asked = await reports.ask_for_proof(session, device_id, ids.new(), requested_by_id=principal.user_id, now_ms=now_ms)
        return ProofRequest.of(asked)


@post("/enrolment-codes", opt=allow_signed_in(*OFFICE, Role.REP, Role.BUYER), summary="Issue an enrolment code", tags=["identity"])
async def create_enrolment_code(
    data: JSONBody[CodeRequest],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
    settings: NamedDependency[Settings],
) -> EnrolmentCode:
    """A single-use code for one device: managers and administrators for any rep or buyer, a rep or buyer for itself."""
    user_id = _code_holder(data, principal)
    async with database.write() as session:
        issued = await service.create_enrolment_code(
            session,
            user_id=user_id,
            created_by_id=principal.user_id,
            now_ms=now_ms,
            valid_minutes=settings.enrolment_minutes,
        )
    return EnrolmentCode(code=issued.code, user_id=issued.user_id, expires_at=iso(issued.expires_at_ms))


def _code_holder(asked: CodeRequest, principal: Principal) -> UUID:
    if principal.role in DEVICE_HOLDERS and asked.user_id not in {None, principal.user_id}:
        raise OthersCodeError(principal.role)
    return asked.user_id or principal.user_id


@post(
    "/devices/{device_id:uuid}/revocation",
    opt=allow_signed_in(*OFFICE),
    status_code=200,
    summary="Revoke a device",
    tags=["identity"],
)
async def revoke_device(
    device_id: FromPath[UUID],
    data: JSONBody[Revocation],
    database: NamedDependency[Database],
    now_ms: NamedDependency[int],
) -> Device:
    """Refuse a device, and those that were forked from it, from their next request on, on every process."""
    async with database.write() as session:
        device = await devices.revoke_device(session, device_id, data.reason, now_ms)
        return Device.of(device, await service.user_of_id(session, device.user_id))


def _address(request: Request[Any, Any, Any]) -> str:
    return request.client.host if request.client else "unknown"


ROUTES: Final = (
    sign_in,
    sign_out,
    me,
    list_users,
    create_user,
    set_password,
    deactivate_user,
    list_devices,
    open_device,
    ask_for_proof,
    create_enrolment_code,
    revoke_device,
)
