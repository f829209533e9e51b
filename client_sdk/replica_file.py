"""The replica's files beside the device's own: one is shown, one may be being built, anything else is a left-over.

Which is which stands in the device's own file, under one key. A number is never used twice, so that nothing that is left of
one file can be taken for a part of another.
"""

import os
from enum import StrEnum
from glob import escape
from pathlib import Path
from typing import Final

import apsw
import msgspec

from client_sdk.connection import CACHE_KIBIBYTES, DAMAGE, connect, transaction
from client_sdk.errors import StoreForeignError
from client_sdk.filling import finish
from client_sdk.image_file import unlink_parts
from client_sdk.range_sums import RangeSums
from client_sdk.state import ReplicaFiles, load, note_change, save, undecodable
from sync_protocol.replica_schema import REPLICA_APPLICATION_ID, create_sql, image_format
from sync_protocol.wire.codec import encode

SCHEMA: Final = "replica"
"""What the shown file is attached as; names without a schema are found in it."""
_LOG_PAGES_MAX: Final = 8_192
_CACHE_KIBIBYTES: Final = 4_096  # tables without keys are written from end to end: a larger one holds what is not read again
_FORMAT_KEY: Final = "image_format"


def path_of(store_path: str, number: int) -> str:
    """Where the replica of this number is."""
    return f"{store_path}-replica-{number}"


def shown_path(store_path: Path | str) -> Path | None:
    """The replica file that a device's file names as shown, for programs that only look."""
    connection = apsw.Connection(str(store_path))
    try:
        files = load(connection, ReplicaFiles)
    finally:
        connection.close()
    return Path(path_of(str(store_path), files.shown)) if files is not None else None


