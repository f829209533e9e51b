"""The device's file: two connections, each in a thread of its own, so that reading never waits for a sync.

WAL with `synchronous=FULL`: what a user saw as saved survives a power cut. Every writing act is one `BEGIN IMMEDIATE`
transaction; any error inside it ends it as a whole. The linked SQLite must be free of the WAL-reset bug.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import apsw

from client_sdk.errors import (
    RoadbookError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFailedError,
    StoreForeignError,
    StoreFullError,
)

P = ParamSpec("P")
T = TypeVar("T")

BUSY_MS: Final = 10_000
APPLICATION_ID: Final = 0x52424456
"""«RBDV»: in the header of every device's file, so that no other database is ever taken for one."""
_WAL_RESET_FIXED: Final = (3, 51, 3)

assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= _WAL_RESET_FIXED, "this SQLite can corrupt a WAL file"


class Store:
    """A file and its two connections. `inline` runs everything in the caller's thread, for tests that count statements."""

    def __init__(self, path: Path | str, *, inline: bool = False) -> None:
        self.path = str(path)
        self._inline = inline
        self._ended: RoadbookError | None = None
        with _translated(self.path):
            _create_private(self.path)
            self.writer = _connect(self.path, read_only=False)
            self.reader = _connect(self.path, read_only=True)
        self._write_thread = ThreadPoolExecutor(1, "roadbook-write")
        self._read_thread = ThreadPoolExecutor(1, "roadbook-read")

    async def write(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act` in one transaction: all of it is saved when this returns, or nothing is and it raises."""
        return await self._run(self._write_thread, self.write_now, act, *args, **kwargs)

    async def read(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act` on one snapshot."""
        return await self._run(self._read_thread, self.read_now, act, *args, **kwargs)

    async def _run(self, thread: ThreadPoolExecutor, run: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if self._ended is not None:
            raise self._ended
        if self._inline:
            return run(*args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(thread, lambda: run(*args, **kwargs))

    def write_now(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write`, in this thread."""
        with _translated(self.path), transaction(self.writer):
            return act(self.writer, *args, **kwargs)

    def read_now(self, act: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read`, in this thread."""
        with _translated(self.path):
            self.reader.execute("BEGIN")
            try:
                return act(self.reader, *args, **kwargs)
            finally:
                self.reader.execute("ROLLBACK")

    async def empty_log(self) -> bool:
        """Move the write-ahead log into the file and truncate it; False where somebody is still reading from it."""
        return await self._run(self._write_thread, self._empty_log)

    def _empty_log(self) -> bool:
        with _translated(self.path):
            # Waiting for a reader would keep the next writing act waiting too; the next sync tries again.
            self.writer.set_busy_timeout(0)
            try:
                is_busy, _, _ = self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
            finally:
                self.writer.set_busy_timeout(BUSY_MS)
            return not is_busy

    def end(self, error: RoadbookError) -> None:
        """Close the file for good: whoever asks for anything from now on is told why."""
        self._ended = error
        self.close()

    def close(self) -> None:
        """Wait for what is running and close the file."""
        self._write_thread.shutdown()
        self._read_thread.shutdown()
        self.reader.close()
        self.writer.close()


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """A writing transaction: committed where the block ends, rolled back where it raises.

    SQLite ends a transaction by itself on some errors (a full disk is one), so being still inside is checked before
    the commit: no half of a batch can be taken for the whole.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        _require_open(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _require_open(connection: apsw.Connection) -> None:
    if not connection.in_transaction:
        raise apsw.FullError("the transaction was ended from below")


def _create_private(path: str) -> None:
    """A new file is its owner's alone, and so are the files that SQLite makes beside it: the device's token is in it."""
    if path != ":memory:" and not Path(path).exists():
        Path(path).touch(mode=0o600)


def _require_ours(connection: apsw.Connection, path: str) -> None:
    """Refuse a database that is not a device's before a byte of it is changed. Raises StoreForeignError."""
    application = connection.pragma("application_id")
    is_empty = connection.execute("SELECT count(*) FROM sqlite_master").get == 0
    if application != APPLICATION_ID and not (application == 0 and is_empty):
        raise StoreForeignError(path)


def _connect(path: str, *, read_only: bool) -> apsw.Connection:
    connection = apsw.Connection(path)
    connection.set_busy_timeout(BUSY_MS)
    try:
        _require_ours(connection, path)
    except BaseException:
        connection.close()
        raise
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY", "cache_size=-32768"):
        connection.execute(f"PRAGMA {pragma}")
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    return connection


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """SQLite's errors as ours, each with what to do."""
    try:
        yield
    except ValueError as error:  # a stored value that is none of its kind
        raise StoreDamagedError(path, str(error)) from error
    except apsw.FullError as error:
        raise StoreFullError from error
    except apsw.IOError as error:
        raise StoreFailedError(path, str(error)) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreBusyError from error
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
        raise StoreDamagedError(path, str(error)) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, OSError) as error:
        raise StoreError(f"{path} cannot be opened for writing ({error}): check the folder and its permissions") from error
