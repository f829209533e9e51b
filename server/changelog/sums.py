"""What each range of each bucket holds, as SQL for both engines: what a row counts for, and what is kept of all rows.

`sync_protocol.checksums` says what the checksum of a row is. PostgreSQL makes it by itself; on SQLite it is a function
that the server's connections have and other programs' have not, so only sealing and recounts call it.
"""

from typing import Final

from server.runtime.database import CHECKSUM_FUNCTION
from sync_protocol import replica_schema
from sync_protocol.entities import Synced

_INTO: Final = "INSERT INTO bucket_sum (bucket, range, change, rows, checksum)"
ADD_UP: Final = """
        ON CONFLICT (bucket, range, change) DO UPDATE
           SET rows = bucket_sum.rows + excluded.rows, checksum = bucket_sum.checksum + excluded.checksum
"""


def checksum_sql(synced: Synced, row: str, *, is_sqlite: bool) -> str:
    """The checksum of `row`, which is a table or an alias of one, as an expression."""
    if is_sqlite:
        columns = ", ".join(f"{row}.{column}" for column in synced.row.__struct_fields__)
        return f"{CHECKSUM_FUNCTION}({synced.number}, {columns})"
    number = str(synced.number)
    text = " || ".join(_postgres_netstring(synced, row, column) for column in synced.row.__struct_fields__)
    return f"('x' || left(md5('{len(number)}:{number},' || {text}), 10))::bit(40)::bigint"


def _postgres_netstring(synced: Synced, row: str, column: str) -> str:
    value = f"{row}.{column}"
    as_id, as_text = f"'32:' || encode(uuid_send({value}), 'hex') || ','", f"octet_length({value}::text) || ':' || {value} || ','"
    text = as_id if synced.is_id(column) else as_text
    return f"coalesce({text}, '-,')"


def range_sql(synced: Synced, row_id: str, *, is_sqlite: bool) -> str:
    """The number of the range that a row id is in, as an expression; on SQLite the one that devices use."""
    if is_sqlite:
        return replica_schema.range_sql(synced, row_id)
    return f"get_byte(uuid_send({row_id}), 15)" if synced.bucket.is_shared else "0"


def bucket_sql(synced: Synced, row: str, *, is_sqlite: bool) -> str:
    """The name of the bucket that `row` is in, as an expression; on SQLite the one that devices use."""
    if is_sqlite or synced.bucket.key is None:
        return replica_schema.bucket_sql(synced, row)
    return f"'{synced.bucket.kind}:' || encode(uuid_send({row}.{synced.bucket.key}), 'hex')"


def seal_sums_sql(synced: Synced) -> tuple[str, str, str]:
    """On SQLite, let the rows of an unsealed change count for what they are now, and no more for what they were.

    Parameter of each: the change.
    """
    rows = f"entity = {synced.number} AND change = ?"
    checksum, place = checksum_sql(synced, "t", is_sqlite=True), range_sql(synced, "row_id", is_sqlite=True)
    now = f"SELECT {checksum} FROM {synced.name} t WHERE t.id = row_id"
    counted = f"FROM change_log WHERE {rows} AND checksum IS NOT NULL GROUP BY 1, 2 {ADD_UP}"
    return (
        f"{_INTO} SELECT bucket, {place}, change, -count(*), -sum(checksum) {counted}",
        f"UPDATE change_log SET checksum = CASE deleted WHEN 0 THEN ({now}) END WHERE {rows}",
        f"{_INTO} SELECT bucket, {place}, change, count(*), sum(checksum) {counted}",
    )


def fill_sums_sql(synced: Synced, *, is_sqlite: bool) -> str:
    """Find what logged rows count for that lack a checksum, those of before there were any, and add it to the sums.

    On SQLite what is not sealed yet is left to sealing, and `fill_checksums_sql` follows.
    """
    checksum, place = checksum_sql(synced, "t", is_sqlite=is_sqlite), range_sql(synced, "row_id", is_sqlite=is_sqlite)
    joined = f"t.id = l.row_id AND {_lacking(synced, 'l', is_sqlite=is_sqlite)}"
    added = f"{_INTO} SELECT bucket, {place}, 0, count(*), sum(checksum) FROM"
    if is_sqlite:
        filled = f"SELECT l.bucket, l.row_id, {checksum} AS checksum FROM change_log l JOIN {synced.name} t ON {joined}"
        return f"{added} ({filled}) WHERE true GROUP BY 1, 2 {ADD_UP}"
    fill = f"UPDATE change_log l SET checksum = {checksum} FROM {synced.name} t WHERE {joined}"
    return f"WITH filled AS ({fill} RETURNING l.bucket, l.row_id, l.checksum) {added} filled GROUP BY 1, 2 {ADD_UP}"


def fill_checksums_sql(synced: Synced) -> str:
    """On SQLite, give the rows that `fill_sums_sql` counted their checksums."""
    checksum = checksum_sql(synced, "t", is_sqlite=True)
    return f"""
        UPDATE change_log SET checksum = (SELECT {checksum} FROM {synced.name} t WHERE t.id = row_id)
         WHERE {_lacking(synced, "change_log", is_sqlite=True)}
    """


def _lacking(synced: Synced, log: str, *, is_sqlite: bool) -> str:
    sealed = f"AND {log}.change <= (SELECT head FROM change_head)" if is_sqlite else ""
    return f"{log}.entity = {synced.number} AND {log}.deleted = 0 AND {log}.checksum IS NULL {sealed}"


COMPACT_SQL: Final = (
    f"""
    {_INTO} SELECT bucket, range, 0, sum(rows), sum(checksum) FROM bucket_sum WHERE change > 0 GROUP BY 1, 2 {ADD_UP}
    """,
    "DELETE FROM bucket_sum WHERE change > 0",
)
"""On SQLite, add up what every transaction so far noted."""

COMPACT_POSTGRES_SQL: Final = f"""
    WITH old AS (DELETE FROM bucket_sum WHERE change > 0 RETURNING bucket, range, rows, checksum)
    {_INTO} SELECT bucket, range, 0, sum(rows), sum(checksum) FROM old GROUP BY 1, 2 {ADD_UP}
"""
"""The same on PostgreSQL, in one statement: what others commit meanwhile is not in it and stays as it is."""
