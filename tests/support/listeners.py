"""Simulated devices that follow a server over HTTP: the SDK's own follower and transport, and no file.

Each holds nothing but the place that it has pulled up to, so that a thousand of them fit into one process.
"""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx2
import msgspec

from client_sdk.clock import IdSource, Surroundings, SystemClock, Timer
from client_sdk.errors import RoadbookError, ServerBusyError, ServerUnreachableError
from client_sdk.events import Event, SyncFailed, SyncReport
from client_sdk.flow import Flow
from client_sdk.follow import LOOK_SECONDS, Follower, Ports
from client_sdk.live import Hint
from client_sdk.pages import read_page
from client_sdk.transport import HttpEndpoint
from sync_protocol.wire.messages import PullRequest
from sync_protocol.wire.version import PROTOCOL_VERSION

PAGE_ROWS = 1_000
_TLS = ssl.create_default_context()
"""One for all: it takes longer to make than all else of a client."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A device that is up to date: who it is, and what it has."""

    device_id: UUID
    token: str
    incarnation: bytes
    epoch: UUID
    cursor: int
    scope_digest: bytes


class _NoStore:
    """In place of a file: what went wrong is not kept."""

    async def write(self, *_: object) -> None:
        return

    async def version(self) -> int:
        return 0


class FastTimer:
    """A timer on which so many seconds pass in one.

    `due` are the moments that its waits were for, whenever they woke, but for the looks at the file, which go on all the time.
    """

    def __init__(self, times: float) -> None:
        self._times = times
        self.due: list[float] = []

    def now_seconds(self) -> float:
        return asyncio.get_running_loop().time() * self._times

    async def wait(self, seconds: float) -> None:
        if seconds != LOOK_SECONDS:
            self.due.append(self.now_seconds() + seconds)
        await asyncio.sleep(seconds / self._times)


class SimulatedListener:
    """Follows until its task is cancelled. `pulls` are the moments when a pull was asked for, and the seconds that it took."""

    def __init__(self, server_url: str, member: Member, timer: Timer, poll_seconds: float) -> None:
        self._member = member
        self.cursor = member.cursor
        self.pulls: list[tuple[float, float]] = []
        self.failures = Counter[str]()
        self.endpoint = HttpEndpoint(server_url, member.token, transport=httpx2.AsyncHTTPTransport(verify=_TLS))
        clock = SystemClock()
        surroundings = Surroundings(clock=clock, ids=IdSource(clock), timer=timer)
        ports = Ports(sync=self._sync, listen=self._listen, is_news=self._is_news, note_stall=lambda _: None, tell=self._note)
        store: Any = _NoStore()
        self.follower = Follower(ports, store, Flow(timer, PAGE_ROWS), surroundings, poll_seconds)

    @property
    def is_live(self) -> bool:
        """Whether its stream is open."""
        return self.follower.status().is_live

    async def _sync(self) -> SyncReport:
        began = time.perf_counter()
        page = await read_page(self.endpoint, self._request())
        assert page.trailer.complete, "a listener begins up to date, and a change for it fits one page"
        self.cursor = page.trailer.cursor
        self.pulls.append((began, time.perf_counter() - began))
        return SyncReport(rows=page.trailer.rows, verdicts=(), deferred=0, cursor=self.cursor, as_of_ms=page.trailer.server_time_ms)

    def _request(self) -> PullRequest:
        return PullRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=self._member.device_id,
            incarnation=self._member.incarnation,
            epoch=self._member.epoch,
            cursor=self.cursor,
            scope_digest=self._member.scope_digest,
            gained=(),
            position=None,
            page_rows=PAGE_ROWS,
        )

    async def _listen(self) -> AsyncIterator[bytes]:
        return self._noted(self.endpoint.live(self._member.device_id))

    async def _noted(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The stream; why it was refused or cut is counted."""
        try:
            async for piece in pieces:
                yield piece
        except RoadbookError as error:
            self._count(error)
            raise
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]  # it is an asynchronous generator

    async def _is_news(self, hint: Hint) -> bool:
        return hint.head > self.cursor

    def _note(self, event: Event) -> None:
        if isinstance(event, SyncFailed):
            self._count(event.error)

    def _count(self, error: RoadbookError) -> None:
        if isinstance(error, ServerUnreachableError):
            self.failures["unreachable"] += 1
        elif isinstance(error, ServerBusyError):
            self.failures["busy" if error.retry_after_seconds is not None else "busy without Retry-After"] += 1
        else:
            self.failures[f"{type(error).__name__}: {error}"] += 1


class Crowd:
    """Many simulated listeners; within the context they follow."""

    def __init__(self, server_url: str, members: list[Member], timer: Timer, *, poll_seconds: float = 86_400.0) -> None:
        self.listeners = [SimulatedListener(server_url, member, timer, poll_seconds) for member in members]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, per_second: float) -> None:
        """Let them come, so many a second."""
        for listener in self.listeners:
            self._tasks.append(asyncio.create_task(listener.follower.run()))
            await asyncio.sleep(1 / per_second)

    async def stop(self) -> None:
        """Let all of them go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(listener.endpoint.close() for listener in self.listeners))

    @property
    def live(self) -> int:
        """How many have a stream."""
        return sum(listener.is_live for listener in self.listeners)

    async def until(self, holds: Callable[["Crowd"], bool], seconds_max: float) -> float:
        """Wait until something holds of them all; the seconds that it took."""
        began = time.perf_counter()
        async with asyncio.timeout(seconds_max):
            while not holds(self):  # noqa: ASYNC110  # many things make it hold, and none of them tells
                await asyncio.sleep(0.02)
        return time.perf_counter() - began

    def have(self, cursor: int) -> bool:
        """Whether all have pulled so far."""
        return all(listener.cursor >= cursor for listener in self.listeners)

    def forget(self) -> None:
        """Begin to measure anew."""
        for listener in self.listeners:
            listener.pulls.clear()
            listener.failures.clear()

    def failures(self) -> dict[str, int]:
        """What went wrong, and how often."""
        return dict(sum((listener.failures for listener in self.listeners), Counter[str]()))

    def pulls(self) -> list[tuple[float, float]]:
        """When each pull began, and how long it took, in order."""
        return sorted(pull for listener in self.listeners for pull in listener.pulls)
