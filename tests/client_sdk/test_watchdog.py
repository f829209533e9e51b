"""What is progress and what is not: slow is not still, and busy is not forward."""

from client_sdk.watchdog import Watchdog

INTERVAL = 60.0


def watching() -> Watchdog:
    dog = Watchdog()
    dog.watch(0.0)
    return dog


def test_three_intervals_without_progress_are_a_stall_that_is_told_once() -> None:
    dog = watching()
    assert not dog.is_new_stall(179.9, INTERVAL)
    assert dog.is_new_stall(180.0, INTERVAL)
    assert not dog.is_new_stall(200.0, INTERVAL)
    dog.moved(300.0)
    assert not dog.is_new_stall(479.0, INTERVAL)
    assert dog.is_new_stall(480.0, INTERVAL)


def test_a_page_that_trickles_in_is_progress_however_slow() -> None:
    dog = watching()
    for minute in range(1, 600):
        dog.came("page", minute, minute * 60.0)
        assert not dog.is_new_stall(minute * 60.0, INTERVAL)


def test_a_page_that_breaks_off_at_the_same_byte_makes_progress_once() -> None:
    dog = watching()
    told = []
    for second in range(0, 1_000, 10):
        dog.came("page", second % 100, float(second))
        told += [second] if dog.is_new_stall(float(second), INTERVAL) else []
    assert told == [270]  # the best of it came at 90


def test_what_comes_after_something_was_stored_counts_from_its_beginning() -> None:
    dog = watching()
    dog.came("page", 1_000, 10.0)
    dog.moved(20.0)
    dog.came("page", 1, 100.0)
    assert dog.last_seconds == 100.0
