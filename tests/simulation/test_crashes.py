"""A crash at any statement of any core scenario changes nothing of how it ends.

A sample of the places here, another of each scenario; `make crashes` takes them all.
"""

import pytest

from tests.simulation.crashes import run_scenario
from tests.simulation.scenarios import SCENARIOS

EVERY = 149


@pytest.mark.parametrize("place", range(len(SCENARIOS)), ids=[scenario.name for scenario in SCENARIOS])
def test_a_scenario_that_is_crashed_ends_as_without_the_crash(place: int) -> None:
    _, sites, tried, failures = run_scenario(place, every=EVERY, first=11 * place)
    assert not failures, "\n".join(map(str, failures))
    assert tried >= sites // EVERY >= 1
