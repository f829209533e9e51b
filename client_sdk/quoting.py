"""Prices and stock as this device knows them, found by a few index look-ups and decided by the shared rules."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import apsw
import msgspec

from client_sdk.errors import UnknownRowError
from client_sdk.rows import fetch_one, fetch_rows, fetch_tuples, stored_id
from client_sdk.state import checkpoint
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer, Territory
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.rules.order_review import OrderFacts
from sync_protocol.rules.prices import in_one_currency, next_break, price_list_order, resolve_price
from sync_protocol.rules.rounding import line_amount
from sync_protocol.values import Instant, minor_digits


class PriceQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A price as of the last checkpoint. `unit_price` is in ten-thousandths of the major unit, `amount_minor` for the
    whole quantity. `next_break` is the nearest quantity that is cheaper, with its price.
    """

    unit_price: int
    currency: str
    quantity: int
    amount_minor: int
    price_list: str
    min_quantity: int
    as_of_ms: Instant
    next_break: tuple[int, int] | None = None


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


class Terms(msgspec.Struct, frozen=True):
    """On which terms a customer buys, as this device knows them."""

    customer: Customer
    price_lists: tuple[UUID, ...]
    currency: str
    stock_location_id: UUID | None


def terms_for(connection: apsw.Connection, customer_id: UUID) -> Terms:
    """The terms of a customer. Raises UnknownRowError."""
    terms = known_terms(connection, customer_id)
    if terms is None:
        raise UnknownRowError("customer", customer_id)
    return terms


def known_terms(connection: apsw.Connection, customer_id: UUID) -> Terms | None:
    """The terms of a customer, or None where it is not on this device (any more)."""
    customer = fetch_one(connection, Customer, customer_id)
    if customer is None:
        return None
    territory = fetch_one(connection, Territory, customer.territory_id) if customer.territory_id else None
    found = [fetch_one(connection, PriceList, each) for each in price_list_order(customer, territory)]
    currency, lists = in_one_currency([each for each in found if each is not None])
    return Terms(customer, lists, currency, territory.stock_location_id if territory else None)


def entries_of(connection: apsw.Connection, product_id: UUID, lists: Collection[UUID]) -> list[PriceEntry]:
    """The entries of one product on these lists: one index look-up a list."""
    return [
        entry
        for price_list_id in lists
        for entry in fetch_rows(
            connection, PriceEntry, "product_id = ? AND price_list_id = ?", product_id.bytes, price_list_id.bytes
        )
    ]


def quote(connection: apsw.Connection, terms: Terms, product_id: UUID, quantity: int) -> PriceQuote | None:
    """The price of a quantity for a customer, or None where it has none."""
    entries = entries_of(connection, product_id, terms.price_lists)
    entry = resolve_price(entries, terms.price_lists, quantity)
    if entry is None:
        return None
    price_list = fetch_one(connection, PriceList, entry.price_list_id)
    deeper = next_break(entries, entry, quantity)
    return PriceQuote(
        unit_price=entry.unit_price,
        currency=terms.currency,
        quantity=quantity,
        amount_minor=line_amount(entry.unit_price, quantity, 0, minor_digits(terms.currency)),
        price_list=price_list.code if price_list is not None else "",
        min_quantity=entry.min_quantity,
        as_of_ms=checkpoint(connection).as_of_ms,
        next_break=(deeper.min_quantity, deeper.unit_price) if deeper else None,
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
    """What this device knows about these products, for the shared rules."""
    products = [product for each in product_ids if (product := fetch_one(connection, Product, each)) is not None]
    return OrderFacts(
        customer=terms.customer,
        currency=terms.currency,
        price_lists=terms.price_lists,
        products={product.id: product for product in products},
        entries={each: entries_of(connection, each, terms.price_lists) for each in product_ids},
        available={each: _available(connection, each, terms.stock_location_id) for each in product_ids},
    )
