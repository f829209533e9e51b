"""What the server knows when it decides an order, gathered for the shared rules."""

from collections.abc import Collection, Mapping
from uuid import UUID

import msgspec

from server.inventory.levels import lock_available
from server.pricing.gathering import gathered
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.customers import Customer
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.engine import price_basket
from sync_protocol.rules.pricing.explanation import BasketPrice
from sync_protocol.rules.pricing.facts import gather_facts
from sync_protocol.rules.pricing.terms import Terms, gather_terms


class Selling(msgspec.Struct, frozen=True):
    """On which terms a customer buys, and from where it is served."""

    terms: Terms
    stock_location_id: UUID | None

    @property
    def customer(self) -> Customer:
        return self.terms.customer

    def at(self, stock_location_id: UUID | None) -> "Selling":
        """The same, served from another location."""
        return msgspec.structs.replace(self, stock_location_id=stock_location_id)


async def selling_to(work: UnitOfWork, customer: Customer) -> Selling:
    """The terms of a customer now, to be used up."""
    return selling_on(await gathered(work, gather_terms(customer), lock=True))


def selling_on(terms: Terms) -> Selling:
    """Selling on these terms, from where the customer's territory is served."""
    return Selling(terms, terms.territory.stock_location_id if terms.territory is not None else None)


async def price_now(work: UnitOfWork, terms: Terms, basket: Basket) -> BasketPrice:
    """What a basket costs by the rows as they stand, of which an order will use some up."""
    return price_basket(basket, await gathered(work, gather_facts(terms, basket), lock=True))


async def available_for(
    work: UnitOfWork, stock_location_id: UUID | None, product_ids: Collection[UUID], own: Mapping[UUID, int] | None = None
) -> dict[UUID, int]:
    """What may be promised of these products, locked. `own` is what the order itself has promised already."""
    available = await lock_available(work, stock_location_id, product_ids)
    for product_id, promised in (own or {}).items():
        available[product_id] = available.get(product_id, 0) + promised
    return available