def open_builder(path: str) -> apsw.Connection:
    """A connection to a file that nobody shows yet. A power cut may take its last pages again: they are asked for again.

    The disk is waited for at every 32 MiB, not at every four. What is built is written once, so a small cache costs little, and
    is what a small device has.
    """
    connection = connect(path, REPLICA_APPLICATION_ID, synchronous="NORMAL")
    for pragma in (f"wal_autocheckpoint={_LOG_PAGES_MAX}", f"cache_size=-{_CACHE_KIBIBYTES}"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def make_empty(store_path: str, number: int) -> None:
    """A whole replica with nothing in it, in place of whatever a device that was restored since has left there."""
    path = path_of(store_path, number)
    for left in (path, f"{path}-wal", f"{path}-shm"):
        Path(left).unlink(missing_ok=True)
    connection = open_builder(path)
    try:
        with transaction(connection):
            create_tables(connection)
            finish(connection, RangeSums())
        settle(connection)
    finally:
        connection.close()


def create_tables(connection: apsw.Connection) -> None:
    """The tables of a replica in the making."""
    for statement in create_sql():
        connection.execute(statement)
    connection.execute("INSERT INTO replica_state VALUES (?, ?)", (_FORMAT_KEY, encode(image_format())))


def settle(connection: apsw.Connection) -> None:
    """Everything that was written is in the file itself and on the disk, and so is the file's name."""
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sync_folder(Path(connection.filename).parent)


def open_unpacked(path: str) -> apsw.Connection:
    """A connection to a file that is thrown away where anything fails before `put_in_place`."""
    connection = apsw.Connection(path)
    for pragma in ("trusted_schema=OFF", "journal_mode=MEMORY", "synchronous=OFF"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def log_ahead(connection: apsw.Connection) -> None:
    """Let an unpacked file be written with a log, as a replica is, before it is forced to the disk: later the disk would be waited
    for once more.
    """
    connection.execute("PRAGMA journal_mode=WAL")


def put_in_place(file: Path, path: str) -> None:
    """Let a file be found under another name, after a power cut too, with all that is in it."""
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for left in (f"{path}-wal", f"{path}-shm"):
        Path(left).unlink(missing_ok=True)
    file.replace(path)
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a power cut; where folders cannot be opened, the system sees to it itself."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_of_today(connection: apsw.Connection) -> bool:
    """Whether the replica that a connection sees is of the format that this app writes."""
    held = connection.execute("SELECT value FROM replica_state WHERE key = ?", (_FORMAT_KEY,)).get
    return bool(held == encode(image_format()))


class FileState(StrEnum):
    """What a replica file is to this app. One of another format is an older or a newer app's."""

    USABLE = "usable"
    OF_ANOTHER_FORMAT = "of another format"
    GONE = "its file is gone"
    DAMAGED = "its file cannot be read"


def state_of(path: str) -> FileState:
    """What is at this path, as far as its beginning tells."""
    if not Path(path).exists():
        return FileState.GONE
    try:
        connection = connect(path, REPLICA_APPLICATION_ID)
    except (*DAMAGE, StoreForeignError):
        return FileState.DAMAGED
    try:
        if not is_of_today(connection):
            return FileState.OF_ANOTHER_FORMAT
        return FileState.DAMAGED if undecodable(connection, "replica_state") else FileState.USABLE
    except (*DAMAGE, apsw.SQLError):
        return FileState.DAMAGED
    finally:
        connection.close()


def ensure_shown(connection: apsw.Connection, store_path: str) -> ReplicaFiles:
    """Which replica is shown; where there is none that this app can read, an empty one takes its place."""
    files = load(connection, ReplicaFiles)
    state = state_of(path_of(store_path, files.shown)) if files is not None else FileState.OF_ANOTHER_FORMAT
    if files is None or state is not FileState.USABLE:
        return show_empty(connection, store_path, "" if state is FileState.OF_ANOTHER_FORMAT else state.value)
    unlink_others(store_path, files)
    return files


def show_empty(connection: apsw.Connection, store_path: str, damage: str) -> ReplicaFiles:
    """Let an empty replica take the place of the one that is shown; `damage` says what was wrong with that, if anything."""
    before = load(connection, ReplicaFiles)
    number = 1 if before is None else before.last + 1
    files = ReplicaFiles(shown=number, last=number, damage=(before.damage if before is not None else "") or damage)
    make_empty(store_path, number)
    save(connection, files)
    note_change(connection)
    unlink_others(store_path, files)
    return files


def drop_building(connection: apsw.Connection, cause: str) -> ReplicaFiles | None:
    """Forget the replica that is being built. Returns what is shown, with the cause."""
    files = load(connection, ReplicaFiles)
    if files is None:
        return None
    save(connection, msgspec.structs.replace(files, building=None))
    return msgspec.structs.replace(files, building=None, damage=cause)


def attach(connection: apsw.Connection, path: str) -> None:
    """Let a connection see a replica file, in place of the one that it sees by now."""
    detach(connection)
    connection.execute(f"ATTACH ? AS {SCHEMA}", (path,))
    for pragma in ("synchronous=FULL", "secure_delete=ON", f"cache_size=-{CACHE_KIBIBYTES}"):
        connection.execute(f"PRAGMA {SCHEMA}.{pragma}")


def detach(connection: apsw.Connection) -> None:
    """Let a connection see no replica."""
    if SCHEMA in connection.db_names():
        connection.execute(f"DETACH {SCHEMA}")


def unlink_others(store_path: str, files: ReplicaFiles) -> None:
    """Remove the replica files that are neither shown nor being built, with what SQLite left beside them, and parts of images.

    Where a system refuses to remove a file that somebody has open, a later call does it.
    """
    kept = {path_of(store_path, number) for number in (files.shown, files.building) if number is not None}
    beside = Path(store_path)
    if files.building is None:
        unlink_parts(store_path)
    for path in beside.parent.glob(f"{escape(beside.name)}-replica-*"):
        if str(path.with_name(path.name.removesuffix("-wal").removesuffix("-shm").removesuffix("-journal"))) not in kept:
            try:
                path.unlink(missing_ok=True)
            except PermissionError:
                continue
