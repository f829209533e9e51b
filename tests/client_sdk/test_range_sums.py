"""Sums that are counted as rows come are those that the table is asked for, whatever came between."""

from typing import Any
from uuid import UUID

import apsw
import pytest

from client_sdk.range_sums import RangeSums
from client_sdk.replica_file import create_tables, finish
from sync_protocol.entities import BY_NAME
from sync_protocol.replica_schema import finish_sql

ENTRY = BY_NAME["price_entry"]
LISTS = UUID(int=1).bytes, UUID(int=2).bytes


def entry(number: int, commit_seq: int = 1) -> tuple[Any, ...]:
    row_id = UUID(int=(number << 8) + number % 7).bytes
    return (commit_seq, 1_000 + number + commit_seq, row_id, LISTS[number % 2], UUID(int=3).bytes, number, 100, 1, 0, None)


def replica() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    create_tables(connection)
    return connection


def put(connection: apsw.Connection, rows: list[tuple[Any, ...]]) -> None:
    connection.executemany("INSERT OR REPLACE INTO price_entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def sums(connection: apsw.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT * FROM range_sum ORDER BY bucket, range").fetchall()


def asked(connection: apsw.Connection) -> list[tuple[Any, ...]]:
    """The sums of the same table by SQL alone."""
    rows = connection.execute("SELECT * FROM price_entry").fetchall()
    other = replica()
    put(other, rows)
    for statement in finish_sql():
        other.execute(statement)
    return sums(other)


@pytest.mark.parametrize("between", ["nothing", "a row twice", "a row less", "a kill", "a kill and a row less"])
def test_counted_sums_are_those_of_the_table(between: str) -> None:
    connection, counting = replica(), RangeSums()
    counting.begin(sees_all=True)
    rows = [entry(number) for number in range(40)]
    put(connection, rows[:20])
    counting.count(ENTRY, rows[:20])
    if between == "a row twice":
        again = [entry(3, commit_seq=9)]
        put(connection, again)
        counting.count(ENTRY, again)
    if "kill" in between:
        counting = RangeSums()
        counting.begin(sees_all=False)
    put(connection, rows[20:])
    counting.count(ENTRY, rows[20:])
    if "a row less" in between:
        connection.execute("DELETE FROM price_entry WHERE id = ?", (rows[30][2],))
    if between == "a kill and a row less":  # then as many were counted as there are
        connection.execute("DELETE FROM price_entry WHERE rowid > 20 AND rowid < 40")
        connection.execute("DELETE FROM price_entry WHERE rowid = 1")
    finish(connection, counting)
    assert sums(connection) == asked(connection)
    connection.execute("DELETE FROM price_entry WHERE id = ?", (rows[12][2],))
    assert [each for each in sums(connection) if each[2]] == asked(connection), "the triggers go on from there"


def test_an_entity_is_finished_once_and_only_where_it_is_whole() -> None:
    connection, counting = replica(), RangeSums()
    counting.begin(sees_all=True)
    finish(connection, counting, ENTRY.number)
    assert sums(connection) == []
    put(connection, [entry(1)])
    counting.count(ENTRY, [entry(1)])
    assert sums(connection) == []
    finish(connection, counting, ENTRY.number + 1)
    finish(connection, counting, ENTRY.number + 1)
    assert sums(connection) == asked(connection)
