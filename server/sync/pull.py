"""Rows down: one page of a walk, read from one snapshot, ended by a trailer (design rules 1 to 7).

A page is built in memory and bounded by rows and bytes, and only then sent: a device on a slow link holds a few
megabytes of the server, never a database transaction.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final
from uuid import UUID

import msgspec

from server.changelog.log import Head
from server.sync.checks import checks_of, sample, summed
from server.sync.chunks import row_chunks
from server.sync.histories import is_of_this_past
from server.sync.reader import CHUNK_ROWS, Reader
from server.sync.scope import Scope
from server.sync.walk import FIRST_ID, STAGES, Begin, Stage, begins_of, position_after, rows_expected, stage_sql
from sync_protocol.wire.codec import PageWriter, columns
from sync_protocol.wire.messages import (
    BucketCheck,
    GoneChunk,
    PageHeader,
    PageTrailer,
    PullPosition,
    PullRequest,
    ResyncReason,
    ScopeChunk,
)

_log = logging.getLogger(__name__)

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
PAGE_UNCOMPRESSED_BYTES_MAX: Final = 32 * 1024 * 1024
PIECE_BYTES: Final = 128 * 1024


async def resync_reason(reader: Reader, request: PullRequest, head: Head) -> ResyncReason | None:
    """Why the device must start anew, if it must."""
    if request.epoch is not None and request.epoch != head.epoch:
        return ResyncReason.EPOCH_CHANGED
    reached = request.position.pass_to if request.position else request.cursor
    if max(reached, request.cursor) > head.head or not await is_of_this_past(reader, head, request.known):
        return ResyncReason.CURSOR_AHEAD
    started = request.cursor or (request.position.pass_to if request.position else head.floor)
    return ResyncReason.BELOW_RETENTION if started < head.floor else None


class Page:
    """One page in the making."""

    def __init__(self, request: PullRequest, head: Head, now_ms: int, proof_id: UUID | None) -> None:
        self._request = request
        self._head = head
        self._now_ms = now_ms
        self._proof_id = proof_id
        self._writer = PageWriter()
        self._rows = 0
        self._uncompressed = 0
        self.body = bytearray()

    @property
    def protocol_version(self) -> int:
        """The version that the device speaks: it gets the entities and columns that it knows."""
        return self._request.protocol_version

    @property
    def rows_left(self) -> int:
        is_full = len(self.body) >= PAGE_BYTES_MAX or self._uncompressed >= PAGE_UNCOMPRESSED_BYTES_MAX
        return 0 if is_full else self._request.page_rows - self._rows

    def add(self, message: object, rows: int = 0) -> None:
        self.body += self._writer.frame(message)
        self._rows += rows

    def add_rows(self, stage: Stage, rows: list[tuple[Any, ...]]) -> None:
        """Add rows of a stage, in as many chunks as keep each within a frame."""
        if stage.gone:
            self.add(GoneChunk(entity=stage.synced.name, rows=tuple(rows)), len(rows))
            return
        for chunk, count in row_chunks(stage.synced, rows, self._request.protocol_version):
            self._uncompressed += memoryview(chunk.rows).nbytes
            self.add(chunk, count)

    def open(self, *, expected: int = 0, resync: ResyncReason | None = None) -> None:
        self.add(
            PageHeader(
                protocol_version=self._request.protocol_version,
                audience=self._request.device_id,
                epoch=self._head.epoch,
                rows_expected=expected,
                resync=resync,
            )
        )

    def close(
        self, *, cursor: int, complete: bool, position: PullPosition | None = None, checks: tuple[BucketCheck, ...] = ()
    ) -> bytes:
        self.add(
            PageTrailer(
                audience=self._request.device_id,
                epoch=self._head.epoch,
                rows=self._rows,
                digest=self._writer.digest,
                cursor=cursor,
                complete=complete,
                server_time_ms=self._now_ms,
                position=position,
                checks=checks,
                proof_id=self._proof_id if complete and self._request.protocol_version >= 2 else None,
                head=self._head.place if self._request.protocol_version >= 2 else None,
            )
        )
        self.body += self._writer.close()
        return bytes(self.body)


async def build_page(
    reader: Reader, request: PullRequest, scope: Scope, head: Head, now_ms: int, *, proof_id: UUID | None = None
) -> bytes:
    """The page that answers `request`, for a principal of this scope. All is read from the one snapshot whose head is given.

    `proof_id` is what the device is asked to prove itself under.
    """
    page = Page(request, head, now_ms, proof_id)
    if (reason := await resync_reason(reader, request, head)) is not None:
        if reason is ResyncReason.CURSOR_AHEAD:
            _log.warning("device %s knows commits that are not here: after a restore say `roadbook restored`", request.device_id)
        page.open(resync=reason)
        return page.close(cursor=0, complete=False)
    if request.scope_digest != scope.digest:
        page.open()
        page.add(ScopeChunk(digest=scope.digest, buckets=scope.buckets))
        return page.close(cursor=request.cursor, complete=False, position=request.position)
    position = request.position or PullPosition(pass_from=request.cursor, pass_to=head.head, stage=0, change=0, row_id=FIRST_ID)
    begins: dict[int, Begin] = {}
    if position.pass_from == position.pass_to and not request.gained:
        page.open()
        rest = None
    else:
        if position.pass_from > 0:
            begins = await begins_of(reader, position.pass_from, position.pass_to)
        if not begins or request.gained or sum(begin.rows for begin in begins.values()) > CHUNK_ROWS:
            await reader.plan_anew()
        is_first_of_all = position.pass_from == 0 and request.position is None
        page.open(expected=await rows_expected(reader, scope) if is_first_of_all else 0)
        rest = await _fill(page, reader, request, position, scope, begins=begins)
    if rest is not None or position.pass_to != head.head:
        return page.close(cursor=position.pass_to, complete=False, position=rest)
    touched = {bucket for begin in begins.values() for bucket in begin.buckets}.union(request.gained)
    is_all = position.pass_from == 0 and position.pass_to > 0
    wanted = scope.names if is_all else (scope.names & touched) | sample(scope, now_ms)
    checks = await checks_of(reader, summed(wanted, page.protocol_version)) if page.protocol_version >= 2 else ()
    return page.close(cursor=position.pass_to, complete=True, checks=checks)


class _Search(msgspec.Struct, frozen=True):
    """What is looked for in a stage: rows of these buckets, of the gained ones in any version. `rows_max` is None where unknown."""

    buckets: list[str]
    gained: list[str]
    rows_max: int | None


async def _fill(
    page: Page, reader: Reader, request: PullRequest, position: PullPosition, scope: Scope, *, begins: dict[int, Begin]
) -> PullPosition | None:
    """Add what fits; return where to go on, or None where the pass is through."""
    gained = sorted(scope.names.intersection(request.gained))
    gained_kinds = {bucket.partition(":")[0] for bucket in gained}
    for stage in STAGES:
        if (
            stage.synced.since_protocol > page.protocol_version
            or stage.number < position.stage
            or (stage.gone and position.pass_from == 0)
        ):
            continue
        reached = position if stage.number == position.stage else msgspec.structs.replace(position, change=0, row_id=FIRST_ID)
        kind = stage.synced.bucket.kind
        gained_here = gained if kind in gained_kinds and not stage.gone else []
        if position.pass_from == 0 or gained_here:
            search = _Search(scope.of_kind(kind), gained_here, None)
        elif (begin := begins.get(stage.number)) is not None:
            search = _Search(sorted(scope.names & begin.buckets), [], begin.rows)
            if reached.change < begin.change:
                reached = msgspec.structs.replace(reached, change=begin.change - 1, row_id=FIRST_ID)
        else:
            continue
        rest = await _fill_stage(page, reader, stage, reached, search) if search.buckets else None
        if rest is not None:
            return rest
    return None


async def _fill_stage(page: Page, reader: Reader, stage: Stage, position: PullPosition, search: _Search) -> PullPosition | None:
    sql = stage_sql(reader, stage, page.protocol_version, has_gained=bool(search.gained))
    limit = max(0, page.rows_left)
    parameters: list[Any] = [position.pass_from, position.pass_to, position.change, position.row_id, limit + 1, search.buckets]
    if search.gained:
        parameters.append(search.gained)
    sent, last, names = 0, None, columns(stage.synced, page.protocol_version)
    async with aclosing(reader.stream(sql, parameters, rows_max=search.rows_max)) as chunks:
        async for chunk in chunks:
            fitting = chunk[: max(0, min(limit - sent, len(chunk)))]
            if fitting:
                page.add_rows(stage, fitting)
                sent, last = sent + len(fitting), fitting[-1]
            if len(fitting) < len(chunk) or page.rows_left <= 0:
                break
        else:
            return None
    return await _rest(reader, position, stage, last, names)


async def _rest(
    reader: Reader, position: PullPosition, stage: Stage, last: tuple[Any, ...] | None, names: tuple[str, ...]
) -> PullPosition:
    if last is None:
        return msgspec.structs.replace(position, stage=stage.number)
    row_id = last[1] if stage.gone else last[names.index("id")]
    return await position_after(reader, position, stage, last[0], row_id)


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    """A page in pieces of a size that the server sends well."""
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]
