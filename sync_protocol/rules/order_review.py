"""What becomes of an order: the one decision that the server takes and the device foretells.

The facts are handed in, so the same inputs give the same decision on both ends. A device's facts may be older than
the server's; its decision is a quotation.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Customer, CustomerStatus
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.intents import RequestedLine
from sync_protocol.rules.prices import resolve_price
from sync_protocol.rules.rounding import line_amount
from sync_protocol.values import minor_digits
from sync_protocol.verdicts import PRECEDENCE, Change, Code, Outcome

ORDER_TOTAL_MINOR_MAX: Final = 10**15


class OrderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one end knows when it decides.

    `price_lists` are nearest first, `currency` is that of the nearest; `entries` and `available` (base units that may
    be promised; negative counts as none) are by product; a product that is absent from `products` is unknown.
    """

    customer: Customer
    currency: str
    price_lists: Sequence[UUID]
    products: Mapping[UUID, Product]
    entries: Mapping[UUID, Sequence[PriceEntry]]
    available: Mapping[UUID, int]


class DecidedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line as the order will hold it; amounts in minor units, quantities in base units."""

    line_id: UUID
    product_id: UUID
    quantity: int
    unit_price: int
    amount_minor: int
    allocated: int
    backordered: int


class OrderDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome with its codes in order of precedence; no lines where it is rejected."""

    outcome: Outcome
    codes: tuple[Code, ...] = ()
    changes: tuple[Change, ...] = ()
    lines: tuple[DecidedLine, ...] = ()
    total_minor: int = 0

    @property
    def hold_code(self) -> Code | None:
        """The first reason to hold, where the order is held."""
        return self.codes[0] if self.outcome is Outcome.HELD else None


def review_order(currency: str, lines: Sequence[RequestedLine], facts: OrderFacts) -> OrderDecision:
    """Decide an order of these lines: reject it, hold it, or accept it, saying line by line what changes."""
    obstacles = [obstacle for line in lines if (obstacle := _obstacle(line, facts))]
    if facts.customer.status is CustomerStatus.CLOSED:
        obstacles.append(Change(code=Code.CUSTOMER_CLOSED))
    if currency != facts.currency:
        obstacles.append(Change(code=Code.CURRENCY_DIFFERS, before=currency, after=facts.currency))
    if obstacles:
        return _rejection(obstacles)
    decided = _decide_lines(lines, facts)
    total = sum(line.amount_minor for line in decided)
    if total > ORDER_TOTAL_MINOR_MAX:
        return _rejection([Change(code=Code.TOTAL_TOO_LARGE)])
    changes = _changes(lines, decided)
    holds = _holds(facts.customer, total)
    codes = tuple(sorted({*holds, *(change.code for change in changes)}, key=PRECEDENCE.__getitem__))
    outcome = Outcome.HELD if holds else Outcome.ACCEPTED_WITH_CHANGES if changes else Outcome.ACCEPTED
    return OrderDecision(outcome=outcome, codes=codes, changes=changes, lines=decided, total_minor=total)


def routed(decision: OrderDecision) -> OrderDecision:
    """The same, held for the rep whom the customer was handed over to. A rejection stays one."""
    if decision.outcome is Outcome.REJECTED:
        return decision
    codes = tuple(sorted({*decision.codes, Code.ROUTED}, key=PRECEDENCE.__getitem__))
    return msgspec.structs.replace(decision, outcome=Outcome.HELD, codes=codes)


def _obstacle(line: RequestedLine, facts: OrderFacts) -> Change | None:
    product = facts.products.get(line.product_id)
    if product is None:
        return Change(code=Code.UNKNOWN_PRODUCT, line_id=line.line_id)
    if product.status is ProductStatus.DISCONTINUED:
        return Change(code=Code.PRODUCT_DISCONTINUED, line_id=line.line_id)
    if resolve_price(facts.entries.get(line.product_id, ()), facts.price_lists, line.quantity) is None:
        return Change(code=Code.NO_PRICE, line_id=line.line_id)
    return None


def _rejection(obstacles: Sequence[Change]) -> OrderDecision:
    """A rejection by the first code in precedence, with every place where that code applies."""
    first = min((obstacle.code for obstacle in obstacles), key=PRECEDENCE.__getitem__)
    named = tuple(obstacle for obstacle in obstacles if obstacle.code is first)
    return OrderDecision(outcome=Outcome.REJECTED, codes=(first,), changes=named)


def _decide_lines(lines: Sequence[RequestedLine], facts: OrderFacts) -> tuple[DecidedLine, ...]:
    """Price every line and promise stock in the order of the lines: the same product twice shares what there is."""
    remaining = dict(facts.available)
    digits = minor_digits(facts.currency)
    decided = []
    for line in lines:
        entry = resolve_price(facts.entries[line.product_id], facts.price_lists, line.quantity)
        assert entry is not None
        allocated = min(line.quantity, max(0, remaining.get(line.product_id, 0)))
        remaining[line.product_id] = remaining.get(line.product_id, 0) - allocated
        decided.append(
            DecidedLine(
                line_id=line.line_id,
                product_id=line.product_id,
                quantity=line.quantity,
                unit_price=entry.unit_price,
                amount_minor=line_amount(entry.unit_price, line.quantity, 0, digits),
                allocated=allocated,
                backordered=line.quantity - allocated,
            )
        )
    return tuple(decided)


def _changes(lines: Sequence[RequestedLine], decided: Sequence[DecidedLine]) -> tuple[Change, ...]:
    changes = []
    for asked, given in zip(lines, decided, strict=True):
        if asked.unit_price != given.unit_price:
            changes.append(Change(code=Code.PRICE_CHANGED, line_id=asked.line_id, before=asked.unit_price, after=given.unit_price))
        if given.backordered:
            changes.append(Change(code=Code.BACKORDERED, line_id=asked.line_id, before=asked.quantity, after=given.backordered))
    return tuple(changes)


def _holds(customer: Customer, total_minor: int) -> list[Code]:
    holds = []
    if customer.status is CustomerStatus.ON_HOLD:
        holds.append(Code.CUSTOMER_ON_HOLD)
    if customer.status is CustomerStatus.PROSPECT:
        holds.append(Code.CUSTOMER_IS_PROSPECT)
    if customer.review_above_minor is not None and total_minor > customer.review_above_minor:
        holds.append(Code.ABOVE_REVIEW_LIMIT)
    return holds
