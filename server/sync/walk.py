"""The walk over the log that a pull is made of: which rows, in which order, from which place on.

A *pass* covers the commits in (pass_from, pass_to]. It goes entity by entity, and within one by (change, row id), an
order that nothing can disturb: a row that changes meanwhile leaves the pass and is found by the next one. Tombstones
and leaves of an entity come before its rows.
"""

from typing import Final
from uuid import UUID

import msgspec

from server.sync.reader import Reader
from server.sync.scope import Scope
from sync_protocol.entities import SYNCED, Synced
from sync_protocol.wire.codec import columns, is_told_whole
from sync_protocol.wire.messages import PullPosition

FIRST_ID: Final = UUID(int=0)


class Stage(msgspec.Struct, frozen=True):
    """One step of a pass: what is gone of an entity, or its rows."""

    number: int
    synced: Synced
    gone: bool


STAGES: Final = tuple(
    Stage(2 * synced.number + (0 if gone else 1), synced, gone)
    for synced in sorted(SYNCED, key=lambda each: each.number)
    for gone in (True, False)
)


def stage_sql(reader: Reader, stage: Stage, protocol_version: int, *, has_gained: bool) -> str:
    """The rows of a stage. Parameters: pass_from, pass_to, change, row id, limit, buckets, and the gained buckets."""
    beyond = "c.commit_seq > $1"
    if has_gained:
        beyond = f"(c.commit_seq > $1 OR {reader.among('l.bucket', '$7')})"
    common = (
        f"l.entity = {stage.synced.number} AND (l.change, l.row_id) > ($3, $4) "
        f"AND c.commit_seq <= $2 AND {reader.among('l.bucket', '$6')}"
    )
    if stage.gone:
        return f"""
            SELECT commit_seq, {reader.identifier("row_id")} FROM (
                SELECT c.commit_seq, l.change, l.row_id FROM change_log l JOIN change_commit c ON c.change = l.change
                 WHERE l.deleted = 1 AND c.commit_seq > $1 AND {common}
                UNION ALL
                SELECT c.commit_seq, l.change, l.row_id FROM change_leave l JOIN change_commit c ON c.change = l.change
                 WHERE c.commit_seq > $1 AND {common}
            ) AS gone
            ORDER BY change, row_id LIMIT $5
        """  # noqa: S608  # made of the registry, not of input
    selected = selected_sql(reader, stage.synced, protocol_version, {})
    return f"""
        SELECT {selected}
          FROM change_log l
          JOIN change_commit c ON c.change = l.change
          JOIN {stage.synced.name} t ON t.id = l.row_id
         WHERE l.deleted = 0 AND {beyond} AND {common}
         ORDER BY l.change, l.row_id LIMIT $5
    """  # noqa: S608  # made of the registry, not of input


def snapshot_sql(reader: Reader, synced: Synced, protocol_version: int) -> str:
    """All rows of an entity that are in some buckets now, in the order of their ids. Parameter: the buckets."""
    # SQLite is told to go through the table by its key; it would rather gather all rows from the log and sort them in memory.
    join = "CROSS JOIN" if reader.is_sqlite else "JOIN"
    selected = ", ".join(column_sql(reader, synced, column) for column in columns(synced, protocol_version))
    return f"""
        SELECT {selected}
          FROM {synced.name} t
          {join} change_log l ON l.entity = {synced.number} AND l.row_id = t.id
          {join} change_commit c ON c.change = l.change
         WHERE l.deleted = 0 AND {reader.among("l.bucket", "$1")}
         ORDER BY t.id
    """  # noqa: S608  # made of the registry, not of input


def selected_sql(reader: Reader, synced: Synced, protocol_version: int, named: dict[str, str]) -> str:
    """The columns of a row for a reader of this version; `named` has those that are not as `column_sql` makes them.

    A checksum of more than the reader is told, or of other values, would be wrong for it; 0 says nothing.
    """
    known = named if is_told_whole(synced, protocol_version) else {**named, "checksum": "0"}
    return ", ".join(known.get(name) or column_sql(reader, synced, name) for name in columns(synced, protocol_version))


def column_sql(reader: Reader, synced: Synced, column: str) -> str:
    """A column as it travels, of the log `l`, its commit `c` and the table `t`."""
    if column == "commit_seq":
        return "c.commit_seq"
    if column == "checksum":
        return "coalesce(l.checksum, 0)"
    return reader.identifier(f"t.{column}") if synced.is_id(column) else f"t.{column}"


class Begin(msgspec.Struct, frozen=True):
    """Of a stage, what a pass has: the first change, where its walk may begin, how many rows, and in which buckets."""

    change: int
    rows: int
    buckets: frozenset[str]


async def begins_of(reader: Reader, pass_from: int, pass_to: int) -> dict[int, Begin]:
    """The stages that have anything between two places.

    A short look-up for the short passes that most pulls are. Without it a walk would look through all of an entity, for
    all buckets of the scope.
    """
    sql = """
        SELECT 2 * l.entity + 1 - l.deleted, l.bucket, min(l.change), count(*)
          FROM change_commit c JOIN change_log l ON l.change = c.change
         WHERE c.commit_seq > $1 AND c.commit_seq <= $2 GROUP BY 1, 2
        UNION ALL
        SELECT 2 * l.entity, l.bucket, min(l.change), count(*)
          FROM change_commit c JOIN change_leave l ON l.change = c.change
         WHERE c.commit_seq > $1 AND c.commit_seq <= $2 GROUP BY 1, 2
    """
    found: dict[int, list[tuple[str, int, int]]] = {}
    for number, bucket, change, count in await reader.all(sql, [pass_from, pass_to]):
        found.setdefault(int(number), []).append((bucket, int(change), int(count)))
    return {
        number: Begin(min(change for _, change, _ in each), sum(count for *_, count in each), frozenset(name for name, *_ in each))
        for number, each in found.items()
    }


async def rows_expected(reader: Reader, scope: Scope) -> int:
    """How many rows the scope holds, for a progress bar: of the sums that are kept, since to count takes as long as a page."""
    sql = f"SELECT CAST(coalesce(sum(rows), 0) AS bigint) FROM bucket_sum WHERE {reader.among('bucket', '$1')}"  # noqa: S608  # no input in it
    ((count,),) = await reader.all(sql, [list(scope.buckets)])
    return int(count)


async def position_after(reader: Reader, position: PullPosition, stage: Stage, commit_seq: int, row_id: bytes) -> PullPosition:
    """The place right behind a row that was sent."""
    ((change,),) = await reader.all("SELECT change FROM change_commit WHERE commit_seq = $1", [commit_seq])
    return msgspec.structs.replace(position, stage=stage.number, change=change, row_id=UUID(bytes=row_id))
