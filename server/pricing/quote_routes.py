"""Quotes over HTTP."""

from typing import Final

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from server.identity.principals import OFFICE, Principal, Role, allow
from server.pricing.quotes import QuoteRequest, quote
from server.runtime.clock import IdSource
from server.runtime.database import Database
from sync_protocol.rules.pricing.explanation import BasketPrice


@post("/quotes", opt=allow(*OFFICE, Role.REP, Role.BUYER), status_code=200, summary="Price a basket", tags=["prices"])
async def post_quote(
    data: JSONBody[QuoteRequest],
    principal: NamedDependency[Principal],
    database: NamedDependency[Database],
    ids: NamedDependency[IdSource],
    now_ms: NamedDependency[int],
) -> BasketPrice:
    """What a basket costs, and why: every list, price and offer that was considered. Nothing is kept."""
    async with database.read() as session:
        return await quote(session, principal, data, ids=ids, now_ms=now_ms)


ROUTES: Final = (post_quote,)
