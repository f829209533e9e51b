"""What the customer's side may ask about quotes: by intent from a device, and through the API."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from server.customers.late_orders import REFUSED_FOOTINGS, Footing, Standing, standing_of, told_of_handover
from server.identity.numbers import free_number, is_leased_to, prefix_of
from server.pricing.gathering import gathered
from server.quotes.steps import Taker, accept, lines_of, note_round, taker_of
from server.runtime.slices import IntentContext
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.customers import Address, Customer, CustomerStatus
from sync_protocol.entities.pricing import AgreedPrice
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, QuoteStatus
from sync_protocol.intents import AcceptQuote, CounterQuote, RequestQuote, WantedQuoteLine, WithdrawQuote
from sync_protocol.rules.order_review import ORDER_TOTAL_MINOR_MAX
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from sync_protocol.rules.pricing.engine import price_for
from sync_protocol.rules.pricing.explanation import BasketPrice, LinePrice, Obstacle
from sync_protocol.rules.pricing.quantities import nearest_quantities
from sync_protocol.rules.quote_states import Side, may_step, standing_at
from sync_protocol.rules.quotes import accepted_late, countered, is_in_whole, named_amount, requested_quote, wanted_rows, withdrawn
from sync_protocol.verdicts import Change, Code, Outcome, Verdict

_NOT_FOR_SALE = {
    Obstacle.UNKNOWN_PRODUCT: Code.UNKNOWN_PRODUCT,
    Obstacle.PRODUCT_DISCONTINUED: Code.PRODUCT_DISCONTINUED,
    Obstacle.QUANTITY_NOT_SOLD: Code.QUANTITY_NOT_SOLD,
}
"""No price would make an order of these; that there is none yet is what a quote is for."""


async def request_quote(work: UnitOfWork, intent: RequestQuote, context: IntentContext) -> Verdict:
    """Write down what a customer wants a price for, with what it costs now."""
    customer = await work.get(Customer, intent.customer_id)
    if customer is None:
        return context.rejected(Code.UNKNOWN_CUSTOMER)
    standing = await standing_of(work.session, customer, context)
    refusal = await _request_refusal(work, intent, customer, standing, context)
    if refusal is not None:
        return context.rejected(refusal, await told_of_handover(work, customer, standing) if refusal is Code.HANDED_OVER else "")
    price = await _price(work, standing.on_its_terms(customer), intent.lines, context, address_id=intent.address_id)
    if price.nearest_currency not in {"", intent.currency}:
        return context.rejected(Code.CURRENCY_DIFFERS, f"the customer buys in {price.nearest_currency}")
    refused = await _refused_lines(work, intent.quote_id, intent.lines, price, context)
    if refused is not None:
        return refused
    own = prefix_of(intent.number) == context.number_prefix or await is_leased_to(work, intent.number, context.holder_id)
    number = await free_number(work, NegotiatedQuote, intent.number if own else f"{context.number_prefix}-{intent.number}")
    quote = requested_quote(
        intent,
        number=number,
        channel=context.channel,
        requested_at_ms=context.now_ms,
        time_zone=context.time_zone,
        rep_id=standing.rep_id,
    )
    lines = wanted_rows(quote, intent.lines, _list_prices(price))
    if _is_too_large(quote, lines):
        return context.rejected(Code.TOTAL_TOO_LARGE)
    work.insert(quote, *lines)
    note_round(work, quote, lines, await _taker(work, context), intent.note)
    return _accepted(context, intent.number, number)


async def _request_refusal(
    work: UnitOfWork, intent: RequestQuote, customer: Customer, standing: Standing, context: IntentContext
) -> Code | None:
    if standing.footing in REFUSED_FOOTINGS or _is_late_online(standing, context):
        return REFUSED_FOOTINGS.get(standing.footing, Code.NOT_PERMITTED)
    if customer.status is CustomerStatus.CLOSED:
        return Code.CUSTOMER_CLOSED
    if await work.get(NegotiatedQuote, intent.quote_id) is not None:
        return Code.QUOTE_EXISTS
    if intent.address_id is not None:
        address = await work.get(Address, intent.address_id)
        if address is None or address.customer_id != customer.id:
            return Code.UNKNOWN_ADDRESS
    return None


async def _price(
    work: UnitOfWork,
    customer: Customer,
    lines: Sequence[WantedQuoteLine],
    context: IntentContext,
    *,
    address_id: UUID | None,
    currency: str | None = None,
) -> BasketPrice:
    """What the goods cost without a quote of their own."""
    basket = Basket(
        customer_id=customer.id,
        channel=context.channel,
        instant_ms=context.now_ms,
        currency=currency,
        address_id=address_id,
        role=context.role,
        rep_id=context.rep_id,
        lines=tuple(BasketLine(line_id=line.line_id, product_id=line.product_id, quantity=line.quantity) for line in lines),
    )
    return await gathered(work, price_for(customer, basket), lock=False)


def _list_prices(price: BasketPrice) -> Mapping[UUID, tuple[int, int]]:
    return {line.line_id: (line.unit_price, line.per_quantity) for line in price.lines if line.unit_price is not None}


async def _refused_lines(
    work: UnitOfWork, quote_id: UUID, lines: Sequence[WantedQuoteLine], price: BasketPrice, context: IntentContext
) -> Verdict | None:
    """Lines that cannot be bought, or whose price would never be paid as it was agreed (P-21), or whose id is another row's."""
    if await _is_foreign(work, quote_id, [line.line_id for line in lines]):
        return context.rejected(Code.MALFORMED, "lines: a line_id is in use by another quote or agreement")
    places: dict[UUID, int] = {}
    for place, line in enumerate(lines):
        if places.setdefault(line.product_id, place) != place:
            said = f"lines[{place}].product_id: lines[{places[line.product_id]}] has product {line.product_id} too"
            return context.rejected(Code.MALFORMED, f"{said}; put it on one line")
    not_for_sale = [_not_for_sale(line) for line in price.lines if line.obstacle in _NOT_FOR_SALE]
    changes = (*not_for_sale, *(_whole(line) for line in lines if not is_in_whole(line)))
    return msgspec.structs.replace(context.rejected(changes[0].code), changes=changes) if changes else None


