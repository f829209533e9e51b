"""Many seeds, each a world of its own: nothing is lost, doubled, leaked or stuck, whatever happens (I-1 to I-9).

A small fixed budget here; `make simulate` runs many more, and asks that whatever can happen did.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.plan import draw
from tests.simulation.run import run_seed
from tests.simulation.shrink import shrink, told
from tests.simulation.sometimes import never

SEEDS = int(os.environ.get("ROADBOOK_SIMULATION_SEEDS", "800"))
SHARES = 40
ROOT = Path(__file__).parents[2]


@pytest.fixture
def seen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shares say what they have seen, wherever each runs."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "seen"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("share", range(SHARES))
def test_every_invariant_holds_in_every_world(share: int, seen_folder: Path) -> None:
    """And whatever can happen did: the last share asks so of all of them."""
    seen: Counter[str] = Counter()
    for seed in range(share, SEEDS, SHARES):
        outcome = run_seed(seed)
        seen += outcome.seen
        if outcome.violation:
            pytest.fail(told(*shrink(draw(seed), outcome)))
    (seen_folder / str(share)).write_text(json.dumps(seen))
    told_of = [json.loads(file.read_text()) for file in seen_folder.iterdir()]
    if len(told_of) == SHARES:
        assert never(sum(map(Counter, told_of), Counter[str]()), SEEDS) == []


def test_the_same_seed_gives_the_same_trace() -> None:
    """I-9, in this process and in another one, whose hashes of texts are others."""
    seeds = (*range(30, 36), 1533)  # the last asks the whole application, which keeps what it found for a while
    here = [run_seed(seed).trace for seed in seeds]
    assert [run_seed(seed).trace for seed in seeds] == here
    program = f"import server; from tests.simulation.run import run_seed; print(*[run_seed(seed).trace for seed in {seeds}])"
    for hashes in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashes}
        ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
        assert ran.stdout.split() == here
