"""What the server knows when it decides an order, gathered for the shared rules."""

from collections.abc import Collection, Mapping
from uuid import UUID

import msgspec

from server.inventory.levels import lock_available
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer, Territory
from sync_protocol.entities.pricing import PriceEntry, PriceList
from sync_protocol.rules.order_review import OrderFacts
from sync_protocol.rules.prices import in_one_currency, price_list_order


class Terms(msgspec.Struct, frozen=True):
    """On which terms a customer buys: the lists, nearest first, their currency, and from where it is served."""

    customer: Customer
    price_lists: tuple[UUID, ...]
    currency: str
    stock_location_id: UUID | None

    def at(self, stock_location_id: UUID | None) -> "Terms":
        """The same, served from another location."""
        return msgspec.structs.replace(self, stock_location_id=stock_location_id)


async def terms_of(work: UnitOfWork, customer: Customer) -> Terms:
    """The terms of a customer now; a customer without any list has no currency and no prices."""
    territory = await work.get(Territory, customer.territory_id) if customer.territory_id else None
    found = [await work.get(PriceList, each) for each in price_list_order(customer, territory)]
    currency, lists = in_one_currency([each for each in found if each is not None])
    return Terms(customer, lists, currency, territory.stock_location_id if territory else None)


async def gather_facts(
    work: UnitOfWork, terms: Terms, product_ids: Collection[UUID], own: Mapping[UUID, int] | None = None
) -> OrderFacts:
    """The facts about these products, their stock locked. `own` is what the order itself has promised already."""
    await work.load(Product, product_ids)
    products = {product_id: product for product_id in product_ids if (product := await work.get(Product, product_id))}
    prices = [(each, product_id) for product_id in product_ids for each in terms.price_lists]
    entries: dict[UUID, list[PriceEntry]] = {product_id: [] for product_id in product_ids}
    for entry in await work.find_all(PriceEntry, ("price_list_id", "product_id"), prices):
        entries[entry.product_id].append(entry)
    available = await lock_available(work, terms.stock_location_id, product_ids)
    for product_id, promised in (own or {}).items():
        available[product_id] = available.get(product_id, 0) + promised
    return OrderFacts(
        customer=terms.customer,
        currency=terms.currency,
        price_lists=terms.price_lists,
        products=products,
        entries=entries,
        available=available,
    )
