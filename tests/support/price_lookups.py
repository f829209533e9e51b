"""Rows of a whole company in memory, looked up as plainly as can be."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sync_protocol.entities.customers import Customer
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.engine import price_basket
from sync_protocol.rules.pricing.explanation import BasketPrice
from sync_protocol.rules.pricing.facts import gather_facts
from sync_protocol.rules.pricing.terms import Lookup, gather_terms, gathered
from sync_protocol.values import Row

Book = Mapping[type[Row], Sequence[Row]]


def look_up_in(book: Book) -> Callable[[Lookup], Sequence[Any]]:
    """Answers look-ups from a book."""

    def look_up(lookup: Lookup) -> Sequence[Any]:
        rows = book.get(lookup.row, ())
        if not lookup.columns:
            return rows
        keys = set(lookup.keys)
        return [row for row in rows if tuple(getattr(row, column) for column in lookup.columns) in keys]

    return look_up


def indexed_look_up(book: Book) -> Callable[[Lookup], Sequence[Any]]:
    """Answers look-ups from a book that is too large to be read through for each."""
    indexes: dict[tuple[type[Row], tuple[str, ...]], dict[tuple[Any, ...], list[Row]]] = {}

    def look_up(lookup: Lookup) -> Sequence[Any]:
        rows = book.get(lookup.row, ())
        if not lookup.columns:
            return rows
        of_columns = lookup.row, lookup.columns
        if of_columns not in indexes:
            index = indexes[of_columns] = {}
            for row in rows:
                index.setdefault(tuple(getattr(row, column) for column in lookup.columns), []).append(row)
        return [row for key in lookup.keys for row in indexes[of_columns].get(key, ())]

    return look_up


def price_in(book: Book, basket: Basket) -> BasketPrice:
    """What a basket costs by a book, which has its customer."""
    (customer,) = (row for row in book[Customer] if row.id == basket.customer_id)
    assert isinstance(customer, Customer)
    look_up = look_up_in(book)
    terms = gathered(gather_terms(customer), look_up)
    return price_basket(basket, gathered(gather_facts(terms, basket), look_up))
