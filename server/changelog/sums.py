"""What each range of each bucket holds, as SQL for both engines: what a row counts for, and what is kept of all rows.

`sync_protocol.checksums` says what the checksum of a row is. PostgreSQL makes it by itself; on SQLite it is a function
that the server's connections have and other programs' have not, so only sealing and recounts call it.
"""

from typing import Any, Final
from uuid import UUID

from server.runtime.database import CHECKSUM_FUNCTION
from sync_protocol.entities import Synced
from sync_protocol.values import RANGES

_ALL_BYTES: Final = f"x'{bytes(range(RANGES)).hex()}'"
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
    text = " || ".join(f"{_postgres_netstring(synced, row, column)}" for column in synced.row.__struct_fields__)
    return f"('x' || left(md5('{len(number)}:{number},' || {text}), 10))::bit(40)::bigint"


def _postgres_netstring(synced: Synced, row: str, column: str) -> str:
    annotation: Any = synced.row.__annotations__.get(column, UUID)
    value = f"{row}.{column}"
    is_id = annotation in {UUID, UUID | None}
    text = f"'32:' || encode(uuid_send({value}), 'hex') || ','" if is_id else f"octet_length({value}::text) || ':' || {value} || ','"
    return f"coalesce({text}, '-,')"


def range_sql(synced: Synced, row_id: str, *, is_sqlite: bool) -> str:
    """The number of the range that a row id is in, as an expression. SQLite's place of a byte among all bytes is its number."""
    if not synced.bucket.is_shared:
        return "0"
    return f"instr({_ALL_BYTES}, substr({row_id}, 16, 1)) - 1" if is_sqlite else f"get_byte(uuid_send({row_id}), 15)"


def bucket_sql(synced: Synced, row: str, *, is_sqlite: bool) -> str:
    """The name of the bucket that `row` is in, as an expression."""
    if synced.bucket.key is None:
        return f"'{synced.bucket.kind}'"
    key = f"{row}.{synced.bucket.key}"
    digits = f"lower(hex({key}))" if is_sqlite else f"encode(uuid_send({key}), 'hex')"
    return f"'{synced.bucket.kind}:' || {digits}"
