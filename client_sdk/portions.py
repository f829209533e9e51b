"""How much a device asks for at once: half of what was too much, and a little more each time it goes well. Pure."""

from typing import Final

_PATIENCE: Final = 32
"""How many times a smaller portion must go well before a size that was too much is tried again."""


class Portion:
    """A size between `least` and `most`."""

    def __init__(self, most: int, least: int = 1) -> None:
        self._most = most
        self._least = min(most, least)
        self.size = most
        self._too_much: int | None = None
        self._went_well = 0

    def halve(self, used: int | None = None) -> bool:
        """Ask for half of what was `used`, which was too much; False where there is nothing to halve."""
        failed = min(self.size, used or self.size)
        halved = max(self._least, failed // 2)
        if halved >= failed:
            return False
        self.size, self._too_much, self._went_well = halved, failed, 0
        return True

    def reset(self) -> None:
        """Forget what was too much: the reason is out of the way."""
        self.size, self._too_much, self._went_well = self._most, None, 0

    def grow(self) -> None:
        """It went well: an eighth more, but not near to what was too much until it went well for long."""
        self._went_well += 1
        if self._went_well >= _PATIENCE:
            self._too_much, self._went_well = None, 0
        ceiling = self._most if self._too_much is None else max(self._least, self._too_much - 1 - self._too_much // 8)
        self.size = max(self.size, min(ceiling, self.size + 1 + self.size // 8))
