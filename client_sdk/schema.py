"""The device's tables. The replica is a cache of the wire: derived from the registry, dropped when that moves.

What must never be lost (identity, outbox, journal, drafts) has real migrations: a step is applied once, in order, in
the transaction that records it.
"""

import hashlib
import types
import typing
from typing import Any, Final
from uuid import UUID

import apsw
import msgspec

from client_sdk.errors import StoreTooNewError
from client_sdk.state import REPLICA_KEYS, forget
from client_sdk.store import APPLICATION_ID
from sync_protocol.entities import BY_NAME, SYNCED, Synced

OVERLAID: Final = tuple(BY_NAME[name] for name in ("customer", "address", "contact", "sales_order", "sales_order_line"))

MIGRATIONS: Final = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (
        sequence INTEGER PRIMARY KEY,
        intent_id BLOB NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        subject_id BLOB NOT NULL,
        envelope BLOB NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        problem TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE TABLE journal (
        sequence INTEGER PRIMARY KEY,
        intent_id BLOB NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        subject_id BLOB NOT NULL,
        envelope BLOB NOT NULL,
        outcome TEXT NOT NULL,
        verdict BLOB NOT NULL,
        commit_seq INTEGER NOT NULL,
        received_at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX journal_subject ON journal (subject_id);
    CREATE INDEX journal_commit_seq ON journal (commit_seq);
    CREATE TABLE draft (
        order_id BLOB PRIMARY KEY,
        customer_id BLOB NOT NULL,
        address_id BLOB,
        number TEXT,
        purchase_order_number TEXT NOT NULL DEFAULT '',
        note TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL DEFAULT 'open',
        updated_at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE draft_line (
        line_id BLOB PRIMARY KEY,
        order_id BLOB NOT NULL REFERENCES draft (order_id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        product_id BLOB NOT NULL,
        quantity INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX draft_line_order ON draft_line (order_id, position);
    CREATE TABLE number_counter (prefix TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE staged_gone (
        entity TEXT NOT NULL, id BLOB NOT NULL, commit_seq INTEGER NOT NULL, PRIMARY KEY (entity, id)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE receipt (
        id BLOB PRIMARY KEY,
        bucket TEXT NOT NULL,
        rows INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        epoch BLOB NOT NULL,
        cursor INTEGER NOT NULL,
        purged_at_ms INTEGER NOT NULL,
        is_erased INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    """,
)

_SEARCHED: Final = ("sku", "name", "variant_label", "barcode")


def prepare(connection: apsw.Connection, path: str) -> bool:
    """Create or migrate everything, in the caller's transaction; says whether the replica was begun anew.

    Raises StoreTooNewError.
    """
    applied = int(connection.pragma("user_version"))
    connection.pragma("application_id", APPLICATION_ID)
    if applied > len(MIGRATIONS):
        raise StoreTooNewError(path, applied, len(MIGRATIONS))
    for step, statements in enumerate(MIGRATIONS[applied:], start=applied + 1):
        connection.execute(statements)
        connection.pragma("user_version", step)
    known = connection.execute("SELECT value FROM meta WHERE key = 'schema'").get
    if known == fingerprint():
        return False
    rebuild_replica(connection)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (fingerprint(),))
    return True


def fingerprint() -> bytes:
    """A digest of everything that is derived here: where it moves, the replica is dropped and pulled again."""
    statements = [sql for synced in SYNCED for sql in (table_sql(synced, synced.name), *index_sql(synced))]
    return hashlib.blake2b("\n".join([*statements, *view_sql(), *search_sql()]).encode(), digest_size=16).digest()


def rebuild_replica(connection: apsw.Connection) -> None:
    """An empty replica, with no checkpoint; what is durable stays."""
    drop_views(connection)
    connection.execute("DROP TABLE IF EXISTS product_search")
    for synced in SYNCED:
        for table in (synced.name, staged(synced), overlay(synced)):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in (table_sql(synced, synced.name), *index_sql(synced)):
            connection.execute(statement)
    for synced in OVERLAID:
        connection.execute(table_sql(synced, overlay(synced)))
    for statement in (*view_sql(), *search_sql()):
        connection.execute(statement)
    connection.execute("DELETE FROM staged_gone")
    forget(connection, *REPLICA_KEYS)


def staged(synced: Synced) -> str:
    """The table in which rows of an entity wait for the rest of their checkpoint."""
    return f"staged_{synced.name}"


def overlay(synced: Synced) -> str:
    """The table of rows that pending intents make."""
    return f"overlay_{synced.name}"


def current(synced: Synced) -> str:
    """Where to read an entity: the replica with the overlay on it, or the replica alone where nothing overlays it."""
    return f"current_{synced.name}" if synced in OVERLAID else synced.name


def table_sql(synced: Synced, table: str) -> str:
    """The table of a row, the row's version first."""
    columns = ", ".join(_column_sql(field) for field in msgspec.structs.fields(synced.row))
    return f"CREATE TABLE {table} (commit_seq INTEGER NOT NULL, checksum INTEGER NOT NULL DEFAULT 0, {columns}) STRICT"


def _column_sql(field: msgspec.structs.FieldInfo) -> str:
    kind, optional = _storage(field.type)
    constraint = " PRIMARY KEY NOT NULL" if field.name == "id" else "" if optional else " NOT NULL"
    return f"{field.name} {kind}{constraint}"


def _storage(field_type: Any) -> tuple[str, bool]:
    """The storage class of a field, and whether it may be null."""
    if typing.get_origin(field_type) in {types.UnionType, typing.Union}:
        (inner,) = [part for part in typing.get_args(field_type) if part is not types.NoneType]
        return _storage(inner)[0], True
    if typing.get_origin(field_type) is typing.Annotated:
        return _storage(typing.get_args(field_type)[0])
    return {UUID: "BLOB", int: "INTEGER"}.get(field_type, "TEXT"), False


def index_sql(synced: Synced) -> tuple[str, ...]:
    """The indexes of an entity, as its line in the registry names them."""
    return tuple(
        f"CREATE INDEX {synced.name}_{'_'.join(columns)} ON {synced.name} ({', '.join(columns)})" for columns in synced.indexes
    )


def view_sql() -> tuple[str, ...]:
    """The views that lay the overlay over the replica. The lines of an overlaid order are the overlay's alone."""
    hidden = {"sales_order_line": "order_id NOT IN (SELECT id FROM overlay_sales_order)"}
    return tuple(_view_sql(synced, hidden.get(synced.name, f"id NOT IN (SELECT id FROM {overlay(synced)})")) for synced in OVERLAID)  # noqa: S608  # no input in it


def _view_sql(synced: Synced, shown: str) -> str:
    both = f"SELECT * FROM {overlay(synced)} UNION ALL SELECT * FROM {synced.name} WHERE {shown}"  # noqa: S608  # no input in it
    return f"CREATE VIEW {current(synced)} AS {both}"


def drop_views(connection: apsw.Connection) -> None:
    """Take the views away, before tables under them are replaced."""
    for synced in OVERLAID:
        connection.execute(f"DROP VIEW IF EXISTS {current(synced)}")


def search_sql() -> tuple[str, ...]:
    """The full-text index of products, kept by triggers. It holds no copy of the text."""
    columns = ", ".join(_SEARCHED)
    new = ", ".join(f"NEW.{column}" for column in _SEARCHED)
    changed = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in _SEARCHED)
    options = "content='', contentless_delete=1, tokenize=\"unicode61 remove_diacritics 2\", prefix='1 2 3 4'"
    return (
        f"CREATE VIRTUAL TABLE product_search USING fts5({columns}, {options})",
        *_search_trigger_sql(columns, new, changed),
    )


def _search_trigger_sql(columns: str, new: str, changed: str) -> tuple[str, ...]:
    enter = f"INSERT INTO product_search (rowid, {columns}) VALUES (NEW.rowid, {new})"  # noqa: S608  # no input in it
    leave = "DELETE FROM product_search WHERE rowid = OLD.rowid"
    return (
        f"CREATE TRIGGER product_search_insert AFTER INSERT ON product BEGIN {enter}; END",
        f"CREATE TRIGGER product_search_delete AFTER DELETE ON product BEGIN {leave}; END",
        f"CREATE TRIGGER product_search_update AFTER UPDATE ON product WHEN {changed} BEGIN {leave}; {enter}; END",
    )


def fill_search(connection: apsw.Connection) -> None:
    """Index every product anew, in one go."""
    columns = ", ".join(_SEARCHED)
    connection.execute("DROP TABLE IF EXISTS product_search")
    for trigger in ("insert", "delete", "update"):
        connection.execute(f"DROP TRIGGER IF EXISTS product_search_{trigger}")
    table, *triggers = search_sql()
    connection.execute(table)
    connection.execute(f"INSERT INTO product_search (rowid, {columns}) SELECT rowid, {columns} FROM product")  # noqa: S608  # no input in it
    for trigger in triggers:
        connection.execute(trigger)
