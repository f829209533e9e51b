"""Retry discipline as numbers: what a failing device may cost its server, whatever it is told and however it is hurried."""

import random
from bisect import bisect_left
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import BadReplyError, DeviceRevokedError, RoadbookError, ServerBusyError, ServerUnreachableError
from client_sdk.follow import RECONNECT_SECONDS
from client_sdk.retry import DELAY_SECONDS_MAX, Backoff, Budget, Retry

SEEDS = st.integers(0, 2**32)
WAITS = st.none() | st.floats(0, 10**9)


def busy(retry_after_seconds: float | None = None) -> ServerBusyError:
    return ServerBusyError(503, "busy", "try again", retry_after_seconds)


def most_in_a_minute(moments: list[float]) -> int:
    """Of moments in their order."""
    return max((bisect_left(moments, moment + 60) - place for place, moment in enumerate(moments)), default=0)


@given(SEEDS, st.integers(1, 2), WAITS, st.floats(0.001, 5))
@settings(max_examples=100)
def test_a_server_that_answers_503_for_ten_minutes_is_asked_twice_a_minute_at_most(
    seed: int, requests: int, retry_after: float | None, hints_every: float
) -> None:
    """Each try costs one or two requests; hints come all the time and the user nudges with each."""
    retry = Retry(random.Random(seed), 0.0)
    now, asked = 0.0, []
    while now < 600:
        retry.started(now)
        asked += [now] * requests
        delay = retry.failed(busy(retry_after), requests, now)
        nudged = now + min(delay, hints_every)  # a nudge cuts the delay short, and never the budget
        now = nudged + retry.wait_seconds(nudged)
    assert most_in_a_minute(asked) <= 2


@given(SEEDS, st.lists(st.floats(0.001, 30), min_size=50, max_size=300))
@settings(max_examples=50)
def test_a_storm_of_hints_costs_no_more_than_the_budget(seed: int, gaps: list[float]) -> None:
    retry = Retry(random.Random(seed), 0.0)
    now, synced = 0.0, []
    for gap in gaps:
        now = max(now, now + gap / 100) + retry.wait_seconds(now)
        now += retry.wait_seconds(now)
        retry.started(now)
        synced.append(now)
    assert most_in_a_minute(synced) <= 60 + 20


@given(SEEDS, st.floats(0.001, 2.0))
@settings(max_examples=50)
def test_hints_are_followed_at_once_where_syncs_are_quick_and_seldom_where_they_are_slow(seed: int, sync_seconds: float) -> None:
    retry = Retry(random.Random(seed), 0.0)
    now, synced = 0.0, []
    while now < 150:
        now += retry.wait_seconds(now)
        synced.append(now)
        retry.started(now)
        now += sync_seconds
        retry.came_through(synced[-1], now)
    cost = min(1.0, max(0.05, sync_seconds / 0.2))
    assert most_in_a_minute(synced) <= (60 + 20) / cost + 2
    assert most_in_a_minute(synced) >= min(60 / cost, 60 / sync_seconds) - 2


@given(SEEDS, st.integers(1, 60))
def test_the_delay_is_anything_up_to_a_ceiling_that_doubles_and_ends_at_five_minutes(seed: int, failures: int) -> None:
    backoff = Backoff(random.Random(seed))
    delays = [backoff.failed() for _ in range(failures)]
    for count, delay in enumerate(delays, 1):
        assert 0 <= delay <= min(DELAY_SECONDS_MAX, 2 * 2 ** (count - 1))


def test_jitter_is_full() -> None:
    delays = []
    for seed in range(2_000):
        backoff = Backoff(random.Random(seed))
        delays.append([backoff.failed() for _ in range(12)][-1])
    tenths = Counter(int(delay * 10 / DELAY_SECONDS_MAX) for delay in delays)
    assert set(tenths) == set(range(10))
    assert max(tenths.values()) < 1.5 * min(tenths.values())


