"""When to try again: back-off with full jitter, a server's `Retry-After`, and a budget that nothing can overdraw.

Pure: the time is handed in, as seconds of a clock that never goes back, and so is chance.
"""

from typing import Final

from client_sdk.clock import Chance
from client_sdk.errors import BadReplyError, RoadbookError, ServerBusyError, ServerError, ServerUnreachableError

FIRST_DELAY_SECONDS: Final = 2.0
DELAY_SECONDS_MAX: Final = 300.0
RETRY_AFTER_SECONDS_MAX: Final = 3_600.0
"""What a server may ask for at most: a proxy's mistake must not silence a device for a year."""
JITTER_SECONDS_MIN: Final = 10.0
"""Over how long devices that were all told the same second spread, at least."""
SYNCS_PER_MINUTE: Final = 60.0
SYNCS_AT_ONCE: Final = 20.0
COSTLY_SYNC_SECONDS: Final = 0.2
"""A sync that came through costs as much of a token as it took of this: where it is quick, hints are followed at once, and a
server that is slow because everybody asks is asked less by everybody."""
SYNC_COST_MIN: Final = 0.05
REFUSED_REQUEST_COST: Final = 30.0
"""A request that a server answered with "not now" costs half a minute, so that there are two a minute at most."""
LOST_REQUEST_COST: Final = 5.0
"""One that found nobody costs less: it is the device's own network that is away, most of the time."""
_FRACTION_BITS: Final = 53


def fraction(chance: Chance) -> float:
    """A random number from 0 up to and without 1."""
    return chance.getrandbits(_FRACTION_BITS) / (1 << _FRACTION_BITS)


class Backoff:
    """Exponential, with full jitter: any delay from nothing to a ceiling that doubles with each failure."""

    def __init__(self, chance: Chance, first_seconds: float = FIRST_DELAY_SECONDS, seconds_max: float = DELAY_SECONDS_MAX) -> None:
        self._chance = chance
        self.first_seconds = first_seconds
        self._seconds_max = seconds_max
        self.failures = 0

    def ceiling_seconds(self) -> float:
        """The longest delay after as many failures as there were."""
        doublings = min(max(0, self.failures - 1), 32)
        return float(min(self._seconds_max, self.first_seconds * 2**doublings))

    def failed(self, retry_after_seconds: float | None = None, *, can_pass: bool = True) -> float:
        """Count a failure; how many seconds to wait now. What cannot pass by itself is asked for as seldom as there is."""
        self.failures += 1
        if retry_after_seconds is not None:
            asked = min(max(0.0, retry_after_seconds), RETRY_AFTER_SECONDS_MAX)
            return asked + fraction(self._chance) * max(JITTER_SECONDS_MIN, self.ceiling_seconds())
        if not can_pass:
            return self._seconds_max * (1 + fraction(self._chance)) / 2
        return fraction(self._chance) * self.ceiling_seconds()

    def progressed(self) -> None:
        """Forget the failures."""
        self.failures = 0


class Budget:
    """A bucket of tokens that fills with time: each sync takes one, each request that failed many."""

    def __init__(self, now_seconds: float, per_minute: float = SYNCS_PER_MINUTE, at_once: float = SYNCS_AT_ONCE) -> None:
        self._per_second = per_minute / 60
        self._at_once = at_once
        self._tokens = at_once
        self._seconds = now_seconds

    def _fill(self, now_seconds: float) -> None:
        passed = max(0.0, now_seconds - self._seconds)
        self._tokens = min(self._at_once, self._tokens + passed * self._per_second)
        self._seconds = max(self._seconds, now_seconds)

    def take(self, now_seconds: float) -> None:
        """Pay for a sync. Overdraws where nobody waited: a user who asks is not refused, what follows waits longer."""
        self._fill(now_seconds)
        self._tokens -= 1

    def give_back(self, now_seconds: float, tokens: float) -> None:
        """A sync cost so much less than was taken for it."""
        self._fill(now_seconds)
        self._tokens = min(self._at_once, self._tokens + tokens)

    def charge_failure(self, now_seconds: float, cost: float) -> None:
        """Pay for a failure: what was saved up is gone, too."""
        self._fill(now_seconds)
        self._tokens = min(self._tokens, 1.0) - cost

    def wait_seconds(self, now_seconds: float) -> float:
        """How long until there is a token."""
        self._fill(now_seconds)
        return max(0.0, (1 - self._tokens) / self._per_second)


class Retry:
    """When a device that failed may try again, and how often one that is hinted at may ask."""

    def __init__(self, chance: Chance, now_seconds: float) -> None:
        self._chance = chance
        self._backoff = Backoff(chance)
        self._budget = Budget(now_seconds)

    @property
    def failures(self) -> int:
        """How many tries failed since the last progress."""
        return self._backoff.failures

    def wait_seconds(self, now_seconds: float) -> float:
        """How long a sync that a hint asks for must wait."""
        return self._budget.wait_seconds(now_seconds)

    def started(self, now_seconds: float) -> None:
        """A sync begins."""
        self._budget.take(now_seconds)

    def failed(self, error: RoadbookError, requests: int, now_seconds: float) -> float:
        """A sync failed that made `requests`: how many seconds to wait until the next."""
        after = error.retry_after_seconds if isinstance(error, ServerBusyError) else None
        self._budget.charge_failure(now_seconds, _cost(error) * max(1, requests))
        delay = self._backoff.failed(after, can_pass=error.retry)
        owed = self._budget.wait_seconds(now_seconds)
        # What the budget asks of all devices alike is spread, too: they were all refused at the same time.
        return max(delay, owed * (1 + fraction(self._chance)))

    def refused_stream(self, now_seconds: float) -> None:
        """The live stream was refused: that is a request, too."""
        self._budget.charge_failure(now_seconds, REFUSED_REQUEST_COST)

    def progressed(self) -> None:
        """Something came through: the next failure is the first again."""
        self._backoff.progressed()

    def came_through(self, started_seconds: float, now_seconds: float) -> None:
        """A sync ended well, which was begun so."""
        self._backoff.progressed()
        cost = max(SYNC_COST_MIN, (now_seconds - started_seconds) / COSTLY_SYNC_SECONDS)
        self._budget.give_back(now_seconds, max(0.0, 1.0 - cost))


def _cost(error: RoadbookError) -> float:
    if isinstance(error, ServerError | BadReplyError):
        return REFUSED_REQUEST_COST
    return LOST_REQUEST_COST if isinstance(error, ServerUnreachableError) else 1.0
