"""Intents without a verdict: the only data that must never be lost. In here before they are sent (design rule 11)."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

import apsw
import msgspec

from client_sdk import overlay
from client_sdk.clock import Surroundings
from client_sdk.entries import unfit
from client_sdk.rows import fetch_tuples
from client_sdk.state import checkpoint, note_change
from sync_protocol.intents import AnyIntent, SubmitOrder
from sync_protocol.values import Instant
from sync_protocol.wire.codec import WireError, decode, decode_intent, digest, encode, intent_of
from sync_protocol.wire.messages import BATCH_INTENTS_MAX, IntentEnvelope
from sync_protocol.wire.version import RULES_VERSION

BATCH_BYTES_MAX: Final = 256 * 1024


class OutboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An intent that waits for its verdict. `problem` is what the server said of it last, where it could not decide.

    `subject_id` is the order or customer that it is about; `customer_id` is None where the intent names no customer.
    """

    intent_id: UUID
    kind: str
    subject_id: UUID
    customer_id: UUID | None
    captured_at_ms: Instant
    attempts: int
    problem: str
    order_number: str | None
    summary: str


class Waiting(msgspec.Struct, frozen=True):
    """An envelope with its place in the order in which intents were made."""

    sequence: int
    envelope: IntentEnvelope

    def lanes(self) -> tuple[UUID, ...]:
        """The aggregates whose order of intents must be kept."""
        return intent_of(self.envelope).lanes()


def enqueue(connection: apsw.Connection, intent: AnyIntent, surroundings: Surroundings) -> IntentEnvelope:
    """Put an intent into the outbox and its effect on the overlay. Raises InvalidEntryError where a limit is broken."""
    try:
        body = encode(intent)
        decode_intent(body)
    except (WireError, UnicodeEncodeError) as error:
        raise unfit(error) from error
    at = checkpoint(connection)
    envelope = IntentEnvelope(
        id=surroundings.ids.new(),
        kind=type(intent).__name__,
        schema_version=type(intent).schema_version,
        body=body,
        digest=digest(body),
        captured_at_ms=max(0, surroundings.clock.now_ms()),
        time_zone=surroundings.time_zone,
        clock_skew_ms=at.clock_skew_ms,
        decided_at_cursor=at.cursor,
        rules_version=RULES_VERSION,
        lanes=intent.lanes(),
    )
    insert(connection, envelope, intent.lanes()[0])
    overlay.add(connection, envelope)
    return envelope


def insert(connection: apsw.Connection, envelope: IntentEnvelope, subject_id: UUID) -> None:
    """Append an envelope behind everything that was ever made here."""
    note_change(connection)
    connection.execute(
        """
        INSERT INTO outbox (sequence, intent_id, kind, subject_id, envelope)
        SELECT 1 + max((SELECT coalesce(max(sequence), 0) FROM outbox), (SELECT coalesce(max(sequence), 0) FROM journal)),
               ?, ?, ?, ?
        """,
        (envelope.id.bytes, envelope.kind, subject_id.bytes, encode(envelope)),
    )


def next_batch(
    connection: apsw.Connection, after: int, intents_max: int = BATCH_INTENTS_MAX, aside: Collection[UUID] = ()
) -> list[Waiting]:
    """The next intents to send after a place in the order, as many as one push may hold; those that are `aside` are not sent.

    What is left from before `after` could not be decided in this round; what shares a lane with it waits behind it.
    """
    sql = "SELECT sequence, envelope FROM outbox ORDER BY sequence"
    batch: list[Waiting] = []
    size, held = 0, set[UUID]()
    for sequence, envelope in connection.execute(sql):
        waiting = Waiting(sequence, decode(envelope, IntentEnvelope))
        if sequence <= after or waiting.envelope.id in aside or not held.isdisjoint(waiting.lanes()):
            held.update(waiting.lanes())
            continue
        size += len(envelope)
        if batch and (size > BATCH_BYTES_MAX or len(batch) >= intents_max):
            break
        batch.append(waiting)
    return batch


def newest(connection: apsw.Connection) -> UUID | None:
    """The newest intent that waits, None where none does. Its place would not tell: places come again as the journal ages out."""
    intent_id = connection.execute("SELECT intent_id FROM outbox ORDER BY sequence DESC LIMIT 1").get
    return UUID(bytes=intent_id) if intent_id is not None else None


def count(connection: apsw.Connection) -> int:
    """How many intents wait."""
    return int(connection.execute("SELECT count(*) FROM outbox").get)


def oldest_unsent_ms(connection: apsw.Connection) -> int | None:
    """When the first of what waits was captured, or None where nothing does."""
    envelope = connection.execute("SELECT envelope FROM outbox ORDER BY sequence LIMIT 1").get
    return decode(envelope, IntentEnvelope).captured_at_ms if envelope is not None else None


def note_problem(connection: apsw.Connection, intent_id: UUID, problem: str) -> None:
    """Write down that the server could not decide an intent; it is sent again at the next sync."""
    connection.execute("UPDATE outbox SET attempts = attempts + 1, problem = ? WHERE intent_id = ?", (problem, intent_id.bytes))


def renew_id(connection: apsw.Connection, intent_id: UUID, fresh: UUID) -> None:
    """Give an intent another id, because the server holds something else under this one; nothing of it was done there."""
    stored = connection.execute("SELECT envelope FROM outbox WHERE intent_id = ?", (intent_id.bytes,)).get
    envelope = msgspec.structs.replace(decode(stored, IntentEnvelope), id=fresh)
    connection.execute(
        "UPDATE outbox SET intent_id = ?, envelope = ? WHERE intent_id = ?", (fresh.bytes, encode(envelope), intent_id.bytes)
    )


def entries(connection: apsw.Connection) -> list[OutboxEntry]:
    """Everything that waits, in the order in which it was made."""
    rows = fetch_tuples(connection, "SELECT envelope, attempts, problem FROM outbox ORDER BY sequence")
    return [_entry(decode(envelope, IntentEnvelope), attempts, problem) for envelope, attempts, problem in rows]


def _entry(envelope: IntentEnvelope, attempts: int, problem: str) -> OutboxEntry:
    intent = intent_of(envelope)
    return OutboxEntry(
        intent_id=envelope.id,
        kind=envelope.kind,
        subject_id=intent.lanes()[0],
        customer_id=intent.customer(),
        captured_at_ms=envelope.captured_at_ms,
        attempts=attempts,
        problem=problem,
        order_number=intent.number if isinstance(intent, SubmitOrder) else None,
        summary=summary(intent),
    )


def summary(intent: AnyIntent) -> str:
    """An intent in a few words, for lists."""
    lines = len(getattr(intent, "lines", ()))
    name = getattr(intent, "number", None) or getattr(intent, "name", "") or str(intent.lanes()[0])
    return f"{type(intent).__name__} {name}" + (f", {lines} lines" if lines else "")
