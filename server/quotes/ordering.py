"""What an order does to the quote that it orders, and its cancellation or refusal."""

from uuid import UUID

from server.quotes.steps import SERVER_NAME, Taker, lines_of, note_round
from server.runtime.clock import IdSource
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.orders import Order
from sync_protocol.entities.quotes import NegotiatedQuote, QuoteStatus
from sync_protocol.rules.quote_states import Side, has_run_out, may_step
from sync_protocol.rules.quotes import stepped
from sync_protocol.verdicts import Code


async def order_refusal(work: UnitOfWork, quote_id: UUID, customer_id: UUID, now_ms: int) -> tuple[Code, str] | None:
    """Why a customer may not order a quote, or None where it may: after it ran out it would be an order at another price."""
    quote = await work.get(NegotiatedQuote, quote_id, lock=True)
    if quote is None or quote.customer_id != customer_id:
        return Code.UNKNOWN_QUOTE, ""
    if not may_step(Side.SERVER, quote.status, QuoteStatus.ORDERED):
        return Code.QUOTE_STATE_FORBIDS, f"the quote is {quote.status}"
    if has_run_out(quote, now_ms):
        return Code.QUOTE_STATE_FORBIDS, f"what quote {quote.number} promised has run out"
    return None


async def note_ordered(work: UnitOfWork, quote_id: UUID, order: Order, taker: Taker) -> None:
    """A quote became an order, both of this transaction."""
    quote = await work.get(NegotiatedQuote, quote_id, lock=True)
    assert quote is not None
    ordered = stepped(quote, QuoteStatus.ORDERED, order_id=order.id)
    work.replace(ordered)
    note_round(work, ordered, await lines_of(work, quote), taker, order.number)


async def note_given_up(work: UnitOfWork, order: Order, *, ids: IdSource, now_ms: int) -> None:
    """There is no such order after all: the quote that it was is accepted as before, and may be ordered again."""
    for quote in await work.find(NegotiatedQuote, lock=True, order_id=order.id):
        accepted = stepped(quote, QuoteStatus.ACCEPTED, order_id=None)
        work.replace(accepted)
        taker = Taker(name=SERVER_NAME, now_ms=now_ms, ids=ids)
        note_round(work, accepted, await lines_of(work, quote), taker, order.number)
