"""The server's database connections, run in this thread: each statement is a place to die at, to wait at, or to fail at.

SQLAlchemy, aiosqlite's interface and SQLite are the real ones; only aiosqlite's thread is taken out.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiosqlite

_STATEMENTS = frozenset({"execute", "executemany", "executescript", "commit", "_execute_fetchall"})
_GIVING_UP = frozenset({"rollback", "close"})
_BUSY_SECONDS_MAX = 10.0


class ServerKilledError(BaseException):
    """The server's process is gone. It derives from BaseException so that nothing in the product can catch it and go on."""


class _NoThread:
    daemon = True

    def start(self) -> None: ...


class _AtOnce:
    """Stands where aiosqlite has the queue of its thread."""

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = item
        try:
            result = function()
        except Exception as error:  # noqa: BLE001  # whatever it is, it goes to whoever waits, as in aiosqlite
            if future is not None:
                future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


class Process:
    """One run of a server process: its connections, and what is to happen to its statements."""

    def __init__(self, path: str, now_ms: Callable[[], int]) -> None:
        self.path = path
        self._now_ms = now_ms
        self.dead = False
        self.statements = 0
        self.dies_before: int | None = None
        self.dies_after: int | None = None
        self.committed: Callable[[], None] = lambda: None
        self.pause: Callable[[], float] | None = None
        self.fuse: Callable[[], str] | None = None
        self._raw: list[sqlite3.Connection] = []

    def connector(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        connection.create_function("virtual_now_ms", 0, self._now_ms)
        self._raw.append(connection)
        return connection

    def connect(self) -> "InlineConnection":
        return InlineConnection(self)

    def before(self) -> str:
        """A statement is to be carried out; what the fuse says of it is given to `after`."""
        if self.dead:
            raise ServerKilledError
        self.statements += 1
        ends = self.fuse() if self.fuse is not None else ""
        if ends == "before" or (self.dies_before is not None and self.statements >= self.dies_before):
            self.die()
        return ends

    def after(self, ends: str) -> None:
        if ends == "after" or (self.dies_after is not None and self.statements >= self.dies_after):
            self.die()

    def die(self) -> None:
        """Every later statement is refused as well; SQLite rolls back what was open when the connections go."""
        self.dead = True
        for connection in self._raw:
            connection.close()
        self._raw.clear()
        raise ServerKilledError

    def limit_pages(self, further: int | None) -> None:
        """Let the disk be full after so many more pages, or let it have room again."""
        for connection in self._raw:
            with suppress(sqlite3.ProgrammingError):  # one whose request was given up in the middle of a statement is closed
                (count,) = connection.execute("PRAGMA page_count").fetchone()
                connection.execute(f"PRAGMA max_page_count={count + further if further is not None else 1_000_000}")

    def bury(self) -> None:
        self.dead = True
        for connection in self._raw:
            connection.close()
        self._raw.clear()


class InlineConnection(aiosqlite.Connection):
    """aiosqlite's connection without its thread."""

    def __init__(self, process: Process) -> None:
        super().__init__(process.connector, 64)
        self._tx = _AtOnce()
        self._thread = _NoThread()
        self._process = process

    def __del__(self) -> None:
        """Nothing to warn of: the process closes its connections."""

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._process.dead and fn.__name__ in _GIVING_UP:
            return None
        if not self._running or not self._connection:
            raise ValueError("Connection closed")
        if fn.__name__ not in _STATEMENTS:
            if self._process.dead:
                raise ServerKilledError
            return fn(*args, **kwargs)
        return await self._statement(fn, *args, **kwargs)

    async def _statement(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        process = self._process
        if process.pause is not None and (seconds := process.pause()):
            await asyncio.sleep(seconds)
        ends = process.before()
        if args and args[0].startswith("PRAGMA busy_timeout"):
            args = ("PRAGMA busy_timeout=0",)
        result = await self._patiently(fn, args, kwargs)
        if fn.__name__ == "commit":
            process.committed()
        process.after(ends)
        return result

    async def _patiently(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """SQLite's busy handler, in virtual time."""
        waited = 0.0
        while True:
            try:
                return fn(*args, **kwargs)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or waited >= _BUSY_SECONDS_MAX:
                    raise
            await asyncio.sleep(0.05)
            waited += 0.05
            if self._process.dead:
                raise ServerKilledError
