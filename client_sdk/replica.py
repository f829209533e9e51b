"""Rows into the replica: staged page by page, moved to the next checkpoint in one transaction (I-4).

Readers see the checkpoint before or the one after, never between. A row is written only by a newer version of itself. What
is pulled afresh goes straight into the tables of a file that nobody reads yet, which takes the replica's place as a whole.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Final
from uuid import UUID

import apsw
import msgspec

from client_sdk import overlay, receipts
from client_sdk.changes import Changes
from client_sdk.errors import BadReplyError, StoreBusyError
from client_sdk.filling import finish, insert, unfinished
from client_sdk.pages import Page
from client_sdk.range_sums import RangeSums
from client_sdk.replica_file import create_tables
from client_sdk.rows import empty, filled
from client_sdk.state import (
    STAGED_SCOPE,
    Beyond,
    Checkpoint,
    Doubted,
    ReplicaFiles,
    ScopeDigest,
    ScopeHeld,
    Staging,
    checkpoint,
    forget_staging,
    load,
    save,
)
from sync_protocol.entities import BY_NAME, SYNCED, Synced
from sync_protocol.replica_schema import staged
from sync_protocol.wire.codec import WireError, columns, decode_rows
from sync_protocol.wire.messages import GoneChunk, PageTrailer, RowChunk, ScopeChunk
from sync_protocol.wire.version import PROTOCOL_VERSION

Progress = Callable[[int], None]


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What a move to a checkpoint did: the rows that it changed, by entity, and the scope. `ids` has those that are few.

    `settled` went with the replica of before a restore: only now it is known that they do not come back.
    """

    checkpoint: Checkpoint
    changed: dict[str, int]
    ids: dict[str, frozenset[UUID]]
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()


NOTHING_STAGED: Final = Staging(epoch=None, cursor=0, afresh=True, digest=None)


def begin_staging(connection: apsw.Connection) -> Staging | None:
    """Go on where a pull was interrupted, or begin one from the replica's checkpoint; None where one must be built afresh.

    It only reads: what was begun is written down with the first of its rows, since each act waits for the disk.
    """
    files = load(connection, ReplicaFiles)
    at = load(connection, Checkpoint)
    if at is None or at.cursor == 0 or (files is not None and (files.building is not None or files.damage)):
        return None
    return load(connection, Staging) or _staging_from(connection, at)


def _staging_from(connection: apsw.Connection, at: Checkpoint) -> Staging:
    scope = load(connection, ScopeDigest)
    return Staging(epoch=at.epoch, cursor=at.cursor, afresh=False, digest=scope.digest if scope else None, known=at.known)


def begin_afresh(connection: apsw.Connection) -> Staging | None:
    """Go on with the replica that is being built, or begin it from nothing; None where it is whole and waits to be shown."""
    if connection.execute("SELECT count(*) FROM sqlite_master").get == 0:
        create_tables(connection)
        save(connection, NOTHING_STAGED)
    return load(connection, Staging)


def _require_unmoved(connection: apsw.Connection, staging: Staging) -> None:
    """Refuse to go on where another program on this file has moved the staging: what we would build on is not there."""
    stored = load(connection, Staging) or _staging_from(connection, checkpoint(connection))
    if msgspec.structs.replace(stored, rows_expected=staging.rows_expected) != staging:
        raise StoreBusyError


def clear_staging(connection: apsw.Connection) -> None:
    """Drop everything that is staged."""
    empty(connection, (*map(staged, SYNCED), "staged_gone"))
    forget_staging(connection)


def _table_of(staging: Staging) -> Callable[[Synced], str]:
    """Where the rows of a pull go first."""
    return _replica_table if staging.afresh else staged


def stage_scope(connection: apsw.Connection, staging: Staging, chunk: ScopeChunk) -> Staging:
    """Take note of another scope: what it gains is asked for from the beginning, what it loses is dropped.

    A bucket that comes into the scope while a pass is under way is behind that pass: the next one brings it.
    """
    _require_unmoved(connection, staging)
    known = _buckets(load(connection, ScopeHeld, STAGED_SCOPE) or load(connection, ScopeHeld))
    _purge(connection, known.difference(chunk.buckets), _table_of(staging), Changes())
    moved = scoped(staging, known, chunk)
    save(connection, ScopeHeld(chunk.digest, chunk.buckets), STAGED_SCOPE)
    save(connection, moved)
    return moved


