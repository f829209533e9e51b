"""What small, nasty companies are made of: dice, values that are near each other, and ids of few bits."""

import random
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from sync_protocol.entities.customers import Customer
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.values import Row, uuid7
from tests.support.price_lookups import Book

T = TypeVar("T")
Question = tuple[Book, Basket]

NOW_MS = 1_795_000_000_000
IDS_OF_A_TABLE = 16
UNIT_PRICES = (10_000, 12_500, 5_000, 0, 1, 333_333, 10_050, 99_999, 9_045, 150_000, 20_000, 1_000_000, 10**13)
QUANTITIES = (1, 2, 3, 5, 6, 7, 10, 12, 24, 99, 100, 10_000_000)
BREAKS = (1, 1, 1, 1, 1, 2, 5, 6, 10, 12, 100)
BASIS_POINTS = (1_000, 500, 333, 5_000, 0, 1, 10_000)
AMOUNTS = (100, 1, 500, 0, 1_234, 10_000, 100_000, -5)
CURRENCIES = ("EUR", "JPY", "BHD", "USD")


class Dice:
    """A book in the making, and what a die shows."""

    def __init__(self, generator: random.Random) -> None:
        self.roll = generator.randrange
        self.book: dict[type[Row], list[Row]] = {}
        self.currencies = self.one(*CURRENCIES), self.one(*CURRENCIES)

    def one(self, *choices: T) -> T:
        return choices[self.roll(len(choices))]

    def perhaps(self, value: T, one_in: int = 2) -> T | None:
        return value if self.roll(one_in) == one_in - 1 else None

    def is_rare(self, one_in: int) -> bool:
        return self.roll(one_in) == one_in - 1

    def currency(self) -> str:
        return self.currencies[self.roll(8) // 7]

    def times(self, most: int) -> range:
        return range(self.roll(most + 1))

    def add(self, kind: type[Row], /, **values: Any) -> None:
        """A row under an id of few, so that ids stand in any order; a table of which all ids are taken is full."""
        rows = self.book.setdefault(kind, [])
        number = self.roll(IDS_OF_A_TABLE)
        taken = {row.id for row in rows}
        for step in range(IDS_OF_A_TABLE):
            row_id = identifier(kind, (number + step) % IDS_OF_A_TABLE)
            if row_id not in taken:
                rows.append(kind(id=row_id, **values))
                return

    def id_of(self, kind: type[Row]) -> UUID:
        """The id of a row that there is, or seldom of one that there is not."""
        rows = self.book.get(kind, [])
        return UUID(int=0) if not rows or self.is_rare(24) else self.one(*rows).id

    def validity(self, *, always_in: int = 3) -> dict[str, Any]:
        """Mostly always, else from or until an instant that is near to that of the basket, or is that."""
        if self.roll(always_in) < always_in - 1:
            return {}
        return {
            "valid_from_ms": self.one(0, NOW_MS - 1, NOW_MS, NOW_MS + 1),
            "valid_until_ms": self.one(None, NOW_MS + 1, NOW_MS, NOW_MS - 1),
        }

    def customer_id(self) -> UUID:
        """Nearly always of the customer whose basket it is."""
        rows = self.book[Customer]
        return rows[self.roll(8) // 7].id


@cache
def identifier(kind: type[Row], number: int) -> UUID:
    """An id of a table, never that of another table; its time says nothing, and all of its order is in the number."""
    return uuid7(NOW_MS, (number << 40) + int.from_bytes(kind.__name__.encode()[-5:], "big"))
