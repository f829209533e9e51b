"""Orders in the making. Every edit is saved when it returns, so a draft survives a kill at any moment."""

from typing import Any, Final
from uuid import UUID

import apsw
import msgspec

from client_sdk.clock import Surroundings
from client_sdk.draft_view import DraftLine, DraftState, line_by_itself
from client_sdk.entries import unfit
from client_sdk.errors import DraftClosedError, InvalidEntryError, UnknownRowError
from client_sdk.quoting import require_customer
from client_sdk.rows import fetch_one, stored_id
from client_sdk.state import require_identity
from client_sdk.wanted import WantedLine, checked_line, checked_manual, checked_quantity
from sync_protocol.entities.catalog import Product
from sync_protocol.intents import LINES_MAX, ManualPrice, SubmitOrder
from sync_protocol.values import EnteredLabel, EnteredNote, normal_text
from sync_protocol.wire.codec import encode

_TEXTS: Final[dict[str, Any]] = {"note": EnteredNote, "purchase_order_number": EnteredLabel}


def create(
    connection: apsw.Connection,
    customer_id: UUID,
    address_id: UUID | None,
    surroundings: Surroundings,
    *,
    quote_id: UUID | None = None,
) -> UUID:
    """Begin an order for a customer, of an accepted quote where one is named. Raises UnknownRowError, NotEnrolledError."""
    require_identity(connection)
    require_customer(connection, customer_id)
    order_id = surroundings.ids.new()
    connection.execute(
        "INSERT INTO draft (order_id, customer_id, address_id, updated_at_ms, quote_id) VALUES (?, ?, ?, ?, ?)",
        (order_id.bytes, customer_id.bytes, _bytes(address_id), surroundings.clock.now_ms(), _bytes(quote_id)),
    )
    return order_id


def _bytes(key: UUID | None) -> bytes | None:
    return key.bytes if key is not None else None


def of_quote(connection: apsw.Connection, quote_id: UUID) -> UUID | None:
    """The draft that is being made of a quote, if one is."""
    sql = "SELECT order_id FROM draft WHERE quote_id = ? AND state <> ? LIMIT 1"
    found = connection.execute(sql, (quote_id.bytes, DraftState.SUBMITTED.value)).get
    return stored_id(found) if found is not None else None


def require_open(connection: apsw.Connection, order_id: UUID) -> None:
    """Raises UnknownRowError, DraftClosedError."""
    state = connection.execute("SELECT state FROM draft WHERE order_id = ?", (order_id.bytes,)).get
    if state is None:
        raise UnknownRowError("draft", order_id)
    if state == DraftState.SUBMITTED:
        raise DraftClosedError(order_id, state)


def _touch(connection: apsw.Connection, order_id: UUID, surroundings: Surroundings) -> None:
    now_ms = surroundings.clock.now_ms()
    connection.execute("UPDATE draft SET updated_at_ms = ? WHERE order_id = ?", (now_ms, order_id.bytes))


def add_line(connection: apsw.Connection, order_id: UUID, wanted: WantedLine, surroundings: Surroundings) -> DraftLine:
    """Add a line and return it priced by itself. Raises UnknownRowError, DraftClosedError, NotPermittedError, InvalidEntryError."""
    require_open(connection, order_id)
    if fetch_one(connection, Product, wanted.product_id) is None:
        raise UnknownRowError("product", wanted.product_id)
    count = connection.execute("SELECT count(*) FROM draft_line WHERE order_id = ?", (order_id.bytes,)).get
    if count >= LINES_MAX:
        raise InvalidEntryError(f"lines: an order has {LINES_MAX} at most")
    line_id = surroundings.ids.new()
    line = checked_line(connection, wanted)
    connection.execute(
        """
        INSERT INTO draft_line (line_id, order_id, position, product_id, quantity, pack_quantity, manual)
        SELECT ?1, ?2, 1 + coalesce(max(position), 0), ?3, ?4, ?5, ?6 FROM draft_line WHERE order_id = ?2
        """,
        (line_id.bytes, order_id.bytes, line.product_id.bytes, line.quantity, line.pack_quantity, _stored(line.manual)),
    )
    _touch(connection, order_id, surroundings)
    return line_by_itself(connection, order_id, line_id, surroundings)


def _stored(manual: ManualPrice | None) -> bytes | None:
    return encode(manual) if manual is not None else None


def set_quantity(connection: apsw.Connection, order_id: UUID, line_id: UUID, quantity: int, surroundings: Surroundings) -> None:
    """Change a line's quantity. Raises as `add_line` does."""
    _set(connection, (line_id, order_id), "quantity", checked_quantity(quantity))
    _touch(connection, order_id, surroundings)


def set_pack(connection: apsw.Connection, order_id: UUID, line_id: UUID, pack_quantity: int, surroundings: Surroundings) -> None:
    """Say in which pack a line is handled, 1 for none. Raises as `add_line` does."""
    _set(connection, (line_id, order_id), "pack_quantity", checked_quantity(pack_quantity, "pack_quantity"))
    _touch(connection, order_id, surroundings)


def set_manual(
    connection: apsw.Connection, order_id: UUID, line_id: UUID, manual: ManualPrice | None, surroundings: Surroundings
) -> None:
    """Give a line a price by hand, or take that back. Raises as `add_line` does."""
    _set(connection, (line_id, order_id), "manual", _stored(checked_manual(connection, manual)))
    _touch(connection, order_id, surroundings)


def _set(connection: apsw.Connection, line: tuple[UUID, UUID], column: str, value: int | bytes | None) -> None:
    line_id, order_id = line
    require_open(connection, order_id)
    connection.execute(
        f"UPDATE draft_line SET {column} = ? WHERE line_id = ? AND order_id = ?",  # noqa: S608  # one of three names
        (value, line_id.bytes, order_id.bytes),
    )
    if not connection.changes():
        raise UnknownRowError("line", line_id)


def remove_line(connection: apsw.Connection, order_id: UUID, line_id: UUID, surroundings: Surroundings) -> None:
    """Take a line out. Raises as `add_line` does."""
    require_open(connection, order_id)
    connection.execute("DELETE FROM draft_line WHERE line_id = ? AND order_id = ?", (line_id.bytes, order_id.bytes))
    if not connection.changes():
        raise UnknownRowError("line", line_id)
    _touch(connection, order_id, surroundings)


def set_text(connection: apsw.Connection, order_id: UUID, column: str, text: str, surroundings: Surroundings) -> None:
    """Set the note or the customer's purchase order number. Raises as `add_line` does."""
    require_open(connection, order_id)
    try:
        entered = msgspec.convert(normal_text(text), _TEXTS[column])
    except msgspec.ValidationError as error:
        raise unfit(error, column) from error
    connection.execute(f"UPDATE draft SET {column} = ? WHERE order_id = ?", (entered, order_id.bytes))  # noqa: S608  # one of two names
    _touch(connection, order_id, surroundings)


def discard(connection: apsw.Connection, order_id: UUID) -> None:
    """Throw a draft away. Raises DraftClosedError for a submitted one."""
    require_open(connection, order_id)
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
    texts = (intent.number, intent.purchase_order_number, intent.note, DraftState.RETURNED.value)
    connection.execute(
        """
        INSERT INTO draft (order_id, customer_id, address_id, number, purchase_order_number, note, state, updated_at_ms, quote_id)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (intent.order_id.bytes, intent.customer_id.bytes, _bytes(intent.address_id), *texts, now_ms, _bytes(intent.quote_id)),
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
                _stored(line.manual),
            )
            for position, line in lines
        ),
    )