@given(SEEDS, st.floats(0, 10**12))
def test_retry_after_is_honoured_with_jitter_on_top_and_never_for_more_than_hours(seed: int, asked: float) -> None:
    delay = Backoff(random.Random(seed)).failed(asked)
    assert min(asked, 3_600) <= delay <= min(asked, 3_600) + 10


def test_devices_that_were_told_the_same_second_come_one_after_another() -> None:
    moments = [Retry(random.Random(seed), 0.0).failed(busy(30), 1, 0.0) for seed in range(1_000)]
    per_second = Counter(int(moment) for moment in moments)
    assert max(per_second.values()) <= 3 * (1_000 / 10)


@given(SEEDS, st.integers(2, 20))
def test_progress_makes_the_next_failure_the_first_again(seed: int, failures: int) -> None:
    backoff = Backoff(random.Random(seed))
    for _ in range(failures):
        backoff.failed()
    backoff.progressed()
    assert backoff.failed() <= 2


def test_what_cannot_pass_by_itself_is_asked_for_seldom_and_not_never() -> None:
    revoked: RoadbookError = DeviceRevokedError(401, "device_revoked", "revoked")
    for seed in range(100):
        assert DELAY_SECONDS_MAX / 2 <= Retry(random.Random(seed), 0.0).failed(revoked, 1, 0.0) <= DELAY_SECONDS_MAX


def test_a_network_that_is_away_costs_less_than_a_server_that_refuses() -> None:
    lost, refused, bad = (Retry(random.Random(1), 0.0) for _ in range(3))
    lost.failed(ServerUnreachableError("url", "no route"), 2, 0.0)
    refused.failed(busy(), 2, 0.0)
    bad.failed(BadReplyError("it was cut off"), 2, 0.0)
    assert lost.wait_seconds(0.0) == 10
    assert refused.wait_seconds(0.0) == bad.wait_seconds(0.0) == 60


def test_a_clock_that_stands_or_goes_back_fills_no_budget() -> None:
    budget = Budget(100.0, per_minute=60, at_once=1)
    budget.take(100.0)
    assert budget.wait_seconds(50.0) == budget.wait_seconds(100.0) == 1
    assert budget.wait_seconds(101.0) == 0


def arrivals(seed: int, away_seconds: float, error: RoadbookError) -> list[float]:
    """When 1,000 devices sync that follow a server which is restarted at 0, and is back after `away_seconds`.

    Each lost its stream at 0, waits as `client_sdk/follow.py` does before it looks for the server, and tries until it is back.
    """
    moments = []
    for device in range(1_000):
        chance = random.Random(seed * 1_000 + device)
        retry = Retry(chance, -1_000.0)
        now = Backoff(chance, RECONNECT_SECONDS).failed()
        while now < away_seconds:
            retry.started(now)
            now += retry.failed(error, 1, now)
        moments.append(now)
    return moments


AWAY_SECONDS = (0, 1, 5, 20, 60, 300, 900)


def test_a_restart_brings_no_thundering_herd() -> None:
    """The peak is at most three times the mean over the time in which nine of ten come back.

    After an absence of more than a minute, when a handful come in a second, it is the peak of ten seconds.
    """
    for seed, away in enumerate(AWAY_SECONDS):
        moments = sorted(arrivals(seed, away, ServerUnreachableError("url", "refused")))
        nine_of_ten = moments[: len(moments) * 9 // 10]
        mean = len(nine_of_ten) / max(1.0, nine_of_ten[-1] - away)
        width = 1 if away <= 60 else 10
        peak = max(Counter(int((moment - away) / width) for moment in moments).values()) / width
        assert peak <= 3 * mean, (away, peak, mean)


def test_devices_that_were_refused_together_do_not_come_back_together() -> None:
    for seed, away in enumerate(AWAY_SECONDS):
        moments = arrivals(seed, away, busy(1))
        assert max(Counter(int(moment) for moment in moments).values()) <= 1.5 * 1_000 / RECONNECT_SECONDS
