"""Ranges replaced by what the server holds of them, as one act on the replica. What waits, and drafts, are never touched."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import Any

import apsw
import msgspec

from client_sdk import overlay
from client_sdk.errors import BadReplyError
from client_sdk.integrity import Place, Stray, place_of
from client_sdk.pages import Page
from client_sdk.replica import decoded_rows, forget_lost_words
from client_sdk.state import Checkpoint, ScopeHeld, checkpoint, load
from sync_protocol.checksums import row_checksum
from sync_protocol.entities import BY_NAME, SYNCED, Synced
from sync_protocol.replica_schema import range_sql
from sync_protocol.wire.codec import WireError, columns
from sync_protocol.wire.messages import RowChunk
from sync_protocol.wire.version import PROTOCOL_VERSION

_Rows = dict[bytes, tuple[Any, ...]]
_Sent = dict[Place, dict[str, _Rows]]


def replace_ranges(connection: apsw.Connection, at: Checkpoint, places: Collection[Place], page: Page) -> Counter[str] | None:
    """Make ranges what the server sent of them, in the caller's transaction: readers see them before or after, never between.

    Where indexes are in the way of it, they are made anew. Returns how many rows were not as the server has them, by
    entity; None where the page or the replica is not at `at`: then nothing of the page is used. Raises BadReplyError for
    rows that nobody asked for, and for rows that are not what their checksums say.
    """
    now = checkpoint(connection)
    if {(now.epoch, now.cursor), (page.trailer.epoch, page.trailer.cursor)} != {(at.epoch, at.cursor)}:
        return None
    if now.known is not None and page.trailer.head not in {None, now.known}:
        return None  # the server was restored by hand, and came to this place another way: the next pull is told so
    sent = _sent(places, page)
    try:
        return _replace(connection, sent)
    except apsw.CorruptError:
        _mend_indexes(connection, {bucket.partition(":")[0] for bucket, _ in places})
        return _replace(connection, sent)


def _replace(connection: apsw.Connection, sent: _Sent) -> Counter[str]:
    wrong = _wrong(connection, sent)
    # All go before any comes: a row that was wrong about its own bucket is in the way of itself, and it goes by its id.
    for (_, name), row_ids in wrong.items():
        connection.executemany(f"DELETE FROM {name} WHERE id = ?", ((row_id,) for row_id in row_ids))  # noqa: S608  # a name of the registry
    for (place, name), row_ids in wrong.items():
        rows = sent[place].get(name, {})
        _insert(connection, BY_NAME[name], [rows[row_id] for row_id in sorted(row_ids & rows.keys())])
    for place, rows_of in sent.items():
        _correct_sum(connection, place, rows_of)
    overlay.rebuild(connection)
    changed = Counter[str]()
    for (_, name), row_ids in wrong.items():
        changed[name] += len(row_ids)
    return +changed


def remove_strays(connection: apsw.Connection, strays: Iterable[Stray]) -> Counter[str]:
    """Remove rows that are in no bucket of the scope, and what the sums say of their buckets. Returns how many, by entity."""
    held = load(connection, ScopeHeld)
    buckets = set(held.buckets if held is not None else ())
    removed = Counter[str]()
    for name, rowid in strays:
        synced = BY_NAME[name]
        names = ", ".join(synced.row.__struct_fields__)
        for fields in connection.execute(f"SELECT {names} FROM {name} WHERE rowid = ?", (rowid,)).fetchall():  # noqa: S608  # names of the registry
            bucket, _ = place_of(synced, fields)
            if bucket not in buckets:  # the replica may have moved since it was found
                connection.execute(f"DELETE FROM {name} WHERE rowid = ?", (rowid,))  # noqa: S608  # as above
                connection.execute("DELETE FROM range_sum WHERE bucket = ?", (bucket,))
                removed[name] += 1
    overlay.rebuild(connection)
    return removed


def rows_in(connection: apsw.Connection, bucket: str) -> Counter[str]:
    """How many rows a bucket has, by entity."""
    counted = Counter[str]()
    for synced in SYNCED:
        if synced.bucket.kind == bucket.partition(":")[0]:
            keyed, bindings = _keyed(synced, bucket)
            counted[synced.name] = connection.execute(f"SELECT count(*) FROM {synced.name} WHERE {keyed}", bindings).get  # noqa: S608  # names of the registry
    return +counted


def _keyed(synced: Synced, bucket: str) -> tuple[str, tuple[bytes, ...]]:
    """SQL for «it is a row of the bucket», with its bindings."""
    return ("true", ()) if synced.bucket.key is None else (f"{synced.bucket.key} = ?", (bytes.fromhex(bucket[-32:]),))


def _mend_indexes(connection: apsw.Connection, kinds: Collection[str]) -> None:
    """Make the indexes of these kinds of bucket anew: where a row was changed under them, they still have it as it was."""
    for synced in SYNCED:
        if synced.bucket.kind in kinds:
            connection.execute(f"REINDEX {synced.name}")


def _sent(places: Collection[Place], page: Page) -> _Sent:
    """The rows of a page by range and entity, as the tables hold them. Raises BadReplyError."""
    sent: _Sent = {place: {} for place in sorted(places)}
    counted = 0
    for chunk in page.chunks:
        if not isinstance(chunk, RowChunk):
            raise BadReplyError("it is not the rows of ranges")
        synced = BY_NAME.get(chunk.entity)
        rows = _decoded(synced, chunk)
        counted += len(rows)
        if synced is None:
            continue
        is_as_it_came = chunk.columns == columns(synced, PROTOCOL_VERSION)
        for row in rows:
            place = place_of(synced, row[2:])
            if place not in sent or (is_as_it_came and row[1] not in {0, row_checksum(synced, row[2:])}):
                raise BadReplyError(f"a row of {synced.name} is not of the ranges that were asked for, or not what it should be")
            sent[place].setdefault(synced.name, {})[row[2]] = row
    if counted != page.trailer.rows:
        raise BadReplyError(f"{counted} rows came, {page.trailer.rows} were announced")
    return sent


def _decoded(synced: Synced | None, chunk: RowChunk) -> list[tuple[Any, ...]]:
    try:
        return decoded_rows(synced, chunk)
    except (WireError, msgspec.DecodeError, IndexError) as error:
        raise BadReplyError(str(error)) from error


def _wrong(connection: apsw.Connection, sent: _Sent) -> dict[tuple[Place, str], set[bytes]]:
    """The ids of the rows of each range and entity that are not as the server has them: other, lost and extra ones."""
    ranges: defaultdict[str, set[int]] = defaultdict(set)
    for bucket, number in sent:
        ranges[bucket].add(number)
    wrong: dict[tuple[Place, str], set[bytes]] = {}
    for bucket, numbers in ranges.items():
        for synced in SYNCED:
            if synced.bucket.kind == bucket.partition(":")[0]:
                held = _held(connection, synced, bucket, numbers)
                for number in numbers:
                    here, there = held[number], sent[bucket, number].get(synced.name, {})
                    wrong[(bucket, number), synced.name] = {each for each in {*here, *there} if here.get(each) != there.get(each)}
    return wrong


def _held(connection: apsw.Connection, synced: Synced, bucket: str, numbers: Collection[int]) -> dict[int, _Rows]:
    """What the replica has of some ranges of a bucket: one look at the bucket, however many they are."""
    keyed, bindings = _keyed(synced, bucket)
    listed = ", ".join(str(number) for number in numbers)
    names = ", ".join(columns(synced, PROTOCOL_VERSION))
    place = range_sql(synced, f"{synced.name}.id")
    found = f"SELECT {place} AS range, {names} FROM {synced.name} WHERE {keyed} AND range IN ({listed})"  # noqa: S608  # names of the registry, and numbers
    held: dict[int, _Rows] = {number: {} for number in numbers}
    for number, *row in connection.execute(found, bindings):
        held[number][row[2]] = tuple(row)
    return held


def _insert(connection: apsw.Connection, synced: Synced, rows: list[tuple[Any, ...]]) -> None:
    if rows and synced.name == "product":
        forget_lost_words(connection)
    names = columns(synced, PROTOCOL_VERSION)
    insert = f"INSERT INTO {synced.name} ({', '.join(names)}) VALUES ({', '.join('?' for _ in names)})"  # noqa: S608  # names of the registry
    connection.executemany(insert, rows)


def _correct_sum(connection: apsw.Connection, place: Place, rows_of: dict[str, _Rows]) -> None:
    """Say what the range holds now: its sum may have been what was wrong."""
    every = [row for rows in rows_of.values() for row in rows.values()]
    connection.execute("DELETE FROM range_sum WHERE bucket = ? AND range = ?", place)
    if every:
        connection.execute("INSERT INTO range_sum VALUES (?, ?, ?, ?)", (*place, len(every), sum(row[1] for row in every)))
