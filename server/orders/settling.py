"""Which price an order has: that of now, or the one that its device quoted and could prove (I-8).

The device says by which rows, those of its checkpoint, and at which instant it priced. Where that is not the price of now, the
order is priced anew by just these rows: if every line comes to the digest that the device sent, it had quoted rightly, and the
company's policy says what its word is worth. An instant is believed between the commit of the checkpoint and the receipt of the
order, so that a clock that is years off changes nothing.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from server.changelog.as_of import AsOf, PlaceUnknownError
from server.changelog.log import place_of, read_head
from server.orders.facts import Selling, price_now
from server.pricing.gathering import gathered_from
from server.pricing.honour import Promise, composed, policy_for, promise_of
from server.pricing.honour_policies import honour_policies
from server.runtime.database import ReadSession
from server.runtime.slices import IntentContext
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.pricing import Strength
from sync_protocol.intents import AmendOrder, RequestedLine, SubmitOrder
from sync_protocol.rules.order_review import NONE_HONOURED
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.chain import segments_of
from sync_protocol.rules.pricing.engine import price_for
from sync_protocol.rules.pricing.explanation import BasketPrice, LinePrice, Obstacle
from sync_protocol.rules.proofs import is_proved

_NOT_FOR_SALE = frozenset(
    {Obstacle.UNKNOWN_PRODUCT, Obstacle.PRODUCT_DISCONTINUED, Obstacle.NOT_IN_PACKS, Obstacle.QUANTITY_NOT_SOLD}
)


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The price that an order is decided at, the lines whose quotation holds with what they would come to by now, and whether a
    manager is to decide that.
    """

    price: BasketPrice
    honoured: Mapping[UUID, LinePrice] = NONE_HONOURED
    to_approve: bool = False


async def settle(
    work: UnitOfWork, selling: Selling, basket: Basket, intent: SubmitOrder | AmendOrder, context: IntentContext
) -> Settled:
    """The price of an order, of whose terms some will be used up."""
    now = await price_now(work, selling.terms, basket)
    if intent.priced_at_ms is None or _agree(intent.lines, now):
        return Settled(price=now)
    quoted = await _as_quoted(work.session, selling.customer, basket, intent.priced_at_ms, context)
    if quoted is None or not is_proved(intent.lines, quoted):
        return Settled(price=now)
    policies = await honour_policies(work.session)
    segments = segments_of(selling.terms, basket.instant_ms)
    age_ms = basket.instant_ms - quoted.instant_ms
    same = {line.line_id for line, before in zip(now.lines, quoted.lines, strict=True) if _is_same(line, before)}
    honoured, to_approve = {}, False
    for line, before in zip(now.lines, quoted.lines, strict=True):
        if line.line_id in same or not _is_sold(line):
            continue
        promise = promise_of(policy_for(before, segments, policies), before, line, age_ms)
        if promise is not Promise.RE_PRICE:
            honoured[line.line_id] = line
            to_approve = to_approve or promise is Promise.HOLD
    if not honoured:
        return Settled(price=now)
    keeps_gifts = await _are_sold(work, [gift.product_id for gift in quoted.gifts])
    price = composed(now, quoted, same | honoured.keys(), keeps_gifts=keeps_gifts)
    return Settled(price=price, honoured=honoured, to_approve=to_approve)


def _is_sold(line: LinePrice) -> bool:
    """Whether the product is sold by now in the quantity of a line, at whatever price: a promise is of the price alone."""
    if line.obstacle in _NOT_FOR_SALE:
        return False
    return all(answer.is_kept for answer in line.quantities if answer.strength is Strength.REQUIRED)


async def _are_sold(work: UnitOfWork, product_ids: Sequence[UUID]) -> bool:
    products = [await work.get(Product, each) for each in product_ids]
    return all(each is not None and each.status is not ProductStatus.DISCONTINUED for each in products)


def _agree(asked: Sequence[RequestedLine], now: BasketPrice) -> bool:
    """Whether every line comes to what was quoted, though perhaps by other rules."""
    return all(
        line.obstacle is None
        and (quoted.unit_price, quoted.per_quantity, quoted.amount_minor, quoted.tax_minor)
        == (line.unit_price, line.per_quantity, line.amount_minor, line.tax_minor)
        for quoted, line in zip(asked, now.lines, strict=True)
    )


def _is_same(line: LinePrice, before: LinePrice) -> bool:
    return line.obstacle is None and (line.unit_price, line.amount_minor, line.tax_minor) == (
        before.unit_price,
        before.amount_minor,
        before.tax_minor,
    )


async def _as_quoted(
    session: ReadSession, customer: Customer, basket: Basket, priced_at_ms: int, context: IntentContext
) -> BasketPrice | None:
    """What the device must have come to by the rows of its checkpoint; None where these cannot be told any more."""
    epoch = (await read_head(session)).epoch
    place = await place_of(session, epoch, context.decided_at_cursor)
    if place is None:
        return None
    instant_ms = min(max(priced_at_ms, place.committed_at_ms), basket.instant_ms)
    try:
        rows = await AsOf.of(session, epoch, context.decided_at_cursor)
        then = await rows.find_all(Customer, ("id",), [(customer.id,)])
        known = msgspec.structs.replace(then[0], territory_id=customer.territory_id) if then else customer
        return await gathered_from(rows, price_for(known, msgspec.structs.replace(basket, instant_ms=instant_ms)))
    except PlaceUnknownError:
        return None
