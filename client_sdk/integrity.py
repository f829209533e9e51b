"""Whether the replica is what the server sent: sums that triggers keep, and rows that are computed anew.

The sums of the replica show a row that was lost, came from nowhere, or was written with another checksum. What a disk did to
the fields of a row shows only where its checksum is computed from them: `scrub` does that for a few rows now and then,
`Recount` for all of them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import apsw

from client_sdk.rows import fetch_tuples
from client_sdk.state import (
    Beyond,
    Checkpoint,
    ReplicaFiles,
    ScopeHeld,
    ScrubPosition,
    Suspects,
    checkpoint,
    forget,
    load,
    save,
)
from sync_protocol.checksums import row_checksum
from sync_protocol.entities import SYNCED, Synced
from sync_protocol.wire.messages import BucketCheck, BucketRange, RangeCheck

SCRUBBED_ROWS: Final = 2_000
"""How many rows a scrub computes anew: some ten milliseconds, whatever the replica's size."""
RECOUNTED_ROWS: Final = 5_000
_ID_BYTES: Final = 16


class Held(NamedTuple):
    """What a range, or a bucket, holds."""

    rows: int
    checksum: int


Place = tuple[str, int]
"""A bucket and a range of it."""
Stray = tuple[str, int]
"""An entity and the rowid of a row that is in no bucket of the scope."""


def ranges_of(places: Iterable[Place]) -> tuple[BucketRange, ...]:
    """Places as they travel, in order."""
    return tuple(BucketRange(bucket=bucket, range=number) for bucket, number in sorted(places))


def places_of(ranges: Iterable[BucketRange | RangeCheck]) -> set[Place]:
    """Where ranges are."""
    return {(each.bucket, each.range) for each in ranges}


# Sums that are kept


def suspects(connection: apsw.Connection, at: Checkpoint, checks: Iterable[BucketCheck]) -> Suspects:
    """What is to be looked into: buckets whose sums are not the server's at `at`, and what an earlier sync could not settle.

    It costs the same however many rows there are. Nothing is compared where another program has moved the replica, or
    where rows came that this app has no place for, which the server's sums have in them.
    """
    found = load(connection, Suspects) or Suspects()
    now = checkpoint(connection)
    if (now.epoch, now.cursor) != (at.epoch, at.cursor) or beyond(connection).unknown:
        return found
    differing = {each.bucket for each in checks if total(connection, each.bucket) != (each.rows, each.checksum)}
    return Suspects(tuple(sorted(differing.union(found.buckets))), found.kinds)


def note_suspects(connection: apsw.Connection, found: Suspects) -> None:
    """Keep in mind what is to be looked into until it is settled, or nothing where it is."""
    if found:
        save(connection, found)
    else:
        forget(connection, Suspects)


def beyond(connection: apsw.Connection) -> Beyond:
    """What came of a newer server that this app cannot keep as it came."""
    return load(connection, Beyond) or Beyond()


def total(connection: apsw.Connection, bucket: str) -> Held:
    """The sums that the replica keeps of a bucket."""
    found = "SELECT coalesce(sum(rows), 0), coalesce(sum(checksum), 0) FROM range_sum WHERE bucket = ?"
    return Held(*fetch_tuples(connection, found, (bucket,))[0])


def kept_ranges(connection: apsw.Connection, buckets: Iterable[str]) -> dict[Place, Held]:
    """The sums that the replica keeps of each range that has rows."""
    found = "SELECT bucket, range, rows, checksum FROM range_sum WHERE bucket = ? AND (rows <> 0 OR checksum <> 0)"
    rows = (row for bucket in buckets for row in connection.execute(found, (bucket,)))
    return {(bucket, number): Held(rows_held, checksum) for bucket, number, rows_held, checksum in rows}


def differing(held: Mapping[Place, Held], server: Iterable[RangeCheck]) -> set[Place]:
    """The ranges that are not what the server says."""
    said = {(each.bucket, each.range): Held(each.rows, each.checksum) for each in server}
    return {place for place in {*held, *said} if held.get(place) != said.get(place)}


# Rows computed anew


