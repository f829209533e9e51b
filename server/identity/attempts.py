"""Counting failures, so that a password or a code cannot be guessed, in the database: all processes count together.

An attempt on a password is counted before it is tried and given back when it succeeds, so many at once gain nothing. One on
a code is counted when it failed: a code has 60 bits, which no number of guesses at once finds, and a whole team may
enrol at once from behind one address. A login is limited per network, so that a stranger elsewhere cannot lock its owner
out; a network is limited over all logins.
"""

import ipaddress
from typing import Final

import sqlalchemy as sa

from server.identity.errors import TooManyAttemptsError
from server.identity.models import AttemptModel
from server.runtime.database import ReadSession, WriteSession

WINDOW_MS: Final = 15 * 60 * 1000
LOGIN_FAILURES_MAX: Final = 10
NETWORK_FAILURES_MAX: Final = 100


def network_of(address: str) -> str:
    """The network that an address counts for: the address itself, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)


def limits(subject: str, address: str) -> dict[str, int]:
    """The counters that an attempt on `subject` (a login, say) from `address` counts on, with their limits."""
    network = network_of(address)
    return {f"{subject}|{network}": LOGIN_FAILURES_MAX, f"network|{network}": NETWORK_FAILURES_MAX}


async def count_attempt(session: WriteSession, counters: dict[str, int], now_ms: int) -> int | None:
    """Count an attempt. Where a limit is reached, returns for how many seconds; commit either way, then refuse."""
    await session.execute(sa.delete(AttemptModel).where(AttemptModel.since_ms <= now_ms - WINDOW_MS))
    waits = [await _count(session, key, limit, now_ms) for key, limit in sorted(counters.items())]
    return max((wait for wait in waits if wait is not None), default=None)


async def _count(session: WriteSession, key: str, limit: int, now_ms: int) -> int | None:
    counted = sa.text(
        "INSERT INTO attempt (key, failures, since_ms) VALUES (:key, 1, :now_ms)"
        " ON CONFLICT (key) DO UPDATE SET failures = attempt.failures + 1 RETURNING failures, since_ms"
    )
    row = (await session.execute(counted, {"key": key, "now_ms": now_ms})).one()
    return _seconds_left(row.since_ms, now_ms) if row.failures > limit else None


def _seconds_left(since_ms: int, now_ms: int) -> int:
    return -((now_ms - since_ms - WINDOW_MS) // 1000)


async def time_to_wait(session: ReadSession, counters: dict[str, int], now_ms: int) -> int | None:
    """For how many seconds no further attempt is taken, where failures have reached a limit. Nothing is counted."""
    current = sa.select(AttemptModel).where(AttemptModel.key.in_(counters), AttemptModel.since_ms > now_ms - WINDOW_MS)
    found = (await session.execute(current)).scalars()
    waits = [_seconds_left(each.since_ms, now_ms) for each in found if each.failures >= counters[each.key]]
    return max(waits, default=None)


async def forgive_attempt(session: WriteSession, counters: dict[str, int]) -> None:
    """It succeeded: give the attempt back."""
    await session.execute(
        sa.update(AttemptModel)
        .where(AttemptModel.key.in_(counters), AttemptModel.failures > 0)
        .values(failures=AttemptModel.failures - 1)
    )


def refuse_for(seconds: int | None) -> None:
    """Raises TooManyAttemptsError where there is a time to wait."""
    if seconds is not None:
        raise TooManyAttemptsError(seconds)
