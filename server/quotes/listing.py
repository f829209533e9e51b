"""Lists of negotiated quotes, newest first, and one with everything that is known about it."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.catalog.models import ProductModel
from server.customers.models import CustomerModel, RepModel
from server.customers.territories import territories_of
from server.identity.principals import Principal, Role
from server.quotes.models import NegotiatedQuoteLineModel, NegotiatedQuoteModel, NegotiatedQuoteRoundModel
from server.runtime.cursor import Cursor, below
from server.runtime.database import ReadSession
from sync_protocol.entities.quotes import QuoteStatus

QuoteRow = sa.Row[NegotiatedQuoteModel, str, str]
"""A quote with the names of its customer and of its rep."""


async def seen_by(session: ReadSession, principal: Principal) -> list[sa.ColumnElement[bool]]:
    """What narrows quotes to those that the caller may see."""
    if principal.role is Role.BUYER:
        return [NegotiatedQuoteModel.customer_id == principal.customer_id]
    if principal.role is Role.REP:
        return [CustomerModel.territory_id.in_(await territories_of(session, principal.rep_id))]
    return []


def _quotes() -> sa.Select[NegotiatedQuoteModel, str, str]:
    return (
        sa.select(NegotiatedQuoteModel, CustomerModel.name.label("customer_name"), RepModel.name.label("rep_name"))
        .join(CustomerModel, CustomerModel.id == NegotiatedQuoteModel.customer_id)
        .outerjoin(RepModel, RepModel.id == NegotiatedQuoteModel.rep_id)
    )


async def page_of_quotes(
    session: ReadSession,
    principal: Principal,
    *,
    status: QuoteStatus | None,
    customer_id: UUID | None,
    after: Cursor | None,
    limit: int,
) -> Sequence[QuoteRow]:
    """Quotes that the caller may see."""
    equal = {NegotiatedQuoteModel.status: status, NegotiatedQuoteModel.customer_id: customer_id}
    query = (
        _quotes()
        .where(*await seen_by(session, principal), *(column == value for column, value in equal.items() if value is not None))
        .where(*below(NegotiatedQuoteModel.requested_at_ms, NegotiatedQuoteModel.id, after))
        .order_by(NegotiatedQuoteModel.requested_at_ms.desc(), NegotiatedQuoteModel.id.desc())
        .limit(limit)
    )
    return (await session.execute(query)).all()


class KnownQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A quote with everything that is known about it."""

    quote: QuoteRow
    lines: Sequence[sa.Row[NegotiatedQuoteLineModel, str, str]]
    rounds: Sequence[NegotiatedQuoteRoundModel]


async def open_quote(session: ReadSession, quote_id: UUID) -> KnownQuote:
    """A quote that is there."""
    lines = (
        sa.select(NegotiatedQuoteLineModel, ProductModel.sku, ProductModel.name)
        .join(ProductModel, ProductModel.id == NegotiatedQuoteLineModel.product_id)
        .where(NegotiatedQuoteLineModel.quote_id == quote_id)
        .order_by(NegotiatedQuoteLineModel.line_number, NegotiatedQuoteLineModel.id)
    )
    rounds = (
        sa.select(NegotiatedQuoteRoundModel)
        .where(NegotiatedQuoteRoundModel.quote_id == quote_id)
        .order_by(NegotiatedQuoteRoundModel.revision)
    )
    return KnownQuote(
        quote=(await session.execute(_quotes().where(NegotiatedQuoteModel.id == quote_id))).one(),
        lines=(await session.execute(lines)).all(),
        rounds=(await session.execute(rounds)).scalars().all(),
    )
