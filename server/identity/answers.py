"""Users, devices and secrets as the API and the command line show them. A secret is shown once, when it is made."""

from typing import Self
from uuid import UUID

import msgspec

from server.identity.devices import RevocationReason
from server.identity.models import DeviceModel, UserModel
from server.identity.principals import Role
from server.runtime.instants import iso, iso_or_none


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An open session. The token is shown this once; send it as `Authorization: Bearer <token>`."""

    token: str
    name: str
    role: Role
    expires_at: str


class User(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    login: str
    name: str
    role: Role
    active: bool
    created_at: str
    rep_id: UUID | None
    customer_id: UUID | None

    @classmethod
    def of(cls, user: UserModel) -> Self:
        return cls(
            id=user.id,
            login=user.login,
            name=user.name,
            role=Role(user.role),
            active=user.active,
            created_at=iso(user.created_at_ms),
            rep_id=user.rep_id,
            customer_id=user.customer_id,
        )


class Users(msgspec.Struct, frozen=True, kw_only=True):
    """A page of users by login. Ask again with `after=<next>` until `next` is null."""

    items: list[User]
    next: str | None


class Device(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    user_id: UUID
    user_login: str
    number_prefix: str
    enrolled_at: str
    last_seen_at: str | None
    revoked_at: str | None
    revoked_reason: RevocationReason | None

    @classmethod
    def of(cls, device: DeviceModel, user: UserModel) -> Self:
        return cls(
            id=device.id,
            name=device.name,
            user_id=user.id,
            user_login=user.login,
            number_prefix=device.number_prefix,
            enrolled_at=iso(device.enrolled_at_ms),
            last_seen_at=iso_or_none(device.last_seen_ms),
            revoked_at=iso_or_none(device.revoked_at_ms),
            revoked_reason=RevocationReason(device.revoked_reason) if device.revoked_reason else None,
        )


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    """A page of devices in the order of enrolment. Ask again with `after=<next>` until `next` is null."""

    items: list[Device]
    next: UUID | None


class EnrolmentCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code that turns into one device, once. It is shown this once."""

    code: str
    user_id: UUID
    expires_at: str
