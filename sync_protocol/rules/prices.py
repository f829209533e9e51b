"""Which price applies. Zero is a price; an absent entry is not."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sync_protocol.entities.customers import Customer, Territory
from sync_protocol.entities.pricing import PriceEntry, PriceList


def price_list_order(customer: Customer, territory: Territory | None) -> tuple[UUID, ...]:
    """The lists that a customer buys from, nearest first: the customer's own, then its territory's."""
    lists = (customer.price_list_id, territory.price_list_id if territory else None)
    return tuple(dict.fromkeys(each for each in lists if each is not None))


def in_one_currency(lists: Sequence[PriceList]) -> tuple[str, tuple[UUID, ...]]:
    """The currency of the nearest list, and the lists in it: a price in another is no price. No lists, no currency."""
    currency = lists[0].currency if lists else ""
    return currency, tuple(each.id for each in lists if each.currency == currency)


def resolve_price(entries: Iterable[PriceEntry], lists: Sequence[UUID], quantity: int) -> PriceEntry | None:
    """The price of `quantity` base units among one product's entries, or None where there is none.

    The nearest list that has a break within the quantity wins, and on it the deepest break. The id decides between two
    entries of the same break, so that both ends agree whatever the order of the rows.
    """
    reached = [entry for entry in entries if entry.min_quantity <= quantity and entry.price_list_id in lists]
    return min(reached, key=lambda entry: (lists.index(entry.price_list_id), -entry.min_quantity, entry.id.bytes), default=None)


def next_break(entries: Iterable[PriceEntry], current: PriceEntry, quantity: int) -> PriceEntry | None:
    """The nearest deeper break on the same list that is cheaper: «two more reach it»."""
    deeper = [
        entry
        for entry in entries
        if entry.price_list_id == current.price_list_id and entry.min_quantity > quantity and entry.unit_price < current.unit_price
    ]
    return min(deeper, key=lambda entry: (entry.min_quantity, entry.unit_price), default=None)
