"""What a file defines: tables, indexes, triggers and views. A replica defines what the registry says, and nothing else."""

from functools import cache

import apsw

from sync_protocol.replica_schema import create_sql, finish_sql

Shape = frozenset[tuple[str, str, str, str | None]]


def shape_of(connection: apsw.Connection) -> Shape:
    """Everything that a file defines: type, name, table and text of each.

    The tables in which the full-text index keeps itself are not among it: their texts are of the SQLite that made them, and a
    server may have another one than its devices. An index or a trigger on one of them is among it.
    """
    shadow = r"type = 'table' AND name LIKE 'product\_search\_%' ESCAPE '\'"
    return frozenset(connection.execute(f"SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE NOT ({shadow})"))  # noqa: S608  # a constant text


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
