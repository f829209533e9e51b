"""What the intents of a push will ask for, read at once. Only an optimisation: what is not foreseen is read when it is needed.

It takes every lock that they need in one order, orders by id and then stock by product, so that two pushes wait for each
other in turn and never in a ring.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from server.inventory.levels import lock_levels
from server.orders.facts import Terms, terms_of
from server.orders.numbers import prefix_of
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Address, Contact, Customer, Territory
from sync_protocol.entities.orders import NumberSeries, Order, OrderLine
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.intents import AmendOrder, AnyIntent, CancelOrder, CreateCustomer, SubmitOrder
from sync_protocol.rules.prices import price_list_order


async def foresee(work: UnitOfWork, asked: Sequence[AnyIntent], number_prefix: str) -> None:
    """Read what deciding these intents of one device will ask for, and lock what it will change."""
    created = [each for each in asked if isinstance(each, CreateCustomer)]
    submitted = [each for each in asked if isinstance(each, SubmitOrder)]
    changed = [each for each in asked if isinstance(each, AmendOrder | CancelOrder)]
    made = {each.order_id for each in submitted}
    orders = await _orders(work, changed, made)
    await _identifiers(work, created, submitted, changed)
    numbers = [number for each in submitted for number in (each.number, f"{number_prefix}-{each.number}")]
    await work.load_by(Order, ("number",), [(number,) for number in numbers])
    await work.load_by(NumberSeries, ("prefix",), [(prefix_of(each.number),) for each in submitted])
    places: dict[UUID, tuple[UUID, UUID | None]] = {each.order_id: (each.customer_id, None) for each in submitted}
    places |= {each.id: (each.customer_id, each.stock_location_id) for each in orders}
    wanted = [
        _Wanted(*places[each.order_id], {line.product_id for line in each.lines})
        for each in (*submitted, *changed)
        if not isinstance(each, CancelOrder) and each.order_id in places
    ]
    promised = [
        _Wanted(
            order.customer_id, order.stock_location_id, {line.product_id for line in await work.find(OrderLine, order_id=order.id)}
        )
        for order in orders
    ]
    await _facts(work, wanted, promised)


class _Wanted(NamedTuple):
    """Products for a customer, from a location; None where it is that of the customer's territory."""

    customer_id: UUID
    location_id: UUID | None
    product_ids: set[UUID]


async def _orders(work: UnitOfWork, changed: Sequence[AmendOrder | CancelOrder], made: set[UUID]) -> list[Order]:
    """The orders that are to change, locked, with their lines."""
    identifiers = sorted({each.order_id for each in changed}, key=lambda each: each.bytes)
    await work.load(Order, identifiers, lock=True)
    await work.load_by(OrderLine, ("order_id",), [(each,) for each in identifiers], lock=True)
    await work.load(Order, made)
    return [order for each in identifiers if (order := await work.get(Order, each)) is not None]


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


async def _facts(work: UnitOfWork, wanted: Sequence[_Wanted], promised: Sequence[_Wanted]) -> None:
    """Products and prices of what is wanted, and the stock of that and of what orders have promised."""
    terms = await _terms(work, {each.customer_id for each in (*wanted, *promised)})
    wanted = [each for each in wanted if each.customer_id in terms]
    await work.load(Product, {product_id for each in wanted for product_id in each.product_ids})
    prices = {
        (price_list_id, product_id)
        for each in wanted
        for price_list_id in terms[each.customer_id].price_lists
        for product_id in each.product_ids
    }
    await work.load_by(PriceEntry, ("price_list_id", "product_id"), prices)
    stock = {
        (product_id, location_id)
        for each in (*wanted, *promised)
        if (location_id := each.location_id or terms[each.customer_id].stock_location_id) is not None
        for product_id in each.product_ids
    }
    await lock_levels(work, stock)


async def _terms(work: UnitOfWork, customer_ids: set[UUID]) -> dict[UUID, Terms]:
    """The terms of the customers that are there."""
    await work.load(Customer, customer_ids)
    customers = [customer for each in customer_ids if (customer := await work.get(Customer, each)) is not None]
    await work.load(Territory, {each.territory_id for each in customers if each.territory_id is not None})
    lists: set[UUID] = set()
    for customer in customers:
        territory = await work.get(Territory, customer.territory_id) if customer.territory_id is not None else None
        lists.update(price_list_order(customer, territory))
    await work.load(PriceList, lists)
    return {customer.id: await terms_of(work, customer) for customer in customers}
