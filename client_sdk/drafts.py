"""Orders in the making. Every edit is saved when it returns, so a draft survives a kill at any moment."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import apsw
import msgspec

from client_sdk import outbox
from client_sdk.clock import Surroundings
from client_sdk.entries import unfit
from client_sdk.errors import CustomerGoneError, DraftClosedError, EmptyOrderError, InvalidEntryError, NoPriceError, UnknownRowError
from client_sdk.quoting import Terms, entries_of, facts_for, known_terms, quote, terms_for
from client_sdk.rows import fetch_one, fetch_tuples, stored_id
from client_sdk.state import require_identity
from sync_protocol.entities.catalog import Product
from sync_protocol.intents import LINES_MAX, RequestedLine, SubmitOrder
from sync_protocol.rules.documents import quotation
from sync_protocol.rules.order_review import ORDER_TOTAL_MINOR_MAX, OrderDecision, review_order
from sync_protocol.rules.prices import resolve_price
from sync_protocol.values import EnteredLabel, EnteredNote, Instant, amount_text, normal_text

QUANTITY_MAX: Final = 10_000_000
_TEXTS: Final[dict[str, Any]] = {"note": EnteredNote, "purchase_order_number": EnteredLabel}


class DraftState(StrEnum):
    """Where a draft stands: a returned one was refused by the server and can be mended and submitted again."""

    OPEN = "open"
    SUBMITTED = "submitted"
    RETURNED = "returned"


class DraftLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line with its quote now; no price where the product has none for this customer."""

    line_id: UUID
    product_id: UUID
    sku: str
    name: str
    quantity: int
    unit_price: int | None
    amount_minor: int | None


class DraftView(msgspec.Struct, frozen=True, kw_only=True):
    """A draft with its lines, priced as of now."""

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


def create(connection: apsw.Connection, customer_id: UUID, address_id: UUID | None, surroundings: Surroundings) -> UUID:
    """Begin an order for a customer. Raises UnknownRowError, NotEnrolledError."""
    require_identity(connection)
    terms_for(connection, customer_id)
    order_id = surroundings.ids.new()
    connection.execute(
        "INSERT INTO draft (order_id, customer_id, address_id, updated_at_ms) VALUES (?, ?, ?, ?)",
        (order_id.bytes, customer_id.bytes, address_id.bytes if address_id else None, surroundings.clock.now_ms()),
    )
    return order_id


def _require_open(connection: apsw.Connection, order_id: UUID) -> None:
    state = connection.execute("SELECT state FROM draft WHERE order_id = ?", (order_id.bytes,)).get
    if state is None:
        raise UnknownRowError("draft", order_id)
    if state == DraftState.SUBMITTED:
        raise DraftClosedError(order_id, state)


def _touch(connection: apsw.Connection, order_id: UUID, surroundings: Surroundings) -> None:
    now_ms = surroundings.clock.now_ms()
    connection.execute("UPDATE draft SET updated_at_ms = ? WHERE order_id = ?", (now_ms, order_id.bytes))


def _checked_quantity(quantity: int) -> int:
    if not 1 <= quantity <= QUANTITY_MAX:
        raise InvalidEntryError(f"quantity: {quantity} is not between 1 and {QUANTITY_MAX} base units")
    return quantity


def add_line(connection: apsw.Connection, order_id: UUID, product_id: UUID, quantity: int, surroundings: Surroundings) -> DraftLine:
    """Add a line and return it priced. Raises UnknownRowError, DraftClosedError, InvalidEntryError."""
    _require_open(connection, order_id)
    product = fetch_one(connection, Product, product_id)
    if product is None:
        raise UnknownRowError("product", product_id)
    count = connection.execute("SELECT count(*) FROM draft_line WHERE order_id = ?", (order_id.bytes,)).get
    if count >= LINES_MAX:
        raise InvalidEntryError(f"lines: an order has {LINES_MAX} at most")
    line_id = surroundings.ids.new()
    connection.execute(
        """
        INSERT INTO draft_line (line_id, order_id, position, product_id, quantity)
        SELECT ?1, ?2, 1 + coalesce(max(position), 0), ?3, ?4 FROM draft_line WHERE order_id = ?2
        """,
        (line_id.bytes, order_id.bytes, product_id.bytes, _checked_quantity(quantity)),
    )
    _touch(connection, order_id, surroundings)
    terms = known_terms(connection, _customer_of(connection, order_id))
    return _line(connection, terms, (line_id.bytes, product_id.bytes, quantity, product.sku, product.name))


def set_quantity(connection: apsw.Connection, order_id: UUID, line_id: UUID, quantity: int, surroundings: Surroundings) -> None:
    """Change a line's quantity. Raises as `add_line` does."""
    _require_open(connection, order_id)
    connection.execute(
        "UPDATE draft_line SET quantity = ? WHERE line_id = ? AND order_id = ?",
        (_checked_quantity(quantity), line_id.bytes, order_id.bytes),
    )
    if not connection.changes():
        raise UnknownRowError("line", line_id)
    _touch(connection, order_id, surroundings)


