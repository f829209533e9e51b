"""What every step of a negotiation writes: the quote as it stands after it, its lines, and the round for the record."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.identity.models import UserModel
from server.pricing.consumption import lock_agreed
from server.runtime.clock import IdSource
from server.runtime.database import ReadSession
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.pricing import AgreedPrice
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, NegotiatedQuoteRound, QuoteStatus
from sync_protocol.rules.quotes import agreed_prices, named_amount, stepped

SERVER_NAME: Final = "Roadbook"
"""Who took a step that nobody took."""


class Taker(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes a step, and when by the server's clock."""

    name: str
    now_ms: int
    ids: IdSource


async def taker_of(session: ReadSession, user_id: UUID, *, ids: IdSource, now_ms: int) -> Taker:
    """A user as the one who takes a step."""
    name = (await session.execute(sa.select(UserModel.name).where(UserModel.id == user_id))).scalar_one()
    return Taker(name=name, now_ms=now_ms, ids=ids)


async def lines_of(work: UnitOfWork, quote: NegotiatedQuote) -> list[NegotiatedQuoteLine]:
    """The lines of a quote, in their order, locked."""
    lines = await work.find(NegotiatedQuoteLine, lock=True, quote_id=quote.id)
    return sorted(lines, key=lambda line: line.line_number)


def note_round(work: UnitOfWork, quote: NegotiatedQuote, lines: Sequence[NegotiatedQuoteLine], taker: Taker, said: str) -> None:
    """Write down the step that led to where the quote stands now."""
    work.insert(
        NegotiatedQuoteRound(
            id=taker.ids.new(),
            quote_id=quote.id,
            customer_id=quote.customer_id,
            revision=quote.revision,
            status=quote.status,
            taken_at_ms=taker.now_ms,
            taken_by=taker.name,
            said=said,
            amount_minor=named_amount(quote, lines),
        )
    )


async def accept(
    work: UnitOfWork, quote: NegotiatedQuote, lines: Sequence[NegotiatedQuoteLine], taker: Taker, said: str = ""
) -> None:
    """Make the offered prices the customer's own. `quote` and `lines` are as they stood, locked."""
    accepted = stepped(quote, QuoteStatus.ACCEPTED)
    work.replace(accepted)
    note_round(work, accepted, lines, taker, said)
    await lock_agreed(work, ((quote.customer_id, line.product_id) for line in lines))
    await work.load(AgreedPrice, [line.id for line in lines], lock=True)
    for agreed in agreed_prices(accepted, lines):
        if await work.get(AgreedPrice, agreed.id, lock=True) is None:
            work.insert(agreed)
        else:
            work.replace(agreed)
