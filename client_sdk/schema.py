"""The tables of the device's own file: what must never be lost. The replica's are made of the registry instead.

A step is applied once, in order, in the transaction that records it.
"""

from typing import Final

import apsw

from client_sdk.connection import APPLICATION_ID
from client_sdk.errors import StoreTooNewError

# The first layout had the replica in the same file. Its names stand here as they were then.
_ONCE_SYNCED: Final = (
    *("unit", "category", "product", "pack", "stock_location", "price_list", "price_entry", "territory", "rep", "customer"),
    *("address", "contact", "stock_level", "sales_order", "sales_order_line", "number_series"),
)
_ONCE_OVERLAID: Final = ("customer", "address", "contact", "sales_order", "sales_order_line")

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
    ";".join(
        (
            *(f"DROP VIEW IF EXISTS current_{name}" for name in _ONCE_OVERLAID),
            "DROP TABLE IF EXISTS product_search",
            *(f"DROP TABLE IF EXISTS overlay_{name}" for name in _ONCE_OVERLAID),
            *(f"DROP TABLE IF EXISTS {prefix}{name}" for prefix in ("", "staged_") for name in _ONCE_SYNCED),
            "DROP TABLE staged_gone",
            "DELETE FROM meta WHERE key IN ('schema', 'checkpoint', 'scope', 'staging', 'staged_scope')",
        )
    ),
    """
    ALTER TABLE draft_line ADD COLUMN pack_quantity INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE draft_line ADD COLUMN manual BLOB;
    """,
    "ALTER TABLE draft ADD COLUMN quote_id BLOB",
)


def migrate(connection: apsw.Connection, path: str) -> bool:
    """Create or migrate all of it, in the caller's transaction; says whether there was an older layout. Raises StoreTooNewError."""
    applied = int(connection.pragma("user_version"))
    connection.pragma("application_id", APPLICATION_ID)
    if applied > len(MIGRATIONS):
        raise StoreTooNewError(path, applied, len(MIGRATIONS))
    for step, statements in enumerate(MIGRATIONS[applied:], start=applied + 1):
        connection.execute(statements)
        connection.pragma("user_version", step)
    return 0 < applied < len(MIGRATIONS)
