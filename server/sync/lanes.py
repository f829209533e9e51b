"""Which intents of a push wait for one that was not decided: order is kept within an aggregate, and nowhere else."""

from collections.abc import Iterable
from uuid import UUID


class Lanes:
    """The lanes that are held in this push, each by the first intent on it that was put off."""

    def __init__(self, held: dict[UUID, UUID] | None = None) -> None:
        self._held = held or {}

    def copy(self) -> "Lanes":
        return Lanes(dict(self._held))

    def hold(self, lanes: Iterable[UUID], intent_id: UUID) -> None:
        """Let what comes after the intent on these lanes wait for it."""
        for lane in lanes:
            self._held.setdefault(lane, intent_id)

    def held_by(self, lanes: Iterable[UUID]) -> UUID | None:
        """The intent that these lanes wait for."""
        return next((self._held[lane] for lane in lanes if lane in self._held), None)
