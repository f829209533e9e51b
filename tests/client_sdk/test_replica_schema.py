"""The replica's tables: filled first and finished afterwards, or the other way round, they come out the same."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import apsw
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.entities import SYNCED, Synced
from sync_protocol.replica_schema import create_sql, finish_sql
from sync_protocol.values import Row
from sync_protocol.wire.codec import stored_values
from tests.support.strategies import instances

Sums = dict[tuple[str, int], tuple[int, int]]
_checksums = st.integers(0, 2**40 - 1)


@st.composite
def rows(draw: st.DrawFn) -> dict[UUID, tuple[Synced, int, Row]]:
    """A few rows of any entities, with checksums, by id."""
    synced = st.sampled_from(SYNCED)
    drawn = [(each, draw(_checksums), draw(instances(each.row))) for each in draw(st.lists(synced, max_size=8))]
    return {row.id: (each, checksum, row) for each, checksum, row in drawn}


def run(connection: apsw.Connection, statements: tuple[str, ...]) -> None:
    for statement in statements:
        connection.execute(statement)


def fill(connection: apsw.Connection, synced: Synced, checksum: int, row: Row) -> None:
    values = (1, checksum, *stored_values(row))
    connection.execute(f"INSERT INTO {synced.name} VALUES ({', '.join('?' * len(values))})", values)


def put(connection: apsw.Connection, synced: Synced, checksum: int, row: Row) -> None:
    values = (1, checksum, *stored_values(row))
    marks = ", ".join("?" * len(values))
    named = ", ".join(f"{name} = excluded.{name}" for name in ("checksum", *row.__struct_fields__))
    connection.execute(f"INSERT INTO {synced.name} VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {named}", values)


def sums(connection: apsw.Connection) -> Sums:
    return {
        (bucket, place): (count, total) for bucket, place, count, total in connection.execute("SELECT * FROM range_sum") if count
    }


def expected(held: dict[UUID, tuple[Synced, int, Row]]) -> Sums:
    """The sums, counted in Python from the registry's own words."""
    counts, totals = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for synced, checksum, row in held.values():
        key = synced.bucket.key
        bucket = f"{synced.bucket.kind}:{getattr(row, key).hex}" if key else synced.bucket.kind
        place = (bucket, synced.bucket.range_of(row.id))
        counts[place] += 1
        totals[place] += checksum
    return {place: (count, totals[place]) for place, count in counts.items()}


def changed(connection: apsw.Connection, held: dict[UUID, Any], draw: Callable[[Any], Any]) -> dict[UUID, Any]:
    """Delete some rows, give others another content, and leave the rest."""
    left = {}
    for row_id, (synced, checksum, row) in held.items():
        act = draw(st.sampled_from(("delete", "change", "leave")))
        if act == "delete":
            connection.execute(f"DELETE FROM {synced.name} WHERE id = ?", (row_id.bytes,))
        elif act == "change":
            left[row_id] = synced, draw(_checksums), msgspec.structs.replace(draw(instances(synced.row)), id=row_id)
            put(connection, *left[row_id])
        else:
            left[row_id] = synced, checksum, row
    return left


@given(held=rows(), is_bulk=st.booleans(), data=st.data())
def test_range_sums_are_those_of_the_rows_whatever_was_done_to_them(
    held: dict[UUID, tuple[Synced, int, Row]], is_bulk: bool, data: st.DataObject
) -> None:
    connection = apsw.Connection(":memory:")
    run(connection, create_sql() if is_bulk else (*create_sql(), *finish_sql()))
    for each in held.values():
        (fill if is_bulk else put)(connection, *each)
    if is_bulk:
        run(connection, finish_sql())
    assert sums(connection) == expected(held)
    left = changed(connection, held, data.draw)
    assert sums(connection) == expected(left)
    connection.close()