def scrub(connection: apsw.Connection, limit: int) -> set[str]:
    """Compute the checksums of the next few rows from their fields, go on behind them next time.

    Returns the kinds of bucket in which a row is not what it was when it came.
    """
    position = load(connection, ScrubPosition) or ScrubPosition(SYNCED[0].name, 0)
    names = [synced.name for synced in SYNCED]
    number = names.index(position.entity) if position.entity in names else 0
    rowid, left, changed = position.rowid, limit, set[str]()
    partial = beyond(connection).partial
    for _ in SYNCED:
        synced = SYNCED[number]
        rows = _rows_after(connection, synced, rowid, left)
        if synced.name not in partial and any(_is_changed(synced, checksum, fields) for _, checksum, fields in rows):
            changed.add(synced.bucket.kind)
        left -= len(rows)
        if left <= 0:
            rowid = rows[-1][0]
            break
        number, rowid = (number + 1) % len(SYNCED), 0
    moved = ScrubPosition(SYNCED[number].name, rowid)
    if moved != position:
        save(connection, moved)
    return changed


def _is_changed(synced: Synced, checksum: int, fields: tuple[Any, ...]) -> bool:
    """Whether a row is not what it was when it came. One that came without a checksum, of an older server, says nothing."""
    return checksum not in {0, row_checksum(synced, fields)}


def _rows_after(connection: apsw.Connection, synced: Synced, rowid: int, limit: int) -> list[tuple[int, int, tuple[Any, ...]]]:
    """The rows that follow one in the order of the file, each with its rowid and the checksum that it came with."""
    names = ", ".join(synced.row.__struct_fields__)
    sql = f"SELECT rowid, checksum, {names} FROM {synced.name} WHERE rowid > ? ORDER BY rowid LIMIT ?"  # noqa: S608  # names of the registry
    return [(row[0], row[1], row[2:]) for row in connection.execute(sql, (rowid, limit))]


def place_of(synced: Synced, fields: tuple[Any, ...]) -> Place:
    """The bucket and the range that a row is in by its fields, whatever was done to them."""
    row_id, bucket = fields[0], synced.bucket
    number = row_id[-1] if bucket.is_shared and isinstance(row_id, bytes) and len(row_id) == _ID_BYTES else 0
    if bucket.key is None:
        return bucket.kind, number
    key = fields[synced.row.__struct_fields__.index(bucket.key)]
    return f"{bucket.kind}:{key.hex() if isinstance(key, bytes) else ''}", number


class Recount:
    """Everything computed from the fields, a slice at a time so that other reads go on in between.

    `places` are the ranges whose rows are not what the kept sums say, `strays` rows that are in no bucket of the scope.
    """

    def __init__(self, kinds: Iterable[str] | None = None) -> None:
        self._kinds = {synced.bucket.kind for synced in SYNCED} if kinds is None else set(kinds)
        self._begun: tuple[Checkpoint, ReplicaFiles | None] | None = None
        self._begin()

    def _begin(self) -> None:
        self._left = [synced for synced in SYNCED if synced.bucket.kind in self._kinds]
        self._rowid = 0
        self._counted: dict[Place, tuple[int, int]] = {}
        self._scope: frozenset[str] = frozenset()
        self._partial: tuple[str, ...] = ()
        self.rows = 0
        self.places: set[Place] = set()
        self.strays: list[Stray] = []
        self.stray_places: set[Place] = set()

    @property
    def buckets(self) -> tuple[str, ...]:
        """The buckets of the scope that are counted."""
        return tuple(sorted(bucket for bucket in self._scope if bucket.partition(":")[0] in self._kinds))

    def count_on(self, connection: apsw.Connection) -> bool:
        """Count the next slice; whether there is more. It begins anew where the replica has moved since the last slice."""
        now = checkpoint(connection), load(connection, ReplicaFiles)
        if now != self._begun:
            self._begin()
            self._begun = now
            held = load(connection, ScopeHeld)
            self._scope = frozenset(held.buckets if held is not None else ())
            self._partial = beyond(connection).partial
        self._count_slice(connection, self._left[0])
        if self._left:
            return True
        kept = kept_ranges(connection, self.buckets)
        self.places |= {place for place in {*kept, *self._counted} if kept.get(place) != self._counted.get(place)}
        return False

    def _count_slice(self, connection: apsw.Connection, synced: Synced) -> None:
        rows = _rows_after(connection, synced, self._rowid, RECOUNTED_ROWS)
        is_partial = synced.name in self._partial
        for rowid, checksum, fields in rows:
            place = place_of(synced, fields)
            if place[0] not in self._scope:
                self.strays.append((synced.name, rowid))
                self.stray_places.add(place)
                continue
            count, summed = self._counted.get(place, (0, 0))
            self._counted[place] = count + 1, summed + (checksum if is_partial or checksum == 0 else row_checksum(synced, fields))
        self.rows += len(rows)
        if len(rows) < RECOUNTED_ROWS:
            self._left.pop(0)
            self._rowid = 0
        else:
            self._rowid = rows[-1][0]
