"""The replica's tables as SQL text, made of the registry alone: the device holds them, the server builds images of them.

A file of this shape is filled in two steps: `create_sql`, rows, and then `finish_sql`, which makes indexes, full-text index,
range sums and their triggers in one go, several times faster than row by row; entity by entity, where one is whole earlier.
All names are unqualified, so that the statements run where the file is the connection's main database. A file that is
finished is never VACUUMed: that would number the rows of `product` anew behind the full-text index's back.
"""

import hashlib
import types
import typing
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec

from sync_protocol.entities import BY_NAME, SYNCED, Synced
from sync_protocol.values import RANGES, plain_type

REPLICA_APPLICATION_ID: Final = 0x52424452
"""«RBDR»: in the header of every replica and image, so that no other database is ever taken for one."""

OVERLAID: Final = tuple(
    BY_NAME[name]
    for name in (
        *("customer", "address", "contact", "sales_order", "sales_order_line"),
        *("agreed_price", "negotiated_quote", "negotiated_quote_line"),
    )
)
_SEARCHED: Final = ("sku", "name", "variant_label", "barcode")
_SEARCH_BUFFER_BYTES: Final = 4 * 1024 * 1024  # four times the usual: a quarter less time for a hundred thousand products
_ADDED: Final = "ON CONFLICT (bucket, range) DO UPDATE SET rows = rows + excluded.rows, checksum = checksum + excluded.checksum"
_ALL_BYTES: Final = f"x'{bytes(range(RANGES)).hex()}'"


@cache
def image_format() -> bytes:
    """A digest of everything here: two files of the same format can stand for each other. 16 bytes."""
    return hashlib.blake2b("\n".join((*create_sql(), *finish_sql())).encode(), digest_size=16).digest()


@cache
def create_sql() -> tuple[str, ...]:
    """The tables, ready to be filled; `replica_state` holds what a file says of itself, one value a key."""
    return (
        f"PRAGMA application_id = {REPLICA_APPLICATION_ID}",
        "CREATE TABLE replica_state (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
        """
        CREATE TABLE range_sum (
            bucket TEXT, range INTEGER, rows INTEGER NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (bucket, range)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE staged_gone (
            entity TEXT NOT NULL, id BLOB NOT NULL, commit_seq INTEGER NOT NULL, PRIMARY KEY (entity, id)
        ) STRICT, WITHOUT ROWID
        """,
        *(table_sql(synced, synced.name) for synced in SYNCED),
        *(statement for synced in SYNCED for statement in (table_sql(synced, staged(synced)), key_sql(staged(synced)))),
        *(statement for synced in OVERLAID for statement in (table_sql(synced, overlay(synced)), key_sql(overlay(synced)))),
    )


@cache
def finish_sql() -> tuple[str, ...]:
    """Everything else, of what the tables hold by now: indexes, full-text index, range sums, their triggers, and views."""
    each = ((key_sql(synced.name), *derived_sql(synced), fill_sums_sql(synced), *sum_trigger_sql(synced)) for synced in SYNCED)
    return (*(statement for statements in each for statement in statements), *view_sql())


def derived_sql(synced: Synced) -> tuple[str, ...]:
    """What is derived of the rows of one entity, but for its key and the range sums."""
    return (*index_sql(synced), *(search_sql() if synced.name == "product" else ()))


def staged(synced: Synced) -> str:
    """The table in which rows of an entity wait for the rest of their checkpoint."""
    return f"staged_{synced.name}"


def overlay(synced: Synced) -> str:
    """The table of rows that pending intents make."""
    return f"overlay_{synced.name}"


def current(synced: Synced) -> str:
    """Where to read an entity: the replica with the overlay on it, or the replica alone where nothing overlays it."""
    return f"current_{synced.name}" if synced in OVERLAID else synced.name


@cache
def table_sql(synced: Synced, table: str) -> str:
    """The table of a row: its version, its checksum, its fields. The key is made apart: ids are random, and many are sorted faster
    at the end than each is put in its place.
    """
    columns = ", ".join(_column_sql(field) for field in msgspec.structs.fields(synced.row))
    return f"CREATE TABLE {table} (commit_seq INTEGER NOT NULL, checksum INTEGER NOT NULL DEFAULT 0, {columns}) STRICT"


def _column_sql(field: msgspec.structs.FieldInfo) -> str:
    kind, optional = _storage(field.type)
    return f"{field.name} {kind}{'' if optional else ' NOT NULL'}"


def key_sql(table: str) -> str:
    """The key of a row's table."""
    return f"CREATE UNIQUE INDEX {table}_id ON {table} (id)"


def _storage(field_type: Any) -> tuple[str, bool]:
    """The storage class of a field, and whether it may be null."""
    storage = {UUID: "BLOB", int: "INTEGER"}.get(plain_type(field_type), "TEXT")
    return storage, types.NoneType in typing.get_args(field_type)


