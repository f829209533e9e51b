"""Orders in the making. Every edit is saved when it returns, so a draft survives a kill at any moment."""

from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

import apsw
import msgspec

from client_sdk import outbox
from client_sdk.clock import Surroundings
from client_sdk.entries import unfit
from client_sdk.errors import CustomerGoneError, DraftClosedError, EmptyOrderError, InvalidEntryError, NoPriceError, UnknownRowError
from client_sdk.quoting import basket_for, facts_for, known_terms, price, terms_for
from client_sdk.rows import fetch_one, fetch_tuples, stored_id
from client_sdk.state import require_identity
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.orders import Order
from sync_protocol.intents import LINES_MAX, ManualPrice, RequestedLine, SubmitOrder
from sync_protocol.rules.order_review import ORDER_TOTAL_MINOR_MAX, OrderDecision, review_order
from sync_protocol.rules.pricing.basket import BasketLine
from sync_protocol.rules.pricing.explanation import BasketPrice, LinePrice
from sync_protocol.rules.proofs import quoted_gifts, quoted_line
from sync_protocol.values import EnteredLabel, EnteredNote, Instant, amount_text, normal_text
from sync_protocol.wire.codec import decode, encode

QUANTITY_MAX: Final = 10_000_000
_TEXTS: Final[dict[str, Any]] = {"note": EnteredNote, "purchase_order_number": EnteredLabel}


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
    """A draft with its lines, priced as of now. `price` is the whole of it, gifts and offers too."""

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
    """Add a line and return it priced by itself. Raises UnknownRowError, DraftClosedError, InvalidEntryError."""
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
    customer_id, address_id = _whom(connection, order_id)
    terms = known_terms(connection, customer_id)
    entered = _Entered(BasketLine(line_id=line_id, product_id=product_id, quantity=quantity), product.sku, product.name)
    if terms is None:
        return _line(entered, None)
    basket = basket_for(connection, terms, [entered.line], address_id, surroundings)
    return _line(entered, price(connection, terms, basket).lines[0])


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
        """
        INSERT INTO draft_line (line_id, order_id, position, product_id, quantity, pack_quantity, manual)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (
            (
                *(line.line_id.bytes, intent.order_id.bytes, position, line.product_id.bytes, line.quantity, line.pack_quantity),
                encode(line.manual) if line.manual is not None else None,
            )
            for position, line in lines
        ),
    )


def _whom(connection: apsw.Connection, order_id: UUID) -> tuple[UUID, UUID | None]:
    """The customer of a draft, and where the goods go."""
    customer_id, address_id = next(
        connection.execute("SELECT customer_id, address_id FROM draft WHERE order_id = ?", (order_id.bytes,))
    )
    return stored_id(customer_id), stored_id(address_id) if address_id else None


class _Entered(NamedTuple):
    """A line as it was entered, and what its product is called."""

    line: BasketLine
    sku: str
    name: str


def _entered(connection: apsw.Connection, order_id: UUID) -> list[_Entered]:
    rows = fetch_tuples(
        connection,
        """
        SELECT line.line_id, line.product_id, line.quantity, line.pack_quantity, line.manual,
               coalesce(product.sku, ''), coalesce(product.name, '')
          FROM draft_line line LEFT JOIN product ON product.id = line.product_id
         WHERE line.order_id = ? ORDER BY line.position
        """,
        (order_id.bytes,),
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


def view(connection: apsw.Connection, order_id: UUID, surroundings: Surroundings) -> DraftView:
    """A draft with its lines, without prices where its customer is out of the scope now. Raises UnknownRowError."""
    row = connection.execute(
        "SELECT customer_id, address_id, number, state, purchase_order_number, note, updated_at_ms FROM draft WHERE order_id = ?",
        (order_id.bytes,),
    ).fetchone()
    if row is None:
        raise UnknownRowError("draft", order_id)
    customer, address, number, state, purchase_order_number, note, updated_at_ms = row
    customer_id, address_id = stored_id(customer), stored_id(address) if address else None
    entered = _entered(connection, order_id)
    terms = known_terms(connection, customer_id)
    priced = None
    if terms is not None:
        basket = basket_for(connection, terms, [each.line for each in entered], address_id, surroundings)
        priced = price(connection, terms, basket)
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
    )


def all_ids(connection: apsw.Connection) -> list[UUID]:
    """Drafts that can be edited, the latest edited first."""
    sql = "SELECT order_id FROM draft WHERE state <> ? ORDER BY updated_at_ms DESC"
    return [stored_id(order_id) for (order_id,) in fetch_tuples(connection, sql, (DraftState.SUBMITTED.value,))]


def preview(connection: apsw.Connection, order_id: UUID, surroundings: Surroundings) -> OrderDecision:
    """What the server would decide of the draft if it knew just what this device knows. Raises as `submit` does."""
    draft = view(connection, order_id, surroundings)
    priced = _priced(draft)
    terms = terms_for(connection, draft.customer_id)
    facts = facts_for(connection, terms, {line.product_id for line in (*priced.lines, *priced.gifts)})
    return review_order(_quoted(draft, priced), quoted_gifts(priced), priced, facts)


def _priced(draft: DraftView) -> BasketPrice:
    """The price of a draft that can be ordered. Raises CustomerGoneError, EmptyOrderError, NoPriceError."""
    if draft.price is None:
        raise CustomerGoneError(draft.customer_id)
    if not draft.lines:
        raise EmptyOrderError
    for line in draft.lines:
        if line.unit_price is None:
            raise NoPriceError(line.sku or str(line.product_id))
    return draft.price


def _quoted(draft: DraftView, priced: BasketPrice) -> tuple[RequestedLine, ...]:
    return tuple(quoted_line(line, each.manual) for each, line in zip(draft.lines, priced.lines, strict=True))


def priced_lines(
    connection: apsw.Connection, order: Order, wanted: list[tuple[UUID, int]], surroundings: Surroundings
) -> BasketPrice:
    """Other lines for an order, priced now. Raises EmptyOrderError, NoPriceError, InvalidEntryError, UnknownRowError."""
    if not wanted:
        raise EmptyOrderError
    terms = terms_for(connection, order.customer_id)
    lines = [
        BasketLine(line_id=surroundings.ids.new(), product_id=product_id, quantity=_checked_quantity(quantity))
        for product_id, quantity in wanted
    ]
    priced = price(connection, terms, basket_for(connection, terms, lines, order.address_id, surroundings))
    for line in priced.lines:
        if line.unit_price is None:
            product = fetch_one(connection, Product, line.product_id)
            raise NoPriceError(product.sku if product else str(line.product_id))
    _require_total(priced)
    return priced


def _require_total(priced: BasketPrice) -> None:
    """Refuse what the server would, and what no row can hold."""
    if priced.total_minor > ORDER_TOTAL_MINOR_MAX:
        most = amount_text(ORDER_TOTAL_MINOR_MAX, priced.currency)
        raise InvalidEntryError(f"total: an order may be worth {most} at most, split it")


def submit(connection: apsw.Connection, order_id: UUID, surroundings: Surroundings) -> UUID:
    """Number the draft and put it into the outbox, all in one act; returns the order's id.

    Raises EmptyOrderError, NoPriceError, DraftClosedError, UnknownRowError, InvalidEntryError.
    """
    _require_open(connection, order_id)
    draft = view(connection, order_id, surroundings)
    priced = _priced(draft)
    _require_total(priced)
    number = draft.number or _next_number(connection)
    intent = SubmitOrder(
        order_id=order_id,
        number=number,
        customer_id=draft.customer_id,
        currency=draft.currency,
        lines=_quoted(draft, priced),
        address_id=draft.address_id,
        purchase_order_number=draft.purchase_order_number,
        note=draft.note,
        gifts=quoted_gifts(priced),
        priced_at_ms=priced.instant_ms,
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
