"""One guard for the whole application: it asks the route who may call it, then the token who calls.

A route that states nothing is closed to everybody, so forgetting it cannot open a door.
"""

import time
from collections.abc import Callable
from typing import Any, Final, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from server.identity.credentials import token_digest
from server.identity.errors import DeviceForbidsError, RoleForbidsError, RouteClosedError, TokenMissingError
from server.identity.principals import ACCESS_KEY, Access, Principal
from server.identity.service import principal_of_token
from server.runtime.clock import Clock
from server.runtime.database import Database

Connection = ASGIConnection[Any, Any, Any, Any]
ADMISSION_SECONDS: Final = 60.0
ADMISSIONS_MAX: Final = 10_000


class Admissions:
    """Devices whose tokens this process found good a moment ago, by the digests of the tokens.

    Being among them opens nothing: it only lets a body be read, on routes whose handlers authenticate the caller anew.
    `seconds` is a clock that never goes back.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._until: dict[bytes, float] = {}

    def note(self, token: str) -> None:
        """Remember a token that was found good; the oldest go where there are too many."""
        digest = token_digest(token)
        self._until.pop(digest, None)
        self._until[digest] = self._seconds() + ADMISSION_SECONDS
        if len(self._until) > ADMISSIONS_MAX:
            del self._until[next(iter(self._until))]

    def is_fresh(self, token: str) -> bool:
        """Whether the token was found good within the last minute."""
        return self._until.get(token_digest(token), 0.0) > self._seconds()


async def authorize(connection: Connection, route: BaseRouteHandler) -> None:
    """Let the caller in or raise; afterwards `request.user` is the Principal (None on a public route)."""
    if connection.scope.get("method") == "OPTIONS":
        return  # Litestar's own answer, which names the methods of a path and nothing else
    access = route.opt.get(ACCESS_KEY)
    if not isinstance(access, Access):
        raise RouteClosedError(connection.scope["path"])
    connection.scope["user"] = None
    if access.public:
        return
    database, clock = cast("Database", connection.app.state.database), cast("Clock", connection.app.state.clock)
    admissions = cast("Admissions", connection.app.state.admissions)
    token = bearer_token(connection)
    if access.checked_again and admissions.is_fresh(token):
        return
    async with database.read() as session:
        principal = await principal_of_token(session, token, clock.now_ms(), revoked_too=access.revoked_too)
    if principal.role not in access.roles:
        raise RoleForbidsError(principal.role, access.roles)
    if principal.device_id is not None and not access.devices:
        raise DeviceForbidsError
    connection.scope["user"] = principal
    if principal.device_id is not None:
        admissions.note(token)


def bearer_token(connection: Connection) -> str:
    """The token of `Authorization: Bearer …`. Raises TokenMissingError."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenMissingError
    return token.strip()


def principal_of_request(request: Connection) -> Principal:
    """For dependencies: who calls. Only on routes that are not public."""
    principal = request.scope["user"]
    assert isinstance(principal, Principal)
    return principal
