"""Which of the device's files is damaged: only its own is a loss. A replica can be fetched anew, and is.

SQLite does not say in which file of an act it found the damage, so the device's own, which is small, is looked through. Where
that is whole, it is the replica.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apsw

from client_sdk import replica_file
from client_sdk.connection import DAMAGE
from client_sdk.shape import expected_shape, shape_of
from client_sdk.state import ReplicaFiles, load, note_damage, undecodable
from sync_protocol.entities import SYNCED
from sync_protocol.wire.codec import row_from_stored


def is_sound(connection: apsw.Connection) -> bool:
    """Whether the device's own file is a whole database with nothing in it that cannot be read."""
    try:
        is_whole = connection.execute("PRAGMA main.quick_check(1)").get == "ok"
        return is_whole and not undecodable(connection, "meta")
    except apsw.Error:
        return False


def is_at_fault(path: str) -> bool:
    """Whether something is wrong with a replica file, looked at from end to end: some seconds for a large one."""
    try:
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.Error:
        return True
    try:
        if connection.execute("PRAGMA integrity_check(1)").get != "ok" or shape_of(connection) != expected_shape():
            return True
        for synced in SYNCED:
            names = ", ".join(synced.row.__struct_fields__)
            for values in connection.execute(f"SELECT {names} FROM {synced.name}"):  # noqa: S608  # names of the registry
                row_from_stored(synced.row, values)
        return undecodable(connection, "replica_state")
    except (apsw.Error, ValueError):
        return True
    finally:
        connection.close()


def found_in_replica(connection: apsw.Connection, store_path: str, cause: BaseException | None) -> ReplicaFiles | None:
    """Note that the replica that is shown is damaged, where it is; None where the device's own file is, or neither.

    One that cannot be opened any more is replaced by an empty one, so that the device goes on.
    """
    files = load(connection, ReplicaFiles)
    if files is None or not is_sound(connection):
        return None
    if not isinstance(cause, DAMAGE) and not is_at_fault(replica_file.path_of(store_path, files.shown)):
        return None
    note_damage(connection, str(cause))
    return replica_file.ensure_shown(connection, store_path)


class Teller:
    """Tells of each damaged replica until somebody hears it: `tell` returns whether anybody did."""

    def __init__(self, tell: Callable[[str], bool]) -> None:
        self._tell = tell
        self._heard: set[int] = set()

    def tell(self, files: ReplicaFiles) -> None:
        """Say that the replica that is shown is damaged, where it is and nobody heard it before."""
        if files.damage and files.shown not in self._heard and self._tell(files.damage):
            self._heard.add(files.shown)


@contextmanager
def borne(connection: apsw.Connection) -> Iterator[None]:
    """Let an act go on without what it does in the block, where the replica is too damaged for it: that is noted, and no more.

    What the user saves must not fail of a file that is fetched anew. Raises what the device's own file is to blame for.
    """
    try:
        yield
    except DAMAGE as error:
        if not is_sound(connection):
            raise
        note_damage(connection, str(error))
