"""Live hints: a device that listens is told that there is something for it, whichever process took the write.

A hint carries no row and promises nothing: a device that misses one finds the same at its next pull. One look at the log
for each process and commit says which buckets were touched, and only devices that hold one of them, or whose scope may be
another now, are told; where they are many, not all at once. A device that reads slowly has one hint waiting at most, the
newest.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from server.changelog.log import Head, seal_foreign_writes
from server.runtime.commits import hear_commits
from server.runtime.database import Database
from server.runtime.errors import BusyError
from server.sync.arrivals import Arrival
from server.sync.pacing import Pace
from server.sync.reader import Reader, snapshot_of
from server.sync.scope import Holder, Scope, cache_of
from server.sync.touched import Touched, read_position, read_touched

HEARTBEAT_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 5.0
"""How often the log is looked at where nothing was heard."""
LOOK_SECONDS_MIN: Final = 0.02
"""The least time between two looks: commits that come faster share one."""
CHECK_SECONDS: Final = 2.0
"""How often it is checked that those who listen still may, where no commit says that something else than rows has changed."""
CHECK_SECONDS_MIN: Final = 0.5
STREAMS_PER_DEVICE_MAX: Final = 2
STREAMS_MAX: Final = 10_000
REFRESHED_SCOPES_MAX: Final = 50
RETRY_MS_MIN: Final = 1_000
RETRY_MS_MAX: Final = 15_000
RETRY_MS_PER_STREAM: Final = 40
"""All that listen come back over a time in which twenty-five a second do, where that is longer: it costs ten milliseconds each."""
_HEARTBEAT: Final = b": still here\n\n"
_log = logging.getLogger(__name__)


def encode_hint(head: Head) -> bytes:
    """A hint as an event of the stream."""
    return b"event: changed\ndata: " + msgspec.json.encode({"epoch": str(head.epoch), "head": head.head}) + b"\n\n"


def encode_retry(streams: int) -> bytes:
    """When to come back after the stream ends: each device at another moment, for when so many lose theirs at once."""
    latest_ms = max(RETRY_MS_MAX, RETRY_MS_PER_STREAM * streams)
    return f"retry: {RETRY_MS_MIN + secrets.randbelow(latest_ms - RETRY_MS_MIN)}\n\n".encode()


class Listener:
    """One open stream of a device."""

    def __init__(self, device_id: UUID, holder: Holder, head: Head, streams: Callable[[], int]) -> None:
        self.device_id = device_id
        self.holder = holder
        self.head = head
        self._streams = streams
        self._last = b""
        self._waiting: bytes | None = None
        self._is_over = False
        self._ready = asyncio.Event()

    def hint(self, event: bytes) -> None:
        """Tell the device as soon as it reads; in place of a hint that it has not read yet."""
        self._waiting = event
        self._ready.set()

    def end(self, last: bytes = b"") -> None:
        """End the stream, once what waits has been read, with these bytes."""
        self._last, self._is_over = last, True
        self._ready.set()

    async def pieces(self, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> AsyncIterator[bytes]:
        """The bytes of the stream: where the log stands, then hints and heartbeats until it ends."""
        yield encode_retry(self._streams()) + encode_hint(self.head)
        while True:
            try:
                async with asyncio.timeout(heartbeat_seconds):
                    await self._ready.wait()
            except TimeoutError:
                yield _HEARTBEAT + encode_retry(self._streams())
                continue
            self._ready.clear()
            event, self._waiting = self._waiting, None
            if event is not None:
                yield event
            if self._is_over:
                if self._last:
                    yield self._last
                return


class _Group:
    """Those who listen with one scope. `is_stale` is set where the scope may be another by now: then any hint is theirs."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.is_stale = False
        self.listeners: list[Listener] = []

    def concerned(self, touched: Touched) -> list[Listener]:
        """The listeners who may have something to pull."""
        is_other = touched.may_change(self.scope)
        if not (is_other or self.is_stale or touched.concerns(self.scope)):
            return []
        self.is_stale |= is_other
        return self.listeners


