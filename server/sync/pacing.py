"""Who is hinted at when: at once where a change concerns few, one group after another where it concerns everybody.

A device that is hinted at pulls. Were all told of a new catalogue in the same moment, all would pull in the same moment.
"""

import asyncio
import random
from collections.abc import Iterable
from typing import Final, Protocol

AT_ONCE_MAX: Final = 20
"""So many are told at once, and so many together where there are more."""
HINTS_PER_SECOND: Final = 100
"""About half of what a process on one core answers of pulls with a changed row."""


class Hinted(Protocol):
    """One who can be told something; what it has not read yet is replaced."""

    def hint(self, event: bytes, /) -> None: ...


class Pace:
    """Passes hints on. Each has one hint waiting at most, the newest, at the place in the queue that its first one had."""

    def __init__(self) -> None:
        self._waiting: dict[Hinted, bytes] = {}
        self._wake = asyncio.Event()

    def hint(self, concerned: Iterable[Hinted], event: bytes) -> None:
        """Tell those concerned: now where they are few, else in turn, in an order that is another one each time."""
        told = list(concerned)
        if len(told) <= AT_ONCE_MAX:
            for each in told:
                self._waiting.pop(each, None)
                each.hint(event)
            return
        random.shuffle(told)
        self._waiting.update(dict.fromkeys(told, event))
        self._wake.set()

    def forget(self, gone: Hinted) -> None:
        """It listens no more."""
        self._waiting.pop(gone, None)

    async def run(self) -> None:
        """Pass on what waits, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                for each in list(self._waiting)[:AT_ONCE_MAX]:
                    each.hint(self._waiting.pop(each))
                await asyncio.sleep(AT_ONCE_MAX / HINTS_PER_SECOND)
