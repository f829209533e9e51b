"""Finding things on the device: products as the user types, customers, orders."""

import unicodedata
from typing import Final
from uuid import UUID

import apsw
import msgspec

from client_sdk.errors import UnknownRowError
from client_sdk.rows import fetch_one, fetch_rows
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.orders import Order, OrderLine, OrderStatus
from sync_protocol.values import normal_text

CANDIDATES_MAX: Final = 400
LIMIT_MAX: Final = 500
_ORDERABLE: Final = "NOT EXISTS (SELECT 1 FROM product variant WHERE variant.variant_of_id = row.id)"


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order as its user sees it: `pending` while the replica does not show it, or its last change, yet.

    `is_unsent` says that something that its user asked for it waits for a verdict. One that is pending and not unsent was decided
    and not fetched yet, which a device that was revoked never does: its journal has the verdict.
    """

    order: Order
    lines: tuple[OrderLine, ...]
    pending: bool
    is_unsent: bool


def search(connection: apsw.Connection, text: str, limit: int) -> list[Product]:
    """Products that have every word of `text` as the beginning of a word: by SKU first, then by how near the name is.

    A product with variants is not among them, because it is its variants that are ordered. A few hundred candidates are
    ranked, so that a single letter is as quick as a whole name.
    """
    wanted = _storable(text)
    words = _words(wanted)
    if not words:
        condition = f"{_ORDERABLE} ORDER BY sku LIMIT ?"
        return fetch_rows(connection, Product, condition, _within(limit))
    match = " AND ".join(f'"{word}"*' for word in words)
    return fetch_rows(
        connection,
        Product,
        f"""
        {_ORDERABLE} AND row.rowid IN (
            SELECT * FROM (SELECT rowid FROM product_search WHERE product_search MATCH ?1 LIMIT ?2)
            UNION SELECT * FROM (SELECT rowid FROM product WHERE sku >= ?3 AND sku < ?3 || char(1114111) LIMIT ?2))
        ORDER BY row.sku = ?3 DESC, row.sku LIKE ?4 DESC, row.status = 'active' DESC, row.name LIKE ?4 DESC,
                 length(row.name), row.sku
        LIMIT ?5
        """,  # noqa: S608  # a condition of ours
        match,
        CANDIDATES_MAX,
        wanted,
        _prefix_pattern(wanted),
        _within(limit),
    )


def _words(text: str) -> list[str]:
    """The words of a search: letters and digits, as the index splits them."""
    spaced = "".join(
        character if unicodedata.category(character)[0] in "LNM" else " " for character in unicodedata.normalize("NFC", text)
    )
    return spaced.split()[:12]


def _within(limit: int) -> int:
    return max(0, min(limit, LIMIT_MAX))


def _storable(text: str) -> str:
    """What was typed, as SQLite can hold it: half a character, as some keyboards send, is none."""
    return normal_text(text.encode("utf-8", "ignore").decode("utf-8"))


def _prefix_pattern(text: str) -> str:
    return text.replace("%", "").replace("_", "") + "%"


def product(connection: apsw.Connection, key: UUID | str) -> Product:
    """A product by id, SKU or barcode. Raises UnknownRowError."""
    found = _by_key(connection, key)
    if found is None:
        raise UnknownRowError("product", key)
    return found


def _by_key(connection: apsw.Connection, key: UUID | str) -> Product | None:
    if isinstance(key, UUID):
        return fetch_one(connection, Product, key)
    found = fetch_rows(connection, Product, "sku = ?1 OR barcode = ?1 ORDER BY sku = ?1 DESC LIMIT 1", _storable(key))
    return found[0] if found else None


def customers(connection: apsw.Connection, text: str, limit: int) -> list[Customer]:
    """Customers whose name or code contains `text`, by name."""
    pattern = f"%{_prefix_pattern(_storable(text))}"
    return fetch_rows(connection, Customer, "name LIKE ?1 OR code LIKE ?1 ORDER BY name, code LIMIT ?2", pattern, _within(limit))


def customer(connection: apsw.Connection, key: UUID | str) -> Customer:
    """A customer by id or code. Raises UnknownRowError."""
    if isinstance(key, UUID):
        found = fetch_one(connection, Customer, key)
    else:
        found = next(iter(fetch_rows(connection, Customer, "code = ? LIMIT 1", _storable(key))), None)
    if found is None:
        raise UnknownRowError("customer", key)
    return found


def orders(connection: apsw.Connection, customer_id: UUID | None, status: OrderStatus | None, limit: int) -> list[OrderView]:
    """Orders, the latest captured first."""
    conditions = ["true"]
    bindings: list[bytes | str] = []
    if customer_id is not None:
        conditions.append("customer_id = ?")
        bindings.append(customer_id.bytes)
    if status is not None:
        conditions.append("status = ?")
        bindings.append(status.value)
    condition = f"{' AND '.join(conditions)} ORDER BY captured_at_ms DESC, id DESC LIMIT ?"
    found = fetch_rows(connection, Order, condition, *bindings, _within(limit))
    return [_order_view(connection, each) for each in found]


def order(connection: apsw.Connection, key: UUID | str) -> OrderView:
    """An order by id or number. Raises UnknownRowError."""
    if isinstance(key, UUID):
        found = fetch_one(connection, Order, key)
    else:
        found = next(iter(fetch_rows(connection, Order, "number = ? LIMIT 1", key)), None)
    if found is None:
        raise UnknownRowError("order", key)
    return _order_view(connection, found)


def _order_view(connection: apsw.Connection, found: Order) -> OrderView:
    lines = fetch_rows(connection, OrderLine, "order_id = ? ORDER BY line_number", found.id.bytes)
    pending = connection.execute("SELECT 1 FROM overlay_sales_order WHERE id = ?", (found.id.bytes,)).get is not None
    unsent = pending and connection.execute("SELECT 1 FROM outbox WHERE subject_id = ? LIMIT 1", (found.id.bytes,)).get is not None
    return OrderView(order=found, lines=tuple(lines), pending=pending, is_unsent=unsent)
