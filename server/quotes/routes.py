"""Negotiated quotes over HTTP: asked for and answered by the customer's side, offered or refused by the office."""

from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from server.identity.devices import next_number_prefix
from server.identity.principals import OFFICE, Principal, Role, allow, allow_signed_in
from server.pricing.quote_errors import UnfitQuoteError
from server.quotes import office, online
from server.quotes.answers import QuoteDetail, QuotePage, quote_detail, quote_page
from server.quotes.errors import QuoteNotFoundError, UnfitOfferError
from server.quotes.intents import accept_quote, counter_quote, request_quote, withdraw_quote
from server.quotes.listing import open_quote, page_of_quotes
from server.quotes.office import Offer
from server.quotes.steps import taker_of
from server.runtime.clock import IdSource
from server.runtime.cursor import Cursor
from server.runtime.database import Database
from server.runtime.pages import Limit
from server.runtime.slices import IntentHandler
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.quotes import NegotiatedQuote, QuoteStatus
from sync_protocol.intents import LINES_MAX, AcceptQuote, CounterQuote, RequestQuote, WantedQuoteLine, WithdrawQuote
from sync_protocol.values import EnteredCurrency, EnteredNote, Instant, Quantity, Revision, UnitPrice

_PAGE: Final = 50
_TAGS: Final = ("quotes",)
_PATH: Final = "/negotiated-quotes"
_ONE: Final = f"{_PATH}/{{quote_id:uuid}}"
_ID_VERSION: Final = 7
_CUSTOMERS_SIDE: Final = (Role.REP, Role.BUYER)


class WantedLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many base units of a product, perhaps at a price that the customer wants, for `per_quantity` of them."""

    product_id: UUID
    quantity: Quantity
    per_quantity: Quantity = 1
    wanted_unit_price: UnitPrice | None = None


WantedLines = Annotated[tuple[WantedLine, ...], Meta(min_length=1, max_length=LINES_MAX)]


class NewQuote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a price is wanted for. A buyer's is their company's. With a `quote_id` of your own, a UUIDv7, a request is safe to
    repeat: the second one is answered with the quote as it stands.
    """

    currency: EnteredCurrency
    lines: WantedLines
    customer_id: UUID | None = None
    address_id: UUID | None = None
    note: EnteredNote = ""
    quote_id: UUID | None = None


class Counter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other goods or prices, in place of all lines. `revision` is the one that was looked at."""

    revision: Revision
    lines: WantedLines
    note: EnteredNote = ""


class Acceptance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`revision` is the one that was looked at. The office, which takes what the customer wants, says until when that holds."""

    revision: Revision
    valid_until_ms: Instant | None = None
    note: EnteredNote = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why there is no such offer; the customer's side reads it."""

    revision: Revision
    reason: EnteredNote


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is not wanted after all."""

    reason: EnteredNote = ""


def _lines(wanted: tuple[WantedLine, ...], ids: IdSource) -> tuple[WantedQuoteLine, ...]:
    return tuple(WantedQuoteLine(line_id=ids.new(), **msgspec.structs.asdict(line)) for line in wanted)


@post(_PATH, opt=allow(*OFFICE, *_CUSTOMERS_SIDE), summary="Ask for a quote", tags=_TAGS)
async def post_quote_request(
    data: JSONBody[NewQuote],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    ids: NamedDependency[IdSource],
    now_ms: NamedDependency[int],
) -> QuoteDetail:
    """Ask the office for prices; what the goods cost without is written beside them."""
    customer_id = data.customer_id or principal.customer_id
    if customer_id is None:
        raise UnfitQuoteError("customer_id", "say for which customer")
    if data.quote_id is not None and data.quote_id.version != _ID_VERSION:
        raise UnfitQuoteError("quote_id", "is no UUIDv7; make one anew, or leave it out")
    async with database.write() as session:
        work = await UnitOfWork.of(session)
        if data.quote_id is not None and await work.get(NegotiatedQuote, data.quote_id) is not None:
            return await _repeated(work, principal, data.quote_id)
        prefix = await next_number_prefix(session)
        context = await online.context_of(session, principal, ids=ids, now_ms=now_ms, number_prefix=prefix, in_stead_of=customer_id)
        intent = RequestQuote(
            quote_id=data.quote_id or ids.new(),
            number=f"{prefix}-Q{1:06d}",
            customer_id=customer_id,
            currency=data.currency,
            lines=_lines(data.lines, ids),
            address_id=data.address_id,
            note=data.note,
        )
        await online.request(work, request_quote, intent, context)
        return await _shown(work, intent.quote_id)


@get(_PATH, opt=allow(*OFFICE, *_CUSTOMERS_SIDE), summary="List negotiated quotes", tags=_TAGS)
async def list_quotes(
    *,
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    status: FromQuery[QuoteStatus | None] = None,
    customer_id: FromQuery[UUID | None] = None,
    after: FromQuery[str | None] = None,
    limit: Limit = _PAGE,
) -> QuotePage:
    """Quotes, newest first: a buyer's own company's, those of a rep's own accounts, or all."""
    cursor = Cursor.read(after)
    async with database.read() as session:
        found = await page_of_quotes(session, principal, status=status, customer_id=customer_id, after=cursor, limit=limit)
    return quote_page(found, limit)