def remove_line(connection: apsw.Connection, order_id: UUID, line_id: UUID, surroundings: Surroundings) -> None:
    """Take a line out. Raises as `add_line` does."""
    _require_open(connection, order_id)
    connection.execute("DELETE FROM draft_line WHERE line_id = ? AND order_id = ?", (line_id.bytes, order_id.bytes))
    if not connection.changes():
        raise UnknownRowError("line", line_id)
    _touch(connection, order_id, surroundings)


def set_text(connection: apsw.Connection, order_id: UUID, column: str, text: str, surroundings: Surroundings) -> None:
    """Set the note or the customer's purchase order number. Raises as `add_line` does."""
    _require_open(connection, order_id)
    try:
        entered = msgspec.convert(normal_text(text), _TEXTS[column])
    except msgspec.ValidationError as error:
        raise unfit(error, column) from error
    connection.execute(f"UPDATE draft SET {column} = ? WHERE order_id = ?", (entered, order_id.bytes))  # noqa: S608  # one of two names
    _touch(connection, order_id, surroundings)


def discard(connection: apsw.Connection, order_id: UUID) -> None:
    """Throw a draft away. Raises DraftClosedError for a submitted one."""
    _require_open(connection, order_id)
    _delete(connection, order_id)


def settle(connection: apsw.Connection, intent: SubmitOrder, now_ms: int, *, rejected: bool) -> None:
    """After the verdict on a submission: gone where it was taken, returned for mending where it was refused.

    A draft that is gone already, because a server before its restore had taken it, is written anew from the intent.
    """
    if not rejected:
        _delete(connection, intent.order_id)
        return
    connection.execute("UPDATE draft SET state = ? WHERE order_id = ?", (DraftState.RETURNED.value, intent.order_id.bytes))
    if not connection.changes():
        _write_anew(connection, intent, now_ms)


def _delete(connection: apsw.Connection, order_id: UUID) -> None:
    connection.execute("DELETE FROM draft_line WHERE order_id = ?", (order_id.bytes,))
    connection.execute("DELETE FROM draft WHERE order_id = ?", (order_id.bytes,))


