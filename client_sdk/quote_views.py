"""Negotiated quotes as this device knows them, each as it stands at its estimate of the server's time."""

from uuid import UUID

import apsw
import msgspec

from client_sdk.clock import Surroundings
from client_sdk.errors import UnknownRowError
from client_sdk.quote_effects import quote_lines
from client_sdk.quote_errors import QuoteRanOutError, QuoteStateError, QuoteUsedUpError
from client_sdk.quoting import pricing_instant
from client_sdk.rows import fetch_one, fetch_rows
from sync_protocol.entities.pricing import AgreedPrice
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, NegotiatedQuoteRound, QuoteStatus
from sync_protocol.rules.quote_states import Side, has_run_out, may_step, standing_at
from sync_protocol.rules.quotes import is_promised, named_amount


class QuoteView(msgspec.Struct, frozen=True, kw_only=True):
    """A quote as its user sees it. `standing` is where it is now, also where the server has not written down yet that it ran out.

    `amount_minor` is what its lines come to at the prices named last, None where one has none. `rounds` are those that the server
    knows of; `pending` and `is_unsent` are as those of an order: something was asked here that the replica does not show yet.
    """

    quote: NegotiatedQuote
    standing: QuoteStatus
    lines: tuple[NegotiatedQuoteLine, ...]
    rounds: tuple[NegotiatedQuoteRound, ...]
    amount_minor: int | None
    pending: bool
    is_unsent: bool


def find(connection: apsw.Connection, key: UUID | str) -> NegotiatedQuote:
    """A quote by id or number. Raises UnknownRowError."""
    if isinstance(key, UUID):
        found = fetch_one(connection, NegotiatedQuote, key)
    else:
        found = next(iter(fetch_rows(connection, NegotiatedQuote, "number = ? LIMIT 1", key)), None)
    if found is None:
        raise UnknownRowError("quote", key)
    return found


def view(connection: apsw.Connection, key: UUID | str, surroundings: Surroundings) -> QuoteView:
    """A quote by id or number. Raises UnknownRowError."""
    return _view(connection, find(connection, key), pricing_instant(connection, surroundings))


def views(
    connection: apsw.Connection, customer_id: UUID | None, standing: QuoteStatus | None, limit: int, surroundings: Surroundings
) -> list[QuoteView]:
    """Quotes, the latest asked for first; of one customer, or those that stand somewhere now, where asked."""
    instant_ms = pricing_instant(connection, surroundings)
    condition, bindings = ("customer_id = ?", [customer_id.bytes]) if customer_id is not None else ("true", [])
    # Where a quote stands follows from the time, so what is asked for is not in a column.
    found = fetch_rows(connection, NegotiatedQuote, f"{condition} ORDER BY requested_at_ms DESC, id DESC", *bindings)
    shown = [each for each in found if standing is None or standing_at(each, instant_ms) is standing]
    return [_view(connection, each, instant_ms) for each in shown[: max(0, limit)]]


def _view(connection: apsw.Connection, quote: NegotiatedQuote, instant_ms: int) -> QuoteView:
    lines = quote_lines(connection, quote.id)
    pending = connection.execute("SELECT 1 FROM overlay_negotiated_quote WHERE id = ?", (quote.id.bytes,)).get is not None
    subjects = (quote.id.bytes, quote.order_id.bytes if quote.order_id is not None else quote.id.bytes)
    unsent = pending and connection.execute("SELECT 1 FROM outbox WHERE subject_id IN (?, ?) LIMIT 1", subjects).get is not None
    return QuoteView(
        quote=quote,
        standing=standing_at(quote, instant_ms),
        lines=tuple(lines),
        rounds=tuple(fetch_rows(connection, NegotiatedQuoteRound, "quote_id = ? ORDER BY revision", quote.id.bytes)),
        amount_minor=named_amount(quote, lines),
        pending=pending,
        is_unsent=unsent,
    )


def require_orderable(connection: apsw.Connection, key: UUID | str, surroundings: Surroundings) -> NegotiatedQuote:
    """A quote that can become an order now. Raises UnknownRowError, QuoteStateError, QuoteRanOutError, QuoteUsedUpError."""
    quote = find(connection, key)
    if not may_step(Side.SERVER, quote.status, QuoteStatus.ORDERED):
        raise QuoteStateError(quote.number, quote.status, QuoteStatus.ORDERED)
    if has_run_out(quote, pricing_instant(connection, surroundings)):
        assert quote.valid_until_ms is not None
        raise QuoteRanOutError(quote.number, quote.valid_until_ms)
    for line in quote_lines(connection, quote.id):
        if not is_promised(line, fetch_one(connection, AgreedPrice, line.id)):
            raise QuoteUsedUpError(quote.number)
    return quote
