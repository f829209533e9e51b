"""Negotiated quotes as the API shows them: ISO times in UTC, prices in ten-thousandths, amounts in minor units."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from server.quotes.listing import KnownQuote, QuoteRow
from server.quotes.models import NegotiatedQuoteRoundModel
from server.runtime.cursor import Cursor
from server.runtime.instants import iso
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.quotes import QuoteStatus


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A response body."""


class QuoteHeader(Answer, frozen=True, kw_only=True):
    """A negotiated quote in a list. `revision` counts its rounds, and is what the next step must name."""

    id: UUID
    number: str
    status: QuoteStatus
    revision: int
    channel: Channel
    customer_id: UUID
    customer_name: str
    rep_id: UUID | None
    rep_name: str | None
    currency: str
    requested_at: str
    valid_until: str | None
    order_id: UUID | None


class QuotePage(Answer, frozen=True, kw_only=True):
    """Ask again with `after=<next>` until `next` is null."""

    items: list[QuoteHeader]
    next: str | None


class QuotedLine(Answer, frozen=True, kw_only=True):
    """A line. Prices are ten-thousandths of the major unit for `per_quantity` base units; null where none was named."""

    id: UUID
    line_number: int
    product_id: UUID
    sku: str
    name: str
    quantity: int
    per_quantity: int
    list_unit_price: int | None
    wanted_unit_price: int | None
    offered_unit_price: int | None


class RoundEntry(Answer, frozen=True, kw_only=True):
    """A step: where it led to, who took it, and what the lines came to at the prices that were named last."""

    revision: int
    status: QuoteStatus
    taken_at: str
    taken_by: str
    said: str
    amount_minor: int | None


class QuoteDetail(QuoteHeader, frozen=True, kw_only=True):
    """A negotiated quote with its lines and its history."""

    address_id: UUID | None
    time_zone: str
    note: str
    answer: str
    lines: list[QuotedLine]
    rounds: list[RoundEntry]


def quote_page(found: Sequence[QuoteRow], limit: int) -> QuotePage:
    """A page of `listing.page_of_quotes`."""
    last = found[-1].NegotiatedQuoteModel if len(found) == limit else None
    items = [QuoteHeader(**_header(row)) for row in found]
    return QuotePage(items=items, next=str(Cursor(last.requested_at_ms, last.id)) if last else None)


def _header(row: Any) -> dict[str, Any]:
    quote = row.NegotiatedQuoteModel
    return {
        "id": quote.id,
        "number": quote.number,
        "status": QuoteStatus(quote.status),
        "revision": quote.revision,
        "channel": Channel(quote.channel),
        "customer_id": quote.customer_id,
        "customer_name": row.customer_name,
        "rep_id": quote.rep_id,
        "rep_name": row.rep_name,
        "currency": quote.currency,
        "requested_at": iso(quote.requested_at_ms),
        "valid_until": iso(quote.valid_until_ms) if quote.valid_until_ms is not None else None,
        "order_id": quote.order_id,
    }


def quote_detail(known: KnownQuote) -> QuoteDetail:
    """Everything about a quote."""
    row: Any = known.quote
    quote = row.NegotiatedQuoteModel
    return QuoteDetail(
        **_header(row),
        address_id=quote.address_id,
        time_zone=quote.time_zone,
        note=quote.note,
        answer=quote.answer,
        lines=[_line(each) for each in known.lines],
        rounds=[_round(each) for each in known.rounds],
    )


def _line(row: Any) -> QuotedLine:
    line = row.NegotiatedQuoteLineModel
    return QuotedLine(
        id=line.id,
        line_number=line.line_number,
        product_id=line.product_id,
        sku=row.sku,
        name=row.name,
        quantity=line.quantity,
        per_quantity=line.per_quantity,
        list_unit_price=line.list_unit_price,
        wanted_unit_price=line.wanted_unit_price,
        offered_unit_price=line.offered_unit_price,
    )


def _round(taken: NegotiatedQuoteRoundModel) -> RoundEntry:
    return RoundEntry(
        revision=taken.revision,
        status=QuoteStatus(taken.status),
        taken_at=iso(taken.taken_at_ms),
        taken_by=taken.taken_by,
        said=taken.said,
        amount_minor=taken.amount_minor,
    )
