"""Receipts for what was erased because it went out of this device's scope (I-5).

A receipt is written in the act that purges the bucket. It is ready to be sent once the write-ahead log, in which the
rows may have stood, is gone too, and it stays until the server has stored it. Its id follows from what was purged
where, so that a purge that is repeated after a kill makes the same receipt again.

After a restore the server may not have a customer that this device created, until the creation that is offered again is
decided. Until then its bucket is in doubt; if it proves lost, the receipt is written then.
"""

import uuid
from collections.abc import Collection, Iterable
from typing import Final
from uuid import UUID

import apsw

from client_sdk import integrity
from client_sdk.damage import borne
from client_sdk.integrity import Held
from client_sdk.rows import fetch_tuples, stored_id
from client_sdk.state import Checkpoint, Doubted, Identity, ScopeHeld, checkpoint, load, save
from sync_protocol.intents import CreateCustomer
from sync_protocol.wire.messages import RECEIPTS_MAX, PurgeReceipt

_NAMESPACE: Final = UUID("6f0d7f3c-5a51-5b0e-9d0a-52424456a001")


def write(connection: apsw.Connection, lost: Iterable[str], at: Checkpoint) -> None:
    """Write a receipt for each bucket that this act takes from the replica as it moves to `at`; before it does.

    A bucket of which nothing was here has a receipt too: for no rows; and so has one that a damaged file does not tell of.
    """
    for bucket in lost:
        _write(connection, bucket, _held(connection, bucket), at)


def _held(connection: apsw.Connection, bucket: str) -> Held:
    found = [Held(0, 0)]
    with borne(connection):
        found.append(integrity.total(connection, bucket))
    return found[-1]


def _write(connection: apsw.Connection, bucket: str, held: tuple[int, int], at: Checkpoint) -> None:
    identity = load(connection, Identity)
    of_whom = identity.device_id.hex if identity is not None else ""
    receipt_id = uuid.uuid5(_NAMESPACE, f"{of_whom} {at.epoch} {at.cursor} {bucket}")
    now_ms = max(0, at.as_of_ms + (at.clock_skew_ms or 0))
    connection.execute(
        "INSERT OR IGNORE INTO receipt (id, bucket, rows, checksum, epoch, cursor, purged_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (receipt_id.bytes, bucket, *held, at.epoch.bytes if at.epoch else b"", at.cursor, now_ms),
    )


def doubt(connection: apsw.Connection, lost: Collection[str], at: Checkpoint) -> frozenset[str]:
    """Those of the lost buckets whose customer's creation has no effect at `at` yet: they are kept in mind, and have no receipt."""
    before = load(connection, Doubted) or Doubted({})
    doubted = {bucket: _held(connection, bucket) for bucket in lost if _is_being_created(connection, bucket, at)}
    after = {bucket: held for bucket, held in before.held.items() if bucket not in lost} | doubted
    if after != before.held:
        save(connection, Doubted(after))
    return frozenset(doubted)


def settle(connection: apsw.Connection, at: Checkpoint) -> frozenset[str]:
    """Let go of doubts that the scope at `at` ends; those that are lost indeed have their receipts now. Returns these."""
    doubted = load(connection, Doubted)
    if doubted is None or not doubted.held:
        return frozenset()
    scope = load(connection, ScopeHeld)
    away = doubted.held.keys() - set(scope.buckets if scope is not None else ())
    left = {bucket for bucket in away if _is_being_created(connection, bucket, at)}
    for bucket in away - left:
        _write(connection, bucket, doubted.held[bucket], at)
    save(connection, Doubted({bucket: doubted.held[bucket] for bucket in sorted(left)}))
    return frozenset(away - left)


def _is_being_created(connection: apsw.Connection, bucket: str, at: Checkpoint) -> bool:
    """Whether its creation waits, or was decided later than `at`, by what another program pushed: the next checkpoint tells."""
    kind, _, key = bucket.partition(":")
    sql = """
        SELECT EXISTS (SELECT 1 FROM outbox WHERE kind = :kind AND subject_id = :customer)
            OR EXISTS (SELECT 1 FROM journal WHERE kind = :kind AND subject_id = :customer
                           AND commit_seq > :cursor)
        """
    bound = {
        "kind": CreateCustomer.__name__,
        "customer": bytes.fromhex(key) if kind == "account" else b"",
        "cursor": at.cursor,
    }
    return bool(connection.execute(sql, bound).get)


def has_unerased(connection: apsw.Connection) -> bool:
    """Whether something was purged whose bytes may still stand in the write-ahead log."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM receipt WHERE is_erased = 0)").get)


def note_erased(connection: apsw.Connection) -> None:
    """The write-ahead log was emptied after the replica had moved: what was purged by then is gone from every file.

    A receipt whose purge is still to be repeated, because a kill came between, waits for that.
    """
    at = checkpoint(connection)
    connection.execute(
        "UPDATE receipt SET is_erased = 1 WHERE epoch <> ? OR cursor <= ?", (at.epoch.bytes if at.epoch else b"", at.cursor)
    )


def count(connection: apsw.Connection) -> int:
    """How many receipts the server has not stored yet."""
    return int(connection.execute("SELECT count(*) FROM receipt").get)


def ready(connection: apsw.Connection) -> tuple[PurgeReceipt, ...]:
    """The receipts that the next report hands in, oldest first, as many as one may have."""
    rows = fetch_tuples(
        connection,
        """
        SELECT id, bucket, rows, checksum, cursor, purged_at_ms FROM receipt
         WHERE is_erased = 1 ORDER BY purged_at_ms, id LIMIT ?
        """,
        (RECEIPTS_MAX,),
    )
    return tuple(
        PurgeReceipt(
            id=stored_id(receipt_id),
            bucket=bucket,
            rows=count,
            checksum=checksum,
            purged_at_cursor=cursor,
            purged_at_ms=purged_at_ms,
        )
        for receipt_id, bucket, count, checksum, cursor, purged_at_ms in rows
    )


def accepted(connection: apsw.Connection, receipt_ids: Iterable[UUID]) -> None:
    """Forget the receipts that the server has stored."""
    connection.executemany("DELETE FROM receipt WHERE id = ?", ((each.bytes,) for each in receipt_ids))
