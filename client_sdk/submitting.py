"""A draft that becomes an order. What the server is bound to refuse is refused here, hours before it could say so."""

from collections.abc import Sequence
from uuid import UUID

import apsw

from client_sdk import outbox
from client_sdk.clock import Surroundings
from client_sdk.draft_view import DraftState, DraftView, view
from client_sdk.drafts import require_open
from client_sdk.errors import (
    CustomerGoneError,
    EmptyOrderError,
    InvalidEntryError,
    NoPriceError,
    OrderBelowMinimumError,
    QuantityNotSoldError,
)
from client_sdk.quote_views import require_orderable
from client_sdk.quoting import basket_for, facts_for, price, terms_for, used_before
from client_sdk.rows import fetch_one
from client_sdk.state import require_identity
from client_sdk.wanted import WantedLine, checked_line
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.orders import Order
from sync_protocol.intents import ManualPrice, RequestedLine, SubmitOrder
from sync_protocol.rules.order_review import ORDER_TOTAL_MINOR_MAX, OrderDecision, review_order
from sync_protocol.rules.pricing.explanation import BasketPrice
from sync_protocol.rules.pricing.quantities import nearest_quantities
from sync_protocol.rules.pricing.sentences import minimum_text, refusal_text
from sync_protocol.rules.proofs import quoted_gifts, quoted_line
from sync_protocol.values import amount_text


def preview(connection: apsw.Connection, order_id: UUID, surroundings: Surroundings) -> OrderDecision:
    """What the server would decide of the draft if it knew just what this device knows. Raises as `submit` does."""
    draft = view(connection, order_id, surroundings)
    priced = _orderable(connection, draft)
    terms = terms_for(connection, draft.customer_id)
    facts = facts_for(connection, terms, {line.product_id for line in (*priced.lines, *priced.gifts)})
    return review_order(_quoted(draft, priced), quoted_gifts(priced), priced, facts)


def _orderable(connection: apsw.Connection, draft: DraftView) -> BasketPrice:
    """The price of a draft that can be ordered. Raises CustomerGoneError, EmptyOrderError, and as `_require_orderable`."""
    if draft.price is None:
        raise CustomerGoneError(draft.customer_id)
    if not draft.lines:
        raise EmptyOrderError
    _require_orderable(connection, draft.price)
    return draft.price


def _require_orderable(connection: apsw.Connection, priced: BasketPrice) -> None:
    """Refuse what the rules refuse. Raises NoPriceError, QuantityNotSoldError, OrderBelowMinimumError."""
    for line in priced.lines:
        if line.obstacle is None:
            continue
        product = fetch_one(connection, Product, line.product_id)
        sku = product.sku if product is not None else str(line.product_id)
        if line.unit_price is None:
            raise NoPriceError(sku, refusal_text(line))
        raise QuantityNotSoldError(sku, line.quantity, nearest_quantities(line), refusal_text(line))
    if priced.order_minimum_gap is not None:
        raise OrderBelowMinimumError(priced.order_minimum_gap.missing_minor or 0, priced.currency, minimum_text(priced))


def _quoted(draft: DraftView, priced: BasketPrice) -> tuple[RequestedLine, ...]:
    return quoted_lines(priced, [line.manual for line in draft.lines])


def quoted_lines(priced: BasketPrice, by_hand: Sequence[ManualPrice | None]) -> tuple[RequestedLine, ...]:
    """Priced lines as they are asked for, with what was given by hand for each."""
    return tuple(quoted_line(line, manual) for line, manual in zip(priced.lines, by_hand, strict=True))


def priced_lines(
    connection: apsw.Connection, order: Order, wanted: Sequence[WantedLine], surroundings: Surroundings
) -> BasketPrice:
    """Other lines for an order, priced now. Raises as `submit` does, and NotPermittedError."""
    if not wanted:
        raise EmptyOrderError
    terms = terms_for(connection, order.customer_id)
    lines = [checked_line(connection, each).as_basket_line(surroundings.ids.new()) for each in wanted]
    basket = basket_for(connection, order.customer_id, lines, order.address_id, surroundings)
    priced = price(connection, terms, basket, used_before(connection, order.id))
    _require_orderable(connection, priced)
    require_total(priced.total_minor, priced.currency)
    return priced


def require_total(total_minor: int, currency: str) -> None:
    """Refuse what the server would, and what no row can hold. Raises InvalidEntryError."""
    if total_minor > ORDER_TOTAL_MINOR_MAX:
        most = amount_text(ORDER_TOTAL_MINOR_MAX, currency)
        raise InvalidEntryError(f"total: an order may be worth {most} at most, split it")


def submit(connection: apsw.Connection, order_id: UUID, surroundings: Surroundings) -> UUID:
    """Number the draft and put it into the outbox, all in one act; returns the order's id.

    Raises EmptyOrderError, NoPriceError, QuantityNotSoldError, OrderBelowMinimumError, DraftClosedError, UnknownRowError,
    InvalidEntryError, and what `require_orderable` does of the quote that the draft orders.
    """
    require_open(connection, order_id)
    draft = view(connection, order_id, surroundings)
    priced = _orderable(connection, draft)
    require_total(priced.total_minor, priced.currency)
    if draft.quote_id is not None:
        require_orderable(connection, draft.quote_id, surroundings)
    number = draft.number or next_number(connection)
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
        quote_id=draft.quote_id,
    )
    outbox.enqueue(connection, intent, surroundings)
    connection.execute(
        "UPDATE draft SET state = ?, number = ? WHERE order_id = ?", (DraftState.SUBMITTED.value, number, order_id.bytes)
    )
    return order_id


def next_number(connection: apsw.Connection, letter: str = "") -> str:
    """The next number of a series of this device's own, such as `R17-000123`; one with a letter is counted by itself."""
    prefix = require_identity(connection).number_prefix
    series = f"{prefix}-{letter}" if letter else prefix
    counted = connection.execute(
        "INSERT INTO number_counter VALUES (?, 1) ON CONFLICT (prefix) DO UPDATE SET last = last + 1 RETURNING last", (series,)
    ).get
    return f"{prefix}-{letter}{counted:06d}"
