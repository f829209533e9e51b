"""The device's tables. The replica is a cache of the wire: derived from the registry, dropped when that moves.

What must never be lost (identity, outbox, journal, drafts) has real migrations: a step is applied once, in order, in
the transaction that records it.
"""

import hashlib
from typing import Final

import apsw

from client_sdk.errors import StoreTooNewError
from client_sdk.state import REPLICA_KEYS, forget
from client_sdk.store import APPLICATION_ID
from sync_protocol.entities import SYNCED
from sync_protocol.replica_schema import OVERLAID, current, index_sql, overlay, search_sql, staged, table_sql, view_sql

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
    """A digest of everything that is derived of the registry: where it moves, the replica is dropped and pulled again."""
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


def drop_views(connection: apsw.Connection) -> None:
    """Take the views away, before tables under them are replaced."""
    for synced in OVERLAID:
        connection.execute(f"DROP VIEW IF EXISTS {current(synced)}")


def fill_search(connection: apsw.Connection) -> None:
    """Index every product anew, in one go."""
    connection.execute("DROP TABLE IF EXISTS product_search")
    for trigger in ("insert", "delete", "update"):
        connection.execute(f"DROP TRIGGER IF EXISTS product_search_{trigger}")
    for statement in search_sql():
        connection.execute(statement)