@get(_ONE, opt=allow(*OFFICE, *_CUSTOMERS_SIDE), summary="Open a negotiated quote", tags=_TAGS)
async def get_quote(
    quote_id: FromPath[UUID], principal: NamedDependency[Principal], database: NamedDependency[Database]
) -> QuoteDetail:
    """A quote with its lines and every round of it."""
    async with database.read() as session:
        await online.require_seen(await UnitOfWork.of(session), principal, quote_id)
        return quote_detail(await open_quote(session, quote_id))


@post(f"{_ONE}/offer", opt=allow_signed_in(*OFFICE), status_code=200, summary="Offer prices", tags=_TAGS)
async def post_offer(
    *,
    quote_id: FromPath[UUID],
    data: JSONBody[Offer],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    ids: NamedDependency[IdSource],
    now_ms: NamedDependency[int],
) -> QuoteDetail:
    """Offer a price for every line; once more before it is taken makes another offer of it."""
    async with database.write() as session:
        work = await UnitOfWork.of(session)
        await office.offer(work, quote_id, data, await taker_of(session, principal.user_id, ids=ids, now_ms=now_ms))
        return await _shown(work, quote_id)


@post(f"{_ONE}/refusal", opt=allow_signed_in(*OFFICE), status_code=200, summary="Refuse a quote", tags=_TAGS)
async def post_refusal(
    *,
    quote_id: FromPath[UUID],
    data: JSONBody[Refusal],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    ids: NamedDependency[IdSource],
    now_ms: NamedDependency[int],
) -> QuoteDetail:
    """End a negotiation, with a reason."""
    async with database.write() as session:
        work = await UnitOfWork.of(session)
        taker = await taker_of(session, principal.user_id, ids=ids, now_ms=now_ms)
        await office.refuse(work, quote_id, revision=data.revision, reason=data.reason, taker=taker)
        return await _shown(work, quote_id)


@post(f"{_ONE}/acceptance", opt=allow(*OFFICE, *_CUSTOMERS_SIDE), status_code=200, summary="Accept a quote", tags=_TAGS)
async def post_acceptance(
    *,
    quote_id: FromPath[UUID],
    data: JSONBody[Acceptance],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    ids: NamedDependency[IdSource],
    now_ms: NamedDependency[int],
) -> QuoteDetail:
    """Take what is offered, or, as the office, what the customer wants. The prices are the customer's from here on.

    An offer that ran out becomes a counter-offer at its prices, which the office may take.
    """
    async with database.write() as session:
        work = await UnitOfWork.of(session)
        if principal.role in OFFICE:
            if data.valid_until_ms is None:
                raise UnfitOfferError("valid_until_ms", "say until when these prices hold")
            taker = await taker_of(session, principal.user_id, ids=ids, now_ms=now_ms)
            await office.accept_wanted(
                work, quote_id, revision=data.revision, valid_until_ms=data.valid_until_ms, said=data.note, taker=taker
            )
        else:
            intent = AcceptQuote(quote_id=quote_id, revision=data.revision)
            await online.step(work, accept_quote, intent, await online.context_of(session, principal, ids=ids, now_ms=now_ms))
        return await _shown(work, quote_id)


@post(f"{_ONE}/counter", opt=allow(*_CUSTOMERS_SIDE), status_code=200, summary="Ask for something else", tags=_TAGS)
async def post_counter(
    *,
    quote_id: FromPath[UUID],
    data: JSONBody[Counter],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    ids: NamedDependency[IdSource],
    now_ms: NamedDependency[int],
) -> QuoteDetail:
    """Other goods or other prices than those on the table."""
    intent = CounterQuote(quote_id=quote_id, revision=data.revision, lines=_lines(data.lines, ids), note=data.note)
    return await _stepped(database, principal, counter_quote, intent, ids=ids, now_ms=now_ms)


@post(f"{_ONE}/withdrawal", opt=allow(*_CUSTOMERS_SIDE), status_code=200, summary="Withdraw a quote", tags=_TAGS)
async def post_withdrawal(
    *,
    quote_id: FromPath[UUID],
    data: JSONBody[Withdrawal],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    ids: NamedDependency[IdSource],
    now_ms: NamedDependency[int],
) -> QuoteDetail:
    """End a negotiation that is not accepted yet."""
    intent = WithdrawQuote(quote_id=quote_id, reason=data.reason)
    return await _stepped(database, principal, withdraw_quote, intent, ids=ids, now_ms=now_ms)


async def _repeated(work: UnitOfWork, principal: Principal, quote_id: UUID) -> QuoteDetail:
    """The quote that was asked for before under this id, as it stands; of another's no more is said than that the id is used."""
    try:
        await online.require_seen(work, principal, quote_id)
    except QuoteNotFoundError:
        raise UnfitQuoteError("quote_id", "is in use; make one anew, or leave it out") from None
    return quote_detail(await open_quote(work.session, quote_id))


async def _shown(work: UnitOfWork, quote_id: UUID) -> QuoteDetail:
    """A quote after a step: the unit's last act."""
    await work.flush()
    return quote_detail(await open_quote(work.session, quote_id))


async def _stepped(
    database: Database,
    principal: Principal,
    handler: IntentHandler,
    intent: CounterQuote | WithdrawQuote,
    *,
    ids: IdSource,
    now_ms: int,
) -> QuoteDetail:
    async with database.write() as session:
        work = await UnitOfWork.of(session)
        await online.step(work, handler, intent, await online.context_of(session, principal, ids=ids, now_ms=now_ms))
        return await _shown(work, intent.quote_id)


ROUTES: Final = (
    post_quote_request,
    list_quotes,
    get_quote,
    post_offer,
    post_refusal,
    post_acceptance,
    post_counter,
    post_withdrawal,
)
