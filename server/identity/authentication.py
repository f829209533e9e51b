"""One guard for the whole application: it asks the route who may call it, then the token who calls.

A route that states nothing is closed to everybody, so forgetting it cannot open a door.
"""

from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from server.identity.errors import DeviceForbidsError, RoleForbidsError, RouteClosedError, TokenMissingError
from server.identity.principals import ACCESS_KEY, Access, Principal
from server.identity.service import principal_of_token
from server.runtime.clock import Clock
from server.runtime.database import Database

Connection = ASGIConnection[Any, Any, Any, Any]


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
    token = bearer_token(connection)
    async with database.read() as session:
        principal = await principal_of_token(session, token, clock.now_ms(), revoked_too=access.revoked_too)
    if principal.role not in access.roles:
        raise RoleForbidsError(principal.role, access.roles)
    if principal.device_id is not None and not access.devices:
        raise DeviceForbidsError
    connection.scope["user"] = principal


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