def index_sql(synced: Synced) -> tuple[str, ...]:
    """The indexes of an entity, as its line in the registry names them."""
    return tuple(
        f"CREATE INDEX {synced.name}_{'_'.join(columns)} ON {synced.name} ({', '.join(columns)})" for columns in synced.indexes
    )


def bucket_sql(synced: Synced, row: str) -> str:
    """The name of a row's bucket as an expression over `row`, which is a table, `NEW` or `OLD`."""
    if synced.bucket.key is None:
        return f"'{synced.bucket.kind}'"
    return f"'{synced.bucket.kind}:' || lower(hex({row}.{synced.bucket.key}))"


def range_sql(synced: Synced, row_id: str) -> str:
    """The number of a row id's range as an expression: SQLite makes no number of a byte, so the byte's place among all is it."""
    return f"instr({_ALL_BYTES}, substr({row_id}, 16, 1)) - 1" if synced.bucket.is_shared else "0"


def add_sum_sql(bucket: str, place: str, rows: str, checksum: str) -> str:
    """Add so many rows to a range sum, each part an expression."""
    return f"INSERT INTO range_sum VALUES ({bucket}, {place}, {rows}, {checksum}) {_ADDED}"


def fill_sums_sql(synced: Synced) -> str:
    """Add to the range sums what a table holds."""
    name, key = synced.name, synced.bucket.key or "NULL"
    counted = (
        f"SELECT {key} AS key, {range_sql(synced, f'{name}.id')} AS range, count(*) AS rows, sum(checksum) AS checksum FROM {name}"
    )
    bucket = bucket_sql(synced, "counted").replace(f"counted.{key}", "counted.key")
    return (
        f"INSERT INTO range_sum SELECT {bucket}, range, rows, checksum FROM ({counted} GROUP BY 1, 2) counted WHERE true {_ADDED}"
    )


def sum_trigger_sql(synced: Synced) -> tuple[str, ...]:
    """Keep the range sums from here on."""
    name = synced.name
    enter = add_sum_sql(bucket_sql(synced, "NEW"), range_sql(synced, "NEW.id"), "1", "NEW.checksum")
    leave = (
        "UPDATE range_sum SET rows = rows - 1, checksum = checksum - OLD.checksum "
        f"WHERE bucket = {bucket_sql(synced, 'OLD')} AND range = {range_sql(synced, 'OLD.id')}"
    )
    return (
        f"CREATE TRIGGER {name}_sum_insert AFTER INSERT ON {name} BEGIN {enter}; END",
        f"CREATE TRIGGER {name}_sum_delete AFTER DELETE ON {name} BEGIN {leave}; END",
        f"CREATE TRIGGER {name}_sum_update AFTER UPDATE ON {name} BEGIN {leave}; {enter}; END",
    )


def search_sql() -> tuple[str, ...]:
    """The full-text index of products, filled in one go and then kept by triggers. It holds no copy of the text."""
    columns = ", ".join(_SEARCHED)
    new = ", ".join(f"NEW.{column}" for column in _SEARCHED)
    changed = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in _SEARCHED)
    options = "content='', contentless_delete=1, tokenize=\"unicode61 remove_diacritics 2\", prefix='1 2 3 4'"
    enter = f"INSERT INTO product_search (rowid, {columns}) VALUES (NEW.rowid, {new})"
    leave = "DELETE FROM product_search WHERE rowid = OLD.rowid"
    return (
        f"CREATE VIRTUAL TABLE product_search USING fts5({columns}, {options})",
        f"INSERT INTO product_search (product_search, rank) VALUES ('hashsize', {_SEARCH_BUFFER_BYTES})",
        f"INSERT INTO product_search (rowid, {columns}) SELECT rowid, {columns} FROM product",
        f"CREATE TRIGGER product_search_insert AFTER INSERT ON product BEGIN {enter}; END",
        f"CREATE TRIGGER product_search_delete AFTER DELETE ON product BEGIN {leave}; END",
        f"CREATE TRIGGER product_search_update AFTER UPDATE ON product WHEN {changed} BEGIN {leave}; {enter}; END",
    )


def view_sql() -> tuple[str, ...]:
    """The views that lay the overlay over the replica. The lines of an overlaid order or quote are the overlay's alone."""
    hidden = {
        "sales_order_line": "order_id NOT IN (SELECT id FROM overlay_sales_order)",
        "negotiated_quote_line": "quote_id NOT IN (SELECT id FROM overlay_negotiated_quote)",
    }
    shown = {synced: hidden.get(synced.name, f"id NOT IN (SELECT id FROM {overlay(synced)})") for synced in OVERLAID}
    return tuple(
        f"CREATE VIEW {current(synced)} AS SELECT * FROM {overlay(synced)} UNION ALL SELECT * FROM {synced.name} WHERE {condition}"
        for synced, condition in shown.items()
    )
