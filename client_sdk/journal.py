"""Verdicts received. A row comes in here in the transaction in which its outbox row goes (design rule 15).

Its times are the server's: how long an entry is kept must not hang on the device's clock.
"""

from typing import Final
from uuid import UUID

import apsw
import msgspec

from client_sdk import drafts
from client_sdk.rows import fetch_tuples, stored_id
from client_sdk.state import DecidedIn, checkpoint, forget_log, load, note_change
from sync_protocol.intents import (
    CounterQuote,
    CreateCustomer,
    QuotedGift,
    RequestedLine,
    RequestQuote,
    SubmitOrder,
    WantedQuoteLine,
)
from sync_protocol.values import Instant
from sync_protocol.verdicts import Outcome, Verdict
from sync_protocol.wire.codec import decode, decode_verdict, intent_of
from sync_protocol.wire.messages import IntentEnvelope, PushResult

KEPT_DAYS: Final = 14
_DAY_MS: Final = 86_400_000


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An intent and what became of it. `subject_id` is the order, quote or customer that it is about.

    `customer_id`, `customer_name`, `currency`, `lines`, `gifts` and `wanted`, the lines of a quote, are as the intent has them, if
    it does: the order itself may have left this device, and a customer whose creation was rejected is on none.
    """

    intent_id: UUID
    kind: str
    subject_id: UUID
    order_number: str | None
    verdict: Verdict
    captured_at_ms: Instant
    received_at_ms: Instant
    customer_id: UUID | None = None
    customer_name: str = ""
    currency: str = ""
    lines: tuple[RequestedLine, ...] = ()
    gifts: tuple[QuotedGift, ...] = ()
    quote_number: str | None = None
    wanted: tuple[WantedQuoteLine, ...] = ()

    @property
    def asked(self) -> tuple[RequestedLine | QuotedGift | WantedQuoteLine, ...]:
        """Its lines, those that are given for nothing with them."""
        return (*self.lines, *self.gifts, *self.wanted)


def record(connection: apsw.Connection, result: PushResult, now_ms: int) -> JournalEntry | None:
    """Move an intent from the outbox to the journal with its verdict; None where it is not in the outbox any more."""
    waiting = connection.execute(
        "SELECT sequence, kind, subject_id, envelope FROM outbox WHERE intent_id = ?", (result.intent_id.bytes,)
    ).fetchone()
    if waiting is None:
        return None
    sequence, kind, subject_id, envelope = waiting
    verdict = decode_verdict(result.verdict)
    note_change(connection)
    connection.execute("DELETE FROM outbox WHERE sequence = ?", (sequence,))
    connection.execute(
        "INSERT OR REPLACE INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            sequence,
            result.intent_id.bytes,
            kind,
            subject_id,
            envelope,
            verdict.outcome.value,
            result.verdict,
            result.commit_seq,
            now_ms,
        ),
    )
    intent = intent_of(decode(envelope, IntentEnvelope))
    if isinstance(intent, SubmitOrder):
        drafts.settle(connection, intent, now_ms, rejected=verdict.outcome is Outcome.REJECTED)
    return _entry(kind, subject_id, envelope, result.verdict, now_ms)


def entries(connection: apsw.Connection, limit: int = 100, subject_id: UUID | None = None) -> list[JournalEntry]:
    """Verdicts, the newest first; of one order or customer where asked."""
    where, bindings = ("WHERE subject_id = ?", [subject_id.bytes]) if subject_id else ("", [])
    rows = fetch_tuples(
        connection,
        f"SELECT kind, subject_id, envelope, verdict, received_at_ms FROM journal {where} ORDER BY sequence DESC LIMIT ?",  # noqa: S608  # two constant texts
        (*bindings, limit),
    )
    return [_entry(*row) for row in rows]


def _entry(kind: str, subject_id: bytes, envelope: bytes, verdict: bytes, received_at_ms: int) -> JournalEntry:
    sent = decode(envelope, IntentEnvelope)
    intent = intent_of(sent)
    return JournalEntry(
        intent_id=sent.id,
        kind=kind,
        subject_id=stored_id(subject_id),
        order_number=intent.number if isinstance(intent, SubmitOrder) else None,
        verdict=decode_verdict(verdict),
        captured_at_ms=sent.captured_at_ms,
        received_at_ms=received_at_ms,
        customer_id=intent.customer(),
        customer_name=intent.name if isinstance(intent, CreateCustomer) else "",
        currency=getattr(intent, "currency", ""),
        lines=() if isinstance(intent, RequestQuote | CounterQuote) else getattr(intent, "lines", ()),
        gifts=getattr(intent, "gifts", ()),
        quote_number=intent.number if isinstance(intent, RequestQuote) else None,
        wanted=intent.lines if isinstance(intent, RequestQuote | CounterQuote) else (),
    )


def offer_again(connection: apsw.Connection, now_ms: int) -> int:
    """Put what was accepted in the last fourteen days back into the outbox: the server was restored and may not know it.

    A rejection stays: its user has seen it. The server answers the same verdict again for what it still has. Returns how many.
    """
    since = now_ms - KEPT_DAYS * _DAY_MS
    note_change(connection)
    connection.execute(
        """
        INSERT OR IGNORE INTO outbox (sequence, intent_id, kind, subject_id, envelope)
        SELECT sequence, intent_id, kind, subject_id, envelope FROM journal
         WHERE received_at_ms >= ? AND outcome <> ? ORDER BY sequence
        """,
        (since, Outcome.REJECTED.value),
    )
    offered = connection.changes()
    connection.execute("DELETE FROM journal WHERE intent_id IN (SELECT intent_id FROM outbox)")
    connection.execute("UPDATE journal SET commit_seq = 0")  # places in a log that is no more
    forget_log(connection)
    return offered


def is_of_another_log(connection: apsw.Connection, epoch: UUID | None) -> bool:
    """Whether its verdicts were given in another log than this: by a server that was restored since, and may have forgotten."""
    decided_in = load(connection, DecidedIn)
    return decided_in is not None and decided_in.epoch != epoch


def age_out(connection: apsw.Connection, now_ms: int) -> None:
    """Forget accepted intents that the replica shows and a restored server would not miss; rejections are kept."""
    connection.execute(
        "DELETE FROM journal WHERE received_at_ms < ? AND commit_seq <= ? AND outcome <> ?",
        (now_ms - KEPT_DAYS * _DAY_MS, checkpoint(connection).cursor, Outcome.REJECTED.value),
    )
