"""The power is cut at statements of every core scenario: what a user saw as saved is there, and all ends as without the cut.

The same cuts lose orders where a device syncs its file at checkpoints only, so the cuts do cut. `make crashes` takes every place.
"""

import pytest

from tests.simulation.crashes import crash, cut, run_scenario, sites_of
from tests.simulation.scenarios import SCENARIOS

EVERY = 193
WITH_DEVICES = [place for place, scenario in enumerate(SCENARIOS) if scenario.processes != ("server",)]


@pytest.mark.parametrize("place", WITH_DEVICES, ids=[SCENARIOS[place].name for place in WITH_DEVICES])
def test_what_was_saved_survives_a_power_cut(place: int) -> None:
    _, _, tried, failures = run_scenario(place, every=EVERY, first=7 * place, power=True)
    assert not failures, "\n".join(map(str, failures))
    assert tried


def test_a_device_that_does_not_sync_what_it_saves_loses_it_in_these_cuts() -> None:
    """The control: without it nobody would know whether anything was cut at all."""
    scenario = next(each for each in SCENARIOS if each.name == "an order is sent")
    sites = [site for site in sites_of(crash(scenario, None).statements) if site.process == 0][::16]
    lost = [site for site in sites if "I-1" in cut(scenario, site, "NORMAL").failure]
    assert len(lost) > len(sites) // 8
    assert not any(cut(scenario, site).failure for site in lost)
