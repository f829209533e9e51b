"""Keeps a device synced until it is cancelled: a hint of the live stream wakes it, an interval does where hints are lost.

One loop syncs, one listens, one watches for a stall, one for what other programs save. What they wait for is an event or
the timer that is handed in.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from client_sdk import health, outbox
from client_sdk.clock import Surroundings, Timer
from client_sdk.errors import (
    BadReplyError,
    DeviceWipedError,
    LinkTooSlowError,
    RoadbookError,
    ServerBusyError,
    ServerError,
    StoreError,
    SyncStalledError,
)
from client_sdk.events import Listener, SyncFailed, SyncReport, SyncResumed, SyncStalled
from client_sdk.flow import Flow
from client_sdk.live import SILENCE_SECONDS_MAX, EventReader, Hint, hint_of
from client_sdk.retry import DELAY_SECONDS_MAX, Backoff, Retry, fraction
from client_sdk.store import Store
from client_sdk.watchdog import INTERVALS_MAX

POLL_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 3.0
"""How often it looks whether another program has saved something: 20 times a minute a number in shared memory, which wakes neither
disk nor radio; the heartbeats of the stream cost a battery more. Who types a command beside it sees the verdict soon."""
RECONNECT_SECONDS: Final = 15.0
"""Over how long devices spread that all lost their stream at once, because their server was restarted."""

Listen = Callable[[], Awaitable[AsyncIterator[bytes] | None]]


class FollowState(StrEnum):
    """What a device that follows its server is doing."""

    SYNCING = "syncing"
    WAITING = "waiting"
    RETRYING = "retrying"


class FollowStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How following goes. `next_try_seconds` is how long until the next try, where no hint comes before."""

    state: FollowState
    is_live: bool
    next_try_seconds: float
    failures: int
    since_ms: int | None = None
    error: RoadbookError | None = None


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """What a follower acts through. `listen` opens the live stream, and is None where the endpoint has none.

    `is_news` says whether the replica is behind a hint; `note_stall` has the next report to the server say so.
    """

    sync: Callable[[], Coroutine[Any, Any, SyncReport]]
    listen: Listen
    is_news: Callable[[Hint], Awaitable[bool]]
    note_stall: Callable[[SyncStalledError], None]
    tell: Listener


