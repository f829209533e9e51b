"""Chance for the demo company: everything follows from a seed and an instant, ids included."""

import random
from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from sync_protocol.values import uuid7

T = TypeVar("T")


class Dice:
    """A seeded source of choices and of ids. Two of the same seed and instant say the same for ever."""

    def __init__(self, seed: int, base_ms: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # repeatable on purpose, and no secret is made of it
        self._base_ms = base_ms

    def id(self, at_ms: int | None = None) -> UUID:
        """The next id: a UUIDv7 of `at_ms`, or of the company's first day."""
        return uuid7(self._base_ms if at_ms is None else at_ms, self._random.getrandbits(74))

    def below(self, end: int) -> int:
        """A whole number from 0 up to, not including, `end`."""
        return self._random.randrange(end)

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return self._random.randint(low, high)

    def percent(self, chance: int) -> bool:
        """True in `chance` of a hundred throws."""
        return self._random.randrange(100) < chance

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self._random.randrange(len(choices))]

    def sample(self, choices: Sequence[T], count: int) -> list[T]:
        """So many different ones of `choices`, or all of them where there are fewer."""
        return self._random.sample(choices, min(count, len(choices)))

    def weighted(self, choices: Sequence[T], weights: Sequence[int]) -> T:
        return self._random.choices(choices, weights)[0]
