"""Listening to the live stream as a device does, for tests: hints by the device's own reader."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from client_sdk.live import EventReader, Hint, hint_of
from server.sync.endpoint import ServerEndpoint
from server.sync.live import HEARTBEAT_SECONDS, Hub, Listener
from sync_protocol.wire.messages import Enrolment, EnrolRequest
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.listeners import Member
from tests.support.world import World

PATIENCE_SECONDS = 20.0


class Ear:
    """One open stream and what was heard on it."""

    def __init__(self, pieces: AsyncIterator[bytes], listener: Listener) -> None:
        self._pieces = pieces
        self._reader = EventReader()
        self._heard: deque[Hint] = deque()
        self.listener = listener
        self.retry_ms: int | None = None

    async def piece(self) -> bytes | None:
        """The next bytes, or None where the stream has ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await anext(self._pieces, None)

    async def hear(self) -> Hint | None:
        """The next hint, or None where the stream has ended. Heartbeats do not lengthen the wait."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._heard:
                piece = await self.piece()
                if piece is None:
                    return None
                self._heard.extend(hint for event in self._reader.feed(piece) if (hint := hint_of(event)) is not None)
                self.retry_ms = self._reader.retry_ms
        return self._heard.popleft()

    async def hear_of(self, head: int) -> None:
        """Hear until the log is said to reach so far."""
        while (hint := await self.hear()) is None or hint.head < head:
            assert hint is not None, "the stream ended"

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits to be read."""
        return self.listener._waiting is None and not self.listener._is_over


class Tuned:
    """A device of a user that can open streams."""

    def __init__(self, endpoint: ServerEndpoint, enrolment: Enrolment) -> None:
        self.endpoint = endpoint
        self.device_id = enrolment.device_id
        self.token = enrolment.token
        self._incarnation = enrolment.incarnation

    async def up_to_date(self) -> Member:
        """A simulated listener that has everything by now."""
        arrival, scope = await self.endpoint.arrive(self.device_id)
        return Member(
            device_id=self.device_id,
            token=self.token,
            incarnation=self._incarnation,
            epoch=arrival.head.epoch,
            cursor=arrival.head.head,
            scope_digest=scope.digest,
        )

    @asynccontextmanager
    async def listening(self, hub: Hub, *, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> AsyncIterator[Ear]:
        """A stream, whose first hint has been read."""
        arrival, scope = await self.endpoint.arrive(self.device_id)
        async with hub.listening(arrival, scope) as listener:
            ear = Ear(listener.pieces(heartbeat_seconds), listener)
            first = await ear.hear()
            assert first == Hint(arrival.head.epoch, arrival.head.head)
            yield ear


async def tuned(world: World, login: str) -> Tuned:
    """A new device of this user."""
    code = await world.code_for(login)
    made = await world.endpoint().enrol(EnrolRequest(protocol_version=PROTOCOL_VERSION, code=code, device_name=f"of {login}"))
    endpoint = world.endpoint(made.token)
    assert isinstance(endpoint, ServerEndpoint)
    return Tuned(endpoint, made)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110  # anything may be waited for, not only what sets an event
            await asyncio.sleep(0.005)