def scoped(staging: Staging, known: frozenset[str], chunk: ScopeChunk) -> Staging:
    """Where a pull goes on that has taken note of another scope than the `known` one."""
    new = set(chunk.buckets)
    begins_at_nothing = staging.cursor == 0 and staging.position is None
    gained = set() if begins_at_nothing else new - known
    moved = msgspec.structs.replace(staging, digest=chunk.digest, lost=tuple(sorted({*staging.lost, *(known - new)})))
    place = "gained" if staging.position is None else "gained_later"
    return msgspec.structs.replace(moved, **{place: tuple(sorted({*getattr(staging, place), *gained}))})


def stage_anew(connection: apsw.Connection, bucket: str) -> None:
    """Let the pull that comes next bring a bucket of the scope from its beginning; what is held of it goes as that is laid on."""
    staging = begin_staging(connection)
    if staging is None:
        return  # all of it comes anew
    _purge(connection, {bucket}, staged, Changes())
    place = "gained" if staging.position is None else "gained_later"
    told = {name: tuple(sorted({*getattr(staging, name), bucket})) for name in ("lost", place)}
    save(connection, msgspec.structs.replace(staging, **told))


def stage_page(connection: apsw.Connection, staging: Staging, page: Page, progress: Progress, sums: RangeSums) -> Staging:
    """Stage a page whose trailer fits, and move the staging behind it. Raises BadReplyError; then nothing was staged."""
    _require_unmoved(connection, staging)
    is_filling = staging.afresh and not staging.is_finished
    keyless = frozenset(unfinished(connection)) if is_filling else frozenset[Synced]()
    trailer, counted = page.trailer, 0
    for chunk in _taken(page.chunks) if is_filling else page.chunks:
        counted += _stage_chunk(connection, chunk, _table_of(staging), sums if BY_NAME.get(chunk.entity) in keyless else None)
        progress(staging.rows + counted)
    if counted != trailer.rows:
        raise BadReplyError(f"{counted} rows came, {trailer.rows} were announced")
    ended = trailer.position is None
    if is_filling:
        # An entity is whole where the walk has come to the next one: what is derived of it is made while that comes.
        finish(connection, sums, trailer.position.stage // 2 if trailer.position is not None else None)
    moved = msgspec.structs.replace(
        staging,
        is_finished=staging.is_finished or (ended and staging.afresh),
        epoch=trailer.epoch,
        cursor=trailer.cursor if ended else staging.cursor,
        gained=staging.gained_later if ended else staging.gained,
        gained_later=() if ended else staging.gained_later,
        position=trailer.position,
        rows=staging.rows + counted,
        known=trailer.head or staging.known,
    )
    save(connection, moved)
    return moved


def _taken(chunks: deque[RowChunk | GoneChunk]) -> Iterator[RowChunk | GoneChunk]:
    """Each chunk, which goes from memory with it: indexes are made there next."""
    while chunks:
        yield chunks.popleft()


def _stage_chunk(
    connection: apsw.Connection, chunk: RowChunk | GoneChunk, table_of: Callable[[Synced], str], filling: RangeSums | None
) -> int:
    synced = BY_NAME.get(chunk.entity)
    if isinstance(chunk, RowChunk):
        return _stage_rows(connection, synced, chunk, table_of, filling)
    return _stage_gone(connection, synced, chunk, table_of)


def _stage_rows(
    connection: apsw.Connection,
    synced: Synced | None,
    chunk: RowChunk,
    table_of: Callable[[Synced], str],
    filling: RangeSums | None,
) -> int:
    try:
        rows = decoded_rows(synced, chunk)
        _note_beyond(connection, synced, chunk)
    except (WireError, msgspec.DecodeError, IndexError) as error:
        raise BadReplyError(str(error)) from error
    if synced is not None and filling is not None:
        insert(connection, synced, rows)
        filling.count(synced, rows)
    elif synced is not None:
        connection.executemany(_upsert_sql(synced, table_of(synced)), rows)
    return len(rows)


def _note_beyond(connection: apsw.Connection, synced: Synced | None, chunk: RowChunk) -> None:
    """Remember what this app cannot keep as it came: it is in the server's checksums, and in no sum of ours."""
    if synced is not None and chunk.columns == columns(synced, PROTOCOL_VERSION):
        return
    before = load(connection, Beyond) or Beyond()
    place = "partial" if synced is not None else "unknown"
    now = msgspec.structs.replace(before, **{place: tuple(sorted({*getattr(before, place), chunk.entity}))})
    if now != before:
        save(connection, now)


def decoded_rows(synced: Synced | None, chunk: RowChunk) -> list[tuple[Any, ...]]:
    """The rows of a chunk; those of an entity that this app does not know are only counted."""
    if synced is None:
        return msgspec.msgpack.decode(chunk.rows, type=list[tuple[Any, ...]])
    return decode_rows(synced, chunk.rows) if chunk.columns == columns(synced, PROTOCOL_VERSION) else _fitted(synced, chunk)


def _fitted(synced: Synced, chunk: RowChunk) -> list[tuple[Any, ...]]:
    """Rows of a server that knows other columns: ours are picked by name, what it does not have takes its default."""
    place = {column: index for index, column in enumerate(chunk.columns)}
    defaults = [field.default if field.default is not msgspec.NODEFAULT else None for field in msgspec.structs.fields(synced.row)]
    wanted = list(zip(columns(synced, PROTOCOL_VERSION), [None, 0, *defaults], strict=True))
    rows = msgspec.msgpack.decode(chunk.rows, type=list[tuple[Any, ...]])
    fitted = [[row[place[column]] if column in place else default for column, default in wanted] for row in rows]
    return decode_rows(synced, msgspec.Raw(msgspec.msgpack.encode(fitted)))


def _stage_gone(connection: apsw.Connection, synced: Synced | None, chunk: GoneChunk, table_of: Callable[[Synced], str]) -> int:
    """Rows that were staged before and are gone since go at once; those of the replica go when it moves."""
    if synced is None:
        return len(chunk.rows)
    connection.executemany(
        "INSERT INTO staged_gone VALUES (?, ?, ?) "
        "ON CONFLICT (entity, id) DO UPDATE SET commit_seq = max(commit_seq, excluded.commit_seq)",
        ((synced.name, row_id, commit_seq) for commit_seq, row_id in chunk.rows),
    )
    connection.executemany(
        f"DELETE FROM {table_of(synced)} WHERE id = ? AND commit_seq < ?",  # noqa: S608  # a name of the registry
        ((row_id, commit_seq) for commit_seq, row_id in chunk.rows),
    )
    return len(chunk.rows)


@cache
def _upsert_sql(synced: Synced, table: str, source: str | None = None) -> str:
    """Insert rows, or replace older versions of them (the version guard)."""
    names = columns(synced, PROTOCOL_VERSION)
    values = source or f"VALUES ({', '.join('?' for _ in names)})"
    newer = ", ".join(f"{name} = excluded.{name}" for name in names if name != "id")
    guard = f"excluded.commit_seq > {table}.commit_seq"
    insert = f"INSERT INTO {table} ({', '.join(names)}) {values}"  # names of the registry
    return f"{insert} ON CONFLICT (id) DO UPDATE SET {newer} WHERE {guard}"


def apply_staged(connection: apsw.Connection, staging: Staging, trailer: PageTrailer, clock_skew_ms: int) -> Applied:
    """Move the replica to the checkpoint that is staged whole, with its cursor and its scope, and lay the overlay anew."""
    _require_unmoved(connection, staging)
    after = load(connection, ScopeHeld, STAGED_SCOPE)
    before = load(connection, ScopeHeld) if after is not None else None  # else they are the same: neither is looked through
    assert not staging.afresh
    assert staging.epoch != trailer.epoch or trailer.cursor >= checkpoint(connection).cursor
    at = _reach(connection, staging, trailer, clock_skew_ms)
    receipts.write(connection, _lost(before, after), at)
    settled = receipts.settle(connection, at)
    changes = Changes()
    _purge(connection, staging.lost, _replica_table, changes)
    _forget_derived(connection, staging.lost)
    _merge_tables(connection, changes)
    clear_staging(connection)
    overlay.rebuild(connection)
    return msgspec.structs.replace(_applied(at, before, after, changes), settled=tuple(sorted(settled)))


def complete(connection: apsw.Connection, staging: Staging, trailer: PageTrailer, clock_skew_ms: int) -> None:
    """The replica that is being built is whole, at the checkpoint that was staged last."""
    _require_unmoved(connection, staging)
    assert staging.is_finished
    _reach(connection, staging, trailer, clock_skew_ms)
    clear_staging(connection)


def held(connection: apsw.Connection) -> tuple[Checkpoint, ScopeHeld | None]:
    """What a replica holds, and as of when."""
    return checkpoint(connection), load(connection, ScopeHeld)


def note_lost(connection: apsw.Connection, built: tuple[Checkpoint, ScopeHeld | None]) -> ScopeHeld | None:
    """Write the receipts for what the replica holds and the one that was built does not, before it goes. Safe to repeat."""
    before = load(connection, ScopeHeld)
    lost = _lost(before, built[1])
    doubted = receipts.doubt(connection, lost, built[0])
    receipts.write(connection, (bucket for bucket in lost if bucket not in doubted), built[0])
    return before


def _lost(before: ScopeHeld | None, after: ScopeHeld | None) -> list[str]:
    return sorted(_buckets(before) - _buckets(after))


def _buckets(scope: ScopeHeld | None) -> frozenset[str]:
    return frozenset(scope.buckets) if scope is not None else frozenset()


def show(connection: apsw.Connection, built: Checkpoint, before: ScopeHeld | None) -> Applied:
    """Lay the overlay on the replica that was built, in the act that shows it; `before` is what the one before it held.

    Raises StoreBusyError where the file is not the one that was built, because another program builds, too.
    """
    if checkpoint(connection) != built:
        raise StoreBusyError
    overlay.rebuild(connection)
    changes = Changes()
    for synced in SYNCED:
        changes.add_unnamed(synced.name, connection.execute(f"SELECT count(*) FROM {synced.name}").get)  # noqa: S608  # names of the registry
    applied = _applied(built, before, load(connection, ScopeHeld), changes)
    doubted = load(connection, Doubted) or Doubted({})
    return msgspec.structs.replace(applied, lost=tuple(bucket for bucket in applied.lost if bucket not in doubted.held))


def _reach(connection: apsw.Connection, staging: Staging, trailer: PageTrailer, clock_skew_ms: int) -> Checkpoint:
    scope = load(connection, ScopeHeld, STAGED_SCOPE)
    if scope is not None:
        save(connection, scope)
    at = Checkpoint(
        epoch=trailer.epoch,
        cursor=trailer.cursor,
        as_of_ms=trailer.server_time_ms,
        clock_skew_ms=clock_skew_ms,
        known=staging.known,
    )
    save(connection, at)
    return at


def _applied(at: Checkpoint, before: ScopeHeld | None, after: ScopeHeld | None, changes: Changes) -> Applied:
    return Applied(
        checkpoint=at,
        changed=dict(+changes.counts),
        ids=changes.ids(),
        gained=tuple(_lost(after, before)),
        lost=tuple(_lost(before, after)),
    )


def _merge_tables(connection: apsw.Connection, changes: Changes) -> None:
    gone = {entity for (entity,) in connection.execute("SELECT DISTINCT entity FROM staged_gone")}
    come = filled(connection, map(staged, SYNCED))
    for synced in SYNCED:
        delete = f"""
            DELETE FROM {synced.name} WHERE rowid IN (
                SELECT held.rowid FROM staged_gone gone CROSS JOIN {synced.name} held ON held.id = gone.id
                 WHERE gone.entity = ? AND gone.commit_seq > held.commit_seq)
            """  # noqa: S608  # names of the registry
        if synced.name in gone:
            changes.make(connection, synced, delete, "staged_gone WHERE entity = ?", (synced.name,))
        names, table = ", ".join(columns(synced, PROTOCOL_VERSION)), staged(synced)
        upsert = _upsert_sql(synced, synced.name, f"SELECT {names} FROM {table} WHERE true")  # noqa: S608  # as above
        if table in come:
            changes.make(connection, synced, upsert, table)


def _replica_table(synced: Synced) -> str:
    return synced.name


def _purge(connection: apsw.Connection, lost: Iterable[str], table_of: Callable[[Synced], str], changes: Changes) -> None:
    """Delete the rows of buckets that are not held any more (I-5); `secure_delete` overwrites their bytes."""
    for bucket in lost:
        kind, _, key = bucket.partition(":")
        for synced in SYNCED:
            if synced.bucket.kind == kind:
                where, bindings = (f"{synced.bucket.key} = ?", (bytes.fromhex(key),)) if synced.bucket.key else ("true", ())
                source = f"{table_of(synced)} WHERE {where}"
                changes.make(connection, synced, f"DELETE FROM {source}", source, bindings)  # noqa: S608  # names of the registry
        connection.execute("DELETE FROM range_sum WHERE bucket = ? AND rows = 0", (bucket,))


def _forget_derived(connection: apsw.Connection, lost: Iterable[str]) -> None:
    """Let go of what is derived of buckets whose rows are gone. Triggers took out what the rows said, and where that was not
    what had been put in, because of a sum that was wrong or a row that a disk lost, the rest of it would stay for ever.
    """
    connection.executemany("DELETE FROM range_sum WHERE bucket = ?", ((bucket,) for bucket in lost))
    if BY_NAME["product"].bucket.kind in lost:
        forget_lost_words(connection)


def forget_lost_words(connection: apsw.Connection) -> None:
    """What the full-text index holds of products that were lost under it must not become another product's words."""
    connection.execute("DELETE FROM product_search WHERE rowid > (SELECT coalesce(max(rowid), 0) FROM product)")
