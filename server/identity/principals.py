"""Who is asking, and which routes say that they may."""

from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec


class Role(StrEnum):
    """What a user is to the company. Every route and every intent names the roles that may use it."""

    REP = "rep"
    BUYER = "buyer"
    MANAGER = "manager"
    ADMIN = "admin"
    INTEGRATION = "integration"


OFFICE: Final = (Role.MANAGER, Role.ADMIN)
"""Who sees all and decides."""
DEVICE_HOLDERS: Final = frozenset({Role.REP, Role.BUYER})
"""Who has devices. Nobody can make one of a user who may do more, so a code is worth no more than a rep or a buyer."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller: a user, signed in or through the device `device_id`."""

    user_id: UUID
    login: str
    name: str
    role: Role
    rep_id: UUID | None = None
    customer_id: UUID | None = None
    device_id: UUID | None = None


class Access(msgspec.Struct, frozen=True):
    """Who may call a route: anybody, or these roles. `devices` says whether a device's token is taken as well.

    `revoked_too` lets a revoked device as far as the handler, which refuses it, or takes the little that it may still say.
    `checked_again` says that the handler authenticates a device itself, in the snapshot that it answers from: the guard then
    does not ask the database about a token that was good a moment ago.
    """

    roles: frozenset[Role] = frozenset()
    public: bool = False
    devices: bool = True
    revoked_too: bool = False
    checked_again: bool = False


ACCESS_KEY: Final = "access"
PUBLIC: Final[dict[str, Any]] = {ACCESS_KEY: Access(public=True)}


def allow(*roles: Role, revoked_too: bool = False, checked_again: bool = False) -> dict[str, Any]:
    """For a route's `opt`: these roles may call it, signed in or through one of their devices."""
    assert roles
    return {ACCESS_KEY: Access(frozenset(roles), revoked_too=revoked_too, checked_again=checked_again)}


def allow_signed_in(*roles: Role) -> dict[str, Any]:
    """For a route's `opt`: these roles, signed in with their password. A stolen device cannot call it."""
    assert roles
    return {ACCESS_KEY: Access(frozenset(roles), devices=False)}