def _not_for_sale(line: LinePrice) -> Change:
    assert line.obstacle is not None
    code = _NOT_FOR_SALE[line.obstacle]
    if code is not Code.QUANTITY_NOT_SOLD:
        return Change(code=code, line_id=line.line_id)
    nearest = nearest_quantities(line)
    return Change(code=code, line_id=line.line_id, before=line.quantity, after=nearest[-1] if nearest else None)


def _whole(line: WantedQuoteLine) -> Change:
    whole = -(-line.quantity // line.per_quantity) * line.per_quantity
    return Change(code=Code.QUANTITY_NOT_SOLD, line_id=line.line_id, before=line.quantity, after=whole)


def _is_too_large(quote: NegotiatedQuote, lines: Sequence[NegotiatedQuoteLine]) -> bool:
    return (named_amount(quote, lines) or 0) > ORDER_TOTAL_MINOR_MAX


async def _taker(work: UnitOfWork, context: IntentContext) -> Taker:
    return await taker_of(work.session, context.user_id, ids=context.ids, now_ms=context.now_ms)


def _accepted(context: IntentContext, asked: str = "", given: str = "") -> Verdict:
    changes = () if asked == given else (Change(code=Code.NUMBER_CHANGED, before=asked, after=given),)
    return Verdict(
        intent_id=context.intent_id,
        outcome=Outcome.ACCEPTED_WITH_CHANGES if changes else Outcome.ACCEPTED,
        decided_at_ms=context.now_ms,
        codes=tuple(change.code for change in changes),
        changes=changes,
    )


async def _open(work: UnitOfWork, quote_id: UUID, context: IntentContext) -> NegotiatedQuote | Verdict:
    """The quote that a step is to be taken in, locked, or why the asker may not."""
    quote = await work.get(NegotiatedQuote, quote_id, lock=True)
    if quote is None:
        return context.rejected(Code.UNKNOWN_QUOTE)
    customer = await work.get(Customer, quote.customer_id)
    assert customer is not None, "a quote refers to its customer"
    standing = await standing_of(work.session, customer, context)
    if standing.footing in REFUSED_FOOTINGS:
        return context.rejected(REFUSED_FOOTINGS[standing.footing], await told_of_handover(work, customer, standing))
    if _is_late_online(standing, context):
        return context.rejected(Code.NOT_PERMITTED)
    if standing.footing is Footing.ROUTED:  # the new rep decides, and sees the quote
        return context.rejected(Code.HANDED_OVER, await told_of_handover(work, customer, standing))
    return quote


def _is_late_online(standing: Standing, context: IntentContext) -> bool:
    """Whether somebody asks through the API what is another's by now: nothing was captured before that."""
    return context.is_online and standing.footing is not Footing.OWN


def _step_refusal(context: IntentContext, quote: NegotiatedQuote, revision: int, target: QuoteStatus) -> Verdict | None:
    # That an offer ran out, which the server wrote down by itself, is no news to who saw the offer.
    seen = {quote.revision - 1, quote.revision} if quote.status is QuoteStatus.EXPIRED else {quote.revision}
    if revision not in seen:
        detail = f"it is at revision {quote.revision}, you saw {revision}"
        return context.rejected(Code.QUOTE_CHANGED_MEANWHILE, detail)
    if not may_step(Side.CUSTOMER, quote.status, target):
        return context.rejected(Code.QUOTE_STATE_FORBIDS, f"the quote is {quote.status}")
    return None


async def counter_quote(work: UnitOfWork, intent: CounterQuote, context: IntentContext) -> Verdict:
    """Take other goods or prices to the office."""
    quote = await _open(work, intent.quote_id, context)
    if isinstance(quote, Verdict):
        return quote
    refusal = _step_refusal(context, quote, intent.revision, QuoteStatus.COUNTERED)
    if refusal is not None:
        return refusal
    customer = await work.get(Customer, quote.customer_id)
    assert customer is not None
    price = await _price(work, customer, intent.lines, context, address_id=quote.address_id, currency=quote.currency)
    refused = await _refused_lines(work, intent.quote_id, intent.lines, price, context)
    if refused is not None:
        return refused
    changed = countered(quote, intent)
    lines = wanted_rows(changed, intent.lines, _list_prices(price))
    if _is_too_large(changed, lines):
        return context.rejected(Code.TOTAL_TOO_LARGE)
    for line in await lines_of(work, quote):
        work.remove(line)
    work.insert(*lines)
    work.replace(changed)
    note_round(work, changed, lines, await _taker(work, context), intent.note)
    return _accepted(context)


async def _is_foreign(work: UnitOfWork, quote_id: UUID, line_ids: Sequence[UUID]) -> bool:
    """Whether an id is that of a line of another quote, or of an agreement, whose place the accepted line would take."""
    await work.load(NegotiatedQuoteLine, line_ids)
    await work.load(AgreedPrice, line_ids)
    lines = [await work.get(NegotiatedQuoteLine, line_id) for line_id in line_ids]
    agreements = [await work.get(AgreedPrice, line_id) for line_id in line_ids]
    return any(agreements) or any(line is not None and line.quote_id != quote_id for line in lines)


async def accept_quote(work: UnitOfWork, intent: AcceptQuote, context: IntentContext) -> Verdict:
    """Agree on what was offered. After the offer ran out the customer's word is kept, and the office decides."""
    quote = await _open(work, intent.quote_id, context)
    if isinstance(quote, Verdict):
        return quote
    lines = await lines_of(work, quote)
    has_run_out = standing_at(quote, context.now_ms) is QuoteStatus.EXPIRED
    target = QuoteStatus.COUNTERED if has_run_out else QuoteStatus.ACCEPTED
    refusal = _step_refusal(context, quote, intent.revision, target)
    if refusal is not None:
        return refusal
    taker = await _taker(work, context)
    if not has_run_out:
        await accept(work, quote, lines, taker)
        return _accepted(context)
    changed, wanted = accepted_late(quote, lines)
    work.replace(changed)
    for line in wanted:
        work.replace(line)
    note_round(work, changed, wanted, taker, quote.note)
    return Verdict(intent_id=context.intent_id, outcome=Outcome.HELD, decided_at_ms=context.now_ms, codes=(Code.QUOTE_EXPIRED,))


async def withdraw_quote(work: UnitOfWork, intent: WithdrawQuote, context: IntentContext) -> Verdict:
    """End a negotiation that led to nothing."""
    quote = await _open(work, intent.quote_id, context)
    if isinstance(quote, Verdict):
        return quote
    refusal = _step_refusal(context, quote, quote.revision, QuoteStatus.WITHDRAWN)
    if refusal is not None:
        return refusal
    ended = withdrawn(quote, intent)
    work.replace(ended)
    note_round(work, ended, await lines_of(work, quote), await _taker(work, context), intent.reason)
    return _accepted(context)
