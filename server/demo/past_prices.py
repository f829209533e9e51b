"""How the demo company priced its history, before it had offers: the nearest list, the deepest break."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sync_protocol.entities.customers import Customer, Territory
from sync_protocol.entities.pricing import PriceEntry


def price_list_order(customer: Customer, territory: Territory | None) -> tuple[UUID, ...]:
    """The lists that a customer buys from, nearest first: the customer's own, then its territory's."""
    lists = (customer.price_list_id, territory.price_list_id if territory else None)
    return tuple(dict.fromkeys(each for each in lists if each is not None))


def resolve_price(entries: Iterable[PriceEntry], lists: Sequence[UUID], quantity: int) -> PriceEntry | None:
    """The price of `quantity` base units among one product's entries, or None where there is none.

    The nearest list that has a break within the quantity wins, and on it the deepest break. The id decides between two
    entries of the same break, so that both ends agree whatever the order of the rows.
    """
    reached = [entry for entry in entries if entry.min_quantity <= quantity and entry.price_list_id in lists]
    return min(reached, key=lambda entry: (lists.index(entry.price_list_id), -entry.min_quantity, entry.id.bytes), default=None)
