"""What becomes of an order: the one decision that the server takes and the device foretells.

The price and the facts are handed in, so the same inputs give the same decision on both ends. A device's facts may be older than
the server's; its decision is a quotation.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final
from uuid import UUID

import msgspec

from sync_protocol.entities.customers import Customer, CustomerStatus
from sync_protocol.intents import QuotedGift, RequestedLine
from sync_protocol.rules.pricing.basket import BasketLine
from sync_protocol.rules.pricing.explanation import BasketPrice, LinePrice, Obstacle, PriceHold
from sync_protocol.rules.pricing.quantities import nearest_quantities
from sync_protocol.verdicts import PRECEDENCE, Change, Code, Outcome

ORDER_TOTAL_MINOR_MAX: Final = 10**15

_REFUSED_FOR: Final = {
    Obstacle.UNKNOWN_PRODUCT: Code.UNKNOWN_PRODUCT,
    Obstacle.PRODUCT_DISCONTINUED: Code.PRODUCT_DISCONTINUED,
    Obstacle.NOT_IN_PACKS: Code.QUANTITY_NOT_SOLD,
    Obstacle.QUANTITY_NOT_SOLD: Code.QUANTITY_NOT_SOLD,
}
"""Every other obstacle of a line is that it has no price."""
_HELD_FOR: Final = {
    PriceHold.MANUAL_PRICE_ABOVE_LIMIT: Code.MANUAL_PRICE_ABOVE_LIMIT,
    PriceHold.BELOW_FLOOR: Code.BELOW_FLOOR,
}
NONE_HONOURED: Final[Mapping[UUID, LinePrice]] = MappingProxyType({})


class OrderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one end knows when it decides, beside the price.

    `available` are base units that may be promised, by product; negative counts as none. `honoured` are the lines whose quotation
    holds though they would cost something else now, with what that is; of `to_approve` a manager decides whether it does.
    """

    customer: Customer
    available: Mapping[UUID, int]
    honoured: Mapping[UUID, LinePrice] = NONE_HONOURED
    to_approve: bool = False


class DecidedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line as the order will hold it: its price, what is promised from stock and what waits for it, and what was quoted."""

    price: LinePrice
    allocated: int
    backordered: int
    quoted: RequestedLine | None = None


class OrderDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome with its codes in order of precedence; no lines where it is rejected. Gifts are the last lines."""

    outcome: Outcome
    price: BasketPrice
    codes: tuple[Code, ...] = ()
    changes: tuple[Change, ...] = ()
    lines: tuple[DecidedLine, ...] = ()

    @property
    def total_minor(self) -> int:
        """What it comes to in all; 0 where it is rejected."""
        return self.price.total_minor if self.outcome is not Outcome.REJECTED else 0

    @property
    def hold_code(self) -> Code | None:
        """The first reason to hold, where the order is held."""
        return self.codes[0] if self.outcome is Outcome.HELD else None


def basket_lines(lines: Sequence[RequestedLine]) -> tuple[BasketLine, ...]:
    """The lines of an order as they are priced."""
    return tuple(
        BasketLine(
            line_id=line.line_id,
            product_id=line.product_id,
            quantity=line.quantity,
            pack_quantity=line.pack_quantity,
            manual=line.manual,
        )
        for line in lines
    )


def review_order(
    lines: Sequence[RequestedLine], gifts: Sequence[QuotedGift], price: BasketPrice, facts: OrderFacts
) -> OrderDecision:
    """Decide an order of these lines at a price: reject it, hold it, or accept it, saying line by line what changes."""
    obstacles = [obstacle for line in price.lines if (obstacle := _obstacle(line))]
    if facts.customer.status is CustomerStatus.CLOSED:
        obstacles.append(Change(code=Code.CUSTOMER_CLOSED))
    if price.obstacle is Obstacle.CURRENCY_DIFFERS:
        obstacles.append(Change(code=Code.CURRENCY_DIFFERS, before=price.currency, after=price.nearest_currency))
    if price.order_minimum_gap is not None:
        minimum = price.goods_minor + (price.order_minimum_gap.missing_minor or 0)
        obstacles.append(Change(code=Code.ORDER_BELOW_MINIMUM, before=price.goods_minor, after=minimum))
    if not obstacles and not -ORDER_TOTAL_MINOR_MAX <= price.total_minor <= ORDER_TOTAL_MINOR_MAX:
        obstacles.append(Change(code=Code.TOTAL_TOO_LARGE))
    if obstacles:
        return _rejection(obstacles, price)
    decided = _promise(lines, price, facts)
    changes = (*_changes(decided, facts), *_gift_changes(gifts, price))
    holds = _holds(price, facts)
    codes = in_precedence({*holds, *(change.code for change in changes)})
    outcome = Outcome.HELD if holds else Outcome.ACCEPTED_WITH_CHANGES if changes else Outcome.ACCEPTED
    return OrderDecision(outcome=outcome, price=price, codes=codes, changes=changes, lines=decided)


