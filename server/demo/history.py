"""Two years of orders of the demo company: each customer buys its own range again and again, with the seasons."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from server.demo.accounts import Account, Accounts
from server.demo.catalogue import Article, Catalogue
from server.demo.past_prices import price_list_order, resolve_price
from server.demo.seeds import Dice
from sync_protocol.entities.catalog import ProductStatus
from sync_protocol.entities.customers import CustomerStatus
from sync_protocol.entities.inventory import StockLevel
from sync_protocol.entities.orders import Channel, Order, OrderLine, OrderStatus
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.rules.pricing.amounts import gross_amount
from sync_protocol.values import BASIS_POINTS, minor_digits
from sync_protocol.verdicts import Code

HISTORY_DAYS: Final = 730
ORDERS: Final = 10_600

_DAY_MS: Final = 86_400_000
_MINUTE_MS: Final = 60_000
_OPEN_DAYS: Final = 6
_FIRST_NUMBER: Final = 104_001
_MONTH_WEIGHTS: Final = (118, 108, 104, 92, 84, 80, 66, 72, 104, 122, 126, 96)
"""Heating is sold in autumn, little is in the building holidays; by month, 100 is an average one."""

_WEEKDAY_WEIGHTS: Final = (130, 118, 112, 108, 96, 14, 0)
_PRICE_RISE_BASIS_POINTS: Final = 350
_CANCEL_REASONS: Final = ("Ordered twice", "Building site postponed", "Customer found it elsewhere", "Wrong article")


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What was ordered, oldest first, and what is in stock after it."""

    orders: tuple[Order, ...]
    lines: tuple[OrderLine, ...]
    levels: tuple[StockLevel, ...]


class _Buyer(NamedTuple):
    account: Account
    rep_id: UUID
    basket: tuple[Article, ...]
    lists: tuple[UUID, ...]
    currency: str


def make_history(dice: Dice, catalogue: Catalogue, accounts: Accounts, *, as_of_ms: int) -> History:
    """Orders of the two years before `as_of_ms`, a midnight, and the stock that is left."""
    entries = _by_product(catalogue.price_entries)
    buyers = [_buyer(dice, account, catalogue, accounts, entries) for account in accounts.accounts]
    sizes = [buyer.account.size if buyer.account.customer.status is not CustomerStatus.CLOSED else 0 for buyer in buyers]
    on_hand = {
        (article.product.id, location.id): _stocked(dice, article)
        for article in catalogue.articles
        for location in accounts.stock_locations
    }
    allocated: dict[tuple[UUID, UUID], int] = {}
    orders: list[Order] = []
    lines: list[OrderLine] = []
    for number, captured_at_ms in enumerate(_instants(dice, as_of_ms), start=_FIRST_NUMBER):
        order, its_lines = _order(
            dice, dice.weighted(buyers, sizes), entries, number=f"SO-{number}", captured_at_ms=captured_at_ms, as_of_ms=as_of_ms
        )
        if order.status is OrderStatus.CONFIRMED:
            its_lines = [_promised(line, order, on_hand, allocated) for line in its_lines]
        orders.append(order)
        lines += its_lines
    levels = tuple(
        StockLevel(
            id=dice.id(),
            product_id=product_id,
            stock_location_id=location_id,
            on_hand=count,
            allocated=allocated.get((product_id, location_id), 0),
            as_of_ms=as_of_ms,
        )
        for (product_id, location_id), count in on_hand.items()
    )
    return History(orders=tuple(orders), lines=tuple(lines), levels=levels)


def _by_product(entries: Sequence[PriceEntry]) -> dict[UUID, list[PriceEntry]]:
    by_product: dict[UUID, list[PriceEntry]] = {}
    for entry in entries:
        by_product.setdefault(entry.product_id, []).append(entry)
    return by_product


def _buyer(
    dice: Dice, account: Account, catalogue: Catalogue, accounts: Accounts, entries: Mapping[UUID, Sequence[PriceEntry]]
) -> _Buyer:
    lists = price_list_order(account.customer, account.territory)
    reps = [rep_id for rep_id, territory_id in accounts.rep_territories if territory_id == account.territory.id]
    # A customer keeps to a few families, so its baskets repeat: a run of neighbours here and there in the catalogue.
    basket: list[Article] = []
    for _ in range(4 + account.size):
        start = dice.below(len(catalogue.articles) - 12)
        basket += dice.sample(catalogue.articles[start : start + 12], dice.between(2, 5))
    currency = next(each.currency for each in catalogue.price_lists if each.id == lists[0])
    priced = {article.product.id: article for article in basket if resolve_price(entries[article.product.id], lists, 1)}
    kept = tuple(article for article in priced.values() if article.product.status is ProductStatus.ACTIVE)
    return _Buyer(account, dice.pick(reps), kept, lists, currency)


def _stocked(dice: Dice, article: Article) -> int:
    """Much of what is small and cheap, little of what is large, and now and then none."""
    if dice.percent(4):
        return 0
    typical = 400 if article.pack >= 20 else 120 if article.pack > 1 else 25 if article.unit_price < 3_000_000 else 6
    return typical * dice.between(30, 240) // 100


