"""The rows of whole ranges, as a page of bounded size: as many of the ranges that were asked for as fit, in the order asked.

How many rows a range has is read from the sums that the log keeps, and these may be what is wrong: so rows and bytes are
counted as they come, and where a page grows too large, the last of its ranges are let go of. Nothing is read twice.
"""

from collections import defaultdict
from contextlib import aclosing
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
from sync_protocol.wire.codec import PageWriter, columns
from sync_protocol.wire.messages import PAGE_ROWS_MAX, BucketRange, PageHeader, PageTrailer, RepairRequest, RowChunk

REPAIR_BYTES_MAX: Final = 32 * 1024 * 1024
"""What a page of ranges unpacks to at the most. A pull of a bucket from its beginning has no such limit, and is what is left."""


async def repair_page(session: ReadSession, request: RepairRequest, scope: Scope, head: Head, now_ms: int) -> bytes:
    """All rows of the first of the ranges that fit into a page, read from the session's one snapshot.

    Ranges that are not in the scope have no rows. Raises RangeTooLargeError where not even the first fits.
    """
    reader = await Reader.of(session)
    count = await _count_fitting(reader, request.ranges, scope)
    answer = _Answer(request.ranges[:count], request.protocol_version)
    await _read(reader, answer, scope)
    if answer.count == 0:
        raise RangeTooLargeError(request.ranges[0].bucket)
    return _page(request, head, answer, now_ms)


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


async def _read(reader: Reader, answer: "_Answer", scope: Scope) -> None:
    """Read each bucket once, whatever turns out not to fit."""
    for bucket in sorted(scope.names.intersection(answer.buckets())):
        for synced, _ in by_entity([bucket], answer.protocol_version):
            if not (numbers := answer.numbers(bucket)):
                break
            sql = _range_rows_sql(reader, synced, answer.protocol_version, numbers)
            async with aclosing(reader.stream(sql, [[bucket]])) as chunks:
                async for rows in chunks:
                    answer.add(synced, bucket, rows)


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


class _Answer:
    """The rows of ranges, by range: where they become too many, the last ranges are let go of, and the first ones stay whole.

    `count` is of how many of the ranges it is.
    """

    def __init__(self, ranges: tuple[BucketRange, ...], protocol_version: int) -> None:
        self.protocol_version = protocol_version
        self.count = len(ranges)
        self._places = [(each.bucket, each.range) for each in ranges]
        self._chunks: dict[tuple[str, int], list[tuple[RowChunk, int]]] = {place: [] for place in self._places}
        self._rows = self._bytes = 0

    def buckets(self) -> set[str]:
        """Of which rows are wanted."""
        return {bucket for bucket, _ in self._chunks}

    def numbers(self, bucket: str) -> set[int]:
        """The ranges of a bucket that are still wanted."""
        return {number for name, number in self._chunks if name == bucket}

    def chunks(self) -> list[tuple[RowChunk, int]]:
        """What is on the page, each chunk with how many rows it has."""
        return [chunk for chunks in self._chunks.values() for chunk in chunks]

    def add(self, synced: Synced, bucket: str, rows: list[tuple[Any, ...]]) -> None:
        """Add rows of a bucket; those of ranges that were let go of are left out."""
        place_of_id = columns(synced, self.protocol_version).index("id")
        by_range: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
        for row in rows:
            by_range[row[place_of_id][15] if synced.bucket.is_shared else 0].append(row)
        for number, found in sorted(by_range.items()):
            if (bucket, number) in self._chunks:
                self._count((bucket, number), list(row_chunks(synced, found, self.protocol_version)))

    def _count(self, place: tuple[str, int], chunks: list[tuple[RowChunk, int]]) -> None:
        self._chunks[place] += chunks
        self._weigh(chunks, 1)
        while self._rows > PAGE_ROWS_MAX or self._bytes > REPAIR_BYTES_MAX:
            self.count -= 1
            last = self._places[self.count]
            if last not in self._places[: self.count]:
                self._weigh(self._chunks.pop(last), -1)

    def _weigh(self, chunks: list[tuple[RowChunk, int]], sign: int) -> None:
        self._rows += sign * sum(rows for _, rows in chunks)
        self._bytes += sign * sum(memoryview(chunk.rows).nbytes for chunk, _ in chunks)


def _page(request: RepairRequest, head: Head, answer: _Answer, now_ms: int) -> bytes:
    """The page of an answer; where that is not of all the ranges, the trailer says so."""
    writer, chunks = PageWriter(), answer.chunks()
    header = PageHeader(protocol_version=request.protocol_version, audience=request.device_id, epoch=head.epoch)
    body = bytearray(writer.frame(header))
    for chunk, _ in chunks:
        body += writer.frame(chunk)
    trailer = PageTrailer(
        audience=request.device_id,
        epoch=head.epoch,
        rows=sum(rows for _, rows in chunks),
        digest=writer.digest,
        cursor=head.head,
        complete=False,
        server_time_ms=now_ms,
        ranges_answered=answer.count if answer.count < len(request.ranges) else None,
        head=head.place,
    )
    body += writer.frame(trailer) + writer.close()
    return bytes(body)
