"""A draft as its user sees it: each line with what it costs now, what offers give, and what is missing to more."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import apsw
import msgspec

from client_sdk.clock import Surroundings
from client_sdk.errors import UnknownRowError
from client_sdk.quoting import basket_for, known_terms, price
from client_sdk.rows import fetch_tuples, stored_id
from sync_protocol.intents import ManualPrice
from sync_protocol.rules.pricing.basket import BasketLine
from sync_protocol.rules.pricing.explanation import BasketPrice, LinePrice
from sync_protocol.values import Instant
from sync_protocol.wire.codec import decode


class DraftState(StrEnum):
    """Where a draft stands: a returned one was refused by the server and can be mended and submitted again."""

    OPEN = "open"
    SUBMITTED = "submitted"
    RETURNED = "returned"


class DraftLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line with its price now, `explanation`; no unit price and amount where the product has none for this customer, whom the
    device may not even know any more. `unit_price` is for `per_quantity` base units.
    """

    line_id: UUID
    product_id: UUID
    sku: str
    name: str
    quantity: int
    unit_price: int | None
    amount_minor: int | None
    per_quantity: int = 1
    pack_quantity: int = 1
    manual: ManualPrice | None = None
    explanation: LinePrice | None = None


class DraftView(msgspec.Struct, frozen=True, kw_only=True):
    """A draft with its lines, priced as of now. `price` is the whole of it, gifts and offers too.

    `quote_id` is the accepted quote that it orders, if it does.
    """

    order_id: UUID
    customer_id: UUID
    address_id: UUID | None
    number: str | None
    state: DraftState
    currency: str
    purchase_order_number: str
    note: str
    updated_at_ms: Instant
    lines: tuple[DraftLine, ...]
    total_minor: int
    price: BasketPrice | None = None
    quote_id: UUID | None = None


class _Entered(NamedTuple):
    """A line as it was entered, and what its product is called."""

    line: BasketLine
    sku: str
    name: str


def _entered(connection: apsw.Connection, condition: str, row_id: UUID) -> list[_Entered]:
    rows = fetch_tuples(
        connection,
        f"""
        SELECT line.line_id, line.product_id, line.quantity, line.pack_quantity, line.manual,
               coalesce(product.sku, ''), coalesce(product.name, '')
          FROM draft_line line LEFT JOIN product ON product.id = line.product_id
         WHERE {condition} ORDER BY line.position
        """,  # noqa: S608  # one of two conditions of ours
        (row_id.bytes,),
    )
    return [
        _Entered(
            BasketLine(
                line_id=stored_id(line_id),
                product_id=stored_id(product_id),
                quantity=quantity,
                pack_quantity=pack_quantity,
                manual=decode(manual, ManualPrice) if manual is not None else None,
            ),
            sku,
            name,
        )
        for line_id, product_id, quantity, pack_quantity, manual, sku, name in rows
    ]


def _line(entered: _Entered, priced: LinePrice | None) -> DraftLine:
    has_price = priced is not None and priced.unit_price is not None
    return DraftLine(
        line_id=entered.line.line_id,
        product_id=entered.line.product_id,
        sku=entered.sku,
        name=entered.name,
        quantity=entered.line.quantity,
        unit_price=priced.unit_price if priced is not None else None,
        amount_minor=priced.amount_minor if priced is not None and has_price else None,
        per_quantity=priced.per_quantity if priced is not None else 1,
        pack_quantity=entered.line.pack_quantity,
        manual=entered.line.manual,
        explanation=priced,
    )


def line_by_itself(connection: apsw.Connection, order_id: UUID, line_id: UUID, surroundings: Surroundings) -> DraftLine:
    """One line of a draft, priced as if it were alone."""
    (entered,) = _entered(connection, "line.line_id = ?", line_id)
    customer, address = next(connection.execute("SELECT customer_id, address_id FROM draft WHERE order_id = ?", (order_id.bytes,)))
    priced = _priced(connection, stored_id(customer), stored_id(address) if address else None, [entered], surroundings)
    return _line(entered, priced.lines[0] if priced is not None else None)


def _priced(
    connection: apsw.Connection,
    customer_id: UUID,
    address_id: UUID | None,
    entered: Sequence[_Entered],
    surroundings: Surroundings,
) -> BasketPrice | None:
    """What lines cost now; None where their customer is out of the scope."""
    terms = known_terms(connection, customer_id)
    if terms is None:
        return None
    return price(connection, terms, basket_for(connection, customer_id, [each.line for each in entered], address_id, surroundings))


def view(connection: apsw.Connection, order_id: UUID, surroundings: Surroundings) -> DraftView:
    """A draft with its lines, without prices where its customer is out of the scope now. Raises UnknownRowError."""
    row = connection.execute(
        """
        SELECT customer_id, address_id, number, state, purchase_order_number, note, updated_at_ms, quote_id
          FROM draft WHERE order_id = ?
        """,
        (order_id.bytes,),
    ).fetchone()
    if row is None:
        raise UnknownRowError("draft", order_id)
    customer, address, number, state, purchase_order_number, note, updated_at_ms, quote = row
    customer_id, address_id = stored_id(customer), stored_id(address) if address else None
    entered = _entered(connection, "line.order_id = ?", order_id)
    priced = _priced(connection, customer_id, address_id, entered, surroundings)
    prices = priced.lines if priced is not None else [None] * len(entered)
    return DraftView(
        order_id=order_id,
        customer_id=customer_id,
        address_id=address_id,
        number=number,
        state=DraftState(state),
        currency=priced.currency if priced is not None else "",
        purchase_order_number=purchase_order_number,
        note=note,
        updated_at_ms=updated_at_ms,
        lines=tuple(_line(each, line) for each, line in zip(entered, prices, strict=True)),
        total_minor=priced.total_minor if priced is not None else 0,
        price=priced,
        quote_id=stored_id(quote) if quote else None,
    )


def all_ids(connection: apsw.Connection) -> list[UUID]:
    """Drafts that can be edited, the latest edited first."""
    sql = "SELECT order_id FROM draft WHERE state <> ? ORDER BY updated_at_ms DESC"
    return [stored_id(order_id) for (order_id,) in fetch_tuples(connection, sql, (DraftState.SUBMITTED.value,))]
