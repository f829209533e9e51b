"""Many seeds, each a world of its own: nothing is lost, doubled, leaked or stuck, whatever happens (I-1 to I-9).

A small fixed budget here; `make simulate` runs many more, and asks that whatever can happen did.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.plan import draw
from tests.simulation.run import run_seed
from tests.simulation.shrink import shrink, told

SEEDS = int(os.environ.get("ROADBOOK_SIMULATION_SEEDS", "200"))
SHARES = 20
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("share", range(SHARES))
def test_every_invariant_holds_in_every_world(share: int) -> None:
    for seed in range(share, SEEDS, SHARES):
        outcome = run_seed(seed)
        if outcome.violation:
            pytest.fail(told(*shrink(draw(seed), outcome)))


def test_the_same_seed_gives_the_same_trace() -> None:
    """I-9, in this process and in another one, whose hashes of texts are others."""
    seeds = range(30, 40)
    here = [run_seed(seed).trace for seed in seeds]
    assert [run_seed(seed).trace for seed in seeds] == here
    program = f"import server; from tests.simulation.run import run_seed; print(*[run_seed(seed).trace for seed in {seeds!r}])"
    for hashes in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashes}
        ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
        assert ran.stdout.split() == here