def _instants(dice: Dice, as_of_ms: int) -> list[int]:
    """When the orders were captured: so many in each month and on each weekday as the trade is used to, in office hours."""
    days = range(as_of_ms // _DAY_MS - HISTORY_DAYS, as_of_ms // _DAY_MS)
    # 1970-01-01 was a Thursday; a twelfth of a year is near enough to a month for a season.
    weights = [_WEEKDAY_WEIGHTS[(day + 3) % 7] * _MONTH_WEIGHTS[day * 400 % 146_097 * 12 // 146_097] for day in days]
    chosen = sorted(dice.weighted(days, weights) for _ in range(ORDERS))
    return sorted(day * _DAY_MS + dice.between(6 * 60, 17 * 60) * _MINUTE_MS + dice.below(_MINUTE_MS) for day in chosen)


def _order(
    dice: Dice, buyer: _Buyer, entries: Mapping[UUID, Sequence[PriceEntry]], *, number: str, captured_at_ms: int, as_of_ms: int
) -> tuple[Order, list[OrderLine]]:
    customer, territory = buyer.account.customer, buyer.account.territory
    channel = dice.weighted((Channel.REP, Channel.ONLINE, Channel.BUYER), (58, 27, 15))
    order_id = dice.id(captured_at_ms)
    chosen = dice.sample(buyer.basket, dice.weighted(range(1, 11), (8, 12, 15, 16, 14, 12, 9, 6, 4, 4)))
    lines = [
        _line(dice, buyer, article, entries, order_id=order_id, line_number=place, captured_at_ms=captured_at_ms, as_of_ms=as_of_ms)
        for place, article in enumerate(chosen, start=1)
    ]
    total = sum(line.amount_minor for line in lines)
    status, hold_code, reason = _fate(dice, buyer, total, age_days=(as_of_ms - captured_at_ms) // _DAY_MS)
    delay_ms = dice.between(20, 300) * _MINUTE_MS if channel is Channel.REP else dice.between(1, 20) * 1_000
    order = Order(
        id=order_id,
        number=number,
        customer_id=customer.id,
        status=status,
        channel=channel,
        currency=buyer.currency,
        captured_at_ms=captured_at_ms,
        time_zone=territory.time_zone,
        received_at_ms=captured_at_ms + delay_ms,
        subtotal_minor=total,
        tax_minor=0,
        freight_minor=0,
        total_minor=total,
        rep_id=buyer.rep_id if channel is Channel.REP else None,
        address_id=dice.pick(buyer.account.addresses).id,
        stock_location_id=territory.stock_location_id,
        purchase_order_number=f"PO{dice.between(1000, 99999)}" if dice.percent(35) else "",
        hold_code=hold_code,
        reason=reason,
    )
    return order, lines


def _line(
    dice: Dice,
    buyer: _Buyer,
    article: Article,
    entries: Mapping[UUID, Sequence[PriceEntry]],
    *,
    order_id: UUID,
    line_number: int,
    captured_at_ms: int,
    as_of_ms: int,
) -> OrderLine:
    quantity = dice.between(1, 2 + buyer.account.size) if article.pack > 1 else dice.weighted((1, 2, 3, 4, 6), (50, 24, 10, 8, 8))
    if article.pack > 1 and dice.percent(70):
        quantity *= article.pack
    entry = resolve_price(entries[article.product.id], buyer.lists, quantity)
    assert entry is not None
    years_ago = (as_of_ms - captured_at_ms) // (365 * _DAY_MS)
    unit_price = entry.unit_price * (BASIS_POINTS - years_ago * _PRICE_RISE_BASIS_POINTS) // BASIS_POINTS
    return OrderLine(
        id=dice.id(captured_at_ms),
        order_id=order_id,
        customer_id=buyer.account.customer.id,
        line_number=line_number,
        product_id=article.product.id,
        quantity=quantity,
        unit_price=unit_price,
        discount_basis_points=0,
        amount_minor=gross_amount(unit_price, 1, quantity, minor_digits(buyer.currency)),
    )


def _fate(dice: Dice, buyer: _Buyer, total_minor: int, *, age_days: int) -> tuple[OrderStatus, str | None, str]:
    """What became of an order by now: status, why it is held, and why it was decided. A recent one may still be open."""
    if age_days > _OPEN_DAYS:
        if dice.percent(2):
            return OrderStatus.CANCELLED, None, dice.pick(_CANCEL_REASONS)
        return OrderStatus.COMPLETED, None, ""
    customer = buyer.account.customer
    if customer.status is CustomerStatus.ON_HOLD:
        return OrderStatus.HELD, Code.CUSTOMER_ON_HOLD, ""
    if customer.review_above_minor is not None and total_minor > customer.review_above_minor:
        return OrderStatus.HELD, Code.ABOVE_REVIEW_LIMIT, ""
    return OrderStatus.CONFIRMED, None, ""


def _promised(
    line: OrderLine, order: Order, on_hand: Mapping[tuple[UUID, UUID], int], allocated: dict[tuple[UUID, UUID], int]
) -> OrderLine:
    """The line of an open order with the stock that is promised to it, and the rest backordered."""
    assert order.stock_location_id is not None
    place = (line.product_id, order.stock_location_id)
    given = min(line.quantity, on_hand[place] - allocated.get(place, 0))
    allocated[place] = allocated.get(place, 0) + given
    return msgspec.structs.replace(line, allocated=given, backordered=line.quantity - given)
