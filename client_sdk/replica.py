"""Rows into the replica: staged page by page, moved to the next checkpoint in one transaction (I-4).

Readers see the checkpoint before or the one after, never between. A row is written only by a newer version of itself.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import apsw
import msgspec

from client_sdk import overlay, receipts
from client_sdk.errors import BadReplyError, StoreBusyError
from client_sdk.schema import drop_views, fill_search
from client_sdk.state import STAGED_SCOPE, STAGING_KEYS, Checkpoint, ScopeHeld, Staging, forget, load, save
from sync_protocol.entities import BY_NAME, SYNCED, Synced
from sync_protocol.replica_schema import index_sql, staged, table_sql, view_sql
from sync_protocol.wire.codec import WireError, columns, decode_rows
from sync_protocol.wire.messages import GoneChunk, PageTrailer, RowChunk, ScopeChunk
from sync_protocol.wire.version import PROTOCOL_VERSION

Progress = Callable[[int], None]


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What a move to a checkpoint did to the scope."""

    checkpoint: Checkpoint
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def begin_staging(connection: apsw.Connection) -> Staging:
    """Go on where a pull was interrupted, or begin one from the replica's checkpoint."""
    under_way = load(connection, Staging)
    if under_way is not None:
        return under_way
    at = load(connection, Checkpoint) or Checkpoint()
    scope = load(connection, ScopeHeld)
    staging = Staging(epoch=at.epoch, cursor=at.cursor, afresh=at.cursor == 0, digest=scope.digest if scope else None)
    save(connection, staging)
    return staging


def _require_unmoved(connection: apsw.Connection, staging: Staging) -> None:
    """Refuse to go on where another program on this file has moved the staging: what we would build on is not there."""
    stored = load(connection, Staging)
    if stored is None or msgspec.structs.replace(stored, rows_expected=staging.rows_expected) != staging:
        raise StoreBusyError


def begin_afresh(connection: apsw.Connection) -> Staging:
    """Drop what is staged and rebuild the replica from nothing; the old one stays readable until the new one is whole."""
    clear_staging(connection)
    staging = Staging(epoch=None, cursor=0, afresh=True, digest=None)
    save(connection, staging)
    return staging


def clear_staging(connection: apsw.Connection) -> None:
    """Drop everything that is staged."""
    for synced in SYNCED:
        connection.execute(f"DROP TABLE IF EXISTS {staged(synced)}")
    connection.execute("DELETE FROM staged_gone")
    forget(connection, *STAGING_KEYS)


def stage_scope(connection: apsw.Connection, staging: Staging, chunk: ScopeChunk) -> Staging:
    """Take note of another scope: what it gains is asked for from the beginning, what it loses is dropped.

    A bucket that comes into the scope while a pass is under way is behind that pass: the next one brings it.
    """
    _require_unmoved(connection, staging)
    before = load(connection, ScopeHeld, STAGED_SCOPE) or load(connection, ScopeHeld)
    known, new = set(before.buckets) if before is not None else set(), set(chunk.buckets)
    lost = known - new
    _purge(connection, lost, staged)
    begins_at_nothing = staging.cursor == 0 and staging.position is None
    gained = set() if begins_at_nothing else new - known
    moved = msgspec.structs.replace(staging, digest=chunk.digest, lost=tuple(sorted({*staging.lost, *lost})))
    place = "gained" if staging.position is None else "gained_later"
    moved = msgspec.structs.replace(moved, **{place: tuple(sorted({*getattr(staging, place), *gained}))})
    save(connection, ScopeHeld(chunk.digest, chunk.buckets), STAGED_SCOPE)
    save(connection, moved)
    return moved


def stage_page(
    connection: apsw.Connection, staging: Staging, chunks: Iterable[RowChunk | GoneChunk], trailer: PageTrailer, progress: Progress
) -> Staging:
    """Stage a page whose trailer fits, and move the staging behind it. Raises BadReplyError; then nothing was staged."""
    _require_unmoved(connection, staging)
    counted = 0
    for chunk in chunks:
        synced = BY_NAME.get(chunk.entity)
        counted += _stage_rows(connection, synced, chunk) if isinstance(chunk, RowChunk) else _stage_gone(connection, synced, chunk)
        progress(staging.rows + counted)
    if counted != trailer.rows:
        raise BadReplyError(f"{counted} rows came, {trailer.rows} were announced")
    ended = trailer.position is None
    moved = msgspec.structs.replace(
        staging,
        epoch=trailer.epoch,
        cursor=trailer.cursor if ended else staging.cursor,
        gained=staging.gained_later if ended else staging.gained,
        gained_later=() if ended else staging.gained_later,
        position=trailer.position,
        rows=staging.rows + counted,
    )
    save(connection, moved)
    return moved


