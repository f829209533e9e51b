"""Less after too much, a little more after each success, and nothing that swings between the two for ever."""

from hypothesis import given
from hypothesis import strategies as st

from client_sdk.portions import Portion


@given(st.integers(1, 100_000), st.integers(1, 1_000), st.lists(st.booleans(), max_size=200))
def test_a_portion_stays_between_its_ends(most: int, least: int, well: list[bool]) -> None:
    portion = Portion(most, least)
    for each in well:
        if each:
            portion.grow()
        else:
            portion.halve()
        assert min(most, least) <= portion.size <= most


def test_a_portion_halves_down_to_the_least_and_then_says_so() -> None:
    portion = Portion(100)
    sizes = []
    while portion.halve():
        sizes.append(portion.size)
    assert sizes == [50, 25, 12, 6, 3, 1]
    assert not portion.halve()


def test_half_is_of_what_was_used_and_not_of_what_was_allowed() -> None:
    portion = Portion(100)
    assert portion.halve(used=8)
    assert portion.size == 4
    assert not portion.halve(used=1)
    assert portion.size == 4


@given(st.integers(1, 100))
def test_a_server_that_takes_no_more_than_so_many_is_overasked_seldom(takes: int) -> None:
    portion = Portion(100)
    refused = 0
    for _ in range(300):
        if portion.size > takes:
            refused += 1
            portion.halve()
        else:
            portion.grow()
    assert refused <= 30
    assert portion.size >= takes // 2


def test_it_grows_back_to_all_once_the_link_is_good_again() -> None:
    portion = Portion(100)
    for _ in range(5):
        portion.halve()
    for _ in range(60):
        portion.grow()
    assert portion.size == 100
