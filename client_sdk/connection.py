"""Connections to the device's files, the transactions on them, and SQLite's errors as ours.

WAL with `synchronous=FULL`: what a user saw as saved survives a power cut. Every writing act is one `BEGIN IMMEDIATE`
transaction; any error inside it ends it as a whole. The linked SQLite must be free of the WAL-reset bug.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Final

import apsw

from client_sdk.errors import (
    StoreBusyError,
    StoreDamagedError,
    StoreEmptyError,
    StoreError,
    StoreFailedError,
    StoreForeignError,
    StoreFullError,
)

BUSY_MS: Final = 10_000
CACHE_KIBIBYTES: Final = 32_768
APPLICATION_ID: Final = 0x52424456
"""«RBDV»: in the header of every device's file, so that no other database is ever taken for one."""
DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError)
"""What SQLite says of a file whose pages are not what it wrote."""
_ROOM_BYTES_MIN: Final = 256 * 1024
"""What SQLite may need beside a database before it writes a row of it."""
_WAL_RESET_FIXED: Final = (3, 51, 3)

assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= _WAL_RESET_FIXED, "this SQLite can corrupt a WAL file"


def connect(
    path: str, application_id: int, *, read_only: bool = False, alone: bool = False, synchronous: str = "FULL"
) -> apsw.Connection:
    """A connection to a file of ours, which is made where it is missing; `alone` keeps others out, and needs no file beside it.

    Raises StoreForeignError, StoreEmptyError, apsw.Error.
    """
    if application_id == APPLICATION_ID:
        _require_kept(path)
    make_private(path)
    connection = apsw.Connection(path)
    connection.set_busy_timeout(BUSY_MS)
    try:
        if alone:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        _require_ours(connection, path, application_id)
        # What a file defines runs nothing but what is harmless anywhere: a replica may have come over the wire.
        for pragma in (
            "trusted_schema=OFF",
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "secure_delete=ON",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIBIBYTES}")
    except BaseException:
        connection.close()
        raise
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    return connection


def make_private(path: str) -> None:
    """A new file is its owner's alone, and so are the files that SQLite makes beside it: the device's token is in it."""
    if not Path(path).exists():
        Path(path).touch(mode=0o600)


def _require_kept(path: str) -> None:
    """Refuse an empty file with something of a device beside it. Raises StoreEmptyError.

    SQLite takes an empty file for a new database, and throws the write-ahead log beside it away, which may be all that is left.
    A device's file is empty for a moment when it is made, but then nothing is beside it.
    """
    own = Path(path)
    if not own.is_file() or own.stat().st_size:
        return
    log = own.with_name(f"{own.name}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    if has_log or next(own.parent.glob(f"{escape(own.name)}-replica-*"), None) is not None:
        raise StoreEmptyError(path)


def _require_ours(connection: apsw.Connection, path: str, application_id: int) -> None:
    """Refuse a database that is not a device's before a byte of it is changed. Raises StoreForeignError."""
    application = connection.pragma("application_id")
    is_empty = connection.execute("SELECT count(*) FROM sqlite_master").get == 0
    if application != application_id and not (application == 0 and is_empty):
        raise StoreForeignError(path)


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


@contextmanager
def snapshot(connection: apsw.Connection) -> Iterator[None]:
    """A reading transaction: everything in it is read as it was at one moment, file by file."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


@contextmanager
def translated(path: str) -> Iterator[None]:
    """SQLite's errors as ours, each with what to do."""
    try:
        yield
    except ValueError as error:  # a stored value that is none of its kind
        raise StoreDamagedError(path, str(error)) from error
    except apsw.FullError as error:
        raise StoreFullError from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreBusyError from error
    except (*DAMAGE, apsw.SQLError) as error:
        raise StoreDamagedError(path, str(error)) from error
    except (apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, OSError) as error:
        raise _of_disk(path, error) from error


def _of_disk(path: str, error: Exception) -> StoreError:
    if _is_full(path, error):
        return StoreFullError()
    if isinstance(error, apsw.IOError):
        return StoreFailedError(path, str(error))
    return StoreError(f"{path} cannot be opened for writing ({error}): check the folder and its permissions")


def _is_full(path: str, error: Exception) -> bool:
    """Whether a disk without room is behind it: of a file beside its database SQLite says «disk I/O error»."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE:
        return True
    try:
        is_without_room = shutil.disk_usage(Path(path).parent).free < _ROOM_BYTES_MIN
    except OSError:
        return False
    return is_without_room and isinstance(error, apsw.IOError | apsw.CantOpenError)