class Follower:
    """Follows one server with one device. `run` goes on until it is cancelled."""

    def __init__(self, ports: Ports, store: Store, flow: Flow, surroundings: Surroundings, poll_seconds: float) -> None:
        self._ports = ports
        self._store = store
        self._flow = flow
        self._clock = surroundings.clock
        self._timer = surroundings.timer
        self._chance = surroundings.ids.chance
        self._poll_seconds = poll_seconds
        self._retry = Retry(self._chance, self._timer.now_seconds())
        self._reconnect = Backoff(self._chance, RECONNECT_SECONDS)
        self._return_seconds: float | None = None
        self._wake = asyncio.Event()
        self._through = asyncio.Event()
        self._is_asked = False
        self._is_live = False
        self._next_seconds = self._timer.now_seconds()
        self._error: RoadbookError | None = None
        self._since_ms: int | None = None
        self._started_seconds = self._next_seconds
        self._syncing: asyncio.Task[SyncReport] | None = None
        self._stalled: SyncStalledError | None = None
        self._version_seen = 0
        self._newest_seen: UUID | None = None

    def nudge(self) -> None:
        """Sync now: something was submitted, or the network is back. Waiting for the next try is cut short, the budget is not."""
        self._is_asked = True
        self._wake.set()

    def status(self) -> FollowStatus:
        """What it is doing, and why not more."""
        state = FollowState.SYNCING if self._syncing else FollowState.RETRYING if self._error else FollowState.WAITING
        return FollowStatus(
            state=state,
            is_live=self._is_live,
            next_try_seconds=max(0.0, self._next_seconds - self._timer.now_seconds()),
            failures=self._retry.failures,
            since_ms=self._since_ms,
            error=self._stalled or self._error,
        )

    async def run(self) -> None:
        """Follow until cancelled. Errors are told as events and tried again. Raises DeviceWipedError, and defects."""
        self._flow.watchdog.watch(self._timer.now_seconds())
        await self._look()  # what waits by now the first sync sends
        loops = [asyncio.create_task(loop()) for loop in (self._sync_on, self._listen_on, self._watch_on, self._look_on)]
        try:
            done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_EXCEPTION)
            for loop in done:
                loop.result()
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def _sync_on(self) -> None:
        while True:
            self._wake.clear()
            self._is_asked = False
            delay = await self._try()
            self._next_seconds = self._timer.now_seconds() + delay
            await self._rest(delay)

    async def _try(self) -> float:
        """One sync; how many seconds until the next, where nothing wakes it before."""
        self._started_seconds = self._timer.now_seconds()
        self._retry.started(self._started_seconds)
        self._flow.requests = 0
        self._syncing = asyncio.create_task(self._ports.sync())
        try:
            await asyncio.wait((self._syncing,))
            if self._syncing.cancelled():
                raise self._stalled or LinkTooSlowError("the server", "it was given up")
            self._syncing.result()
        except DeviceWipedError:
            raise  # there is nothing left to follow with
        except RoadbookError as error:
            return await self._failed(error)
        finally:
            task, self._syncing = self._syncing, None
            task.cancel()
            await asyncio.wait((task,))
        await self._came_through()
        return self._poll_seconds * (0.5 + 0.5 * fraction(self._chance))

    async def _failed(self, error: RoadbookError) -> float:
        cause = error.cause if isinstance(error, SyncStalledError) and error.cause else error
        if self._flow.watchdog.last_seconds > self._started_seconds:
            self._retry.progressed()  # a part of it came through: the link is there
        delay = self._retry.failed(cause, self._flow.requests, self._timer.now_seconds())
        now_ms = self._clock.now_ms()
        self._error, self._since_ms = error, now_ms if self._since_ms is None else self._since_ms
        if not isinstance(error, StoreError):
            await self._note(health.note_failure, error, now_ms, now_ms + round(delay * 1000))
        self._ports.tell(SyncFailed(error, delay, self._since_ms))
        return delay

    async def _came_through(self) -> None:
        self._retry.came_through(self._started_seconds, self._timer.now_seconds())
        self._through.set()
        since_ms, self._error, self._since_ms, self._stalled = self._since_ms, None, None, None
        if since_ms is not None:
            await self._note(health.note_success)
            self._ports.tell(SyncResumed(since_ms))

    async def _note(self, act: Callable[..., object], *arguments: object) -> None:
        """Write down how it goes. A file that cannot be written to says so at the next act that matters."""
        try:
            await self._store.write(act, *arguments)
        except StoreError:
            return

    async def _rest(self, delay: float) -> None:
        """Wait for the delay, or for a hint; a device whose last try failed is not hurried by hints, only by its user."""
        until = self._timer.now_seconds() + delay
        while (left := until - self._timer.now_seconds()) > 0:
            if await wait_for(self._wake, left, self._timer) and (self._is_asked or self._error is None):
                break
            self._wake.clear()
        owed = self._retry.wait_seconds(self._timer.now_seconds())
        if owed > 0:
            await self._timer.wait(owed)

    async def _listen_on(self) -> None:
        """Open the stream after a sync came through, and anew after each loss: the sync finds out whether the server is back."""
        while True:
            await self._through.wait()
            after = self._return_seconds = None
            try:
                pieces = await self._ports.listen()
                if pieces is not None:
                    await self._hear(pieces)
            except RoadbookError as error:  # a stream that is not there is no failure: the interval is
                if isinstance(error, ServerError | BadReplyError):
                    self._retry.refused_stream(self._timer.now_seconds())
                after = error.retry_after_seconds if isinstance(error, ServerBusyError) else None
            finally:
                self._is_live = False
            await self._timer.wait(self._reconnect_seconds(after))
            self._through.clear()
            self._wake.set()

    def _reconnect_seconds(self, retry_after_seconds: float | None) -> float:
        """When to come back: as a stream that was open has said, which tells each device another time; else after a back-off."""
        if self._return_seconds is None or retry_after_seconds is not None:
            return self._reconnect.failed(retry_after_seconds)
        return self._return_seconds * (0.5 + fraction(self._chance))

    async def _hear(self, pieces: AsyncIterator[bytes]) -> None:
        """Listen until the stream ends or is silent for two heartbeats."""
        reader = EventReader()
        async with aclosing(pieces) as stream:  # type: ignore[type-var]  # what `listen` hands out is an asynchronous generator
            while True:
                piece = await next_within(stream, SILENCE_SECONDS_MAX, self._timer)
                if piece is None:
                    return
                hints = [hint for event in reader.feed(piece) if (hint := hint_of(event)) is not None]
                is_first, self._is_live = not self._is_live, True
                if is_first:
                    self._reconnect.progressed()
                # What was hinted while nobody listened is made up for by one look, where the server does not say how far it is.
                if (is_first and not hints) or (hints and await self._ports.is_news(hints[-1])):
                    self._wake.set()
                if reader.retry_ms is not None:
                    self._return_seconds = min(max(1.0, reader.retry_ms / 1000), DELAY_SECONDS_MAX)

    async def _watch_on(self) -> None:
        while True:
            now = self._timer.now_seconds()
            if self._flow.watchdog.is_new_stall(now, self._poll_seconds):
                self._stall(now)
            standing = now - max(self._started_seconds, self._flow.watchdog.last_seconds)
            if self._syncing is not None and standing >= INTERVALS_MAX * self._poll_seconds:
                self._syncing.cancel()  # it hangs: the next try begins anew, with less at once
            left = self._flow.watchdog.left_seconds(now, self._poll_seconds)
            await self._timer.wait(left or self._poll_seconds)

    async def _look_on(self) -> None:
        """Send what another program on the same file saves, as if it had been submitted here."""
        while True:
            await self._timer.wait(LOOK_SECONDS)
            if await self._look():
                self.nudge()

    async def _look(self) -> bool:
        """Whether another program has saved an intent since the last look that succeeded; one that failed is made up for."""
        with suppress(StoreError):  # whoever needs the file says so
            version = await self._store.version()
            if version != self._version_seen:
                newest, before = await self._store.read(outbox.newest), self._newest_seen
                self._version_seen, self._newest_seen = version, newest
                return newest is not None and newest != before
        return False

    def _stall(self, now_seconds: float) -> None:
        """Say that it stands still: to the application now, to the server as soon as it hears anything."""
        stood_ms = round((now_seconds - self._flow.watchdog.last_seconds) * 1000)
        self._stalled = SyncStalledError(self._clock.now_ms() - stood_ms, self._error)
        self._ports.note_stall(self._stalled)
        self._ports.tell(SyncStalled(self._stalled))


