"""`python -m tests.simulation`: many seeds over all processors, or one with everything that happens in it.

A share of seeds that was through is written down in `--state`, so that a large run that was stopped goes on where it was.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import server  # noqa: F401  # first of all, so that its SQLite takes the place of the standard library's

# isort: split
from tests.simulation.plan import draw
from tests.simulation.run import run_seed
from tests.simulation.shrink import shrink, told
from tests.simulation.sometimes import never

SHARE: Final = 100


class Share:
    """So many seeds from one on, and what came of them."""

    def __init__(self, first: int, seen: dict[str, int], failed: list[str]) -> None:
        self.first, self.seen, self.failed = first, seen, failed


def run_share(first: int, last: int) -> Share:
    """Run the seeds from `first` up to `last`, and shrink the first that fails."""
    logging.disable(logging.CRITICAL)
    seen: Counter[str] = Counter()
    failed: list[str] = []
    for seed in range(first, last):
        outcome = run_seed(seed)
        seen += outcome.seen
        if outcome.violation:
            failed.append(f"seed {seed}: {outcome.violation}" if failed else told(*shrink(draw(seed), outcome)))
    return Share(first, dict(seen), failed)


def show(seed: int) -> int:
    """One seed, event by event."""
    outcome = run_seed(seed, keep_trace=True)
    print("\n".join(outcome.lines or ()))
    print(f"trace {outcome.trace}")
    print(outcome.where or "everything held")
    return 1 if outcome.violation else 0


def run_many(first: int, seeds: int, state: Path, processes: int) -> int:
    """All shares that are not in the state yet. Says how fast, what never happened, and which seeds failed."""
    done: dict[str, dict[str, int]] = json.loads(state.read_text()) if state.exists() else {}
    starts = [start for start in range(first, first + seeds, SHARE) if str(start) not in done]
    print(f"{seeds} seeds from {first}: {len(starts)} shares of {SHARE} to do, {processes} processes", flush=True)
    begun, failed, through = time.monotonic(), list[str](), 0
    with ProcessPoolExecutor(processes) as pool:
        for share in pool.map(partial(_share, last=first + seeds), starts):
            failed += share.failed
            through += min(SHARE, first + seeds - share.first)
            if not share.failed:
                done[str(share.first)] = share.seen
                state.write_text(json.dumps(done))
            print(f"{through} seeds, {through / (time.monotonic() - begun):.1f}/s, {len(failed)} failed", flush=True)
            for failure in share.failed:
                print(failure, flush=True)
    seen = sum((Counter(counts) for counts in done.values()), Counter[str]())
    lacking = never(seen, seeds)
    for what, times in sorted(seen.items()):
        print(f"{times:>9} {what}")
    print(f"{sum(seen.values())} events of {len(seen)} kinds; never: {', '.join(lacking) or 'nothing'}")
    return 1 if failed or lacking else 0


def _share(start: int, last: int) -> Share:
    return run_share(start, min(start + SHARE, last))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="run this one and show everything that happens")
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--state", type=Path, default=Path("simulation.json"), help="which shares are through")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    if given.seed is not None:
        return show(given.seed)
    return run_many(given.first, given.seeds, given.state, given.processes)


if __name__ == "__main__":
    sys.exit(main())