def _write_anew(connection: apsw.Connection, intent: SubmitOrder, now_ms: int) -> None:
    address = intent.address_id.bytes if intent.address_id else None
    texts = (intent.number, intent.purchase_order_number, intent.note, DraftState.RETURNED.value)
    connection.execute(
        """
        INSERT INTO draft (order_id, customer_id, address_id, number, purchase_order_number, note, state, updated_at_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (intent.order_id.bytes, intent.customer_id.bytes, address, *texts, now_ms),
    )
    lines = enumerate(intent.lines, start=1)
    connection.executemany(
        "INSERT INTO draft_line (line_id, order_id, position, product_id, quantity) VALUES (?, ?, ?, ?, ?)",
        ((line.line_id.bytes, intent.order_id.bytes, position, line.product_id.bytes, line.quantity) for position, line in lines),
    )


def _customer_of(connection: apsw.Connection, order_id: UUID) -> UUID:
    return stored_id(connection.execute("SELECT customer_id FROM draft WHERE order_id = ?", (order_id.bytes,)).get)


def _lines(connection: apsw.Connection, order_id: UUID, terms: Terms | None) -> list[DraftLine]:
    rows = fetch_tuples(
        connection,
        """
        SELECT line.line_id, line.product_id, line.quantity, coalesce(product.sku, ''), coalesce(product.name, '')
          FROM draft_line line LEFT JOIN product ON product.id = line.product_id
         WHERE line.order_id = ? ORDER BY line.position
        """,
        (order_id.bytes,),
    )
    return [_line(connection, terms, row) for row in rows]


def _line(connection: apsw.Connection, terms: Terms | None, row: tuple[Any, ...]) -> DraftLine:
    line_id, product_id, quantity, sku, name = row
    price = quote(connection, terms, stored_id(product_id), quantity) if terms is not None else None
    return DraftLine(
        line_id=stored_id(line_id),
        product_id=stored_id(product_id),
        sku=sku,
        name=name,
        quantity=quantity,
        unit_price=price.unit_price if price else None,
        amount_minor=price.amount_minor if price else None,
    )


def view(connection: apsw.Connection, order_id: UUID) -> DraftView:
    """A draft with its lines, without prices where its customer is out of the scope now. Raises UnknownRowError."""
    row = connection.execute(
        "SELECT customer_id, address_id, number, state, purchase_order_number, note, updated_at_ms FROM draft WHERE order_id = ?",
        (order_id.bytes,),
    ).fetchone()
    if row is None:
        raise UnknownRowError("draft", order_id)
    customer_id, address_id, number, state, purchase_order_number, note, updated_at_ms = row
    terms = known_terms(connection, stored_id(customer_id))
    lines = tuple(_lines(connection, order_id, terms))
    return DraftView(
        order_id=order_id,
        customer_id=stored_id(customer_id),
        address_id=stored_id(address_id) if address_id else None,
        number=number,
        state=DraftState(state),
        currency=terms.currency if terms is not None else "",
        purchase_order_number=purchase_order_number,
        note=note,
        updated_at_ms=updated_at_ms,
        lines=lines,
        total_minor=sum(line.amount_minor or 0 for line in lines),
    )


def all_ids(connection: apsw.Connection) -> list[UUID]:
    """Drafts that can be edited, the latest edited first."""
    sql = "SELECT order_id FROM draft WHERE state <> ? ORDER BY updated_at_ms DESC"
    return [stored_id(order_id) for (order_id,) in fetch_tuples(connection, sql, (DraftState.SUBMITTED.value,))]


def preview(connection: apsw.Connection, order_id: UUID) -> OrderDecision:
    """What the server would decide of the draft if it knew just what this device knows. Raises as `submit` does."""
    draft = view(connection, order_id)
    terms = _terms_of(connection, draft)
    facts = facts_for(connection, terms, {line.product_id for line in draft.lines})
    return review_order(terms.currency, _requested(draft), facts)


def _terms_of(connection: apsw.Connection, draft: DraftView) -> Terms:
    terms = known_terms(connection, draft.customer_id)
    if terms is None:
        raise CustomerGoneError(draft.customer_id)
    return terms


def _requested(draft: DraftView) -> tuple[RequestedLine, ...]:
    if not draft.lines:
        raise EmptyOrderError
    for line in draft.lines:
        if line.unit_price is None:
            raise NoPriceError(line.sku or str(line.product_id))
    return tuple(
        RequestedLine(line_id=line.line_id, product_id=line.product_id, quantity=line.quantity, unit_price=line.unit_price or 0)
        for line in draft.lines
    )


def requested_lines(
    connection: apsw.Connection, customer_id: UUID, wanted: list[tuple[UUID, int]], surroundings: Surroundings
) -> tuple[RequestedLine, ...]:
    """Lines of products and quantities, quoted now. Raises EmptyOrderError, NoPriceError, InvalidEntryError."""
    if not wanted:
        raise EmptyOrderError
    terms = terms_for(connection, customer_id)
    lines = []
    for product_id, quantity in wanted:
        entry = resolve_price(entries_of(connection, product_id, terms.price_lists), terms.price_lists, _checked_quantity(quantity))
        if entry is None:
            product = fetch_one(connection, Product, product_id)
            raise NoPriceError(product.sku if product else str(product_id))
        lines.append(
            RequestedLine(line_id=surroundings.ids.new(), product_id=product_id, quantity=quantity, unit_price=entry.unit_price)
        )
    _require_total(lines, terms.currency)
    return tuple(lines)


def _require_total(lines: Sequence[RequestedLine], currency: str) -> None:
    """Refuse what the server would, and what no row can hold."""
    if quotation(lines, currency).total_minor > ORDER_TOTAL_MINOR_MAX:
        raise InvalidEntryError(f"total: an order may be worth {amount_text(ORDER_TOTAL_MINOR_MAX, currency)} at most, split it")


def submit(connection: apsw.Connection, order_id: UUID, surroundings: Surroundings) -> UUID:
    """Number the draft and put it into the outbox, all in one act; returns the order's id.

    Raises EmptyOrderError, NoPriceError, DraftClosedError, UnknownRowError, InvalidEntryError.
    """
    _require_open(connection, order_id)
    draft = view(connection, order_id)
    _terms_of(connection, draft)
    lines = _requested(draft)
    _require_total(lines, draft.currency)
    number = draft.number or _next_number(connection)
    intent = SubmitOrder(
        order_id=order_id,
        number=number,
        customer_id=draft.customer_id,
        currency=draft.currency,
        lines=lines,
        address_id=draft.address_id,
        purchase_order_number=draft.purchase_order_number,
        note=draft.note,
    )
    outbox.enqueue(connection, intent, surroundings)
    connection.execute(
        "UPDATE draft SET state = ?, number = ? WHERE order_id = ?", (DraftState.SUBMITTED.value, number, order_id.bytes)
    )
    return order_id


def _next_number(connection: apsw.Connection) -> str:
    """The next number of this device's own series, such as `R17-000123`."""
    prefix = require_identity(connection).number_prefix
    counted = connection.execute(
        "INSERT INTO number_counter VALUES (?, 1) ON CONFLICT (prefix) DO UPDATE SET last = last + 1 RETURNING last", (prefix,)
    ).get
    return f"{prefix}-{counted:06d}"