@asynccontextmanager
async def running(follower: Follower) -> AsyncIterator[None]:
    """Run a follower for as long as the context is open; where its run ends by itself, the context does, and raises why."""
    following, owner = asyncio.create_task(follower.run()), asyncio.current_task()
    assert owner is not None

    def end(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            owner.cancel()

    following.add_done_callback(end)
    try:
        yield
    except asyncio.CancelledError:
        if not following.done():
            raise
        owner.uncancel()  # it was `end`; why is raised below
    finally:
        following.remove_done_callback(end)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def wait_for(event: asyncio.Event, seconds: float, timer: Timer) -> bool:
    """Whether the event came within so many seconds."""
    waiting = asyncio.ensure_future(event.wait())
    return await _first(waiting, seconds, timer)


async def next_within(pieces: AsyncIterator[bytes], seconds: float, timer: Timer) -> bytes | None:
    """The next piece, or None where the stream ended or nothing came within so many seconds."""
    waiting = asyncio.ensure_future(anext(pieces, None))
    return waiting.result() if await _first(waiting, seconds, timer) else None


async def _first(waiting: asyncio.Future[Any], seconds: float, timer: Timer) -> bool:
    """Whether `waiting` is done within so many seconds; it is cancelled where it is not."""
    timing = asyncio.ensure_future(timer.wait(seconds))
    try:
        await asyncio.wait((waiting, timing), return_when=asyncio.FIRST_COMPLETED)
        return waiting.done()
    finally:
        for each in (waiting, timing):
            each.cancel()
        await asyncio.gather(waiting, timing, return_exceptions=True)
