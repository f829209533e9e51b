"""What a customer's side does about quotes. What the server is bound to refuse is refused here, hours before it could say so."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import apsw

from client_sdk import drafts, outbox
from client_sdk.clock import Surroundings
from client_sdk.errors import UnknownRowError
from client_sdk.quote_effects import quote_lines
from client_sdk.quote_errors import QuoteEntryError, QuoteRanOutError, QuoteStateError, QuoteUnpricedError
from client_sdk.quote_views import find, require_orderable
from client_sdk.quoting import basket_for, price, pricing_instant, terms_for
from client_sdk.rows import fetch_one
from client_sdk.state import require_identity
from client_sdk.submitting import next_number, require_total
from client_sdk.wanted import WantedLine, checked_quantity
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Address
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, QuoteStatus
from sync_protocol.intents import LINES_MAX, AcceptQuote, CounterQuote, RequestQuote, WantedQuoteLine, WithdrawQuote
from sync_protocol.rules.pricing.basket import BasketLine
from sync_protocol.rules.pricing.explanation import Obstacle
from sync_protocol.rules.quote_states import Side, may_step, standing_at
from sync_protocol.rules.quotes import is_in_whole, named_amount, wanted_rows
from sync_protocol.values import UNIT_PRICE_MAX, normal_text

_LETTER: Final = "Q"


class WantedQuote(NamedTuple):
    """So many base units of a product, and the price that is wanted for `per_quantity` of them, if one is named."""

    product_id: UUID
    quantity: int
    unit_price: int | None = None
    per_quantity: int = 1


class QuoteRequest(NamedTuple):
    """What a customer wants prices for."""

    customer_id: UUID
    lines: Sequence[WantedQuote]
    address_id: UUID | None = None
    note: str = ""


def request(connection: apsw.Connection, wanted: QuoteRequest, surroundings: Surroundings) -> UUID:
    """Ask for prices, in the currency of the customer's nearest list; returns the quote's id.

    Raises UnknownRowError, QuoteEntryError, InvalidEntryError, NotEnrolledError.
    """
    require_identity(connection)
    terms_for(connection, wanted.customer_id)
    _require_address(connection, wanted)
    lines = _checked(wanted.lines, surroundings)
    currency = _require_for_sale(connection, wanted.customer_id, lines, wanted.address_id, surroundings)
    if not currency:
        fault = "the customer has no price list on this device, so it is not known: sync, or ask the office for a list"
        raise QuoteEntryError("currency", fault)
    intent = RequestQuote(
        quote_id=surroundings.ids.new(),
        number=next_number(connection, _LETTER),
        customer_id=wanted.customer_id,
        currency=currency,
        lines=lines,
        address_id=wanted.address_id,
        note=normal_text(wanted.note),
    )
    outbox.enqueue(connection, intent, surroundings)
    _require_total(find(connection, intent.quote_id), lines)
    return intent.quote_id


def _require_address(connection: apsw.Connection, wanted: QuoteRequest) -> None:
    if wanted.address_id is None:
        return
    address = fetch_one(connection, Address, wanted.address_id)
    if address is None or address.customer_id != wanted.customer_id:
        raise UnknownRowError("address of the customer", wanted.address_id)


def _checked(wanted: Sequence[WantedQuote], surroundings: Surroundings) -> tuple[WantedQuoteLine, ...]:
    """Lines as they are asked for. Raises QuoteEntryError, InvalidEntryError."""
    if not 1 <= len(wanted) <= LINES_MAX:
        raise QuoteEntryError("lines", f"{len(wanted)} is not between 1 and {LINES_MAX}")
    lines: list[WantedQuoteLine] = []
    for place, each in enumerate(wanted, start=1):
        named = f"lines[{place}]"
        if each.unit_price is not None and not 0 <= each.unit_price <= UNIT_PRICE_MAX:
            raise QuoteEntryError(f"{named}.unit_price", f"{each.unit_price} is not between 0 and {UNIT_PRICE_MAX} ten-thousandths")
        line = WantedQuoteLine(
            line_id=surroundings.ids.new(),
            product_id=each.product_id,
            quantity=checked_quantity(each.quantity, f"{named}.quantity"),
            per_quantity=checked_quantity(each.per_quantity, f"{named}.per_quantity"),
            wanted_unit_price=each.unit_price,
        )
        if not is_in_whole(line):
            raise QuoteEntryError(
                f"{named}.quantity", f"{each.quantity} is no multiple of the {each.per_quantity} that the price is for"
            )
        if any(other.product_id == each.product_id for other in lines):
            raise QuoteEntryError(f"{named}.product_id", f"{each.product_id} is on another line already, ask for all of it on one")
        lines.append(line)
    return tuple(lines)


def _require_for_sale(
    connection: apsw.Connection,
    customer_id: UUID,
    lines: Sequence[WantedQuoteLine],
    address_id: UUID | None,
    surroundings: Surroundings,
) -> str:
    """Refuse what is sold to nobody; returns the currency in which the customer buys. Raises UnknownRowError, QuoteEntryError."""
    entered = [BasketLine(line_id=line.line_id, product_id=line.product_id, quantity=line.quantity) for line in lines]
    basket = basket_for(connection, customer_id, entered, address_id, surroundings)
    priced = price(connection, terms_for(connection, customer_id), basket)
    for place, line in enumerate(priced.lines, start=1):
        product = fetch_one(connection, Product, line.product_id)
        if product is None:
            raise UnknownRowError("product", line.product_id)
        if line.obstacle is Obstacle.PRODUCT_DISCONTINUED:
            raise QuoteEntryError(
                f"lines[{place}].product_id", f"{product.sku} is not sold any more, leave it out or ask for another"
            )
    return priced.nearest_currency


def _require_total(quote: NegotiatedQuote, lines: Sequence[WantedQuoteLine]) -> None:
    require_total(named_amount(quote, wanted_rows(quote, lines, {})) or 0, quote.currency)


def counter(
    connection: apsw.Connection, key: UUID | str, wanted: Sequence[WantedQuote], note: str, surroundings: Surroundings
) -> UUID:
    """Ask for other goods or prices, in place of all lines. Raises as `request` does, and QuoteStateError."""
    quote = _open(connection, key, QuoteStatus.COUNTERED, surroundings)
    lines = _checked(wanted, surroundings)
    _require_for_sale(connection, quote.customer_id, lines, quote.address_id, surroundings)
    _require_total(quote, lines)
    intent = CounterQuote(quote_id=quote.id, revision=quote.revision, lines=lines, note=normal_text(note))
    outbox.enqueue(connection, intent, surroundings)
    return quote.id


def accept(connection: apsw.Connection, key: UUID | str, surroundings: Surroundings) -> UUID:
    """Take what is offered. Raises UnknownRowError, QuoteStateError, QuoteRanOutError, QuoteUnpricedError, NotEnrolledError."""
    quote = _open(connection, key, QuoteStatus.ACCEPTED, surroundings)
    lines = quote_lines(connection, quote.id)
    bare = [line for line in lines if line.offered_unit_price is None]
    if bare or not lines:
        raise QuoteUnpricedError(quote.number, tuple(_sku(connection, line) for line in bare))
    outbox.enqueue(connection, AcceptQuote(quote_id=quote.id, revision=quote.revision), surroundings)
    return quote.id


def _sku(connection: apsw.Connection, line: NegotiatedQuoteLine) -> str:
    product = fetch_one(connection, Product, line.product_id)
    return product.sku if product is not None else str(line.product_id)


def withdraw(connection: apsw.Connection, key: UUID | str, reason: str, surroundings: Surroundings) -> UUID:
    """Give it up. Raises UnknownRowError, QuoteStateError, InvalidEntryError, NotEnrolledError."""
    quote = _open(connection, key, QuoteStatus.WITHDRAWN, surroundings)
    outbox.enqueue(connection, WithdrawQuote(quote_id=quote.id, reason=normal_text(reason)), surroundings)
    return quote.id


def _open(connection: apsw.Connection, key: UUID | str, target: QuoteStatus, surroundings: Surroundings) -> NegotiatedQuote:
    """A quote in which the customer may take this step now. Raises UnknownRowError, QuoteStateError, QuoteRanOutError."""
    require_identity(connection)
    quote = find(connection, key)
    standing = standing_at(quote, pricing_instant(connection, surroundings))
    if may_step(Side.CUSTOMER, standing, target):
        return quote
    if standing is QuoteStatus.EXPIRED and target is QuoteStatus.ACCEPTED and quote.valid_until_ms is not None:
        raise QuoteRanOutError(quote.number, quote.valid_until_ms)
    raise QuoteStateError(quote.number, standing, target)


def order(connection: apsw.Connection, key: UUID | str, surroundings: Surroundings) -> UUID:
    """Make a draft of an accepted quote, or go on with the one there is; returns the draft's order id.

    Raises UnknownRowError, QuoteStateError, QuoteRanOutError, QuoteUsedUpError, NotEnrolledError.
    """
    quote = require_orderable(connection, key, surroundings)
    begun = drafts.of_quote(connection, quote.id)
    if begun is not None:
        return begun
    order_id = drafts.create(connection, quote.customer_id, quote.address_id, surroundings, quote_id=quote.id)
    for line in quote_lines(connection, quote.id):
        # A price for so many is only for lines in packs of so many (P-21).
        drafts.add_line(connection, order_id, WantedLine(line.product_id, line.quantity, line.per_quantity), surroundings)
    return order_id
