"""What a replica in the making holds, range by range, counted as its rows come: cheaper than to ask the whole table.

It is counted in memory alone, by the program that began it. Whatever is not an insert of a new row makes the count larger
than the table; then, and after a kill, the table is asked.
"""

from collections.abc import Iterable
from typing import Any

import apsw

from sync_protocol.entities import Synced
from sync_protocol.replica_schema import add_sum_sql, fill_sums_sql
from sync_protocol.values import RANGES
from sync_protocol.wire.codec import columns
from sync_protocol.wire.version import PROTOCOL_VERSION

_Counts = tuple[list[int], list[int]]


class RangeSums:
    """Of one replica: rows and sums of checksums by entity, bucket and range."""

    def __init__(self) -> None:
        self._counted: dict[str, dict[bytes | None, _Counts]] = {}
        self._sees_all = False

    def begin(self, *, sees_all: bool) -> None:
        """Count for another replica; `sees_all` where nothing is in it yet."""
        self._counted.clear()
        self._sees_all = sees_all

    def count(self, synced: Synced, rows: Iterable[tuple[Any, ...]]) -> None:
        """Count rows that are inserted, as (commit_seq, checksum, id, …). Private ones are few: their table is asked."""
        if not synced.bucket.is_shared:
            return
        counted = self._counted.setdefault(synced.name, {})
        place = columns(synced, PROTOCOL_VERSION).index(synced.bucket.key) if synced.bucket.key else None
        for row in rows:
            key = row[place] if place is not None else None
            counts = counted.get(key)
            if counts is None:
                counts = counted[key] = ([0] * RANGES, [0] * RANGES)
            last = row[2][15]
            counts[0][last] += 1
            counts[1][last] += row[1]

    def fill(self, connection: apsw.Connection, synced: Synced) -> None:
        """Add to the range sums what the table of an entity holds."""
        counted = self._counted.pop(synced.name, {})
        held = connection.execute(f"SELECT count(*) FROM {synced.name}").get  # noqa: S608  # a name of the registry
        if not self._sees_all or sum(sum(rows) for rows, _ in counted.values()) != held:
            connection.execute(fill_sums_sql(synced))
            return
        for key, (rows, checksums) in counted.items():
            bucket = f"{synced.bucket.kind}:{key.hex()}" if key is not None else synced.bucket.kind
            found = ((bucket, place, rows[place], checksums[place]) for place in range(RANGES) if rows[place])
            connection.executemany(add_sum_sql("?", "?", "?", "?"), found)
