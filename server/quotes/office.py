"""What the office does with a quote: offer, take what the customer wants, refuse."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from server.quotes.errors import QuoteChangedError, QuoteNotFoundError, QuoteStateError, UnfitOfferError
from server.quotes.steps import Taker, accept, lines_of, note_round
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, QuoteStatus
from sync_protocol.intents import LINES_MAX
from sync_protocol.rules.order_review import ORDER_TOTAL_MINOR_MAX
from sync_protocol.rules.quote_states import Side, may_step
from sync_protocol.rules.quotes import named_amount, stepped
from sync_protocol.values import EnteredNote, Instant, Revision, UnitPrice, normal_text


class OfferedLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price of a line, in ten-thousandths of the major unit, for as many base units as its `per_quantity` says."""

    line_id: UUID
    unit_price: UnitPrice


class Offer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price for every line, until just before `valid_until_ms`. `revision` is the one that was looked at."""

    revision: Revision
    lines: Annotated[tuple[OfferedLine, ...], Meta(min_length=1, max_length=LINES_MAX)]
    valid_until_ms: Instant
    note: EnteredNote = ""


async def offer(work: UnitOfWork, quote_id: UUID, wanted: Offer, taker: Taker) -> None:
    """Offer prices. Raises QuoteNotFoundError, QuoteChangedError, QuoteStateError, UnfitOfferError."""
    quote = await _to_step(work, quote_id, wanted.revision, QuoteStatus.OFFERED)
    lines = await lines_of(work, quote)
    offered = _offered(lines, {line.line_id: line.unit_price for line in wanted.lines})
    if len(wanted.lines) != len(lines):
        raise UnfitOfferError("lines", "a line is priced twice; price each once")
    terms = _with_terms(quote, wanted.valid_until_ms, wanted.note, taker)
    changed = stepped(terms, QuoteStatus.OFFERED)
    _require_amount(changed, offered)
    work.replace(changed)
    for line in offered:
        work.replace(line)
    note_round(work, changed, offered, taker, changed.answer)


def _offered(lines: Sequence[NegotiatedQuoteLine], prices: dict[UUID, int]) -> list[NegotiatedQuoteLine]:
    strange = prices.keys() - {line.id for line in lines}
    if strange:
        raise UnfitOfferError("lines", f"{min(strange)} is no line of this quote; name its own")
    missing = [line for line in lines if line.id not in prices]
    if missing:
        raise UnfitOfferError("lines", f"line {missing[0].line_number} ({missing[0].id}) has no price; give each line one")
    return [msgspec.structs.replace(line, offered_unit_price=prices[line.id]) for line in lines]


async def accept_wanted(work: UnitOfWork, quote_id: UUID, *, revision: int, valid_until_ms: int, said: str, taker: Taker) -> None:
    """Take the prices that the customer wants. Raises as `offer` does."""
    quote = await _to_step(work, quote_id, revision, QuoteStatus.ACCEPTED)
    lines = await lines_of(work, quote)
    silent = [line for line in lines if line.wanted_unit_price is None]
    if silent:
        raise UnfitOfferError("lines", f"for line {silent[0].line_number} the customer names no price; make an offer instead")
    agreed = [msgspec.structs.replace(line, offered_unit_price=line.wanted_unit_price) for line in lines]
    for line in agreed:
        work.replace(line)
    terms = _with_terms(quote, valid_until_ms, said, taker)
    await accept(work, terms, agreed, taker, terms.answer)


async def refuse(work: UnitOfWork, quote_id: UUID, *, revision: int, reason: str, taker: Taker) -> None:
    """End a negotiation. Raises QuoteNotFoundError, QuoteChangedError, QuoteStateError, UnfitOfferError."""
    said = normal_text(reason)
    if not said:
        raise UnfitOfferError("reason", "is empty; say why, the customer's side reads it")
    quote = await _to_step(work, quote_id, revision, QuoteStatus.REFUSED)
    refused = stepped(quote, QuoteStatus.REFUSED, answer=said)
    work.replace(refused)
    note_round(work, refused, await lines_of(work, quote), taker, said)


async def _to_step(work: UnitOfWork, quote_id: UUID, revision: int, target: QuoteStatus) -> NegotiatedQuote:
    """The quote, locked: of two at once the second one finds the step of the first."""
    quote = await work.get(NegotiatedQuote, quote_id, lock=True)
    if quote is None:
        raise QuoteNotFoundError(quote_id)
    if quote.revision != revision:
        raise QuoteChangedError(quote.number, quote.revision, revision)
    if not may_step(Side.OFFICE, quote.status, target):
        raise QuoteStateError(quote.number, quote.status, str(target))
    return quote


def _with_terms(quote: NegotiatedQuote, valid_until_ms: int, note: str, taker: Taker) -> NegotiatedQuote:
    if valid_until_ms <= taker.now_ms:
        raise UnfitOfferError("valid_until_ms", f"is past, it is {taker.now_ms} now; let it hold for a while")
    return msgspec.structs.replace(quote, valid_until_ms=valid_until_ms, answer=normal_text(note))


def _require_amount(quote: NegotiatedQuote, lines: Sequence[NegotiatedQuoteLine]) -> None:
    if (named_amount(quote, lines) or 0) > ORDER_TOTAL_MINOR_MAX:
        raise UnfitOfferError("lines", "they come to more than one order may hold; offer in parts")
