"""A negotiated quote that becomes an order through the API, by the very path of an order that a device submits."""

from typing import Final
from uuid import UUID

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from server.identity.devices import next_number_prefix
from server.identity.principals import Principal, Role, allow
from server.orders import service
from server.orders.answers import OrderDetail, order_detail
from server.orders.intents import submit_order
from server.pricing.consumption import lock_agreed
from server.quotes.errors import QuoteOvertakenError, QuoteRanOutError, QuoteRefusedError, QuoteStateError, QuoteUsedUpError
from server.quotes.online import context_of, require_seen
from server.quotes.steps import lines_of
from server.runtime.clock import IdSource
from server.runtime.database import Database
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.pricing import AgreedPrice
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, QuoteStatus
from sync_protocol.intents import RequestedLine, SubmitOrder
from sync_protocol.rules.quote_states import Side, has_run_out, may_step
from sync_protocol.rules.quotes import is_promised
from sync_protocol.values import EnteredLabel, EnteredNote
from sync_protocol.verdicts import Code, Outcome


class QuoteOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands on the order beside the goods."""

    purchase_order_number: EnteredLabel = ""
    note: EnteredNote = ""


@post(
    "/negotiated-quotes/{quote_id:uuid}/order",
    opt=allow(Role.REP, Role.BUYER),
    status_code=200,
    summary="Order what was agreed",
    tags=("quotes",),
)
async def post_quote_order(
    *,
    quote_id: FromPath[UUID],
    data: JSONBody[QuoteOrder],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    ids: NamedDependency[IdSource],
    now_ms: NamedDependency[int],
) -> OrderDetail:
    """Order an accepted quote, whole, at its prices. Asked twice it answers with the same order."""
    async with database.write() as session:
        work = await UnitOfWork.of(session)
        quote = await require_seen(work, principal, quote_id, lock=True)
        if quote.order_id is not None:
            return order_detail(await service.open_order(session, quote.order_id))
        prefix = await next_number_prefix(session)
        intent = _intent(quote, await _orderable(work, quote, now_ms), data, ids=ids, prefix=prefix)
        context = await context_of(session, principal, ids=ids, now_ms=now_ms, number_prefix=prefix)
        verdict = await submit_order(work, intent, context)
        if verdict.outcome is Outcome.REJECTED:
            raise QuoteRefusedError(verdict, [line.line_id for line in intent.lines])
        if Code.PRICE_CHANGED in verdict.codes:
            raise QuoteOvertakenError(quote.number)
        await work.flush()
        return order_detail(await service.open_order(session, intent.order_id))


async def _orderable(work: UnitOfWork, quote: NegotiatedQuote, now_ms: int) -> list[NegotiatedQuoteLine]:
    """The lines of a quote whose prices hold, all of them.

    Raises QuoteStateError, QuoteRanOutError, QuoteUsedUpError.
    """
    if not may_step(Side.SERVER, quote.status, QuoteStatus.ORDERED):
        raise QuoteStateError(quote.number, quote.status, str(QuoteStatus.ORDERED))
    if has_run_out(quote, now_ms):
        assert quote.valid_until_ms is not None
        raise QuoteRanOutError(quote.number, quote.valid_until_ms)
    lines = await lines_of(work, quote)
    await lock_agreed(work, ((quote.customer_id, line.product_id) for line in lines))
    for line in lines:
        if not is_promised(line, await work.get(AgreedPrice, line.id, lock=True)):
            raise QuoteUsedUpError(quote.number)
    return lines


def _intent(
    quote: NegotiatedQuote, lines: list[NegotiatedQuoteLine], data: QuoteOrder, *, ids: IdSource, prefix: str
) -> SubmitOrder:
    return SubmitOrder(
        order_id=ids.new(),
        number=f"{prefix}-{1:06d}",
        customer_id=quote.customer_id,
        currency=quote.currency,
        lines=tuple(
            RequestedLine(
                line_id=ids.new(),
                product_id=line.product_id,
                quantity=line.quantity,
                unit_price=line.offered_unit_price or 0,
                per_quantity=line.per_quantity,
                pack_quantity=line.per_quantity,  # a price for so many is only for lines in packs of so many (P-21)
            )
            for line in lines
        ),
        address_id=quote.address_id,
        purchase_order_number=data.purchase_order_number,
        note=data.note,
        quote_id=quote.id,
    )


ROUTES: Final = (post_quote_order,)
