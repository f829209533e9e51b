"""The rows of whole ranges, as a page of bounded size: as many of the ranges that were asked for as fit, in the order asked.

How many rows a range has is read from the sums that the log keeps, and these may be what is wrong: so rows and bytes are
counted as they come, and a page that grows too large is made anew of half as many ranges.
"""

from contextlib import aclosing
from itertools import groupby
from typing import Any, Final

from server.changelog.log import Head
from server.changelog.sums import checksum_sql, range_sql
from server.runtime.database import ReadSession
from server.sync.checks import by_entity, kept_ranges, keyed
from server.sync.chunks import row_chunks
from server.sync.errors import RangeTooLargeError
from server.sync.reader import Reader
from server.sync.scope import Scope
from server.sync.walk import selected_sql
from sync_protocol.entities import Synced
from sync_protocol.wire.codec import PageWriter
from sync_protocol.wire.messages import PAGE_ROWS_MAX, BucketRange, PageHeader, PageTrailer, RepairRequest

REPAIR_BYTES_MAX: Final = 16 * 1024 * 1024
"""What a page of ranges unpacks to at the most. A pull of a bucket from its beginning has no such limit, and is what is left."""


class _FullError(Exception):
    """More came of the ranges than a page may have."""


async def repair_page(session: ReadSession, request: RepairRequest, scope: Scope, head: Head, now_ms: int) -> bytes:
    """All rows of the first of the ranges that fit into a page, read from the session's one snapshot.

    Ranges that are not in the scope have no rows. Raises RangeTooLargeError where not even the first fits.
    """
    reader = await Reader.of(session)
    count = await _count_fitting(reader, request.ranges, scope)
    while True:
        try:
            page = await _page_of(reader, request, request.ranges[:count], scope, head)
        except _FullError:
            if count == 1:
                raise RangeTooLargeError(request.ranges[0].bucket) from None
            count = (count + 1) // 2
        else:
            return page.close(now_ms, count)


async def _count_fitting(reader: Reader, ranges: tuple[BucketRange, ...], scope: Scope) -> int:
    """How many of the ranges fit by what is kept of them; at least one, which may turn out not to."""
    buckets = sorted(scope.names.intersection(each.bucket for each in ranges))
    rows = {(each.bucket, each.range): each.rows for each in await kept_ranges(reader, buckets)}
    total = 0
    for count, each in enumerate(ranges):
        total += rows.get((each.bucket, each.range), 0)
        if total > PAGE_ROWS_MAX:
            return max(1, count)
    return len(ranges)


async def _page_of(
    reader: Reader, request: RepairRequest, ranges: tuple[BucketRange, ...], scope: Scope, head: Head
) -> "_RepairPage":
    """All rows of these ranges, with no trailer yet. Raises _FullError."""
    page = _RepairPage(request, head)
    asked = sorted({(each.bucket, each.range) for each in ranges if each.bucket in scope.names})
    for bucket, places in groupby(asked, key=lambda place: place[0]):
        numbers = {number for _, number in places}
        for synced, _ in by_entity([bucket], request.protocol_version):
            sql = _range_rows_sql(reader, synced, request.protocol_version, numbers)
            async with aclosing(reader.stream(sql, [[bucket]])) as chunks:
                async for rows in chunks:
                    page.add(synced, rows)
    return page


def _range_rows_sql(reader: Reader, synced: Synced, protocol_version: int, numbers: set[int]) -> str:
    """The rows of some ranges of one bucket, which the log need not know. Parameter: a list of the bucket alone."""
    sqlite = reader.is_sqlite
    named = {"commit_seq": "coalesce(c.commit_seq, 0)", "checksum": checksum_sql(synced, "t", is_sqlite=sqlite)}
    selected = selected_sql(reader, synced, protocol_version, named)
    listed = ", ".join(str(number) for number in sorted(numbers))
    return f"""
        SELECT {selected} FROM {synced.name} t
          LEFT JOIN change_log l ON l.entity = {synced.number} AND l.row_id = t.id
          LEFT JOIN change_commit c ON c.change = l.change
         WHERE {keyed(reader, synced)} AND {range_sql(synced, "t.id", is_sqlite=sqlite)} IN ({listed})
    """  # noqa: S608  # made of the registry, and of numbers


class _RepairPage:
    """A page of whole ranges."""

    def __init__(self, request: RepairRequest, head: Head) -> None:
        self._request, self._head = request, head
        self._rows = self._uncompressed = 0
        self._writer = PageWriter()
        header = PageHeader(protocol_version=request.protocol_version, audience=request.device_id, epoch=head.epoch)
        self._body = bytearray(self._writer.frame(header))

    def add(self, synced: Synced, rows: list[tuple[Any, ...]]) -> None:
        """Raises _FullError."""
        for chunk, count in row_chunks(synced, rows, self._request.protocol_version):
            self._uncompressed += memoryview(chunk.rows).nbytes
            self._rows += count
            if self._rows > PAGE_ROWS_MAX or self._uncompressed > REPAIR_BYTES_MAX:
                raise _FullError
            self._body += self._writer.frame(chunk)

    def close(self, now_ms: int, answered: int) -> bytes:
        """`answered` is how many of the ranges are on the page; where they are not all, the trailer says so."""
        head = self._head.head
        is_cut = answered < len(self._request.ranges)
        trailer = PageTrailer(
            audience=self._request.device_id,
            epoch=self._head.epoch,
            rows=self._rows,
            digest=self._writer.digest,
            cursor=head,
            complete=False,
            server_time_ms=now_ms,
            ranges_answered=answered if is_cut else None,
        )
        self._body += self._writer.frame(trailer) + self._writer.close()
        return bytes(self._body)