def routed(decision: OrderDecision) -> OrderDecision:
    """The same, held for the rep whom the customer was handed over to. A rejection stays one."""
    if decision.outcome is Outcome.REJECTED:
        return decision
    return msgspec.structs.replace(decision, outcome=Outcome.HELD, codes=in_precedence({*decision.codes, Code.ROUTED}))


def in_precedence(codes: set[Code]) -> tuple[Code, ...]:
    """Codes in order of precedence."""
    return tuple(sorted(codes, key=PRECEDENCE.__getitem__))


def _obstacle(line: LinePrice) -> Change | None:
    if line.obstacle is None:
        return None
    code = _REFUSED_FOR.get(line.obstacle, Code.NO_PRICE)
    if code is Code.QUANTITY_NOT_SOLD:
        return Change(code=code, line_id=line.line_id, before=line.quantity, after=nearest_quantity(line))
    return Change(code=code, line_id=line.line_id, after=str(line.obstacle) if code is Code.NO_PRICE else None)


def nearest_quantity(line: LinePrice) -> int | None:
    """The nearest quantity that the line could be bought in, the larger one first; None where there is none."""
    return next(reversed(nearest_quantities(line)), None)


def _rejection(obstacles: Sequence[Change], price: BasketPrice) -> OrderDecision:
    """A rejection by the first code in precedence, with every place where that code applies."""
    first = min((obstacle.code for obstacle in obstacles), key=PRECEDENCE.__getitem__)
    named = tuple(obstacle for obstacle in obstacles if obstacle.code is first)
    return OrderDecision(outcome=Outcome.REJECTED, price=price, codes=(first,), changes=named)


def _promise(lines: Sequence[RequestedLine], price: BasketPrice, facts: OrderFacts) -> tuple[DecidedLine, ...]:
    """Promise stock in the order of the lines, gifts last: the same product twice shares what there is."""
    remaining = dict(facts.available)
    quoted = {line.line_id: line for line in lines}
    decided = []
    for line in (*price.lines, *price.gifts):
        free = max(0, remaining.get(line.product_id, 0))
        allocated = min(line.quantity, free)
        remaining[line.product_id] = free - allocated
        decided.append(
            DecidedLine(
                price=line,
                allocated=allocated,
                backordered=line.quantity - allocated,
                quoted=quoted.get(line.line_id),
            )
        )
    return tuple(decided)


def _changes(decided: Sequence[DecidedLine], facts: OrderFacts) -> list[Change]:
    changes = []
    for line in decided:
        if line.quoted is not None:
            changes += _price_changes(line.quoted, line.price)
        now = facts.honoured.get(line.price.line_id)
        if now is not None:
            changes.append(_change(Code.PRICE_HONOURED, line.price, now.amount_minor, line.price.amount_minor))
        if line.backordered:
            changes.append(_change(Code.BACKORDERED, line.price, line.price.quantity, line.backordered))
    return changes


def _change(code: Code, line: LinePrice, before: int, after: int) -> Change:
    return Change(code=code, line_id=line.line_id, before=before, after=after)


def _price_changes(asked: RequestedLine, given: LinePrice) -> list[Change]:
    """How a price differs from what was quoted: in the unit price, or else in what the line comes to, or else in its tax."""
    assert given.unit_price is not None, "what has no price is rejected"
    if (asked.unit_price, asked.per_quantity) != (given.unit_price, given.per_quantity):
        return [_change(Code.PRICE_CHANGED, given, asked.unit_price, given.unit_price)]
    if asked.amount_minor is None:
        return []
    if asked.amount_minor != given.amount_minor:
        return [_change(Code.AMOUNT_CHANGED, given, asked.amount_minor, given.amount_minor)]
    return [_change(Code.TAX_CHANGED, given, asked.tax_minor, given.tax_minor)] if asked.tax_minor != given.tax_minor else []


def _gift_changes(quoted: Sequence[QuotedGift], price: BasketPrice) -> list[Change]:
    before = {(gift.line_id, gift.product_id): gift.quantity for gift in quoted}
    after = {(gift.line_id, gift.product_id): gift.quantity for gift in price.gifts}
    return [
        Change(code=Code.GIFTS_CHANGED, line_id=key[0], before=before.get(key, 0), after=after.get(key, 0))
        for key in sorted({*before, *after}, key=lambda each: (each[0].bytes, each[1].bytes))
        if before.get(key) != after.get(key)
    ]


def _holds(price: BasketPrice, facts: OrderFacts) -> set[Code]:
    holds = {_HELD_FOR[hold] for line in price.lines for hold in line.holds}
    if facts.customer.status is CustomerStatus.ON_HOLD:
        holds.add(Code.CUSTOMER_ON_HOLD)
    if facts.customer.status is CustomerStatus.PROSPECT:
        holds.add(Code.CUSTOMER_IS_PROSPECT)
    limit = facts.customer.review_above_minor
    if limit is not None and price.total_minor > limit:
        holds.add(Code.ABOVE_REVIEW_LIMIT)
    if facts.to_approve:
        holds.add(Code.PRICE_TO_APPROVE)
    return holds
