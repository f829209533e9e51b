"""Prices and stock as this device knows them, found by a few index look-ups and decided by the shared rules."""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import apsw
import msgspec

from client_sdk.clock import Surroundings
from client_sdk.errors import UnknownRowError
from client_sdk.kept_terms import kept_terms
from client_sdk.rows import fetch_one, fetch_tuples, look_up, stored_id
from client_sdk.state import Identity, channel_of, checkpoint, load
from client_sdk.wanted import WantedLine, checked_line
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.orders import OrderLine
from sync_protocol.entities.pricing import AgreedPrice, PriceList
from sync_protocol.rules.order_review import OrderFacts
from sync_protocol.rules.pricing.agreements import used_by, with_given_back
from sync_protocol.rules.pricing.basket import Basket, BasketLine
from sync_protocol.rules.pricing.engine import price_basket
from sync_protocol.rules.pricing.explaining import Explained, explain, gather_names, line_id_at
from sync_protocol.rules.pricing.explanation import BasketPrice, LinePrice
from sync_protocol.rules.pricing.facts import gather_facts
from sync_protocol.rules.pricing.table import Names
from sync_protocol.rules.pricing.terms import Lookup, Terms, gather_terms, gathered
from sync_protocol.values import Instant
from sync_protocol.wire.codec import rows_from_stored

NOTHING_GIVEN_BACK: Final[Mapping[UUID, int]] = MappingProxyType({})
CLOCK_TRUSTED_MS_MAX: Final = 90 * 86_400_000
"""How far past its checkpoint a device believes its own clock."""


class PriceQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A price as of the last checkpoint. `unit_price` is in ten-thousandths of the major unit for `per_quantity` base units,
    `amount_minor` for the whole quantity without tax. `next_break` is the nearest quantity that is cheaper, with its price;
    `explanation` is all that was considered.
    """

    unit_price: int
    per_quantity: int
    currency: str
    quantity: int
    amount_minor: int
    tax_minor: int
    price_list: str
    min_quantity: int
    as_of_ms: Instant
    next_break: tuple[int, int] | None
    explanation: LinePrice


class StockView(msgspec.Struct, frozen=True, kw_only=True):
    """Stock of a product at a location, as of `as_of_ms`. `pending` is in orders of this device that are not decided yet."""

    stock_location_id: UUID
    location_code: str
    location_name: str
    on_hand: int
    allocated: int
    pending: int
    available: int
    as_of_ms: Instant


def known_terms(connection: apsw.Connection, customer_id: UUID) -> Terms | None:
    """On which terms a customer buys, or None where it is not on this device (any more)."""

    def gather() -> Terms | None:
        customer = fetch_one(connection, Customer, customer_id)
        return gathered(gather_terms(customer), _answers(connection)) if customer is not None else None

    return kept_terms(connection, customer_id, gather)


def terms_for(connection: apsw.Connection, customer_id: UUID) -> Terms:
    """On which terms a customer buys. Raises UnknownRowError."""
    terms = known_terms(connection, customer_id)
    if terms is None:
        raise UnknownRowError("customer", customer_id)
    return terms


def require_customer(connection: apsw.Connection, customer_id: UUID) -> Customer:
    """Raises UnknownRowError."""
    customer = fetch_one(connection, Customer, customer_id)
    if customer is None:
        raise UnknownRowError("customer", customer_id)
    return customer


def _answers(connection: apsw.Connection) -> Callable[[Any], Sequence[Any]]:
    return lambda lookup: look_up(connection, lookup.row, lookup.columns, lookup.keys)


def pricing_instant(connection: apsw.Connection, surroundings: Surroundings) -> int:
    """The server's time now as far as this device can tell: by its own clock and what that was ahead, unless it is absurd.

    It is never before the checkpoint, and not so long after it that a clock must have jumped.
    """
    at = checkpoint(connection)
    reading = surroundings.clock.now_ms() - (at.clock_skew_ms or 0)
    if not at.as_of_ms <= reading <= at.as_of_ms + CLOCK_TRUSTED_MS_MAX:
        return at.as_of_ms
    return reading


def price(
    connection: apsw.Connection, terms: Terms, basket: Basket, given_back: Mapping[UUID, int] = NOTHING_GIVEN_BACK
) -> BasketPrice:
    """What a basket costs by the rows of this device; `given_back` is what its order has taken of agreed prices, by their ids."""
    answers = _answers(connection)

    def answer(lookup: Lookup) -> Sequence[Any]:
        found = answers(lookup)
        return with_given_back(found, given_back) if lookup.row is AgreedPrice and given_back else found

    return price_basket(basket, gathered(gather_facts(terms, basket), answer))


def used_before(connection: apsw.Connection, order_id: UUID) -> Mapping[UUID, int]:
    """What an order has taken of agreed prices as the server knows it: an amendment gives that back first."""
    columns = ", ".join(OrderLine.__struct_fields__)
    sql = f"SELECT {columns} FROM sales_order_line WHERE order_id = ?"  # noqa: S608  # the replica's own rows, without the overlay
    return used_by(rows_from_stored(OrderLine, fetch_tuples(connection, sql, (order_id.bytes,))))


def basket_for(
    connection: apsw.Connection,
    customer_id: UUID,
    lines: Sequence[BasketLine],
    address_id: UUID | None,
    surroundings: Surroundings,
) -> Basket:
    """A basket of lines for a customer, as the user of this device asks for it now."""
    identity = load(connection, Identity)
    rep_id = identity.rep_id if identity is not None else None
    return Basket(
        customer_id=customer_id,
        channel=channel_of(identity),
        instant_ms=pricing_instant(connection, surroundings),
        lines=tuple(lines),
        address_id=address_id,
        role="rep" if rep_id is not None else "buyer",
        rep_id=rep_id,
    )


def explained(
    connection: apsw.Connection,
    customer_id: UUID,
    wanted: Sequence[WantedLine],
    address_id: UUID | None,
    surroundings: Surroundings,
) -> Explained:
    """What lines cost a customer and why, ordered or not. Raises UnknownRowError, InvalidEntryError, NotPermittedError."""
    customer = require_customer(connection, customer_id)
    lines = [checked_line(connection, each).as_basket_line(line_id_at(place)) for place, each in enumerate(wanted, start=1)]
    basket = basket_for(connection, customer_id, lines, address_id, surroundings)
    return gathered(explain(customer, basket), _answers(connection))


def names_of(connection: apsw.Connection, price: BasketPrice) -> Names:
    """What the rows are called that an answer names. Raises UnknownRowError."""
    return gathered(gather_names(require_customer(connection, price.customer_id), price), _answers(connection))


def quote(connection: apsw.Connection, customer_id: UUID, wanted: WantedLine, surroundings: Surroundings) -> PriceQuote | None:
    """The price of a line for a customer, or None where it has none. Raises UnknownRowError, InvalidEntryError."""
    terms = terms_for(connection, customer_id)
    line = checked_line(connection, wanted).as_basket_line(line_id_at(1))
    priced = price(connection, terms, basket_for(connection, customer_id, [line], None, surroundings))
    (found,) = priced.lines
    won = next((each for each in found.candidates if each.rule_id == found.rule_id), None)
    if found.unit_price is None or won is None:
        return None
    price_list = fetch_one(connection, PriceList, won.price_list_id) if won.price_list_id is not None else None
    gap = found.gap
    return PriceQuote(
        unit_price=found.unit_price,
        per_quantity=found.per_quantity,
        currency=priced.currency,
        quantity=found.quantity,
        amount_minor=found.amount_minor,
        tax_minor=found.tax_minor,
        price_list=price_list.code if price_list is not None else str(found.source or ""),
        min_quantity=won.min_quantity,
        as_of_ms=checkpoint(connection).as_of_ms,
        next_break=(found.quantity + (gap.missing_quantity or 0), gap.unit_price or 0) if gap is not None else None,
        explanation=found,
    )


def stock_of(connection: apsw.Connection, product_id: UUID) -> list[StockView]:
    """The stock of a product at every location in the scope."""
    rows = fetch_tuples(
        connection,
        """
        SELECT place.id, place.code, place.name, level.on_hand, level.allocated
          FROM stock_level level JOIN stock_location place ON place.id = level.stock_location_id
         WHERE level.product_id = ? ORDER BY place.code
        """,
        (product_id.bytes,),
    )
    seen_ms = checkpoint(connection).as_of_ms
    return [_stock_view(connection, product_id, row, seen_ms) for row in rows]


def _stock_view(connection: apsw.Connection, product_id: UUID, row: tuple[Any, ...], seen_ms: int) -> StockView:
    place, code, name, on_hand, allocated = row
    pending = _pending(connection, product_id, place)
    return StockView(
        stock_location_id=stored_id(place),
        location_code=code,
        location_name=name,
        on_hand=on_hand,
        allocated=allocated,
        pending=pending,
        available=max(0, on_hand - allocated - pending),
        as_of_ms=seen_ms,
    )


def _pending(connection: apsw.Connection, product_id: UUID, location: bytes | None) -> int:
    """Base units in orders of this device that the server has not decided, or that the replica does not show yet."""
    return int(
        connection.execute(
            """
            SELECT coalesce(sum(line.quantity), 0)
              FROM overlay_sales_order_line line
              JOIN overlay_sales_order pending ON pending.id = line.order_id AND pending.status = 'submitted'
              LEFT JOIN current_customer buyer ON buyer.id = pending.customer_id
              LEFT JOIN territory ON territory.id = buyer.territory_id
             WHERE line.product_id = ? AND territory.stock_location_id IS ?
            """,
            (product_id.bytes, location),
        ).get
    )


def _available(connection: apsw.Connection, product_id: UUID, location_id: UUID | None) -> int:
    location = location_id.bytes if location_id else None
    free = connection.execute(
        "SELECT on_hand - allocated FROM stock_level WHERE product_id = ? AND stock_location_id = ?", (product_id.bytes, location)
    ).get
    return max(0, int(free or 0) - _pending(connection, product_id, location))


def facts_for(connection: apsw.Connection, terms: Terms, product_ids: Collection[UUID]) -> OrderFacts:
    """What this device knows about an order of these products beside its price, for the shared rules."""
    location_id = terms.territory.stock_location_id if terms.territory is not None else None
    return OrderFacts(
        customer=terms.customer,
        available={each: _available(connection, each, location_id) for each in product_ids},
    )
