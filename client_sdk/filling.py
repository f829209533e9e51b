"""A replica in the making: its tables are filled first, and what is derived of their rows is made when they are whole.

Ids are random: many are sorted in one go several times faster than each is put in its place, and the pages of their indexes
are written once and not with every page of rows. So a table has no key either while it is filled.
"""

from functools import cache
from itertools import chain
from typing import Any, Final

import apsw

from client_sdk.range_sums import RangeSums
from sync_protocol.entities import SYNCED, Synced
from sync_protocol.replica_schema import derived_sql, key_sql, sum_trigger_sql, view_sql
from sync_protocol.wire.codec import columns
from sync_protocol.wire.version import PROTOCOL_VERSION

_ROWS_AT_ONCE: Final = 40


def insert(connection: apsw.Connection, synced: Synced, rows: list[tuple[Any, ...]]) -> None:
    """Insert rows into a table that has no key yet, many with each statement: what a row costs is half its statement."""
    whole = len(rows) - len(rows) % _ROWS_AT_ONCE
    several = (tuple(chain.from_iterable(rows[start : start + _ROWS_AT_ONCE])) for start in range(0, whole, _ROWS_AT_ONCE))
    connection.executemany(_insert_sql(synced, _ROWS_AT_ONCE), several)
    connection.executemany(_insert_sql(synced, 1), rows[whole:])


def finish(connection: apsw.Connection, sums: RangeSums, before: int | None = None) -> None:
    """Indexes, search, sums and views, of all that is in the tables by now; or of the entities with a number below `before`.

    What was finished is left as it is: its triggers keep it.
    """
    for synced in unfinished(connection):
        if before is None or synced.number < before:
            _make_key(connection, synced)
            for statement in derived_sql(synced):
                connection.execute(statement)
            sums.fill(connection, synced)
            for statement in sum_trigger_sql(synced):
                connection.execute(statement)
    if before is None:
        for statement in view_sql():
            connection.execute(statement)


def unfinished(connection: apsw.Connection) -> tuple[Synced, ...]:
    """The entities whose tables are only being filled: they have no key yet, and nothing keeps their sums."""
    kept = {name for (name,) in connection.execute("SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'")}
    return tuple(synced for synced in SYNCED if synced.name not in kept)


def _make_key(connection: apsw.Connection, synced: Synced) -> None:
    """Make the key of a table; of a row that came more than once its newest version stays (the version guard)."""
    name = synced.name
    try:
        connection.execute(key_sql(name))
    except apsw.ConstraintError:
        newest = f"SELECT rowid FROM (SELECT rowid, max(commit_seq) FROM {name} GROUP BY id)"  # noqa: S608  # a name of the registry
        connection.execute(f"DELETE FROM {name} WHERE rowid NOT IN ({newest})")  # noqa: S608  # as above
        connection.execute(key_sql(name))


@cache
def _insert_sql(synced: Synced, rows: int) -> str:
    names = columns(synced, PROTOCOL_VERSION)
    marks = f"({', '.join('?' for _ in names)})"
    return f"INSERT INTO {synced.name} ({', '.join(names)}) VALUES {', '.join([marks] * rows)}"  # noqa: S608  # names of the registry
