"""A basket priced for a customer on what the tables hold now: what an order would come to, and every reason for it."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from server.customers.territories import is_in_scope
from server.identity.principals import OFFICE, Principal, Role
from server.pricing.gathering import gathered
from server.pricing.quote_errors import QuotedCustomerNotFoundError, QuoteForbiddenError, UnfitQuoteError
from server.runtime.clock import IdSource
from server.runtime.database import ReadSession
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.customers import Address, Customer
from sync_protocol.entities.orders import Channel
from sync_protocol.intents import LINES_MAX, ManualPrice
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from sync_protocol.rules.pricing.engine import price_for
from sync_protocol.rules.pricing.explanation import BasketPrice
from sync_protocol.values import EnteredCurrency, Instant, Quantity


class QuoteLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many base units of a product, in packs of `pack_quantity`; perhaps at a price by hand."""

    product_id: UUID
    quantity: Quantity
    pack_quantity: Quantity = 1
    manual: ManualPrice | None = None
    line_id: UUID | None = None


class QuoteRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A basket. A buyer's is their company's, now, through the online channel; another customer is for a rep's own accounts and
    the office, another instant or channel for the office.
    """

    lines: Annotated[tuple[QuoteLine, ...], Meta(min_length=1, max_length=LINES_MAX)]
    customer_id: UUID | None = None
    address_id: UUID | None = None
    currency: EnteredCurrency | None = None
    at_ms: Instant | None = None
    channel: Channel | None = None
    freight_minor: Annotated[int, Meta(ge=0, le=10**15, description="minor units of the currency")] = 0


async def quote(session: ReadSession, principal: Principal, request: QuoteRequest, *, ids: IdSource, now_ms: int) -> BasketPrice:
    """What a basket costs. Raises QuotedCustomerNotFoundError, QuoteForbiddenError, UnfitQuoteError."""
    _require_allowed(principal, request)
    for place, line in enumerate(request.lines):
        if line.manual is not None and not line.manual.reason.strip():
            raise UnfitQuoteError(f"lines[{place}].manual.reason", "is empty; say why the price is given by hand")
    given = [line.line_id for line in request.lines if line.line_id is not None]
    if len(given) != len(set(given)):
        raise UnfitQuoteError("lines", "two lines have one line_id; give each its own, or none")
    work = await UnitOfWork.of(session)
    customer = await _customer(work, principal, request)
    if request.address_id is not None:
        address = await work.get(Address, request.address_id)
        if address is None or address.customer_id != customer.id:
            raise UnfitQuoteError("address_id", "it is no address of the customer; leave it out, or name one that is")
    basket = Basket(
        customer_id=customer.id,
        channel=request.channel or (Channel.ONLINE if principal.role is Role.BUYER else Channel.REP),
        instant_ms=request.at_ms if request.at_ms is not None else now_ms,
        lines=tuple(
            BasketLine(
                line_id=line.line_id or ids.new(),
                product_id=line.product_id,
                quantity=line.quantity,
                pack_quantity=line.pack_quantity,
                manual=line.manual,
            )
            for line in request.lines
        ),
        address_id=request.address_id,
        currency=request.currency,
        freight_minor=request.freight_minor,
        role=str(principal.role),
        rep_id=principal.rep_id,
    )
    return await gathered(work, price_for(customer, basket), lock=False)


def _require_allowed(principal: Principal, request: QuoteRequest) -> None:
    """Refuse what is another's to ask. Raises QuoteForbiddenError."""
    if principal.role in OFFICE:
        return
    if request.at_ms is not None:
        raise QuoteForbiddenError("at_ms", "the office alone asks for another time; leave it out for the price of now")
    if request.channel is not None:
        raise QuoteForbiddenError("channel", "the office alone asks for another channel; leave it out for your own")
    by_hand = [place for place, line in enumerate(request.lines) if line.manual is not None]
    if principal.role is Role.BUYER and by_hand:
        raise QuoteForbiddenError(f"lines[{by_hand[0]}].manual", "a price by hand is for reps and the office; leave it out")


async def _customer(work: UnitOfWork, principal: Principal, request: QuoteRequest) -> Customer:
    customer_id = request.customer_id or principal.customer_id
    if customer_id is None:
        raise UnfitQuoteError("customer_id", "say for which customer")
    customer = await work.get(Customer, customer_id)
    if customer is None or not await is_in_scope(work.session, principal, customer):
        raise QuotedCustomerNotFoundError(customer_id)
    return customer
