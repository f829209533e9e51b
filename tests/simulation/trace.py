"""What a run leaves behind: a hash of everything that happened, in order (I-9), and a count of what happened at all."""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any


class ViolationError(AssertionError):
    """An invariant does not hold. The message begins with its number."""


class Trace:
    """Events go into the hash as they come; `lines` keeps them where somebody wants to read them."""

    def __init__(self, now: Callable[[], float], *, keep: bool = False) -> None:
        self._now = now
        self._hash = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = [] if keep else None
        self.seen: Counter[str] = Counter()
        self.violation: ViolationError | None = None

    def note(self, kind: str, *details: Any, aside: object = "") -> None:
        """Something happened. What differs from run to run (a path, an address in memory) is said `aside`, out of the hash."""
        line = f"{self._now():.6f} {kind} {' '.join(map(str, details))}"
        self._hash.update(line.encode())
        if self.lines is not None:
            self.lines.append(f"{line} {aside}")

    def saw(self, what: str) -> None:
        """Something that must happen sometimes did."""
        self.seen[what] += 1

    def check(self) -> None:
        """Raises the violation that was found where it could not be raised."""
        if self.violation is not None:
            raise self.violation

    def digest(self) -> str:
        return self._hash.hexdigest()


def require(holds: object, invariant: str, what: str) -> None:
    """Raises ViolationError where it does not hold."""
    if not holds:
        raise ViolationError(f"{invariant}: {what}")
