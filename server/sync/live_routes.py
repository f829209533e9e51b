"""The live stream over HTTP: server-sent events (WHATWG), for a device that asks with its own token."""

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

from litestar import Request, get
from litestar.datastructures import State
from litestar.response import Stream

from server.identity.authentication import bearer_token
from server.identity.principals import Role, allow
from server.sync.arrivals import Arrival
from server.sync.endpoint import ServerEndpoint
from server.sync.live import Hub
from server.sync.scope import Scope

MEDIA_TYPE: Final = "text/event-stream"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@get("/sync/live", opt=allow(Role.REP, Role.BUYER, checked_again=True), summary="Hints that there is something to pull")
async def live(request: Request[Any, Any, State], device_id: UUID) -> Stream:
    """Events `changed` with the epoch and the head of the log, at once and whenever something for this device was committed."""
    state = request.app.state
    hub: Hub = state.hub
    assert isinstance(hub, Hub), "the application is not started: its lifespan opens the hub"
    hub.require_room()
    endpoint = ServerEndpoint(
        state.database, state.intent_handlers, state.clock, state.ids, bearer_token(request), images=state.images
    )
    arrival, scope = await endpoint.arrive(device_id)
    return Stream(_pieces(hub, arrival, scope), headers=_HEADERS, media_type=MEDIA_TYPE)


async def _pieces(hub: Hub, arrival: Arrival, scope: Scope) -> AsyncIterator[bytes]:
    async with hub.listening(arrival, scope) as listener:
        async for piece in listener.pieces():
            yield piece


ROUTES: Final = (live,)