def _stage_rows(connection: apsw.Connection, synced: Synced | None, chunk: RowChunk) -> int:
    try:
        rows = _decoded(synced, chunk)
    except (WireError, msgspec.DecodeError, IndexError) as error:
        raise BadReplyError(str(error)) from error
    if synced is not None:
        _ensure_staged(connection, synced)
        connection.executemany(_upsert_sql(synced, staged(synced)), rows)
    return len(rows)


def _decoded(synced: Synced | None, chunk: RowChunk) -> list[tuple[Any, ...]]:
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


def _stage_gone(connection: apsw.Connection, synced: Synced | None, chunk: GoneChunk) -> int:
    if synced is None:
        return len(chunk.rows)
    _ensure_staged(connection, synced)
    connection.executemany(
        "INSERT INTO staged_gone VALUES (?, ?, ?) "
        "ON CONFLICT (entity, id) DO UPDATE SET commit_seq = max(commit_seq, excluded.commit_seq)",
        ((synced.name, row_id, commit_seq) for commit_seq, row_id in chunk.rows),
    )
    connection.executemany(
        f"DELETE FROM {staged(synced)} WHERE id = ? AND commit_seq < ?",  # noqa: S608  # a name of the registry
        ((row_id, commit_seq) for commit_seq, row_id in chunk.rows),
    )
    return len(chunk.rows)


def _ensure_staged(connection: apsw.Connection, synced: Synced) -> None:
    connection.execute(table_sql(synced, staged(synced)).replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))


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
    before = load(connection, ScopeHeld)
    scope = load(connection, ScopeHeld, STAGED_SCOPE) or before
    assert scope is not None
    held, new = set(before.buckets) if before is not None else set(), set(scope.buckets)
    at = Checkpoint(epoch=trailer.epoch, cursor=trailer.cursor, as_of_ms=trailer.server_time_ms, clock_skew_ms=clock_skew_ms)
    receipts.write(connection, sorted(held - new), at)
    if staging.afresh:
        _replace_tables(connection)
    else:
        _purge(connection, staging.lost, _replica_table)
        _merge_tables(connection)
    assert not (staging.epoch == at.epoch and at.cursor < (load(connection, Checkpoint) or Checkpoint()).cursor) or staging.afresh
    save(connection, at)
    if scope is not before:
        save(connection, scope)
    clear_staging(connection)
    overlay.rebuild(connection, at.cursor)
    return Applied(checkpoint=at, gained=tuple(sorted(new - held)), lost=tuple(sorted(held - new)))


def _merge_tables(connection: apsw.Connection) -> None:
    for synced in SYNCED:
        if not _exists(connection, staged(synced)):
            continue
        connection.execute(
            f"""
            DELETE FROM {synced.name} WHERE rowid IN (
                SELECT held.rowid FROM staged_gone gone CROSS JOIN {synced.name} held ON held.id = gone.id
                 WHERE gone.entity = ? AND gone.commit_seq > held.commit_seq)
            """,  # noqa: S608  # names of the registry
            (synced.name,),
        )
        connection.execute(_upsert_sql(synced, synced.name, f"SELECT * FROM {staged(synced)} WHERE true"))  # noqa: S608  # as above


def _replace_tables(connection: apsw.Connection) -> None:
    """Let the staged tables take the replica's place; indexes are built at once, which is faster than row by row."""
    drop_views(connection)
    for synced in SYNCED:
        _ensure_staged(connection, synced)
        connection.execute(f"DROP TABLE {synced.name}")
        connection.execute(f"ALTER TABLE {staged(synced)} RENAME TO {synced.name}")
        for statement in index_sql(synced):
            connection.execute(statement)
    fill_search(connection)
    for statement in view_sql():
        connection.execute(statement)


def _replica_table(synced: Synced) -> str:
    return synced.name


def _purge(connection: apsw.Connection, lost: Iterable[str], table_of: Callable[[Synced], str]) -> None:
    """Delete the rows of buckets that are not held any more (I-5); `secure_delete` overwrites their bytes."""
    for bucket in lost:
        kind, _, key = bucket.partition(":")
        for synced in SYNCED:
            table = table_of(synced)
            if synced.bucket.kind != kind or not _exists(connection, table):
                continue
            where, bindings = (f"{synced.bucket.key} = ?", (bytes.fromhex(key),)) if synced.bucket.key else ("true", ())
            connection.execute(f"DELETE FROM {table} WHERE {where}", bindings)  # noqa: S608  # names of the registry


def _exists(connection: apsw.Connection, table: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).get is not None
