"""What happens to offers by themselves: those that nobody took in time run out."""

from typing import Final
from uuid import UUID

import sqlalchemy as sa

from server.quotes.models import NegotiatedQuoteModel
from server.quotes.steps import SERVER_NAME, Taker, lines_of, note_round
from server.runtime.clock import IdSource
from server.runtime.database import ReadSession
from server.runtime.slices import Job, JobContext
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, QuoteStatus
from sync_protocol.rules.quote_states import standing_at
from sync_protocol.rules.quotes import stepped

_AT_ONCE: Final = 200


async def expire_offers(context: JobContext) -> None:
    """Write down of each offer that it ran out, some at a time, so that no other writer waits long."""
    now_ms = context.clock.now_ms()
    taker = Taker(name=SERVER_NAME, now_ms=now_ms, ids=IdSource(context.clock))
    while True:
        async with context.database.write() as session:
            due = await _due(session, now_ms)
            work = await UnitOfWork.of(session)
            await work.load(NegotiatedQuote, due, lock=True)
            await work.load_by(NegotiatedQuoteLine, ("quote_id",), [(quote_id,) for quote_id in due], lock=True)
            for quote_id in due:
                quote = await work.get(NegotiatedQuote, quote_id, lock=True)
                if quote is not None and quote.status is not standing_at(quote, now_ms):
                    expired = stepped(quote, QuoteStatus.EXPIRED)
                    work.replace(expired)
                    note_round(work, expired, await lines_of(work, quote), taker, "")
            await work.flush()
        if len(due) < _AT_ONCE:
            return


async def _due(session: ReadSession, now_ms: int) -> list[UUID]:
    offered = sa.select(NegotiatedQuoteModel.id).where(
        NegotiatedQuoteModel.status == QuoteStatus.OFFERED, NegotiatedQuoteModel.valid_until_ms <= now_ms
    )
    return sorted((await session.execute(offered.order_by(NegotiatedQuoteModel.valid_until_ms).limit(_AT_ONCE))).scalars())


JOBS: Final = (Job(name="expire_offers", interval_seconds=60, run=expire_offers),)
