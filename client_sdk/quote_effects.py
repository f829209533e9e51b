"""The local effect of what was asked about quotes: a step of a negotiation shows at once, as the server is about to see it.

An offer that is accepted here prices the next order here: the agreed prices are those that will come, ids and all.
"""

from collections.abc import Iterable
from uuid import UUID

import apsw

from client_sdk.rows import fetch_one, fetch_rows
from client_sdk.state import Identity, channel_of, load
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, QuoteStatus
from sync_protocol.intents import AcceptQuote, CounterQuote, RequestQuote, WithdrawQuote
from sync_protocol.rules.quotes import agreed_prices, countered, requested_quote, stepped, wanted_rows, withdrawn
from sync_protocol.values import Row
from sync_protocol.wire.messages import IntentEnvelope


def quote_lines(connection: apsw.Connection, quote_id: UUID) -> list[NegotiatedQuoteLine]:
    """The lines of a quote as they are shown, in their order."""
    return fetch_rows(connection, NegotiatedQuoteLine, "quote_id = ? ORDER BY line_number", quote_id.bytes)


def quote_effect(
    connection: apsw.Connection, intent: RequestQuote | CounterQuote | AcceptQuote | WithdrawQuote, envelope: IntentEnvelope
) -> Iterable[Row]:
    """The rows that an intent about a quote makes; none where the quote is not on this device any more."""
    if isinstance(intent, RequestQuote):
        return _requested(connection, intent, envelope)
    quote = fetch_one(connection, NegotiatedQuote, intent.quote_id)
    if quote is None:
        return ()
    match intent:
        case CounterQuote():
            changed = countered(quote, intent)
            connection.execute("DELETE FROM overlay_negotiated_quote_line WHERE quote_id = ?", (quote.id.bytes,))
            return changed, *wanted_rows(changed, intent.lines, {})
        case AcceptQuote():
            lines = quote_lines(connection, quote.id)
            accepted = stepped(quote, QuoteStatus.ACCEPTED)
            return accepted, *lines, *agreed_prices(accepted, lines)
        case WithdrawQuote():
            return withdrawn(quote, intent), *quote_lines(connection, quote.id)


def _requested(connection: apsw.Connection, intent: RequestQuote, envelope: IntentEnvelope) -> Iterable[Row]:
    identity = load(connection, Identity)
    quote = requested_quote(
        intent,
        number=intent.number,
        channel=channel_of(identity),
        requested_at_ms=envelope.captured_at_ms,
        time_zone=envelope.time_zone,
        rep_id=identity.rep_id if identity is not None else None,
    )
    return quote, *wanted_rows(quote, intent.lines, {})
