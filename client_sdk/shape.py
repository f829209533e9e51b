"""What a file defines: tables, indexes, triggers and views. A replica defines what the registry says, and nothing else."""

from functools import cache

import apsw

from sync_protocol.replica_schema import create_sql, finish_sql

Shape = frozenset[tuple[str, str, str, str | None]]


def shape_of(connection: apsw.Connection) -> Shape:
    """Everything that a file defines: type, name, table and text of each."""
    return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"))


@cache
def expected_shape() -> Shape:
    """What a whole replica of this app defines."""
    connection = apsw.Connection(":memory:")
    try:
        for statement in (*create_sql(), *finish_sql()):
            connection.execute(statement)
        return shape_of(connection)
    finally:
        connection.close()
