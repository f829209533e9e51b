"""The oracle is strong enough: of every planted bug it says which invariant it breaks, and it says nothing without the bug."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.planted import BUGS
from tests.simulation.planting import PlantedBug, RottenBugError, plant

SHARES = 2
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("share", range(SHARES))
def test_every_planted_bug_is_caught_and_nothing_else_is(share: int) -> None:
    """In a process of its own, which forks one for each bug: this one has threads."""
    program = [sys.executable, "-m", "tests.simulation.planted", "--check", str(share), str(SHARES)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    ran = subprocess.run(program, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_at_least_thirty_bugs_are_planted_each_under_a_name_of_its_own() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 30


def test_a_bug_whose_fragment_is_gone_is_not_passed_over() -> None:
    gone = PlantedBug("gone", "nothing", "server.sync.push", "this text is nowhere", "nor is this")
    with pytest.raises(RottenBugError, match="0 times"):
        plant(gone)


def test_a_bug_that_changes_nothing_that_runs_is_not_passed_over() -> None:
    comment = PlantedBug("comment", "nothing", "server.sync.lanes", '"""Which intents', '"""What intents')
    with pytest.raises(RottenBugError, match="nothing that runs"):
        plant(comment)
