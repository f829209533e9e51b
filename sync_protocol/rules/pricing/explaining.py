"""All that is looked up to explain what a basket costs, its price and what its rows are called, for whoever has the rows."""

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.pricing import AgreedPrice, PriceList
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.engine import explanation_bytes, price_for
from sync_protocol.rules.pricing.explanation import BasketPrice
from sync_protocol.rules.pricing.table import Names, price_table
from sync_protocol.rules.pricing.terms import Lookup, keys_of
from sync_protocol.values import uuid7


class Explained(NamedTuple):
    """What a basket costs, and what its rows are called."""

    price: BasketPrice
    names: Names

    def text(self, *, as_json: bool) -> str:
        """The table for people, or the canonical JSON (docs/PRICING.md): either is the same on both ends."""
        return explanation_bytes(self.price).decode() if as_json else "\n".join(price_table(self.price, self.names))


def line_id_at(place: int) -> UUID:
    """The id of a line that is only asked about, by its place from 1: the same question has the same answer on both ends."""
    return uuid7(0, place)


def explain(customer: Customer, basket: Basket) -> Generator[Lookup, Sequence[Any], Explained]:
    """What a basket of a customer costs, and why."""
    price = yield from price_for(customer, basket)
    return Explained(price, (yield from gather_names(customer, price)))


def gather_names(customer: Customer, price: BasketPrice) -> Generator[Lookup, Sequence[Any], Names]:
    """What the rows are called that an answer names."""
    products = yield Lookup(Product, ("id",), keys_of(line.product_id for line in (*price.lines, *price.gifts)))
    lists = yield Lookup(PriceList, ("id",), keys_of(each.price_list_id for each in price.lists))
    agreed = keys_of(each.rule_id for line in price.lines for each in line.candidates if each.price_list_id is None)
    agreements = (yield Lookup(AgreedPrice, ("id",), agreed)) if agreed else ()
    return Names(
        customer=f"{customer.name} ({customer.code})",
        products={each.id: f"{each.sku} {each.name}" for each in products},
        codes={each.id: each.code for each in lists} | {each.id: each.reference for each in agreements},
    )
