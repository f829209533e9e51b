"""What a replica defines: nothing of anybody else's, whichever SQLite made it."""

from collections.abc import Iterator

import apsw
import pytest

from client_sdk.shape import expected_shape, shape_of
from sync_protocol.replica_schema import create_sql, finish_sql


@pytest.fixture
def replica() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    for statement in (*create_sql(), *finish_sql()):
        connection.execute(statement)
    yield connection
    connection.close()


def test_a_replica_whose_full_text_index_another_sqlite_made_has_the_shape_of_ours(replica: apsw.Connection) -> None:
    replica.execute("PRAGMA writable_schema=ON")
    shadows = "name IN ('product_search_data', 'product_search_idx', 'product_search_docsize', 'product_search_config')"
    replica.execute(f"UPDATE sqlite_schema SET sql = replace(sql, '(', '( ') WHERE {shadows}")
    assert replica.changes() == 4
    assert shape_of(replica) == expected_shape()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER product_search_evil AFTER INSERT ON product BEGIN DELETE FROM unit; END",
        "CREATE INDEX product_search_evil ON product_search_docsize (abs(id))",
        "CREATE VIEW product_search_evil AS SELECT 1",
        "CREATE TABLE product_searches (x)",
    ],
)
def test_what_only_has_a_name_like_the_full_text_index_is_seen(replica: apsw.Connection, statement: str) -> None:
    replica.execute("PRAGMA writable_schema=ON")  # as a forger would have it
    replica.execute(statement)
    assert shape_of(replica) != expected_shape()
