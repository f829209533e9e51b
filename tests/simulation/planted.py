"""`python -m tests.simulation.planted`: plant each bug and look for a seed that catches it; a table of what caught which.

The oracle is tested so: a bug that escapes `SEEDS` seeds is a weakness of it, or of the worlds that are drawn. The seeds
that were found are kept beside this file, so that `make test` need not look for them; it does where one catches no more.
"""

import argparse
import json
import logging
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import server  # noqa: F401  # first of all, so that its SQLite takes the place of the standard library's

# isort: split
from tests.simulation.plan import Plan, Swarm, draw
from tests.simulation.planted_device import DEVICE_BUGS
from tests.simulation.planted_image import IMAGE_BUGS
from tests.simulation.planted_log import LOG_BUGS
from tests.simulation.planted_older import OLDER_BUGS
from tests.simulation.planted_push import PUSH_BUGS
from tests.simulation.planted_repair import REPAIR_BUGS
from tests.simulation.planted_restore import RESTORE_BUGS
from tests.simulation.planting import PlantedBug, in_child, plant
from tests.simulation.run import run_plan, run_seed
from tests.simulation.template import template

SEEDS: Final = 500
KEPT: Final = Path(__file__).with_name("planted_seeds.json")
BUGS: Final = (*PUSH_BUGS, *LOG_BUGS, *DEVICE_BUGS, *REPAIR_BUGS, *IMAGE_BUGS, *OLDER_BUGS, *RESTORE_BUGS)


class Caught(NamedTuple):
    """How a bug was found: by which seed, after how many, and what did not hold then."""

    seed: int
    tried: int
    violation: str


def cost(plan: Plan) -> float:
    """What a run takes, roughly: the cheapest seeds are tried first."""
    return (len(plan.steps) + 12) * (1 + 0.5 * plan.devices) * (4 if plan.through_app else 1) * (3 if plan.page_rows < 10 else 1)


def in_order(bug: PlantedBug, seeds: int = SEEDS) -> list[int]:
    """So many seeds, the cheapest first."""
    return sorted(range(seeds), key=lambda seed: cost(draw(seed, bug.swarm)))


def catch(bug: PlantedBug, seeds: list[int]) -> Caught | None:
    """Plant it and run these seeds until one fails. Spoils this process."""
    plant(bug)
    logging.disable(logging.CRITICAL)
    try:
        for tried, seed in enumerate(seeds, start=1):
            outcome = run_plan(draw(seed, bug.swarm))
            if outcome.violation:
                return Caught(seed, tried, outcome.violation)
        return None
    finally:
        if bug.in_template:
            shutil.rmtree(template().folder, ignore_errors=True)


class Search:
    """Looks for a seed that catches a bug and that is green without it; what is green is found out once."""

    def __init__(self) -> None:
        self._green: dict[tuple[int, str], str] = {}
        self.unsound: set[str] = set()

    def find(self, bug: PlantedBug, seeds: list[int]) -> Caught | None:
        """The first of these seeds that does. One that fails without the bug too is passed over, and told in `unsound`."""
        tried = 0
        while tried < len(seeds):
            caught = in_child(partial(catch, bug, seeds[tried:]))
            if caught is None:
                return None
            tried += caught.tried
            violation = self._without(caught.seed, bug.swarm)
            if not violation:
                return caught._replace(tried=tried)
            self.unsound.add(f"seed {caught.seed} with {bug.swarm} fails without any bug: {violation}")
        return None

    def _without(self, seed: int, swarm: Swarm | None) -> str:
        world = (seed, repr(swarm))
        if world not in self._green:
            self._green[world] = run_seed(seed, swarm).violation
        return self._green[world]


def look_for(bugs: list[PlantedBug], seeds: int = SEEDS) -> dict[str, Caught]:
    """Search anew for each, and print a line of each."""
    search, found = Search(), dict[str, Caught]()
    for bug in bugs:
        begun = time.monotonic()
        try:
            caught = search.find(bug, in_order(bug, seeds))
        except RuntimeError as error:
            print(f"{bug.name:<56} CANNOT BE LOOKED FOR: {error}", flush=True)
            continue
        seconds = f"{time.monotonic() - begun:.1f} s"
        if caught is None:
            print(f"{bug.name:<56} ESCAPED {seeds} seeds, {seconds}", flush=True)
            continue
        found[bug.name] = caught
        print(f"{bug.name:<56} seed {caught.seed:>3} after {caught.tried:>3}, {seconds}: {caught.violation[:90]}", flush=True)
    print("\n".join(sorted(search.unsound)))
    return found


def check(bugs: list[PlantedBug]) -> list[str]:
    """That each bug is caught by the seed that is kept for it, or by another, and that this seed is green without the bug."""
    kept: dict[str, int] = json.loads(KEPT.read_text())
    search, escaped = Search(), []
    for bug in bugs:
        known = [kept[bug.name]] if bug.name in kept else []
        if search.find(bug, known) is not None:
            continue
        if (caught := search.find(bug, in_order(bug))) is None:
            escaped.append(f"{bug.name}: it escapes {SEEDS} seeds: the oracle is too weak, or the worlds are")
            continue
        print(f"{bug.name}: caught by seed {caught.seed}, no more by the one that is kept; say make simulate-bugs")
    return [*escaped, *search.unsound]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted")
    parser.add_argument("--only", default="", help="bugs whose name has this in it")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many are tried")
    parser.add_argument("--keep", action="store_true", help="write the seeds that were found down for `make test`")
    parser.add_argument(
        "--check", type=int, nargs=2, metavar=("SHARE", "SHARES"), help="check what is kept, of every so many bugs one"
    )
    given = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # a run that fails leaves tasks whose failures nobody asks for
    run_seed(0)  # what is made once in a process is made before it is forked
    if given.check:
        share, shares = given.check
        print("\n".join(failures := check(list(BUGS[share::shares]))))
        return 1 if failures else 0
    bugs = [bug for bug in BUGS if given.only in bug.name]
    found = look_for(bugs, given.seeds)
    if given.keep:
        kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        kept |= {name: caught.seed for name, caught in found.items()}
        KEPT.write_text(json.dumps({bug.name: kept[bug.name] for bug in BUGS if bug.name in kept}, indent=0) + "\n")
    print(f"{len(found)} of {len(bugs)} planted bugs are caught")
    return 0 if len(found) == len(bugs) else 1


if __name__ == "__main__":
    sys.exit(main())
