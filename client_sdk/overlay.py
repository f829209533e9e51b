"""The local effect of intents that the replica does not show yet: what the user sees is the replica plus this.

Rebuilding is rewinding and replaying: the overlay is emptied and every intent that is pending, or accepted beyond the
replica's cursor, is laid on again in the order in which it was made. So own writes never flicker (design rule 14).
"""

from collections.abc import Iterable

import apsw
import msgspec

from client_sdk.quote_effects import quote_effect, quote_lines
from client_sdk.rows import empty, fetch_one, fetch_rows, fetch_tuples
from client_sdk.state import Identity, channel_of, checkpoint, is_overlay_lost, load, note_laid, note_rows
from sync_protocol.entities import BY_ROW
from sync_protocol.entities.orders import Order, OrderLine, OrderStatus
from sync_protocol.entities.quotes import NegotiatedQuote, QuoteStatus
from sync_protocol.intents import AmendOrder, AnyIntent, CancelOrder, CreateCustomer, SubmitOrder
from sync_protocol.replica_schema import OVERLAID, overlay
from sync_protocol.rules.documents import order_row, prospect_rows, quoted_line_rows, quoted_totals
from sync_protocol.rules.quotes import stepped
from sync_protocol.values import Row
from sync_protocol.verdicts import Outcome
from sync_protocol.wire.codec import decode, intent_of, stored_values
from sync_protocol.wire.messages import IntentEnvelope


def rebuild(connection: apsw.Connection) -> None:
    """Rewind, then replay what the replica does not show at its checkpoint. One that is too damaged for it is left.

    Each act that changes rows of the replica ends here.
    """
    note_rows(connection)
    if is_overlay_lost(connection):
        return
    empty(connection, map(overlay, OVERLAID))
    pending = fetch_tuples(
        connection,
        """
        SELECT envelope FROM (
            SELECT sequence, envelope FROM outbox
            UNION ALL
            SELECT sequence, envelope FROM journal WHERE commit_seq > ? AND outcome <> ?
        ) ORDER BY sequence
        """,
        (checkpoint(connection).cursor, Outcome.REJECTED.value),
    )
    for (envelope,) in pending:
        _lay(connection, decode(envelope, IntentEnvelope))
    note_laid(connection)


def add(connection: apsw.Connection, envelope: IntentEnvelope) -> None:
    """Lay the effect of one more intent on what is there, in the act that saves it."""
    if not is_overlay_lost(connection):
        _lay(connection, envelope)
        note_rows(connection)
        note_laid(connection)


def _lay(connection: apsw.Connection, envelope: IntentEnvelope) -> None:
    intent = intent_of(envelope)
    _put(connection, _effect(connection, intent, envelope))


def _effect(connection: apsw.Connection, intent: AnyIntent, envelope: IntentEnvelope) -> Iterable[Row]:
    match intent:
        case CreateCustomer():
            return prospect_rows(intent)
        case SubmitOrder():
            return *_submitted(connection, intent, envelope), *_ordered_quote(connection, intent)
        case AmendOrder():
            return _amended(connection, intent)
        case CancelOrder():
            return _cancelled(connection, intent)
        case _:
            return quote_effect(connection, intent, envelope)


def _ordered_quote(connection: apsw.Connection, intent: SubmitOrder) -> Iterable[Row]:
    quote = fetch_one(connection, NegotiatedQuote, intent.quote_id) if intent.quote_id is not None else None
    if quote is None:
        return ()
    return stepped(quote, QuoteStatus.ORDERED, order_id=intent.order_id), *quote_lines(connection, quote.id)


def _submitted(connection: apsw.Connection, intent: SubmitOrder, envelope: IntentEnvelope) -> Iterable[Row]:
    identity = load(connection, Identity)
    header = order_row(
        intent,
        quoted_totals(intent.lines, intent.currency),
        number=intent.number,
        channel=channel_of(identity),
        status=OrderStatus.SUBMITTED,
        captured_at_ms=envelope.captured_at_ms,
        time_zone=envelope.time_zone,
        received_at_ms=envelope.captured_at_ms,
        priced_at_ms=intent.priced_at_ms or 0,
        rep_id=identity.rep_id if identity is not None else None,
        stock_location_id=None,
        hold_code=None,
    )
    return header, *quoted_line_rows(intent.order_id, intent.customer_id, intent.currency, intent.lines, intent.gifts)


def _amended(connection: apsw.Connection, intent: AmendOrder) -> Iterable[Row]:
    order = fetch_one(connection, Order, intent.order_id)
    if order is None:
        return ()
    connection.execute("DELETE FROM overlay_sales_order_line WHERE order_id = ?", (order.id.bytes,))
    header = msgspec.structs.replace(
        order,
        status=OrderStatus.SUBMITTED,
        revision=order.revision + 1,
        note=order.note if intent.note is None else intent.note,
        hold_code=None,
        reason="",
        **msgspec.structs.asdict(quoted_totals(intent.lines, order.currency)),
    )
    return header, *quoted_line_rows(order.id, order.customer_id, order.currency, intent.lines, intent.gifts)


def _cancelled(connection: apsw.Connection, intent: CancelOrder) -> Iterable[Row]:
    order = fetch_one(connection, Order, intent.order_id)
    if order is None:
        return ()
    lines = fetch_rows(connection, OrderLine, "order_id = ? ORDER BY line_number", order.id.bytes)
    header = msgspec.structs.replace(order, status=OrderStatus.CANCELLED, hold_code=None, reason=intent.reason)
    return header, *(msgspec.structs.replace(line, allocated=0, backordered=0) for line in lines)


def _put(connection: apsw.Connection, rows: Iterable[Row]) -> None:
    for row in rows:
        values = stored_values(row)
        marks = ", ".join("?" for _ in values)
        table = overlay(BY_ROW[type(row)])
        connection.execute(f"INSERT OR REPLACE INTO {table} VALUES (0, 0, {marks})", values)  # noqa: S608  # a name of the registry
