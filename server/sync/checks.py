"""What a device compares its replica with: the sums of its buckets, range by range, and the rows of a range that differs.

Checks are read from the sums that the log keeps, at a cost that does not grow with the rows. A recount reads the rows
themselves: it is what a device proves itself against, and what finds a log that missed something.
"""

import logging
from collections.abc import Collection, Iterable
from typing import Any, Final

from server.changelog.mending import mend
from server.changelog.sums import bucket_sql, checksum_sql, range_sql
from server.runtime.database import Database
from server.sync.reader import Reader
from server.sync.scope import Scope
from sync_protocol.entities import SYNCED, Synced
from sync_protocol.wire.codec import is_summed, is_told_whole
from sync_protocol.wire.messages import (
    BucketCheck,
    RangeCheck,
)

SAMPLED: Final = 16
"""How many buckets that nothing changed in are checked all the same at each checkpoint, in turn."""
_log = logging.getLogger(__name__)


def summed(buckets: Iterable[str], protocol_version: int) -> set[str]:
    """The buckets whose kept sums are those of what a reader of this version is told of them."""
    return {bucket for bucket in buckets if is_summed(bucket.partition(":")[0], protocol_version)}


def sample(scope: Scope, now_ms: int) -> set[str]:
    """A few buckets of the scope, others every minute, so that each has its turn though nothing changes in it."""
    count = len(scope.buckets)
    begin = now_ms // 60_000 * SAMPLED
    return {scope.buckets[(begin + place) % count] for place in range(min(SAMPLED, count))}


async def checks_of(reader: Reader, buckets: Collection[str]) -> tuple[BucketCheck, ...]:
    """What each of these buckets holds, as the log keeps it."""
    sql = f"""
        SELECT bucket, CAST(sum(rows) AS bigint), CAST(sum(checksum) AS bigint) FROM bucket_sum
         WHERE {reader.among("bucket", "$1")} GROUP BY bucket
    """  # noqa: S608  # no input in it
    found = {bucket: (rows, checksum) for bucket, rows, checksum in await reader.all(sql, [sorted(buckets)])}
    held = {bucket: found.get(bucket, (0, 0)) for bucket in sorted(buckets)}
    return tuple(BucketCheck(bucket=bucket, rows=rows, checksum=checksum) for bucket, (rows, checksum) in held.items())


async def kept_ranges(reader: Reader, buckets: list[str]) -> tuple[RangeCheck, ...]:
    """What the log keeps of each range that has rows."""
    sql = f"""
        SELECT bucket, range, CAST(sum(rows) AS bigint), CAST(sum(checksum) AS bigint) FROM bucket_sum
         WHERE {reader.among("bucket", "$1")} GROUP BY bucket, range HAVING sum(rows) <> 0 OR sum(checksum) <> 0
    """  # noqa: S608  # no input in it
    return _ordered(await reader.all(sql, [buckets]))


async def recounted_ranges(reader: Reader, buckets: list[str], protocol_version: int | None = None) -> tuple[RangeCheck, ...]:
    """What the tables themselves hold of each range that has rows; for a reader of a version of what it is told of them."""
    counted: dict[tuple[str, int], tuple[int, int]] = {}
    for synced, wanted in by_entity(buckets, protocol_version):
        sqlite = reader.is_sqlite
        is_whole = protocol_version is None or is_told_whole(synced, protocol_version)
        checksum = checksum_sql(synced, "t", is_sqlite=sqlite) if is_whole else "0"
        sql = f"""
            SELECT {bucket_sql(synced, "t", is_sqlite=sqlite)}, {range_sql(synced, "t.id", is_sqlite=sqlite)}, count(*),
                   CAST(sum({checksum}) AS bigint)
              FROM {synced.name} t WHERE {keyed(reader, synced)} GROUP BY 1, 2
        """  # noqa: S608  # made of the registry, not of input
        for bucket, number, rows, checksum in await reader.all(sql, [wanted]):
            before = counted.get((bucket, number), (0, 0))
            counted[bucket, number] = (before[0] + rows, before[1] + checksum)
    return _ordered((*place, *held) for place, held in counted.items())


def _ordered(ranges: Iterable[tuple[Any, ...]]) -> tuple[RangeCheck, ...]:
    return tuple(
        RangeCheck(bucket=bucket, range=number, rows=max(rows, 0), checksum=max(checksum, 0))
        for bucket, number, rows, checksum in sorted(ranges)
    )


def by_entity(buckets: Iterable[str], protocol_version: int | None = None) -> Iterable[tuple[Synced, list[str]]]:
    """The entities that are in these buckets, but for those that a reader of this version does not know; each with its buckets."""
    for synced in SYNCED:
        if protocol_version is not None and synced.since_protocol > protocol_version:
            continue
        wanted = sorted(bucket for bucket in buckets if bucket.partition(":")[0] == synced.bucket.kind)
        if wanted:
            yield synced, wanted


def keyed(reader: Reader, synced: Synced) -> str:
    """SQL for «the row `t` is in one of the buckets of the list $1», by the row's own columns and their indexes."""
    if synced.bucket.key is None:
        return f"'{synced.bucket.kind}' IN ({reader.listed('$1')})"
    key = f"t.{synced.bucket.key}"
    digits = f"substr(value, {len(synced.bucket.kind) + 2})"
    made = f"unhex({digits})" if reader.is_sqlite else f"CAST({digits} AS uuid)"
    return f"{key} IN (SELECT {made} FROM ({reader.listed('$1')}) AS named)"  # noqa: S608  # made of the registry


async def mend_what_differs(database: Database, kept: tuple[RangeCheck, ...], counted: tuple[RangeCheck, ...], now_ms: int) -> None:
    """Capture what the log missed, so that every device gets it. Nothing is done where the sums are those of the rows."""
    buckets = sorted({each.bucket for each in set(kept) ^ set(counted)})
    if not buckets:
        return
    async with database.write() as session:
        mended = await mend(session, buckets, now_ms)
    _log.error("the log was not true to the tables in %s: %d rows are captured now", ", ".join(buckets), mended)