class Hub:
    """The streams of one process. `running` keeps it; a stream is opened within `listening`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._groups: dict[Holder, _Group] = {}
        self._devices: dict[UUID, list[Listener]] = {}
        self._count = 0
        self._pace = Pace()
        self._seen: Head | None = None
        self._wake = asyncio.Event()
        self._suspicion = asyncio.Event()
        self._is_closed = False

    @property
    def streams(self) -> int:
        """How many are open."""
        return self._count

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hear of commits and tell of them until the block ends; then every stream ends."""
        tasks = [
            asyncio.create_task(hear_commits(self._database, self._wake.set, lambda: self._count > 0)),
            asyncio.create_task(self._pace.run()),
            asyncio.create_task(_again(self._look, self._wait_for_commits)),
            asyncio.create_task(_again(self._check, self._wait_for_suspicion)),
        ]
        try:
            yield
        finally:
            self.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """End all streams and open none any more: the process is about to stop."""
        self._is_closed = True
        for listeners in self._devices.values():
            for listener in listeners:
                listener.end(encode_retry(self._count))

    def require_room(self) -> None:
        """Raises BusyError where this process takes no more streams."""
        if self._is_closed:
            raise BusyError("this server is about to stop; come back to another")
        if self._count >= STREAMS_MAX:
            raise BusyError(f"{STREAMS_MAX} devices listen here already; pull at intervals until there is room")

    @asynccontextmanager
    async def listening(self, arrival: Arrival, scope: Scope) -> AsyncIterator[Listener]:
        """A stream for a device that was let in; of too many streams of one device the oldest ends."""
        listener = Listener(arrival.asker.device_id, arrival.holder, arrival.head, lambda: self._count)
        group = self._groups.setdefault(listener.holder, _Group(scope))
        group.listeners.append(listener)
        of_device = self._devices.setdefault(listener.device_id, [])
        of_device.append(listener)
        self._count += 1
        for older in of_device[:-STREAMS_PER_DEVICE_MAX]:
            older.end()
        if self._is_closed:
            listener.end()
        if self._seen is None:
            self._seen = listener.head
        elif self._seen != listener.head:  # between the two anything may have happened
            group.is_stale = True
            listener.hint(encode_hint(max(self._seen, listener.head, key=lambda head: head.head)))
        try:
            yield listener
        finally:
            self._forget(listener)

    def _forget(self, listener: Listener) -> None:
        self._count -= 1
        self._pace.forget(listener)
        group, of_device = self._groups[listener.holder], self._devices[listener.device_id]
        group.listeners.remove(listener)
        of_device.remove(listener)
        if not group.listeners:
            del self._groups[listener.holder]
        if not of_device:
            del self._devices[listener.device_id]

    async def _wait_for_commits(self) -> None:
        await asyncio.sleep(LOOK_SECONDS_MIN)
        await _wait_for(self._wake, LOOK_SECONDS)

    async def _wait_for_suspicion(self) -> None:
        await asyncio.sleep(CHECK_SECONDS_MIN)
        await _wait_for(self._suspicion, CHECK_SECONDS)
        self._suspicion.clear()

    async def _look(self) -> None:
        """Tell everybody concerned what happened since the last look."""
        self._wake.clear()
        if not self._count:
            self._seen = None
            return
        async with snapshot_of(self._database) as reader:
            head, is_sealed = await read_position(reader)
            if is_sealed:
                await self._tell(reader, head)
        if not is_sealed:
            await seal_foreign_writes(self._database)
            self._wake.set()

    async def _tell(self, reader: Reader, head: Head) -> None:
        seen = self._seen or head
        if seen == head:
            self._suspicion.set()  # a commit that is none of the log's: a device may have been revoked
        else:
            touched, event = await read_touched(reader, seen, head), encode_hint(head)
            self._seen = head
            self._pace.hint([each for group in self._groups.values() for each in group.concerned(touched)], event)
        stale = [(holder, group) for holder, group in self._groups.items() if group.is_stale]
        for holder, group in stale[:REFRESHED_SCOPES_MAX]:
            group.is_stale = False
            group.scope = await cache_of(self._database).scope(reader, holder, head)
        if len(stale) > REFRESHED_SCOPES_MAX:
            self._wake.set()

    async def _check(self) -> None:
        """End the streams of devices that may not listen any more, or that stand for somebody else now."""
        if not self._devices:
            return
        async with snapshot_of(self._database) as reader:
            identifiers = [reader.identifier(column) for column in ("d.id", "u.id", "u.rep_id", "u.customer_id")]
            sql = f"""
                SELECT {", ".join(identifiers)} FROM device d JOIN user_account u ON u.id = d.user_id
                 WHERE {reader.among_ids("d.id", "$1")} AND d.revoked_at_ms IS NULL AND u.active
            """  # noqa: S608  # no input in it
            asked = list(self._devices)
            found = await reader.all(sql, [asked])
        holders = {}
        for device_id, user_id, rep_id, customer_id in found:
            rep, customer = (UUID(bytes=each) if each else None for each in (rep_id, customer_id))
            holders[UUID(bytes=device_id)] = Holder(rep, customer, rep or UUID(bytes=user_id))
        for device_id in asked:
            for listener in self._devices.get(device_id, ()):
                if holders.get(device_id) != listener.holder:
                    listener.end()


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def _again(act: Callable[[], Awaitable[None]], wait: Callable[[], Awaitable[None]]) -> None:
    """Act, wait, and act again, until cancelled. A database that is away is waited for, and no error ends it: who listens
    would hear nothing for ever.
    """
    while True:
        try:
            await act()
        except SQLAlchemyError as error:
            _log.warning("live streams wait for the database: %s", error)
            await asyncio.sleep(1)
        except Exception:  # noqa: BLE001  # as said above
            _log.exception("live streams failed, and go on")
            await asyncio.sleep(1)
        await wait()
