"""What the intents of a push will ask for, read at once. Only an optimisation: what is not foreseen is read when it is needed.

It takes every lock that they need in one order, orders by id, what is used up of agreements and offers, and then stock by
product, so that two pushes wait for each other in turn and never in a ring.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from server.identity.numbers import prefix_of
from server.inventory.levels import lock_levels
from server.orders.facts import Selling, selling_on
from server.pricing.consumption import lock_agreed
from server.pricing.gathering import gathered_together
from server.quotes.steps import lines_of
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.customers import Address, Contact, Customer
from sync_protocol.entities.orders import Channel, NumberSeries, Order, OrderLine, OrderPromotion
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine
from sync_protocol.intents import (
    AcceptQuote,
    AmendOrder,
    AnyIntent,
    CancelOrder,
    CounterQuote,
    CreateCustomer,
    RequestQuote,
    SubmitOrder,
    WithdrawQuote,
)
from sync_protocol.rules.order_review import basket_lines
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.facts import gather_facts
from sync_protocol.rules.pricing.terms import gather_terms


async def foresee(work: UnitOfWork, asked: Sequence[AnyIntent], number_prefix: str, now_ms: int) -> None:
    """Read what deciding these intents of one device will ask for, and lock what it will change."""
    created = [each for each in asked if isinstance(each, CreateCustomer)]
    submitted = [each for each in asked if isinstance(each, SubmitOrder)]
    changed = [each for each in asked if isinstance(each, AmendOrder | CancelOrder)]
    made = {each.order_id for each in submitted}
    orders = await _orders(work, changed, made)
    quotes = await _quotes(work, asked)
    await _identifiers(work, created, submitted, changed)
    numbers = [number for each in submitted for number in (each.number, f"{number_prefix}-{each.number}")]
    await work.load_by(Order, ("number",), [(number,) for number in numbers])
    await work.load_by(NumberSeries, ("prefix",), [(prefix_of(each.number),) for each in submitted])
    places: dict[UUID, tuple[UUID, UUID | None]] = {each.order_id: (each.customer_id, None) for each in submitted}
    places |= {each.id: (each.customer_id, each.stock_location_id) for each in orders}
    asking = [each for each in (*submitted, *changed) if not isinstance(each, CancelOrder) and each.order_id in places]
    await _used_up(work, orders)
    await _agreed(work, asking, orders, quotes, places)
    sellings = await _sellings(work, {customer_id for customer_id, _ in places.values()})
    await _prices(work, [(each, places[each.order_id][0]) for each in asking], sellings, now_ms)
    await _stock(work, asking, orders, places, sellings)


Places = Mapping[UUID, tuple[UUID, UUID | None]]
"""Of each order its customer, and from where it is served; None where it is from where its customer is."""


async def _orders(work: UnitOfWork, changed: Sequence[AmendOrder | CancelOrder], made: set[UUID]) -> list[Order]:
    """The orders that are to change, locked, with their lines."""
    identifiers = sorted({each.order_id for each in changed}, key=lambda each: each.bytes)
    await work.load(Order, identifiers, lock=True)
    await work.load_by(OrderLine, ("order_id",), [(each,) for each in identifiers], lock=True)
    await work.load(Order, made)
    return [order for each in identifiers if (order := await work.get(Order, each)) is not None]


async def _quotes(work: UnitOfWork, asked: Sequence[AnyIntent]) -> list[NegotiatedQuote]:
    """The quotes that are to change, and those of the orders that are to be cancelled, locked; with their lines."""
    requested = [each for each in asked if isinstance(each, RequestQuote)]
    await work.load(Customer, [each.customer_id for each in requested])
    await work.load(NegotiatedQuote, [each.quote_id for each in requested])
    await work.load_by(NegotiatedQuote, ("number",), [(each.number,) for each in requested])
    stepped = {each.quote_id for each in asked if isinstance(each, CounterQuote | AcceptQuote | WithdrawQuote)}
    stepped |= {each.quote_id for each in asked if isinstance(each, SubmitOrder) and each.quote_id is not None}
    cancelled = [(each.order_id,) for each in asked if isinstance(each, CancelOrder)]
    stepped |= {each.id for each in await work.find_all(NegotiatedQuote, ("order_id",), cancelled)}
    identifiers = sorted(stepped, key=lambda each: each.bytes)
    await work.load(NegotiatedQuote, identifiers, lock=True)
    await work.load_by(NegotiatedQuoteLine, ("quote_id",), [(each,) for each in identifiers], lock=True)
    return [quote for each in identifiers if (quote := await work.get(NegotiatedQuote, each)) is not None]


async def _identifiers(
    work: UnitOfWork,
    created: Sequence[CreateCustomer],
    submitted: Sequence[SubmitOrder],
    changed: Sequence[AmendOrder | CancelOrder],
) -> None:
    """What is referred to by its id, and whether what is to be made is new."""
    await work.load(Customer, [*(each.customer_id for each in created), *(each.customer_id for each in submitted)])
    addresses = [each.address_id for each in submitted if each.address_id is not None]
    await work.load(Address, [*addresses, *(each.address_id for each in created)])
    await work.load(Contact, [each.contact_id for each in created])
    lines = [each.lines for each in submitted] + [each.lines for each in changed if isinstance(each, AmendOrder)]
    await work.load(OrderLine, [line.line_id for some in lines for line in some])


async def _used_up(work: UnitOfWork, orders: Sequence[Order]) -> None:
    """What the orders that are to change were given of offers, locked."""
    await work.load_by(OrderPromotion, ("order_id",), [(order.id,) for order in orders], lock=True)


async def _agreed(
    work: UnitOfWork,
    asking: Sequence[SubmitOrder | AmendOrder],
    orders: Sequence[Order],
    quotes: Sequence[NegotiatedQuote],
    places: Places,
) -> None:
    """All that was agreed on about what is asked for, was ordered or is negotiated: in one statement, so in one order."""
    sold = {(places[each.order_id][0], line.product_id) for each in asking for line in each.lines}
    for order in orders:
        sold |= {(order.customer_id, line.product_id) for line in await work.find(OrderLine, lock=True, order_id=order.id)}
    for quote in quotes:
        sold |= {(quote.customer_id, line.product_id) for line in await lines_of(work, quote)}
    await lock_agreed(work, sold)


async def _sellings(work: UnitOfWork, customer_ids: set[UUID]) -> dict[UUID, Selling]:
    """On which terms the customers that are there buy."""
    await work.load(Customer, customer_ids)
    customers = [customer for each in sorted(customer_ids) if (customer := await work.get(Customer, each)) is not None]
    terms = await gathered_together(work, [gather_terms(customer) for customer in customers], lock=True)
    return {each.customer.id: selling_on(each) for each in terms}


async def _prices(
    work: UnitOfWork, asking: Sequence[tuple[SubmitOrder | AmendOrder, UUID]], sellings: Mapping[UUID, Selling], now_ms: int
) -> None:
    """What the prices of all that customers ask for are made of."""
    gatherings = []
    for each, customer_id in asking:
        if customer_id in sellings:
            lines = basket_lines(each.lines)
            basket = Basket(customer_id=customer_id, channel=Channel.REP, instant_ms=now_ms, lines=lines)
            gatherings.append(gather_facts(sellings[customer_id].terms, basket))
    await gathered_together(work, gatherings, lock=True)


async def _stock(
    work: UnitOfWork,
    asking: Sequence[SubmitOrder | AmendOrder],
    orders: Sequence[Order],
    places: Places,
    sellings: Mapping[UUID, Selling],
) -> None:
    """The stock of what is wanted, and of what orders have promised."""
    products = {each.order_id: {line.product_id for line in each.lines} for each in asking}
    for order in orders:
        promised = {line.product_id for line in await work.find(OrderLine, order_id=order.id)}
        products.setdefault(order.id, set()).update(promised)
    stock: set[tuple[UUID, UUID]] = set()
    for order_id, wanted in products.items():
        customer_id, location_id = places[order_id]
        if location_id is None and customer_id in sellings:
            location_id = sellings[customer_id].stock_location_id
        if location_id is not None:
            stock.update((product_id, location_id) for product_id in wanted)
    await lock_levels(work, stock)
