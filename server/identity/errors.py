"""What can be wrong with a user, a password, a code, a token or a device."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from server.identity.principals import Role
from server.runtime.errors import (
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    TooManyRequestsError,
    UnauthenticatedError,
    one_line,
)
from server.runtime.instants import iso


class SignInRefusedError(UnauthenticatedError):
    """The same for an unknown login, a wrong password and a deactivated user."""

    title = "Sign-in refused"
    code = "sign_in_refused"

    def __init__(self) -> None:
        super().__init__("login and password do not match an active user; check both, or ask an administrator")


class TokenMissingError(UnauthenticatedError):
    code = "token_missing"

    def __init__(self) -> None:
        super().__init__("the request has no token; sign in at POST /session and send «Authorization: Bearer <token>»")


class TokenInvalidError(UnauthenticatedError):
    """Unknown, expired, signed out, or of a user who was deactivated."""

    code = "token_invalid"

    def __init__(self, remedy: str = "sign in again at POST /session") -> None:
        super().__init__(f"the token is not valid (any more); {remedy}")


class DeviceUnknownError(TokenInvalidError):
    """The token is of no device: nobody signs in with one, and its user has no password to sign in with."""

    def __init__(self) -> None:
        super().__init__("ask a manager for a new enrolment code and enrol the same device file with it; what waits on it is kept")


_WHEN_REVOKED: Final = {
    "left": "what it still sends is kept for a manager, who decides it; speak to yours",
    "lost": "it is to erase itself; ask your manager for a new enrolment code",
}
"""What the user of a revoked device is told to do, where its reason says more than that it is revoked."""


class DeviceRevokedError(UnauthenticatedError):
    """The token is of a device that was revoked."""

    title = "Device revoked"
    code = "device_revoked"

    def __init__(self, device_id: UUID, reason: str, wipe_key: bytes | None = None) -> None:
        """`wipe_key` tells the device to erase itself; it is for one that was lost."""
        fields = {"wipe_key": wipe_key.hex()} if wipe_key is not None else {}
        remedy = _WHEN_REVOKED.get(reason, "ask your manager for a new enrolment code")
        super().__init__(f"the device {device_id} was revoked ({reason}); {remedy}", fields=fields)
        self.device_id = device_id
        self.reason = reason


class RoleForbidsError(ForbiddenError):
    code = "role_forbids"

    def __init__(self, role: Role, allowed: frozenset[Role]) -> None:
        who = ", ".join(sorted(allowed))
        super().__init__(f"a {role} may not do this; it takes one of these roles: {who}")
        self.role = role
        self.allowed = allowed


class DeviceForbidsError(ForbiddenError):
    code = "sign_in_needed"

    def __init__(self) -> None:
        super().__init__("a device's token is not enough for this; sign in with your password at POST /session")


class RouteClosedError(ForbiddenError):
    """A route that states nothing about its callers: nobody is let in."""

    code = "route_closed"

    def __init__(self, path: str) -> None:
        super().__init__(f"the route {path} does not say who may call it, so nobody may; this is a defect of the server")


class TooManyAttemptsError(TooManyRequestsError):
    """Too many failures for this login or from this network."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many attempts failed; wait {retry_after_seconds} seconds and try again")
        self.retry_after_seconds = retry_after_seconds


class LoginTakenError(ConflictError):
    code = "login_taken"

    def __init__(self, login: str) -> None:
        super().__init__(f"the login {login!r} is taken; choose another", fields={"login": "is taken; choose another"})
        self.login = login


class UserNotFoundError(NotFoundError):
    code = "user_not_found"

    def __init__(self, who: UUID | str) -> None:
        super().__init__(f"there is no user {who}; GET /users or «roadbook users list» shows all")
        self.who = who


class DeviceNotFoundError(NotFoundError):
    code = "device_not_found"

    def __init__(self, device_id: UUID) -> None:
        super().__init__(f"there is no device {device_id}; GET /devices or «roadbook devices list» shows all")
        self.device_id = device_id


class EnrolmentCodeInvalidError(UnauthenticatedError):
    """Unknown, used, expired, or of a user who was deactivated: the caller is not told which."""

    title = "Enrolment code refused"
    code = "enrolment_code_invalid"

    def __init__(self) -> None:
        super().__init__("the enrolment code is unknown, used or expired; check the spelling or ask for a new one")


class NoDevicesForRoleError(ConflictError):
    code = "no_devices_for_role"

    def __init__(self, login: str, role: str) -> None:
        super().__init__(f"devices are for reps and buyers; {login} is a {role} and works through the API")
        self.login = login
        self.role = role


class DeviceAlreadyRevokedError(ConflictError):
    code = "device_already_revoked"

    def __init__(self, device_id: UUID, reason: str, revoked_at_ms: int) -> None:
        super().__init__(f"the device {device_id} was revoked as {reason} at {iso(revoked_at_ms)}; nothing was changed")
        self.device_id = device_id
        self.reason = reason


class UnfitUserError(InvalidRequestError):
    """A user whose parts do not go together; `fields` names each with its remedy."""

    code = "unfit_user"

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(one_line(fields.items()), fields=fields)


class CodeUnknownError(InvalidRequestError):
    """No rep or company has this code; `field` is the field that named it, `known` are codes with names."""

    code = "unknown_code"

    def __init__(self, field: str, table: str, code: str, known: Sequence[tuple[str, str]]) -> None:
        listed = ", ".join(f"{each} ({name})" for each, name in known)
        remedy = f"give one that exists, such as {listed}" if listed else f"there is no {table} at all yet; import some first"
        remedy = f"names no {table}: {code!r} is the code of none; {remedy}"
        super().__init__(f"{field} {remedy}", fields={field: remedy})
        self.field = field
        self.unknown = code
        self.known = tuple(known)


class NotYoursToDoError(ForbiddenError):
    """The role may do it, but not to this user."""

    code = "not_yours_to_do"


class OthersPasswordError(NotYoursToDoError):
    def __init__(self, user_id: UUID) -> None:
        super().__init__(f"{user_id} is somebody else, whose password only an administrator sets; ask one")
        self.user_id = user_id


class OwnDeactivationError(NotYoursToDoError):
    def __init__(self, user_id: UUID) -> None:
        super().__init__("nobody deactivates themselves; ask another administrator, so that one remains")
        self.user_id = user_id


class OthersCodeError(NotYoursToDoError):
    def __init__(self, role: Role) -> None:
        super().__init__(f"a {role} issues codes for itself only; ask your manager")
        self.role = role
