"""Tells a sync that is slow from one that stands still. Pure: the time is handed in, as seconds that never go back.

Progress is what can happen only so often before a sync is through, so that nothing can make it for ever and get nowhere:

- a page was staged, a checkpoint was reached, a verdict came, a push was answered, or there was nothing to do;
- bytes of an answer arrived, or rows were staged, that are more than ever came at this place. A page that breaks off at
  the same byte again and again makes progress once.
"""

from collections.abc import Hashable
from typing import Final

INTERVALS_MAX: Final = 3


class Watchdog:
    """Watches one device. It is asleep until `watch`."""

    def __init__(self) -> None:
        self._last_seconds = 0.0
        self._most: dict[Hashable, int] = {}
        self._is_told = False

    def watch(self, now_seconds: float) -> None:
        """Begin to watch, now."""
        self._last_seconds = now_seconds
        self._is_told = False

    def came(self, place: Hashable, amount: int, now_seconds: float) -> None:
        """So much of an answer is here: bytes of a page, or what else can be counted at a place."""
        if amount > self._most.get(place, 0):
            self._most[place] = amount
            self._note(now_seconds)

    def moved(self, now_seconds: float) -> None:
        """Something was done for good; what comes from now on counts from its beginning."""
        self._most.clear()
        self._note(now_seconds)

    def _note(self, now_seconds: float) -> None:
        self._last_seconds = now_seconds
        self._is_told = False

    @property
    def last_seconds(self) -> float:
        """When there was progress last."""
        return self._last_seconds

    def left_seconds(self, now_seconds: float, interval_seconds: float) -> float:
        """How long until standing still is a stall; 0 where it is one."""
        return max(0.0, self._last_seconds + INTERVALS_MAX * interval_seconds - now_seconds)

    def is_new_stall(self, now_seconds: float, interval_seconds: float) -> bool:
        """Whether the device stands still and nobody was told of it yet; asking is being told."""
        is_stalled = self.left_seconds(now_seconds, interval_seconds) == 0
        is_new = is_stalled and not self._is_told
        self._is_told = self._is_told or is_stalled
        return is_new
